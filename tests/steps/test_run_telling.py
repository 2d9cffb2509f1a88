"""Run events of OpenLineage: as its specification says, once a line, in order, and never in the way of recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
import seed
from json_hook import JsonHook, json_hook
from sqlalchemy import select, update

from labrelay.records import openlineage_sinks, runs
from labrelay.records.openlineage import Places, run_event
from labrelay.records.run_events import ABORT, COMPLETE, FAIL, START, RunFacts, StoredFile, event_run_id, facts_of
from labrelay.records.schema import AttemptRow, OutboxRow, WorkflowRunRow
from labrelay.steps.deliver import deliver
from labrelay.steps.home import Home
from labrelay.steps.run_telling import tell_run

FILE = StoredFile("reads.r1", "objects", "raw/a_R1.fastq.gz", "v1", "ab" * 32, 7)
FACTS = RunFacts(
    run_id="run_1",
    token="t-1",
    experiment_id="exp_1",
    experiment="outbreak",
    workflow="viral_variants",
    version="1.0.0",
    digest="cd" * 32,
    language="WDL",
    title="Variants of a virus",
    engine="local",
    started="2026-11-01T10:00:00.000000+00:00",
    ended="2026-11-01T11:00:00.000000+00:00",
    failure="the aligner fell over",
    inputs=(FILE, FILE),
    outputs=(StoredFile("variants", "results", "x/variants.vcf", "v2", "ef" * 32, 9),),
    datasets=("dat_1",),
)
PLACES = Places("labrelay", {"objects": "s3://bucket/raw-data/"})
# The part of OpenLineage's schema (2-0-2) that every run event has to satisfy.
FACET = {"type": "object", "required": ["_producer", "_schemaURL"]}
FACETS = {"type": "object", "additionalProperties": FACET}
DATASET = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {"namespace": {"type": "string"}, "name": {"type": "string"}, "facets": FACETS},
}
SCHEMA = {
    "type": "object",
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"type": "string", "pattern": "RunEvent$"},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": FACETS},
        },
        "job": {**DATASET},
        "inputs": {"type": "array", "items": DATASET},
        "outputs": {"type": "array", "items": DATASET},
    },
}


@pytest.fixture
def backend() -> Iterator[JsonHook]:
    with json_hook("/api/v1/lineage") as made:
        made.status = 201
        yield made


def home_with(make_home: Callable[[str], Home], settings: str) -> tuple[Home, str, str]:
    """Return a home with one recorded run, the run's id and its attempt's token."""
    home = make_home(settings)
    seed.seed(home.records, 1, outputs=1)
    with home.records.read() as session:
        run = session.scalars(select(WorkflowRunRow.id)).one()
        return home, run, runs.last_attempt(session, run).token


def tell(home: Home, run: str, token: str, *kinds: str) -> None:
    for kind in kinds:
        with home.records.write() as session:
            tell_run(home, session, run, token, kind)


@pytest.mark.parametrize("kind", [START, COMPLETE, FAIL, ABORT])
def test_events_are_as_the_specification_says(kind: str) -> None:
    event = run_event(FACTS, kind, PLACES)
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(event)
    assert event["eventType"] == kind
    assert event["eventTime"] == (FACTS.started if kind == START else FACTS.ended)
    facets = event["run"]["facets"]
    assert facets["parent"]["run"]["runId"] == str(event_run_id("exp_1"))
    assert ("errorMessage" in facets) == (kind == FAIL)
    assert (len(event["outputs"]) == 2) == (kind == COMPLETE)
    assert event["job"]["facets"]["sourceCodeLocation"]["version"] == "cd" * 32


def test_a_file_is_named_where_it_lies_and_told_once() -> None:
    inputs = run_event(FACTS, START, PLACES)["inputs"]
    assert [(each["namespace"], each["name"]) for each in inputs] == [
        ("labrelay.dataset", "dat_1"),
        ("s3://bucket", "raw-data/raw/a_R1.fastq.gz"),
    ]
    facets = inputs[1]["facets"]
    assert facets["dataSource"]["uri"] == "s3://bucket/raw-data/raw/a_R1.fastq.gz"
    assert facets["labrelay_checksum"]["value"] == "ab" * 32


def test_the_same_facts_give_the_same_event_and_each_attempt_is_a_run() -> None:
    assert run_event(FACTS, START, PLACES) == run_event(FACTS, START, PLACES)
    assert event_run_id("t-1") != event_run_id("t-2")


def test_events_go_to_file_and_backend_in_order_and_once(make_home: Callable[[str], Home], backend: JsonHook) -> None:
    lines = f'openlineage_file = "told.jsonl"\nopenlineage_url = "{backend.url}"\nopenlineage_key = "SECRET"\n'
    home, run, token = home_with(make_home, lines)
    tell(home, run, token, START, COMPLETE, START, COMPLETE)
    assert deliver(home).confirmed == 4
    assert [event["eventType"] for event in backend.bodies] == ["START", "COMPLETE"]
    assert set(backend.keys) == {"Bearer SECRET"}
    told = [json.loads(line) for line in (home.path / "told.jsonl").read_text().splitlines()]
    assert told == backend.bodies
    with home.records.read() as session:
        assert told[1] == json.loads(
            json.dumps(run_event(facts_of(session, run, token), COMPLETE, Places("labrelay", {})))
        )


def test_a_backend_that_is_down_holds_up_its_own_run_and_nothing_else(
    make_home: Callable[[str], Home], backend: JsonHook
) -> None:
    lines = f'openlineage_file = "told.jsonl"\nopenlineage_url = "{backend.url}"\nopenlineage_key = "SECRET"\n'
    home, run, token = home_with(make_home, lines)
    backend.status, backend.headers = 503, {"Retry-After": "7200"}
    tell(home, run, token, START, COMPLETE)
    done = deliver(home)
    assert (done.confirmed, done.waiting) == (2, 2)
    assert len(backend.bodies) == 1  # the end waits behind the start
    with home.records.read() as session:
        waits = session.scalars(select(OutboxRow).where(OutboxRow.state == "pending").order_by(OutboxRow.id)).first()
    assert waits is not None
    assert "OpenLineage at 127.0.0.1 answered 503" in (waits.error or "")
    assert "SECRET" not in (waits.error or "")
    backend.status = 201
    with home.records.write() as session:
        session.execute(update(OutboxRow).values(not_before="2000"))
    assert deliver(home).confirmed == 2
    assert [event["eventType"] for event in backend.bodies] == ["START", "START", "COMPLETE"]


@pytest.mark.parametrize(("url", "why"), [("ftp://x", "mend the setting"), ("http://127.0.0.1:9/x", "did not answer")])
def test_an_address_that_cannot_be_posted_to_is_said(make_home: Callable[[str], Home], url: str, why: str) -> None:
    home, run, token = home_with(make_home, f'openlineage_url = "{url}"\n')
    tell(home, run, token, START)
    assert deliver(home).confirmed == 0
    with home.records.read() as session:
        assert why in (session.scalars(select(OutboxRow)).one().error or "")


def test_an_event_that_a_killed_worker_wrote_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "a" / "events.jsonl"
    first, second = {"eventType": "START"}, {"eventType": "COMPLETE"}
    assert openlineage_sinks.append(first, file, again=False)
    assert not openlineage_sinks.append(first, file, again=True)
    with file.open("ab") as handle:
        handle.write(b'{"eventType": "COMP')  # killed in the middle of a line
    assert openlineage_sinks.append(second, file, again=True)
    assert [json.loads(line) for line in file.read_text().splitlines()] == [first, second]


def test_a_half_line_longer_than_a_block_is_cut_off_too(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"a":1}\n' + b"x" * 200_000)
    openlineage_sinks.append({"b": 2}, file, again=True)
    assert file.read_text() == '{"a":1}\n{"b":2}\n'
    file.write_bytes(b"x" * 200_000)
    openlineage_sinks.append({"b": 2}, file, again=False)
    assert file.read_text() == '{"b":2}\n'


def test_nothing_is_queued_where_no_way_is_set(make_home: Callable[..., Home]) -> None:
    home, run, token = home_with(make_home, "")
    tell(home, run, token, START)
    with home.records.read() as session:
        assert session.scalars(select(OutboxRow)).all() == []


def test_an_attempt_that_was_tried_again_is_told_with_its_own_end_and_reason(make_home: Callable[[str], Home]) -> None:
    home, run, token = home_with(make_home, 'openlineage_file = "told.jsonl"\n')
    ended = "2026-11-28T12:00:00.000000+00:00"
    with home.records.write() as session:
        session.execute(update(AttemptRow).values(message="the node went away", state_at=ended, state="SYSTEM_ERROR"))
        tell_run(home, session, run, token, FAIL)
        runs.retry(session, session.get_one(WorkflowRunRow, run))
        row = session.get_one(WorkflowRunRow, run)
        row.failure, row.ended_at = "its second failure", "2026-11-28T15:00:00.000000+00:00"
    deliver(home)
    [line] = (home.path / "told.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert (event["eventTime"], event["run"]["facets"]["errorMessage"]["message"]) == (ended, "the node went away")


def test_a_backend_that_is_down_for_days_is_told_afterwards(
    make_home: Callable[[str], Home], backend: JsonHook
) -> None:
    home, run, token = home_with(make_home, f'openlineage_url = "{backend.url}"\n')
    backend.status = 503
    tell(home, run, token, START)
    with home.records.write() as session:
        session.execute(update(OutboxRow).values(tries=100))
    assert (deliver(home).waiting, len(backend.bodies)) == (1, 1)


def test_a_failure_is_told_with_its_reason(make_home: Callable[[str], Home]) -> None:
    home, run, token = home_with(make_home, 'openlineage_file = "told.jsonl"\n')
    with home.records.write() as session:
        session.execute(update(WorkflowRunRow).values(failure=None))
        session.execute(update(AttemptRow).values(message="the node went away"))
    tell(home, run, token, FAIL)
    deliver(home)
    [line] = (home.path / "told.jsonl").read_text().splitlines()
    facet = json.loads(line)["run"]["facets"]["errorMessage"]
    assert (facet["message"], facet["programmingLanguage"]) == ("the node went away", "WDL")

"""Benchling keeps the promises of a notebook, and of its own: limits, tasks, results that cannot be changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import parts as made
import pytest
from benchling_tenant import Hands, account, tenant
from contract import HEADING, Bench, NotebookContract
from fake_benchling import APP, FakeBenchling
from listening import listening

from labrelay.model.errors import MissingTool, RefusedInput
from labrelay.model.qc import Verdict
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import benchling_api
from labrelay.records.eln.benchling import open_notebook
from labrelay.records.eln.benchling_api import Pace, seconds_of
from labrelay.records.eln.port import Account, ChangedThere, Judgement, Notebook, ResultRow, ResultsPart, StatusPart

# Benchling's client hands cookies to each request, as httpx no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")


@pytest.fixture
def fake() -> Iterator[FakeBenchling]:
    fake = tenant()
    yield fake
    assert fake.broken == []


@pytest.fixture
def notebook(fake: FakeBenchling) -> Iterator[Notebook]:
    with listening(fake) as url:
        opened = open_notebook(account(url))
        yield opened
        opened.close()


class TestBenchling(NotebookContract):
    @pytest.fixture
    def bench(self, fake: FakeBenchling, notebook: Notebook, request: pytest.FixtureRequest) -> Bench:
        return Bench(notebook, Hands(fake), request.node.name)


def many(count: int) -> ResultsPart:
    """A study of so many samples with one number each."""
    rows = [
        ResultRow(
            sample=f"s{n:04d}",
            run=made.RUN,
            workflow="w 1.0",
            metric="mean_depth",
            label="Mean depth",
            value=n / 7,
            unit="x",
            verdict=Verdict.NONE,
        )
        for n in range(count)
    ]
    return ResultsPart(judgements=(), rows=tuple(rows))


def test_a_lost_answer_of_each_call_of_a_creation_makes_no_second_entry(
    fake: FakeBenchling, notebook: Notebook
) -> None:
    for lost in ("POST /custom-entities", "POST /entries", "PATCH /custom-entities"):
        fake.lose = lost
        with pytest.raises(Undeliverable) as fault:
            notebook.create("exp_1", HEADING)
        assert fault.value.retryable
    assert notebook.create("exp_1", HEADING.model_copy(update={"title": "renamed since"})).state == "open"
    assert (len(fake.entries), len(fake.entities)) == (1, 1)


@pytest.mark.parametrize("lost", ["PATCH /custom-entities", "POST /assay-results", "POST /assay-results:archive"])
def test_a_kill_in_the_writing_of_results_is_made_good_by_the_next(
    fake: FakeBenchling, notebook: Notebook, lost: str
) -> None:
    """Archive and make again are several calls: half of them must not look like a person's edit."""
    old, new, newer = made.results(1.5), made.results(2.5), made.results(3.5)
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, old, None)
    for wanted, before in ((new, old), (newer, new)):
        fake.lose = lost
        with pytest.raises(Undeliverable):
            notebook.write(entry, wanted, notebook.digest(before))
        assert fake.lose is None
        assert notebook.read(entry).parts["results"].digest == notebook.digest(before)
        notebook.write(entry, wanted, notebook.digest(before))
        assert notebook.read(entry).parts["results"].digest == notebook.digest(wanted)
        assert len(fake.live_results()) == len(wanted.rows) + len(wanted.judgements)


def test_results_go_to_and_fro_though_archived_ones_keep_their_ids(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    digest = None
    for depth in (1.0, 2.0, 1.0, 2.0, 1.0):
        notebook.write(entry, made.results(depth), digest)
        digest = notebook.read(entry).parts["results"].digest
        assert digest == notebook.digest(made.results(depth))
    assert len(fake.live_results()) == 4


def test_only_what_changed_is_archived_and_made(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, made.results(1.0), None)
    notebook.write(entry, made.results(2.0), notebook.digest(made.results(1.0)))
    assert len(fake.results) == 5


def test_many_results_are_made_by_tasks_that_are_waited_for(
    fake: FakeBenchling, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert benchling_api.MOST_RESULTS == 4000  # as the reference says
    monkeypatch.setattr(benchling_api, "MOST_RESULTS", 100)
    monkeypatch.setattr(benchling_api, "TASK_POLL", 0)
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, many(120), None)
    assert [call for call in fake.calls if "results" in call and "POST" in call] == [
        "POST /assay-results:bulk-create",
        "POST /assay-results:bulk-create",
    ]
    assert len(fake.live_results()) == 120
    assert len([call for call in fake.calls if "/tasks/" in call]) == 4


def test_a_task_that_fails_is_said_and_nothing_is_taken_for_written(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    fake.schemas["assaysch_Numbers"]["fieldDefinitions"].pop()
    with pytest.raises(Undeliverable, match="to make results"):
        notebook.write(entry, many(101), None)
    assert "results" not in notebook.read(entry).parts


def test_results_of_people_that_point_to_the_record_are_left_alone(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, made.results(1.0), None)
    record = Hands(fake).record(entry)
    theirs = {"record": {"value": record}, "sample": {"value": "alpha"}, "value": {"value": 99}}
    fake._make_results([{"id": "theirs", "schemaId": "assaysch_Numbers", "fields": theirs}])
    assert notebook.read(entry).parts["results"].digest == notebook.digest(made.results(1.0))
    notebook.write(entry, made.results(2.0), notebook.digest(made.results(1.0)))
    assert fake.results["theirs"]["archiveRecord"] is None


def test_files_that_people_put_into_the_record_stay(fake: FakeBenchling, notebook: Notebook, tmp_path: Path) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    theirs = fake.add_blob("gel.png", b"a picture")["id"]
    fake.set_fields(Hands(fake).record(entry), Files=[theirs])
    one, two = made.file(tmp_path / "1", b"one"), made.file(tmp_path / "2", b"two")
    notebook.write(entry, one, None)
    notebook.write(entry, two, one.sha256)
    there = fake.entities[Hands(fake).record(entry)]["fields"]["Files"]["value"]
    assert there[0] == theirs
    assert [fake.blobs[blob][1] for blob in there] == [b"a picture", b"two"]


def test_a_file_of_more_than_ten_megabytes_goes_in_parts(
    fake: FakeBenchling, notebook: Notebook, tmp_path: Path
) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    part = made.file(tmp_path, b"0123456789" * 1_100_000)
    notebook.write(entry, part, None)
    ((blob, content),) = fake.blobs.values()
    assert (blob["name"], blob["uploadStatus"], content) == (part.file_name, "COMPLETE", part.path.read_bytes())
    assert notebook.read(entry).parts[part.name].digest == part.sha256


def test_an_overridden_verdict_says_by_whom_and_why(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    judged = Judgement(
        sample="alpha",
        run=made.RUN,
        workflow="w 1.0",
        verdict=Verdict.PASS,
        computed=Verdict.FAIL,
        reason="a control\nwas swapped",
        by="ada",
    )
    part = ResultsPart(judgements=(judged,), rows=())
    notebook.write(entry, part, None)
    (row,) = fake.live_results()
    assert row["fields"]["verdict"]["value"] == "pass"
    assert row["fields"]["note"]["value"] == "fail by the thresholds; ada: a control was swapped"
    assert notebook.read(entry).parts["results"].digest == notebook.digest(part)


def test_a_journal_that_somebody_overwrote_loses_no_result(
    fake: FakeBenchling, notebook: Notebook, tmp_path: Path
) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    for part in (made.results(3.0), made.file(tmp_path)):
        notebook.write(entry, part, None)
    for before, wanted in ((3.0, 2.0), (2.0, 1.0)):
        notebook.write(entry, made.results(wanted), notebook.digest(made.results(before)))
    fake.set_fields(Hands(fake).record(entry), **{"Labrelay journal": "do not delete!"})
    parts = notebook.read(entry).parts
    assert parts["results"].digest == notebook.digest(made.results(1.0))
    # Their places in the journal are gone, the ids of archived results are not.
    notebook.write(entry, made.results(3.0), parts["results"].digest)
    notebook.write(entry, made.results(2.0), notebook.digest(made.results(3.0)))
    assert len(fake.live_results()) == 4


def test_status_and_links_without_lines_are_there_all_the_same(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    for part in (StatusPart(lines=()), ResultsPart(judgements=(), rows=())):
        notebook.write(entry, part, None)
        assert notebook.read(entry).parts[part.name].digest == notebook.digest(part)


def test_spelling_that_an_editor_changes_is_no_edit(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, made.status("running", "done"), None)
    record = Hands(fake).record(entry)
    text = fake.entities[record]["fields"]["Status"]["value"]
    assert text.count("\n") == 1
    fake.set_fields(record, Status=text.replace("\n", "  \r\n") + "\n")
    assert notebook.read(entry).parts["status"].digest == notebook.digest(made.status("running", "done"))


def test_the_limit_is_kept_before_benchling_has_to_refuse() -> None:
    now, slept = [0.0], list[float]()
    pace = Pace(3, 30.0, lambda: now[0], slept.append)
    for _ in range(3):
        pace.before()
    assert slept == []
    now[0] = 10.0
    pace.before()
    assert slept == [20.0]


def test_a_limit_that_is_used_up_by_others_is_waited_for(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    fake.limit = 1
    slept: list[float] = []

    def next_window(pause: float) -> None:
        slept.append(pause)
        fake.limit = None

    notebook._api._pace._sleep = next_window  # type: ignore[attr-defined]
    notebook.read(entry)
    assert slept
    assert all(6 < pause <= 7 for pause in slept)


@pytest.mark.parametrize(
    ("status", "retry", "hint"),
    [
        (429, True, "429"),
        (500, True, "500"),
        (503, True, "503"),
        (403, False, "give the app access"),
        (409, False, "as the test asked for"),
    ],
)
def test_each_refusal_says_whether_it_is_worth_another_try(
    fake: FakeBenchling, notebook: Notebook, status: int, retry: bool, hint: str
) -> None:
    fake.limit, fake.faults = 100, [status]
    with pytest.raises(Undeliverable, match=hint) as refused:
        notebook.find("exp_1")
    assert refused.value.retryable is retry
    assert refused.value.retry_after == (7 if retry else 0)
    fake.broken.clear()  # an operation's document does not name these answers


def test_an_answer_that_is_no_json_or_none_at_all_is_tried_again(fake: FakeBenchling, notebook: Notebook) -> None:
    fake.faults = ["html"]
    with pytest.raises(Undeliverable, match=r"made no sense|did not answer") as refused:
        notebook.find("exp_1")
    assert refused.value.retryable
    with pytest.raises(Undeliverable) as nobody:
        open_notebook(account("http://127.0.0.1:9")).find("exp_1")
    assert nobody.value.retryable


def test_wrong_credentials_are_one_problem_with_what_to_do(fake: FakeBenchling) -> None:
    with listening(fake) as url:
        notebook = open_notebook(account(url).model_copy(update={"token": "another"}))
        (problem,) = notebook.check()
        assert "client id and eln_token" in str(problem)
        assert "another" not in str(problem)
        with pytest.raises(Undeliverable) as refused:
            notebook.find("exp_1")
    assert not refused.value.retryable


def test_an_expired_token_is_renewed(fake: FakeBenchling, notebook: Notebook) -> None:
    fake.token_seconds = 1
    notebook.find("exp_1")
    notebook.find("exp_1")
    assert len(fake.tokens) >= 1


def test_check_names_each_schema_and_field_that_is_missing(fake: FakeBenchling) -> None:
    record = fake.schemas["ts_Record"]["fieldDefinitions"]
    record[:] = [field for field in record if field["name"] != "Links"]
    record[0]["type"] = "float"
    for field in record:
        field["isMulti"] = False
    fake.schemas["assaysch_Numbers"]["fieldDefinitions"].append(
        {"id": "tsf_9", "name": "operator", "type": "text", "isMulti": False, "isRequired": True, "archiveRecord": None}
    )
    del fake.schemas["ts_Sample"]
    with listening(fake) as url:
        said = [str(problem) for problem in open_notebook(account(url, folder="lib_Other")).check()]
    assert [line.rsplit(" [", 1)[1].rstrip("]") for line in said] == [
        "NOT_REACHED",
        "FIELD_TYPE",
        "FIELD_MISSING",
        "FIELD_TYPE",
        "FIELD_REQUIRED",
        "NOT_REACHED",
    ]
    for line, word in zip(said, ("lib_Other", "Labrelay ID", "Links", "Files", "operator", "ts_Sample"), strict=True):
        assert word in line


def test_wrong_options_are_all_named_before_anything_is_asked() -> None:
    with pytest.raises(RefusedInput) as refused:
        open_notebook(Account(url="https://x.test", token="t", options={"colour": "red", "sample_schema": "ts_1"}))
    for name in ("client_id", "folder", "record_schema", "result_schema", "colour", "experiment_schema"):
        assert name in str(refused.value)


def test_without_benchlings_client_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "labrelay.records.eln.benchling_api", raising=False)
    monkeypatch.setitem(sys.modules, "benchling_sdk.benchling", None)
    with pytest.raises(MissingTool, match=r"pip install 'labrelay\[benchling\]'"):
        open_notebook(account("https://x.test"))


def test_a_changed_sample_announces_its_experiment_again_whole(fake: FakeBenchling, notebook: Notebook) -> None:
    hands = Hands(fake)
    entry = hands.announce("", "study", {"a": "ACGT", "b": ""})
    fake.set_fields(entry, Project="P1")
    fake.tick(3600)
    other = hands.announce("", "other study", {"c": ""})
    first = notebook.announced_since(None)
    assert [a.external_id for a in first.announcements] == [entry, other]
    fake.tick(3600)
    hands.announce(entry, "study", {"a": "ACGA"})
    fake.add_entity("ts_Sample", "d", {"Experiment": entry, "Subject": "p-7", "Volume": 2.5})
    news = notebook.announced_since(first.cursor)
    known = {a.version for a in first.announcements}
    (heard,) = (a for a in news.announcements if a.version not in known)
    assert (heard.external_id, heard.project, heard.owner) == (entry, "P1", "Ada Lovelace")
    assert [s.name for s in heard.samples] == ["a", "b", "d"]
    assert (heard.samples[2].subject, heard.samples[2].attributes) == ("p-7", {"volume": "2.5"})
    assert {a.version for a in notebook.announced_since(news.cursor).announcements} == {heard.version}


def test_what_was_archived_is_no_longer_announced(fake: FakeBenchling, notebook: Notebook) -> None:
    hands = Hands(fake)
    entry = hands.announce("", "study", {"a": "", "b": ""})
    gone = hands.announce("", "gone", {"c": ""})
    sample = next(i for i, e in fake.entities.items() if e["name"] == "a")
    fake.archive(sample)
    fake.archive(gone)
    (heard,) = notebook.announced_since(None).announcements
    assert (heard.external_id, [s.name for s in heard.samples]) == (entry, ["b"])


def test_two_samples_of_one_name_hold_the_announcement_back(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = Hands(fake).announce("", "study", {"a": ""})
    fake.add_entity("ts_Sample", "a", {"Experiment": entry})
    (heard,) = notebook.announced_since(None).announcements
    assert [problem.code for problem in heard.problems] == ["DUPLICATE_SAMPLE"]


def test_many_changed_experiments_cost_no_call_each(fake: FakeBenchling, notebook: Notebook) -> None:
    for number in range(60):
        Hands(fake).announce("", f"study {number}", {"a": ""})
    cursor = notebook.announced_since(None).cursor
    fake.tick(3600)
    for entry in list(fake.entries):
        fake.set_fields(entry, Project="P2")
    before = len(fake.calls)
    assert len(notebook.announced_since(cursor).announcements) == 60
    assert len(fake.calls) - before <= 4


def test_a_race_of_two_records_is_settled_for_the_older(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    fake._make_entity({"name": "twin", "schemaId": "ts_Record", "fields": {"Labrelay ID": {"value": "exp_1"}}}, APP)
    assert notebook.create("exp_1", HEADING).external_id == entry


def test_an_archived_record_closes_its_entry_for_us(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    fake.archive(Hands(fake).record(entry), "Retired")
    page = notebook.read(entry)
    assert (page.entry.state, page.entry.why) == ("deleted", "its record was archived: Retired")


def test_a_person_who_is_faster_than_the_write_is_not_overwritten(fake: FakeBenchling, notebook: Notebook) -> None:
    entry = notebook.create("exp_1", HEADING).external_id
    notebook.write(entry, made.status("done"), None)
    with pytest.raises(ChangedThere):
        notebook.write(entry, made.status("failed"), None)


def test_how_long_benchling_wants_to_be_left_alone() -> None:
    assert seconds_of({"x-rate-limit-reset": "21"}) == 21
    assert seconds_of({"retry-after": "3", "x-rate-limit-reset": "21"}) == 3
    assert seconds_of({"x-rate-limit-reset": "soon"}) == 0
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    assert 290 < seconds_of({"retry-after": later, "x-rate-limit-reset": "21"}) <= 300
    assert benchling_api.CALLS / benchling_api.SECONDS == 10

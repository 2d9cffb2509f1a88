"""The main job through S3 and HealthOmics: the demo's run folder against an emulator that really executes.

The same steps, the same truth and the same records as on folders; events come as EventBridge would send them.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated import Emulated

from labrelay.records.schema import AttemptRow, CostRow, InboxRow, WorkflowRunRow
from labrelay.steps.announce import announce
from labrelay.steps.cloud import set_up
from labrelay.steps.collect import collect
from labrelay.steps.events import drain
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.process import Processed, process
from labrelay.steps.results import results_table
from labrelay.steps.run_details import details, log_lines
from labrelay.steps.settings import load_settings
from labrelay.steps.sweep import sweep

DEMO = Path(__file__).parents[1] / "demo"
RUN = next((DEMO / "run").iterdir())
ROLE = "arn:aws:iam::123456789012:role/labrelay-runs"
BUCKET = "labrelay-acceptance"
AGREED = {"SRR7517490": 269, "SRR7517498": 273}
UNAGREED = {"SRR7517490": {4887, 4963, 4979, 5008}, "SRR7517498": set()}
pytestmark = pytest.mark.slow


class Lab:
    """A home of the profile healthomics with a queue that hears of every run, after its one process."""

    def __init__(self, path: Path, emulator: Emulated) -> None:
        self.path, self.emulator = path, emulator
        self.queue = self.listen()
        init_home(path)
        (path / "labrelay.toml").open("a").write(f'event_queue_url = "{self.queue}"\nstart_run_rate = 100\n')
        set_up(path, load_settings(path), name="acceptance", bucket=BUCKET, role_arn=ROLE)
        shutil.copy(DEMO / "rules.toml", path / "rules.toml")
        self.home: Home = open_home(path)
        self.home.reads.add_reference(DEMO / "MH356245.1.reference.fasta", "MH356245.1")
        announce(self.home, DEMO / "samples.csv")
        self.first: Processed = process(self.home, RUN)

    def listen(self) -> str:
        """Make a queue that EventBridge feeds with the service's events; return its URL."""
        sqs, events = self.emulator.client("sqs"), self.emulator.client("events")
        url: str = sqs.create_queue(QueueName="omics-events")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name="omics", EventPattern=json.dumps({"source": ["aws.omics"]}))
        events.put_targets(Rule="omics", Targets=[{"Id": "queue", "Arn": arn}])
        return url

    def messages(self) -> list[str]:
        """Take everything off the queue, as it was sent."""
        sqs, bodies = self.emulator.client("sqs"), []
        while received := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            for message in received:
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def send(self, bodies: list[str]) -> None:
        """Put messages on the queue."""
        for body in bodies:
            self.emulator.client("sqs").send_message(QueueUrl=self.queue, MessageBody=body)


@pytest.fixture(scope="module")
def lab(own_emulator: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own_emulator.environment.items():
            patch.setenv(name, value)
        made = Lab(tmp_path_factory.mktemp("lab") / "home", own_emulator)
        yield made
        made.home.close()


def test_all_agreed_changes_are_found_and_no_others(lab: Lab) -> None:
    assert (lab.first.failed, lab.first.stored, lab.first.imported, lab.first.submitted) == ([], 8, 2, 2)
    rows = {row.sample: row for row in results_table(lab.home)}
    assert {name: row.variants for name, row in rows.items()} == AGREED
    for sample, unagreed in UNAGREED.items():
        folder = lab.path / "results" / rows[sample].result_path
        called = changes(folder / "variants.tsv", "position")
        agreed = changes(DEMO / "truth" / f"{sample}.snv.tsv", "pos")
        assert len(agreed) == AGREED[sample]
        assert agreed <= called
        assert {position for position, *_ in called - agreed} <= unagreed


def test_a_second_time_does_no_work_twice(lab: Lab) -> None:
    before = lab.emulator.counts()
    again = process(lab.home, RUN)
    assert (again.failed, again.stored, again.imported, again.submitted) == ([], 0, 0, 0)
    after = lab.emulator.counts()
    started = ("StartRun", "StartReadSetImportJob", "CreateWorkflow", "StartReferenceImportJob")
    assert {name: after.get(name, 0) - before.get(name, 0) for name in started} == dict.fromkeys(started, 0)


def test_what_it_cost_and_its_log_are_on_record(lab: Lab) -> None:
    with lab.home.records.read() as session:
        run_id = session.query(WorkflowRunRow.id).first()[0]
        costs = [(row.item, row.unit, row.currency) for row in session.query(CostRow).filter_by(run_id=run_id)]
    assert any(item.startswith("task align (omics.") for item, _unit, _currency in costs), costs
    found = details(lab.home, run_id)
    assert {task.name for task in found.attempts[0].tasks} == {"trim", "align", "call_variants", "summarise"}
    assert found.attempts[0].costs
    page = (lab.path / "results" / found.line.result_path / "report.html").read_text()
    assert "What it cost" in page
    assert any("kept by its engine" in line for line in log_lines(lab.home, run_id))


def test_the_reads_and_the_reference_lie_in_the_service(lab: Lab) -> None:
    omics, settings = lab.emulator.client("omics"), load_settings(lab.path)
    read_sets = omics.list_read_sets(sequenceStoreId=settings.sequence_store_id)["readSets"]
    assert sorted(each["status"] for each in read_sets) == ["ACTIVE", "ACTIVE"]
    assert len(omics.list_references(referenceStoreId=settings.reference_store_id)["references"]) == 1
    started = omics.list_runs()["items"]
    parameters = omics.get_run(id=started[0]["id"])["parameters"]
    assert "omics://" in json.dumps(parameters)


@pytest.mark.parametrize("seed", range(3))
def test_events_late_doubled_and_out_of_order_end_in_the_same_records(lab: Lab, seed: int) -> None:
    told = (
        [body for body in lab.messages() if json.loads(body)["detail-type"] == "Run Status Change"] if not seed else []
    )
    kept = lab.path / "told.json"
    if told:
        kept.write_text(json.dumps(told))
    told = json.loads(kept.read_text())
    assert {json.loads(body)["detail"]["status"] for body in told} >= {"RUNNING", "COMPLETED"}
    before = states(lab.home)
    rewind(lab.home)
    chosen = random.Random(seed)
    shuffled = [body for body in told * 3 if chosen.random() > 0.2]
    chosen.shuffle(shuffled)
    lab.send([*shuffled, "no event at all", json.dumps({"id": f"odd-{seed}", "source": "aws.omics"})])
    done = drain(lab.home)
    assert done.received == len(shuffled) + 2
    assert done.new <= len(told) + 2
    assert done.refused >= 1
    sweep(lab.home)
    assert states(lab.home) == before
    with lab.home.records.read() as session:
        assert session.query(InboxRow).filter(InboxRow.done_at.is_(None)).count() == 0
    assert collect(lab.home).recorded == []


def test_messages_that_break_a_parser_are_put_aside_and_stop_nothing(lab: Lab) -> None:
    lab.messages()
    early = {"id": "early-1", "source": "aws.omics", "detail-type": "Run Status Change"}
    detail = {"runId": "1", "uuid": "00000000-0000-4000-8000-000000000001", "status": "FAILED"}
    bodies = ["[" * 100_000, '{"id": "a", "x": ' + "[" * 100_000, json.dumps({"id": "x" * 9000}), '{"id": "\\ud800"}']
    lab.send([*bodies, json.dumps({**early, "time": "0001-01-01T00:00:00+23:59", "detail": detail})])
    done = drain(lab.home)
    assert (done.received, done.refused) == (5, 5)
    with lab.home.records.read() as session:
        assert session.query(InboxRow).filter(InboxRow.done_at.is_(None)).count() == 0


def states(home: Home) -> list[tuple[str, str, bool]]:
    with home.records.read() as session:
        rows = session.query(WorkflowRunRow).order_by(WorkflowRunRow.id)
        return [(row.id, row.state, row.recorded_at is not None) for row in rows]


def rewind(home: Home) -> None:
    """Put the runs back to the moment after they were started, as if nothing had been heard since."""
    with home.records.write() as session:
        for table in (AttemptRow, WorkflowRunRow):
            for row in session.query(table):
                row.state, row.state_at = "QUEUED", "2020-01-01T00:00:00+00:00"
        for run in session.query(WorkflowRunRow):
            run.recorded_at = None
        session.query(InboxRow).delete()


def changes(table: Path, position: str) -> set[tuple[int, str, str]]:
    with table.open() as lines:
        return {(int(r[position]), r["ref"], r["alt"]) for r in csv.DictReader(lines, delimiter="\t")}

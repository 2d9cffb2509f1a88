"""The main job on a laptop's home whose rule sends runs to AWS Batch: local reads go there, results come back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_queues import enabled_queue
from emulated import Emulated
from sqlalchemy import select

from labrelay.records.schema import AttemptRow, InboxRow
from labrelay.steps.announce import announce
from labrelay.steps.events import drain
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.process import process
from labrelay.steps.results import results_table
from labrelay.steps.run_details import details, log_lines
from labrelay.steps.sweep import sweep

DEMO = Path(__file__).parents[1] / "demo"
RUN = next((DEMO / "run").iterdir())
AGREED = {"SRR7517490": 269, "SRR7517498": 273}
SETTINGS = """
outputs_url = "s3://batch-acceptance/runs"
batch_queue = "acceptance"
batch_image = "labrelay:test"
batch_role_arn = "arn:aws:iam::123456789012:role/labrelay-jobs"
event_queue_url = "{queue}"
"""
pytestmark = pytest.mark.slow


def listen(emulator: Emulated) -> str:
    """Make a queue that EventBridge feeds with the events of Batch; return its URL."""
    sqs, events = emulator.client("sqs"), emulator.client("events")
    url: str = sqs.create_queue(QueueName="batch-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="batch", EventPattern=json.dumps({"source": ["aws.batch"]}))
    events.put_targets(Rule="batch", Targets=[{"Id": "queue", "Arn": arn}])
    return url


@pytest.fixture
def home(emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    emulator.client("s3").create_bucket(Bucket="batch-acceptance")
    enabled_queue(emulator.client("batch"), "acceptance")
    path = tmp_path / "home"
    init_home(path)
    with (path / "labrelay.toml").open("a") as settings:
        settings.write(SETTINGS.format(queue=listen(emulator)))
    rules = (DEMO / "rules.toml").read_text()
    (path / "rules.toml").write_text(rules.replace('scope = "sample"', 'scope = "sample"\non = "batch"'))
    opened = open_home(path)
    opened.reads.add_reference(DEMO / "MH356245.1.reference.fasta", "MH356245.1")
    announce(opened, DEMO / "samples.csv")
    yield opened
    opened.close()


def test_the_samples_of_a_run_are_one_array_job_and_events_alone_bring_their_results(
    emulator: Emulated, home: Home
) -> None:
    done = process(home, RUN, wait=False)
    assert (done.submitted, done.failed) == (2, [])
    with home.records.read() as session:
        jobs = sorted(str(each).partition("/")[0] for each in session.scalars(select(AttemptRow.external_id)))
    array = jobs[0].partition(":")[0]
    assert jobs == [f"{array}:0", f"{array}:1"]

    until, batch = time.monotonic() + 120, emulator.client("batch")
    while batch.describe_jobs(jobs=[array])["jobs"][0]["status"] not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < until
        time.sleep(0.5)
    recorded: list[str] = []
    while len(recorded) < 2:
        assert time.monotonic() < until
        drained = drain(home)
        recorded += drained.collected.recorded if drained.collected else []
        time.sleep(0.2)
    assert {row.sample: row.variants for row in results_table(home)} == AGREED
    with home.records.read() as session:
        told = session.scalars(select(InboxRow)).all()
    assert {row.source for row in told} == {"aws.batch"}
    assert not [row.error for row in told if row.error not in (None, "not the status of a run")]

    again = process(home, RUN)
    assert (again.stored, again.imported, again.submitted) == (0, 0, 0)
    assert sweep(home).problems == []
    (attempt,) = details(home, recorded[0]).attempts
    assert attempt.engine.startswith("miniwdl")
    assert "AWS Batch, container labrelay:test" in str(attempt.sandbox)
    assert list(log_lines(home, recorded[0]))

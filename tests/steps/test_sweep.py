"""What events missed is settled by one sweep; a lost run is unknown for a bounded time, then a failure."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import seed
from sqlalchemy import select, update

from labrelay.model.errors import Busy, EngineFailed, NotFound, RefusedInput, UsageError
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.instrument import InstrumentRun
from labrelay.model.problem import Problem
from labrelay.model.reads import ReadSource
from labrelay.model.runs import EngineStatus, RunReport, RunRequest
from labrelay.model.states import RunState
from labrelay.records import experiments, intake, lease, outbox, runs
from labrelay.records.schema import AttemptRow, InboxRow, OutboxRow, ReadSetRow, WorkflowRunRow
from labrelay.steps import collect, events
from labrelay.steps.assign import assign
from labrelay.steps.home import Home
from labrelay.steps.imports import import_reads
from labrelay.steps.overview import overview
from labrelay.steps.run_details import cancel
from labrelay.steps.start import BUSY_IN_A_ROW
from labrelay.steps.sweep import sweep, unknown_status

EXPERIMENT = Experiment(name="exp")
SAMPLE = Sample(experiment_id=EXPERIMENT.id, name="A")


class Engine:
    """An engine that knows what it is told to know."""

    kind = "local"

    def __init__(self) -> None:
        self.states: dict[str, RunState] = {}
        self.down = False
        self.busy = False
        self.refuses: set[str] = set()
        self.asked: list[str] = []

    def submit(self, request: RunRequest) -> str:
        self.asked.append("submit")
        if self.down:
            raise EngineFailed("the engine is down")
        if self.busy:
            raise Busy("it is asked too often just now")
        if request.run_id in self.refuses:
            raise RefusedInput("The inputs", [Problem(code="NO", message="They will never do.")])
        self.states.setdefault(request.token, RunState.QUEUED)
        return request.token

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        self.asked.append("poll")
        at = datetime.now(UTC)
        return {i: EngineStatus(state=self.states[i], at=at) for i in external_ids if i in self.states}

    def report(self, external_id: str) -> RunReport:
        if external_id not in self.states:
            raise NotFound(f"no attempt {external_id}")
        return RunReport(state=self.states[external_id], engine="test", failure="it failed")

    def cancel(self, external_id: str) -> None:
        if external_id not in self.states:
            raise NotFound(f"no attempt {external_id}")


class Queue:
    """An SQS client with these messages."""

    def __init__(self, bodies: list[str]) -> None:
        self.bodies = bodies

    def client(self, _service: str) -> Queue:
        return self

    def receive_message(self, **_asked: object) -> dict[str, list[dict[str, str]]]:
        given, self.bodies = self.bodies, []
        return {"Messages": [{"MessageId": str(n), "ReceiptHandle": "h", "Body": b} for n, b in enumerate(given)]}

    def delete_message_batch(self, **_asked: object) -> None:
        return None


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def home(make_home: Callable[[str], Home], engine: Engine) -> Home:
    made = make_home("unknown_minutes = 30\nretries = 1\n")
    made.engine = engine
    return made


def intended(home: Home, generation: int = 0) -> str:
    """Write one intended run and return its id; nothing is started."""
    intent = seed.intent_of(EXPERIMENT, SAMPLE, [], generation=generation)
    with home.records.write() as session:
        experiments.announce(session, EXPERIMENT, [SAMPLE], correct=False)
        runs.publish(session, intent.workflow, "x", {})
        runs.intend(session, intent)
    return intent.run_id


def run_row(home: Home, run_id: str) -> WorkflowRunRow:
    with home.records.read() as session:
        return session.get_one(WorkflowRunRow, run_id)


def age(home: Home, **span: float) -> None:
    earlier = (datetime.now(UTC) - timedelta(**span)).isoformat()
    with home.records.write() as session:
        session.execute(update(AttemptRow).values(state_at=earlier))


def test_a_home_with_nothing_to_settle_says_so(home: Home) -> None:
    assert sweep(home).sentence == "nothing to settle"


def test_a_run_that_a_killed_submit_left_is_started(home: Home, engine: Engine) -> None:
    intended(home)
    swept = sweep(home)
    assert (swept.started, len(engine.states)) == (1, 1)
    assert swept.sentence == "started 1"


def test_a_run_that_the_engine_refuses_has_failed_and_holds_up_no_other(home: Home, engine: Engine) -> None:
    refused, good = intended(home), intended(home, generation=1)
    engine.refuses = {refused}
    swept = sweep(home)
    assert (swept.started, swept.recorded) == (1, 1)
    assert len(swept.problems) == 1
    assert swept.problems[0].startswith(f"{refused}: ")
    row = run_row(home, refused)
    assert (row.state, row.recorded_at is not None) == ("EXECUTOR_ERROR", True)
    assert "They will never do" in (row.failure or "")
    assert run_row(home, good).state == "QUEUED"
    engine.asked.clear()
    assert sweep(home).problems == []
    assert "submit" not in engine.asked


def test_states_are_heard_before_anything_is_started_and_starts_have_their_time(
    home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    intended(home)
    sweep(home)
    for generation in (1, 2, 3):
        intended(home, generation=generation)
    engine.asked.clear()
    monkeypatch.setattr(collect, "STARTING_SECONDS", -1.0)
    sweep(home)
    assert engine.asked == ["poll"]
    monkeypatch.setattr(collect, "STARTING_SECONDS", 60.0)
    sweep(home)
    assert engine.asked == ["poll", "poll", "submit", "submit", "submit"]


def test_a_sweep_with_a_queue_asks_the_engine_once(home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    intended(home)
    sweep(home)
    (token,) = engine.states
    event = {"id": "e1", "source": "aws.omics", "detail-type": "Run Status Change", "time": "2026-11-24T10:00:00Z"}
    detail = {"runId": token, "uuid": token, "status": "RUNNING"}
    queue = Queue([json.dumps(event | {"detail": detail})])
    monkeypatch.setattr(events, "aws_of", lambda _settings: queue)
    told = home.settings.model_copy(update={"event_queue_url": "https://queue"})
    monkeypatch.setattr(home, "settings", told)
    engine.asked.clear()
    monkeypatch.setattr(events, "apply", lambda *_: True)
    assert sweep(home).events == 1
    assert engine.asked == ["poll"]


def test_an_end_that_no_event_told_is_recorded(home: Home, engine: Engine) -> None:
    run_id = intended(home)
    sweep(home)
    (token,) = engine.states
    engine.states[token] = RunState.EXECUTOR_ERROR
    assert sweep(home).recorded == 1
    assert run_row(home, run_id).state == "EXECUTOR_ERROR"
    assert run_row(home, run_id).recorded_at is not None


def test_a_run_that_its_engine_forgot_is_unknown_for_a_bounded_time_and_then_tried_again(
    home: Home, engine: Engine
) -> None:
    run_id = intended(home)
    sweep(home)
    engine.states.clear()
    assert (sweep(home).unknown, run_row(home, run_id).state) == (1, "UNKNOWN")
    age(home, minutes=29)
    assert sweep(home).given_up == 0
    assert run_row(home, run_id).state == "UNKNOWN"
    age(home, minutes=31)
    swept = sweep(home)
    assert (swept.given_up, swept.retried) == (1, 1)
    with home.records.read() as session:
        assert runs.last_attempt(session, run_id).number == 2


def test_what_the_platform_failed_is_written_down_before_it_is_tried_again(home: Home, engine: Engine) -> None:
    run_id = intended(home)
    sweep(home)
    (first,) = engine.states
    engine.states[first] = RunState.SYSTEM_ERROR
    assert sweep(home).retried == 1
    with home.records.read() as session:
        report = session.get_one(AttemptRow, first).report
        assert runs.last_attempt(session, run_id).number == 2
    assert report is not None
    assert report["failure"] == "it failed"


def test_a_run_that_the_engine_knows_again_is_no_longer_unknown(home: Home, engine: Engine) -> None:
    run_id = intended(home)
    sweep(home)
    known = dict(engine.states)
    engine.states.clear()
    sweep(home)
    engine.states.update(dict.fromkeys(known, RunState.RUNNING))
    assert sweep(home).unknown == 0
    assert run_row(home, run_id).state == "RUNNING"


def test_unknown_is_counted_from_the_first_time_and_ends() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    bound = timedelta(minutes=10)
    states = [unknown_status(since, since + timedelta(minutes=m), bound, "e").state for m in (0, 9, 10, 99)]
    assert states == [RunState.UNKNOWN, RunState.UNKNOWN, RunState.SYSTEM_ERROR, RunState.SYSTEM_ERROR]


def test_an_engine_that_is_down_is_said_and_the_rest_is_settled(home: Home, engine: Engine) -> None:
    intended(home)
    engine.down = True
    with home.records.write() as session:
        outbox.post(session, "notify", "x", "done", "x")
    outbox.claim(home.records)
    with home.records.write() as session:
        session.execute(update(OutboxRow).values(lease_until="2000-01-01"))
    swept = sweep(home)
    assert any(problem.endswith("the engine is down") for problem in swept.problems)
    assert (swept.started, swept.messages) == (0, 1)
    assert "1 could not be settled" in swept.sentence


def test_the_lease_of_a_dead_process_is_ended_and_a_live_one_stays(home: Home) -> None:
    pid = os.fork()
    if pid == 0:
        lease.acquire(home.records, "dead", seconds=600)
        os._exit(0)
    os.waitpid(pid, 0)
    live = lease.acquire(home.records, "live", seconds=600)
    assert sweep(home).leases == 1
    with home.records.write() as session:
        lease.confirm(session, live)
    assert lease.acquire(home.records, "dead").fence == 2


def test_an_import_that_was_killed_is_finished(home: Home) -> None:
    run = InstrumentRun(run_id="r", folder_name="r", platform="illumina")
    ref = home.objects.put_bytes("raw/A.fastq", b"@a\nA\n+\nI\n")
    with home.records.write() as session:
        experiments.announce(session, EXPERIMENT, [SAMPLE], correct=False)
        intake.see(session, run, "r")
        intake.add_files(session, [(ref, "reads", None)])
        dataset = intake.add_dataset(session, run.id, "A", "assigned", SAMPLE.id, "id")
        intake.link_files(session, dataset.id, [(ref.id, None, None)])
        source = ReadSource(sample_id=SAMPLE.id, name="A", file_type="FASTQ", files=(ref,))
        read_set = intake.add_read_set(session, dataset, source, "reads", None)
    assert sweep(home).imported == 0  # it may be somebody's work of this moment
    with home.records.write() as session:
        session.execute(update(ReadSetRow).values(created_at="2020-01-01"))
    assert sweep(home).imported == 1
    with home.records.read() as session:
        assert session.get_one(ReadSetRow, read_set).status == "ACTIVE"


def test_reads_that_were_given_away_and_back_are_finished_after_a_kill(home: Home) -> None:
    other = SAMPLE.model_copy(update={"name": "B"})
    run = InstrumentRun(run_id="r", folder_name="r", platform="illumina")
    ref = home.objects.put_bytes("raw/A.fastq", b"@a\nA\n+\nI\n")
    with home.records.write() as session:
        experiments.announce(session, EXPERIMENT, [SAMPLE, other], correct=False)
        intake.see(session, run, "r")
        intake.add_files(session, [(ref, "reads", None)])
        dataset = intake.add_dataset(session, run.id, "A", "assigned", SAMPLE.id, "id")
        intake.link_files(session, dataset.id, [(ref.id, None, None)])
    import_reads(home, run.id)
    assert statuses(home) == {SAMPLE.id: "ACTIVE"}
    assign(home, "A", "B", "A")
    import_reads(home, run.id)
    assert statuses(home) == {SAMPLE.id: "SUPERSEDED", other.id: "ACTIVE"}
    assign(home, "A", SAMPLE.id, "B")  # and here the command was killed
    with home.records.write() as session:
        session.execute(update(ReadSetRow).values(created_at="2020-01-01"))
    assert sweep(home).imported == 1
    assert statuses(home) == {SAMPLE.id: "ACTIVE", other.id: "SUPERSEDED"}


def statuses(home: Home) -> dict[str | None, str]:
    with home.records.read() as session:
        return {row.sample_id: row.status for row in session.scalars(select(ReadSetRow))}


def test_what_a_killed_store_left_is_removed_when_it_is_old(home: Home) -> None:
    home.objects.put_bytes("a", b"a")
    staging = Path(home.path / "objects" / ".staging")
    old, young = staging / f".tmp-{'0' * 16}", staging / f".tmp-{'1' * 16}"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3600,) * 2)
    assert sweep(home).temps == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_a_throttled_engine_is_not_asked_for_each_run_and_none_is_forgotten(home: Home, engine: Engine) -> None:
    asked = [intended(home, generation=generation) for generation in range(6)]
    engine.busy = True
    engine.asked.clear()
    outcome = collect.collect(home)
    assert engine.asked.count("submit") == BUSY_IN_A_ROW
    assert [run_id for run_id, _why in outcome.stuck] == asked
    assert all("too often" in why for _run_id, why in outcome.stuck)
    engine.busy = False
    assert sweep(home).started == 6


def test_why_a_run_could_not_be_started_is_told_until_it_is(home: Home, engine: Engine) -> None:
    run_id = intended(home)
    engine.down = True
    sweep(home)
    assert [(each.run, each.why) for each in overview(home).unstarted] == [(run_id, "the engine is down")]
    engine.down = False
    sweep(home)
    found = overview(home)
    assert (found.unstarted, [live.run for live in found.live]) == ((), [run_id])


def test_the_counts_of_a_status_say_what_its_lines_say(
    home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = [intended(home, generation=generation) for generation in range(3)]
    sweep(home)
    at_work, done, _waits = engine.states
    engine.states |= {at_work: RunState.RUNNING, done: RunState.COMPLETE}
    found = overview(home)
    assert found.states == {"QUEUED": 1, "RUNNING": 1, "COMPLETE": 1}
    assert Counter(live.state.value for live in found.live) == found.states
    assert (len(found.live), found.unrecorded, found.unasked) == (len(started), 1, None)

    monkeypatch.setattr("labrelay.steps.overview.SHOWN", 2)
    found = overview(home)
    assert (sum(found.states.values()), len(found.live)) == (3, 2)
    assert found.unasked == "1 more live run was not asked about, and counts as recorded"


def test_an_engine_that_is_late_takes_back_nothing_in_a_status(home: Home, engine: Engine) -> None:
    run_id = intended(home)
    sweep(home)
    (token,) = engine.states
    with home.records.write() as session:
        later = datetime.now(UTC) + timedelta(minutes=1)
        runs.apply_event(session, token, EngineStatus(state=RunState.CANCELING, at=later))
    found = overview(home)
    assert ([(live.run, live.state.value) for live in found.live], found.states) == (
        [(run_id, "CANCELING")],
        {"CANCELING": 1},
    )


def test_to_look_does_not_fail_with_the_engine(home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = intended(home)
    sweep(home)

    def poll(_external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        raise EngineFailed("the service failed")

    monkeypatch.setattr(engine, "poll", poll)
    found = overview(home)
    assert [(live.run, live.state) for live in found.live] == [(run_id, RunState.QUEUED)]
    assert found.unasked == "states are as they were recorded: the service failed"


def test_a_wait_outlives_a_service_that_fails_for_a_while_and_no_longer(
    home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, poll, failures = intended(home), engine.poll, 3
    sweep(home)
    (token,) = engine.states
    engine.states[token] = RunState.EXECUTOR_ERROR
    monkeypatch.setattr(collect.time, "sleep", lambda _seconds: None)

    def failing(external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise EngineFailed("the service failed")
        return poll(external_ids)

    monkeypatch.setattr(engine, "poll", failing)
    assert collect.wait_for(home, [run_id]).recorded == [run_id]
    failures, second = 10**9, intended(home, generation=1)
    sweep_started = collect.start_intended(home)
    assert sweep_started == 1
    monkeypatch.setattr(collect, "FIRST_PATIENCE_SECONDS", -1.0)
    with pytest.raises(EngineFailed, match="the service failed"):
        collect.wait_for(home, [second])


def test_what_a_wait_has_started_after_all_has_not_failed() -> None:
    failed = [("run_1", "throttled"), ("sample A", "no reference")]
    waited = collect.Collected(stuck=[("run_2", "the engine is down")])
    told = collect.seen_again(failed, ["run_1", "run_2"], waited)
    assert told == [("sample A", "no reference"), ("run_2", "the engine is down")]


def test_an_engine_that_is_gone_keeps_nothing_of_the_others_from_being_settled(home: Home, engine: Engine) -> None:
    away = intended(home)
    sweep(home)
    with home.records.write() as session:
        session.execute(update(AttemptRow).values(engine="batch", external_id="a-job/a-token"))
        session.execute(update(WorkflowRunRow).values(engine="batch"))
    mine = intended(home, generation=1)
    sweep(home)
    engine.states = dict.fromkeys(engine.states, RunState.EXECUTOR_ERROR)
    swept = sweep(home)
    assert swept.recorded == 1
    assert [problem for problem in swept.problems if "this home has no engine batch" in problem]
    assert run_row(home, mine).recorded_at is not None
    assert run_row(home, away).recorded_at is None
    assert overview(home).unasked is not None

    engine.states.clear()
    third = intended(home, generation=2)
    collect.start_intended(home)
    engine.states = dict.fromkeys(engine.states, RunState.EXECUTOR_ERROR)
    assert collect.wait_for(home, [third]).recorded == [third], "a wait minds the engines of its own runs"
    with pytest.raises(UsageError, match="no engine batch"):
        collect.wait_for(home, [away])


def test_an_event_that_breaks_whoever_reads_it_is_put_aside(
    home: Home, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = intended(home)
    sweep(home)
    engine.states = dict.fromkeys(engine.states, RunState.EXECUTOR_ERROR)
    queue = Queue([json.dumps({"id": "1", "source": "aws.batch"})])
    monkeypatch.setattr(events, "aws_of", lambda _settings: queue)
    monkeypatch.setattr(events, "open_envelope", lambda *_: 1 / 0)
    home.settings = home.settings.model_copy(update={"event_queue_url": "https://queue"})
    assert sweep(home).recorded == 1
    assert run_row(home, mine).recorded_at is not None
    with home.records.read() as session:
        (told,) = session.scalars(select(InboxRow.error))
    assert "ZeroDivisionError" in str(told)


def test_a_run_that_no_engine_has_yet_is_cancelled_at_once_and_never_started(home: Home, engine: Engine) -> None:
    run_id = intended(home)
    engine.down = True
    sweep(home)
    assert cancel(home, run_id).state is RunState.CANCELED
    engine.down = False
    assert sweep(home).started == 0
    assert engine.states == {}

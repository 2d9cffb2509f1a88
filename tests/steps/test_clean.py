"""Work folders go when their run was recorded long ago; nothing else of a home is ever touched."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import seed

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.runs import EngineStatus, attempt_token
from labrelay.model.states import RunState
from labrelay.records import experiments, runs
from labrelay.records.runs import Intent
from labrelay.records.schema import WorkflowRunRow
from labrelay.steps.clean import _remove_tree, clean, plan_clean
from labrelay.steps.home import Home

EXPERIMENT = Experiment(name="exp")


@pytest.fixture
def home(make_home: Callable[[str], Home]) -> Home:
    return make_home("keep_work_days = 14\n")


def put(path: Path, content: bytes = b"12345", days_old: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for each in (path, path.parent):
        os.utime(each, (time.time() - days_old * 86_400,) * 2)
    return path


def run(home: Home, name: str, state: RunState | None = RunState.COMPLETE, days: float | None = 15) -> Intent:
    """Write a run with its work and run folder: in this state (None: live), recorded that many days ago (None: not)."""
    sample = Sample(experiment_id=EXPERIMENT.id, name=name)
    intent = seed.intent_of(EXPERIMENT, sample, [])
    token = attempt_token(intent.key, 1)
    with home.records.write() as session:
        experiments.announce(session, EXPERIMENT, [sample], correct=False)
        runs.publish(session, intent.workflow, "x", {})
        runs.intend(session, intent)
        if state is not None:
            runs.apply_event(session, token, EngineStatus(state=state, at=datetime.now(UTC)))
        if days is not None:
            recorded = datetime.now(UTC) - timedelta(days=days)
            session.get_one(WorkflowRunRow, intent.run_id).recorded_at = recorded.isoformat(timespec="microseconds")
    put(home.path / "work" / intent.key[:40] / token / "out" / "a.bam")
    put(home.path / "runs" / token / "exit.json")
    return intent


def folders(home: Home, intent: Intent) -> set[Path]:
    return {home.path / "work" / intent.key[:40], home.path / "runs" / attempt_token(intent.key, 1)}


def test_the_folders_of_a_run_recorded_long_ago_go_and_free_their_bytes(home: Home) -> None:
    intent = run(home, "A")
    plan = plan_clean(home)
    assert {each.path for each in plan} == folders(home, intent)
    assert all(intent.run_id in each.reason and "14 days" in each.reason for each in plan)
    done = clean(home, plan)
    assert (done.removed, done.freed, done.problems) == (2, 10, [])
    assert not any(path.exists() for path in folders(home, intent))
    assert clean(home, plan).removed == 0


@pytest.mark.parametrize(
    ("state", "days"),
    [(None, None), (None, 15), (RunState.COMPLETE, None), (RunState.EXECUTOR_ERROR, None), (RunState.COMPLETE, 13)],
    ids=["live", "live, once recorded", "not recorded", "failed and not recorded", "recorded lately"],
)
def test_what_lives_is_not_recorded_or_is_young_stays(home: Home, state: RunState | None, days: float | None) -> None:
    run(home, "A", state, days)
    assert plan_clean(home) == []


def test_an_attempt_that_the_engine_still_has_stays(home: Home) -> None:
    intent = run(home, "A")
    put(home.path / "engine" / "queue" / attempt_token(intent.key, 1))
    assert plan_clean(home) == []


def test_a_run_taken_up_again_after_the_plan_keeps_its_folders(home: Home) -> None:
    intent = run(home, "A", RunState.EXECUTOR_ERROR)
    plan = plan_clean(home)
    with home.records.write() as session:
        runs.retry(session, session.get_one(WorkflowRunRow, intent.run_id))
    assert clean(home, plan).removed == 0
    assert all(path.exists() for path in folders(home, intent))


def test_objects_results_and_what_no_record_knows_are_never_planned(home: Home) -> None:
    home.objects.put_bytes("raw/a", b"a")
    home.results.put_bytes("exp/a", b"a")
    put(home.path / "work" / ("0" * 40) / "x", days_old=99)
    put(home.path / "runs" / f"{'0' * 40}-1" / "x", days_old=99)
    assert plan_clean(home) == []


def test_a_path_that_no_new_look_allows_is_not_removed(home: Home) -> None:
    intent = run(home, "A")
    plan = [each.model_copy(update={"path": home.path / "objects"}) for each in plan_clean(home)]
    home.objects.put_bytes("raw/a", b"a")
    assert clean(home, plan).removed == 0
    assert (home.path / "objects" / "raw" / "a").exists()
    assert all(path.exists() for path in folders(home, intent))


def test_a_link_is_not_followed(home: Home, tmp_path: Path) -> None:
    precious = put(tmp_path / "precious" / "data")
    intent = run(home, "A")
    (home.path / "work" / intent.key[:40] / "link").symlink_to(precious.parent)
    (home.path / "scratch").mkdir()
    (home.path / "scratch" / "link").symlink_to(precious.parent)
    clean(home, plan_clean(home))
    assert precious.exists()


def downloads(home: Home, intent: Intent) -> dict[str, Path]:
    """Put what the engine of HealthOmics brings from S3 for an attempt."""
    folder = home.path / "healthomics" / attempt_token(intent.key, 1)
    names = {"output": "out/bam/0/a.bam", "half": ".engine.log.0123456789abcdef.part", "log": "engine.log"}
    return {what: put(folder / name) for what, name in names.items()}


def test_what_was_brought_from_s3_goes_when_it_is_in_the_results_and_its_log_with_the_work(home: Home) -> None:
    lately, long_ago = run(home, "A", days=1), run(home, "B", days=15)
    young, old = downloads(home, lately), downloads(home, long_ago)
    plan = [each for each in plan_clean(home) if "healthomics" in each.path.parts]
    assert {each.path for each in plan} == {young["half"], young["output"].parents[2], old["log"].parent}
    assert clean(home, plan).problems == []
    assert {what for what, path in young.items() if path.exists()} == {"log"}
    assert not old["log"].parent.exists()


@pytest.mark.parametrize(
    ("state", "days"),
    [(None, None), (None, 15), (RunState.COMPLETE, None), (RunState.SYSTEM_ERROR, None), (RunState.COMPLETE, 0)],
    ids=["live", "live, once recorded", "not recorded", "to be tried again", "recorded this minute"],
)
def test_what_was_brought_for_a_run_that_may_need_it_stays(home: Home, state: RunState | None, days: float) -> None:
    brought = downloads(home, run(home, "A", state, days))
    put(home.path / "healthomics" / ("0" * 40 + "-1") / "out" / "x")  # of no run on record
    assert [each for each in plan_clean(home) if "healthomics" in each.path.parts] == []
    assert all(path.exists() for path in brought.values())


def test_old_scratch_goes_and_what_is_being_made_stays(home: Home) -> None:
    old, young = put(home.path / "scratch/old/a", days_old=2), put(home.path / "scratch/young/a")
    lock = put(home.path / "scratch/old.lock", days_old=2)  # may be held by who makes it
    (plan,) = plan_clean(home)
    assert plan.path == old.parent
    clean(home, [plan])
    assert (old.parent.exists(), young.exists(), lock.exists()) == (False, True, True)


def test_staged_bytes_of_a_dead_writer_go_and_those_of_a_living_one_stay(home: Home, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"1234567")
    living = home.objects.stage(tmp_path / "source", "raw/a")
    staging = home.path / "objects" / ".staging"
    dead = put(staging / f".tmp-{'0' * 16}")
    for path in staging.iterdir():
        os.utime(path, (time.time() - 7200,) * 2)
    done = clean(home, plan_clean(home))
    assert (done.removed, done.freed, dead.exists()) == (1, 5, False)
    assert living.commit().size == 7


def test_what_has_another_name_frees_nothing(home: Home, tmp_path: Path) -> None:
    intent = run(home, "A")
    (tmp_path / "kept").hardlink_to(next((home.path / "work" / intent.key[:40]).rglob("a.bam")))
    assert clean(home, plan_clean(home)).freed == 5


def test_folders_that_cannot_be_read_or_written_go_too() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        pid = os.fork()
        if pid == 0:  # a child, because root may do everything
            if os.getuid() == 0:
                os.setuid(65534)
            tree = Path(folder) / "tree"
            put(tree / "a" / "b" / "file")
            (tree / "a" / "b").chmod(0o500)
            (tree / "a").chmod(0o000)
            _remove_tree(tree)
            os._exit(7 if not tree.exists() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_an_interrupted_clean_is_finished_by_the_next(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    intent = run(home, "A")
    monkeypatch.setenv("LABRELAY_FAULT", "clean.renamed:1:raise")
    with pytest.raises(RuntimeError, match=r"clean\.renamed"):
        clean(home, plan_clean(home))
    monkeypatch.delenv("LABRELAY_FAULT")
    assert any(path.name.startswith(".gone-") for path in home.path.rglob("*"))
    clean(home, plan_clean(home))
    assert not any(path.exists() for path in folders(home, intent))
    assert list(home.path.rglob(".gone-*")) == []


def test_what_was_brought_from_aws_goes_after_a_while_and_not_under_a_run_that_lives(home: Home) -> None:
    old, new = home.path / "brought" / "old", home.path / "brought" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "reads.fastq.gz").write_bytes(b"x" * 100)
    long_ago = time.time() - 86_400 * (home.settings.keep_work_days + 1)
    os.utime(old, (long_ago, long_ago))
    assert [each.path for each in plan_clean(home) if "brought" in each.path.parts] == [old]


def test_what_an_interrupted_clean_left_of_what_was_brought_goes_with_the_next(home: Home) -> None:
    left = home.path / "brought" / ".gone-0123"
    put(left / "reads.fastq.gz")
    assert [each.path for each in plan_clean(home)] == [left]

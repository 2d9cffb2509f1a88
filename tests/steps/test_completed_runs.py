"""A run of which files were missing when it was stored is taken again whole."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from changing_lab import Engine
from small_workflow import add_small_workflow
from sqlalchemy import select
from tiny_run import BASECALLS, TinyLab, make_run

from labrelay.model.errors import Busy, Conflict, RefusedInput
from labrelay.model.runs import EngineStatus
from labrelay.model.states import RunState
from labrelay.parsers.registry import read_run
from labrelay.records import lease, runs
from labrelay.records.database import Database, now
from labrelay.records.schema import (
    AuditRow,
    DatasetRow,
    FileRow,
    InstrumentRunRow,
    OutboxRow,
    ReadSetRow,
    WorkflowRunRow,
)
from labrelay.steps.announce import announce
from labrelay.steps.assign import assign
from labrelay.steps.collect import Collected
from labrelay.steps.deliver import Delivered
from labrelay.steps.home import Home
from labrelay.steps.ingest import ingest
from labrelay.steps.outgrown import told
from labrelay.steps.overview import overview
from labrelay.steps.process import Processed, mark_outgrown, process
from labrelay.steps.readiness import FolderState
from labrelay.steps.reprocess import plan, today_of
from labrelay.steps.submit import Submitted
from labrelay.steps.watch import _is_refused, _known

BETA = [f"{BASECALLS}/beta_S2_L001_R{mate}_001.fastq.gz" for mate in (1, 2)]

INGEST = """
import sys
from pathlib import Path
from labrelay.model.runs import EngineStatus
from labrelay.model.states import RunState
from labrelay.parsers.registry import read_run
from labrelay.steps.home import open_home
from labrelay.steps.ingest import ingest
folder = Path(sys.argv[2])
ingest(open_home(Path(sys.argv[1])), read_run(folder), folder)
"""


@pytest.fixture
def lab(tmp_path: Path) -> TinyLab:
    return TinyLab(tmp_path)


@pytest.fixture
def home(lab: TinyLab) -> Iterator[Home]:
    with lab.announced() as opened:
        yield opened


def take(lab: TinyLab, home: Home) -> Processed:
    return process(home, lab.run, wait=False)


def partial(lab: TinyLab, home: Home, *missing: str) -> None:
    """Process the run without some files, and bring them then."""
    kept = {path: (lab.run / path).read_bytes() for path in missing}
    for path in missing:
        (lab.run / path).unlink()
    take(lab, home)
    for path, content in kept.items():
        (lab.run / path).write_bytes(content)


def stored(home: Home) -> InstrumentRunRow:
    with home.records.read() as session:
        return session.scalars(select(InstrumentRunRow)).one()


def test_a_sample_whose_files_came_later_gets_its_workflow_run_and_no_file_is_stored_twice(
    lab: TinyLab, home: Home
) -> None:
    partial(lab, home, *BETA)
    first = stored(home)
    done = take(lab, home)
    assert (done.stored, done.imported, done.submitted) == (2, 1, 1)
    again = take(lab, home)
    assert (again.stored, again.imported, again.submitted) == (0, 0, 0)
    with home.records.read() as session:
        keys = list(session.scalars(select(FileRow.key).where(FileRow.key.startswith("raw/"))))
        told = session.scalars(select(AuditRow).where(AuditRow.action == "instrument_run.completed")).one()
    assert len(keys) == len(set(keys)) == 7
    assert told.detail["first"] == BETA
    assert stored(home).stored_at == first.stored_at


def test_a_mate_that_came_later_makes_its_single_reads_a_pair(lab: TinyLab, home: Home) -> None:
    partial(lab, home, BETA[1])
    done = take(lab, home)
    assert (done.stored, done.imported) == (1, 1)
    with home.records.read() as session:
        rows = session.scalars(select(ReadSetRow)).all()
    assert sorted((row.status, len(row.source["files"])) for row in rows) == [
        ("ACTIVE", 2),
        ("ACTIVE", 2),
        ("SUPERSEDED", 1),
    ]


def test_a_copy_made_anew_is_compared_by_its_bytes(lab: TinyLab, home: Home) -> None:
    again = shutil.copytree(lab.run, lab.root / "again" / lab.run.name)
    for path in BETA:
        (lab.run / path).unlink()
    take(lab, home)
    for path in again.rglob("*.*"):
        path.touch()
    assert process(home, again, wait=False).stored == 2


def test_a_changed_file_beside_the_new_ones_is_named_and_nothing_of_it_is_taken(lab: TinyLab, home: Home) -> None:
    partial(lab, home, *BETA)
    sheet = lab.run / "RTAComplete.txt"
    sheet.write_text(sheet.read_text().replace("12:00", "12:01"))
    before = stored(home)
    with pytest.raises(Conflict, match=r"RTAComplete\.txt has other bytes than were stored; .*put back"):
        take(lab, home)
    after = stored(home)
    assert (after.state, after.manifest_key) == ("stored", before.manifest_key)


def test_a_damaged_file_that_came_later_is_refused_and_the_stored_run_stays_stored(lab: TinyLab, home: Home) -> None:
    partial(lab, home, *BETA)
    good = (lab.run / BETA[1]).read_bytes()
    (lab.run / BETA[1]).write_bytes(good[:-20])
    with pytest.raises(RefusedInput):
        take(lab, home)
    assert stored(home).state == "stored"
    (lab.run / BETA[1]).write_bytes(good)
    assert take(lab, home).submitted == 1


# (point, files that are still to be stored afterwards)
KILLS = [
    ("store.staged", 2),
    ("store.durable", 2),
    ("ingest.group_stored", 2),
    ("ingest.group_recorded", 0),
    ("ingest.manifest_written", 0),
    ("ingest.recorded", 0),
]


@pytest.mark.parametrize(("point", "left"), KILLS)
def test_a_completion_that_is_killed_goes_on(lab: TinyLab, home: Home, point: str, left: int) -> None:
    partial(lab, home, *BETA)
    command = [sys.executable, "-c", INGEST, str(home.path), str(lab.run)]
    child = subprocess.run(command, env={**os.environ, "LABRELAY_FAULT": f"{point}:1:kill"})
    assert child.returncode == -signal.SIGKILL
    done = take(lab, home)
    assert (done.stored, done.submitted) == (left, 1)
    with home.records.read() as session:
        keys = list(session.scalars(select(FileRow.key).where(FileRow.key.startswith("raw/"))))
        told = list(session.scalars(select(AuditRow).where(AuditRow.action == "instrument_run.completed")))
    assert len(keys) == len(set(keys)) == 7
    assert len(told) == 1


def test_a_scan_takes_what_was_added_and_refuses_what_was_changed(lab: TinyLab, home: Home) -> None:
    partial(lab, home, *BETA)
    run = read_run(lab.run)
    seen = _known(home, run, lab.run, lab.run)
    assert seen is not None
    assert (seen.state, seen.reason) == (FolderState.READY, "stored; 2 files more came since")
    (lab.run / "RTAComplete.txt").write_text("other\n")
    seen = _known(home, read_run(lab.run), lab.run, lab.run)
    assert seen is not None
    assert seen.state is FolderState.REFUSED
    assert "RTAComplete.txt has other bytes" in seen.reason


def test_an_older_look_at_a_folder_takes_nothing_back_from_a_run_that_gained_more_meanwhile(
    lab: TinyLab, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial(lab, home, *BETA)
    paths = [lab.run / path for path in BETA]
    contents = [path.read_bytes() for path in paths]
    paths[1].unlink()
    older = read_run(lab.run)
    paths[1].write_bytes(contents[1])
    held = lease.held
    taken: list[str] = []

    def after_another(db: Database, name: str) -> AbstractContextManager[lease.Lease]:
        if not taken:
            taken.append(name)
            ingest(home, read_run(lab.run), lab.run)
        return held(db, name)

    monkeypatch.setattr(lease, "held", after_another)
    with pytest.raises(Busy, match="another process has stored more of it meanwhile"):
        ingest(home, older, lab.run)
    monkeypatch.undo()
    assert ingest(home, read_run(lab.run), lab.run).stored == 0


FIRSTS = """n=0; for file in ~{sep(" ", r1)}; do n=$((n + $(gzip -dc "$file" | wc -l) / 4)); done
printf '{"reads": %s}\\n' "$n" > counts.json"""


@pytest.fixture
def idle(lab: TinyLab, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose workflow takes single reads, too, and whose engine runs nothing."""
    add_small_workflow(lab.home, "count_firsts", "illumina", {"r1": "reads.r1"}, FIRSTS, ["reads"])
    with monkeypatch.context() as patched:
        patched.setattr(home, "engine", Engine())
        yield home


def end(home: Home, state: RunState = RunState.COMPLETE) -> None:
    """Let all runs have ended and, where they did not fail, be recorded."""
    with home.records.write() as session:
        for attempt in runs.live(session):
            runs.apply_event(session, attempt.token, EngineStatus(state=state, at=datetime.now(UTC)))
            if state is RunState.COMPLETE:
                session.get_one(WorkflowRunRow, attempt.run_id).recorded_at = now()


def row_of(home: Home, run_id: str) -> WorkflowRunRow:
    with home.records.read() as session:
        return session.get_one(WorkflowRunRow, run_id)


@pytest.mark.parametrize("ended", [True, False])
def test_a_result_of_one_mate_is_marked_told_and_replaced_when_the_other_came(
    lab: TinyLab, idle: Home, ended: bool
) -> None:
    partial(lab, idle, BETA[1])
    if ended:
        end(idle)
    done = take(lab, idle)
    [(old, item)] = done.outgrown.items()
    assert (item.samples, item.reason) == (("beta",), "1 more file of reads came in")
    assert item.instead_id in done.runs
    assert row_of(idle, old).stale == "1 more file of reads came in"
    assert f"({old}) was made before all files had come" in told(item)
    assert f"{item.instead_id} is made of all: once it has ended, labrelay reprocess puts it in its place" in told(item)
    assert [each.run_id for each in plan(idle).items] == ([old] if ended else [])
    end(idle)
    assert take(lab, idle).outgrown == {}
    assert row_of(idle, old).replaced_by == item.instead_id


def test_a_result_that_nobody_asks_for_any_more_is_told_with_how_to_make_it_again(lab: TinyLab, idle: Home) -> None:
    partial(lab, idle, BETA[1])
    end(idle)
    rules = idle.path / "rules.toml"
    rules.write_text(rules.read_text().replace('platform = "illumina"', 'platform = "ont"'))
    [(old, item)] = take(lab, idle).outgrown.items()
    assert told(item).endswith("came in): make it again, labrelay submit count_firsts --sample beta")
    assert [each.run_id for each in plan(idle).items] == [old]


def test_a_result_of_less_whose_replacement_could_not_be_submitted_is_told_with_how_to_make_it_again(
    lab: TinyLab, idle: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial(lab, idle, BETA[1])
    end(idle)
    monkeypatch.setattr("labrelay.steps.process.submit_planned", lambda _home, _planned: Submitted())
    items = take(lab, idle).outgrown.values()
    assert [(item.standing, told(item).rpartition(": ")[2]) for item in items] == [
        ("to run", "labrelay reprocess makes it again")
    ]


def test_what_replaced_a_result_while_it_was_waited_for_is_told(lab: TinyLab, idle: Home) -> None:
    partial(lab, idle, BETA[1])
    end(idle)
    done = take(lab, idle)
    end(idle)
    mark_outgrown(idle, done)
    [item] = done.outgrown.values()
    assert told(item).endswith(f"{item.instead_id}, made of all, counts in its place")


def test_a_run_that_failed_while_it_was_waited_for_is_not_said_to_be_replaced_by_one_that_failed_too(
    lab: TinyLab, idle: Home
) -> None:
    partial(lab, idle, BETA[1])
    done = take(lab, idle)
    assert len(done.outgrown) == 1
    end(idle, RunState.EXECUTOR_ERROR)
    mark_outgrown(idle, done)
    assert done.outgrown == {}


def test_for_some_runs_only_the_files_that_went_into_them_are_looked_up(lab: TinyLab, idle: Home) -> None:
    first = take(lab, idle).runs[0]
    with idle.records.read() as session:
        every, mine = today_of(idle, session).owners, today_of(idle, session, {first}).owners
        inputs = session.get_one(WorkflowRunRow, first).inputs
    assert (len(every), len(mine)) == (4, 2)
    assert set(mine) >= {tuple(each["identity"]) for each in inputs}


def test_a_result_of_which_files_were_given_to_another_sample_is_not_said_to_lack_files(
    lab: TinyLab, idle: Home
) -> None:
    rules = idle.path / "rules.toml"
    rules.write_text(rules.read_text().replace("[rule.when]", 'merge = "topups"\n[rule.when]'))
    take(lab, idle)
    topped_up = make_run(lab.root / "more", {"alpha": 20}, "231109_M04586_0008_000000000-TINY8")
    done = process(idle, topped_up, wait=False)
    assert len(done.runs) == 1
    with idle.records.read() as session:
        dataset = session.scalars(
            select(DatasetRow).where(DatasetRow.instrument_run_id == done.instrument_run_id)
        ).one()
    assign(idle, dataset.id, "beta", "alpha")
    assert take(lab, idle).outgrown == {}
    assert "its reads belong to beta now" in (row_of(idle, done.runs[0]).stale or "")


@pytest.mark.parametrize("planned", [False, True])
def test_results_count_again_when_reads_were_given_to_another_sample_and_back(
    lab: TinyLab, idle: Home, planned: bool
) -> None:
    first = take(lab, idle).runs
    end(idle)
    with idle.records.read() as session:
        dataset = session.scalars(select(DatasetRow.id).where(DatasetRow.label == "alpha")).one()
    assign(idle, dataset, "beta", "alpha")
    [mixture] = take(lab, idle).runs
    stale = {run: row_of(idle, run).stale or "" for run in first}
    assert sorted(stale.values()) == ["2 more files of reads came in", "its reads belong to beta now"]
    end(idle)
    if planned:
        plan(idle)
        assert {row_of(idle, run).replaced_by for run in first} == {mixture}
    assign(idle, dataset, "alpha", "beta")
    done = take(lab, idle)
    assert (done.submitted, done.outgrown) == (0, {}), "nothing is lacking, so there is nothing to make again"
    assert {(row_of(idle, run).stale, row_of(idle, run).replaced_by) for run in first} == {(None, None)}
    assert "its reads belong to alpha now" in (row_of(idle, mixture).stale or "")
    assert row_of(idle, mixture).replaced_by in first
    with idle.records.read() as session:
        told = session.scalars(select(OutboxRow.dedup_key).where(OutboxRow.channel == "eln")).all()
    assert any(key.startswith("eln:counts:exp_") for key in told), "so that its pages are written anew"
    assert plan(idle).items == []


def test_a_result_of_reads_that_were_given_away_gives_way_once_the_other_samples_result_is_there(
    lab: TinyLab, idle: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.table.write_text("sample,experiment\ngamma,another-study\n")
    announce(idle, lab.table)
    first = take(lab, idle).runs
    end(idle)
    with idle.records.read() as session:
        dataset = session.scalars(select(DatasetRow.id).where(DatasetRow.label == "alpha")).one()
    assign(idle, dataset, "gamma", "alpha")
    monkeypatch.setattr("labrelay.steps.process.wait_for", lambda _home, _runs: end(idle) or Collected())
    monkeypatch.setattr("labrelay.steps.process.deliver", lambda _home: Delivered())
    done = process(idle, lab.run)
    (new,) = set(done.runs) - set(first)
    assert {row_of(idle, run).replaced_by for run in first} == {None, new}


def test_what_was_not_submitted_is_on_record_until_it_is_and_is_no_refusal_of_the_folder(
    lab: TinyLab, idle: Home
) -> None:
    rules = idle.path / "rules.toml"
    good = rules.read_text()
    rules.write_text(good + "\n[rule.parameters]\npauze = 3\n")
    assert {subject for subject, _why in take(lab, idle).failed} == {"alpha", "beta"}
    whys = [each.why for each in overview(idle).unsubmitted]
    assert whys, "it is told to those who did not see the process"
    assert all("pauze" in why for why in whys)
    assert not _is_refused(idle, lab.run.resolve()), "so that a scan tries it again"
    rules.write_text(good)
    assert take(lab, idle).submitted == 2
    assert overview(idle).unsubmitted == ()
    assert stored(idle).reason is None

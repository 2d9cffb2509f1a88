"""A half-written folder is never taken, a finished one once, and one broken folder stops no other."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from labrelay.model.errors import Busy, MissingTool, RefusedInput
from labrelay.model.instrument import InstrumentRun
from labrelay.model.problem import Problem
from labrelay.parsers.registry import read_run
from labrelay.records import intake
from labrelay.records.schema import InstrumentRunRow, ObservationRow
from labrelay.steps import process as processing
from labrelay.steps.home import Home
from labrelay.steps.ingest import fingerprint
from labrelay.steps.process import Processed
from labrelay.steps.readiness import FolderState
from labrelay.steps.watch import Seen, scan, watch

BASECALLS = "Data/Intensities/BaseCalls"
RUN_INFO = """<?xml version="1.0"?>
<RunInfo Version="2"><Run Id="{run_id}" Number="992"><Flowcell>000000000-L7342</Flowcell>
<Instrument>{serial}</Instrument><Date>231108</Date><Reads>
<Read Number="1" NumCycles="151" IsIndexedRead="N" /><Read Number="2" NumCycles="8" IsIndexedRead="Y" />
<Read Number="3" NumCycles="151" IsIndexedRead="N" /></Reads>
<FlowcellLayout LaneCount="1" SurfaceCount="2" SwathCount="1" TileCount="14" /></Run></RunInfo>
"""
ALL = tuple(f"{name}_S{n}_L001_R{mate}_001.fastq.gz" for n, name in ((1, "A"), (2, "B")) for mate in (1, 2))


def run_folder(
    landing: Path,
    name: str = "fc-1",
    fastqs: Iterable[str] = ALL,
    markers: Iterable[str] = ("RTAComplete.txt",),
    serial: str = "M04586",
) -> Path:
    """Make the folder of a run of two samples, A and B; the run's id is the folder's name."""
    folder = landing / name
    (folder / BASECALLS).mkdir(parents=True)
    (folder / "RunInfo.xml").write_text(RUN_INFO.format(run_id=name, serial=serial))
    (folder / "SampleSheet.csv").write_text("[Data]\nSample_ID,index\nA,ACGT\nB,TTTT\n")
    for path in (*markers, *(f"{BASECALLS}/{fastq}" for fastq in fastqs)):
        (folder / path).write_bytes(b"x")
    return folder


def delivery(landing: Path, listed: Iterable[str], there: Iterable[str], name: str = "order-7") -> Path:
    """Make a provider's delivery with a list of MD5 sums and some of the files that it lists."""
    folder = landing / name
    folder.mkdir(parents=True)
    md5 = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    (folder / "md5.txt").write_text("".join(f"{md5}  {file}\n" for file in listed))
    for file in there:
        (folder / file).write_bytes(b"x")
    return folder


@pytest.fixture
def home(make_home: Callable[[str], Home], landing: Path) -> Home:
    return make_home(f'landing = ["{landing}"]\nquiet_minutes = 5\n')


def later(home: Home, minutes: float = 6) -> None:
    """Let time pass since the looks that are stored."""
    earlier = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="microseconds")
    with home.records.write() as session:
        session.execute(update(ObservationRow).values(first_at=earlier))


def after_rest(home: Home) -> dict[str, Seen]:
    """Return the second of two scans that are six minutes apart, by the folder's name."""
    scan(home)
    later(home)
    return {seen.folder.name: seen for seen in scan(home)}


def only(home: Home) -> Seen:
    (seen,) = after_rest(home).values()
    return seen


def test_a_complete_folder_is_ready_only_after_two_equal_looks_apart_in_time(home: Home, landing: Path) -> None:
    run_folder(landing)
    (first,) = scan(home)
    assert first.state is FolderState.WAITING
    assert "first time" in first.reason
    (second,) = scan(home)
    assert second.state is FolderState.WAITING
    assert "5 min" in second.reason
    later(home)
    (third,) = scan(home)
    assert (third.state, third.run_id) == (FolderState.READY, "fc-1")


def test_a_folder_that_grows_starts_its_rest_anew(home: Home, landing: Path) -> None:
    folder = run_folder(landing)
    scan(home)
    later(home)
    with (folder / BASECALLS / ALL[0]).open("ab") as file:
        file.write(b"more")
    (seen,) = scan(home)
    assert seen.state is FolderState.WAITING
    assert only(home).state is FolderState.READY


def test_a_file_rewritten_with_the_same_size_starts_the_rest_anew(home: Home, landing: Path) -> None:
    folder = run_folder(landing)
    scan(home)
    later(home)
    (folder / BASECALLS / ALL[0]).write_bytes(b"y")
    (seen,) = scan(home)
    assert seen.state is FolderState.WAITING


def test_the_two_looks_may_be_of_two_processes(home: Home, landing: Path, make_home: Callable[[], Home]) -> None:
    run_folder(landing)
    scan(home)
    later(home)
    (seen,) = scan(make_home())
    assert seen.state is FolderState.READY


def test_a_clock_set_back_is_no_rest(home: Home, landing: Path) -> None:
    run_folder(landing)
    scan(home)
    later(home, minutes=-60)
    (seen,) = scan(home)
    assert seen.state is FolderState.WAITING
    assert "first time" in seen.reason


def test_without_a_marker_it_waits_and_says_which(home: Home, landing: Path) -> None:
    run_folder(landing, markers=())
    seen = only(home)
    assert seen.state is FolderState.WAITING
    assert "RTAComplete.txt" in seen.reason


def test_an_instrument_that_marks_the_copy_is_waited_for(home: Home, landing: Path) -> None:
    run_folder(landing, serial="A01234")  # a NovaSeq 6000
    seen = only(home)
    assert seen.state is FolderState.WAITING
    assert "CopyComplete.txt" in seen.reason


@pytest.mark.parametrize(
    ("fastqs", "missing"),
    [
        ((), "no file of reads"),
        (ALL[:2], "B"),
        (ALL[:3], "second read"),
    ],
    ids=["a marker without any reads", "a sample of the sheet without files", "a first read without its mate"],
)
def test_the_marker_first_then_the_data_is_not_complete(
    home: Home, landing: Path, fastqs: tuple[str, ...], missing: str
) -> None:
    folder = run_folder(landing, fastqs=fastqs)
    seen = only(home)
    assert seen.state is FolderState.WAITING
    assert missing in seen.reason
    for fastq in set(ALL) - set(fastqs):
        (folder / BASECALLS / fastq).write_bytes(b"x")
    assert only(home).state is FolderState.READY


@pytest.mark.parametrize(("reads", "state"), [(0, FolderState.READY), (7, FolderState.WAITING)])
def test_a_sample_that_the_converter_counted_empty_is_not_waited_for(
    home: Home, landing: Path, reads: int, state: FolderState
) -> None:
    folder = run_folder(landing, fastqs=ALL[:2])
    (folder / "Reports").mkdir()
    report = f"Lane,SampleID,Index,# Reads\n1,A,ACGT,9\n1,B,TTTT,{reads}\n"
    (folder / "Reports" / "Demultiplex_Stats.csv").write_text(report)
    assert only(home).state is state


def test_a_lane_of_the_sheet_without_files_is_waited_for(home: Home, landing: Path) -> None:
    folder = run_folder(landing)
    (folder / "SampleSheet.csv").write_text("[Data]\nLane,Sample_ID,index\n1,A,ACGT\n2,A,ACGT\n1,B,TTTT\n")
    seen = only(home)
    assert seen.state is FolderState.WAITING
    assert "A lane 2" in seen.reason


def test_a_delivery_is_ready_when_all_listed_files_are_there(home: Home, landing: Path) -> None:
    listed = ("S1_R1.fastq.gz", "S1_R2.fastq.gz")
    folder = delivery(landing, listed, listed[:1])
    assert only(home).state is FolderState.WAITING
    (folder / listed[1]).write_bytes(b"x")
    assert only(home).state is FolderState.READY


def test_reads_without_anything_that_says_they_are_all_wait_for_a_person(home: Home, landing: Path) -> None:
    (landing / "loose").mkdir()
    (landing / "loose" / "S1_R1.fastq.gz").write_bytes(b"x")
    seen = only(home)
    assert seen.state is FolderState.WAITING
    assert "labrelay process" in seen.reason


def test_a_folder_with_an_error_is_refused_with_its_problem(home: Home, landing: Path) -> None:
    folder = run_folder(landing)
    (folder / BASECALLS / "link.fastq.gz").symlink_to("/etc/hostname")
    seen = only(home)
    assert seen.state is FolderState.REFUSED
    assert "symbolic link" in seen.reason


def test_what_no_parser_knows_is_not_listed_and_links_are_not_followed(home: Home, landing: Path) -> None:
    (landing / "notes").mkdir()
    (landing / "notes" / "todo.txt").write_text("x")
    run_folder(landing.parent / "elsewhere")
    (landing / "linked").symlink_to(landing.parent / "elsewhere" / "fc-1")
    [link] = scan(home)
    assert (link.folder.name, link.state) == ("linked", FolderState.WAITING)
    assert "links are not followed" in link.reason


def test_a_renamed_folder_rests_again_under_its_new_name(home: Home, landing: Path) -> None:
    folder = run_folder(landing)
    scan(home)
    later(home)
    folder.rename(landing / "fc-1-renamed")
    (seen,) = scan(home)
    assert seen.state is FolderState.WAITING
    assert only(home).run_id == "fc-1"


def test_the_same_run_in_a_second_folder_is_refused_and_names_the_first(home: Home, landing: Path) -> None:
    first = run_folder(landing)
    shutil.copytree(first, landing / "fc-1-copy")
    seen = after_rest(home)
    assert seen["fc-1"].state is FolderState.READY
    assert seen["fc-1-copy"].state is FolderState.REFUSED
    assert str(first) in seen["fc-1-copy"].reason


def test_a_name_that_begins_like_another_is_another_folder(home: Home, landing: Path) -> None:
    run_folder(landing, "fc-1")
    run_folder(landing, "fc-10", markers=())
    assert [after_rest(home)[name].state for name in ("fc-1", "fc-10")] == [FolderState.READY, FolderState.WAITING]


def test_a_landing_folder_that_is_gone_is_said_and_the_other_is_scanned(
    make_home: Callable[[str], Home], landing: Path
) -> None:
    run_folder(landing)
    home = make_home(f'landing = ["{landing.parent / "gone"}", "{landing}"]\n')
    states = {seen.folder.name: seen.state for seen in scan(home)}
    assert states == {"gone": FolderState.REFUSED, "fc-1": FolderState.WAITING}


class Process:
    """Stands for the main job: stores the run's row, or fails as it is told."""

    def __init__(self, failures: dict[str, Exception] | None = None) -> None:
        self.failures, self.taken = failures or {}, list[str]()

    def __call__(self, home: Home, folder: Path, *, wait: bool, rested: timedelta | None = None) -> Processed:
        assert not wait
        assert rested is None, "these folders have their markers"
        run = read_run(folder)
        self.taken.append(folder.name)
        failure = self.failures.get(folder.name)
        with home.records.write() as session:
            intake.see(session, run, str(folder))
            if isinstance(failure, RefusedInput) and "gate" in failure.what:
                intake.refuse(session, run.id, "no reads")
            elif failure is None:
                intake.mark_stored(session, run.id, fingerprint(run), "manifest")
        if failure is not None:
            raise failure
        return Processed(run.id, run.run_id, stored=5, submitted=2)


def refusal(what: str) -> RefusedInput:
    return RefusedInput(what, [Problem(code="BAD", message="it is bad")])


def watch_rested(home: Home) -> dict[str, Seen]:
    scan(home)
    later(home)
    return {seen.folder.name: seen for seen in watch(home)}


def test_a_ready_folder_is_processed_once(home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()
    monkeypatch.setattr(processing, "process", process)
    run_folder(landing)
    assert watch_rested(home)["fc-1"].state is FolderState.DONE
    monkeypatch.setattr("labrelay.steps.watch.read_run", lambda folder: pytest.fail("read again"))
    (again,) = watch(home)
    assert again.state is FolderState.DONE
    assert "2 workflow runs" in again.reason
    assert process.taken == ["fc-1"]


def test_one_failure_stops_no_other_and_a_refused_folder_is_not_read_again_before_it_changes(
    home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process({"fc-1": refusal("the gate"), "fc-2": ValueError("a bug"), "fc-3": Busy("the disk is full")})
    monkeypatch.setattr(processing, "process", process)
    folders = [run_folder(landing, f"fc-{number}") for number in range(1, 5)]
    states = {name: seen.state for name, seen in watch_rested(home).items()}
    waiting = FolderState.WAITING
    assert states == {"fc-1": FolderState.REFUSED, "fc-2": waiting, "fc-3": waiting, "fc-4": FolderState.DONE}
    assert process.taken == ["fc-1", "fc-2", "fc-3", "fc-4"]
    watch(home)
    assert process.taken[4:] == ["fc-2", "fc-3"]
    (folders[0] / BASECALLS / ALL[0]).write_bytes(b"mended")
    watch_rested(home)
    assert "fc-1" in process.taken[6:]


@pytest.mark.parametrize("error", [MissingTool("allotropy is not here"), ValueError("a bug")])
def test_a_folder_that_cannot_be_read_waits_and_the_others_are_taken(
    home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def read(folder: Path, platform: str | None = None) -> InstrumentRun:
        if folder.name == "fc-1":
            raise error
        return read_run(folder, platform)

    monkeypatch.setattr("labrelay.steps.watch.read_run", read)
    monkeypatch.setattr(processing, "process", Process())
    for name in ("fc-1", "fc-2"):
        run_folder(landing, name)
    seen = watch_rested(home)
    assert {name: each.state for name, each in seen.items()} == {"fc-1": FolderState.WAITING, "fc-2": FolderState.DONE}
    assert "allotropy is not here" in seen["fc-1"].reason or "see the log" in seen["fc-1"].reason


def test_wrong_rules_do_not_condemn_the_folder(home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process({"fc-1": refusal("the rules")})
    monkeypatch.setattr(processing, "process", process)
    run_folder(landing)
    assert watch_rested(home)["fc-1"].state is FolderState.WAITING
    process.failures.clear()
    (seen,) = watch(home)
    assert seen.state is FolderState.DONE


def test_a_folder_of_which_a_submission_failed_is_tried_again_and_says_why(
    home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_folder(landing)
    outcome = Processed("ins_1", "fc-1", stored=6, failed=[("A", "there is no reference nope")])
    monkeypatch.setattr(processing, "process", lambda *_args, **_options: outcome)
    seen = watch_rested(home)["fc-1"]
    assert seen.state is FolderState.WAITING
    assert "there is no reference nope" in seen.reason
    outcome.failed, outcome.submitted = [], 2
    assert [(s.state, s.reason) for s in watch(home)] == [
        (FolderState.DONE, "stored 6 files, submitted 2 workflow runs")
    ]


def test_a_run_that_was_stored_before_a_kill_gets_its_later_steps(
    home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process()
    monkeypatch.setattr(processing, "process", process)
    process(home, run_folder(landing), wait=False)
    assert watch_rested(home)["fc-1"].state is FolderState.DONE
    watch(home)
    assert process.taken == ["fc-1", "fc-1"]


def test_a_run_whose_stored_folder_was_moved_is_known(
    home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process()
    monkeypatch.setattr(processing, "process", process)
    folder = run_folder(landing)
    watch_rested(home)
    folder.rename(landing / "moved")
    assert watch_rested(home)["moved"].state is FolderState.DONE
    with home.records.read() as session:
        assert len(session.scalars(select(InstrumentRunRow)).all()) == 1


def test_the_whole_way_from_a_folder_to_a_stored_run(home: Home, landing: Path) -> None:
    folder = run_folder(landing)
    for fastq in ALL:
        bases = "ACGT" if "_R1_" in fastq else "TTGA"
        (folder / BASECALLS / fastq).write_bytes(gzip.compress(f"@{fastq[0]}:1\n{bases}\n+\nIIII\n".encode()))
    seen = watch_rested(home)["fc-1"]
    assert seen.state is FolderState.DONE, seen.reason
    with home.records.read() as session:
        (row,) = session.scalars(select(InstrumentRunRow)).all()
    assert (row.state, row.folder) == ("stored", str(folder))
    (again,) = watch(home)
    assert again.state is FolderState.DONE

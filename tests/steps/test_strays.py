"""What lies in a landing folder where no scan takes it is told, with what to do, also by `status`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from shell import shell
from sqlalchemy import select

from labrelay.model.errors import UsageError
from labrelay.records.schema import InstrumentRunRow, ObservationRow
from labrelay.steps import strays
from labrelay.steps.home import Home
from labrelay.steps.overview import overview
from labrelay.steps.readiness import FolderState
from labrelay.steps.watch import Seen, scan, watch, watch_folder

RUN_INFO = '<RunInfo Version="2"><Run Id="{0}"><Flowcell>F</Flowcell><Instrument>M1</Instrument></Run></RunInfo>'


@pytest.fixture
def home(make_home: Callable[[str], Home], landing: Path) -> Home:
    return make_home(f'landing = ["{landing}"]\nquiet_minutes = 5\n')


def run_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "RunInfo.xml").write_text(RUN_INFO.format(folder.name))
    return folder


def only(home: Home) -> Seen:
    (seen,) = scan(home)
    return seen


def test_reads_beside_the_folders_wait_for_a_folder_of_their_own(home: Home, landing: Path) -> None:
    for name in ("a_R1.fastq.gz", "a_R2.fastq.gz", "b.fastq.gz", "c.fastq.gz"):
        (landing / name).write_bytes(b"x")
    (landing / "notes.txt").write_text("x")
    seen = only(home)
    assert (seen.folder, seen.state) == (landing, FolderState.WAITING)
    assert seen.reason == (
        "it holds 4 files of instruments in no folder of their own, such as a_R1.fastq.gz, a_R2.fastq.gz, b.fastq.gz "
        "and 1 more: make a folder for each run and move its files there, then they are looked at"
    )


def test_files_of_no_instrument_beside_the_folders_are_not_told_and_a_link_is(
    home: Home, landing: Path, tmp_path: Path
) -> None:
    (landing / "notes.txt").write_text("x")
    (tmp_path / "a.fastq").write_bytes(b"x")
    (landing / "a.fastq").symlink_to(tmp_path / "a.fastq")
    (landing / ".hidden.fastq").write_bytes(b"x")
    seen = only(home)
    assert (seen.folder.name, seen.state) == ("a.fastq", FolderState.WAITING)
    assert "links are not followed" in seen.reason


def test_only_so_many_files_are_looked_at(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "MOST_FILES", 1)
    (landing / "b.fastq").write_bytes(b"x")
    assert strays.loose_files(landing, ["a.txt", "b.fastq"]) is None
    (landing / "c.fastq").write_bytes(b"x")
    assert "1 file or more of instruments" in (strays.loose_files(landing, ["b.fastq", "c.fastq"]) or "")


@pytest.mark.parametrize("runs", [("r1",), ("r1", "r2")])
def test_runs_one_level_too_deep_are_named(home: Home, landing: Path, runs: tuple[str, ...]) -> None:
    for name in runs:
        run_in(landing / "2026" / name)
    seen = only(home)
    assert (seen.folder, seen.state) == (landing / "2026", FolderState.WAITING)
    what = "r1 in it looks like a run" if len(runs) == 1 else "r1, r2 in it look like runs"
    assert seen.reason.startswith(f"it is no run itself, but {what}: move each run up into the landing folder")


def plates_in(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_two_levels_above_plates_is_no_run_that_grows_with_each(home: Home, landing: Path) -> None:
    plates_in(landing / "2026", ("week48/PLATEA/1.tif", "week48/PLATEB/TimePoint_1/1.tif", "notes.txt", "week48/a.jpg"))
    seen = only(home)
    assert (seen.folder, seen.state) == (landing / "2026", FolderState.WAITING)
    assert seen.reason == (
        "it is no run itself, but week48/PLATEA, week48/PLATEB in it look like runs: move each run up into the landing "
        "folder, or add what holds them (week48) to `landing`"
    )
    with pytest.raises(UsageError, match="does not look like an instrument run"):
        watch_folder(home, landing / "2026" / "week48" / "PLATEA")


@pytest.mark.parametrize(
    "names",
    [
        ("week48/PLATEA/1.tif",),
        ("PLATEA/1.tif", "PLATEA/raw/1.tif", "PLATEB/raw/1.tif"),
        ("deep/all/TimePoint_1/ZStep_1/1.tif", "deep/all/TimePoint_1/ZStep_2/1.tif"),
        ("all/ZStep_1/P_B02_s1.tif", "all/more/P_B03_s1.tif"),
        ("all/A01/1.tif", "all/A02/1.tif"),
    ],
)
def test_one_plate_in_folders_of_its_own_stays_a_run(home: Home, landing: Path, names: tuple[str, ...]) -> None:
    plates_in(landing / "plate", names)
    assert "seen in this form for the first time" in only(home).reason


def test_status_tells_what_the_last_scan_did_not_take_until_it_is_taken_or_gone(
    home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labrelay = shell(monkeypatch, home.path)
    assert "nothing needs you" in labrelay("status").out
    folder = run_in(landing / "r1")
    (landing / "a.fastq").write_bytes(b"x")
    watch(home)
    said = labrelay("status").out
    assert f"{folder} was not taken at 20" in said
    assert "seen in this form for the first time" in said
    assert f"{landing} was not taken at 20" in said
    assert "nothing needs you" not in said
    assert [each["folder"] for each in labrelay("status", "--json").json["landed"]] == [str(landing), str(folder)]
    (landing / "a.fastq").unlink()
    scan(home)
    assert [each.folder for each in overview(home).landed] == [str(folder)]
    moment = datetime.now(UTC).isoformat(timespec="microseconds")
    with home.records.write() as session:
        session.add(
            InstrumentRunRow(
                id="ins_1",
                platform="illumina",
                run_id="r1",
                folder=str(folder),
                state="stored",
                content={},
                created_at=moment,
                stored_at=moment,
            )
        )
    assert overview(home).landed == ()


def test_a_note_is_no_conclusion_and_keeps_no_rest_from_counting(home: Home, landing: Path) -> None:
    folder = run_in(landing / "r1")
    first = only(home)
    assert "first time" in first.reason
    assert "unchanged for" in only(home).reason
    with home.records.read() as session:
        [row] = session.scalars(select(ObservationRow)).all()
    assert (row.folder, (row.outcome or "").startswith("waits: unchanged for")) == (str(folder), True)

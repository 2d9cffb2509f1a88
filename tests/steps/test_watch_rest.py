"""A folder of an instrument that marks no end is taken after a long rest, where the lab has set one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from labrelay.model.errors import RefusedInput
from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Fact, InstrumentRun, Known, RunFile, Unit
from labrelay.model.problem import Problem, Severity
from labrelay.records.schema import AuditRow, InstrumentRunRow, ObservationRow
from labrelay.steps import watch as watching
from labrelay.steps.home import Home
from labrelay.steps.process import take_in
from labrelay.steps.readiness import FolderState, by_rest, is_silent, judge
from labrelay.steps.watch import Seen, scan, watch

DAY = timedelta(hours=24)
YES, NO = Fact(value=Known.YES, evidence="End.txt"), Fact(value=Known.NO, evidence="End.txt")


@pytest.fixture
def home(make_home: Callable[[str], Home], landing: Path) -> Home:
    return make_home(f'landing = ["{landing}"]\nquiet_minutes = 5\nquiet_hours = 24\n')


def plate(landing: Path) -> Path:
    folder = landing / "PLATE7"
    folder.mkdir()
    for well in ("B02", "B03"):
        (folder / f"PLATE7_{well}f00d0.tif").write_bytes(b"x")
    return folder


def later(home: Home, hours: float) -> None:
    """Let time pass since the looks that are stored."""
    earlier = (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="microseconds")
    with home.records.write() as session:
        session.execute(update(ObservationRow).values(first_at=earlier))


def look(home: Home, hours: float) -> Seen:
    """Return what is seen when the stored looks are so many hours old."""
    later(home, hours)
    (seen,) = scan(home)
    return seen


def test_a_silent_folder_is_taken_after_its_rest_and_the_record_says_why(home: Home, landing: Path) -> None:
    folder = plate(landing)
    scan(home)
    early = look(home, 23)
    assert early.state is FolderState.WAITING
    assert early.reason == "nothing in the folder says that it is complete: it is taken once it rests for 24 h"
    ready = look(home, 25)
    assert ready.state is FolderState.READY
    assert ready.reason == "complete by rest: nothing marks its end, and nothing has changed for 25 h"
    (taken,) = watch(home)
    assert taken.state is FolderState.DONE, taken
    assert taken.reason.startswith(
        "complete by rest: nothing marks its end, and nothing has changed for 25 h; stored 2"
    )
    with home.records.read() as session:
        row = session.scalars(select(InstrumentRunRow)).one()
        audit = session.scalars(select(AuditRow).where(AuditRow.action == "instrument_run.complete_by_rest")).one()
    assert (row.state, row.folder) == ("stored", str(folder))
    assert row.content["completion"]["copied"] == {"value": "yes", "evidence": "nothing has changed for 25 h"}
    assert row.content["completion"]["acquired"]["value"] == "unknown"
    assert audit.detail["evidence"] == "nothing has changed for 25 h"
    (again,) = watch(home)
    assert again.state is FolderState.DONE


def test_a_run_that_is_taken_with_warnings_says_so(home: Home, landing: Path) -> None:
    (landing / "day").mkdir()
    (landing / "day" / "cut.nd2").write_bytes(b"\xda\xce\xbe\x0a" + bytes(100))
    scan(home)
    later(home, 25)
    [seen] = watch(home)
    assert seen.state is FolderState.DONE
    assert "; 1 warning, first: " in seen.reason
    assert "cut.nd2" in seen.reason


def test_without_the_setting_a_person_takes_it_however_long_it_rests(
    make_home: Callable[[str], Home], landing: Path
) -> None:
    home = make_home(f'landing = ["{landing}"]\n')
    plate(landing)
    scan(home)
    seen = look(home, 10_000)
    assert seen.state is FolderState.WAITING
    assert "take it with `labrelay process FOLDER`" in seen.reason


@pytest.mark.parametrize("change", ["size", "time", "number"])
def test_a_change_in_size_time_or_number_of_files_starts_the_rest_anew(home: Home, landing: Path, change: str) -> None:
    folder = plate(landing)
    image = folder / "PLATE7_B02f00d0.tif"
    scan(home)
    later(home, 30)
    if change == "size":
        before = image.stat()
        image.write_bytes(b"xy")
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":
        os.utime(image)
    else:
        (folder / "PLATE7_B04f00d0.tif").write_bytes(b"x")
    (seen,) = scan(home)
    assert seen.state is FolderState.WAITING
    assert "first time" in seen.reason
    assert look(home, 25).state is FolderState.READY


def test_a_file_that_comes_between_the_look_and_the_taking_is_waited_for(
    home: Home, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plate(landing)
    scan(home)
    later(home, 25)

    def look_then_write(of: Home) -> list[Seen]:
        seen = scan(of)
        (folder / "PLATE7_B04f00d0.tif").write_bytes(b"x")
        return seen

    monkeypatch.setattr(watching, "scan", look_then_write)
    (seen,) = watch(home)
    assert (seen.state, seen.reason) == (FolderState.WAITING, "it has changed since it was seen")
    with home.records.read() as session:
        assert session.scalars(select(InstrumentRunRow)).all() == []


def silent(**facts: object) -> InstrumentRun:
    files = (RunFile(path="a.tif", size=1, role=FileRole.IMAGE, sample="a"),)
    return InstrumentRun.model_validate({"run_id": "r", "folder_name": "r", "platform": "x", "files": files, **facts})


MARKED = Problem(code="MARKER_MISSING", message="End.txt is not there", severity=Severity.WARNING)


@pytest.mark.parametrize("name", ["PLATE7_B04f00d0.tif.filepart", ".PLATE7_B04f00d0.tif.AbC123"])
def test_a_folder_with_a_file_that_is_still_being_copied_waits_and_names_it(
    home: Home, landing: Path, name: str
) -> None:
    folder = plate(landing)
    (folder / name).write_bytes(b"x")
    scan(home)
    seen = look(home, 25)
    assert seen.state is FolderState.WAITING
    assert seen.reason.startswith(f"{name}: it is still being copied: wait until it has its own name")
    with pytest.raises(RefusedInput, match="it is still being copied"):
        take_in(home, folder)
    (folder / name).unlink()
    assert take_in(home, folder)[1] == 2


VANISHED = Problem(code="VANISHED", message="it went away", path="b.tif")


@pytest.mark.parametrize(
    "facts",
    [
        {"completion": Completion(acquired=NO)},
        {"completion": Completion(copied=NO)},
        {"completion": Completion(acquired=YES, copied=NO)},
        {"units": (Unit(name="square 1", kind="grid square", completion=Completion(acquired=NO)),)},
        {"problems": (MARKED,)},
        {"problems": (VANISHED,)},
    ],
    ids=["not acquired", "not copied", "acquired, not copied", "a part not finished", "a marker missing", "vanished"],
)
def test_a_folder_that_says_no_is_never_taken_by_rest(facts: dict[str, object]) -> None:
    run = silent(**facts)
    assert not is_silent(run)
    assert by_rest(run, 100 * DAY) == run
    assert judge(run, 100 * DAY, DAY).state is FolderState.WAITING


def test_a_folder_that_says_yes_needs_no_long_rest_and_keeps_its_own_evidence() -> None:
    run = silent(completion=Completion(acquired=YES))
    assert judge(run, timedelta(minutes=6), DAY).reason == "complete by End.txt, its files and their rest"
    assert by_rest(run, DAY) == run


def test_a_silent_folder_with_an_error_is_refused_after_its_rest() -> None:
    run = silent(problems=(Problem(code="SYMLINK", message="it is a link", path="b.tif"),))
    assert judge(run, DAY, DAY).state is FolderState.REFUSED


def test_nobody_is_told_to_process_a_run_that_would_be_refused() -> None:
    silent = InstrumentRun(run_id="r", folder_name="r", platform="illumina")
    wrong = silent.model_copy(update={"problems": (Problem(code="NO_READS", message="bring the reads"),)})
    assert "take it with `labrelay process FOLDER`" in judge(silent).reason
    for quiet in (None, DAY):
        readiness = judge(wrong, timedelta(hours=1), quiet)
        assert readiness.state is FolderState.WAITING
        assert "labrelay process" not in readiness.reason
        assert "as it is now it would be refused: bring the reads [NO_READS]" in readiness.reason


@pytest.mark.parametrize("completion", [Completion(acquired=NO), Completion(copied=NO), Completion()])
def test_a_run_that_waits_and_would_be_refused_is_told_both(completion: Completion) -> None:
    wrong = Problem(code="NO_READS", message="bring the reads")
    run = InstrumentRun(run_id="r", folder_name="r", platform="illumina", completion=completion, problems=(wrong,))
    readiness = judge(run.model_copy(update={"problems": (MARKED, wrong)}))
    assert readiness.state is FolderState.WAITING
    for told in (readiness, judge(run)):
        assert told.reason.endswith("as it is now it would be refused: bring the reads [NO_READS]")
        assert told.reason.count("NO_READS") == 1


def test_a_run_that_waits_is_told_what_its_list_lacks_and_not_what_else_is_odd_in_it() -> None:
    odd, lacks = (
        Problem(code=code, message=message, path="Index.xml", severity=Severity.WARNING)
        for code, message in (
            ("WELL_WITHOUT_IMAGES", "1 selected wells have no image"),
            ("COUNT_MISMATCH", "1 is not here"),
        )
    )
    copied = Fact(value=Known.NO, evidence="Index.xml")
    run = silent(completion=Completion(copied=copied), problems=(odd, lacks))
    assert judge(run).reason == "not all files have come (Index.xml: 1 is not here [COUNT_MISMATCH])"
    assert judge(run.model_copy(update={"problems": (odd,)})).reason == "not all files have come (Index.xml)"


def test_what_went_away_is_said_once() -> None:
    assert judge(silent(problems=(VANISHED,))).reason == str(VANISHED)


def test_a_run_that_is_one_file_is_called_a_file() -> None:
    file = RunFile(path="a.nd2", size=1, role=FileRole.IMAGE)
    run = InstrumentRun(run_id="a", folder_name="a.nd2", platform="nd2", files=(file,))
    assert judge(run).reason.startswith("nothing in the file says that it is complete")

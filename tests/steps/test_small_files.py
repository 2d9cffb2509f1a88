"""Small files that nobody judges go in bundles: stored once, gone on with after a kill, corrected as any other."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from labrelay.model.errors import RefusedInput, StorageFailed
from labrelay.parsers.registry import read_run
from labrelay.records.schema import FileRow, InstrumentRunRow
from labrelay.steps import ingest as ingest_step
from labrelay.steps.home import Home
from labrelay.steps.ingest import Ingested, ingest
from labrelay.stores import many
from labrelay.stores.flush import FEW

COUNT = FEW + 14
BUNDLE = 10
INGEST = """
    import sys
    from pathlib import Path
    from labrelay.parsers.registry import read_run
    from labrelay.steps.home import open_home
    from labrelay.steps.ingest import ingest
    from labrelay.stores import many
    many.MOST = int(sys.argv[3])
    folder = Path(sys.argv[2])
    ingest(open_home(Path(sys.argv[1])), read_run(folder), folder)
"""
# (passing of the point, files on record afterwards)
KILLS = {
    "store.many_staged": (2, 0),  # while the first bundle is recorded, or before
    "store.one_named": (BUNDLE + 3, 0),
    "store.many_durable": (2, 0),
    "ingest.group_stored": (2, BUNDLE),
    "ingest.group_recorded": (2, 2 * BUNDLE),
}


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home()


@pytest.fixture
def small_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MOST", BUNDLE)


def plate(root: Path, count: int = COUNT) -> Path:
    folder = root / "PLATE7"
    folder.mkdir()
    for number in range(count):
        name = f"PLATE7_{'ABCD'[number % 4]}{number // 4 + 1:02}f00d0.tif"
        (folder / name).write_bytes(b"%04d" % number + os.urandom(number * 50))
    return folder


def take(home: Home, folder: Path) -> Ingested:
    return ingest(home, read_run(folder), folder)


def stored(home: Home) -> int:
    with home.records.read() as session:
        images = select(func.count()).select_from(FileRow).where(FileRow.role == "image")
        return session.scalar(images) or 0


def editions(home: Home, name: str) -> list[str]:
    with home.records.read() as session:
        return sorted(session.scalars(select(FileRow.key).where(FileRow.key.endswith(name))))


@pytest.mark.usefixtures("small_bundles")
def test_a_plates_images_are_stored_in_bundles_each_with_its_bytes_and_its_place(home: Home, tmp_path: Path) -> None:
    folder = plate(tmp_path)
    commits: list[int] = []
    event.listen(home.records.engine, "commit", lambda _connection: commits.append(1))
    done = take(home, folder)
    assert (done.stored, done.already) == (COUNT, 0)
    assert done.bytes_stored == sum(path.stat().st_size for path in folder.iterdir())
    assert len(commits) < COUNT / 2
    with home.records.read() as session:
        rows = session.scalars(select(FileRow).where(FileRow.role == "image")).all()
    assert {(row.stats or {}).get("image", {}).get("well") for row in rows} >= {"A01", "B01", "C07"}
    for row in rows:
        source = folder / row.key.rsplit("/", 1)[-1]
        assert (home.objects.root / row.key).read_bytes() == source.read_bytes()  # type: ignore[attr-defined]
        assert row.source_mtime_ns == source.stat().st_mtime_ns
    again = take(home, folder)
    assert (again.stored, again.already) == (0, COUNT)


@pytest.mark.parametrize("point", KILLS)
def test_an_ingest_killed_within_its_bundles_goes_on_with_what_is_missing(
    home: Home, tmp_path: Path, point: str
) -> None:
    folder, (nth, least) = plate(tmp_path), KILLS[point]
    command = [sys.executable, "-c", textwrap.dedent(INGEST), str(home.path), str(folder), str(BUNDLE)]
    child = subprocess.run(command, env={**os.environ, "LABRELAY_FAULT": f"{point}:{nth}:kill"})
    assert child.returncode == -signal.SIGKILL
    recorded = stored(home)
    assert least <= recorded < COUNT
    done = take(home, folder)
    assert (done.already, done.stored) == (recorded, COUNT - recorded)
    assert stored(home) == COUNT
    for row in rows(home):
        assert not row.startswith("raw/images/PLATE7/~")


def rows(home: Home) -> Iterator[str]:
    with home.records.read() as session:
        yield from session.scalars(select(FileRow.key))


@pytest.mark.usefixtures("small_bundles")
def test_a_file_corrected_after_a_try_that_ended_is_a_next_edition_and_its_bundle_is_stored(
    home: Home, tmp_path: Path
) -> None:
    folder = plate(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    run, late = read_run(folder), folder / names[-1]
    kept = late.read_bytes()
    late.unlink()
    with pytest.raises(StorageFailed, match=f"{names[-1]} is not there"):
        ingest(home, run, folder)
    assert stored(home) == COUNT - BUNDLE
    late.write_bytes(kept)
    (folder / names[0]).write_bytes(b"corrected")
    done = take(home, folder)
    assert done.stored == BUNDLE + 1
    assert editions(home, names[0]) == [f"raw/images/PLATE7/{names[0]}", f"raw/images/PLATE7/~1/{names[0]}"]
    assert editions(home, names[1]) == [f"raw/images/PLATE7/{names[1]}"]


@pytest.mark.usefixtures("small_bundles")
def test_a_bundle_in_which_one_file_is_stored_with_other_bytes_is_stored_all_the_same(
    home: Home, tmp_path: Path
) -> None:
    folder = plate(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    # A process that died before its rows were written has left an earlier form of the file.
    home.objects.put_bytes(f"raw/images/PLATE7/{names[3]}", b"before it was corrected")
    done = take(home, folder)
    assert done.stored == COUNT
    assert editions(home, names[3]) == [f"raw/images/PLATE7/~1/{names[3]}"]
    assert editions(home, names[4]) == [f"raw/images/PLATE7/{names[4]}"]


def test_a_file_with_a_suppliers_checksum_is_judged_alone_among_small_ones(home: Home, tmp_path: Path) -> None:
    folder = plate(tmp_path)
    run = read_run(folder)
    wrong = run.files[5].model_copy(update={"md5": "0" * 32})
    judged = run.model_copy(update={"files": tuple(wrong if f.path == wrong.path else f for f in run.files)})
    with pytest.raises(RefusedInput, match="MD5_MISMATCH"):
        ingest(home, judged, folder)
    assert stored(home) == COUNT - 1
    with home.records.read() as session:
        assert [row.state for row in session.scalars(select(InstrumentRunRow))] == ["refused"]


def test_two_ingests_at_once_leave_pythons_search_for_garbage_as_it_was() -> None:
    usual = gc.get_threshold()
    first, second = ingest_step._kept_from_the_collector(), ingest_step._kept_from_the_collector()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold()[0] > usual[0]
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == usual

"""The disk fills, fails or loses its power at any moment: words instead of tracebacks, and the same command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from labrelay.records import audit
from labrelay.records.database import Database
from labrelay.records.sqlite import sqlite_url
from labrelay.steps.home import DATABASE

from .trials import DONE, SAID, Bench, _fork, share

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
# Points where the error can really come up: right at a write, a flush or a rename.
WRITES = ("store.", "durable.", "reads.file_linked", "bundle.")
FREE_KB = (0, 32, 96, 192, 288, 384, 512, 640, 800, 1000, 1500, 2200)
CUTS = 20


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_an_error_of_the_disk_at_each_point_is_survived(bench: Bench, action: str) -> None:
    def failed_at(point: str) -> list[str]:
        folder = bench.fresh(f"{action}-{point}")
        code = bench.steps(folder, {"LABRELAY_FAULT": f"{point}:1:{action}"}, shaky=1)
        said = (folder / "log").read_text()
        wrong = []
        if code not in (SAID, DONE):
            wrong.append(f"ended with {code}: {said[-1500:]}")
        return [f"{action} at {point}: {line}" for line in wrong + bench.settle(folder)]

    points = sorted(p for p in bench.points if p.startswith(WRITES))
    assert share(points, failed_at, bench.root) == []


@ROOT_ONLY
def test_a_disk_that_is_really_full_is_told_in_words_and_the_work_goes_on_when_there_is_room(bench: Bench) -> None:
    ends = []
    for free in FREE_KB:
        with disk(bench.root / "full", "-t", "tmpfs", "-o", "size=5m", "tmpfs") as folder:
            shutil.copytree(bench.lab.home, folder / "home")
            filler = folder / "filler"
            fill(filler, free)
            log = bench.root / "full.log"
            ends.append(bench_steps(bench, folder, log))
            said = log.read_text()
            assert ends[-1] in (SAID, DONE), said
            assert ends[-1] == DONE or "make room" in said or "free space" in said, said
            filler.unlink()
            assert bench.settle(folder) == [], f"{free} kB free"
    assert SAID in ends
    assert DONE in ends, "the last sizes are enough, so the sizes before met every write"


@ROOT_ONLY
def test_a_disk_that_turns_read_only_is_told_in_words_and_the_work_goes_on_when_it_is_mended(
    bench: Bench, tmp_path: Path
) -> None:
    with ext4(tmp_path / "image", tmp_path / "disk") as folder:
        shutil.copytree(bench.lab.home, folder / "home")
        log = tmp_path / "log"
        child = _fork(lambda: bench._process(folder), log, {"LABRELAY_FAULT": "ingest.group_recorded:2:stop"})
        _pid, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status), log.read_text()
        run("mount", "-o", "remount,ro", str(folder), ok=(0, 32))
        if os.access(folder / "home", os.W_OK):
            # The kernel refuses while a file is open for writing; an emergency remount of this one is not to be had.
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            run("mount", "-o", "remount,ro", str(folder))
            code = bench_steps(bench, folder, log)
        else:
            os.kill(child, signal.SIGCONT)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == SAID, log.read_text()
        assert "read-only" in log.read_text() or "readonly" in log.read_text()
        run("mount", "-o", "remount,rw", str(folder))
        assert bench.settle(folder) == []


@ROOT_ONLY
def test_what_was_acknowledged_before_a_power_cut_is_there_after_it(bench: Bench, tmp_path: Path) -> None:
    wrong = power_cuts(bench, tmp_path)
    assert wrong == []


@ROOT_ONLY
def test_control_a_database_that_does_not_flush_is_seen_to_lose_rows(bench: Bench, tmp_path: Path) -> None:
    def careless(database: Database) -> None:
        event.listen(database.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF"))

    wrong = power_cuts(bench, tmp_path, careless, repair=False)
    assert any("audit rows were acknowledged" in line for line in wrong), wrong


def power_cuts(
    bench: Bench, tmp_path: Path, prepare: Callable[[Database], None] | None = None, repair: bool = True
) -> list[str]:
    """Copy the image of a mounted ext4 without flushing it, as a power cut leaves it, at moments of one processing.

    Returns:
        What is wrong on the copies: acknowledged things that are not there, and invariants after going on from there.
    """
    wrong: list[str] = []
    image, acknowledged = tmp_path / "image", tmp_path / "acknowledged"
    with ext4(image, tmp_path / "disk") as folder:
        shutil.copytree(bench.lab.home, folder / "home")
        run("sync", "-f", str(folder))
        # Everything that names the home must be where it was, so the copies are mounted at the same place.
        child = _fork(lambda: acknowledging(bench, folder, acknowledged, prepare), tmp_path / "log", {})
        cuts = list(copies(child, image, acknowledged, tmp_path, (folder / "ledger")))
        assert "Traceback" not in (tmp_path / "log").read_text(), (tmp_path / "log").read_text()
    assert len(cuts) >= CUTS / 2
    for copy, count, ledger in cuts:
        with disk(tmp_path / "disk", "-o", "loop", str(copy)) as folder:
            database = Database(sqlite_url(folder / "home" / DATABASE))
            with database.read() as session:
                found = audit.count(session)
            database.close()
            if found < count:
                wrong.append(f"{count} audit rows were acknowledged, {found} are there after the cut")
            elif repair:
                # The engine is somebody else's machine: its ledger did not lose its power.
                shutil.copytree(ledger, folder / "ledger", dirs_exist_ok=True)
                wrong += bench.settle(folder)
    return wrong


def acknowledging(bench: Bench, folder: Path, acknowledged: Path, prepare: Callable[[Database], None] | None) -> None:
    """Process the run, and write down outside the image how many audit rows each commit has promised."""
    from labrelay.records import database as room
    from labrelay.steps.process import process

    home = bench.open(folder)
    if prepare is not None:
        prepare(home.records)
        home.records.engine.dispose()
    handle = os.open(acknowledged, os.O_WRONLY | os.O_CREAT, 0o644)

    def tell(name: str) -> None:
        if name == "records.committed":
            with home.records.read() as session:
                os.pwrite(handle, f"{audit.count(session):9}\n".encode(), 0)

    room.faultpoint = tell  # type: ignore[assignment]
    process(home, bench.lab.run)
    home.close()


def copies(child: int, image: Path, acknowledged: Path, where: Path, ledger: Path) -> Iterator[tuple[Path, int, Path]]:
    """Yield (image, acknowledged rows, engine's ledger) at moments of the child's life; the child rests meanwhile."""
    for number in range(CUTS):
        time.sleep(0.03)
        os.kill(child, signal.SIGSTOP)
        _pid, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return
        copy, outside = where / f"cut-{number}", where / f"ledger-{number}"
        run("cp", "--sparse=always", str(image), str(copy))
        text = acknowledged.read_text().strip() if acknowledged.exists() else ""
        if ledger.is_dir():
            shutil.copytree(ledger, outside)
        else:
            outside.mkdir()
        yield copy, int(text or 0), outside
        os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)


def bench_steps(bench: Bench, folder: Path, log: Path) -> int:
    """Process the run in a process of its own whose log is not on the disk that is full."""
    pid = _fork(lambda: bench._process(folder), log, {})
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fill(filler: Path, free_kb: int) -> None:
    """Write a file that leaves so many kB of its file system free."""
    stat = os.statvfs(filler.parent)
    with filler.open("wb") as out:
        out.write(b"\0" * max(0, stat.f_bavail * stat.f_frsize - free_kb * 1024))


@contextmanager
def ext4(image: Path, where: Path) -> Iterator[Path]:
    """Make an ext4 in a file and mount it."""
    with image.open("wb") as out:
        out.truncate(24 << 20)
    run("mkfs.ext4", "-q", "-F", str(image))
    with disk(where, "-o", "loop", str(image)) as folder:
        yield folder


@contextmanager
def disk(where: Path, *options: str) -> Iterator[Path]:
    """Mount a file system at `where` for the block."""
    where.mkdir(exist_ok=True)
    run("mount", *options, str(where))
    with ExitStack() as stack:
        stack.callback(run, "umount", "-l", str(where))
        yield where


def run(*argv: str, ok: tuple[int, ...] = (0,)) -> None:
    """Run a system command that has to work."""
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode in ok, f"{argv}: {done.stderr}"

"""Kill -9 trials of the steps: copy a prepared home, kill the processing of a run once or more, repeat it, check.

The steps run in a process of their own each time, forked from one that has paid for the imports. A trial follows from
its seed: which point is killed at which passing, after how many milliseconds, how often. LABRELAY_SOAK_SEED=<seed>
LABRELAY_SOAK_TRIALS=1 python -m pytest tests/crash -k soak repeats one; a kill by the clock meets the same moment only
about.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from postgres import Cluster
from sqlalchemy import update
from tiny_run import TinyLab

from labrelay.model.errors import LabrelayError
from labrelay.records import lease
from labrelay.records.database import now
from labrelay.records.schema import OutboxRow
from labrelay.steps.announce import announce
from labrelay.steps.home import Home, open_home
from labrelay.steps.process import process
from labrelay.steps.sweep import sweep
from labrelay.stores.flush import FEW
from labrelay.workflows.local.keeper import PR_SET_PDEATHSIG

from .invariants import Expected, check_invariants, differences, grow_old, snapshot
from .ledger_engine import LedgerEngine, starts

DONE, SAID, CRASHED = 0, 3, 4  # exit codes of a step's process: done, a sentence for people, a traceback
JITTER = (0.005, 0.050)
WORKERS = 2
SMALL_FILES = FEW + 4  # what an instrument writes beside the reads: enough for a bundle that is flushed as one
Item = TypeVar("Item")


@dataclass(frozen=True)
class Kill:
    """When a process dies: at the n-th passing of a point, or some time after it began."""

    point: str | None = None
    nth: int = 1
    seconds: float = 0.0

    @property
    def fault(self) -> str | None:
        """What arms the point."""
        return None if self.point is None else f"{self.point}:{self.nth}:kill"


@dataclass
class Trial:
    """What a trial did and what was wrong afterwards."""

    seed: int
    kills: list[Kill]
    died: list[bool] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        kills = ", ".join(k.fault or f"after {k.seconds * 1000:.0f} ms" for k in self.kills)
        return f"seed {self.seed} ({kills}): " + "; ".join(self.wrong)


@dataclass
class Bench:
    """A prepared laboratory, and what processing its run undisturbed comes to.

    Attributes:
        root: Where trials have their folders.
        engine: Further arguments of the engine double.
        cluster: Where the homes have their records; None: in their files.
    """

    root: Path
    engine: Mapping[str, Any] = field(default_factory=dict)
    cluster: Cluster | None = None

    def __post_init__(self) -> None:
        self.lab = TinyLab(self.root / "prepared")
        for number in range(SMALL_FILES):
            metrics = self.lab.run / "InterOp" / f"C{number}.1" / "ErrorMetricsOut.bin"
            metrics.parent.mkdir(parents=True)
            metrics.write_bytes(bytes([number]) * 100)
        if self.cluster is not None:
            self.cluster.give(self.lab.home)
        code = in_child(lambda: _announce(self.lab), self.root / "prepared.log")
        assert code == DONE, (self.root / "prepared.log").read_text()
        self._process(self.fresh("warm"))  # parsers, mappers and templates are made once, before the forks
        log = self.root / "points"
        began = time.monotonic()
        folder = self.fresh("undisturbed")
        code = self.steps(folder, {"LABRELAY_FAULT_LOG": str(log)}, shaky=1)
        assert code == DONE, (folder / "log").read_text()
        self.seconds = time.monotonic() - began
        self.points = Counter(log.read_text().split())
        self.wanted = snapshot(folder / "home")
        assert check_invariants(folder / "home", self.expected(folder)) == []

    def fresh(self, name: str) -> Path:
        """Return a new folder with a copy of the prepared home."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.lab.home, folder / "home")
        if self.cluster is not None:
            self.cluster.give(folder / "home")
        return folder

    def expected(self, folder: Path) -> Expected:
        """Return what a trial's home has to have taken in."""
        return Expected((self.lab.run,), starts(folder / "ledger"))

    def open(self, folder: Path, **engine: Any) -> Home:
        """Open a trial's home with the engine double."""
        home = open_home(folder / "home")
        home.engine = LedgerEngine(folder / "ledger", folder / "home" / "engine", **{**self.engine, **engine})
        return home

    def steps(self, folder: Path, environment: Mapping[str, str], seconds: float = 0.0, **engine: Any) -> int:
        """Process the run in a process of its own; return its exit code, or minus the signal that ended it."""

        return in_child(lambda: self._process(folder, **engine), folder / "log", environment, seconds)

    def settle(self, folder: Path, **engine: Any) -> list[str]:
        """Repeat the processing cleanly, once, and return all that is wrong then."""
        self.wait_for_messages(folder)
        code = self.steps(folder, {}, **engine)
        if code != DONE:
            return [f"the clean repetition ended with {code}: {(folder / 'log').read_text()[-1500:]}"]
        grow_old(folder / "home")
        code = in_child(lambda: self._sweep(folder, **engine), folder / "log")
        wrong = [] if code == DONE else [f"the sweep ended with {code}: {(folder / 'log').read_text()[-1500:]}"]
        wrong += check_invariants(folder / "home", self.expected(folder))
        return wrong + differences(self.wanted, snapshot(folder / "home"))

    def wait_for_messages(self, folder: Path) -> None:
        """Let the pause pass that a message has which could not be told, as a minute would."""
        home = open_home(folder / "home")
        with home.records.write() as session:
            session.execute(update(OutboxRow).where(OutboxRow.state == "pending").values(not_before=now()))
        home.close()

    def run(self, seed: int, **engine: Any) -> Trial:
        """Do the trial of this seed."""
        began, chance = time.monotonic(), random.Random(seed)
        trial = Trial(seed, plan(seed, self.points, self.seconds))
        folder = self.fresh(f"trial-{seed}")
        retries = any(kill.point == "collect.retried" for kill in trial.kills)
        engine = {"shaky": 1 if retries else chance.choice((0, 0, 1)), **engine}
        for kill in trial.kills:
            environment = {"LABRELAY_FAULT": kill.fault} if kill.fault else {}
            code = self.steps(folder, environment, kill.seconds, **engine)
            trial.died.append(code == -signal.SIGKILL)
            if code not in (-signal.SIGKILL, DONE):
                trial.wrong.append(f"ended with {code}: {(folder / 'log').read_text()[-1500:]}")
        trial.wrong += self.settle(folder, **engine)
        trial.seconds = time.monotonic() - began
        if not trial.wrong:
            shutil.rmtree(folder, ignore_errors=True)
        return trial

    def run_all(self, seeds: Sequence[int], **engine: Any) -> list[Trial]:
        """Do the trials of all seeds, two at a time."""
        lines = share(seeds, lambda seed: [asdict(self.run(seed, **engine))], self.root)
        return [Trial(**{**line, "kills": [Kill(**kill) for kill in line["kills"]]}) for line in lines]

    def _process(self, folder: Path, **engine: Any) -> None:
        home = self.open(folder, **engine)
        process(home, self.lab.run)
        sweep(home)
        home.close()

    def beside(self, folder: Path, point: str, seconds: float) -> list[str]:
        """Let one process sleep at a point past its leases while another does the work; return what is wrong then.

        Leases last `seconds` here. The sleeper is woken when the other one has ended.
        """
        environment = {"LABRELAY_FAULT": f"{point}:1:stop"}

        def work() -> None:
            lease.later = lambda _seconds: leases_until(seconds)
            self._process(folder)

        sleeper = _fork(work, folder / "sleeper.log", environment)
        _pid, status = os.waitpid(sleeper, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return [f"{point}: the sleeper did not stop there: {(folder / 'sleeper.log').read_text()[-1500:]}"]
        time.sleep(seconds)
        other = self.steps(folder, {})
        said = (folder / "log").read_text()
        os.kill(sleeper, signal.SIGCONT)
        woken = os.waitstatus_to_exitcode(os.waitpid(sleeper, 0)[1])
        wrong = [] if other == DONE else [f"the process beside the sleeper ended with {other}: {said[-1500:]}"]
        if woken not in (DONE, SAID):
            wrong.append(f"the sleeper ended with {woken}: {(folder / 'sleeper.log').read_text()[-1500:]}")
        return [f"{point}: {line}" for line in wrong + self.settle(folder)]

    def _sweep(self, folder: Path, **engine: Any) -> None:
        home = self.open(folder, **engine)
        problems = sweep(home).problems
        home.close()
        if problems:
            raise RuntimeError("; ".join(problems))


def plan(seed: int, points: Mapping[str, int], seconds: float) -> list[Kill]:
    """Draw when to kill: seeds in a row take the points in turn, each fifth the clock; half of them kill once more."""
    chance, names = random.Random(seed), sorted(points)
    name = names[seed % len(names)]
    by_clock = Kill(seconds=chance.uniform(0, seconds) + chance.uniform(*JITTER))
    kills = [by_clock if seed // len(names) % 5 == 4 else Kill(name, chance.randint(1, points[name]))]
    while len(kills) < 3 and chance.random() < 0.5:
        # What is left to do is less than the whole, so early moments are the likely ones to be met.
        name = chance.choice(names)
        again = Kill(seconds=chance.uniform(0, seconds / 2) + chance.uniform(*JITTER))
        kills.append(again if chance.random() < 0.6 else Kill(name, chance.randint(1, max(1, points[name] // 3))))
    return kills


def share(items: Sequence[Item], work: Callable[[Item], list[Any]], folder: Path) -> list[Any]:
    """Return what `work` finds for all items (as JSON), from as many processes as the machine has use for."""
    files = [folder / f"worker-{number}.jsonl" for number in range(WORKERS)]

    def one(number: int) -> None:
        with files[number].open("w") as out:
            for item in items[number::WORKERS]:
                out.writelines(json.dumps(found) + "\n" for found in work(item))
                out.flush()

    pids = [_fork(lambda number=n: one(number), files[n].with_suffix(".log"), {}) for n in range(WORKERS)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [DONE] * WORKERS, [file.with_suffix(".log").read_text()[-3000:] for file in files]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def in_child(
    work: Callable[[], None], log: Path, environment: Mapping[str, str] | None = None, seconds: float = 0.0
) -> int:
    """Do `work` in a forked process, killed after `seconds` if that is not 0; return its exit code."""
    pid = _fork(work, log, environment or {})
    if seconds:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _fork(work: Callable[[], None], log: Path, environment: Mapping[str, str]) -> int:
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    code = CRASHED
    try:
        # Nothing goes on working on a trial when the tests are stopped.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(code)
        with log.open("wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)
        os.environ.update(environment)
        work()
        code = DONE
    except LabrelayError:
        code = SAID
        log.write_text(traceback.format_exc())
    except BaseException:
        log.write_text(traceback.format_exc())
    finally:
        os._exit(code)


def leases_until(seconds: float) -> str:
    """Return the moment so many seconds from now as the lease table keeps it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def _announce(lab: TinyLab) -> None:
    home = lab.open()
    announce(home, lab.table)
    home.close()

"""Which runs go on: PENDING ones are let in as there is room, and each under way has one thread that drives it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from labrelay.emulator.cached_results import shared_work
from labrelay.emulator.drive import Drive
from labrelay.emulator.run_faults import EmulatorStops
from labrelay.emulator.run_settings import RunSettings, load_settings
from labrelay.emulator.run_states import UNDER_WAY, announce_run
from labrelay.emulator.service import Service, worker
from labrelay.emulator.staging import make_room
from labrelay.emulator.state import Body, Snapshot
from labrelay.model.errors import StorageFailed
from labrelay.workflows.local.engine import LocalEngine

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 5.0
RUNNER_IDLE_SECONDS = 60.0
GIB = 1 << 30
MAX_BREAKS = 3  # how often a run is tried again whose driver broke for a reason of its own


@dataclass
class _Usage:
    """What of a run group's limits is taken."""

    runs: int = 0
    cpus: int = 0

    def add(self, run: Body) -> None:
        self.runs += 1
        self.cpus += cpus_of(run)


class Crew:
    """The drivers of one data folder's runs, and the engine that they share."""

    def __init__(self, folder: Path) -> None:
        self.settings = load_settings(folder)
        self.engine = LocalEngine(
            folder / "engine",
            concurrency=self.settings.concurrency,
            sandbox=self.settings.sandbox,
            tool_path=[Path(path) for path in self.settings.tool_path],
            idle_seconds=RUNNER_IDLE_SECONDS,
            images=tuple(self.settings.images),
        )
        self._drivers: dict[str, threading.Thread] = {}
        self._broken: Counter[str] = Counter()
        self._data, self._tidy = folder, False

    def look(self, service: Service) -> bool:
        """Let runs in, and see that each that is under way is driven; tell whether there is any."""
        admit(service, self.settings)
        # Before the states are read: a driver that ends in between has ended its run, which is not to be driven again.
        self._drivers = {key: thread for key, thread in self._drivers.items() if thread.is_alive()}
        with service.state.read() as state:
            under_way = [run for status in UNDER_WAY for run in state.each("run", status=status)]
        for run in under_way:
            if run["uuid"] not in self._drivers:
                name = f"run {run['id']}"
                thread = threading.Thread(target=self._drive, args=(service, run), name=name, daemon=True)
                self._drivers[run["uuid"]] = thread
                thread.start()
        was_tidy, self._tidy = self._tidy, not under_way
        if self._tidy and not was_tidy:
            # Only a look lets runs in, so that none begins meanwhile.
            make_room(self._data, int(self.settings.staged_gib * GIB))
        return bool(under_way)

    def wait(self, seconds: float) -> None:
        """Wait until every driver has ended, at most so many seconds each."""
        for thread in self._drivers.values():
            thread.join(seconds)

    def _drive(self, service: Service, run: Body) -> None:
        drive = Drive(service, self.engine, run)
        try:
            drive.go()
        except EmulatorStops:
            return
        except (StorageFailed, OSError, sqlite3.Error):
            # The run is under way still, so that the next look drives it again from where it is.
            log.exception("run %s waits for the disk", run["id"])
            return
        except Exception:
            self._broken[run["uuid"]] += 1
            log.exception("run %s could not go on", run["id"])
            if self._broken[run["uuid"]] < MAX_BREAKS:
                return
            drive.give_up()
        service.wake()


_CREWS: dict[Path, Crew] = {}


@worker("runs")
def execute(service: Service) -> float | None:
    """Do what is due for runs; while any is under way, look again even if nobody wakes the worker."""
    crew = _CREWS.get(service.folder)
    if crew is None:
        crew = _CREWS[service.folder] = Crew(service.folder)
    return LOOK_AGAIN_SECONDS if crew.look(service) else None


def admit(service: Service, settings: RunSettings) -> list[Body]:
    """Make PENDING runs STARTING as far as the concurrency and their groups allow; return them.

    Higher priority goes first, then who came first. A run that its group holds back holds back no other. Of runs with
    the same run cache and definition one goes at a time, because they work in one folder of the engine.
    """
    with service.state.write() as state:
        active = [run for status in UNDER_WAY for run in state.each("run", status=status)]
        free = settings.concurrency - len(active)
        if free <= 0:
            return []
        usage: dict[str, _Usage] = defaultdict(_Usage)
        for run in active:
            usage[run.get("runGroupId", "")].add(run)
        shared = {work_of(run) for run in active if "cacheId" in run}
        waiting = sorted(state.each("run", status="PENDING"), key=lambda run: -int(run["priority"]))
        admitted: list[Body] = []
        for run in waiting:
            if len(admitted) == free:
                break
            group = run.get("runGroupId", "")
            if "cacheId" in run and work_of(run) in shared:
                continue
            if fits(_limits(state, group), usage[group].runs, usage[group].cpus, cpus_of(run)):
                usage[group].add(run)
                shared |= {work_of(run)} if "cacheId" in run else set()
                run["status"] = "STARTING"
                state.put("run", run["id"], run)
                admitted.append(run)
    for run in admitted:
        announce_run(service, run)
    return admitted


def fits(limits: Body, runs: int, cpus: int, wanted: int) -> bool:
    """Tell whether a group has room for a run.

    Args:
        limits: The group's body; a limit that is not there does not limit.
        runs, cpus: What is under way in the group.
        wanted: vCPUs of the run's largest task. One that is larger than the group's limit runs alone.
    """
    if runs >= limits.get("maxRuns", runs + 1):
        return False
    return runs == 0 or cpus + wanted <= limits.get("maxCpus", cpus + wanted)


def work_of(run: Body) -> str:
    """Return the engine's work folder that a run with a run cache shares with others."""
    return shared_work(run["cacheId"], run["_definition"]["digest"])


def cpus_of(run: Body) -> int:
    """Return the vCPUs of the run's largest task, as far as its definition says them."""
    return int(run["_definition"].get("_cpus") or 1)


def _limits(state: Snapshot, group: str) -> Body:
    return (state.get("runGroup", group) if group else None) or {}

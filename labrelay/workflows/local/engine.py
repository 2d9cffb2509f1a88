"""The local engine: WDL, Nextflow and commands on this machine, behind the same port as the engines of a cloud."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from labrelay.model.errors import EngineFailed, NotFound
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus, RunReport, RunRequest, TaskReport
from labrelay.model.states import RunState
from labrelay.stores.durable import (
    GRACE_SECONDS,
    POLL_SECONDS,
    make_dirs,
    remove_stale_temps,
    storage_errors,
    write_atomic,
    write_json_atomic,
)
from labrelay.workflows.local import lock
from labrelay.workflows.local.bring import Bring, ask_for, with_origins
from labrelay.workflows.local.home import Attempt, AttemptExit, EngineHome, RunnerSettings
from labrelay.workflows.local.processes import boot_id, started_at, stop_recorded
from labrelay.workflows.local.program import Program
from labrelay.workflows.local.programs import program_of
from labrelay.workflows.local.runner import CANCELLED, LOST
from labrelay.workflows.local.sandbox import Setting, choose, display_name
from labrelay.workflows.local.tools import search_path, write_launchers

log = logging.getLogger(__name__)
STOP_SECONDS = 10.0
SETTLE_SECONDS = 5.0


class LocalEngine:
    """Runs workflow bundles with miniwdl, Nextflow or alone on this machine, at most `concurrency` at a time.

    The external id of an attempt is its token. All state is in files below `home`, so any process may submit, poll
    and cancel; killing it touches no run.
    """

    kind = "local"

    def __init__(
        self,
        home: Path,
        concurrency: int = 2,
        sandbox: Setting = "auto",
        tool_path: Sequence[Path] = (),
        idle_seconds: float = 30.0,
        images: Sequence[str] | None = None,
        nextflow: Path | None = None,
        cpus: int | None = None,
        memory_gib: float | None = None,
        bring: Bring | None = None,
    ) -> None:
        """Take the settings; nothing is written or started before the first `submit`.

        Args:
            home: The home folder; `engine/`, `runs/` and `work/` are made in it.
            concurrency: Runs at one time.
            sandbox: What holds the tasks; `auto` is bubblewrap where it works, else plain processes.
            tool_path: Folders that tasks search for programs before those of PATH.
            idle_seconds: How long the runner stays without work.
            images: Patterns of the container images that tasks may name; with them a task that names no image, or
                another one, fails before its command starts. None asks nothing.
            nextflow: A Nextflow program, or a folder of its jars; None looks on PATH and in the checkout.
            cpus, memory_gib: The part of this machine that tasks share out; None: all of it.
            bring: How inputs on AWS come here before the engine program starts; None: a workflow gets their URIs.
        """
        self._home = EngineHome(home.resolve())
        path = search_path([str(folder) for folder in tool_path], self._home.tools)
        self._settings = RunnerSettings(
            concurrency=concurrency,
            sandbox=sandbox,
            tool_path=path,
            idle_seconds=idle_seconds,
            images=tuple(images) if images is not None else None,
            nextflow=str(nextflow) if nextflow is not None else None,
            cpus=cpus,
            memory_gib=memory_gib,
        )
        self._bring = bring
        # Kept so that a runner that has ended does not stay our zombie.
        self._runner: subprocess.Popen[bytes] | None = None

    @property
    def sandbox(self) -> str:
        """What will hold the tasks: `bubblewrap`, `host processes`, `docker` …

        Raises:
            MissingTool: The one that the settings ask for does not work here.
        """
        return display_name(choose(self._settings.sandbox))

    def submit(self, request: RunRequest) -> str:
        """Queue the attempt and make sure that a runner is there; the same token again starts nothing.

        Raises:
            MissingTool: The sandbox that the settings ask for, or the engine program, does not work here, or inputs are
                on AWS and what asks it is not installed.
            RefusedInput: Nothing here runs the workflow's language.
            StorageFailed: The disk did not take the request; nothing was started.
        """
        program_of(request.workflow.language).check(self._settings)
        attempt = self._home.attempt(request.token)
        if attempt.exit() is None:
            if not attempt.request_file.exists():
                if self._bring is not None:
                    ask_for(attempt, request.inputs, self._bring)
                write_json_atomic(attempt.request_file, request.model_dump(mode="json"))
                faultpoint("runner.request_written")
            if not attempt.queued_file.exists():
                _touch(attempt.queued_file)
                faultpoint("runner.queued")
            self._prepare()
            self.ensure_runner()
        return request.token

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        """Return the state of each attempt that is known here, after one look at its files.

        An attempt whose runner died is SYSTEM_ERROR; one that no runner has taken up yet gets a runner.
        """
        found: dict[str, EngineStatus] = {}
        for token in external_ids:
            status = self._status(self._home.attempt(token))
            if status is not None:
                found[token] = status
        self.ensure_runner()
        return found

    def report(self, external_id: str) -> RunReport:
        """Return what happened in an ended attempt.

        Raises:
            NotFound: There is no such attempt here.
            EngineFailed: It has not ended.
        """
        attempt = self._home.attempt(external_id)
        ended = attempt.exit()
        if ended is None:
            if not attempt.request_file.exists():
                raise NotFound(f"No attempt {external_id} is in {self._home.root}; list the runs to find its id.")
            ended = self._end_of_lost(attempt)
            if ended is None:
                raise EngineFailed(f"The attempt {external_id} has not ended; poll it until its state is final.")
        return with_origins(attempt, _program(attempt).report(attempt, ended))

    def tasks(self, external_id: str) -> tuple[TaskReport, ...]:
        """Return the tasks of an attempt as far as they have come, whether it has ended or not.

        A task that has no end yet is INITIALIZING before its command starts and RUNNING afterwards.
        """
        attempt = self._home.attempt(external_id)
        ended = attempt.exit()
        return self.report(external_id).tasks if ended is not None else _program(attempt).live_tasks(attempt)

    def said(self, external_id: str, task: str) -> tuple[Path, ...]:
        """Return the files with what a task of an attempt wrote to standard output and standard error."""
        attempt = self._home.attempt(external_id)
        return _program(attempt).said(attempt, task)

    def forget(self, external_ids: Sequence[str], work: bool = True) -> None:
        """Remove the files of ended attempts; one that has not ended is left alone.

        Args:
            external_ids: Attempts of one workflow run or of several.
            work: Whether to remove also the work folder of their run, with its call cache and its output files.
        """
        for token in external_ids:
            attempt = self._home.attempt(token)
            if attempt.exit() is None:
                continue
            request = attempt.request()
            if work and request is not None:
                shutil.rmtree(attempt.work, ignore_errors=True)
            shutil.rmtree(attempt.folder, ignore_errors=True)

    def cancel(self, external_id: str) -> None:
        """Ask for the end of an attempt; its state then says CANCELED. An ended one stays as it is.

        Raises:
            NotFound: There is no such attempt here.
        """
        attempt = self._home.attempt(external_id)
        if not attempt.request_file.exists():
            raise NotFound(f"No attempt {external_id} is in {self._home.root}; list the runs to find its id.")
        if attempt.exit() is None:
            _touch(attempt.cancel_file)
            _touch(self._home.cancels)
            self.ensure_runner()

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove temporary files and folders that killed processes left; return how many. Tasks' own are left."""
        places = [self._home.engine, self._home.root / "runs"]
        removed = sum(remove_stale_temps(place, older_than) for place in places)
        return removed + sum(
            remove_stale_temps(work, older_than, deep=False) for work in (self._home.root / "work").glob("*")
        )

    def ensure_runner(self) -> bool:
        """Start a runner if something is queued and none lives; tell whether one was started."""
        if self._runner is not None and self._runner.poll() is not None:
            self._runner = None
        if not self._home.has_queued():
            return False
        handle = lock.take(self._home.lock)
        if handle is None:
            return False
        self._prepare()
        faultpoint("runner.spawn")
        argv = [sys.executable, "-P", "-m", "labrelay.workflows.local.runner", str(self._home.root), str(handle)]
        try:
            with (self._home.engine / "runner.log").open("ab") as out:
                self._runner = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd=self._home.root,
                    start_new_session=True,
                    pass_fds=(handle,),
                )
        except OSError as error:
            raise EngineFailed(f"The runner of {self._home.root} could not be started: {error}.") from error
        finally:
            os.close(handle)
        return True

    def stop(self) -> bool:
        """Stop the runner and what it runs, and tell whether there was one; its attempts end as lost.

        The next submit, poll or cancel starts a runner again, and a new attempt goes on where the lost one was.
        """
        holder = lock.holder(self._home.lock)
        if holder is None:
            return False
        stop_recorded(holder, started_at(holder), boot_id(), STOP_SECONDS)
        return True

    def _prepare(self) -> None:
        make_dirs(self._home.engine)
        write_launchers(self._home.tools)
        # The launchers' folder may have been made just now, after the search path was looked up.
        path = tuple(dict.fromkeys((*self._settings.tool_path, str(self._home.tools))))
        self._home.write_settings(self._settings.model_copy(update={"tool_path": path}))

    def _end_of_lost(self, attempt: Attempt) -> AttemptExit | None:
        """Return the end of an attempt that was called lost a moment ago, which a new runner writes at its start."""
        until = time.monotonic() + SETTLE_SECONDS
        while (ended := attempt.exit()) is None and time.monotonic() < until:
            status = self._status(attempt)
            if status is not None and status.state.terminal:
                return AttemptExit(state=status.state, at=status.at, message=status.message)
            time.sleep(POLL_SECONDS)
        return ended

    def _status(self, attempt: Attempt) -> EngineStatus | None:
        ended = attempt.exit()
        if ended is not None:
            return ended.status()
        state = attempt.state()
        if state is None:
            return self._queued(attempt)
        if not lock.is_held(self._home.lock) and not lock.switched_off():
            # The runner writes the end before it lets go of the lock: look again before calling it lost.
            ended = attempt.exit()
            if ended is not None:
                return ended.status()
            if attempt.cancel_file.exists():
                return EngineStatus(state=RunState.CANCELED, at=datetime.now(UTC), message=CANCELLED)
            return EngineStatus(state=RunState.SYSTEM_ERROR, at=datetime.now(UTC), message=LOST)
        return EngineStatus(
            state=state.state, at=state.at, tasks_done=state.tasks_done, tasks_started=state.tasks_started
        )

    def _queued(self, attempt: Attempt) -> EngineStatus | None:
        try:
            since = attempt.request_file.stat().st_mtime
        except FileNotFoundError:
            return None
        if not attempt.queued_file.exists():
            # A kill between request and mark; an end would be here by now, since the runner writes it first.
            _touch(attempt.queued_file)
        return EngineStatus(state=RunState.QUEUED, at=datetime.fromtimestamp(since, UTC))


def _program(attempt: Attempt) -> Program:
    """Return what runs, or ran, the attempt; one whose request is lost left nothing that anybody could read."""
    request = attempt.request()
    return program_of(request.workflow.language if request is not None else "WDL")


def _touch(path: Path) -> None:
    with storage_errors(f"write {path.name}", path.parent):
        make_dirs(path.parent)
        write_atomic(path, b"")

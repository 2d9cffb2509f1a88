"""The one process of a home that starts engines, watches them, and writes how they ended.

    python -m labrelay.workflows.local.runner <home folder> [descriptor of the lock]

It is started by whoever submits or polls, has a session of its own, and ends when it had nothing to do for a while.
Whatever kills it, its engines are stopped by their keepers, and the next runner writes down what was lost.
"""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from labrelay.model.errors import LabrelayError, RefusedInput, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.model.problem import Problem
from labrelay.model.runs import RunRequest
from labrelay.model.states import RunState
from labrelay.stores.durable import make_dirs, write_json_atomic
from labrelay.workflows.bundle import file_digest, unpack_bundle
from labrelay.workflows.local import keeper, lock, wdl
from labrelay.workflows.local.home import Attempt, AttemptExit, AttemptState, EngineHome, RunnerSettings
from labrelay.workflows.local.processes import boot_id, started_at, stop_recorded
from labrelay.workflows.local.sandbox import choose, display_name

log = logging.getLogger(__name__)
TICK_SECONDS = 0.2
LOCK_SECONDS = 1.0
LOST = (
    "The runner died while this attempt ran (killed, or the machine stopped); its tasks were stopped. "
    "A new attempt goes on from the finished tasks."
)
CANCELLED = "Cancelled on request; the runner died before its tasks were stopped, which they are by now."


@dataclass
class Running:
    """An engine process and what is known of it."""

    attempt: Attempt
    process: subprocess.Popen[bytes]
    pidfd: int
    state: AttemptState
    sandbox: str
    progress: wdl.Progress
    cancelled: bool = field(default=False)


class Runner:
    """Keeps at most `concurrency` engines running until there is nothing left to do."""

    def __init__(self, home: EngineHome) -> None:
        self._home, self._running = home, dict[str, Running]()
        self._told: set[str] = set()

    def work(self) -> None:
        """Do what is queued; return when nothing was for `idle_seconds`."""
        idle_since = time.monotonic()
        while True:
            settings = self._home.settings()
            if self._turn(settings):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= settings.idle_seconds:
                return
            self._sleep()

    def recover(self) -> None:
        """Write the end of each attempt that an earlier runner left, after making sure that nothing of it lives."""
        for attempt in self._home.queued():
            state = attempt.state()
            if attempt.exit() is None and state is not None:
                stop_recorded(state.pid, state.pid_started, state.boot_id, self._home.settings().grace_seconds)
                # Who had asked for its end gets that, not a new attempt.
                lost = RunState.CANCELED if attempt.cancel_file.exists() else RunState.SYSTEM_ERROR
                message = LOST if lost is RunState.SYSTEM_ERROR else CANCELLED
                self._end(attempt, AttemptExit(state=lost, at=_now(), started=state.started, message=message))

    def _turn(self, settings: RunnerSettings) -> bool:
        """Look at everything once; tell whether there was anything."""
        for running in list(self._running.values()):
            with self._patience(running.attempt):
                self._watch(running)
        queued = self._home.queued()
        for attempt in queued:
            if attempt.token not in self._running:
                with self._patience(attempt):
                    self._take_up(attempt, settings)
        return bool(queued or self._running)

    @contextmanager
    def _patience(self, attempt: Attempt) -> Iterator[None]:
        """Outlive a full disk: what could not be written is written at a later turn, and no engine is lost by it."""
        try:
            yield
            self._told.discard(attempt.token)
        except (StorageFailed, OSError) as error:
            if attempt.token not in self._told:
                log.warning("%s waits: %s", attempt.token, error)
            self._told.add(attempt.token)

    def _take_up(self, attempt: Attempt, settings: RunnerSettings) -> None:
        if attempt.exit() is not None:
            attempt.queued_file.unlink(missing_ok=True)
        elif attempt.cancel_file.exists():
            message = "Cancelled on request before it had started."
            self._end(attempt, AttemptExit(state=RunState.CANCELED, at=_now(), message=message))
        elif len(self._running) < settings.concurrency and not self._work_is_taken(attempt):
            self._start(attempt, settings)

    def _work_is_taken(self, attempt: Attempt) -> bool:
        return any(running.attempt.work == attempt.work for running in self._running.values())

    def _start(self, attempt: Attempt, settings: RunnerSettings) -> None:
        request = attempt.request()
        if request is None:
            message = f"The request {attempt.request_file} cannot be read; submit the run again."
            self._end(attempt, AttemptExit(state=RunState.SYSTEM_ERROR, at=_now(), message=message))
            return
        now = _now()
        state = AttemptState(state=RunState.INITIALIZING, at=now, started=now)
        attempt.write_state(state)
        faultpoint("runner.state_written")
        try:
            backend = choose(settings.sandbox)
            argv = prepare(attempt, request, settings, backend)
            process = _spawn(attempt, argv, settings)
        except (LabrelayError, OSError) as error:
            if isinstance(error, StorageFailed):
                raise
            kind = RunState.EXECUTOR_ERROR if isinstance(error, RefusedInput) else RunState.SYSTEM_ERROR
            self._end(attempt, AttemptExit(state=kind, at=_now(), started=now, message=_sentence(error)))
            return
        faultpoint("runner.started")
        state = state.model_copy(
            update={"pid": process.pid, "pid_started": started_at(process.pid), "boot_id": boot_id()}
        )
        progress = wdl.Progress(attempt.log_file)
        pidfd = os.pidfd_open(process.pid)
        self._running[attempt.token] = Running(attempt, process, pidfd, state, display_name(backend), progress)
        attempt.write_state(state)

    def _watch(self, running: Running) -> None:
        if running.process.poll() is not None:
            self._finish(running)
            return
        wanted = running.state
        if running.progress.update():
            counts = {"tasks_started": running.progress.started, "tasks_done": running.progress.done}
            wanted = wanted.model_copy(update=counts)
            if running.progress.started and wanted.state is RunState.INITIALIZING:
                wanted = wanted.model_copy(update={"state": RunState.RUNNING})
        if not running.cancelled and running.attempt.cancel_file.exists():
            running.cancelled = True
            # The keeper passes it on and kills what has not ended after the grace time.
            running.process.terminate()
            wanted = wanted.model_copy(update={"state": RunState.CANCELING})
        if wanted != running.state:
            wanted = wanted.model_copy(update={"at": _now()})
            running.attempt.write_state(wanted)
            running.state = wanted

    def _finish(self, running: Running) -> None:
        code = running.process.returncode
        faultpoint("runner.child_exited")
        running.progress.update()
        verdict = wdl.judge(running.attempt, code, running.cancelled)
        ended = AttemptExit(
            state=verdict.state,
            at=_now(),
            started=running.state.started,
            exit_code=code,
            message=verdict.message,
            sandbox=running.sandbox,
            tasks_started=running.progress.started,
            tasks_done=running.progress.done,
        )
        self._end(running.attempt, ended)
        os.close(running.pidfd)
        del self._running[running.attempt.token]

    def _end(self, attempt: Attempt, ended: AttemptExit) -> None:
        attempt.write_exit(ended)
        faultpoint("runner.exit_written")
        attempt.queued_file.unlink(missing_ok=True)
        log.info("%s: %s %s", attempt.token, ended.state, ended.message or "")

    def _sleep(self) -> None:
        """Wait for an engine's end, or for the next look at the queue."""
        select.select([running.pidfd for running in self._running.values()], [], [], TICK_SECONDS)


def prepare(attempt: Attempt, request: RunRequest, settings: RunnerSettings, backend: str) -> list[str]:
    """Unpack the bundle if it is not yet, write what the engine reads, and return the engine's command line.

    Raises:
        RefusedInput: The bundle is not the one that was asked for, or not acceptable.
    """
    folder = attempt.work / "bundle"
    if not folder.is_dir():
        archive = Path(request.bundle)
        if file_digest(archive) != request.workflow.digest:
            message = "Its bytes are not those that the run was made for; add the workflow again and submit anew."
            raise RefusedInput(f"The bundle {archive}", [Problem(code="BUNDLE_CHANGED", message=message)])
        unpack_bundle(archive, folder)
    make_dirs(attempt.engine_folder)
    write_json_atomic(attempt.folder / "inputs.json", request.inputs)
    (attempt.folder / "miniwdl.cfg").write_text(wdl.configuration(attempt, settings, backend), encoding="utf-8")
    return wdl.command_line(attempt, request)


def _spawn(attempt: Attempt, argv: list[str], settings: RunnerSettings) -> subprocess.Popen[bytes]:
    with (attempt.folder / "starts").open("a", encoding="utf-8") as starts:
        starts.write(json.dumps({"at": _now().isoformat(), "runner": os.getpid()}) + "\n")
    guard = [sys.executable, "-I", "-S", keeper.__file__, "--parent", str(os.getpid())]
    guard += ["--usage", str(attempt.folder / "usage.json"), "--lock", str(attempt.work / "lock")]
    guard += ["--grace", str(settings.grace_seconds), "--chdir", str(attempt.folder), "--"]
    with attempt.log_file.open("ab") as out:
        return subprocess.Popen(
            [*guard, *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=wdl.environment(settings.tool_path),
        )


def main(folder: Path, handle: int | None = None) -> None:
    """Be the runner of the home in `folder`, unless there is one.

    Args:
        folder: The home folder.
        handle: The lock, if the one who started us has taken it for us.
    """
    home = EngineHome(folder)
    make_dirs(home.queue)
    if handle is None:
        handle = lock.take(home.lock)
    while handle is not None:
        lock.sign(handle)
        runner = Runner(home)
        if not lock.switched_off():
            runner.recover()
        runner.work()
        os.close(handle)
        # Whoever queued between our last look and this close saw a living runner and started none.
        handle = lock.take(home.lock, LOCK_SECONDS) if home.queued() else None


def _sentence(error: LabrelayError | OSError) -> str:
    return str(error) if isinstance(error, LabrelayError) else f"The engine could not be started: {error}."


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)

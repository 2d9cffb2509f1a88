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
from labrelay.stores.durable import make_dirs
from labrelay.workflows.bundle import file_digest, unpack_bundle
from labrelay.workflows.local import lock
from labrelay.workflows.local.bring import Bringing, bring_file, brought
from labrelay.workflows.local.home import UNREADABLE, Attempt, AttemptExit, AttemptState, EngineHome, RunnerSettings
from labrelay.workflows.local.processes import boot_id, started_at, stop_recorded
from labrelay.workflows.local.program import Launch, Program, Progress
from labrelay.workflows.local.programs import program_of
from labrelay.workflows.local.starter import Child, Order, Starter
from labrelay.workflows.local.waiting import Waiting

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
    """An engine process, or the one that brings the inputs for it, and what is known of it."""

    attempt: Attempt
    child: Child
    state: AttemptState
    sandbox: str
    program: Program | Bringing
    progress: Progress
    cancelled: bool = field(default=False)


class Runner:
    """Keeps at most `concurrency` engines running until there is nothing left to do."""

    def __init__(self, home: EngineHome) -> None:
        self._home, self._running = home, dict[str, Running]()
        self._waiting, self._starter = Waiting(home), Starter()
        # Attempts with something left to do at the next turn, since it could not be written, and those warned of.
        self._held_up: dict[str, Attempt] = {}
        self._told: set[str] = set()

    def work(self) -> None:
        """Do what is queued; return when nothing was for `idle_seconds`."""
        idle_since = time.monotonic()
        while True:
            settings = self._home.settings()
            if self._turn(settings):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= settings.idle_seconds:
                self._starter.close()
                return
            self._sleep()
            self._starter.reap_strangers({running.child.pid for running in self._running.values()})

    def recover(self) -> None:
        """Write the end of each attempt that an earlier runner left, after making sure that nothing of it lives."""
        for attempt in self._home.queued():
            state = attempt.state()
            if attempt.exit() is None and state is not None:
                stop_recorded(state.pid, state.pid_started, state.boot_id, self._home.settings().grace_seconds)
                # Who had asked for its end gets that, not a new attempt.
                lost = RunState.CANCELED if attempt.cancel_file.exists() else RunState.SYSTEM_ERROR
                message = UNREADABLE.format(attempt.folder) if state.state is RunState.UNKNOWN else LOST
                if lost is RunState.CANCELED:
                    message = CANCELLED
                self._end(attempt, AttemptExit(state=lost, at=_now(), started=state.started, message=message))

    def _turn(self, settings: RunnerSettings) -> bool:
        """Look at everything once; tell whether there was anything."""
        for running in list(self._running.values()):
            with self._patience(running.attempt):
                self._watch(running)
        for attempt in (*self._waiting.look(), *list(self._held_up.values())):
            if attempt.token not in self._running:
                with self._patience(attempt):
                    self._drop_if_over(attempt)
        for attempt in self._waiting.attempts:
            if len(self._running) >= settings.concurrency:
                break
            if attempt.token not in self._running and not self._work_is_taken(attempt):
                with self._patience(attempt):
                    if not self._drop_if_over(attempt):
                        self._start(attempt, settings)
        return bool(self._waiting.attempts or self._running)

    @contextmanager
    def _patience(self, attempt: Attempt) -> Iterator[None]:
        """Outlive a full disk: what could not be written is written at a later turn, and no engine is lost by it."""
        try:
            yield
            self._held_up.pop(attempt.token, None)
        except (StorageFailed, OSError) as error:
            if attempt.token not in self._told:
                log.warning("%s waits: %s", attempt.token, error)
            self._told.add(attempt.token)
            self._held_up[attempt.token] = attempt

    def _drop_if_over(self, attempt: Attempt) -> bool:
        """Take an attempt out of the queue that has ended or was cancelled there, and tell whether it was one."""
        if attempt.exit() is not None:
            attempt.queued_file.unlink(missing_ok=True)
        elif attempt.cancel_file.exists():
            message = "Cancelled on request before it had started."
            self._end(attempt, AttemptExit(state=RunState.CANCELED, at=_now(), message=message))
        else:
            return False
        return True

    def _work_is_taken(self, attempt: Attempt) -> bool:
        return any(running.attempt.work == attempt.work for running in self._running.values())

    def _start(self, attempt: Attempt, settings: RunnerSettings) -> None:
        request = attempt.request()
        if request is None:
            message = f"The request {attempt.request_file} cannot be read; submit the run again."
            self._end(attempt, AttemptExit(state=RunState.SYSTEM_ERROR, at=_now(), message=message))
            return
        now, before = _now(), attempt.state()
        state = AttemptState(state=RunState.INITIALIZING, at=now, started=now if before is None else before.started)
        attempt.write_state(state)
        faultpoint("runner.state_written")
        try:
            unpack(attempt, request)
            program, launch = _next(attempt, request, settings)
            child = self._spawn(attempt, launch, settings)
        except (LabrelayError, OSError) as error:
            if isinstance(error, StorageFailed):
                raise
            kind = RunState.EXECUTOR_ERROR if isinstance(error, RefusedInput) else RunState.SYSTEM_ERROR
            self._end(attempt, AttemptExit(state=kind, at=_now(), started=now, message=_sentence(error)))
            return
        faultpoint("runner.started")
        state = state.model_copy(update={"pid": child.pid, "pid_started": started_at(child.pid), "boot_id": boot_id()})
        progress = program.progress(attempt)
        self._running[attempt.token] = Running(attempt, child, state, launch.sandbox, program, progress)
        attempt.write_state(state)

    def _spawn(self, attempt: Attempt, launch: Launch, settings: RunnerSettings) -> Child:
        with (attempt.folder / "starts").open("a", encoding="utf-8") as starts:
            starts.write(json.dumps({"at": _now().isoformat(), "runner": os.getpid()}) + "\n")
        guard = ["--usage", str(attempt.folder / "usage.json"), "--lock", str(attempt.work / "lock")]
        guard += ["--grace", str(settings.grace_seconds), "--chdir", str(launch.folder)]
        with attempt.log_file.open("ab") as out:
            order = Order(
                engine=launch.argv,
                main=None if launch.fork_of is None else str(launch.fork_of),
                guard=guard,
                log=out.fileno(),
                env=dict(launch.env),
            )
            return self._starter.start(order, many=len(self._waiting.attempts) >= settings.fork_from)

    def _watch(self, running: Running) -> None:
        code = running.child.poll()
        if code is not None:
            self._finish(running, code)
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
            running.child.stop()
            wanted = wanted.model_copy(update={"state": RunState.CANCELING})
        if wanted != running.state:
            wanted = wanted.model_copy(update={"at": _now()})
            running.attempt.write_state(wanted)
            running.state = wanted

    def _finish(self, running: Running, code: int) -> None:
        faultpoint("runner.child_exited")
        if isinstance(running.program, Bringing) and code == 0:
            # Still in the queue, where it is taken up again, now by its engine.
            self._let_go(running)
            return
        running.progress.update()
        verdict = running.program.judge(running.attempt, code, running.cancelled)
        ended = AttemptExit(
            state=verdict.state,
            at=_now(),
            started=running.state.started,
            exit_code=code,
            message=verdict.message,
            sandbox=running.sandbox or None,
            tasks_started=running.progress.started,
            tasks_done=running.progress.done,
        )
        self._end(running.attempt, ended)
        self._let_go(running)

    def _let_go(self, running: Running) -> None:
        running.child.close()
        del self._running[running.attempt.token]

    def _end(self, attempt: Attempt, ended: AttemptExit) -> None:
        attempt.write_exit(ended)
        faultpoint("runner.exit_written")
        attempt.queued_file.unlink(missing_ok=True)
        self._told.discard(attempt.token)
        log.info("%s: %s %s", attempt.token, ended.state, ended.message or "")

    def _sleep(self) -> None:
        """Wait for an engine's end, or for the next look at the queue."""
        select.select([running.child.pidfd for running in self._running.values()], [], [], TICK_SECONDS)


def unpack(attempt: Attempt, request: RunRequest) -> None:
    """Unpack the bundle if it is not yet, and make the engine's own folder.

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


def _next(attempt: Attempt, request: RunRequest, settings: RunnerSettings) -> tuple[Program | Bringing, Launch]:
    """Return what the attempt needs next, and how it is started: its inputs, if they are elsewhere, then its engine."""
    if bring_file(attempt).exists():
        told = brought(attempt)
        if told is None:
            bringing = Bringing()
            return bringing, bringing.launch(attempt)
        request = request.model_copy(update={"inputs": told.inputs})
    program = program_of(request.workflow.language)
    return program, program.prepare(attempt, request, settings)


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

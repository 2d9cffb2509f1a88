"""Runs jobs: lets in what is runnable as there is room, starts attempts, and settles how they ended.

All that counts is in the state and in the attempts' folders; what is in memory here is made again from them after a
kill. One thread decides; each attempt under way has a thread that sleeps until its attendant has ended.
"""

from __future__ import annotations

import logging
import queue
import signal
import subprocess
import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

from labrelay.emulator.batch import admission, settling
from labrelay.emulator.batch.attempts import Attempt
from labrelay.emulator.batch.container import vcpus_of
from labrelay.emulator.batch.containment import CannotStart
from labrelay.emulator.batch.endings import UNDER_WAY, changing, now_ms
from labrelay.emulator.batch.following import settle_ends, take_submitted
from labrelay.emulator.batch.naming import JOB, parent_of
from labrelay.emulator.batch.starting import start
from labrelay.emulator.run_settings import load_settings
from labrelay.emulator.service import BATCH_WORKER, Service, worker
from labrelay.emulator.state import Body
from labrelay.workflows.local.tools import write_launchers

log = logging.getLogger(__name__)


@dataclass
class Running:
    """An attempt under way.

    Attributes:
        attempt: Its files.
        vcpus: What it takes of its environment.
        environment: The ARN of its compute environment.
        told: Whether its end was asked for.
    """

    attempt: Attempt
    vcpus: float
    environment: str
    told: bool = False


class Crew:
    """What is under way of one data folder's jobs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = load_settings(service.folder)
        self._root = service.folder.absolute() / "batch" / "attempts"
        self._running: dict[str, Running] = {}
        self._runnable: dict[str, deque[str]] = defaultdict(deque)
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._knows = False

    def look(self) -> None:
        """Do all that is due."""
        if not self._knows:
            self._take_up()
        try:
            self._settle()
            self._follow()
            self._stop_marked()
            while self._let_in():
                pass
        except BaseException:
            # What was read of the state may be old now.
            self._knows = False
            raise

    def _take_up(self) -> None:
        """Learn from the state what waits and what is under way."""
        write_launchers(self._service.folder / "batch" / "tools")
        with self._service.state.read() as state:
            runnable = [(job["jobQueue"], job["jobId"]) for job in state.each(JOB, None, "RUNNABLE")]
            under_way = [job for status in UNDER_WAY for job in state.each(JOB, None, status)]
        self._runnable.clear()
        for queue_arn, job in runnable:
            self._runnable[queue_arn].append(job)
        kept = {job["_attempt"]["id"] for job in under_way}
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if folder.name not in kept:
                Attempt(self._root, folder.name).clear()
        for job in under_way:
            if job["jobId"] not in self._running:
                attempt = Attempt(self._root, job["_attempt"]["id"])
                self._note(job, attempt)
                if job["status"] == "STARTING" and not attempt.was_started():
                    self._start(job)
                else:
                    self._attend(job["jobId"], attempt, None)
        self._knows = True

    def _settle(self) -> None:
        """Write how attempts ended; a failed one may be followed by another."""
        ended = []
        while not self._ended.empty():
            ended.append(self._ended.get())
        done = [(job, self._running[job]) for job in ended if job in self._running]
        for job, running in done:
            if running.attempt.outcome() is None:
                running.attempt.kill_left(job)
        if done:
            with changing(self._service) as changes:
                for job, running in done:
                    body = changes.state.get(JOB, job, parent_of(job))
                    if body is not None and body["status"] in UNDER_WAY:
                        settling.settle(self._service, changes, body, running.attempt.outcome())
            self._queue(changes.runnable)
        for job, running in done:
            del self._running[job]
            running.attempt.clear()

    def _follow(self) -> None:
        """Carry on what was submitted and what has ended."""
        while True:
            with self._service.state.read() as state:
                if not state.has(JOB, "", "SUBMITTED") and not state.first_ids(settling.MARK, 1):
                    return
            with changing(self._service) as changes:
                take_submitted(self._service, changes)
                settle_ends(changes)
            self._queue(changes.runnable)

    def _stop_marked(self) -> None:
        """Ask for the end of what is under way and was terminated."""
        open_ones = [(job, running) for job, running in self._running.items() if not running.told]
        with self._service.state.read() as state:
            bodies = {job: state.get(JOB, job, parent_of(job)) for job, _running in open_ones}
        for job, running in open_ones:
            if "_stop" in (bodies[job] or {}):
                running.told = True
                running.attempt.signal(signal.SIGTERM)

    def _let_in(self) -> bool:
        """Start what there is room for, higher priority first; tell whether there was anything."""
        if not any(self._runnable.values()):
            return False
        room = admission.Room(self._limit, [(running.vcpus, running.environment) for running in self._running.values()])
        with changing(self._service) as changes:
            let_in = admission.admit(changes, self._runnable, room)
        for job in let_in:
            self._note(job, Attempt(self._root, job["_attempt"]["id"]))
        for job in let_in:
            self._start(job)
        return bool(let_in)

    @property
    def _limit(self) -> float:
        return float(self._settings.batch.vcpus or self._settings.concurrency)

    def _note(self, job: Body, attempt: Attempt) -> None:
        self._running[job["jobId"]] = Running(attempt, vcpus_of(job["container"]), job["_attempt"]["environment"])

    def _start(self, job: Body) -> None:
        attempt = self._running[job["jobId"]].attempt
        try:
            process = start(self._service, self._settings, job, attempt)
        except CannotStart as why:
            with changing(self._service) as changes:
                body = changes.state.get(JOB, job["jobId"], parent_of(job["jobId"]))
                if body is not None:
                    settling.not_started(self._service, changes, body, str(why))
            self._queue(changes.runnable)
            del self._running[job["jobId"]]
            attempt.clear()
            return
        with changing(self._service) as changes:
            body = changes.state.get(JOB, job["jobId"], parent_of(job["jobId"]))
            if body is not None and body["status"] == "STARTING":
                changes.move(body, "RUNNING", startedAt=now_ms())
        self._attend(job["jobId"], attempt, process)
        seconds = self._service.loses_host(job["jobName"])
        if seconds is not None:
            threading.Timer(seconds, attempt.signal, (signal.SIGUSR1,)).start()

    def _attend(self, job: str, attempt: Attempt, process: subprocess.Popen[bytes] | None) -> None:
        def wait() -> None:
            attempt.wait(process)
            attempt.clear_scratch()
            self._ended.put(job)
            self._service.batch_bell.ring()

        threading.Thread(target=wait, name=f"job {job}", daemon=True).start()

    def _queue(self, runnable: list[Body]) -> None:
        for job in runnable:
            self._runnable[job["jobQueue"]].append(job["jobId"])


_CREWS: dict[Path, Crew] = {}


@worker(BATCH_WORKER)
def run_jobs(service: Service) -> float | None:
    """Do what is due for jobs; whatever makes something due rings the bell."""
    crew = _CREWS.get(service.folder)
    if crew is None:
        crew = _CREWS[service.folder] = Crew(service)
    crew.look()
    return None

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
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

from labrelay.emulator.batch import admission, settling
from labrelay.emulator.batch.attempts import Attempt
from labrelay.emulator.batch.container import vcpus_of
from labrelay.emulator.batch.containment import CannotStart
from labrelay.emulator.batch.following import settle_ends, take_submitted
from labrelay.emulator.batch.job_states import MARK, UNDER_WAY, Changes, changing
from labrelay.emulator.batch.naming import JOB, parent_of
from labrelay.emulator.batch.starting import start
from labrelay.emulator.run_settings import load_settings
from labrelay.emulator.service import BATCH_WORKER, Service, worker
from labrelay.emulator.state import Body
from labrelay.model.faults import faultpoint
from labrelay.workflows.local.tools import write_launchers

logger = logging.getLogger(__name__)

SOON_SECONDS = 0.05  # an attendant is about to sign its lock


@dataclass
class Running:
    """An attempt under way.

    Attributes:
        attempt: Its files.
        vcpus: What it takes of its environment.
        environment: The ARN of its compute environment.
        attended: Whether a thread waits for its end.
        told: Whether its end was asked for.
    """

    attempt: Attempt
    vcpus: float
    environment: str
    attended: bool = False
    told: bool = False


class Crew:
    """What is under way of one data folder's jobs."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._settings = load_settings(service.folder)
        self._root = attempts_folder(service)
        self._running: dict[str, Running] = {}
        self._runnable: dict[str, deque[str]] = defaultdict(deque)
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._knows = False

    def look(self) -> bool:
        """Do all that is due; tell whether to look again soon."""
        try:
            if not self._knows:
                self._take_up()
            more = True
            while more:
                more = self._decide()
            return self._stop_marked()
        except BaseException:
            # What was read of the state may be old now.
            self._knows = False
            raise

    def _take_up(self) -> None:
        """Learn from the state what waits and what is under way."""
        write_launchers(self.service.folder / "batch" / "tools")
        with self.service.state.read() as state:
            runnable = [(job["jobQueue"], job["jobId"]) for job in state.each(JOB, None, "RUNNABLE")]
            under_way = [job for status in UNDER_WAY for job in state.each(JOB, None, status)]
        self._runnable.clear()
        for queue_arn, job in runnable:
            self._runnable[queue_arn].append(job)
        kept = {job["_attempt"]["id"] for job in under_way}
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if folder.name not in kept:
                Attempt(self._root, folder.name).clear()
        not_begun: list[Body] = []
        for job in under_way:
            known = self._running.get(job["jobId"])
            if known is None or not known.attended:
                attempt = Attempt(self._root, job["_attempt"]["id"])
                self._note(job, attempt)
                if job["status"] == "STARTING" and not attempt.was_started():
                    not_begun.append(job)
                else:
                    self._attend(job["jobId"], attempt, None)
        self._start(not_begun)
        self._knows = True

    def _decide(self) -> bool:
        """Settle what has ended and let in what there is room for, in one transaction; tell whether more may be due."""
        ended = self._just_ended()
        if not ended and not self._has_work():
            return False
        with changing(self.service) as changes:
            for job, running in ended:
                body = changes.state.get(JOB, job, parent_of(job))
                if body is not None and body["status"] in UNDER_WAY:
                    settling.settle(self.service, changes, body, running.attempt.outcome())
                del self._running[job]
            take_submitted(self.service, changes)
            more = settle_ends(changes)
            self._queue(changes.runnable)
            let_in = admission.admit(changes, self._runnable, self._room())
        if ended or let_in:
            faultpoint("emulator.batch_decided")
        for _job, running in ended:
            running.attempt.clear()
        for admitted in let_in:
            self._note(admitted, Attempt(self._root, admitted["_attempt"]["id"]))
        self._start(let_in)
        return more or bool(let_in)

    def _just_ended(self) -> list[tuple[str, Running]]:
        """Return the attempts that ended since the last look; nothing of their processes is left."""
        ended = []
        while not self._ended.empty():
            job = self._ended.get()
            if job in self._running:
                ended.append((job, self._running[job]))
        for job, running in ended:
            if running.attempt.outcome() is None:
                if words := running.attempt.last_words():
                    logger.warning("the attendant of job %s broke: %s", job, words)
                running.attempt.kill_left(job)
        return ended

    def _has_work(self) -> bool:
        """Whether there is anything to carry on or to let in."""
        with self.service.state.read() as state:
            if state.has(JOB, "", "SUBMITTED") or state.first_ids(MARK, 1):
                return True
        return any(self._runnable.values()) and self._room().on_machine(0.0)

    def _room(self) -> admission.Room:
        limit = float(self._settings.batch.vcpus or self._settings.concurrency)
        return admission.Room(limit, [(running.vcpus, running.environment) for running in self._running.values()])

    def _stop_marked(self) -> bool:
        """Ask for the end of what is under way and was terminated; tell whether one is to be asked again."""
        missed = False
        open_ones = [(job, running) for job, running in self._running.items() if not running.told]
        with self.service.state.read() as state:
            bodies = {job: state.get(JOB, job, parent_of(job)) for job, _running in open_ones}
        for job, running in open_ones:
            if "_stop" in (bodies[job] or {}):
                faultpoint("emulator.batch_stopping")
                running.told = running.attempt.signal(signal.SIGTERM)
                missed = missed or not running.told
        return missed

    def _note(self, job: Body, attempt: Attempt) -> None:
        self._running[job["jobId"]] = Running(attempt, vcpus_of(job["container"]), job["_attempt"]["environment"])

    def _start(self, jobs: list[Body]) -> None:
        """Start the attempts of jobs that are STARTING."""
        if not jobs:
            return
        begun: list[tuple[Body, subprocess.Popen[bytes]]] = []
        failed: list[tuple[Body, str]] = []
        for job in jobs:
            try:
                begun.append((job, start(self.service, self._settings, job, self._running[job["jobId"]].attempt)))
            except CannotStart as error:
                failed.append((job, str(error)))
        faultpoint("emulator.batch_started")
        for job, process in begun:
            self._attend(job["jobId"], self._running[job["jobId"]].attempt, process)
        with changing(self.service) as changes:
            for job, _process in begun:
                changes.move(settling.running(self.service, now_of(changes, job)), "RUNNING")
            for job, why in failed:
                settling.not_started(self.service, changes, now_of(changes, job), why)
            self._queue(changes.runnable)
        faultpoint("emulator.batch_running")
        for job, _why in failed:
            self._running.pop(job["jobId"]).attempt.clear()
        for job, _process in begun:
            self._lose_host_by_plan(job)

    def _lose_host_by_plan(self, job: Body) -> None:
        seconds = self.service.loses_host(job["jobName"])
        if seconds is not None:
            lose = threading.Timer(seconds, lose_host, (self._running[job["jobId"]].attempt,))
            lose.daemon = True
            lose.start()

    def _attend(self, job: str, attempt: Attempt, process: subprocess.Popen[bytes] | None) -> None:
        self._running[job].attended = True

        def wait() -> None:
            attempt.wait(process)
            attempt.clear_scratch()
            self._ended.put(job)
            self.service.batch_bell.ring()

        threading.Thread(target=wait, name=f"job {job}", daemon=True).start()

    def _queue(self, runnable: list[Body]) -> None:
        for job in runnable:
            self._runnable[job["jobQueue"]].append(job["jobId"])


def lose_host(attempt: Attempt) -> None:
    """Let an attempt's machine go away, as when a Spot instance is reclaimed."""
    while attempt.folder.exists() and not attempt.signal(signal.SIGUSR1):
        time.sleep(SOON_SECONDS)


def lose_host_of(service: Service, job: str) -> bool:
    """Let the machine of a job's attempt go away; tell whether there was an attempt under way."""
    with service.state.read() as state:
        body = state.get(JOB, job, parent_of(job))
    if body is None or body["status"] not in UNDER_WAY:
        return False
    return Attempt(attempts_folder(service), body["_attempt"]["id"]).signal(signal.SIGUSR1)


def attempts_folder(service: Service) -> Path:
    """Return where the attempts of a data folder have their own folders."""
    return service.folder.absolute() / "batch" / "attempts"


def now_of(changes: Changes, job: Body) -> Body:
    """Return a job as it is now: somebody may have asked for its end since it was read."""
    return changes.state.get(JOB, job["jobId"], parent_of(job["jobId"])) or job


_CREWS: dict[Path, Crew] = {}


@worker(BATCH_WORKER)
def run_jobs(service: Service) -> float | None:
    """Do what is due for jobs; whatever makes something due rings the bell."""
    crew = _CREWS.get(service.folder)
    if crew is None or crew.service is not service:
        crew = _CREWS[service.folder] = Crew(service)
    return SOON_SECONDS if crew.look() else None

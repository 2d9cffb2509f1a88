"""Which runnable jobs start: by the priority of their queue, then first in, first out, as far as there are vCPUs."""

from __future__ import annotations

import uuid
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from labrelay.emulator.batch.compute_environments import most_vcpus
from labrelay.emulator.batch.container import vcpus_of
from labrelay.emulator.batch.job_states import Changes
from labrelay.emulator.batch.naming import ENVIRONMENT, JOB, QUEUE, parent_of
from labrelay.emulator.state import Body, Snapshot

TOO_LARGE = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job asks for more vCPUs than its compute environments have."
)


class Room:
    """What vCPUs are free, on this machine and in each compute environment."""

    def __init__(self, limit: float, taken: Iterable[tuple[float, str]]) -> None:
        """Take how many vCPUs the machine has, and (vCPUs, ARN of the environment) of what is under way."""
        self._limit, self._used = limit, 0.0
        self._of: dict[str, float] = defaultdict(float)
        for vcpus, environment in taken:
            self.take(vcpus, environment)

    def on_machine(self, vcpus: float) -> bool:
        """Whether the machine has room; a job that is larger than the machine runs when it has it for itself."""
        return self._used < self._limit and self._used + min(vcpus, self._limit) <= self._limit

    def first_of(self, environments: list[Body], vcpus: float) -> str | None:
        """Return the ARN of the first environment that has room, or None."""
        for environment in environments:
            own: str = environment["computeEnvironmentArn"]
            if environment["state"] == "ENABLED" and self._of[own] + vcpus <= most_vcpus(environment):
                return own
        return None

    def take(self, vcpus: float, environment: str) -> None:
        """Count a job."""
        self._used += min(vcpus, self._limit)
        self._of[environment] += vcpus


def admit(changes: Changes, runnable: Mapping[str, deque[str]], room: Room) -> list[Body]:
    """Make jobs STARTING as far as there is room, and return them; they are taken out of `runnable`.

    A job that does not fit now holds back those behind it in its queue, as a large job would starve otherwise; one
    that can never fit is passed by.
    """
    found: list[Body] = []
    for queue in sorted(changes.state.each(QUEUE), key=lambda queue: -int(queue["priority"])):
        waiting = runnable.get(queue["jobQueueArn"])
        if waiting:
            environments = _environments(changes.state, queue)
            passed: list[str] = []
            full = _admit_from(changes, waiting, environments, room, found, passed)
            waiting.extendleft(reversed(passed))
            if full:
                break
    return found


def _admit_from(
    changes: Changes, waiting: deque[str], environments: list[Body], room: Room, found: list[Body], passed: list[str]
) -> bool:
    """Let jobs of one queue in; tell whether the machine is full."""
    largest = max((most_vcpus(environment) for environment in environments), default=0.0)
    while waiting:
        job = changes.state.get(JOB, waiting[0], parent_of(waiting[0]))
        if job is None or job["status"] != "RUNNABLE":
            waiting.popleft()
            continue
        vcpus = vcpus_of(job["container"])
        if vcpus > largest:
            if job.get("statusReason") != TOO_LARGE:
                changes.keep(job, statusReason=TOO_LARGE)
            passed.append(waiting.popleft())
            continue
        if not room.on_machine(vcpus):
            return True
        environment = room.first_of(environments, vcpus)
        if environment is None:
            return False
        waiting.popleft()
        room.take(vcpus, environment)
        attempt = {"id": uuid.uuid4().hex, "environment": environment}
        found.append(changes.move({**job, "statusReason": None}, "STARTING", _attempt=attempt))
    return False


def _environments(state: Snapshot, queue: Body) -> list[Body]:
    names = (entry["computeEnvironment"].rpartition("/")[2] for entry in queue["computeEnvironmentOrder"])
    return [environment for name in names if (environment := state.get(ENVIRONMENT, name)) is not None]

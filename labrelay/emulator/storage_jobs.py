"""Jobs of the stores: imports, exports and activations differ only in what is done for one of their items.

A job is made in one transaction and worked through in the background. An item's id for what it makes is fixed before
work on it starts, and its result is written in the same transaction as its state FINISHED; so an item that a killed
server left IN_PROGRESS is simply done again, under the same id, and nothing is there twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from labrelay.emulator.asking import chosen, found, idempotent, listed, short, storage_id
from labrelay.emulator.objects import ObjectUnavailable, Reason
from labrelay.emulator.operation import Failure, Params
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.tags import TAGS
from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint

logger = logging.getLogger(__name__)

AT_ONCE = 2
OPEN = ("SUBMITTED", "IN_PROGRESS")
ENDED = ("FINISHED", "FAILED")
MESSAGES = {
    "COMPLETED": "The job is complete.",
    "COMPLETED_WITH_FAILURES": "The job is complete, but some sources failed; each source has its own message.",
    "FAILED": "All sources of the job failed; each source has its own message.",
}


class ItemFailed(LabrelayError):
    """An item cannot be done; the text becomes its status message."""


class Thing(NamedTuple):
    """A thing of the state that an item makes or changes."""

    kind: str
    key: str
    body: Body
    parent: str = ""


def tags_thing(arn: str, about: Params) -> Thing:
    """Return the tags that a request gives to the thing it makes."""
    return Thing(TAGS, arn, {"tags": about.get("tags", {})})


@dataclass(frozen=True)
class ItemDone:
    """What one item gave.

    Attributes:
        item: Members to set in the item.
        things: Written together with the item's state.
        events: Announced afterwards: detail-type, resources, detail.
    """

    item: Params = field(default_factory=dict)
    things: Sequence[Thing] = ()
    events: Sequence[tuple[str, list[str], Params]] = ()


@dataclass(frozen=True)
class JobKind:
    """One of the four kinds of jobs.

    Attributes:
        kind: As the state calls it, and errors.
        store: The kind of its parent; its parameter has the same name with `Id`.
        operation: That starts it.
        event: The detail-type of its events.
        answer: The members of the answer to its start.
        items: The member that holds its items.
        most_open: Jobs that may be open at once.
    """

    kind: str
    store: str
    operation: str
    event: str
    answer: tuple[str, ...]
    items: str = "sources"
    most_open: int = 5

    @property
    def parent(self) -> str:
        """The member that names the store."""
        return f"{self.store}Id"


DoItem = Callable[[Service, Body, Body], ItemDone]
CheckItems = Callable[[Transaction, Params], list[Body]]


def start(service: Service, kind: JobKind, asked: Params, items: CheckItems) -> Params:
    """Make a job, or answer again for a token that was used before.

    Args:
        service: Whose.
        kind: Of job.
        asked: The parameters of the operation.
        items: Checks the request, changes what starting the job changes, and returns the items without their state.
    """

    def make(state: Transaction) -> Params:
        store = asked[kind.parent]
        found(state, kind.store, store)
        if sum(state.count(kind.kind, None, status) for status in OPEN) >= kind.most_open:
            message = f"{kind.most_open} jobs of this kind are open; wait for one to end."
            raise Failure("ServiceQuotaExceededException", message)
        body = {
            **{name: value for name, value in asked.items() if name not in ("clientToken", "sources")},
            "id": storage_id(state),
            "status": "SUBMITTED",
            "statusMessage": "The job is submitted and will start soon.",
            "creationTime": timestamp(),
            kind.items: [
                {**item, "status": "NOT_STARTED", "statusMessage": "The source is queued for the job."}
                for item in items(state, asked)
            ],
        }
        state.put(kind.kind, body["id"], body, store)
        return chosen(body, kind.answer)

    answer = idempotent(service, kind.operation, asked, make)
    service.wake()
    return answer


def get(service: Service, kind: JobKind, asked: Params) -> Params:
    """Return a job."""
    with service.state.read() as state:
        found(state, kind.store, asked[kind.parent])
        return found(state, kind.kind, asked["id"], asked[kind.parent])


def list_jobs(service: Service, kind: JobKind, asked: Params, result: str) -> Params:
    """Return one page of the jobs of a store."""
    with service.state.read() as state:
        found(state, kind.store, asked[kind.parent])
        return listed(state, asked, result, kind.kind, asked[kind.parent])


def work(service: Service, kind: JobKind, do: DoItem) -> None:
    """Work through the open jobs of a kind, in the order in which they came, and return when there is none."""
    while (job := _next_job(service, kind)) is not None:
        if job["status"] == "SUBMITTED":
            job = _set_status(service, kind, job, "IN_PROGRESS", "The job is currently in progress.")
        todo = [n for n, item in enumerate(job[kind.items]) if item["status"] not in ENDED]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix=kind.kind) as pool:
            # The results are asked for, so that a fault of ours is not lost in a thread.
            list(pool.map(lambda n, job=job: _do_item(service, kind, job, n, do), todo))
        _end(service, kind, job)


def _next_job(service: Service, kind: JobKind) -> Body | None:
    with service.state.read() as state:
        for status in reversed(OPEN):
            for body in state.each(kind.kind, None, status):
                return body
    return None


def _do_item(service: Service, kind: JobKind, job: Body, number: int, do: DoItem) -> None:
    item = _begin_item(service, kind, job, number)
    faultpoint(f"emulator.{kind.kind}.begun")
    try:
        done = do(service, job, item)
        change = {"statusMessage": "The source is done.", **done.item, "status": "FINISHED"}
    except (LabrelayError, OSError) as error:
        if isinstance(error, ObjectUnavailable) and error.reason is Reason.FAILED:
            # S3 is away, which says nothing of the source: the item stays IN_PROGRESS and is tried again.
            raise
        done, change = ItemDone(), {"status": "FAILED", "statusMessage": short(str(error))}
    except Exception:
        logger.exception("%s %s broke at its item %d", kind.kind, job["id"], number)
        done, change = ItemDone(), {"status": "FAILED", "statusMessage": "An internal error occurred."}
    faultpoint(f"emulator.{kind.kind}.done")
    with service.state.write() as state:
        for thing in done.things:
            state.put(*thing)
        _change_item(state, kind, job, number, change)
    for event in done.events:
        service.announce(*event)


def _begin_item(service: Service, kind: JobKind, job: Body, number: int) -> Body:
    with service.state.write() as state:
        body = found(state, kind.kind, job["id"], job[kind.parent])
        key = body[kind.items][number].get("_id") or storage_id(state)
        change = {"_id": key, "status": "IN_PROGRESS", "statusMessage": "The source is being worked on."}
        return _change_item(state, kind, job, number, change)


def _change_item(state: Transaction, kind: JobKind, job: Body, number: int, change: Params) -> Body:
    body = found(state, kind.kind, job["id"], job[kind.parent])
    item: Body = body[kind.items][number]
    item.update(change)
    state.put(kind.kind, job["id"], body, job[kind.parent])
    return item


def _end(service: Service, kind: JobKind, job: Body) -> None:
    with service.state.read() as state:
        job = found(state, kind.kind, job["id"], job[kind.parent])
    failed = sum(item["status"] == "FAILED" for item in job[kind.items])
    status = "COMPLETED" if not failed else "FAILED" if failed == len(job[kind.items]) else "COMPLETED_WITH_FAILURES"
    _set_status(service, kind, job, status, MESSAGES[status])


def _set_status(service: Service, kind: JobKind, job: Body, status: str, message: str) -> Body:
    with service.state.write() as state:
        body = found(state, kind.kind, job["id"], job[kind.parent])
        body |= {"status": status, "statusMessage": message}
        if status not in OPEN:
            body["completionTime"] = timestamp()
        state.put(kind.kind, body["id"], body, body[kind.parent])
    detail = {name: body[name] for name in (kind.parent, "id", "status", "statusMessage")}
    store = service.arn(kind.store, body[kind.parent])
    service.announce(kind.event, [store], {"omicsVersion": "1.0.0", **detail})
    return body

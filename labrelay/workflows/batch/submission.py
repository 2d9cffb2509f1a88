"""Runs become jobs: orders are written first, each once, so that no order of kills and machines starts a run twice.

SubmitJob takes no token. So the order of an attempt, which only one writer can write, names the job that it is for;
that job is looked up by its name, submitted if it is not there, and looked up again. Of two that were submitted at the
same time one is the order's owner, which again only one can write; the other is ended, and would do nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labrelay.model.canonical import canonical_json, digest
from labrelay.model.errors import Conflict, EngineFailed, LabrelayError, NotFound, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.names import printable
from labrelay.model.runs import RunRequest
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.download import read_object
from labrelay.stores.s3 import S3ObjectStore
from labrelay.workflows.batch.job_definition import JobDefinitions, definition_for
from labrelay.workflows.batch.listing import named
from labrelay.workflows.batch.order import GONE, ORDER_BYTES, PREFIX, Order, Owner, array_key, order_key, owner_key, report_key
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.batch.states import TWICE
from labrelay.workflows.opened import open_bundle
from labrelay.workflows.sending import Sender

log = logging.getLogger(__name__)
TAG_CHARS = 256
AT_ONCE = 8  # orders that are written at the same time


@dataclass(frozen=True)
class _Ready:
    """An attempt whose files are all in S3, with what its job will be made of."""

    request: RunRequest
    definition: dict[str, Any]
    queue: str
    origins: dict[str, str]


class Submission:
    """Submits attempts as jobs, several of one kind as one array job.

    Args:
        aws: The way to Batch.
        settings: How.
        store: The work folder in S3.
        sender: Sends local inputs to S3.
    """

    def __init__(self, aws: Aws, settings: BatchSettings, store: S3ObjectStore, sender: Sender) -> None:
        self._aws, self._settings, self._store, self._sender = aws, settings, store, sender
        self._definitions = JobDefinitions(aws)
        self._bundles: dict[str, str] = {}

    def submit(self, requests: Sequence[RunRequest]) -> list[str | LabrelayError]:
        """Return for each request the external id of its attempt, or why it could not be started.

        Cost: for each request its files, and a call for its order; for each job three to Batch.
        """
        answers: dict[str, str | LabrelayError] = {}
        groups: dict[str, list[_Ready]] = {}
        for request in requests:
            try:
                ready = self._ready(request)
            except LabrelayError as error:
                answers[request.token] = error
            else:
                groups.setdefault(digest([ready.definition["jobDefinitionName"], ready.queue]), []).append(ready)
        for group in groups.values():
            try:
                answers |= self._submit_group(group)
            except LabrelayError as error:
                answers |= {ready.request.token: error for ready in group}
        return [answers[request.token] for request in requests]

    def _ready(self, request: RunRequest) -> _Ready:
        bundle, origins = Path(request.bundle), dict[str, str]()
        opened = open_bundle(bundle)
        inputs = self._sender.send(opened.schema, request.inputs, origins)
        uri = self._bundle(bundle, request.workflow.digest)
        return _Ready(
            request=request.model_copy(update={"inputs": inputs, "bundle": uri}),
            definition=definition_for(opened.definition, self._settings),
            queue=self._settings.queues[request.priority],
            origins=origins,
        )

    def _bundle(self, path: Path, digest_of: str) -> str:
        """Return where a bundle lies in S3, which is asked once for all its runs."""
        if digest_of not in self._bundles:
            key = f"bundles/{digest_of}.zip"
            ref = self._store.head(key) or self._store.stage(path, key).commit()
            self._bundles[digest_of] = self._store.uri(ref)
        return self._bundles[digest_of]

    def _submit_group(self, group: Sequence[_Ready]) -> dict[str, str | LabrelayError]:
        """Submit attempts that one job definition and queue fit; those that a job has been named for keep that one."""
        tokens = [ready.request.token for ready in group]
        name = f"{PREFIX}{tokens[0]}" if len(group) == 1 else f"{PREFIX}array-{digest(tokens)[:40]}"
        if len(group) > 1:
            self._store.put_bytes(array_key(name), canonical_json(tokens).encode())
        orders: dict[str, list[Order]] = {}
        places = range(len(group)) if len(group) > 1 else [None]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="order") as pool:
            for order in pool.map(lambda ready, place: self._claim(ready, name, place), group, places):
                orders.setdefault(order.job, []).append(order)
        faultpoint("batch.ordered")
        answers: dict[str, str | LabrelayError] = {}
        for members in orders.values():
            answers |= self._jobs(members, group[0])
        return answers

    def _claim(self, ready: _Ready, name: str, index: int | None) -> Order:
        """Write the order, or return the one that was written before, by this process or another."""
        image = str(ready.definition["containerProperties"]["image"])
        order = Order(
            job=name, index=index, queue=ready.queue, request=ready.request, image=image, origins=ready.origins
        )
        key = order_key(ready.request.token)
        try:
            self._store.put_bytes(key, canonical_json(order.model_dump(mode="json")).encode())
        except Conflict:
            return read_order(self._aws, f"{self._settings.work_uri}/{key}")
        return order

    def _jobs(self, members: Sequence[Order], ready: _Ready) -> dict[str, str]:
        """Return the external ids of orders that name one job, which is submitted if there is none of that name."""
        first = members[0]
        there = self._alive(first, ready.queue)
        if not there and self._store.head(report_key(first.request.token)) is not None:
            there = [GONE]
        if not there:
            submitted = self._submit(first, ready)
            faultpoint("batch.submitted")
            # Batch may take a moment to list what was submitted, by us or by somebody else at the same time.
            there = self._alive(first, ready.queue)
            there += [submitted] if submitted not in there else []
        if len(there) == 1:
            return {each.request.token: external_id(child(there[0], each), each) for each in members}
        return self._divided(members, there)

    def _divided(self, members: Sequence[Order], jobs: Sequence[str]) -> dict[str, str]:
        """Return which of several jobs of one name does each order, and end those that do none.

        What decides is the order's owner, which only one can write: here, or a job that was faster.
        """
        owners = {each.request.token: self._owner(each, child(jobs[0], each)) for each in members}
        for job_id in set(jobs) - {owner.partition(":")[0] for owner in owners.values()}:
            log.warning("the job %s was submitted beside %s; it is ended", job_id, jobs[0])
            with aws_errors(f"end the job {job_id}", EngineFailed):
                self._aws.client("batch").terminate_job(jobId=job_id, reason=TWICE)
        return {each.request.token: external_id(owners[each.request.token], each) for each in members}

    def _owner(self, order: Order, wish: str) -> str:
        key = owner_key(order.request.token)
        try:
            self._store.put_bytes(key, owner_bytes(wish))
        except Conflict:
            return read_owner(self._aws, f"{self._settings.work_uri}/{key}") or wish
        return wish

    def _alive(self, order: Order, queue: str) -> list[str]:
        """Return the jobs that an order names, oldest first, in the queue of then and, if that has changed, of now."""
        found: list[dict[str, Any]] = []
        for each in dict.fromkeys((order.queue, queue)):
            try:
                found += named(self._aws, each, order.job)
            except UsageError:
                # A queue that is gone has no jobs; what is wrong with today's is told when it is submitted to.
                log.info("the job queue %s has no list of jobs", each)
        return [str(job["jobId"]) for job in found if job.get("statusReason") != TWICE]

    def _submit(self, order: Order, ready: _Ready) -> str:
        asked, definition = self._asked(order) | {"jobQueue": ready.queue}, ready.definition
        while True:
            arn = self._definitions.arn(definition)
            try:
                with aws_errors(f"submit the job {order.job}", EngineFailed):
                    return str(self._aws.client("batch").submit_job(jobDefinition=arn, **asked)["jobId"])
            except UsageError as error:
                self._explain_queue(ready.queue)
                # The definition may have been deregistered since it was found: registered anew it gets one more try.
                self._definitions.forget(definition)
                if arn == self._definitions.arn(definition):
                    raise error from None

    def _asked(self, order: Order) -> dict[str, Any]:
        asked: dict[str, Any] = {"jobName": order.job, "propagateTags": True}
        if order.index is not None:
            uri = f"{self._settings.work_uri}/{array_key(order.job)}"
            return asked | {
                "parameters": {"order": uri},
                "arrayProperties": {"size": len(read_tokens(self._aws, uri))},
            }
        labels = {"run": order.request.run_id, "token": order.request.token, **order.request.labels}
        return asked | {
            "parameters": {"order": f"{self._settings.work_uri}/{order_key(order.request.token)}"},
            "tags": {f"labrelay:{key}": _tag(value) for key, value in labels.items()},
        }

    def _explain_queue(self, queue: str) -> None:
        """Raise what is wrong with a queue, if something is."""
        with aws_errors(f"look at the job queue {queue}", EngineFailed):
            found = self._aws.client("batch").describe_job_queues(jobQueues=[queue])["jobQueues"]
        if not found:
            raise NotFound(f"there is no job queue {printable(queue)} in this account and region: see batch_queue")
        if found[0]["state"] != "ENABLED" or found[0]["status"] != "VALID":
            said = f"{found[0]['state']}, {found[0]['status']}"
            raise UsageError(f"the job queue {printable(queue)} takes no jobs ({said}): enable it, then repeat the command")


def child(job_id: str, order: Order) -> str:
    """Return the id of the job, or of the child of an array job, that does an order."""
    return job_id if order.index is None else f"{job_id}:{order.index}"


def external_id(job_id: str, order: Order) -> str:
    """Return the external id of an attempt: of the job that does it, and the attempt's token."""
    return f"{job_id}/{order.request.token}"


def owner_bytes(job_id: str) -> bytes:
    """Return what says that a job, or a child of an array job, does an order."""
    return canonical_json(Owner(job_id=job_id).model_dump()).encode()


def read_owner(aws: Aws, uri: str) -> str | None:
    """Return which job does an order; None when nobody has said so."""
    content = read_object(aws, uri, ORDER_BYTES)
    return None if content is None else Owner.model_validate_json(content).job_id


def read_order(aws: Aws, uri: str) -> Order:
    """Read an order.

    Raises:
        NotFound: There is none.
    """
    content = read_object(aws, uri, ORDER_BYTES)
    if content is None:
        raise NotFound(f"there is no order {uri}")
    return Order.model_validate_json(content)


def read_tokens(aws: Aws, uri: str) -> list[str]:
    """Read the tokens of an array job's children.

    Raises:
        NotFound: There is no such list.
    """
    content = read_object(aws, uri, ORDER_BYTES)
    if content is None:
        raise NotFound(f"there is no list of orders {uri}")
    return [str(token) for token in json.loads(content)]


def _tag(value: str) -> str:
    """Return a value as a tag of AWS takes it: letters, digits, spaces and some signs."""
    return "".join(c if c.isalnum() or c in " _.:/=+-@" else "_" for c in value)[:TAG_CHARS]

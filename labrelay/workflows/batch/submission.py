"""Runs become jobs: orders are written first, each once, so that no order of kills and machines starts a run twice.

SubmitJob takes no token. So the order of an attempt, which only one writer can write, names the job that it is for;
that job is looked up by its name, submitted if it is not there, and looked up again. Of two that were submitted at the
same time one is the order's owner, which again only one can write; the other is ended, and would do nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import EngineFailed, LabrelayError, NotFound, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.names import printable
from labrelay.model.runs import RunRequest
from labrelay.stores.aws import Aws, aws_errors
from labrelay.workflows.batch.job_definition import JobDefinitions, definition_for
from labrelay.workflows.batch.listing import named
from labrelay.workflows.batch.order import GONE, Order, child_of, job_name
from labrelay.workflows.batch.orders import Orders
from labrelay.workflows.batch.settings import BatchSettings
from labrelay.workflows.batch.states import TWICE
from labrelay.workflows.opened import open_bundle
from labrelay.workflows.sending import Sender

log = logging.getLogger(__name__)
TAG_CHARS = 256
AT_ONCE = 8  # attempts that are made ready at the same time


@dataclass(frozen=True)
class _Ready:
    """An attempt whose order can be written, or is, with what its job will be made of."""

    order: Order
    written: bool
    definition: dict[str, Any]
    queue: str


class Submission:
    """Submits attempts as jobs, several of one kind as one array job.

    Args:
        aws: The way to Batch.
        settings: How.
        orders: The work folder in S3.
        sender: Sends local inputs to S3.
    """

    def __init__(self, aws: Aws, settings: BatchSettings, orders: Orders, sender: Sender) -> None:
        self._aws, self._settings, self._orders, self._sender = aws, settings, orders, sender
        self._definitions = JobDefinitions(aws)
        self._bundles: dict[str, str] = {}

    def submit(self, requests: Sequence[RunRequest]) -> list[str | LabrelayError]:
        """Return for each request the external id of its attempt, or why it could not be started.

        Cost: for each request its files, and two calls for its order; for each queue one to Batch, for each job three.
        """
        answers: dict[str, str | LabrelayError] = {}
        ready: list[_Ready] = []
        for queue, members in self._by_queue(requests).items():
            try:
                # Before anything is read or sent, which would be done again at each look while the queue is disabled.
                self._check_queue(queue)
            except LabrelayError as error:
                answers |= {request.token: error for request in members}
                continue
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ready") as pool:
                for request, made in zip(members, pool.map(self._try, members, repeat(queue)), strict=True):
                    if isinstance(made, LabrelayError):
                        answers[request.token] = made
                    else:
                        ready.append(made)
        for group in _alike(ready):
            try:
                answers |= self._submit_group(group)
            except LabrelayError as error:
                answers |= {one.order.token: error for one in group}
        return [answers[request.token] for request in requests]

    def _by_queue(self, requests: Sequence[RunRequest]) -> dict[str, list[RunRequest]]:
        found: dict[str, list[RunRequest]] = {}
        for request in requests:
            found.setdefault(self._settings.queues[request.priority], []).append(request)
        return found

    def _try(self, request: RunRequest, queue: str) -> _Ready | LabrelayError:
        try:
            return self._ready(request, queue)
        except LabrelayError as error:
            return error

    def _ready(self, request: RunRequest, queue: str) -> _Ready:
        """Return an attempt with its order as it was written, or as it will be when all its files are in S3."""
        opened = open_bundle(Path(request.bundle))
        region = str(self._aws.client("batch").meta.region_name)
        definition = definition_for(opened.definition, self._settings, region)
        written = self._orders.read(request.token)
        if written is not None:
            return _Ready(written, True, definition, queue)
        origins: dict[str, str] = {}
        inputs = self._sender.send(opened.schema, request.inputs, origins)
        bundle = self._bundle(Path(request.bundle), request.workflow.digest)
        sent = request.model_copy(update={"inputs": inputs, "bundle": bundle})
        name = job_name(self._orders.work_uri, [request.token])
        return _Ready(Order(job=name, index=None, queue=queue, request=sent, origins=origins), False, definition, queue)

    def _bundle(self, path: Path, digest_of: str) -> str:
        """Return where a bundle lies in S3, which is asked once for all its runs."""
        if digest_of not in self._bundles:
            key, store = f"bundles/{digest_of}.zip", self._orders.store
            self._bundles[digest_of] = store.uri(store.head(key) or store.stage(path, key).commit())
        return self._bundles[digest_of]

    def _submit_group(self, group: Sequence[_Ready]) -> dict[str, str | LabrelayError]:
        """Submit attempts that one job definition and queue fit; those that a job was named for keep that one."""
        fresh = [one.order for one in group if not one.written]
        if len(fresh) > 1:
            tokens = [order.token for order in fresh]
            name = job_name(self._orders.work_uri, tokens)
            self._orders.write_tokens(name, tokens)
            fresh = [o.model_copy(update={"job": name, "index": n}) for n, o in enumerate(fresh)]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="order") as pool:
            claimed = list(pool.map(self._orders.claim, fresh))
        faultpoint("batch.ordered")
        by_job: dict[str, list[Order]] = {}
        for order in (*(one.order for one in group if one.written), *claimed):
            by_job.setdefault(order.job, []).append(order)
        answers: dict[str, str | LabrelayError] = {}
        new = {order.token for order, mine in zip(claimed, fresh, strict=True) if order is mine}
        for members in by_job.values():
            answers |= self._jobs(members, group[0], new)
        return answers

    def _jobs(self, members: Sequence[Order], ready: _Ready, new: Set[str]) -> dict[str, str]:
        """Return the external ids of orders that name one job, which is submitted if there is none of that name.

        Args:
            members: The orders.
            ready: One of them, or one like it, with the job definition and the queue.
            new: Tokens of orders that were written a moment ago; no job can have done these.
        """
        there = self._alive(members[0], ready.queue)
        if not there:
            older = [order for order in members if order.token not in new]
            ended = [order for order in older if self._orders.report(order.token) is not None]
            left = [order for order in members if order not in ended]
            done = {order.token: external_id(GONE, order) for order in ended}
            return done | (self._submitted(left, ready) if left else {})
        return self._divided(members, there)

    def _submitted(self, members: Sequence[Order], ready: _Ready) -> dict[str, str]:
        submitted = self._submit(members[0], ready)
        faultpoint("batch.submitted")
        # Batch may take a moment to list what was submitted, by us or by somebody else at the same time.
        there = self._alive(members[0], ready.queue)
        return self._divided(members, there if submitted in there else [*there, submitted])

    def _divided(self, members: Sequence[Order], jobs: Sequence[str]) -> dict[str, str]:
        """Return which of the jobs of one name does each order.

        Of several jobs the order's owner decides, which only one can write: here, or a job that was faster. A single
        job that does nothing is ended; children of an array see by themselves that they have nothing to do.
        """
        first = jobs[0]
        if len(jobs) == 1:
            return {order.token: external_id(child_of(first, order), order) for order in members}
        owners = {order.token: self._orders.own(order.token, child_of(first, order)) for order in members}
        if members[0].index is None:
            for job_id in set(jobs) - set(owners.values()):
                log.warning("the job %s was submitted beside another one; it is ended", job_id)
                with aws_errors(f"end the job {job_id}", EngineFailed):
                    self._aws.client("batch").terminate_job(jobId=job_id, reason=TWICE)
        return {order.token: external_id(owners[order.token], order) for order in members}

    def _alive(self, order: Order, queue: str) -> list[str]:
        """Return the jobs that an order names, oldest first, in the queue of then and, if that has changed, of now."""
        found: list[dict[str, Any]] = []
        for each in dict.fromkeys((order.queue, queue)):
            try:
                found += named(self._aws, each, order.job)
            except UsageError:
                # A queue that is gone has no jobs; today's was looked at before.
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
                self._check_queue(ready.queue)
                # The definition may have been deregistered since it was found: registered anew it gets one more try.
                self._definitions.forget(definition)
                if arn == self._definitions.arn(definition):
                    raise error from None

    def _asked(self, order: Order) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "jobName": order.job,
            "propagateTags": True,
            "parameters": {"order": self._orders.uri_of(order)},
        }
        if order.index is not None:
            return asked | {"arrayProperties": {"size": len(self._orders.tokens(order.job))}}
        return asked | {"tags": _tags(order.request)}

    def _check_queue(self, queue: str) -> None:
        """Raise what is wrong with a queue, if something is. Cost: one call."""
        with aws_errors(f"look at the job queue {queue}", EngineFailed):
            found = self._aws.client("batch").describe_job_queues(jobQueues=[queue])["jobQueues"]
        if not found:
            raise NotFound(f"there is no job queue {printable(queue)} in this account and region: see batch_queue")
        if found[0]["state"] != "ENABLED" or found[0]["status"] != "VALID":
            said = f"{found[0]['state']}, {found[0]['status']}"
            raise UsageError(
                f"the job queue {printable(queue)} takes no jobs ({said}): enable it, then repeat the command"
            )


def external_id(job_id: str, order: Order) -> str:
    """Return the external id of an attempt: of the job that does it, and the attempt's token."""
    return f"{job_id}/{order.token}"


def _alike(ready: Sequence[_Ready]) -> Iterator[list[_Ready]]:
    """Yield attempts that one array job can do: of one job definition and queue."""
    groups: dict[str, list[_Ready]] = {}
    for one in ready:
        groups.setdefault(digest([one.definition["jobDefinitionName"], one.queue]), []).append(one)
    yield from groups.values()


def _tags(request: RunRequest) -> dict[str, str]:
    labels: Mapping[str, str] = {"run": request.run_id, "token": request.token, **request.labels}
    return {f"labrelay:{key}": _tag(value) for key, value in labels.items()}


def _tag(value: str) -> str:
    """Return a value as a tag of AWS takes it: letters, digits, spaces and some signs."""
    return "".join(c if c.isalnum() or c in " _.:/=+-@" else "_" for c in value)[:TAG_CHARS]

"""AWS HealthOmics behind the engine port: the attempt's token is `requestId`, so that asking again starts nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from labrelay.model.errors import Conflict, EngineFailed, LabrelayError, NotFound, RefusedInput
from labrelay.model.faults import faultpoint
from labrelay.model.names import slug
from labrelay.model.problem import Problem
from labrelay.model.runs import EngineStatus, RunReport, RunRequest
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws, aws_errors
from labrelay.workflows.definition import READY2RUN
from labrelay.workflows.healthomics import failures
from labrelay.workflows.healthomics.lint import input_problems
from labrelay.workflows.healthomics.listing import Item, get_run, live_runs, run_named, run_tasks
from labrelay.workflows.healthomics.outputs import NOTHING, read_outputs
from labrelay.workflows.healthomics.pricing import load_prices
from labrelay.workflows.healthomics.publish import Published, Publisher
from labrelay.workflows.healthomics.report import report_of, run_costs, state_of
from labrelay.workflows.healthomics.states import ENDED, ORDER, STATES, state_time
from labrelay.workflows.healthomics.template import plain
from labrelay.workflows.nextflow.folders import PUBLISH_FOLDER
from labrelay.workflows.nextflow.samplesheet import SHEET, is_sheet, sheet_csv
from labrelay.workflows.sending import Sender

log = logging.getLogger(__name__)
TOKEN_TAG, RUN_TAG = "labrelay:token", "labrelay:run"
FEW = 5  # attempts of which the tasks are counted at each look
WORKING = ("STARTING", "RUNNING", "STOPPING")  # states of a task that has an instance
PARAMETER_BYTES, DOUBTFUL_BYTES = 256_000, 50_000  # the guide names both, the larger one as 256 KB
TAG_CHARS = 256
PRIORITIES = {"low": 0, "normal": None, "high": 100}  # within the run group; higher is sooner


@dataclass(frozen=True)
class HealthOmicsSettings:
    """How runs are started.

    Attributes:
        role_arn: The service role that reads inputs and writes outputs.
        output_uri: `s3://bucket/prefix`; each run writes to a folder of its own below it.
        download: A local folder: outputs are brought here, and what is published is remembered here.
        run_group_id, cache_id: Optional; see `setup`.
        cache_behavior: When finished tasks go into the run cache.
        storage_type: Always sent, because AWS' pages name different defaults.
        storage_capacity: GiB, for STATIC.
        retention: REMOVE lets AWS drop old runs when the account's limit is reached.
        log_level: What goes to CloudWatch.
        registry_map: The container registry map as the API has it.
        prices: A price table in place of the one that comes with Labrelay.
    """

    role_arn: str
    output_uri: str
    download: Path
    run_group_id: str | None = None
    cache_id: str | None = None
    cache_behavior: Literal["CACHE_ALWAYS", "CACHE_ON_FAILURE"] = "CACHE_ALWAYS"
    storage_type: Literal["STATIC", "DYNAMIC"] = "DYNAMIC"
    storage_capacity: int | None = None
    retention: Literal["RETAIN", "REMOVE"] = "RETAIN"
    log_level: Literal["OFF", "FATAL", "ERROR", "ALL"] = "ALL"
    registry_map: Mapping[str, Any] | None = None
    prices: Path | None = None


class HealthOmicsEngine:
    """Runs workflow bundles on AWS HealthOmics.

    The external id of an attempt is `<run id>/<uuid>`: HealthOmics gives the id of a deleted run to another one.
    """

    kind = "healthomics"

    def __init__(
        self,
        aws: Aws,
        settings: HealthOmicsSettings,
        publisher: Publisher | None = None,
        sender: Sender | None = None,
    ) -> None:
        """Take account, settings, and what sends local inputs to S3; nothing is asked before the first call."""
        self._aws, self._settings, self._sender = aws, settings, sender
        self._publisher = publisher or Publisher(
            aws,
            settings.download / "published.json",
            f"{settings.output_uri.rstrip('/')}/bundles",
            settings.role_arn,
            settings.registry_map,
        )
        # What was said last, so that a run is asked about alone once, when its state has moved.
        self._last: dict[str, str] = {}
        self._ended: dict[str, EngineStatus] = {}

    def submit(self, request: RunRequest) -> str:
        """Publish the bundle if that was not done, and start the run; the same token again starts nothing.

        Raises:
            RefusedInput: The bundle or the inputs are not fit for HealthOmics.
            Denied, Busy, UsageError, EngineFailed: As AWS answers.
        """
        try:
            answer = self._start(request)
        except NotFound as error:
            # The service lost (or never had) what we remember as published: an emulator with a new folder, say.
            log.info("%s is published again: %s", request.workflow.name, error)
            self._publisher.forget(request.workflow)
            answer = self._start(request)
        faultpoint("healthomics.started")
        uuid = answer.get("uuid")
        if uuid is None:
            with aws_errors(f"look at the run {answer['id']}", EngineFailed):
                uuid = self._aws.client("omics").get_run(id=answer["id"])["uuid"]
        return f"{answer['id']}/{uuid}"

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        """Return the state of each attempt that HealthOmics knows.

        Cost: a ListRuns per hundred live runs; a GetRun for each run that is seen to have ended, or that is not
        listed; for five attempts or fewer also a ListRunTasks per hundred tasks.
        """
        found = {each: self._ended[each] for each in external_ids if each in self._ended}
        waiting = {each: _split(each) for each in external_ids if each not in found and "/" in each}
        listed = live_runs(self._aws, (run_id for run_id, _ in waiting.values()), self._settings.run_group_id)
        last: dict[str, str] = {}
        for external_id, (run_id, uuid) in waiting.items():
            run = self._look(external_id, run_id, uuid, listed.get(run_id))
            if run is None:
                continue
            last[external_id] = str(run["status"])
            status = self._status(run, count=len(external_ids) <= FEW)
            found[external_id] = status
            if status.state.terminal:
                self._ended[external_id] = status
        self._last = last
        self._ended = {each: status for each, status in self._ended.items() if each in found}
        return found

    def report(self, external_id: str) -> RunReport:
        """Return what happened in an ended attempt; its output files are local then.

        Raises:
            NotFound: HealthOmics does not know the run (any more).
            EngineFailed: It has not ended.
            StorageFailed: Outputs could not be brought here; asking again goes on where it stopped.
        """
        run = self._known(external_id)
        if run["status"] not in ENDED:
            raise EngineFailed(f"The run {external_id} has not ended; poll it until its state is final.")
        token = str(run.get("tags", {}).get(TOKEN_TAG) or run["uuid"])
        region = str(self._aws.client("omics").meta.region_name)
        prices = load_prices(region, self._settings.prices)
        return report_of(self._aws, run, self._settings.download / slug(token), prices)

    def cancel(self, external_id: str) -> None:
        """Ask for the end of an attempt; its state then says CANCELED. An ended one stays as it is.

        An attempt whose answer was lost is given by its token, and looked for by that.

        Raises:
            NotFound: HealthOmics does not know the run.
        """
        named = None if "/" in external_id else run_named(self._aws, external_id)
        run = named or self._known(external_id)
        if run["status"] in ENDED:
            return
        try:
            with aws_errors(f"cancel the run {run['id']}", EngineFailed):
                self._aws.client("omics").cancel_run(id=run["id"])
        except Conflict:
            log.info("the run %s ended before it could be cancelled", external_id)

    def _start(self, request: RunRequest) -> Item:
        published = self._publisher.publish(request.workflow, Path(request.bundle))
        if self._sender is not None:
            request = request.model_copy(update={"inputs": self._sender.send(published.inputs, request.inputs)})
        problems = input_problems(published.inputs, request.inputs)
        if not problems:
            request = self._with_sheets(request, published)
            problems = _size_problems(request)
        if problems:
            raise RefusedInput(f"The inputs of {request.run_id} for HealthOmics", problems)
        faultpoint("healthomics.published")
        try:
            with aws_errors(f"start the run {request.run_id}", EngineFailed):
                asked = start_parameters(request, self._settings, published)
                answer: Item = self._aws.client("omics").start_run(**asked)
        except Conflict:
            # The token was used with other words: an answer was lost, and the settings have changed since.
            started = run_named(self._aws, request.token)
            if started is None:
                raise
            return started
        return answer

    def _with_sheets(self, request: RunRequest, published: Published) -> RunRequest:
        """Return the request with each sample sheet among its inputs as a CSV file in S3, named by its content."""
        inputs = dict(request.inputs)
        for name, value in request.inputs.items():
            if is_sheet(value):
                content = sheet_csv(value[SHEET], published.columns).encode()
                inputs[name] = f"{self._settings.output_uri.rstrip('/')}/sheets/{sha256(content).hexdigest()}.csv"
                bucket, _, key = inputs[name].removeprefix("s3://").partition("/")
                with aws_errors(f"store the sample sheet {inputs[name]}", EngineFailed):
                    self._aws.client("s3").put_object(Bucket=bucket, Key=key, Body=content, ContentType="text/csv")
        return request.model_copy(update={"inputs": inputs})

    def _known(self, external_id: str) -> Item:
        run = get_run(self._aws, *_split(external_id)) if "/" in external_id else None
        if run is None:
            raise NotFound(f"HealthOmics does not know the run {external_id} (any more); list the runs to find its id.")
        return run

    def _look(self, external_id: str, run_id: str, uuid: str, listed: Item | None) -> Item | None:
        """Return what is known of a run: as listed while it goes on, else by GetRun, which also tells the uuid.

        The listing tells no uuid. A live run of ours cannot be deleted, so a listed one can be another's only after
        ours has ended: it then ends, or goes back in its states, and both are looked at.
        """
        if listed is not None and listed["status"] not in ENDED and listed["status"] in STATES:
            before = self._last.get(external_id)
            if before is None or ORDER[before] <= ORDER[listed["status"]]:
                return listed
        return get_run(self._aws, run_id, uuid)

    def _status(self, run: Item, count: bool) -> EngineStatus:
        state, message = state_of(run), None
        if run["status"] == "FAILED":
            message = failures.sentence(run.get("failureReason"), run.get("statusMessage"))
        elif run["status"] == "CANCELLED":
            message = "the run was cancelled"
        elif run["status"] == "COMPLETED" and self._is_empty(run):
            state, message = RunState.EXECUTOR_ERROR, NOTHING
        tasks = run_tasks(self._aws, str(run["id"])) if count and run["status"] != "PENDING" else []
        return EngineStatus(
            state=state,
            at=state_time(run),
            message=message,
            tasks_done=sum(task.get("status") == "COMPLETED" for task in tasks),
            tasks_started=sum(task.get("status") != "PENDING" for task in tasks),
            under_way=tuple(_told(task) for task in tasks if task.get("status") in WORKING),
            usd=self._usd(run, tasks) if count else None,
        )

    def _usd(self, run: Item, tasks: Sequence[Item]) -> float | None:
        """Return what a run has cost so far, None when a price is missing; its outputs and log are not looked at."""
        region = str(self._aws.client("omics").meta.region_name)
        costs = [item.usd for item in run_costs(run, tasks, load_prices(region, self._settings.prices))]
        known = [usd for usd in costs if usd is not None]
        return sum(known) if known and len(known) == len(costs) else None

    def _is_empty(self, run: Item) -> bool:
        """Tell whether a COMPLETED run left nothing; one whose outputs cannot be read now is not called empty."""
        try:
            return not read_outputs(self._aws, str(run["runOutputUri"]))
        except LabrelayError as error:
            log.warning("the outputs of the run %s cannot be read: %s", run["id"], error)
            return False


def _told(task: Item) -> str:
    instance = task.get("instanceType")
    return f"{task.get('name')} on {instance}" if instance else str(task.get("name"))


def start_parameters(request: RunRequest, settings: HealthOmicsSettings, published: Published) -> dict[str, Any]:
    """Return what StartRun is asked: parameters by their qualified names, as the template of our workflows has them.

    A Ready2Run workflow has names, storage and no cache of its own.
    """
    ready = published.version is None
    prefix = f"{published.inputs.get('title')}." if ready else ""
    labels = {f"labrelay:{name}": value for name, value in request.labels.items()}
    parameters = {name.removeprefix(prefix): value for name, value in request.inputs.items()}
    if published.outdir is not None:
        parameters[published.outdir] = PUBLISH_FOLDER
    tags = {**labels, RUN_TAG: request.run_id, TOKEN_TAG: request.token}
    asked: dict[str, Any] = {
        "requestId": request.token,
        "name": request.token,
        "workflowId": published.workflow_id,
        "workflowType": READY2RUN if ready else "PRIVATE",
        "roleArn": settings.role_arn,
        "outputUri": settings.output_uri,
        "parameters": parameters,
        "retentionMode": settings.retention,
        "logLevel": settings.log_level,
        "tags": {name: plain(value)[:TAG_CHARS] for name, value in tags.items()},
    }
    optional: dict[str, Any] = {"runGroupId": settings.run_group_id, "priority": PRIORITIES[request.priority]}
    if not ready:
        optional |= {
            "workflowVersionName": published.version,
            "cacheId": settings.cache_id,
            "cacheBehavior": settings.cache_behavior if settings.cache_id else None,
            "storageType": settings.storage_type,
            "storageCapacity": settings.storage_capacity if settings.storage_type == "STATIC" else None,
        }
    return asked | {name: value for name, value in optional.items() if value is not None}


def _size_problems(request: RunRequest) -> list[Problem]:
    size = len(json.dumps(request.inputs).encode())
    if size > PARAMETER_BYTES:
        message = (
            f"They are {size:,} bytes of JSON, and HealthOmics takes {PARAMETER_BYTES:,}; pass a file with a list."
        )
        return [Problem(code="HEALTHOMICS_INPUTS_TOO_LARGE", message=message)]
    if size > DOUBTFUL_BYTES:
        log.warning("the inputs of %s are %s bytes; some accounts take %s", request.run_id, size, DOUBTFUL_BYTES)
    return []


def _split(external_id: str) -> tuple[str, str]:
    run_id, _, uuid = external_id.partition("/")
    return run_id, uuid

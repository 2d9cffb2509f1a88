"""Deployments: every flow of `prefect.yaml`, and one form for each workflow definition of the home."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, State, StateType
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import Flow
from prefect.schedules import Cron, Interval, Schedule
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.annotations import freeze
from prefect.utilities.callables import ParameterSchema
from prefect.workers.process import ProcessWorker

from labrelay.flows.environment import POOL
from labrelay.flows.forms import form_schema, with_titles
from labrelay.model.errors import UsageError
from labrelay.steps.settings import Settings
from labrelay.workflows.definition import Definition
from labrelay.workflows.registry import Registry
from labrelay.workflows.schema import schema_of

FILE = Path(__file__).with_name("prefect.yaml")
HOME_TEMPLATE = "{{ $LABRELAY_HOME }}"
BY_HAND = "submit-workflow"
PAGE, SORT = 200, FlowRunSort.START_TIME_ASC  # the server refuses to be asked without an order
Entry = Mapping[str, Any]


def entries() -> list[dict[str, Any]]:
    """Return the deployments of `prefect.yaml` as they are written there."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return list(content["deployments"])


def load_flow(entrypoint: str) -> Flow[Any, Any]:
    """Return the flow that a module entrypoint names."""
    module, _, name = entrypoint.rpartition(".")
    found = getattr(import_module(module), name)
    if not isinstance(found, Flow):
        raise TypeError(f"{entrypoint} is no flow")
    return found


def register(home: Path, settings: Settings) -> list[str]:
    """Register all deployments of a home on its own server, which PREFECT_API_URL names; return their names.

    Runs that a stopped worker left behind are ended, overdue scheduled ones are dropped.

    Args:
        home: The home folder; it is filled in and fixed in every form.
        settings: Say whether there is something to watch.
    """
    with get_client(sync_client=True) as client:
        _make_pool(client)
        _end_left_runs(client)
    return _apply(home, settings, POOL)


def register_on(home: Path, settings: Settings, pool: str) -> list[str]:
    """Register all deployments of a home on a work pool that a lab has made, of any type; return their names.

    Nothing else of the server is touched: its runs may be other people's.

    Raises:
        UsageError: The server has no such pool, or it starts containers, in which this home's workflows would not last.
    """
    with get_client(sync_client=True) as client:
        try:
            kind = client.read_work_pool(pool).type
        except ObjectNotFound:
            raise UsageError(
                f"the Prefect server at {client.api_url} has no work pool {pool}: make it with "
                f"`prefect work-pool create {pool} --type …` (docs/deploy.md), then repeat the command"
            ) from None
    if kind != ProcessWorker.type and settings.profile == "local" and settings.batch_queue is None:
        raise UsageError(
            f"the work pool {pool} is of the type {kind}: a container ends with its flow, and workflow runs of the "
            "local engine with it; use the profile healthomics, or set `batch_queue` (docs/deploy.md)"
        )
    return _apply(home, settings, pool)


def _apply(home: Path, settings: Settings, pool: str) -> list[str]:
    """Write the deployments; what people changed in those of these names is set back."""
    os.environ["LABRELAY_HOME"] = str(home)
    deployments = [deployment(entry, home, watch=bool(settings.landing), pool=pool) for entry in entries()]
    deployments += [_form(definition, home, pool) for definition in Registry(home).definitions().values()]
    for one in deployments:
        one.apply()
    names = [one.name for one in deployments]
    with get_client(sync_client=True) as client:
        _drop_old(client, names, pool)
    return names


def deployment(entry: Entry, home: Path, *, watch: bool, pool: str = POOL) -> RunnerDeployment:
    """Return a deployment of `prefect.yaml` with the home filled in.

    Args:
        entry: As written.
        home: The home folder.
        watch: Whether the schedule of `watch-folders` is on.
        pool: The work pool whose workers run it.
    """
    flow = load_flow(entry["entrypoint"])
    active = watch if entry["name"] == "watch-folders" else None
    made = RunnerDeployment.from_flow(
        flow,
        name=entry["name"],
        parameters=_filled(entry.get("parameters", {}), home),
        schedules=[_schedule(schedule, active) for schedule in entry.get("schedules", [])],
        concurrency_limit=_limit(entry.get("concurrency_limit")),
        triggers=[_trigger(spec, home) for spec in entry.get("triggers", [])],
        tags=entry.get("tags"),
        description=flow.description,
        work_pool_name=pool,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    _give_schema(made, with_titles(_schema_of(made)))
    return made


def _form(definition: Definition, home: Path, pool: str) -> RunnerDeployment:
    """Return the deployment whose form has the definition's own fields."""
    entry = next(e for e in entries() if e["name"] == BY_HAND)
    named = entry | {"name": f"submit-{definition.name}", "tags": ["by hand"]}
    form = deployment(named, home, watch=False, pool=pool)
    inputs = schema_of(definition)
    _give_schema(form, form_schema(_schema_of(form), definition, inputs))
    form.parameters = form.parameters | {"workflow": definition.name}
    form.description = f"{definition.title}\n\n{definition.description}".strip()
    form.version = definition.version
    return form


def _schema_of(made: RunnerDeployment) -> dict[str, Any]:
    # Prefect has no public way to give a deployment another form than its flow's.
    return made._parameter_openapi_schema.model_dump()


def _give_schema(made: RunnerDeployment, schema: Mapping[str, Any]) -> None:
    made._parameter_openapi_schema = ParameterSchema.model_validate(schema)


def _filled(parameters: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """Put the home in place of its template, fixed: a form of this home starts nothing in another one."""
    return {name: freeze(str(home)) if value == HOME_TEMPLATE else value for name, value in parameters.items()}


def _schedule(spec: Entry, active: bool | None) -> Schedule:
    on = bool(spec.get("active", True)) if active is None else active
    if "cron" in spec:
        return Cron(spec["cron"], timezone=os.environ.get("TZ") or None, active=on)
    return Interval(timedelta(seconds=spec["interval"]), active=on)


def _limit(spec: Entry | None) -> ConcurrencyLimitConfig | None:
    if spec is None:
        return None
    strategy = ConcurrencyLimitStrategy(spec["collision_strategy"])
    return ConcurrencyLimitConfig(limit=spec["limit"], collision_strategy=strategy)


def _trigger(spec: Entry, home: Path) -> DeploymentEventTrigger:
    parameters = {name: str(home) if v == HOME_TEMPLATE else v for name, v in spec.get("parameters", {}).items()}
    return DeploymentEventTrigger.model_validate({**spec, "parameters": parameters})


def _make_pool(client: SyncPrefectClient) -> None:
    template = ProcessWorker.get_default_base_job_template()
    try:
        client.create_work_pool(WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template))
    except ObjectAlreadyExists:
        return


def _end_left_runs(client: SyncPrefectClient) -> None:
    """End the runs that a stopped worker left, and drop scheduled ones that are overdue: the next one does their work.

    A run that still counts as running would hold its deployment's limit and people would wait for it.
    """
    unfinished = FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    )
    wanted = FlowRunFilter(state=unfinished)
    while runs := client.read_flow_runs(flow_run_filter=wanted, sort=SORT, limit=PAGE):
        for run in runs:
            lost: State[None] = Crashed(message="its worker was stopped; workflow runs that it started go on")
            client.set_flow_run_state(run.id, lost, force=True)
    overdue = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    for run in client.read_flow_runs(flow_run_filter=overdue, sort=SORT, limit=PAGE):
        if run.auto_scheduled:
            client.delete_flow_run(run.id)


def _drop_old(client: SyncPrefectClient, names: Iterable[str], pool: str) -> None:
    """Delete our deployments of flows and definitions that there are no more; other pools and other flows stay."""
    ours = f"{__package__}."
    on_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    for found in client.read_deployments(work_pool_filter=on_pool, sort=DeploymentSort.NAME_ASC, limit=PAGE):
        if (found.entrypoint or "").startswith(ours) and found.name not in names:
            client.delete_deployment(found.id)

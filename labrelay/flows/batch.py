"""What all flows share: the home of a run, who acts, which errors are worth another try, and how runs are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import deployment, flow_run
from prefect.tasks import Task
from pydantic import Field

from labrelay.flows.progress import run_progress
from labrelay.model.errors import LabrelayError
from labrelay.records.database import actor
from labrelay.steps.home import Home, open_home

Text = Annotated[str, Field(max_length=4096)]
HomeFolder = Annotated[str, Field(min_length=1, max_length=4096)]
Count = Annotated[int, Field(ge=1, le=10_000)]
P = ParamSpec("P")
T = TypeVar("T")
ACTOR = "LABRELAY_ACTOR"


@contextmanager
def opened(home: str) -> Iterator[Home]:
    """Open a home for the present run: it tells its progress to the run, and the records name the run as the actor."""
    with acting():
        opened_home = open_home(Path(home), run_progress())
        try:
            yield opened_home
        finally:
            opened_home.close()


@contextmanager
def acting() -> Iterator[None]:
    """Name the flow run in everything that is recorded meanwhile: `prefect:<name>`.

    A run that a person started by a command names both; a run of the worker has nobody else to name.
    """
    before = os.environ.get(ACTOR)
    if before is None or "prefect:" not in before:
        run = f"prefect:{flow_run.get_name()}"
        os.environ[ACTOR] = run if deployment.get_id() else f"{actor()} via {run}"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(ACTOR, None)
        else:
            os.environ[ACTOR] = before


def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell Prefect to try again only what can succeed without anybody changing anything."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, LabrelayError) and error.retryable


def step(name: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do one step as a task of this name, in this thread, and return what it returns.

    The arguments are no inputs of the task: Prefect would look through them for futures and keys, and a home holds
    open databases. Nothing is cached: every step finds for itself what is done already, and Prefect's keys mix up
    tasks with equal inputs.

    Raises:
        LabrelayError: The step's own, after two more tries when another try could help.
    """

    @task(
        name=name,
        task_run_name=name,
        description=(function.__doc__ or "").partition("\n")[0],
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=2,
        retry_delay_seconds=[5, 30],
        retry_condition_fn=worth_another_try,
    )
    def run() -> T:
        return function(*args, **kwargs)

    return run()


def called_after_folder() -> str:
    """Return a flow run's name from its `folder`: people look for the run folder's name."""
    return f"{_flow()} {Path(str(flow_run.get_parameters().get('folder', ''))).name}"


def called_after_run() -> str:
    """Return a flow run's name from its `instrument_run_id`."""
    return f"{_flow()} {flow_run.get_parameters().get('instrument_run_id', '')}"


def _flow() -> str:
    return str(flow_run.get_flow_name()).replace("-", " ")

"""A workflow run that a person asks for in a form; each definition has a deployment with its own fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from labrelay.flows.artifacts import artifact_key, publish, report, run_table
from labrelay.flows.batch import HomeFolder, opened, step
from labrelay.flows.rows import run_rows
from labrelay.steps.direct import submit_direct
from labrelay.steps.submit import Submitted

Name = Annotated[str, Field(min_length=1, max_length=200)]


def called_after_sample() -> str:
    """Return a flow run's name from the workflow and the sample."""
    asked = flow_run.get_parameters()
    return f"{asked.get('workflow', '')} on {asked.get('sample', '')}"


@flow(name="submit-workflow", flow_run_name=called_after_sample, persist_result=False)
def submit_workflow(
    home: HomeFolder,
    workflow: Name,
    sample: Name,
    reference: str = "",
    on: Literal["", "local", "healthomics", "batch"] = "",
    parameters: dict[str, Any] = {},  # noqa: B006 (Prefect copies it; a form needs the default)
) -> State[Submitted]:
    """Run a workflow on a sample; the same question again finds the run that was started before.

    Args:
        home: The home folder.
        workflow: The definition's name.
        sample: The announced sample's name or id; for a cohort workflow the experiment's.
        reference: The reference genome's name, for workflows that need one.
        on: Where it runs; empty: as the workflow and the home are set up.
        parameters: What differs from the definition's defaults.

    Returns:
        `Submitted`; the run goes on by itself and is recorded by the next collect or sweep.
    """
    with opened(home) as h:
        asked = {name: value for name, value in parameters.items() if value is not None}
        submitted = step(
            "submit",
            submit_direct,
            h,
            workflow,
            subjects=[sample],
            inputs=asked,
            reference=reference or None,
            on=on or None,
        )
        with h.records.read() as session:
            rows = run_rows(session, submitted.runs)
    markdown = report(f"{workflow} on {sample}", {"workflow runs submitted": submitted.new}, [], rows)
    publish(artifact_key("by-hand", workflow, sample), run_table(rows), markdown, f"{workflow} on {sample}")
    return Completed(data=submitted, message=", ".join(submitted.runs) + ("" if submitted.new else " was there"))

"""Rerunning what is out of date as a scheduled flow: plans under way go on, then a new one of at most so many runs."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from labrelay.flows.artifacts import cell, fitting, publish, report
from labrelay.flows.batch import Count, HomeFolder, Text, opened, step
from labrelay.model.names import printable
from labrelay.steps import reprocess as comparing
from labrelay.steps import reprocess_run as steps
from labrelay.steps.reprocess import Plan
from labrelay.steps.reprocess_run import Reprocessed


@flow(name="reprocess", flow_run_name="reprocess", persist_result=False)
def reprocess(
    home: HomeFolder,
    at_most: Count = 50,
    only_plan: bool = False,
    wait_for_results: bool = False,
    plans: tuple[Text, ...] = (),
) -> State[Reprocessed]:
    """Rerun exactly what is out of date: a new workflow version, reference or rule, corrected or topped-up samples.

    Args:
        home: The home folder.
        at_most: Most workflow runs of the new plan; the others stay for the next time.
        only_plan: Say what is out of date and why, and start nothing.
        wait_for_results: Keep this flow until the plans have ended or are held.
        plans: Ids of plans that were started; with any, only these go on and nothing new is planned.

    Returns:
        Failed when something out of date could not be planned; `Reprocessed` either way.
    """
    planned, outcome = Plan(), Reprocessed()
    with opened(home) as h:
        if plans:
            outcome = step("go on", steps.work_all, h, plans, wait=wait_for_results)
        else:
            planned = step("plan", comparing.plan, h)
            if not only_plan:
                outcome = step("submit", steps.reprocess, h, planned, at_most, wait=wait_for_results)
    if planned.items or planned.problems:
        publish_plan(planned, outcome)
    words = "" if plans else f"{planned.sentence}; "
    words += f"{outcome.new} submitted, {len(outcome.held)} held back"
    if outcome.state == "held":
        words += f"; {outcome.plan} is held: {printable(outcome.reason or '', 400)}"
    if planned.problems or outcome.failed:
        return Failed(data=outcome, message=f"{words}; the report says what could not be planned")
    return Completed(data=outcome, message=words)


def publish_plan(planned: Plan, outcome: Reprocessed) -> None:
    """Write what is out of date, why, and what became of it."""
    table = [
        {
            "samples": cell(", ".join(item.samples)),
            "workflow": cell(item.workflow),
            "out of date because": cell(item.reason),
            "what is done": cell(item.standing),
            "workflow run": cell(item.run_id),
            "instead": cell(item.instead_id or ""),
        }
        for item in planned.items
    ]
    counts = {"results are out of date": len(planned.items), "workflow runs submitted": outcome.new}
    waits = [("plan", problem) for problem in planned.problems] + outcome.failed + outcome.held
    publish("reprocess", fitting(table), report("Out of date", counts, waits, []), planned.sentence)

"""The main job as one flow a batch: steps are tasks with their own retries, and each workflow run ends as a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from labrelay.flows.artifacts import artifact_key, publish, report, run_table
from labrelay.flows.batch import HomeFolder, Text, called_after_folder, opened, step
from labrelay.flows.rows import RunRow, run_rows
from labrelay.model.words import counted
from labrelay.steps import process as steps
from labrelay.steps.home import Home
from labrelay.steps.outgrown import told
from labrelay.steps.process import Processed

# A task that only shows how a run went needs no thread of its own; four keep the fan-out quick on two cores.
SHOWN_AT_ONCE = 4
RUNNER = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner[Any](max_workers=SHOWN_AT_ONCE))


@flow(
    name="process-run",
    flow_run_name=called_after_folder,
    task_runner=RUNNER,
    persist_result=False,
)
def process_run(
    home: HomeFolder,
    folder: Text,
    experiment: Text = "",
    assume_complete: bool = False,
    wait_for_results: bool = False,
) -> State[Processed]:
    """Take an instrument run all the way to its results; what is done already is not done again.

    Args:
        home: The home folder.
        folder: The run folder that the instrument (or the sequencing service) wrote.
        experiment: Match its samples only with this announced experiment; empty means all.
        assume_complete: Take the run though its completion marker is missing; a person knows that nothing more comes.
        wait_for_results: Keep this flow until the workflow runs have ended; else the schedules record them.

    Returns:
        Completed, or Failed when a workflow run failed; `Processed` either way.
    """
    with opened(home) as h:
        run, stored = step("parse, check and store", steps.take_in, h, Path(folder), assume_complete=assume_complete)
        outcome = steps.begun(h, run, stored)
        step("match, import, route, submit", steps.go_on, h, outcome, experiment or None, wait=False)
        if wait_for_results:
            step("run, record, deliver", steps.finish, h, outcome)
        rows = publish_batch(h, outcome)
    wait(show_run.map(rows))
    return verdict_of_batch(outcome, rows)


@task(name="workflow run", task_run_name="{row.subject}: {row.workflow}", cache_policy=NO_CACHE, persist_result=False)
def show_run(row: RunRow) -> Any:
    """Show how one workflow run went, as a task of its sample's name."""
    if row.failed:
        return Failed(message=f"{row.run_id} {row.state.value}: {row.reason or 'no reason was given'}")
    words = ", ".join(row.metrics) or row.verdict.value
    return Completed(message=f"{row.run_id} {row.state.value.lower()}: {words}")


def publish_batch(home: Home, outcome: Processed) -> list[RunRow]:
    """Write the batch's table and report, and return its rows."""
    with home.records.read() as session:
        rows = run_rows(session, outcome.runs)
    counts = {
        "files stored": outcome.stored,
        "read sets imported": outcome.imported,
        "workflow runs submitted": outcome.submitted,
        "workflow runs in all": len(rows),
        "messages delivered": outcome.delivered,
    }
    waits = [(d.label, d.reason or "no announced sample fits") for d in outcome.unassigned]
    waits += outcome.failed + outcome.left_out + [("the run folder", str(problem)) for problem in outcome.warnings]
    waits += [("made of fewer files", told(item)) for item in outcome.outgrown.values()]
    page = None if outcome.page is None else outcome.page.relative_to(home.path).as_posix()
    markdown = report(f"Instrument run {outcome.name}", counts, waits, rows, page)
    publish(artifact_key("batch", outcome.instrument_run_id), run_table(rows), markdown, outcome.name)
    return rows


def verdict_of_batch(outcome: Processed, rows: list[RunRow]) -> State[Processed]:
    """Return the flow run's own end: failed when a workflow run, an import or a submission did."""
    failed = sum(row.failed for row in rows)
    if failed or outcome.failed:
        parts = [f"{failed} of {counted(len(rows), 'workflow run')} failed"] if failed else []
        parts += [f"{counted(len(outcome.failed), 'problem')}: see the report"] if outcome.failed else []
        return Failed(data=outcome, message=", ".join(parts))
    return Completed(
        data=outcome, message=f"{counted(outcome.stored, 'file')} stored, {counted(outcome.submitted, 'run')} submitted"
    )

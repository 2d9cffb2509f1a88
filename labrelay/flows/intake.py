"""Parts of the main job as flows of their own: store a run, import its reads, ask for its workflow runs."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from labrelay.flows.artifacts import artifact_key, publish, report, run_table
from labrelay.flows.batch import HomeFolder, Text, called_after_folder, called_after_run, opened, step
from labrelay.flows.rows import run_rows
from labrelay.model.words import counted
from labrelay.steps.imports import Imported
from labrelay.steps.imports import import_reads as import_step
from labrelay.steps.process import take_in
from labrelay.steps.route import route
from labrelay.steps.submit import Submitted, submit_planned


@flow(name="ingest-run", flow_run_name=called_after_folder, persist_result=False)
def ingest_run(home: HomeFolder, folder: Text, assume_complete: bool = False) -> State[str]:
    """Store an instrument run's files and judge its reads; nothing is matched or submitted.

    Args:
        home: The home folder.
        folder: The run folder that the instrument (or the sequencing service) wrote.
        assume_complete: Take the run though its completion marker is missing; a person knows that nothing more comes.

    Returns:
        The stored run's id, `ins_…`.
    """
    with opened(home) as h:
        run, stored = step("parse, check and store", take_in, h, Path(folder), assume_complete=assume_complete)
    return Completed(
        data=run.id, message=f"{run.run_id} is {run.id}: {stored} of {counted(len(run.files), 'file')} stored now"
    )


@flow(name="import-reads", flow_run_name=called_after_run, persist_result=False)
def import_reads(home: HomeFolder, instrument_run_id: Text) -> State[Imported]:
    """Import the reads of a stored instrument run's assigned samples; what was imported before stays.

    Args:
        home: The home folder.
        instrument_run_id: The stored run, `ins_…`.

    Returns:
        Failed when a source was refused (the others are imported all the same); `Imported` either way.
    """
    with opened(home) as h:
        outcome = step("import reads", import_step, h, instrument_run_id)
    counts = {"read sets imported": outcome.imported, "read sets that were there": outcome.already}
    if outcome.failed:
        markdown = report(f"Import of {instrument_run_id}", counts, outcome.failed, [])
        publish(artifact_key("import", instrument_run_id), [], markdown, instrument_run_id)
        return Failed(
            data=outcome,
            message=f"{counted(len(outcome.failed), 'source was', 'sources were')} refused: the report says why",
        )
    return Completed(data=outcome, message=f"{outcome.imported} imported, {outcome.already} were there")


@flow(name="submit-runs", flow_run_name=called_after_run, persist_result=False)
def submit_runs(home: HomeFolder, instrument_run_id: Text) -> State[Submitted]:
    """Submit the workflow runs that the rules ask for after an instrument run; none is started twice.

    Args:
        home: The home folder.
        instrument_run_id: The stored run, `ins_…`.

    Returns:
        Failed when a run could not be composed (the others are submitted all the same); `Submitted` either way.
    """
    with opened(home) as h:
        routed = step("route", route, h, instrument_run_id)
        submitted = step("submit", submit_planned, h, routed.planned)
        with h.records.read() as session:
            rows = run_rows(session, submitted.runs)
    counts = {"workflow runs submitted": submitted.new, "workflow runs in all": len(submitted.runs)}
    markdown = report(f"Submission of {instrument_run_id}", counts, submitted.failed + routed.left_out, rows)
    publish(artifact_key("submit", instrument_run_id), run_table(rows), markdown, instrument_run_id)
    if submitted.failed:
        return Failed(
            data=submitted, message=f"{counted(len(submitted.failed), 'run')} could not be asked for: see the report"
        )
    return Completed(data=submitted, message=f"{submitted.new} submitted, {len(submitted.runs)} in all")

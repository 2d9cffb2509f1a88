"""A person overrides a verdict: on record with the reason, then shown wherever the verdict stands."""

from __future__ import annotations

from labrelay.model.errors import UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.qc import Override, Verdict
from labrelay.records import outbox, overrides
from labrelay.records.schema import WorkflowRunRow
from labrelay.steps.catalogue import post_result
from labrelay.steps.documents import write_documents
from labrelay.steps.gather import recorded_result
from labrelay.steps.home import Home
from labrelay.steps.record import put_crate
from labrelay.steps.results import show_result

LONGEST_REASON = 1_000


def override_verdict(home: Home, text: str, verdict: Verdict, reason: str) -> tuple[str, Override]:
    """Set the verdict of a result; the same again after a kill finishes what was begun and adds nothing.

    Args:
        home: Where.
        text: The run's id or its sample's name.
        verdict: What it shall be.
        reason: One or two sentences, for the record.

    Returns:
        The run's id, and what is on record now.

    Raises:
        UsageError: There is no reason, or several results of the sample.
        NotFound: There is no such result.
        StorageFailed: The disk did not take the new report; the verdict is set, and the same call writes the report.
    """
    said = " ".join(reason.split())
    if not said or len(said) > LONGEST_REASON:
        raise UsageError(f"a reason has to be given, in at most {LONGEST_REASON} characters")
    run_id = show_result(home, text).result.run_id
    with home.records.write() as session:
        run = session.get_one(WorkflowRunRow, run_id)
        last = overrides.of_runs(session, [run_id]).get(run_id)
        if last is None or (last.verdict, last.reason) != (verdict, said):
            last = overrides.override(session, run, verdict, said)
            outbox.post(session, "eln", run.experiment_id, "override", f"eln:override:{run_id}:{last.at}", run=run_id)
            post_result(home, session, run_id, f"override:{run_id}:{last.at}")
    faultpoint("override.recorded")
    _write_again(home, run_id)
    return run_id, last


def _write_again(home: Home, run_id: str) -> None:
    """Write the report and the crate again, which name the verdict; the crate of before gives way to the new one."""
    with home.records.read() as session:
        result = recorded_result(home, session, run_id)
        path = session.get_one(WorkflowRunRow, run_id).result_path
    crate = write_documents(home, result, path)
    faultpoint("override.documents_written")
    with home.records.write() as session:
        put_crate(session, result, crate)

"""Step 10, record: what an ended run produced is stored, explained and written to the records in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, RunFailed
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef, FileRole
from labrelay.model.ids import derived_id
from labrelay.model.names import slug
from labrelay.model.qc import Verdict, judge_each, worst
from labrelay.model.runs import OutputFile, RunReport
from labrelay.model.states import RunState
from labrelay.records import audit, intake, outbox, runs, superseded
from labrelay.records.database import now
from labrelay.records.result import Result, ResultFile
from labrelay.records.schema import AttemptRow, CrateRow, WorkflowRunRow
from labrelay.records.upsert import insert_missing
from labrelay.steps.bundles import definition_of
from labrelay.steps.catalogue import post_result
from labrelay.steps.documents import WRITTEN, write_documents
from labrelay.steps.eln_signs import sign
from labrelay.steps.gather import gather, result_file
from labrelay.steps.home import Home
from labrelay.steps.notices import notify
from labrelay.steps.run_telling import ENDS, FAIL, tell_run
from labrelay.steps.trends import follow_result
from labrelay.stores.many import in_bundles, put_many
from labrelay.workflows.definition import NEXTFLOW, Definition
from labrelay.workflows.metrics import read_metrics
from labrelay.workflows.nextflow.outputs import named_report

PROFILE = "https://w3id.org/ro/wfrun/provenance/0.5"


def record_run(home: Home, run_id: str) -> bool:
    """Record the end of a workflow run; doing it again after a crash writes the same and nothing twice.

    Returns:
        False when another process has recorded it, or has started it again, since the caller looked.

    Raises:
        LabrelayError: Outputs or documents could not be stored; the run stays unrecorded and the next collect or
            sweep tries again.
    """
    with home.records.read() as session:
        run = session.get_one(WorkflowRunRow, run_id)
        attempt = runs.last_attempt(session, run_id)
    if _settled(run):
        return False
    report = _report(home, run, attempt)
    if run.state == RunState.COMPLETE.value:
        done = _record_result(home, run, attempt.token, report)
    else:
        done = _record_failure(home, run, attempt.token, report)
    faultpoint("record.committed")
    return done


def _settled(run: WorkflowRunRow) -> bool:
    return run.recorded_at is not None or not RunState(run.state).terminal


def _report(home: Home, run: WorkflowRunRow, attempt: AttemptRow) -> RunReport:
    """Return the engine's report; of a run that failed and that the engine has forgotten, what the records say."""
    try:
        report = home.engine_of(attempt.engine).report(attempt.external_id or attempt.token)
        if run.state == RunState.COMPLETE.value and report.state is not RunState.COMPLETE:
            raise RunFailed(f"{run.id} ended, yet {report.failure or report.state.value}", run.id)
        return report
    except NotFound:
        if run.state == RunState.COMPLETE.value:
            raise
        return RunReport(state=RunState(run.state), engine=attempt.engine, failure=run.failure)


def _record_failure(home: Home, run: WorkflowRunRow, token: str, report: RunReport) -> bool:
    with home.records.write() as session:
        row = session.get_one(WorkflowRunRow, run.id)
        if _settled(row):
            return False
        runs.add_report(session, token, report)
        row.failure = report.failure or row.failure
        row.recorded_at = now()
        audit.record(session, "workflow_run.recorded", run.id, state=row.state)
        sign(home, session, "failed", [row.experiment_id], token)
        tell_run(home, session, row.id, token, ENDS.get(row.state, FAIL))
        if row.state != RunState.CANCELED.value:
            notify(home, session, row.id, "failed", token, run=row.id, reason=row.failure or "no reason was given")
    return True


def _record_result(home: Home, run: WorkflowRunRow, token: str, report: RunReport) -> bool:
    definition = definition_of(home, run.workflow_digest)
    if definition.language == NEXTFLOW:
        report = named_report(report, definition.outputs)
    outputs = _store_outputs(home, run, report, definition)
    faultpoint("record.outputs_stored")
    metrics = read_metrics(definition, [(f.name, f.path) for f in outputs])
    verdicts = judge_each(metrics, list(definition.thresholds.values()))
    verdict = worst(list(verdicts.values()))
    with home.records.read() as session:
        result = gather(home, session, run, report, outputs, metrics, verdicts, verdict)
    crate = write_documents(home, result, run.result_path)
    faultpoint("record.documents_written")
    return _commit(home, run, token, result, crate, verdict)


def _store_outputs(home: Home, run: WorkflowRunRow, report: RunReport, definition: Definition) -> list[ResultFile]:
    """Store the output files below the result's path; those that are there already are not stored again.

    Raises:
        RunFailed: The run produced nothing, or an output lies outside the engine's folders.
    """
    if not report.files and not report.values:
        raise RunFailed(f"{run.id} ended without any output: see its log", run.id)
    names = Counter(Path(file.path).name for file in report.files)
    wanted: list[tuple[Path, str]] = []
    for file in report.files:
        source = Path(file.path).resolve()
        if not source.is_relative_to(home.path):
            raise RunFailed(f"the output {file.output} of {run.id} lies outside this home: {source}", run.id)
        wanted.append((source, f"{run.result_path}/{_file_name(file, names)}"))
    refs: dict[str, FileRef] = {}
    for bundle in in_bundles(wanted, lambda each: _size(each[0])):
        refs |= {ref.key: ref for ref in put_many(home.results, bundle)}
        faultpoint("record.output_stored")
    return [_described(home, file, refs[key], definition) for file, (_, key) in zip(report.files, wanted, strict=True)]


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError:
        return 0  # gone: the store says so in a sentence


def _file_name(file: OutputFile, names: Mapping[str, int]) -> str:
    """Return the file's own name, with output and index before it when another output or a document has the name."""
    name = Path(file.path).name
    alone = names[name] == 1 and name not in WRITTEN
    return slug(name if alone else f"{file.output}-{file.index}-{name}")


def _described(home: Home, file: OutputFile, ref: FileRef, definition: Definition) -> ResultFile:
    spec = definition.outputs.get(file.output)
    role = spec.role if spec else FileRole.OUTPUT
    made = result_file(home, file.output, file.index, ref, role, spec.media_type if spec else None)
    return made.model_copy(update={"task": file.task})


def put_crate(session: Session, result: Result, crate: FileRef) -> None:
    """Write which crate a result has in the caller's transaction; one of before gives way to it."""
    intake.add_files(session, [(crate, FileRole.CRATE.value, None)])
    made = {"id": derived_id("crt", result.run_id, crate.version), "run_id": result.run_id, "file_id": crate.id}
    session.execute(delete(CrateRow).where(CrateRow.run_id == result.run_id, CrateRow.id != made["id"]))
    more = {"profile": PROFILE, "created_at": now(), "keywords": _keywords(result)}
    insert_missing(session, CrateRow, [made | more])


def _commit(home: Home, run: WorkflowRunRow, token: str, result: Result, crate: FileRef, verdict: Verdict) -> bool:
    """Write outputs, lineage, tasks, metrics, verdict, crate, audit and messages in one transaction."""
    with home.records.write() as session:
        row = session.get_one(WorkflowRunRow, run.id)
        if _settled(row):
            return False
        intake.add_files(session, [(f.ref, f.role.value, None) for f in result.outputs])
        runs.add_io(session, run.id, "out", [(f.name, f.index, f.ref.id, f.task) for f in result.outputs])
        runs.add_report(session, token, result.report)
        intake.add_metrics(session, run.id, result.metrics, result.verdicts)
        put_crate(session, result, crate)
        row.verdict, row.recorded_at = verdict.value, now()
        superseded.replace(session, result.replaces, run.id)
        follow_result(home, session, result)
        audit.record(session, "workflow_run.recorded", run.id, state=row.state, verdict=verdict.value)
        why = {"replaces": list(result.replaces), "because": result.because} if result.replaces else {}
        outbox.post(session, "eln", run.experiment_id, "result", f"eln:result:{token}", run=run.id, **why)
        post_result(home, session, run.id, token)
        tell_run(home, session, run.id, token, ENDS[row.state])
        names = ", ".join(sample.name for sample in result.samples)
        notify(home, session, run.id, "done", token, run=run.id, samples=names, verdict=verdict.value)
    return True


def _keywords(result: Result) -> str:
    """Return what of the crate's content is searched and stands in no other table."""
    instruments = [text for run in result.instrument_runs for text in (run.run_id, run.instrument_model) if text]
    reference = [result.reference.name] if result.reference else []
    return " ".join([result.workflow_title, result.workflow.language, *reference, *instruments])

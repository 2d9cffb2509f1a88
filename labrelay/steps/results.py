"""Results as people ask for them: the table of an experiment, one result with its files, and their copies."""

from __future__ import annotations

import secrets
import shutil
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from labrelay.model.errors import Conflict, NotFound, UsageError
from labrelay.model.problem import Frozen
from labrelay.model.qc import Verdict
from labrelay.model.states import RunState
from labrelay.records import experiments
from labrelay.records.documents import Document
from labrelay.records.result import Result
from labrelay.records.schema import FileRow, MetricRow, RunIORow, WorkflowRunRow
from labrelay.steps.assign import find_experiment
from labrelay.steps.documents import documents_of, result_folder
from labrelay.steps.gather import recorded_result, recorded_runs
from labrelay.steps.home import Home
from labrelay.steps.listing import RunLine, find_run, of_sample, older_than, run_lines, samples_called
from labrelay.stores.durable import make_dirs, storage_errors

METRICS = (
    "reads",
    "read_pairs",
    "mapped_percent",
    "mean_depth",
    "breadth_10x_percent",
    "variants",
    "cells",
    "positive_percent",
)
EXPORTS = (".csv", ".xlsx", ".eln")


class ResultRow(Frozen):
    """A result in one line; a number that the workflow does not give is None.

    Attributes:
        sample: The sample's name, or `N samples` of a cohort.
        reads: Single reads that went in, as they were counted when they were stored; else as the workflow says.
        mapped_percent: Of the reads after trimming.
        mean_depth: Over the whole reference, x.
        breadth_10x_percent: Of the reference, at depth 10 or more.
        variants: How many were called.
        cells: How many were counted, in all wells.
        positive_percent: Of those cells.
        stale: Why the result is out of date; None when it is not.
        replaced_by: The run whose newer result has taken its place; None for a result that counts.
        result_path: Below `results/` in the home.
    """

    sample: str
    reads: int | None = None
    mapped_percent: float | None = None
    mean_depth: float | None = None
    breadth_10x_percent: float | None = None
    variants: int | None = None
    cells: int | None = None
    positive_percent: float | None = None
    verdict: Verdict
    workflow: str
    experiment: str
    run: str
    ended: datetime
    stale: str | None = None
    replaced_by: str | None = None
    result_path: str


class Shown(Frozen):
    """One result with its stale mark, what replaced it, its folder and the documents about it."""

    result: Result
    stale: str | None
    replaced_by: str | None
    folder: Path
    documents: tuple[Document, ...]


def results_table(
    home: Home, experiment: str | None = None, run_ids: list[str] | None = None, *, superseded: bool = False
) -> list[ResultRow]:
    """Return the results that count, by experiment and sample. Cost: six queries, whatever their number.

    Args:
        home: Where.
        experiment: Only this one's (name or id).
        run_ids: Only those of these runs.
        superseded: Those too that a newer result has replaced.

    Raises:
        NotFound: There is no such experiment.
    """
    with home.records.read() as session:
        wanted: list[ColumnElement[bool]] = []
        if experiment is not None:
            wanted.append(WorkflowRunRow.experiment_id == find_experiment(session, experiment).id)
        if run_ids is not None:
            wanted.append(WorkflowRunRow.id.in_(run_ids))
        chosen = _recorded() if superseded else _counting()
        rows = [row for _asked, row in _rows(session, chosen.where(*wanted))]
    return sorted(rows, key=lambda row: (row.experiment, row.sample, row.workflow, row.run))


def newest_results(
    home: Home, experiment: str | None = None, *, limit: int, after: tuple[str, str] | None = None
) -> list[tuple[str, ResultRow]]:
    """Return results that count, those whose runs were asked for last first, each with that time. Cost: six queries.

    Args:
        home: Where.
        experiment: Only this one's (name or id).
        limit: At most so many.
        after: Only those of runs older than the one that was asked for then and has this id.

    Raises:
        NotFound: There is no such experiment.
    """
    with home.records.read() as session:
        query = _counting()
        if experiment is not None:
            query = query.where(WorkflowRunRow.experiment_id == find_experiment(session, experiment).id)
        if after is not None:
            query = query.where(older_than(*after))
        newest = query.order_by(WorkflowRunRow.created_at.desc(), WorkflowRunRow.id.desc())
        rows = _rows(session, newest.limit(limit))
    return sorted(rows, key=lambda row: (row[0], row[1].run), reverse=True)


def _rows(session: Session, ids: Select[str]) -> list[tuple[str, ResultRow]]:
    """Return the results of the runs that a query selects, each with the time when its run was asked for."""
    lines, numbers, reads = run_lines(session, ids), _numbers(session, ids), _reads(session, ids)
    return [
        (line.asked.isoformat(timespec="microseconds"), _row(line, numbers[line.run], reads.get(line.run)))
        for line in lines
    ]


def _recorded() -> Select[str]:
    """Select the runs that have a recorded result."""
    complete = WorkflowRunRow.state == RunState.COMPLETE.value
    return select(WorkflowRunRow.id).where(complete, WorkflowRunRow.recorded_at.is_not(None))


def _counting() -> Select[str]:
    """Select the runs that have a recorded result and were not replaced."""
    return _recorded().where(WorkflowRunRow.replaced_by.is_(None))


def _numbers(session: Session, ids: Select[str]) -> dict[str, dict[str, float | None]]:
    query = select(MetricRow.owner_id, MetricRow.name, MetricRow.value)
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for owner, name, value in session.execute(query.where(MetricRow.owner_id.in_(ids), MetricRow.name.in_(METRICS))):
        found[owner][name] = value
    return found


def _reads(session: Session, ids: Select[str]) -> dict[str, float]:
    """Return how many reads went into each run, as the content gate counted them in its files of reads."""
    reads = FileRow.stats["reads"].as_integer()
    query = (
        select(RunIORow.run_id, func.sum(reads))
        .join(FileRow, FileRow.id == RunIORow.file_id)
        .where(RunIORow.run_id.in_(ids), RunIORow.direction == "in")
        .where(FileRow.stats["quality_sum"].as_float().is_not(None))  # a BAM's records are no reads
        .group_by(RunIORow.run_id)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def _row(line: RunLine, numbers: dict[str, float | None], counted: float | None) -> ResultRow:
    pairs = numbers.get("read_pairs")
    told = numbers.get("reads") if pairs is None else 2 * pairs
    reads = told if counted is None else counted
    variants, cells = numbers.get("variants"), numbers.get("cells")
    return ResultRow(
        sample=line.sample,
        reads=None if reads is None else round(reads),
        mapped_percent=numbers.get("mapped_percent"),
        mean_depth=numbers.get("mean_depth"),
        breadth_10x_percent=numbers.get("breadth_10x_percent"),
        variants=None if variants is None else round(variants),
        cells=None if cells is None else round(cells),
        positive_percent=numbers.get("positive_percent"),
        verdict=line.verdict,
        workflow=line.workflow,
        experiment=line.experiment,
        run=line.run,
        ended=line.ended or line.asked,
        stale=line.stale,
        replaced_by=line.replaced_by,
        result_path=line.result_path,
    )


def show_result(home: Home, text: str) -> Shown:
    """Return one result by its run's id (or the beginning of it), by its sample's name, or by `SAMPLE/WORKFLOW`.

    Raises:
        NotFound: There is no such result.
        UsageError: The sample has several; the sentence names their runs.
    """
    with home.records.read() as session:
        run = find_run(session, text) if text.startswith("run_") else run_of_sample(session, text)
        result = recorded_result(home, session, run.id)
    folder = result_folder(home, run.result_path)
    return Shown(
        result=result,
        stale=run.stale,
        replaced_by=run.replaced_by,
        folder=folder,
        documents=tuple(documents_of(folder)),
    )


def run_of_sample(session: Session, text: str) -> WorkflowRunRow:
    """Return the run with the one result of a sample that counts; `SAMPLE/WORKFLOW` is the one of that workflow.

    Raises:
        NotFound: There is no such sample, or it has no such result.
        UsageError: It has several; the sentence says of which workflows.
    """
    sample, workflow = _asked(session, text)
    query = select(WorkflowRunRow).where(WorkflowRunRow.id.in_(_counting()), of_sample(session, sample))
    runs = {run.id: run for run in session.scalars(query)}
    lines = sorted(run_lines(session, query.with_only_columns(WorkflowRunRow.id)), key=lambda line: line.run)
    found = [line for line in lines if workflow is None or line.workflow.rpartition(" ")[0] == workflow]
    if len(found) == 1:
        return runs[found[0].run]
    told = ", ".join(f"{line.workflow} in {line.experiment} ({line.run})" for line in found or lines)
    if found:
        by = (
            f"{sample}/WORKFLOW or its run"
            if len({line.workflow.rpartition(" ")[0] for line in found}) > 1
            else "its run"
        )
        told = ", ".join(f"{line.workflow} in {line.experiment} ({_which(line)})" for line in found)
        raise UsageError(f"{text} has {len(found)} results, name one by {by}: {told}")
    if lines:
        raise NotFound(f"the sample {sample} has no recorded result of {workflow}, it has {told}")
    raise NotFound(f"the sample {sample} has no recorded result: `labrelay runs list --sample {sample}` says why")


def _which(line: RunLine) -> str:
    """Return what tells a result from another one of the same workflow."""
    return f"{line.run}, {line.ended or line.asked:%Y-%m-%d %H:%M} UTC, {line.verdict.value}"


def _asked(session: Session, text: str) -> tuple[str, str | None]:
    """Return the sample and the workflow that are meant; a sample's own name may have a slash."""
    sample, _, workflow = text.rpartition("/")
    return (sample, workflow) if samples_called(session, sample) and not samples_called(session, text) else (text, None)


def get_result(home: Home, text: str, target: Path) -> list[Path]:
    """Copy a result's folder (outputs, report, crate) to `target`/<sample>/…, whole or not at all.

    Returns:
        The copies' paths.

    Raises:
        Conflict: The folder to be made is there already.
        StorageFailed: The disk did not take the copy; nothing is left of it.
    """
    shown = show_result(home, text)
    made = target / Path(*shown.folder.relative_to(home.path / "results").parts[1:])
    if made.exists():
        raise Conflict(f"{made} is there already: name another folder with --to, or remove it first")
    with storage_errors(f"copy the result to {made}", target):
        make_dirs(made.parent)
        fresh = made.with_name(f".new-{secrets.token_hex(8)}")
        try:
            shutil.copytree(shown.folder, fresh)
            fresh.rename(made)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return sorted(path for path in made.rglob("*") if path.is_file())


def export_results(home: Home, experiment: str, target: Path) -> Document:
    """Write an experiment's results as a table (`.csv`, `.xlsx`) or as a notebook archive (`.eln`).

    Raises:
        UsageError: The ending says none of these.
        NotFound: There is no such experiment, or it has no results.
        StorageFailed: The disk did not take the file.
    """
    from labrelay.records.eln_archive import ElnResult, write_eln
    from labrelay.records.tables import write_results_csv, write_results_xlsx

    if target.suffix.lower() not in EXPORTS:
        raise UsageError(f"{target} ends in none of {', '.join(EXPORTS)}: the ending says what to write")
    with home.records.read() as session:
        row = find_experiment(session, experiment)
        ids = recorded_runs(session, row.id)
        results = [recorded_result(home, session, run_id) for run_id in ids]
        folders = [result_folder(home, session.get_one(WorkflowRunRow, run_id).result_path) for run_id in ids]
    if not results:
        raise NotFound(f"the experiment {row.name} has no results yet: `labrelay status` says what runs")
    make_dirs(target.absolute().parent)
    match target.suffix.lower():
        case ".csv":
            return write_results_csv(results, target)
        case ".xlsx":
            return write_results_xlsx(results, target)
        case _:
            entries = [ElnResult(result, documents_of(folder)) for result, folder in zip(results, folders, strict=True)]
            return write_eln(experiments.experiment_of(row), entries, target)

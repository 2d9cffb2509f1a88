"""Which result a person means: by a run's id, a sample's name, a file's id, or a path as a shell has it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePosixPath

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.ids import looks_like_id
from labrelay.model.names import printable
from labrelay.model.words import first_of
from labrelay.records.arrivals import name_of
from labrelay.records.lineage import resolve
from labrelay.records.schema import CrateRow, DatasetRow, FileRow, InstrumentRunRow, RunIORow, WorkflowRunRow
from labrelay.steps.home import Home
from labrelay.steps.listing import find_run, samples_called
from labrelay.steps.results import run_of_sample

RESULTS = "results"
OTHERS = {"ins": "an instrument run", "exp": "an experiment", "rds": "a read set", "ref": "a reference"}


def find_result(home: Home, session: Session, text: str) -> tuple[WorkflowRunRow, str | None]:
    """Return the run that is meant, and the id of the file by which it was asked for.

    Args:
        home: Where.
        session: Of its records.
        text: A workflow run's id (or the beginning of one), a sample's name, `SAMPLE/WORKFLOW` where it has several
            results, the id or label of a dataset for its sample, the id of a file that a run made, or the path of a
            result's folder or of a file in it: from where the command is given, or below `results/`.

    Raises:
        NotFound: There is no such thing.
        UsageError: It could mean several results, or it is no result.
    """
    if text.startswith("run_"):
        return find_run(session, text), None
    if text.startswith("fil_"):
        file = resolve(session, text)
        return _maker(session, file), file
    for below in _below_results(home, text):
        above = [str(each) for each in (below, *below.parents)]
        run = session.scalars(select(WorkflowRunRow).where(WorkflowRunRow.result_path.in_(above)).limit(1)).first()
        if run is not None:
            key = select(FileRow.id).where(FileRow.storage == home.results.name, FileRow.key == str(below))
            return run, session.scalars(key).first()
    if not samples_called(session, text) and (named := _dataset_of(session, text)) is not None:
        return run_of_sample(session, named), None
    return run_of_sample(session, text), None


def find_thing(home: Home, session: Session, text: str) -> str:
    """Return the id of anything that has one: by id, name, or as `find_result` takes a result.

    Raises:
        NotFound: There is no such thing.
        UsageError: It could mean several.
    """
    try:
        return resolve(session, text)
    except NotFound as error:
        with suppress(NotFound):
            run, file = find_result(home, session, text)
            return file or run.id
        raise error


def _dataset_of(session: Session, text: str) -> str | None:
    """Return the sample of the dataset of this id or label, or None where there is no such thing.

    Raises:
        UsageError: It is a dataset without a sample, several are of different samples, or it is something else that is
            no result.
    """
    wanted = DatasetRow.id.startswith(text, autoescape=True) if looks_like_id(text, "dat") else DatasetRow.label == text
    joined = select(DatasetRow, InstrumentRunRow).join(InstrumentRunRow)
    found = session.execute(joined.where(wanted).order_by(InstrumentRunRow.created_at.desc(), DatasetRow.id)).all()
    if found:
        samples = {dataset.sample_id: (dataset, run) for dataset, run in found if dataset.sample_id}
        if not samples:
            raise UsageError(_without_sample(*found[0]))
        if len(samples) > 1:  # barcode01 is somebody else's in each run
            told = first_of([f"{dataset.id} of {name_of(run)}" for dataset, run in samples.values()], 3)
            raise UsageError(f"{printable(text)} fits datasets of {len(samples)} samples, give the id of one: {told}")
        return next(iter(samples))
    with suppress(NotFound):
        other = resolve(session, text)
        if (what := OTHERS.get(other[:3])) is not None:
            raise UsageError(
                f"{printable(text)} is {what} and no result: `labrelay lineage {other} --down` says what was made of it"
            )
    return None


def _without_sample(dataset: DatasetRow, run: InstrumentRunRow) -> str:
    """Return what a dataset without a sample is, and how it gets one."""
    what = f"{printable(dataset.label, 80)} is a dataset of the instrument run {printable(name_of(run), 80)}"
    if dataset.state == "no_reads":
        return f"{what} without reads, so that no workflow ran on it and there is no result"
    return (
        f"{what} and has no sample yet, so that no workflow ran on it and there is no result: "
        f"`labrelay assign {dataset.id} SAMPLE` says whose it is, then `labrelay process {printable(run.folder, 200)}`"
    )


def _below_results(home: Home, text: str) -> list[PurePosixPath]:
    """Return what a path may be below `results/`; nothing for what is none."""
    root = (home.path / RESULTS).resolve()
    from_here = Path(text).absolute().resolve() if "\0" not in text else root
    found = [PurePosixPath(text.removeprefix(f"{RESULTS}/").strip("/"))]
    if from_here.is_relative_to(root):
        found.insert(0, PurePosixPath(from_here.relative_to(root).as_posix()))
    return [each for each in found if each.parts]


def _maker(session: Session, file: str) -> WorkflowRunRow:
    made = select(RunIORow.run_id).where(RunIORow.file_id == file, RunIORow.direction == "out")
    crates = select(CrateRow.run_id).where(CrateRow.file_id == file)
    query = select(WorkflowRunRow).where(WorkflowRunRow.id.in_(made.union(crates)))
    run = session.scalars(query.order_by(WorkflowRunRow.created_at).limit(1)).first()
    if run is None:
        raise UsageError(f"no workflow run made {file}, so it is no result: `labrelay lineage {file}` says what it is")
    return run

"""The documents of a result, the crate last, and of an experiment: its page, tables and `.eln` archive."""

from __future__ import annotations

from pathlib import Path

from labrelay.model.files import FileRef
from labrelay.model.names import slug
from labrelay.records import experiments
from labrelay.records.documents import METADATA, Document, document, sha256_and_size
from labrelay.records.result import Result
from labrelay.records.schema import ExperimentRow, WorkflowRunRow
from labrelay.steps.gather import recorded_result, recorded_runs
from labrelay.steps.home import Home

REPORT, VARIANTS = "report.html", "variants-annotated.csv"
WRITTEN = frozenset({REPORT, VARIANTS, METADATA, "figures", "workflow"})  # in a result's folder, beside the outputs


def write_documents(home: Home, result: Result, result_path: str) -> FileRef:
    """Write what explains a result beside its outputs, and return its crate.

    The same result gives the same bytes, so that writing again after a crash changes nothing.

    Raises:
        StorageFailed: The disk did not take a document.
    """
    # What writes documents is dear to import, and most commands write none.
    from labrelay.records.crate import write_crate
    from labrelay.records.report.page import write_report
    from labrelay.records.report_data import load_report_data
    from labrelay.records.tables import write_variants_csv
    from labrelay.records.variant_effects import with_effects

    folder = result_folder(home, result_path)
    data = with_effects(result, load_report_data(result))
    documents = write_report(result, folder, data)
    if data.variants:
        documents.append(write_variants_csv(data.variants, folder / VARIANTS))
    crate = write_crate(result, folder, documents)
    return stored_document(home, crate)


def documents_of(folder: Path) -> list[Document]:
    """Return the documents that `write_documents` left in a result's folder, the report first."""
    named = [(folder / REPORT, "Report"), (folder / VARIANTS, "Variants"), (folder / METADATA, "Provenance crate")]
    figures = [(path, path.stem.replace("_", " ").capitalize()) for path in sorted(folder.glob("figures/*.svg"))]
    return [document(path, title) for path, title in [*named, *figures] if path.is_file()]


def publish_experiment(home: Home, experiment_id: str) -> Path:
    """Write an experiment's page, its results tables and its `.eln` archive from the records; return the archive.

    Cost: some ten queries a result, one archive whatever the number of results that are new.

    Raises:
        StorageFailed: The disk did not take a file.
    """
    from labrelay.records.eln_archive import ElnResult, write_eln
    from labrelay.records.report.page import write_index
    from labrelay.records.tables import write_results_csv, write_results_xlsx

    with home.records.read() as session:
        experiment = experiments.experiment_of(session.get_one(ExperimentRow, experiment_id))
        ids = recorded_runs(session, experiment_id)
        paths = {i: result_folder(home, session.get_one(WorkflowRunRow, i).result_path) for i in ids}
        results = [recorded_result(home, session, run_id) for run_id in ids]
    folder = home.path / "results" / slug(experiment.name)
    downloads = [
        write_results_csv(results, folder / "results.csv"),
        write_results_xlsx(results, folder / "results.xlsx"),
    ]
    entries = [ElnResult(result, documents_of(paths[result.run_id])) for result in results]
    archive = write_eln(experiment, entries, home.path / "eln" / f"{slug(experiment.name)}.eln")
    reports = [(result, paths[result.run_id] / REPORT) for result in results]
    write_index(experiment, reports, folder / "index.html", [*downloads, archive])
    return archive.path


def result_folder(home: Home, result_path: str) -> Path:
    """Return the folder of a result."""
    return home.path / "results" / result_path


def stored_document(home: Home, path: Path) -> FileRef:
    """Return the file reference of a document in the results folder."""
    digest, size = sha256_and_size(path)
    key = path.relative_to(home.path / "results").as_posix()
    return FileRef(storage=home.results.name, key=key, version=digest, sha256=digest, size=size)

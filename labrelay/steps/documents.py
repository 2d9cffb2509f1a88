"""The documents of one result, written into its folder: tables, figures, report and, last, the crate."""

from __future__ import annotations

from pathlib import Path

from labrelay.model.files import FileRef
from labrelay.records.crate import write_crate
from labrelay.records.documents import Document, sha256_and_size
from labrelay.records.report_data import load_report_data
from labrelay.records.result import Result
from labrelay.records.tables import write_variants_csv
from labrelay.steps.home import Home


def write_documents(home: Home, result: Result, result_path: str) -> FileRef:
    """Write what explains a result beside its outputs, and return its crate.

    The same result gives the same bytes, so that writing again after a crash changes nothing.

    Raises:
        StorageFailed: The disk did not take a document.
    """
    folder = home.path / "results" / result_path
    documents: list[Document] = []
    data = load_report_data(result)
    if data.variants:
        documents.append(write_variants_csv(data.variants, folder / "variants-annotated.csv"))
    crate = write_crate(result, folder, documents)
    return stored_document(home, crate)


def stored_document(home: Home, path: Path) -> FileRef:
    """Return the file reference of a document in the results folder."""
    digest, size = sha256_and_size(path)
    key = path.relative_to(home.path / "results").as_posix()
    return FileRef(storage=home.results.name, key=key, version=digest, sha256=digest, size=size)

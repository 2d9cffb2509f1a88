"""The pages of results: one self-contained HTML file a result, and one an experiment that leads to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from labrelay.model.experiment import Experiment
from labrelay.model.qc import Verdict, worst
from labrelay.records.documents import (
    Document,
    document,
    heading,
    number_text,
    threshold_text,
    unit_sign,
)
from labrelay.records.report.charts import figures_of
from labrelay.records.report.render import VERDICT_WORDS, render
from labrelay.records.report.sentences import provenance, sample_names, verdict_reasons
from labrelay.records.report_data import ReportData, load_report_data
from labrelay.records.result import Result, ResultFile
from labrelay.records.tables import short_table
from labrelay.stores.durable import human_bytes, make_dirs, storage_errors, write_atomic

MOST_VARIANTS = 1_000
MOST_NUMBERS = 7  # of a result, on a page of 1,200 pixels


@dataclass(frozen=True)
class Tile:
    """A number of a page with its heading, unit, verdict and limits."""

    heading: str
    value: str
    unit: str
    verdict: str
    limits: str


@dataclass(frozen=True)
class FileRow:
    """A file of a page: what it is, its name and relative link (empty when it lies elsewhere), size and SHA-256."""

    label: str
    name: str
    href: str
    size: str
    sha256: str


def write_report(result: Result, folder: Path, data: ReportData | None = None) -> list[Document]:
    """Write `report.html` and `figures/*.svg` into the result's folder; return them, the report first.

    Args:
        result: What is shown.
        folder: The result's folder; files below it are linked, others only named.
        data: What the figures show; read from the result's outputs when None.

    Raises:
        StorageFailed: The disk did not take a file.
    """
    shown = load_report_data(result) if data is None else data
    figures = figures_of(result, shown)
    made = []
    with storage_errors("write the report", folder):
        make_dirs(folder / "figures")
        for figure in figures:
            path = folder / "figures" / f"{figure.name}.svg"
            write_atomic(path, figure.standalone, durable=False)
            made.append(document(path, figure.title))
        tiles = _tiles(result)
        page = render(
            "result.html.j2",
            title=result.title,
            result=result,
            samples=sample_names(result),
            verdict=result.verdict,
            verdict_word=VERDICT_WORDS[result.verdict],
            reasons=verdict_reasons(result),
            judged=[tile for tile in tiles if tile.limits],
            others=[tile for tile in tiles if not tile.limits],
            figures=figures,
            pictures=shown.pictures,
            variants=shown.variants[:MOST_VARIANTS],
            variants_total=len(shown.variants),
            provenance=provenance(result),
            costs=result.report.costs,
            total=sum(item.usd or 0 for item in result.report.costs),
            parameters=[(name, _plain(value)) for name, value in sorted(result.parameters.items())],
            outputs=[_file_row(f, folder, result) for f in result.outputs],
            inputs=[_file_row(f, folder, result) for f in _inputs(result)],
        )
        path = folder / "report.html"
        write_atomic(path, page)
    return [document(path, "Report"), *made]


def write_index(
    experiment: Experiment, entries: Sequence[tuple[Result, Path]], path: Path, downloads: Sequence[Document] = ()
) -> Document:
    """Write the page of an experiment: its results as one table, each with a link to its report.

    Args:
        experiment: What the results belong to.
        entries: Each result with the path of its report, in the order shown.
        path: Where the page goes; links are relative to its folder.
        downloads: Tables and archives to offer.

    Raises:
        StorageFailed: The disk did not take the page.
    """
    table, hidden = short_table([result for result, _ in entries], MOST_NUMBERS)
    with storage_errors("write the experiment's page", path.parent):
        make_dirs(path.parent)
        page = render(
            "experiment.html.j2",
            title=experiment.title or experiment.name,
            experiment=experiment,
            columns=table.columns,
            hidden=hidden,
            rows=[
                (row, result.verdict, _href(report, path.parent))
                for row, (result, report) in zip(table.rows, entries, strict=True)
            ],
            verdict=worst([result.verdict for result, _ in entries]),
            counts=[(VERDICT_WORDS[v], v, sum(r.verdict is v for r, _ in entries)) for v in Verdict],
            downloads=[(made.title, _href(made.path, path.parent)) for made in downloads],
            latest=max((result.ended for result, _ in entries), default=None),
        )
        write_atomic(path, page)
    return document(path, "Experiment")


def _tiles(result: Result) -> list[Tile]:
    limits = {threshold.metric: threshold for threshold in result.thresholds}
    tiles = []
    for metric in result.metrics:
        limit = limits.get(metric.name)
        tiles.append(
            Tile(
                heading(metric.name, result.labels)
                + ("" if metric.scope in ("run", "sample") else f", {metric.scope}"),
                number_text(metric.value),
                "" if metric.value is None else unit_sign(metric.unit),
                result.verdicts.get(metric.name, Verdict.NONE).value,
                threshold_text(limit, metric.unit) if limit else "",
            )
        )
    return tiles


def _inputs(result: Result) -> list[ResultFile]:
    reference = result.reference
    extra = [f for f in (reference.file, reference.annotation) if f is not None] if reference else []
    return [*result.inputs, *extra]


def _file_row(file: ResultFile, folder: Path, result: Result) -> FileRow:
    target, root = file.path.resolve(), folder.resolve()
    label = result.output_labels.get(file.name) or heading(file.name, {})
    href = _href(target, root) if target.is_relative_to(root) else ""
    return FileRow(label, file.ref.name, href, human_bytes(file.ref.size), file.ref.sha256)


def _href(target: Path, folder: Path) -> str:
    """Return a relative link; `./` keeps a name with a colon from being read as a scheme."""
    return "./" + quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix())


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "not set" if value is None else str(value)

"""The tables of an experiment: one row a result, its columns from the metrics that the results have; and of variants.

CSV is for programs and XLSX for people; both show a hostile name as text and run nothing of it. The same results give
the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import xlsxwriter

from labrelay.model.names import spreadsheet_cell
from labrelay.model.qc import Override, Verdict
from labrelay.records.documents import Document, document, heading, unit_sign, utc_text
from labrelay.records.report_data import Variant
from labrelay.records.result import Result
from labrelay.stores.durable import storage_errors, write_atomic

Cell = str | float | None
VERDICT_COLOURS = {
    Verdict.PASS: ("#DDF3E4", "#18794E"),
    Verdict.WARN: ("#FFF1C9", "#915930"),
    Verdict.FAIL: ("#FFE0DF", "#C6282B"),
    Verdict.NONE: ("#EEF0F2", "#5A636B"),
}
LONGEST_CELL = 32_767  # characters that Excel takes; XlsxWriter drops a longer text whole
VARIANT_HEADINGS = ("Contig", "Position", "Ref", "Alt", "Quality", "Depth", "Allele fraction", "Gene", "Change")


@dataclass(frozen=True)
class Column:
    """A column: its heading with the unit, and whether its cells are text, numbers or verdicts."""

    heading: str
    kind: Literal["text", "number", "verdict"] = "text"


@dataclass(frozen=True)
class Table:
    """A table with typed cells; a missing number is None, never 0."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def results_table(results: Sequence[Result]) -> Table:
    """Return one row a result, in the order given; each metric that any result has becomes a column."""
    first, rows = _measured(results, _names(results))
    columns = (*first, Column("Workflow"), Column("Version"), Column("Reference"), Column("Result"), Column("Ended"))
    last = [
        (r.workflow.name, r.workflow.version, r.reference.name if r.reference else "", r.run_id, utc_text(r.ended))
        for r in results
    ]
    return Table(columns, tuple((*row, *more) for row, more in zip(rows, last, strict=True)))


def short_table(results: Sequence[Result], most: int) -> tuple[Table, int]:
    """Return what of the table of results fits on a page, and how many metrics it leaves out.

    Args:
        results: In the order shown.
        most: How many metrics are shown: those with limits, then others, in their own order.
    """
    names = _names(results)
    judged = {threshold.metric for result in results for threshold in result.thresholds}
    shown = set(sorted(names, key=lambda each: each not in judged)[:most])
    first, rows = _measured(results, [name for name in names if name in shown])
    columns = (*first, Column("Workflow"), Column("Reference"), Column("Ended (UTC)"))
    last = [
        (f"{r.workflow.name} {r.workflow.version}", r.reference.name if r.reference else "", _minute(r.ended))
        for r in results
    ]
    table = Table(columns, tuple((*row, *more) for row, more in zip(rows, last, strict=True)))
    return table, max(0, len(names) - most)


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _names(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(metric.name for result in results for metric in result.metrics))


def _measured(results: Sequence[Result], names: Sequence[str]) -> tuple[tuple[Column, ...], list[tuple[Cell, ...]]]:
    """Return the columns of samples, metrics and verdicts, and these cells of each row."""
    metrics = {metric.name: metric for result in reversed(results) for metric in reversed(result.metrics)}
    labels = {name: label for result in reversed(results) for name, label in result.labels.items()}
    overridden = any(result.override for result in results)
    set_by_people = (Column("Verdict set by a person"),) if overridden else ()
    numbers = (Column(_with_unit(heading(name, labels), metrics[name].unit), "number") for name in names)
    rows = [
        (
            ", ".join(sample.name for sample in result.samples),
            *(result.metric(name) for name in names),
            result.verdict.value,
            *(override_text(result.override) for _column in set_by_people),
        )
        for result in results
    ]
    return (Column("Sample"), *numbers, Column("Verdict", "verdict"), *set_by_people), rows


def override_text(override: Override | None) -> str:
    """Return who set a verdict and why, with what was computed; nothing when nobody did."""
    return f"{override.by}: {override.reason} (computed: {override.computed.value})" if override else ""


def variants_table(variants: Sequence[Variant]) -> Table:
    """Return one row a variant."""
    numbers = {"Position", "Quality", "Depth", "Allele fraction"}
    columns = tuple(Column(name, "number" if name in numbers else "text") for name in VARIANT_HEADINGS)
    rows = tuple((v.contig, v.position, v.ref, v.alt, v.qual, v.depth, v.fraction, v.gene, v.change) for v in variants)
    return Table(columns, rows)


def table_csv(table: Table) -> bytes:
    """Return the table as CSV (RFC 4180, UTF-8); a cell that a spreadsheet would run gets a leading apostrophe."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([spreadsheet_cell(column.heading) for column in table.columns])
    writer.writerows([[_text(cell) for cell in row] for row in table.rows])
    return out.getvalue().encode()


def table_xlsx(table: Table, title: str, created: datetime) -> bytes:
    """Return the table as a workbook with typed cells, a frozen header, fitting widths and coloured verdicts.

    Args:
        table: What is shown.
        title: Of the document.
        created: Stands in the file's properties, so that the bytes do not depend on the day.
    """
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    plain = created.astimezone(UTC).replace(tzinfo=None) if created.tzinfo else created
    book.set_properties({"title": title[:255], "author": "Labrelay", "created": plain})
    sheet = book.add_worksheet("Results")
    header = book.add_format({"bold": True, "bottom": 1, "bg_color": "#EEF1F4", "text_wrap": True, "valign": "vcenter"})
    formats = {
        verdict.value: book.add_format({"bold": True, "bg_color": fill, "font_color": ink, "align": "center"})
        for verdict, (fill, ink) in VERDICT_COLOURS.items()
    }
    for index, column in enumerate(table.columns):
        sheet.write_string(0, index, column.heading[:LONGEST_CELL], header)
        sheet.set_column(index, index, _width(table, index))
        for line, row in enumerate(table.rows, start=1):
            _write_cell(
                sheet, line, index, row[index], formats.get(str(row[index])) if column.kind == "verdict" else None
            )
    sheet.freeze_panes(1, 1)
    sheet.autofilter(0, 0, max(len(table.rows), 1), len(table.columns) - 1)
    book.close()
    return out.getvalue()


def write_results_csv(results: Sequence[Result], path: Path) -> Document:
    """Write the results' table as CSV, whole or not at all."""
    return _write(path, table_csv(results_table(results)), "Results table (CSV)")


def write_results_xlsx(results: Sequence[Result], path: Path) -> Document:
    """Write the results' table as XLSX, whole or not at all; its date is that of the latest result."""
    created = max((result.ended for result in results), default=datetime(1980, 1, 1, tzinfo=UTC))
    title = f"Results of {results[0].experiment.name}" if results else "Results"
    return _write(path, table_xlsx(results_table(results), title, created), "Results table (Excel)")


def write_variants_csv(variants: Sequence[Variant], path: Path) -> Document:
    """Write the variants of one result as CSV, whole or not at all."""
    return _write(path, table_csv(variants_table(variants)), "Variants (CSV)")


def _write(path: Path, content: bytes, title: str) -> Document:
    with storage_errors(f"write {path.name}", path.parent):
        write_atomic(path, content)
    return document(path, title)


def _with_unit(name: str, unit: str) -> str:
    sign = unit_sign(unit)
    return f"{name} ({sign})" if sign else name


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return spreadsheet_cell(cell) if isinstance(cell, str) else f"{cell:.10g}"


def _write_cell(sheet: Any, row: int, column: int, cell: Cell, form: Any) -> None:
    if isinstance(cell, str):
        sheet.write_string(row, column, cell[:LONGEST_CELL], form)
    elif cell is not None:
        sheet.write_number(row, column, cell, form)


def _width(table: Table, index: int) -> int:
    longest = max((len(_text(row[index])) for row in table.rows), default=0)
    return min(48, max(longest, len(table.columns[index].heading), 8) + 2)

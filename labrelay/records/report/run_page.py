"""A page on an instrument run: what it is, its plate, its pictures, and what is wrong with it. One file, no script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labrelay.model.imaging import Plate
from labrelay.model.instrument import CycleQuality, InstrumentRun
from labrelay.model.problem import worst_first
from labrelay.model.qc import share_text
from labrelay.model.run_tables import RunTable, Value, run_tables
from labrelay.records.documents import Document, document, number_text
from labrelay.records.report.plate_map import PLATE_CSS, plate_figure
from labrelay.records.report.render import render
from labrelay.records.report.run_quality import quality_figures
from labrelay.records.report.svg import Figure
from labrelay.stores.durable import human_bytes, make_dirs, storage_errors, write_atomic

if TYPE_CHECKING:
    # Of most runs there are no pictures, and what views them is dear to import.
    from labrelay.records.report.run_pictures import Gallery

MOST_ROWS, MOST_MAPS = 50, 6
_WELL = re.compile(r"\bwell ([A-Z]{1,2})(\d{1,2})\Z")
PICTURE_CSS = """
.shots { display: flex; flex-wrap: wrap; gap: 10px; padding: 4px 0 8px; }
.shots img { display: block; border-radius: 4px; background: #000; image-rendering: pixelated; }
.shots p { margin: 3px 0 0; font-size: 12px; color: var(--soft); max-width: 256px; overflow-wrap: anywhere; }
.facts td:first-child { color: var(--soft); white-space: nowrap; width: 1%; } .facts td bdi { overflow-wrap: anywhere; }
.note { color: var(--warn); }
"""


@dataclass(frozen=True)
class Table:
    """A table of the page; `total` is how many rows there are, of which the first are shown."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


def write_run_page(
    run: InstrumentRun,
    facts: Sequence[tuple[str, str]],
    galleries: Sequence[Gallery],
    path: Path,
    cycles: Sequence[CycleQuality] = (),
) -> Document:
    """Write the page of an instrument run.

    Args:
        run: What is shown; personal fields are left out.
        facts: What is known of it, each with its heading, as `labrelay inspect` prints it.
        galleries: Pictures of wells and fields, or of micrographs.
        path: Where the page goes.
        cycles: How good each cycle of a sequencing run was.

    Raises:
        StorageFailed: The disk did not take the page.
    """
    # What its own pictures could not show is as wrong as what its files say.
    notes = (note for gallery in galleries for note in gallery.notes)
    told = (f"{problem.severity}: {problem}" for problem in worst_first(run.problems))
    # An image of the plate and of its well is one image.
    problems = dict.fromkeys([*told, *(note for note in notes if note.startswith("no picture of"))])
    with storage_errors("write the page of the run", path.parent):
        make_dirs(path.parent)
        page = render(
            "run.html.j2",
            PLATE_CSS + PICTURE_CSS,
            pictures=True,
            title=(run.plate.id if run.plate is not None else None) or run.run_id,
            run=run,
            facts=facts,
            errors=sum(problem.severity == "error" for problem in run.problems),
            problems=list(problems)[:MOST_ROWS],
            more=max(0, len(problems) - MOST_ROWS),
            figures=[*_figures(run), *quality_figures(run, cycles)],
            galleries=galleries,
            tables=_tables(run),
        )
        write_atomic(path, page)
    return document(path, "Instrument run")


def _figures(run: InstrumentRun) -> list[Figure]:
    """Return the map of the plate, and one for each number that the run has by well, as those of a plate reader."""
    maps = [plate_figure(run.plate)] if run.plate is not None else []
    by_well: dict[tuple[str, str, str], dict[str, float | None]] = {}
    for metric in run.qc:
        where = _WELL.search(metric.scope)
        if where is not None:
            key = (metric.scope[: where.start()].strip(), metric.name, metric.unit)
            by_well.setdefault(key, {})[f"{where[1]}{int(where[2]):02d}"] = metric.value
    for (of, name, unit), values in list(by_well.items())[:MOST_MAPS]:
        maps.append(plate_figure(Plate(id=f"{name}, {of}" if of else name), values, name, share_text(name, unit)))
    return [each for each in maps if each is not None]


def _tables(run: InstrumentRun) -> list[Table]:
    """Return what a run may have many of, its files last; numbers by well are maps and stand in no table."""
    told = run.model_copy(update={"qc": tuple(each for each in run.qc if not _WELL.search(each.scope))})
    return [_table(each) for each in sorted(run_tables(told), key=lambda each: each.title == "files")]


def _table(told: RunTable) -> Table:
    rows = [
        tuple(human_bytes(int(cell or 0)) if i == told.size_column else _text(cell) for i, cell in enumerate(row))
        for row in told.rows[:MOST_ROWS]
    ]
    head = tuple(name[:1].upper() + name[1:] for name in told.head)
    return Table(told.title.capitalize(), head, tuple(rows), len(told.rows))


def _text(cell: Value) -> str:
    return cell or "–" if isinstance(cell, str) else number_text(cell)

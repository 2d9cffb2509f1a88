"""A page on an instrument run: what it is, its plate, its pictures, and what is wrong with it. One file, no script."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from labrelay.model.imaging import ImageSet, Plate
from labrelay.model.instrument import CycleQuality, InstrumentRun
from labrelay.records.documents import Document, document, number_text
from labrelay.records.report.page import render
from labrelay.records.report.plate_map import PLATE_CSS, plate_figure
from labrelay.records.report.run_pictures import Gallery
from labrelay.records.report.run_quality import quality_figures
from labrelay.records.report.svg import Figure
from labrelay.stores.durable import human_bytes, make_dirs, storage_errors, write_atomic

MOST_ROWS, MOST_MAPS = 50, 6
_WELL = re.compile(r"\bwell ([A-Z]{1,2}\d{1,2})\Z")
PICTURE_CSS = """
.shots { display: flex; flex-wrap: wrap; gap: 10px; padding: 4px 0 8px; }
.shots img { display: block; border-radius: 4px; background: #000; image-rendering: pixelated; }
.shots p { margin: 3px 0 0; font-size: 12px; color: var(--soft); max-width: 256px; overflow-wrap: anywhere; }
.facts td:first-child { color: var(--soft); white-space: nowrap; width: 1%; } .facts td { overflow-wrap: anywhere; }
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
    problems = [*map(str, run.problems), *(note for note in notes if note.startswith("no picture of"))]
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
            problems=problems[:MOST_ROWS],
            more=max(0, len(problems) - MOST_ROWS),
            figures=[*_figures(run), *quality_figures(run, cycles)],
            galleries=galleries,
            tables=[table for table in _tables(run) if table.rows],
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
            by_well.setdefault(key, {})[where[1]] = metric.value
    for (of, name, unit), values in list(by_well.items())[:MOST_MAPS]:
        maps.append(plate_figure(Plate(id=f"{name}, {of}" if of else name), values, name, unit))
    return [each for each in maps if each is not None]


def _tables(run: InstrumentRun) -> Iterator[Table]:
    """Yield what a run may have many of; numbers by well are maps and stand in no table."""
    head = ("Part", "Kind", "Sample", "Acquired", "Copied", "Converted")
    yield _table("Parts", head, run.units, lambda unit: (unit.name, unit.kind, unit.sample, *unit.completion.words))
    yield _table("Images", ("Image", "x, y, z, c, t", "Pixel", "µm", "Channels", "Acquired"), run.images, _image_row)
    files = Counter(file.sample for file in run.files)
    yield _table(
        "Samples",
        ("Sample", "Name", "Lane", "Index", "Project", "Files"),
        run.samples,
        lambda s: (s.sample_id, s.name, s.lane, s.barcode or s.index, s.project, files[s.sample_id]),
    )
    metrics = [metric for metric in run.qc if metric.value is not None and not _WELL.search(metric.scope)]
    yield _table(
        "Quality",
        ("Metric", "Value", "Unit", "Of"),
        metrics,
        lambda metric: (metric.name, number_text(metric.value), metric.unit, metric.scope),
    )
    yield _table("Files", ("Role", "Number", "Size"), _roles(run), lambda row: row)


T = TypeVar("T")


def _table(title: str, head: Sequence[str], items: Sequence[T], row: Callable[[T], Sequence[object]]) -> Table:
    cells = [tuple("–" if cell in (None, "") else str(cell) for cell in row(item)) for item in items[:MOST_ROWS]]
    return Table(title, tuple(head), tuple(cells), len(items))


def _image_row(image: ImageSet) -> tuple[str, ...]:
    return (
        image.name,
        image.extent,
        image.pixel_type or "",
        number_text(image.pixel_um),
        ", ".join(channel.name or "?" for channel in image.channels[:12]),
        image.acquired or "",
    )


def _roles(run: InstrumentRun) -> list[tuple[str, int, str]]:
    """Return number and size of the files by role."""
    sized = run.sizes_by_role.items()
    return [(role.value.replace("_", " "), len(sizes), human_bytes(sum(sizes))) for role, sizes in sized]

"""A page on an instrument run: what it is, its plate, its pictures, and what is wrong with it. One file, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.imaging import ImageSet
from labrelay.model.instrument import InstrumentRun
from labrelay.records.documents import Document, document, number_text
from labrelay.records.report.page import render
from labrelay.records.report.plate_map import PLATE_CSS, plate_figure
from labrelay.records.report.run_pictures import Gallery
from labrelay.stores.durable import human_bytes, make_dirs, storage_errors, write_atomic

MOST_ROWS = 50
PICTURE_CSS = """
.pictures { display: flex; flex-wrap: wrap; gap: 10px; padding: 4px 0 8px; }
.pictures img { display: block; border-radius: 4px; background: #000; image-rendering: pixelated; }
.pictures p { margin: 3px 0 0; font-size: 12px; color: var(--soft); max-width: 256px; overflow-wrap: anywhere; }
.facts td:first-child { color: var(--soft); white-space: nowrap; width: 1%; } .facts td { overflow-wrap: anywhere; }
.note { color: var(--warn); }
"""


@dataclass(frozen=True)
class Heat:
    """Numbers by well that colour the plate's map."""

    name: str
    values: Mapping[str, float | None]
    unit: str = ""


def write_run_page(
    run: InstrumentRun,
    facts: Sequence[tuple[str, str]],
    galleries: Sequence[Gallery],
    path: Path,
    heat: Heat | None = None,
) -> Document:
    """Write the page of an instrument run.

    Args:
        run: What is shown; personal fields are left out.
        facts: What is known of it, each with its heading, as `labrelay inspect` prints it.
        galleries: Pictures of wells and fields, or of micrographs.
        path: Where the page goes.
        heat: Colours the wells of the plate.

    Raises:
        StorageFailed: The disk did not take the page.
    """
    figure = None
    if run.plate is not None:
        values = (heat.values, heat.name, heat.unit) if heat is not None else (None, "", "")
        figure = plate_figure(run.plate, *values)
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
            problems=[str(problem) for problem in run.problems[:MOST_ROWS]],
            more=max(0, len(run.problems) - MOST_ROWS),
            figure=figure,
            galleries=galleries,
            images=[_image_row(image) for image in run.images[:MOST_ROWS]],
            images_total=len(run.images),
            roles=_roles(run),
        )
        write_atomic(path, page)
    return document(path, "Instrument run")


def _image_row(image: ImageSet) -> tuple[str, ...]:
    sizes = (image.size_x, image.size_y, image.size_z, image.size_c, image.size_t)
    return (
        image.name,
        " × ".join("?" if each is None else str(each) for each in sizes),
        image.pixel_type or "–",
        number_text(image.pixel_um),
        ", ".join(channel.name or "?" for channel in image.channels[:12]) or "–",
        image.acquired or "–",
    )


def _roles(run: InstrumentRun) -> list[tuple[str, int, str]]:
    """Return number and size of the files by role."""
    roles = sorted({file.role for file in run.files})
    of_role = {role: [file.size for file in run.files if file.role is role] for role in roles}
    return [(role.value.replace("_", " "), len(sizes), human_bytes(sum(sizes))) for role, sizes in of_role.items()]

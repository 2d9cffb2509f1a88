"""Thumbnails of datasets: one small picture for each plate, grid or image, by which a person knows it again.

A plate's is a sheet of its wells, each in its place; of anything else it is one plane, or the first few side by side.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageSet, well_at
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.parsers.preview import Preview
from labrelay.records.report.png import png
from labrelay.records.report.run_choice import Row, choose
from labrelay.records.report.run_pictures import shades_of, windows_of
from labrelay.records.report.run_views import Load, Shot

EDGE = 240  # pixels a side, of the whole thumbnail
GAP = 1  # pixels between two wells
MOST_PLACES = 16  # planes of a dataset without wells
MOST = 200  # datasets of a run: with more of them each is but a file among many, and the run's page shows a choice


def thumbnails(run: InstrumentRun, load: Load) -> Iterator[tuple[str, bytes]]:
    """Yield each dataset's label with its picture as PNG; one whose planes cannot be seen, or are blank, has none.

    Cost: at most 96 planes a dataset are viewed, one held at a time; none where the run has more than 200 datasets.

    Args:
        run: Of any platform; datasets without images have no pictures.
        load: How a plane is viewed.
    """
    by_label: dict[str, list[RunFile]] = defaultdict(list)
    for file in run.files:
        if file.role is FileRole.IMAGE and file.sample is not None:
            by_label[file.sample].append(file)
    if len(by_label) > MOST:
        return
    for label, files in by_label.items():
        own = run.model_copy(update={"files": tuple(files), "images": _images_of(files, run.images)})
        rows = choose(own)
        sheet = _sheet(rows[0], load) if rows else None
        if sheet is not None:
            yield label, png(sheet)


def _images_of(files: Sequence[RunFile], images: Sequence[ImageSet]) -> tuple[ImageSet, ...]:
    """Return the images that lie in these files, or whose folder in a Zarr holds some of them."""
    inside = {""}
    for file in files:
        parts = file.path.split("/")
        inside.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return tuple(image for image in images if image.path in inside)


def _sheet(row: Row, load: Load) -> NDArray[np.uint8] | None:
    places = _places(row.shots)
    lines, columns = max(at[0] for at in places) + 1, max(at[1] for at in places) + 1
    edge = max(8, EDGE // max(lines, columns) - GAP)
    seen = [(at, shot, load(shot, edge)) for at, shot in places.items()]
    views = [(at, shot, view) for at, shot, view in seen if isinstance(view, Preview)]
    # Of planes in which nothing is to be seen a black box would look like a fault of ours.
    return _laid(views, lines, columns) if any(np.ptp(view.values) > 0 for _, _, view in views) else None


def _places(shots: Sequence[Shot]) -> dict[tuple[int, int], Shot]:
    """Return line and column of each plane, from 0: by their wells where all have one, else one after the other."""
    at = [place for shot in shots if (place := well_at(shot.caption)) is not None]
    if len(at) == len(shots):
        top, left = min(line for line, _ in at), min(column for _, column in at)
        return {(line - top, column - left): shot for (line, column), shot in zip(at, shots, strict=True)}
    few = shots[:MOST_PLACES]
    across = math.ceil(math.sqrt(len(few)))
    return {divmod(place, across): shot for place, shot in enumerate(few)}


def _laid(views: Sequence[tuple[tuple[int, int], Shot, Preview]], lines: int, columns: int) -> NDArray[np.uint8]:
    """Return the planes in their places; those of one channel share a window of grey, so that a dim well is dim."""
    windows = windows_of([(shot, view) for _, shot, view in views])
    height = max(view.values.shape[0] for _, _, view in views)
    width = max(view.values.shape[1] for _, _, view in views)
    colour = any(view.colour for _, _, view in views)
    shape = (lines * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    sheet = np.zeros((*shape, 3) if colour else shape, np.uint8)
    for (line, column), shot, view in views:
        pixels = shades_of(shot, view, windows)
        if colour and pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        top, left = line * (height + GAP), column * (width + GAP)
        sheet[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return sheet

"""The pictures of a run: a few hundred kilobytes by which a person sees what was taken.

Pictures of one channel share one window of grey, so that a dim well is dim on the page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labrelay.parsers.preview import EDGE, Preview, Where, smaller, to_bytes, window_of
from labrelay.records.documents import number_text
from labrelay.records.report.png import data_uri, png
from labrelay.records.report.run_choice import Row
from labrelay.records.report.run_views import Load, Shot

BUDGET = 300_000  # bytes of PNG; in the page's base64 they are a third more
SMALL = 96  # pixels a side, up to which a tiny picture is enlarged
SHADES = np.uint8(0xFC)  # six bits of grey pack a third better than eight, and the eye does not miss them


@dataclass(frozen=True)
class Picture:
    """A finished picture: its address (`data:`), its size in pixels, and what stands below it."""

    src: str
    width: int
    height: int
    caption: str


@dataclass(frozen=True)
class Gallery:
    """A finished row of pictures; `notes` say what could not be shown."""

    title: str
    said: str
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...] = ()


def read_once(rows: Sequence[Row], load: Load) -> Load:
    """Return a way to view planes by which those of rows are read once, in however many rows and sizes they are seen.

    All are read as large as the largest view and made smaller from that, so that those side by side stay of one size.

    Memory: a view as small as its row shows it is kept of each plane of the rows, which is some megabytes at most.

    Args:
        rows: As `choose` gives them.
        load: How a plane is viewed.
    """
    edges: dict[tuple[str, Where | None], set[int]] = defaultdict(set)
    for row in rows:
        for shot in row.shots:
            edges[shot.path, shot.where].add(row.edge)
    kept: dict[tuple[str, Where | None, int], Preview | str] = {}

    def view(shot: Shot, edge: int) -> Preview | str:
        found = kept.get((shot.path, shot.where, edge))
        if found is None:
            large = load(shot, EDGE)
            found = _sized(large, edge)
            for other in edges.get((shot.path, shot.where), ()):
                kept[shot.path, shot.where, other] = _sized(large, other)
        return found

    return view


def _sized(view: Preview | str, edge: int) -> Preview | str:
    return view if isinstance(view, str) else smaller(view, edge)


def draw(rows: Sequence[Row], load: Load, budget: int = BUDGET) -> list[Gallery]:
    """Return the pictures of rows; what cannot be seen, or is too much for the page, is said in its place.

    Args:
        rows: As `choose` gives them.
        load: How a plane is viewed.
        budget: Most bytes of PNG.
    """
    galleries = []
    left = budget
    for row in rows:
        seen, notes = _views(row, load)
        windows = windows_of(seen)
        pictures: list[Picture] = []
        for shot, view in seen:
            data = png(shades_of(shot, view, windows) & SHADES)
            if len(data) > left:
                notes.append(f"{len(seen) - len(pictures)} pictures more would make the page too large")
                break
            left -= len(data)
            height, width = view.values.shape[:2]
            larger = max(1, SMALL // max(width, height))
            pictures.append(Picture(data_uri(data), width * larger, height * larger, _caption(shot, windows)))
        if pictures or notes:
            galleries.append(Gallery(row.title, _with_windows(row.said, windows), tuple(pictures), tuple(notes[:5])))
    return galleries


def _views(row: Row, load: Load) -> tuple[list[tuple[Shot, Preview]], list[str]]:
    seen, notes = [], []
    for shot in row.shots:
        view = load(shot, row.edge)
        if isinstance(view, str):
            notes.append(view)
        else:
            seen.append((shot, view))
    return seen, notes


def windows_of(seen: Sequence[tuple[Shot, Preview]]) -> dict[str, tuple[float, float]]:
    """Return what is black and what is white in each channel, the same for all of its planes."""
    of_channel: dict[str, list[Preview]] = {}
    for shot, view in seen:
        of_channel.setdefault(shot.channel, []).append(view)
    return {name: window_of([view.values for view in views]) for name, views in of_channel.items()}


def shades_of(shot: Shot, view: Preview, windows: Mapping[str, tuple[float, float]]) -> NDArray[np.uint8]:
    """Return a view's pixels as bytes: grey in the window of its channel, colour as it is."""
    return to_bytes(view.values, (0, 255) if view.colour else windows[shot.channel])


def _caption(shot: Shot, windows: Mapping[str, tuple[float, float]]) -> str:
    """Return what stands below a picture; with black and white where they differ from picture to picture."""
    if len(windows) < 2:
        return shot.caption
    low, high = windows[shot.channel]
    return f"{shot.caption} ({number_text(low)} to {number_text(high)})"


def _with_windows(said: str, windows: Mapping[str, tuple[float, float]]) -> str:
    """Add what is black and what is white, where it is the same for all pictures."""
    if len(windows) != 1:
        return said
    low, high = next(iter(windows.values()))
    if low >= high:
        return f"{said} (all pixels are {number_text(low)})"
    return f"{said} (black {number_text(low)}, white {number_text(high)})"

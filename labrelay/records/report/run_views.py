"""How the planes of a run's files are viewed: each format by its own reader, all as small grey or coloured pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.imaging import ImageSet
from labrelay.model.instrument import InstrumentRun
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.micrograph import micrograph_preview
from labrelay.parsers.preview import Preview, Where, preview_tiff
from labrelay.parsers.preview_czi import preview_czi
from labrelay.parsers.preview_eer import preview_eer
from labrelay.parsers.preview_lif import preview_lif
from labrelay.parsers.preview_nd2 import preview_nd2
from labrelay.parsers.preview_picture import PICTURES, preview_picture
from labrelay.parsers.preview_slide import preview_slide
from labrelay.parsers.preview_zarr import preview_zarr

TIFFS = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
MRCS = (".mrc", ".mrcs", ".map", ".st", ".rec")
MOVIE = ".eer"


@dataclass(frozen=True)
class Shot:
    """A plane to show: its file, or its image in a Zarr with the place in that, its channel, and what stands below."""

    path: str
    caption: str
    channel: str = ""
    where: Where | None = None


# How a plane is viewed of formats that hold all of an image, or several, in one file.
_OF_FILES: dict[str, Callable[[Path, str, Where, int], Preview | str]] = {
    ".nd2": preview_nd2,
    ".czi": preview_czi,
    ".lif": preview_lif,
    ".svs": preview_slide,
    ".ndpi": preview_slide,
    ".scn": preview_slide,
    ".bif": preview_slide,
    ".mrxs": preview_slide,
    MOVIE: preview_eer,
}
Load = Callable[[Shot, int], Preview | str]


def load_from(run: InstrumentRun, root: Path) -> Load:
    """Return the function that views planes of a run's files, which lie below `root`."""
    images = {image.path: image for image in run.images}

    def load(shot: Shot, edge: int) -> Preview | str:
        ending = shot.path.lower()
        if ending.endswith(MRCS):
            return _micrograph(root, shot.path, edge)
        if ending.endswith(PICTURES):
            return preview_picture(root, shot.path, edge)
        own = next((view for end, view in _OF_FILES.items() if ending.endswith(end)), None)
        if own is not None:
            return own(root, shot.path, shot.where or Where(), edge)
        if shot.where is not None and run.platform == "ome_zarr":
            return preview_zarr(root, shot.path, shot.where, edge)
        page = 0 if shot.where is None else page_of(images[shot.path], run.raw[shot.path]["order"], shot.where)
        return preview_tiff(root, shot.path, page, edge)

    return load


def page_of(image: ImageSet, order: str, where: Where) -> int:
    """Return which page of its file a plane is, from 0, by the order of axes that OME-XML tells (`XYCZT`)."""
    places = {"C": where.c, "Z": (image.size_z or 1) // 2 if where.z is None else where.z, "T": where.t}
    sizes = {"C": image.size_c or 1, "Z": image.size_z or 1, "T": image.size_t or 1}
    page, step = 0, 1
    for axis in order[2:]:
        page += places.get(axis, 0) * step
        step *= sizes.get(axis, 1)
    return page


def _micrograph(root: Path, path: str, edge: int) -> Preview | str:
    picture = micrograph_preview(root / path, edge)
    if isinstance(picture, Problem):
        return f"no picture of {printable(path.rpartition('/')[2], 80)}: {picture.message}"
    return Preview(picture, picture.shape[1], picture.shape[0])

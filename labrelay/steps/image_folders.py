"""Images as a workflow takes a whole plate: the folders that they lie in, and a table of what lies where in them.

A plate has thousands of images, and an OME-Zarr a file a chunk, which only together are an image. So neither is a list
of files in the inputs of a run: a folder is one, however much lies in it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import select

from labrelay.model.errors import UsageError
from labrelay.model.files import FileRef
from labrelay.model.imaging import ImageAt
from labrelay.model.names import printable, slugs
from labrelay.model.reads import ReadSource
from labrelay.parsers.zarr_groups import METADATA
from labrelay.records import intake
from labrelay.records.schema import InstrumentRunRow
from labrelay.steps.home import Home
from labrelay.steps.route import SampleReads
from labrelay.workflows.definition import Definition
from labrelay.workflows.specs import InputSource

COLUMNS = ("folder", "path", "well", "field", "channel", "plane", "time", "pixel_um")
WANTED = frozenset({InputSource.IMAGES_FOLDER, InputSource.IMAGES_FOLDERS, InputSource.IMAGES_TABLE})
Pixels = dict[str, float]  # by key; under the prefix of a run what all its images have


def folders_and_table(home: Home, definition: Definition, reads: SampleReads) -> dict[str, Any]:
    """Return `folders` and `table` of a sample's images for a definition that takes them, else nothing.

    The table is stored beside the images, under a name that follows from its content. Cost: one query.

    Raises:
        UsageError: An OME-Zarr lies in no folder as it was.
    """
    sources = [source for source in reads.read_sets if source.in_place]
    if not sources or not any(spec.source in WANTED for spec in definition.inputs.values()):
        return {}
    bases = [common_folder([ref.key for ref in source.files]) for source in sources]
    rows = table_rows(sources, bases, _pixels(home, reads.instrument_runs))
    content = _written(rows)
    table = home.objects.put_bytes(f"tables/{hashlib.sha256(content).hexdigest()[:32]}.tsv", content)
    return {
        "folders": tuple(_located(home, s.files[0], base) for s, base in zip(sources, bases, strict=True)),
        "table": str(home.objects.local_path(table) or home.objects.uri(table)),
    }


def common_folder(keys: Sequence[str]) -> str:
    """Return the innermost folder that all these files lie in."""
    return os.path.commonpath([key.rpartition("/")[0] for key in keys])


def table_rows(
    sources: Sequence[ReadSource], bases: Sequence[str], pixels: Pixels
) -> Iterator[tuple[int, str, ImageAt, float | None]]:
    """Yield (place of its folder from 0, path below it, where on the plate, pixel in µm) of each image; pure.

    A hierarchy of Zarr is one: its path is that of its root, `.` when the folder is it, and what it says itself of
    wells is not repeated.

    Raises:
        UsageError: Files of a Zarr were stored as later editions, so that they do not lie where they belong.
    """
    for place, (source, base) in enumerate(zip(sources, bases, strict=True)):
        paths = [ref.key.removeprefix(f"{base}/") for ref in source.files]
        roots = _zarr_roots(paths)
        if roots and any("~" in path for path in paths):
            raise UsageError(
                f"{printable(source.name)} was stored in several tries and a file of it in two editions, so its Zarr "
                "lies in no folder as it was: bring it once more under another name"
            )
        yield from ((place, root, ImageAt(), None) for root in sorted(roots))
        for ref, path, at in zip_longest(source.files, paths, source.images):
            if "." not in roots and not any(str(up) in roots for up in PurePosixPath(path).parents):
                yield place, path, at or ImageAt(), _pixel(ref.key, pixels)


def _zarr_roots(paths: Iterable[str]) -> set[str]:
    """Return the uppermost folders that are groups or arrays of Zarr; `.` is the one that all paths are below."""
    folders = {str(PurePosixPath(path).parent) for path in paths if path.rpartition("/")[2] in METADATA}
    return {each for each in folders if not any(str(up) in folders for up in PurePosixPath(each).parents)}


def _pixel(key: str, pixels: Pixels) -> float | None:
    if key in pixels:
        return pixels[key]
    return next((pixels[f"{up}/"] for up in PurePosixPath(key).parents if f"{up}/" in pixels), None)


def _pixels(home: Home, instrument_runs: Sequence[str]) -> Pixels:
    """Return the pixel sizes that instrument runs tell, by the key of the image's file, or one for all of a run."""
    row = InstrumentRunRow
    query = select(row.platform, row.run_id, row.content["images"].label("images")).where(row.id.in_(instrument_runs))
    found: Pixels = {}
    with home.records.read() as session:
        for platform, run_id, images in session.execute(query):
            prefix = intake.raw_prefix(platform, run_id)
            told = {
                str(image["path"]): float(image["pixel_um"])
                for image in (images if isinstance(images, list) else [])
                if image.get("pixel_um")
            }
            if len({round(size, 6) for size in told.values()}) == 1:
                found[prefix] = next(iter(told.values()))
            else:
                found |= {prefix + slugs(path): size for path, size in told.items()}
    return found


def _written(rows: Iterable[tuple[int, str, ImageAt, float | None]]) -> bytes:
    out = io.StringIO()
    table = csv.writer(out, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    for place, path, at, pixel in rows:
        told = [at.well, at.field, at.channel, at.z, at.t, pixel]
        table.writerow([place, path, *("" if each is None else each for each in told)])
    return out.getvalue().encode()


def _located(home: Home, ref: FileRef, base: str) -> str:
    """Return the path or the URI of the folder `base`, which a file lies below."""
    inside = ref.key.removeprefix(base)
    path = home.objects.local_path(ref)
    return home.objects.uri(ref).removesuffix(inside) + "/" if path is None else str(path).removesuffix(inside)

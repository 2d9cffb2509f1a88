"""Files on AWS among a run's inputs on their way to this machine, for an engine that reads local paths.

    python -P -m labrelay.workflows.bringing HOME TOKEN

brings those of one attempt of the local engine; the runner starts it (`local.bring`).

<folder>/<digest>/<name>   objects under their names; the digest is of their URIs and ETags, so that a path never
                           changes its bytes, and a folder under this name is whole
<folder>/.<digest>/        the same while it is brought, by the one who holds <digest>.lock
"""

from __future__ import annotations

import logging
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from labrelay.model.canonical import JSONValue, digest
from labrelay.model.errors import LabrelayError, NotFound, RefusedInput
from labrelay.model.faults import faultpoint
from labrelay.model.names import is_safe_name, slug
from labrelay.model.runs import Parameters
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws
from labrelay.stores.download import AT_ONCE, Stored, fill, list_stored, look_at
from labrelay.stores.durable import file_lock, fsync_dir, make_dirs, storage_errors
from labrelay.stores.omics_files import (
    FIXED_TIME,
    fetch_reference,
    is_reference,
    reference_place,
    s3_uri_of,
    settle,
)
from labrelay.workflows.definition import load
from labrelay.workflows.local.bring import SCHEMES, Bring, Brought, bring_file, write_brought
from labrelay.workflows.local.home import Attempt, EngineHome
from labrelay.workflows.schema import schema_of
from labrelay.workflows.shapes import with_files

PLACE_DIGITS = 20
SUFFIXES = re.compile(r"(?:\.[A-Za-z0-9]{1,12})+\Z")
MOST_SUFFIXES = 40


class Bringer:
    """Brings each object once, however many runs and processes want it.

    Files that lie beside each other in S3 do so here, as an index and what it is of have to: several files of one run
    that are of one folder there get a place of their own, with another name of each file, not another copy.
    """

    def __init__(self, aws: Aws, folder: Path) -> None:
        """Take the way to AWS and the folder that the files go to."""
        self._aws, self._folder = aws, folder

    def bring(self, schema: Mapping[str, Any], inputs: Parameters, origins: dict[str, str] | None = None) -> Parameters:
        """Return the inputs with a local path for each file on AWS that their schema names.

        Cost: for each file one or two calls and its bytes; of one that is here already a HEAD. Memory does not grow.

        Args:
            schema: Of the workflow's inputs; it says which texts are files.
            inputs: By qualified name.
            origins: Takes, by local path, the URI that was asked for.

        Raises:
            NotFound: One of them is not there.
            Conflict: One of them was replaced while it was read.
            StorageFailed: S3 did not give it, or the disk did not take it; the same call goes on from there.
        """
        asked: dict[str, None] = {}

        def note(text: str) -> str:
            if text.startswith(SCHEMES):
                asked[text] = None
            return text

        _changed(schema, inputs, note)
        places = self._bring_all(list(asked))
        if origins is not None:
            origins.update({place: uri for uri, place in places.items()})
        return _changed(schema, inputs, lambda text: places.get(text, text))

    def _bring_all(self, uris: Sequence[str]) -> dict[str, str]:
        """Bring what the URIs name and return where each is, in this order: all are looked at before one is read."""
        references = {uri: reference_place(uri, self._folder) for uri in uris if is_reference(uri)}
        in_s3 = {uri: s3_uri_of(self._aws, uri) for uri in uris if uri not in references}
        folders = {uri: self._listed(at) for uri, at in in_s3.items() if at.endswith("/")}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                files = [uri for uri in in_s3 if uri not in folders]
                stored = dict(zip(files, pool.map(lambda uri: look_at(self._aws, in_s3[uri]), files), strict=True))
                found = references | self._bring_files(pool, stored)
                for uri, inside in folders.items():
                    found[uri] = self._bring_folder(pool, in_s3[uri], inside)
                for uri, target in references.items():
                    fetch_reference(self._aws, uri, target)
                    os.utime(target.parent)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return {uri: str(found[uri]) for uri in uris}

    def _listed(self, uri: str) -> list[Stored]:
        inside = list(list_stored(self._aws, uri))
        if not inside:
            raise NotFound(f"nothing lies below {uri}: check the folder's name, and that region and account are right")
        return inside

    def _bring_files(self, pool: Executor, stored: Mapping[str, Stored]) -> dict[str, Path]:
        """Bring each file to its own place, then put those that lie beside each other there beside each other here."""
        each_once = list(dict.fromkeys(stored.values()))
        targets = dict(zip(each_once, pool.map(self._bring_file, each_once), strict=True))
        beside: dict[str, list[Stored]] = {}
        for each in each_once:
            beside.setdefault(each.uri.rpartition("/")[0], []).append(each)
        for members in (members for members in beside.values() if len(members) > 1):
            place = self._place([_identity(each) for each in members])
            sources = [targets[each] for each in members]
            self._make(place, lambda making, sources=sources: _put_beside(sources, making))  # type: ignore[misc]
            targets.update({each: place / targets[each].name for each in members})
        return {uri: targets[each] for uri, each in stored.items()}

    def _bring_file(self, stored: Stored) -> Path:
        place, name = self._place([_identity(stored)]), file_name(stored.uri.rpartition("/")[2])
        self._make(place, lambda making: self._read(stored, making / name))
        return place / name

    def _bring_folder(self, pool: Executor, uri: str, inside: Sequence[Stored]) -> Path:
        # Names in S3 are somebody else's: none becomes a path as it is.
        parts = [[file_name(part) for part in each.uri.removeprefix(uri).split("/")] for each in inside]
        name, place = file_name(uri.rstrip("/").rpartition("/")[2]), self._place([uri, *map(_identity, inside)])

        def read(making: Path) -> None:
            targets = [(making / name).joinpath(*each) for each in parts]
            for future in [pool.submit(self._read, *pair) for pair in zip(inside, targets, strict=True)]:
                future.result()
            for folder, _folders, _files in os.walk(making / name):
                os.utime(folder, FIXED_TIME)

        self._make(place, read)
        return place / name

    def _place(self, members: list[JSONValue]) -> Path:
        return self._folder / digest(members)[:PLACE_DIGITS]

    def _make(self, place: Path, fill_it: Callable[[Path], None]) -> None:
        """Make a place whole, unless it is; who else wants it waits, and whoever is killed leaves what has come."""
        with (
            storage_errors("bring inputs", self._folder),
            file_lock(self._folder / f"{place.name}.lock", "this input", math.inf),
        ):
            if not place.is_dir():
                making = place.with_name(f".{place.name}")
                make_dirs(making)
                fill_it(making)
                faultpoint("bringing.filled")
                making.rename(place)
                fsync_dir(self._folder)
            os.utime(place)  # `labrelay clean` goes by it

    def _read(self, stored: Stored, target: Path) -> None:
        if target.is_file():
            return  # whole, from one who was killed
        make_dirs(target.parent)
        part = target.with_name(f".{target.name}.part")
        fill(self._aws, stored, part)
        settle(part, target)


def file_name(name: str) -> str:
    """Return a name for a file of this name: itself when it is safe, else one with the suffixes that tools go by.

    Names that differ in their suffixes alone stay such, so that an index is found by its file's name.
    """
    if is_safe_name(name):
        return name
    found = SUFFIXES.search(name)
    if found is None:
        return slug(name)
    suffixes = found[0] if len(found[0]) <= MOST_SUFFIXES else Path(name).suffix
    # With a slash no stem is safe as it is, which one of a reserved or too long name may seem.
    return slug(f"{name.removesuffix(suffixes)}/") + suffixes


def bring_for(attempt: Attempt) -> bool:
    """Bring the inputs of an attempt that the runner has unpacked, and write what came of it; tell whether all came.

    Raises:
        StorageFailed: That could not be written.
    """
    told = Bring.model_validate_json(bring_file(attempt).read_bytes())
    request, origins = attempt.request(), dict[str, str]()
    if request is None:
        return False
    aws = Aws(region=told.region, endpoint_url=told.endpoint_url, profile=told.profile)
    try:
        schema = schema_of(load(attempt.work / "bundle"))
        inputs = Bringer(aws, Path(told.folder)).bring(schema, request.inputs, origins)
    except LabrelayError as error:
        # What is not there will not come by itself; all else may be right the next time.
        ended = RunState.EXECUTOR_ERROR if isinstance(error, NotFound | RefusedInput) else RunState.SYSTEM_ERROR
        write_brought(attempt, Brought(state=ended, message=f"The inputs could not be brought here: {error}"))
        return False
    write_brought(attempt, Brought(inputs=inputs, origins=origins))
    faultpoint("bringing.brought")
    return True


def _changed(schema: Mapping[str, Any], inputs: Parameters, change: Callable[[str], str]) -> Parameters:
    shapes = schema.get("properties", {})
    return {name: with_files(shapes.get(name, {}), value, change) for name, value in inputs.items()}


def _identity(stored: Stored) -> list[JSONValue]:
    return [stored.uri, stored.etag]


def _put_beside(sources: Sequence[Path], folder: Path) -> None:
    """Give files a second name each in one folder; a copy where the file system has no such names."""
    for source in sources:
        target = folder / source.name
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    sys.exit(0 if bring_for(EngineHome(Path(sys.argv[1])).attempt(sys.argv[2])) else 1)

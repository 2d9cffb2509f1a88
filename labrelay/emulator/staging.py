"""Inputs of runs: from URIs in the parameters to read-only local files, each content once.

A file lies at `staged/<digest of URI and ETag>/<name>` with a fixed time, so that the same input has the same path and
time in every run: the engine's call cache goes by both. What is removed to make room comes back as it was.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from labrelay.emulator.objects import ObjectUnavailable, Reason, fetch, list_uris, open_uri
from labrelay.emulator.run_faults import RunFault, input_fault
from labrelay.emulator.run_log import disk_bytes
from labrelay.emulator.run_request import unqualified
from labrelay.emulator.service import Service
from labrelay.model.canonical import digest
from labrelay.model.names import safe_relative, slug
from labrelay.stores.durable import make_dirs, write_atomic
from labrelay.workflows.schema import FILE, FOLDER

SCHEMES = ("s3://", "omics://")
ETAG_CHARS = 59  # a resource digest has 64 characters, `etag:` before it
FIXED_TIME = (0, 0)
MAX_FOLDER_FILES = 100_000
CHECK_SECONDS = 1.0  # a run that waits for another's fetch looks so often whether it is to stop
SHEETS, SHEET_BYTES = (".csv", ".tsv", ".txt", ".json"), 10_000_000
SHEET_URI = re.compile(r"""(?:s3|omics)://[^\s,;"'\]}]+""")
GOING = "going"  # what is being removed
BUSY: set[Path] = set()  # the places that a run fetches to
FREED = threading.Condition()


@dataclass
class Staged:
    """What staging found.

    Attributes:
        inputs: As the engine wants them: qualified names, local paths.
        etags: By URI.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)

    def resource_digests(self) -> dict[str, str]:
        """Return `resourceDigests` as GetRun says them."""
        return {uri: f"etag:{etag[:ETAG_CHARS]}" for uri, etag in self.etags.items()}


class Stager:
    """Stages the inputs of one run."""

    def __init__(self, service: Service, check: Callable[[], None]) -> None:
        """Take whose inputs they are.

        Args:
            service: Its data folder, stores and S3.
            check: Called between files; raises to stop.
        """
        self._service, self._check = service, check
        self._root = service.folder / "staged"
        self._staged = Staged()

    def stage(self, schema: Mapping[str, Any], workflow: str, parameters: Mapping[str, Any]) -> Staged:
        """Fetch every file that the parameters name, and defaults of the workflow that are URIs.

        Args:
            schema: JSON Schema of the workflow's inputs; it says which texts are files.
            workflow: The workflow's name.
            parameters: By bare or qualified names.

        Raises:
            RunFault: An input cannot be had.
        """
        shapes = schema.get("properties", {})
        given = {f"{workflow}.{unqualified(name, workflow)}": value for name, value in parameters.items()}
        for name, shape in shapes.items():
            default = shape.get("default")
            if name not in given and isinstance(default, str) and default.startswith(SCHEMES):
                given[name] = default
        try:
            for name, value in given.items():
                self._staged.inputs[name] = self._value(shapes.get(name, {}), value)
        except ObjectUnavailable as error:
            raise input_fault(error) from error
        return self._staged

    def stage_uris(self, parameters: Mapping[str, Any]) -> Staged:
        """Fetch whatever the parameters of a pipeline name by a URI, since nothing else says what is a file.

        What ends with a slash is a folder. A sheet (`.csv`, `.tsv`, `.txt`, `.json`) is given on with the places of
        the files that its text names, because Nextflow reads S3 by a plugin that is not here.

        Raises:
            RunFault: An input cannot be had.
        """
        try:
            for name, value in parameters.items():
                self._staged.inputs[name] = self._located(value)
        except ObjectUnavailable as error:
            raise input_fault(error) from error
        return self._staged

    def _located(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._located(item) for item in value]
        if isinstance(value, dict):
            return {key: self._located(item) for key, item in value.items()}
        if not isinstance(value, str) or not value.startswith(SCHEMES):
            return value
        if value.endswith("/"):
            return str(self._folder(value))
        found = self._file(value)
        return str(self._sheet(found) if found.suffix.lower() in SHEETS else found)

    def _sheet(self, path: Path) -> Path:
        """Return the file, or, when it names files by URIs, a copy beside it that names where they are."""
        if path.stat().st_size > SHEET_BYTES:
            return path
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        uris = sorted(set(SHEET_URI.findall(text)), key=len, reverse=True)
        if not uris:
            return path
        places = {uri: str(self._folder(uri) if uri.endswith("/") else self._file(uri)) for uri in uris}
        text = SHEET_URI.sub(lambda found: places[found[0]], text)
        copy = path.parent / "located" / digest(text) / path.name
        if not copy.is_file():
            make_dirs(copy.parent)
            write_atomic(copy, text.encode("utf-8", errors="surrogateescape"), durable=False)
            os.utime(copy, FIXED_TIME)
        return copy

    def _value(self, shape: Mapping[str, Any], value: Any) -> Any:
        if "anyOf" in shape:
            shape = shape["anyOf"][0]
        if isinstance(value, list):
            return [self._value(shape.get("items", {}), item) for item in value]
        if isinstance(value, dict):
            members = shape.get("properties", {})
            rest = shape.get("additionalProperties") or {}
            return {key: self._value(members.get(key, rest), item) for key, item in value.items()}
        if isinstance(value, str) and shape.get("format") == FILE:
            return str(self._file(value))
        if isinstance(value, str) and shape.get("format") == FOLDER:
            return str(self._folder(value))
        return value

    def _file(self, uri: str) -> Path:
        _known_scheme(uri)
        self._check()
        found = open_uri(self._service, uri)
        target = self._place(uri, found.etag, found.name)
        with self._alone(target):
            if not target.is_file():
                self._fetch(uri, target, found.etag)
        self._note(uri, found.etag)
        return target

    def _folder(self, uri: str) -> Path:
        """Stage everything below a prefix; the folder is named by all its contents."""
        _known_scheme(uri)
        prefix = f"{uri.rstrip('/')}/"
        uris = [one for one in list_uris(self._service, prefix) if not one.endswith("/")]
        if not uris or len(uris) > MAX_FOLDER_FILES:
            reason = Reason.NOT_FOUND if not uris else Reason.INVALID
            raise ObjectUnavailable(reason, uri, f"{uri} has {len(uris):,} objects; 1 to {MAX_FOLDER_FILES:,} can be.")
        found = []
        for one in uris:
            self._check()
            found.append((_inside(one, prefix), open_uri(self._service, one)))
        folder = self._place(uri, digest([[str(name), entry.etag] for name, entry in found]), prefix.split("/")[-2])
        with self._alone(folder):
            if not folder.is_dir():
                temp = folder.with_name(f"{folder.name}.partly")
                shutil.rmtree(temp, ignore_errors=True)
                for name, entry in found:
                    self._fetch(entry.uri, temp / name, entry.etag)
                os.utime(temp, FIXED_TIME)
                temp.rename(folder)
        for _, entry in found:
            self._note(entry.uri, entry.etag)
        return folder

    @contextmanager
    def _alone(self, target: Path) -> Iterator[None]:
        """Let one run at a time fetch to a place; the others wait, and find it there.

        A data folder has one emulator, so that threads are all that can meet.
        """
        while True:
            with FREED:
                if target not in BUSY:
                    BUSY.add(target)
                    break
                FREED.wait(CHECK_SECONDS)
            self._check()
        try:
            yield
        finally:
            with FREED:
                BUSY.discard(target)
                FREED.notify_all()

    def _fetch(self, uri: str, target: Path, etag: str) -> None:
        self._check()
        part = target.with_name(f"{target.name}.partly")
        if fetch(self._service, uri, part).etag != etag:
            part.unlink()
            raise ObjectUnavailable(Reason.CHANGED, uri, f"{uri} changed while it was read.")
        part.chmod(0o444)
        os.utime(part, FIXED_TIME)
        # Under its name a file is whole, read-only and of the fixed time.
        part.replace(target)

    def _note(self, uri: str, etag: str) -> None:
        self._staged.etags[uri] = etag

    def _place(self, uri: str, etag: str, name: str) -> Path:
        place = self._root / digest([uri, etag])
        make_dirs(place)
        os.utime(place)  # `make_room` goes by it
        return place / slug(name)


def make_room(data: Path, most_bytes: int) -> None:
    """Remove the inputs that were used the longest time ago, until the others have at most so many bytes.

    Args:
        data: The emulator's data folder, of which no run may be under way: engines read inputs where they lie.
        most_bytes: How much may stay.
    """
    root = data / "staged"
    places = [place for place in root.iterdir() if place.name != GOING] if root.is_dir() else []
    sizes = {place: disk_bytes(place) for place in places}
    total = sum(sizes.values())
    going = root / GOING
    shutil.rmtree(going, ignore_errors=True)
    for place in sorted(places, key=lambda place: place.stat().st_mtime_ns):
        if total <= most_bytes:
            return
        # Renamed first: a folder that a kill leaves half removed would be taken for the input.
        place.rename(going)
        shutil.rmtree(going)
        total -= sizes[place]


def _inside(uri: str, prefix: str) -> PurePosixPath:
    relative = safe_relative(uri.removeprefix(prefix))
    if relative is None:
        raise ObjectUnavailable(Reason.INVALID, uri, f"The object {uri} has no name that a file can have.")
    return relative


def _known_scheme(uri: str) -> None:
    if not uri.startswith(SCHEMES):
        text = "Inputs are s3:// objects, or omics:// read sets and references."
        raise RunFault("INVALID_URI_INPUT", f"The input URI {uri} is not valid. {text}")

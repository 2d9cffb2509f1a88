"""The two ways of run events: a file of JSON Lines, and a backend that takes them by HTTP (Marquez and its like)."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from labrelay.records.posting import post_json
from labrelay.stores.durable import fsync_dir, make_dirs, storage_errors, write_all

Event = Mapping[str, Any]


def append(event: Event, file: Path, *, again: bool) -> bool:
    """Append an event to a file as one line, durable when this returns; return False when it was there.

    Args:
        event: As JSON.
        file: Made with its folder where it is missing; what a killed writer left half is cut off.
        again: Whether the event may be there already; then the file is read.

    Raises:
        StorageFailed: The disk did not take it.
    """
    line = json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with storage_errors("write the run events", file):
        make_dirs(file.parent)
        new = not file.exists()
        with file.open("a+b", buffering=0) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _cut_half_line(handle)
            if again and _has(handle, line):
                return False
            write_all(handle, line)
            os.fsync(handle.fileno())
        if new:
            fsync_dir(file.parent)
    return True


def _cut_half_line(handle: BinaryIO) -> None:
    end = handle.seek(0, os.SEEK_END)
    place = end
    while place > 0:
        begin = max(0, place - 65536)
        handle.seek(begin)
        last = handle.read(place - begin).rfind(b"\n")
        if last >= 0:
            place = begin + last + 1
            break
        place = begin
    if place < end:
        handle.truncate(place)
    handle.seek(0, os.SEEK_END)


def _has(handle: BinaryIO, line: bytes) -> bool:
    handle.seek(0)
    with open(os.dup(handle.fileno()), "rb") as reader:  # noqa: PTH123 (a handle, not a path)
        found = any(each == line for each in reader)
    handle.seek(0, os.SEEK_END)
    return found


def post(event: Event, url: str, key: str | None) -> None:
    """Post an event to a backend.

    Args:
        event: As JSON.
        url: Where events are taken, such as `http://marquez:5000/api/v1/lineage`.
        key: A secret that goes along as bearer; it stands in no error.

    Raises:
        Undeliverable: It was not taken; see `post_json`.
    """
    post_json(url, dict(event), "OpenLineage", "openlineage_url", {"Authorization": f"Bearer {key}"} if key else {})

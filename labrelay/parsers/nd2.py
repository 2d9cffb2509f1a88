"""Nikon's ND2: one file with all of an image. Its reader is the extra `nikon`; without it the magic is all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labrelay.model.imaging import Channel, ImageSet
from labrelay.model.instrument import Detection, InstrumentRun
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.image_files import Told, by_heads, run_of_files
from labrelay.parsers.listing import Entry, Listing, open_regular, read_head
from labrelay.parsers.text import warning

NAME = "nd2"
LOOKED_FOR = "*.nd2"
ENDING = ".nd2"
# Of version 2 and later, and of the JPEG 2000 files of before.
_MAGICS = (b"\xda\xce\xbe\x0a", b"\x00\x00\x00\x0cjP  ")
_AXES = {"X": "size_x", "Y": "size_y", "Z": "size_z", "C": "size_c", "T": "size_t"}
_TYPES = {"float32": "float", "float64": "double"}


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds ND2 files; their first bytes decide."""
    return by_heads(NAME, listing, ENDING, lambda head: head.startswith(_MAGICS))


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the images as a run, each file a sample of its own; what cannot be read is told and taken as it is.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    return run_of_files(NAME, folder, listing, (ENDING,), _look)


def _look(listing: Listing, entry: Entry) -> Told:
    told = _open(listing, entry)
    if isinstance(told, Problem):
        return Told(problems=(told,))
    return Told(
        images=(_image(entry, told),),
        model=told.get("model"),
        software=told.get("software"),
        raw={key: str(told[key]) for key in ("version", "objective", "capturing") if told.get(key)},
    )


def _open(listing: Listing, entry: Entry) -> Mapping[str, Any] | Problem:
    """Return what the file says, by the extra's reader; anything that it raises is the file's problem."""
    if not read_head(listing.root, entry.path, 16).startswith(_MAGICS):
        return warning("BAD_ND2", "it does not begin as an ND2 file does; copy it again", entry.path)
    try:
        import nd2
    except ImportError:
        text = "it is a Nikon ND2 and is taken unopened; `pip install 'labrelay[nikon]'` to have its facts told"
        return warning("OPAQUE", text, entry.path)
    try:
        with os.fdopen(open_regular(listing.root, entry.path), "rb") as source, nd2.ND2File(source) as file:
            return _told(file)
    except Exception as bad:
        # A damaged file makes a foreign reader raise whatever it will; the run is told all the same.
        text = f"it begins like an ND2 file and cannot be read: {printable(str(bad) or type(bad).__name__, 120)}"
        return warning("BAD_ND2", f"{text}; copy it again", entry.path)


def _told(file: Any) -> dict[str, Any]:
    metadata, texts = file.metadata, file.text_info
    channels = getattr(metadata, "channels", None) or []
    voxel = file.voxel_size()
    return {
        "sizes": dict(file.sizes),
        "type": str(file.dtype),
        "version": ".".join(str(part) for part in file.version),
        "channels": [each.channel for each in channels],
        "pixel": voxel.x,
        "step": voxel.z,
        "objective": texts.get("optics"),
        "capturing": texts.get("capturing"),
        "acquired": texts.get("date"),
        "model": _line(texts.get("description", ""), "Camera Name: "),
        "software": texts.get("appinfo") or None,
    }


def _line(text: str, start: str) -> str | None:
    return next(
        (line.strip()[len(start) :][:100] for line in text.splitlines() if line.strip().startswith(start)), None
    )


def _image(entry: Entry, told: Mapping[str, Any]) -> ImageSet:
    sizes = {ours: told["sizes"].get(axis) for axis, ours in _AXES.items()}
    positive = {key: told[key] if told[key] and told[key] > 0 else None for key in ("pixel", "step")}
    return ImageSet(
        name=entry.name.rpartition(".")[0],
        path=entry.path,
        **sizes,
        pixel_type=_TYPES.get(told["type"], told["type"]),
        pixel_um=positive["pixel"],
        step_um=positive["step"],
        channels=tuple(Channel(name=c.name, emission_nm=c.emissionLambdaNm or None) for c in told["channels"]),
        acquired=told["acquired"] or None,
    )

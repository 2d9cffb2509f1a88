"""Leica LIF: one file with many images, each a series of its own. Read without a library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element

from labrelay.model.instrument import Detection, InstrumentRun
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.image_files import Told, by_heads, opened, run_of_files
from labrelay.parsers.lif_file import MOST_XML, BadLif, CutLif, LifFile, is_lif, read_lif
from labrelay.parsers.lif_metadata import HOLLOW, LifImage, image_set, lif_images, other_axes
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.text import error, warning
from labrelay.parsers.xml import parse_xml

NAME = "lif"
LOOKED_FOR = "*.lif"
ENDING = ".lif"
TURNED = "plane of "  # before the name of an image whose planes are not of x and y, in what is raw


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds LIF files; their first bytes decide."""
    return by_heads(NAME, listing, ENDING, is_lif)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the images as a run, each file a sample of its own; what cannot be read is told and taken as it is.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    return run_of_files(NAME, folder, listing, (ENDING,), _look)


def open_lif(source: BinaryIO, path: str) -> tuple[LifFile, Element | None, tuple[LifImage, ...], tuple[Problem, ...]]:
    """Return an open file's structure, its XML, the images in it, and what is wrong with the XML.

    Raises:
        BadLif: It is none, or is cut.
    """
    file = read_lif(source)
    root, problems = parse_xml(file.xml, path, hollow=HOLLOW, most=MOST_XML)
    return file, root, tuple(lif_images(root)) if root is not None else (), problems


def _look(listing: Listing, entry: Entry) -> Told:
    path = entry.path
    found = opened(listing, entry, lambda source: open_lif(source, path), (CutLif, BadLif), "BAD_LIF")
    if isinstance(found, Told):
        return found
    file, root, images, problems = found
    facts = next((image.facts for image in images if image.facts), {})
    missing = [image for image in images if image.size > file.blocks.get(image.block, (0, -1))[1]]
    whole = file.whole and not missing
    stem = entry.name.rpartition(".")[0]
    model = " ".join(facts[key] for key in ("system", "microscope") if key in facts)
    return Told(
        images=tuple(image_set(image, stem, path) for image in images),
        model=model[:100] or None,
        serial=facts.get("serial"),
        software=facts.get("software"),
        raw=_raw(images),
        personal=_personal(root),
        problems=(*_as_warnings(problems, path), *_wrong(path, file, images, missing)),
        whole=whole,
    )


def _as_warnings(problems: Sequence[Problem], path: str) -> Iterator[Problem]:
    """What is wrong with the XML takes the facts away and not the file."""
    return (warning(each.code, f"its description: {each.message}", path) for each in problems)


def _raw(images: Sequence[LifImage]) -> dict[str, str]:
    """Return the facts of the first image's hardware, and for each image what nothing models of it."""
    raw = {key: value for key, value in (images[0].facts if images else {}).items() if key in ("objective", "source")}
    for image in images[:20]:
        if image.frame is not None and image.frame_axes != "xy":
            raw[f"{TURNED}{image.name}"] = image.frame_axes
        if other := other_axes(image):
            raw[f"more axes of {image.name}"] = other
    return raw


def _personal(root: Element | None) -> dict[str, str]:
    """Return where the file lay on the microscope's computer, which often holds a person's name."""
    experiment = root.find("./Element/Data/Experiment") if root is not None else None
    path = experiment.get("Path") if experiment is not None else None
    return {"Path": path} if path else {}


def _wrong(path: str, file: LifFile, images: Sequence[LifImage], missing: Sequence[LifImage]) -> Iterator[Problem]:
    if not images:
        yield warning("NO_IMAGES", "it describes no image that is understood here; open it in LAS X", path)
    if missing:
        text = f"the pixels of {counted(len(missing), 'image')} are not here, {printable(missing[0].name, 80)} first"
        yield error("TRUNCATED", f"{text}; copy it again", path)
    elif not file.whole:
        yield error("TRUNCATED", "it is shorter than it says of itself; copy it again", path)

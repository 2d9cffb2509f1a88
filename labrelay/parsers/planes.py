"""From planes that an instrument lists to a run's images and files; all plate imagers do this alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from labrelay.model.files import FileRole
from labrelay.model.imaging import Channel, ImageAt, ImageSet
from labrelay.model.instrument import Fact, Known, RunFile
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.image_names import is_image
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.text import warning

METADATA = (".xml", ".htd", ".mrf", ".mlf", ".mes", ".wpi", ".wpp", ".ome", ".json", ".csv", ".txt")


@dataclass(frozen=True)
class Plane:
    """One plane as the instrument lists it.

    Attributes:
        path: Below the run's root.
        at: Where it was taken.
        acquired: As it was written.
        height_um: Of the focus, relative to the others of its field.
    """

    path: str
    at: ImageAt
    acquired: str | None = None
    height_um: float | None = None


@dataclass(frozen=True)
class Frame:
    """What all planes of a run share."""

    size_x: int | None = None
    size_y: int | None = None
    pixel_type: str | None = None
    pixel_um: float | None = None


def image_sets(planes: Iterable[Plane], frame: Frame, channels: Mapping[int, Channel]) -> tuple[ImageSet, ...]:
    """Return one image a field, with as many planes, channels and time points as were listed.

    Args:
        planes: In any order.
        frame: What they share.
        channels: By the numbers that the planes have.
    """
    of_field: dict[tuple[str, int], list[Plane]] = {}
    for plane in planes:
        of_field.setdefault((plane.at.well or "", plane.at.field or 0), []).append(plane)
    ordered = sorted(of_field, key=lambda key: (len(key[0].rstrip("0123456789")), key))
    return tuple(_image_set(of_field[key], frame, channels) for key in ordered)


def _image_set(planes: Sequence[Plane], frame: Frame, channels: Mapping[int, Channel]) -> ImageSet:
    well, site = planes[0].at.well, planes[0].at.field
    numbers = sorted({plane.at.channel for plane in planes if plane.at.channel is not None})
    name = " ".join(part for part in (well, None if site is None else f"field {site}") if part)
    return ImageSet(
        name=name or planes[0].path.rpartition("/")[2],
        path=planes[0].path,
        size_x=frame.size_x,
        size_y=frame.size_y,
        size_z=_distinct(plane.at.z for plane in planes),
        size_c=len(numbers) or None,
        size_t=_distinct(plane.at.t for plane in planes),
        pixel_type=frame.pixel_type,
        pixel_um=frame.pixel_um,
        step_um=_step(planes),
        channels=tuple(channels.get(number, Channel()) for number in numbers),
        acquired=min((plane.acquired for plane in planes if plane.acquired), default=None),
        at=ImageAt(well=well, field=site),
    )


def _distinct(numbers: Iterable[int | None]) -> int | None:
    return len({number for number in numbers if number is not None}) or None


def _step(planes: Sequence[Plane]) -> float | None:
    heights = {plane.at.z: plane.height_um for plane in planes if plane.at.z and plane.height_um is not None}
    levels = sorted(heights)
    if len(levels) < 2:
        return None
    return round(abs(heights[levels[1]] - heights[levels[0]]), 4) or None


def places_of(planes: Iterable[Plane]) -> dict[str, ImageAt]:
    """Return where each file was taken; of a file that holds several planes only what all of them share."""
    places: dict[str, ImageAt] = {}
    for plane in planes:
        before = places.setdefault(plane.path, plane.at)
        if before is not plane.at and before != plane.at:
            shared = {name: value for name, value in before if getattr(plane.at, name) == value}
            places[plane.path] = ImageAt.model_validate(shared)
    return places


def run_files(
    listing: Listing,
    placed: Mapping[str, ImageAt],
    sample: str,
    role: Callable[[Entry], FileRole | None] = lambda _entry: None,
) -> tuple[RunFile, ...]:
    """Return the run's files: those with a place are images of the sample, the others what their names say.

    Args:
        listing: Of the run's root.
        placed: Where each image was taken, by its path.
        sample: The plate.
        role: What the platform knows of another file; None leaves it to the name's ending.
    """
    files = []
    for entry in listing.files:
        at = placed.get(entry.path)
        if at is not None:
            file = RunFile(path=entry.path, size=entry.size, role=FileRole.IMAGE, sample=sample, image=at)
        else:
            file = RunFile(path=entry.path, size=entry.size, role=role(entry) or _by_ending(entry.name))
        files.append(file)
    return tuple(files)


def _by_ending(name: str) -> FileRole:
    lower = name.lower()
    if lower.endswith(".log"):
        return FileRole.LOG
    return FileRole.RUN_METADATA if lower.endswith(METADATA) else FileRole.OTHER


def arrived(
    planned: Collection[str], listing: Listing, source: str, never_taken: str = ""
) -> tuple[Fact, list[Problem]]:
    """Return whether the images that a file lists are here, and what is missing.

    Args:
        planned: Paths below the root.
        listing: Of the root.
        source: The file that lists them.
        never_taken: Why a listed image may rightly be missing; with it a missing one is no proof that files are yet to
            come.
    """
    by_path = {entry.path: entry.size for entry in listing.files}
    missing = [path for path in planned if path not in by_path]
    empty = [path for path in planned if by_path.get(path) == 0]
    problems = []
    if empty:
        text = f"{counted(len(empty), 'image is', 'images are')} empty, {_name(empty[0])} first; copy them again"
        problems.append(warning("ZERO_BYTE_FILE", text, source))
    if not planned:
        return Fact(), problems
    if len(missing) == len(planned):
        text = f"it lists {counted(len(planned), 'image')} and none of them is here; bring the images"
        return Fact(value=Known.NO, evidence=source), [*problems, warning("NO_IMAGES", text, source)]
    if missing:
        one = len(missing) == 1
        text = f"of {counted(len(planned), 'listed image')} {len(missing):,} {'is' if one else 'are'} not here, "
        text += _name(missing[0]) + ("" if one else " first")
        why = f" ({never_taken})" if never_taken else f"; bring {'it' if one else 'them'}"
        problems.append(warning("COUNT_MISMATCH", text + why, source))
        return Fact(value=Known.UNKNOWN if never_taken else Known.NO, evidence=source), problems
    return Fact(value=Known.NO if empty else Known.YES, evidence=source), problems


def unlisted(placed: Mapping[str, ImageAt], listing: Listing, folder: str, source: str) -> list[Problem]:
    """Return a warning of images beside the listed ones that the file does not list."""
    beside = [e for e in listing.files if e.folder == folder and is_image(e.name) and e.path not in placed]
    if not beside:
        return []
    text = f"{counted(len(beside), 'image')} beside it {'is' if len(beside) == 1 else 'are'} not listed, "
    return [warning("UNLISTED_IMAGE", f"{text}{_name(beside[0].path)} first, and kept as other files", source)]


def named_otherwise(folder: str, told: Sequence[str | None], source: str) -> list[Problem]:
    """Return a warning when a folder's name holds none of the names that its files tell."""
    names = [name for name in told if name]
    if not names or any(name.lower() in folder.lower() for name in names) or folder.lower() in ("images", "."):
        return []
    text = f"the folder is called {printable(folder, 80)} and holds {printable(names[0], 80)}; the latter is used"
    return [warning("ID_MISMATCH", text, source)]


def positive(text: str | None, factor: float = 1.0) -> float | None:
    """Return a measure in the wanted unit, or None for what is no number above zero."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value * factor if 0 < value < 1e12 else None


def cut(fields: Mapping[str, str], most: int = 50) -> dict[str, str]:
    """Return fields as they are kept raw: at most so many, each of at most 500 characters."""
    return {name[:100]: value[:500] for name, value in list(fields.items())[:most] if value}


def _name(path: str) -> str:
    return printable(path.rpartition("/")[2], 80)

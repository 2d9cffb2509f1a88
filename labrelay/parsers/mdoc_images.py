"""Which images an mdoc file describes: one tilt series or montage as a stack, or a movie a section."""

from __future__ import annotations

from collections.abc import Mapping

from labrelay.model.imaging import ImageSet
from labrelay.parsers.mdoc import Mdoc, Section, mdoc_time, number_of, windows_name

_FEWEST_TILTS = 3
_SAME_TILT = 0.5  # degrees: a stage that is told to stay differs by less
_PIECE = "PieceCoordinates"
_MODES = {"0": "uint8", "1": "int16", "2": "float", "6": "uint16"}


def tilts_of(mdoc: Mdoc) -> tuple[float, ...]:
    """Return the angles of a tilt series in degrees, in the order they were taken; nothing when it is none."""
    sections = mdoc.of_kind("ZValue")
    if any(_PIECE in section.fields for section in sections):
        return ()
    angles = [number_of(section.fields.get("TiltAngle")) for section in sections]
    known = tuple(angle for angle in angles if angle is not None)
    if len(known) < _FEWEST_TILTS or len(known) != len(angles) or max(known) - min(known) < _SAME_TILT:
        return ()
    return known


def describe(mdoc: Mdoc, present: Mapping[str, str]) -> list[ImageSet]:
    """Return the images of a file.

    Args:
        mdoc: As it was read.
        present: Paths of the folder's files by name in lower case.
    """
    frames = mdoc.of_kind("FrameSet")
    tilts = tilts_of(mdoc)
    if tilts or "ImageFile" in mdoc.fields or not frames:
        return [_stack(mdoc, tilts, present)] if mdoc.sections else []
    return [_movie(mdoc, section, present) for section in frames]


def _stack(mdoc: Mdoc, tilts: tuple[float, ...], present: Mapping[str, str]) -> ImageSet:
    name = windows_name(mdoc.fields.get("ImageFile", "")) or _stem(mdoc.path)
    sections = mdoc.of_kind("ZValue")
    sizes = mdoc.fields.get("ImageSize", "").split()
    frames = number_of(mdoc.get("NumSubFrames")) if mdoc.of_kind("FrameSet") else None
    return ImageSet(
        name=name,
        path=present.get(name.lower(), mdoc.path),
        size_x=_count(sizes[0]) if len(sizes) == 2 else None,
        size_y=_count(sizes[1]) if len(sizes) == 2 else None,
        size_z=len(tilts) or _planes(sections),
        size_c=1,
        size_t=int(frames) if frames is not None else None,
        pixel_type=_MODES.get(mdoc.fields.get("DataMode", "")),
        pixel_um=_micrometres(mdoc.get("PixelSpacing")),
        acquired=_acquired(mdoc.get("DateTime")),
        tilt_degrees=tilts,
    )


def _planes(sections: tuple[Section, ...]) -> int | None:
    """Return how many images lie one on another; the pieces of a montage lie side by side."""
    pieces = [section.fields[_PIECE].split()[-1:] for section in sections if _PIECE in section.fields]
    return len({tuple(piece) for piece in pieces}) or len(sections) or None


def _movie(mdoc: Mdoc, section: Section, present: Mapping[str, str]) -> ImageSet:
    told = windows_name(section.fields.get("SubFramePath", ""))
    tilt = number_of(section.fields.get("TiltAngle"))
    frames = section.fields.get("NumSubFrames")
    return ImageSet(
        name=told or _stem(mdoc.path),
        path=present.get(told.lower(), mdoc.path),
        size_z=1,
        size_c=1,
        size_t=_count(frames) if frames else None,
        pixel_um=_micrometres(section.fields.get("PixelSpacing")),
        acquired=_acquired(section.fields.get("DateTime")),
        tilt_degrees=(tilt,) if tilt is not None else (),
    )


def _stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".mdoc")


def _count(text: str) -> int | None:
    value = number_of(text)
    return int(value) if value is not None and 0 < value < 1e9 else None


def _micrometres(spacing: str | None) -> float | None:
    """Return a spacing in Ångström as micrometres."""
    value = number_of(spacing)
    return round(value * 1e-4, 10) if value is not None and value > 0 else None


def _acquired(text: str | None) -> str | None:
    when = mdoc_time(text)
    return when.isoformat() if when is not None else None

"""What the metadata of OME-Zarr say, in any of their versions. Pure.

After the NGFF specification (ngff.openmicroscopy.org), versions 0.1 to 0.5.
"""

from __future__ import annotations

import re

from labrelay.model.imaging import Channel, well_name
from labrelay.parsers.zarr_groups import Json, objects, text_of, whole_numbers

_UNITS = {"micrometer": 1.0, "nanometer": 1e-3, "picometer": 1e-6, "angstrom": 1e-4, "millimeter": 1e3, "meter": 1e6}
_AXES = "tczyx"
_ROW = re.compile(r"[A-Za-z]{1,2}\Z")


def keys_of(attributes: Json) -> tuple[Json, str | None]:
    """Return the keys of OME and the version that stands beside them, in the form of 0.5 or of those before."""
    inner = attributes.get("ome")
    if isinstance(inner, dict):
        return inner, text_of(inner.get("version"))
    return attributes, None


def version_of(keys: Json) -> str | None:
    """Return the version that the first part of the metadata says."""
    parts = [keys.get("plate"), keys.get("well"), *objects(keys.get("multiscales"))]
    return next((text_of(part["version"]) for part in parts if isinstance(part, dict) and "version" in part), None)


def well_of(path: str, told: Json) -> str | None:
    """Return a well's name from its path, such as `B/03`, or from its indexes where it is named otherwise."""
    row, _, column = path.partition("/")
    if _ROW.match(row) and column.isascii() and column.isdigit() and len(column) < 4:
        return f"{row.upper()}{int(column):02d}"
    numbers = whole_numbers([told.get("rowIndex"), told.get("columnIndex")])
    return well_name(numbers[0] + 1, numbers[1] + 1) if len(numbers) == 2 and numbers[0] < 100 else None


def whole_count(listed: object, names: list[str]) -> int | None:
    """Return how many rows or columns a plate has, where the list is of all and not of those that were used."""
    told = [(text_of(each.get("name")) or "").lstrip("0") for each in objects(listed)]
    return len(told) if told and told == names[: len(told)] else None


def axes_of(scales: Json, dimensions: int) -> list[str]:
    """Return the axes' names: objects since 0.4, texts in 0.3, and always t, c, z, y, x before."""
    listed = scales.get("axes")
    if isinstance(listed, list) and listed:
        return [str(each.get("name") if isinstance(each, dict) else each)[:20].lower() for each in listed]
    return list(_AXES[-dimensions:]) if dimensions else []


def step_along(scales: Json, names: list[str], axis: str) -> float | None:
    """Return the step along an axis in micrometres; None where no unit of length is told."""
    if axis not in names:
        return None
    place = names.index(axis)
    listed = scales.get("axes")
    told = listed[place] if isinstance(listed, list) and place < len(listed) else None
    factor = _UNITS.get(str(told.get("unit"))) if isinstance(told, dict) else None
    first = next(iter(objects(scales.get("datasets"))), {})
    steps = [_step(part, place) for part in (first, scales)]
    if factor is None or steps[0] is None:
        return None
    value = steps[0] * (steps[1] or 1.0) * factor
    return round(value, 6) if 0 < value < 1e9 else None


def _step(part: Json, place: int) -> float | None:
    for each in objects(part.get("coordinateTransformations")):
        scale = each.get("scale")
        if isinstance(scale, list) and place < len(scale) and isinstance(scale[place], int | float):
            return float(scale[place])
    return None


def channels_of(keys: Json) -> tuple[Channel, ...]:
    """Return the channels' names, which only the part for OMERO has."""
    omero = keys.get("omero")
    listed = objects(omero.get("channels")) if isinstance(omero, dict) else []
    return tuple(Channel(name=text_of(each.get("label"))) for each in listed[:1000])

"""Run by the Python of another environment, with allotropy in it: an export's values as JSON on standard output.

`python allotropy_child.py VENDOR FILE` imports nothing of Labrelay. Exit code 3: there is no such vendor, and
those that there are stand on standard error; 4: the file is none of this vendor's, or broken.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

MOST = 10_000
# How the instrument was set, and what only a person of the vendor can read.
LEFT_OUT = ("device control", "custom information", "data cube", "data source", "error", "statistic")
OF = ("analyte name", "target DNA description", "assay bead identifier")


def main() -> int:
    """Print what allotropy reads of one export."""
    from allotropy.exceptions import AllotropeConversionError
    from allotropy.parser_factory import Vendor
    from allotropy.to_allotrope import allotrope_from_file

    vendor, path = sys.argv[1:3]
    if vendor not in Vendor.__members__:
        sys.stderr.write(", ".join(sorted(Vendor.__members__)))
        return 3
    try:
        with redirect_stdout(sys.stderr):
            document = allotrope_from_file(path, Vendor[vendor])
    except (AllotropeConversionError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        sys.stderr.write("\n" + f"{error}".strip().partition("\n")[0])
        return 4
    json.dump(facts_of(document), sys.stdout, allow_nan=False)
    return 0


def facts_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return device, software and values of a document in the Allotrope Simple Model, whatever its technique."""
    device = next(_named(document, "device system document"), {})
    system = next(_named(document, "data system document"), {})
    values = [value for told in _measurements(document, None) for value in _values(*told)]
    wells = next((count["value"] for count in _named(document, "plate well count") if _quantity(count)), None)
    return {
        "model": _text(device, "model number"),
        "serial": _text(device, "equipment serial number"),
        "device": _text(device, "device identifier"),
        "software": " ".join(filter(None, (_text(system, "software name"), _text(system, "software version")))) or None,
        "wells": wells,
        "values": values[:MOST],
        "held": len(values),
    }


def _named(node: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield each object of this name, wherever it is."""
    for key, value in node.items() if isinstance(node, dict) else ((None, each) for each in node):
        if key == name and isinstance(value, dict):
            yield value
        elif isinstance(value, dict | list):
            yield from _named(value, name)


def _measurements(node: Any, time: str | None) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield each measurement with the time that it, or what holds it, tells."""
    if isinstance(node, list):
        for each in node:
            yield from _measurements(each, time)
    elif isinstance(node, dict):
        time = _text(node, "measurement time") or time
        for key, value in node.items():
            if key == "measurement document":
                for each in value if isinstance(value, list) else [value]:
                    yield each, _text(each, "measurement time") or time
            else:
                yield from _measurements(value, time)


def _values(measurement: dict[str, Any], time: str | None) -> Iterator[dict[str, Any]]:
    sample = next(_named({"": measurement}, "sample document"), {})
    wavelength = next(_named({"": measurement}, "detector wavelength setting"), {})
    shared = {
        "well": _text(sample, "location identifier") or _text(sample, "well location identifier"),
        "sample": _text(sample, "sample identifier"),
        "time": time,
        "wavelength": wavelength.get("value") if _quantity(wavelength) else None,
    }
    for name, value in _quantities(measurement):
        number = value["value"]
        yield shared | {"name": name, "value": _finite(number), "unit": str(value.get("unit", ""))[:40]}


def _finite(number: Any) -> float | None:
    """Return a number; None for none, which allotropy also writes as minus zero, with an error beside it."""
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return None if number == 0 and math.copysign(1, number) < 0 else number


def _quantities(node: Any, of: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each quantity with its name and what it is of: an analyte or a target."""
    if isinstance(node, list):
        for each in node:
            yield from _quantities(each, of)
    elif isinstance(node, dict):
        of = next(filter(None, (_text(node, name) for name in OF)), of)
        for key, value in node.items():
            if key.startswith(LEFT_OUT) or key == "sample document" or " setting" in key:
                continue
            if isinstance(value, dict) and _quantity(value):
                yield f"{key} {of}".strip(), value
            else:
                yield from _quantities(value, of)


def _quantity(value: Any) -> bool:
    return isinstance(value, dict) and "value" in value and "unit" in value


def _text(node: Any, name: str) -> str | None:
    found = node.get(name) if isinstance(node, dict) else None
    return None if found is None or str(found).lower() in ("n/a", "unknown", "") else str(found)[:200]


if __name__ == "__main__":
    sys.exit(main())

"""Exports of bench instruments, read by the open library allotropy in another Python, in a process of its own.

The library takes seconds to import and wants versions of packages that we do not, so that it has an environment of its
own, whose Python `LABRELAY_ALLOTROPY` names. It recognises no file: its caller says the vendor, as `allotropy:VENDOR`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from labrelay.model.errors import MissingTool, RefusedInput
from labrelay.model.files import FileRole
from labrelay.model.imaging import Plate
from labrelay.model.instrument import Completion, Fact, InstrumentRun, Known, RunFile, Unit
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.child import run_child
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.text import error, warning

PREFIX = "allotropy:"
VARIABLE = "LABRELAY_ALLOTROPY"
SECONDS, MEMORY_GIB = 120, 4
MAX_BYTES = 50 * 1024 * 1024
MAX_EXPORTS = 20  # each takes ten seconds
MAX_METRICS = 10_000
_WELL = re.compile(r"([A-Z]{1,2})(\d{1,2})")
_CHILD = Path(__file__).with_name("allotropy_child.py")
_ENDINGS = (".txt", ".csv", ".tsv", ".xlsx", ".xls", ".xml", ".json", ".rsl", ".html")
_SIZES = {6: (2, 3), 12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}


class Export(NamedTuple):
    """What allotropy reads of one file."""

    path: str
    told: dict[str, Any]


def python() -> str | None:
    """Return the Python that has allotropy, as the environment names it; None when it names none."""
    named = os.environ.get(VARIABLE)
    return shutil.which(named) if named else None


def look_as(listing: Listing, name: str, vendor: str) -> InstrumentRun:
    """Return a folder's exports, or the one file, read as a vendor's; each file is a sample.

    Args:
        listing: Of the folder or file.
        name: The folder's, or the file's without its ending; it is the run's id, because an export has none.
        vendor: As allotropy names it, such as `MOLDEV_SOFTMAX_PRO`.

    Raises:
        MissingTool: No Python with allotropy is named.
        RefusedInput: There is no such vendor, or no file of the folder is one of its exports.
    """
    program = python()
    if program is None:
        how = f"`uv venv DIR && uv pip install --python DIR allotropy`, then {VARIABLE}=DIR/bin/python"
        as_what = f" as {vendor}" if vendor else ""
        raise MissingTool(f"reading an export{as_what} needs the library allotropy in a Python of its own: {how}")
    texts = [entry for entry in listing.files if entry.name.lower().endswith(_ENDINGS)] or list(listing.files)
    exports, problems = read_exports(program, listing, [(entry, vendor) for entry in texts])
    if not exports:
        raise RefusedInput(
            name, problems or [error("NO_EXPORT", f"it has no file that could be an export of {vendor}")]
        )
    return run_of(listing, name, f"{PREFIX}{vendor}", exports, problems)


def read_exports(
    program: str, listing: Listing, wanted: Sequence[tuple[Entry, str]]
) -> tuple[list[Export], list[Problem]]:
    """Return what allotropy reads of these files, each as a vendor's, and what it does not."""
    exports, problems = [], []
    for entry, vendor in wanted[:MAX_EXPORTS]:
        found = _read(program, listing, entry, vendor)
        if isinstance(found, Problem):
            problems.append(found)
            if found.code == "UNKNOWN_VENDOR":
                break
        else:
            exports.append(Export(entry.path, found))
    if len(wanted) > MAX_EXPORTS:
        text = f"the first {MAX_EXPORTS} of {len(wanted):,} exports are read, and the others are kept whole"
        problems.append(warning("NOT_ALL_READ", text))
    return exports, problems


def _read(program: str, listing: Listing, entry: Entry, vendor: str) -> dict[str, Any] | Problem:
    data = read_small(listing.root, entry.path, MAX_BYTES)
    if isinstance(data, Problem):
        return data
    with tempfile.TemporaryDirectory(prefix="labrelay-export-") as folder:
        # A copy, so that nothing reads a file that is replaced by a link meanwhile; its name may say what it is.
        copy = Path(folder) / "in" / entry.name
        copy.parent.mkdir()
        copy.write_bytes(data)
        argv = [program, "-I", str(_CHILD), vendor, str(copy)]
        done = run_child(argv, Path(folder), SECONDS, MEMORY_GIB, network=False)
    if done.code == 3:
        return error(
            "UNKNOWN_VENDOR", f"allotropy has no vendor {printable(vendor)}; there are {done.err.strip()[:3000]}"
        )
    try:
        told = json.loads(done.out) if done.code == 0 else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        text = f"allotropy does not read it as {printable(vendor)}: {printable(done.why, 300)}"
        return warning("NOT_THIS_EXPORT", f"{text}; it is kept whole", entry.path)
    return told


def run_of(
    listing: Listing, name: str, platform: str, exports: Sequence[Export], problems: Iterable[Problem]
) -> InstrumentRun:
    """Return exports that were read as a run."""
    first = exports[0].told
    mine = {export.path for export in exports}
    metrics, more = _metrics(exports)
    times = sorted(filter(None, (value.get("time") for export in exports for value in export.told["values"])))
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=platform,
        instrument_model=first.get("model") or first.get("device"),
        instrument_serial=first.get("serial"),
        software=first.get("software"),
        started=_moment(times[0]) if times else None,
        started_text=times[0] if times else None,
        files=tuple(_file(entry, entry.path in mine) for entry in listing.files),
        units=tuple(_unit(export) for export in exports) if len(exports) > 1 else (),
        plate=_plate(first) if len(exports) == 1 else None,
        qc=tuple(metrics),
        completion=Completion(acquired=Fact(value=Known.YES, evidence=exports[0].path)),
        problems=(*listing.problems, *problems, *more),
    )


def _moment(text: str) -> datetime | None:
    """Return a time; without its zone when that is UTC, which allotropy writes where the export says none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.utcoffset() else found.replace(tzinfo=None)


def _file(entry: Entry, mine: bool) -> RunFile:
    role = FileRole.MEASUREMENT if mine else FileRole.OTHER
    return RunFile(path=entry.path, size=entry.size, role=role, sample=_stem(entry.path) if mine else None)


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _wells(told: dict[str, Any]) -> list[str]:
    found = dict.fromkeys(_well(value) for value in told["values"])
    return [well for well in found if well is not None]


def _well(value: dict[str, Any]) -> str | None:
    """Return the well as all of Labrelay writes it, `A01`; None for a place that is no well of a plate."""
    match = _WELL.fullmatch(value.get("well") or "")
    return f"{match[1]}{int(match[2]):02d}" if match else None


def _plate(told: dict[str, Any]) -> Plate | None:
    wells = _wells(told)
    rows, columns = _SIZES.get(int(told.get("wells") or 0), (None, None))
    return Plate(rows=rows, columns=columns, wells=tuple(wells)) if wells else None


def _unit(export: Export) -> Unit:
    names = dict.fromkeys(value["name"] for value in export.told["values"])
    facts = {"wells": str(len(_wells(export.told))), "reads": ", ".join(list(names)[:5])[:200]}
    done = Completion(acquired=Fact(value=Known.YES, evidence=export.path))
    return Unit(name=_stem(export.path), kind="export", sample=_stem(export.path), completion=done, facts=facts)


def _metrics(exports: Sequence[Export]) -> tuple[list[QCMetric], list[Problem]]:
    """Return each value by its well or sample; what was read twice of one is counted through."""
    found: list[QCMetric] = []
    seen: Counter[tuple[str, str]] = Counter()
    for number, (path, told) in enumerate(exports, 1):
        whose = f"export {number} " if len(exports) > 1 else ""
        for value in told["values"][: MAX_METRICS - len(found)]:
            scope = f"{whose}{_scope(value)}"
            name = _name(value["name"], value.get("wavelength"))
            seen[scope, name] += 1
            name += f"_{seen[scope, name]}" if seen[scope, name] > 1 else ""
            found.append(QCMetric(name=name, value=value["value"], unit=value["unit"], scope=scope, source=path))
    held = sum(int(told.get("held") or 0) for _, told in exports)
    if held <= len(found):
        return found, []
    text = f"the first {len(found):,} of {held:,} values are kept as quality; the files have all"
    return found, [warning("NOT_ALL_READ", text)]


def _scope(value: dict[str, Any]) -> str:
    """Return what a value is of: its well, where that is one of a plate, else its sample."""
    well = _well(value)
    if well is not None:
        return f"well {well}"
    return value.get("sample") or (f"place {value['well']}" if value.get("well") else "run")


def _name(told: str, wavelength: float | None) -> str:
    """Return a metric's name for what was measured: `absorbance_450`."""
    at = f"_{wavelength:g}" if isinstance(wavelength, int | float) else ""
    return re.sub(r"[^a-z0-9]+", "_", f"{told}{at}".lower()).strip("_")[:80] or "value"

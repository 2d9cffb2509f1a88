"""A sample sheet for the sequencer or the converter, from the samples that an experiment was announced with."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from labrelay.model.barcodes import is_named
from labrelay.model.errors import Conflict, RefusedInput, UsageError
from labrelay.model.experiment import Sample
from labrelay.model.instrument import ReadSegment
from labrelay.model.names import printable
from labrelay.model.problem import Problem, errors_of
from labrelay.parsers.illumina_runinfo import RunInfo, parse_run_info
from labrelay.parsers.listing import SMALL
from labrelay.parsers.samplesheet_write import (
    Orientation,
    Sheet,
    Wanted,
    check,
    make_sheet,
    orientation_of,
    recipe_of_cycles,
    usable_sample_id,
)
from labrelay.parsers.text import column_key, decode, delimiter_of, error, lines, to_int
from labrelay.records.experiments import sample_of
from labrelay.records.schema import SampleRow
from labrelay.steps.assign import find_experiment
from labrelay.steps.home import Home
from labrelay.stores.durable import write_atomic

_UNSAID = "how the second index is to be written is not known"
_SAY = "say --i5 forward or --i5 reverse-complement"


@dataclass(frozen=True)
class Asked:
    """What a sheet is made by.

    Attributes:
        run_info: RunInfo.xml of the run; or else `cycles`.
        cycles: `151,10,10,151`: read 1, index 1, index 2, read 2.
        lane_map: A CSV with the columns sample and lane, a row for each lane of a sample.
        orientation: How the second index is written, where the run does not say it.
        mismatches: To allow in each index, 0 to 2.
    """

    run_info: Path | None = None
    cycles: str | None = None
    lane_map: Path | None = None
    orientation: Orientation | None = None
    mismatches: int = 1


@dataclass(frozen=True)
class Written:
    """A sheet that was written: where, what was decided, and why the second index stands as it does."""

    path: Path
    sheet: Sheet
    samples: int
    lanes: tuple[int, ...]
    reason: str | None


def write_sheet(home: Home, experiment: str, out: Path, asked: Asked) -> Written:
    """Write a version 2 sheet of an experiment's samples; writing the same again changes nothing.

    Args:
        home: Whose experiment it is.
        experiment: Its name or id.
        out: The file.
        asked: The recipe and what else is to be settled.

    Raises:
        NotFound: There is no such experiment.
        UsageError: The recipe or the orientation of the second index is not known.
        RefusedInput: With all that forbids the sheet: ids, indexes, lanes, samples that cannot be told apart.
        Conflict: Another file is at `out`.
    """
    samples = _samples(home, experiment)
    reads, info = _recipe(asked)
    mapped, problems = _lanes(asked.lane_map, samples) if asked.lane_map else ({}, [])
    wanted = [_wanted(sample, mapped.get(sample.name, ())) for sample in samples]
    problems += check(wanted, reads, info.lanes if info else None, asked.mismatches)
    orientation, reason = None, None
    if any(each.index2 for each in wanted):
        orientation, reason = orientation_of(reads, info.instrument if info else None, asked.orientation)
    unsaid = f"{_UNSAID}: {reason}; {_SAY}" if reason is not None and orientation is None else None
    if problems:
        told = [*problems, error("NO_ORIENTATION", unsaid)] if unsaid else problems
        raise RefusedInput(f"the samples of {experiment}", told)
    if unsaid:
        raise UsageError(unsaid)
    sheet = make_sheet(experiment, wanted, reads, orientation, asked.mismatches)
    _write(out, sheet.text.encode())
    lanes = tuple(sorted({lane for each in wanted for lane in each.lanes}))
    return Written(out, sheet, len(wanted), lanes, reason)


def _samples(home: Home, experiment: str) -> list[Sample]:
    with home.records.read() as session:
        row = find_experiment(session, experiment)
        query = select(SampleRow).where(SampleRow.experiment_id == row.id).order_by(SampleRow.name)
        found = [sample_of(each) for each in session.scalars(query)]
    if not found:
        raise UsageError(f"experiment {experiment} has no samples: announce them with labrelay announce")
    return found


def _recipe(asked: Asked) -> tuple[tuple[ReadSegment, ...], RunInfo | None]:
    path = asked.run_info
    if asked.cycles is not None and path is None:
        reads = recipe_of_cycles(asked.cycles)
        if reads is None:
            raise UsageError(
                f"{printable(asked.cycles, 60)} is no recipe: give 1 to 4 numbers, read 1, index 1, index 2, read 2"
            )
        return reads, None
    if path is None or asked.cycles is not None:
        raise UsageError("say either --run-info RunInfo.xml or --cycles 151,10,10,151")
    info, problems = parse_run_info(small_file(path), path.name)
    if info is None or not info.reads:
        raise RefusedInput(str(path), problems or [error("BAD_XML", "it names no reads", path.name)])
    return info.reads, info


def small_file(path: Path) -> bytes:
    """Return a file that somebody names, such as a sheet.

    Raises:
        UsageError: It is not there, or is larger than such a file ever is.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.stat().st_size > SMALL:
        raise UsageError(f"{path} is larger than {SMALL} bytes, which such a file never is")
    return path.read_bytes()


def _lanes(path: Path, samples: Sequence[Sample]) -> tuple[Mapping[str, tuple[int, ...]], list[Problem]]:
    """Return the lanes of each sample, and the rows that are wrong, such as a name that the experiment has not."""
    text, found = decode(small_file(path), path.name)
    rows = [line for line in lines(text) if line.strip()]
    sign = delimiter_of(rows[0]) if rows else ","
    table = list(csv.reader(rows, delimiter=sign))
    keys = [column_key(cell) for cell in table[0]] if table else []
    if not {"sample", "lane"} <= set(keys):
        raise UsageError(f"{path} has no columns sample and lane in its first line")
    problems = errors_of(found)
    names = {name.casefold(): sample.name for sample in samples for name in (*sample.aliases, sample.name)}
    mapped: dict[str, set[int]] = {}
    for number, row in enumerate(table[1:], 2):
        values = dict(zip(keys, row, strict=False))
        name, lane = names.get(values.get("sample", "").strip().casefold()), to_int(values.get("lane"))
        if name is None or lane is None:
            shown = printable(values.get("sample", ""), 60)
            what = f"{shown!r} is no sample of the experiment" if name is None else "its lane is no number"
            problems.append(error("BAD_LANE_MAP", f"{what}; correct the row", path.name, number))
        else:
            mapped.setdefault(name, set()).add(lane)
    return {name: tuple(sorted(lanes)) for name, lanes in mapped.items()}, problems


def _wanted(sample: Sample, lanes: tuple[int, ...]) -> Wanted:
    if is_named(sample.barcode or ""):
        what = f"{printable(sample.name)} was announced with {sample.barcode}, a kit's name for a barcode"
        raise UsageError(f"{what}: the sheet needs its sequence, so announce that with --correct and a --reason")
    first, _, second = (sample.barcode or "").upper().partition("+")
    called = usable_sample_id(sample.name, *sample.aliases) or sample.name
    return Wanted(called, first, second, lanes, sample.project)


def _write(out: Path, content: bytes) -> None:
    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"{out} is no place for a file: name one in a folder that is there")
    if out.exists():
        if out.is_file() and out.read_bytes() == content:
            return
        raise Conflict(f"{out} is there already and is another sheet: name another file, or remove it")
    write_atomic(out, content)

"""What a converter is to do with an instrument run, decided from its recipe and its sample sheet alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from labrelay.model.canonical import JSONValue
from labrelay.model.instrument import SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem, errors_of
from labrelay.model.words import counted
from labrelay.parsers.illumina_runinfo import RunInfo
from labrelay.parsers.index_check import Collision, Indexed, check_indexes
from labrelay.parsers.lane_balance import reverse_complement
from labrelay.parsers.read_masks import Structure, structure_of
from labrelay.parsers.samplesheet import SampleSheet
from labrelay.parsers.samplesheet_write import override_cycles, usable_sample_id
from labrelay.parsers.text import cells, column_key, decode, delimiter_of, error, lines, to_int

BCL_CONVERT, PICARD = "bcl-convert", "picard"
SHOWN = 20
_SAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_BASES = re.compile(r"[ACGT]+\Z")


@dataclass(frozen=True)
class Given:
    """What is known of a run before it is converted.

    Attributes:
        info: RunInfo.xml.
        sheet: The sample sheet, and `data`, its bytes, and `path`, for messages.
        lanes: Those whose base calls are in the folder.
    """

    info: RunInfo
    sheet: SampleSheet
    data: bytes
    path: str
    lanes: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What is to be done; `document` is what the workflow reads, `notes` what a person has to know."""

    document: Mapping[str, JSONValue]
    lanes: tuple[int, ...]
    samples: int
    notes: tuple[str, ...]


def plan_of(given: Given, converter: str) -> tuple[Plan | None, list[Problem]]:
    """Return what is to be done, or everything that forbids it.

    BCL Convert reads the sheet itself and knows what Picard does not, so that of its masks nothing is judged here.
    """
    problems = [*errors_of(given.sheet.problems), *_named(given)]
    rows = list(_rows(given, problems))
    mismatches = _mismatches(given)
    if not problems:
        problems += _collisions(rows, mismatches, given.path)
    by_lane: defaultdict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        for lane in row.lanes:
            by_lane[lane].append(row)
    parts: list[JSONValue] = []
    for lane, members in sorted(by_lane.items()) if converter == PICARD and not problems else ():
        part = _lane(lane, members, given, problems)
        parts += [part] if part else []
    if problems:
        return None, problems
    info = given.info
    document: dict[str, JSONValue] = {
        "run": str(info.number if info.number is not None else 1),
        "instrument": _SAFE.sub("-", info.instrument or "instrument"),
        "flow_cell": _SAFE.sub("-", info.flow_cell or "flowcell"),
        "mismatches": mismatches,
        "lanes": parts,
    }
    names = {row.sample.sample_id for row in rows}
    return Plan(document, tuple(sorted(by_lane)), len(names), tuple(_notes(given, converter))), []


@dataclass(frozen=True)
class _Row:
    """A row of the sheet: its place among the samples from 1, its lanes, its mask (None: from the recipe)."""

    sample: SheetSample
    number: int
    lanes: tuple[int, ...]
    mask: str | None

    @property
    def indexes(self) -> tuple[str, ...]:
        return tuple(part for part in (self.sample.barcode or "").split("+") if part)


def _named(given: Given) -> Iterator[Problem]:
    for sample in given.sheet.samples:
        if usable_sample_id(sample.sample_id) is None:
            shown = printable(sample.sample_id, 60)
            taken = "letters, digits, - and _, but not all, none or unknown"
            what = f"{shown!r} is no Sample_ID that converters take ({taken}); change it"
            yield error("BAD_SAMPLE_ID", what, given.path, sample.line)


def _rows(given: Given, problems: list[Problem]) -> Iterator[_Row]:
    masks = _masks_by_line(given.data)
    usual = next((v for k, v in given.sheet.settings.items() if column_key(k) == "overridecycles" and v), None)
    numbers: dict[str, int] = {}
    for sample in given.sheet.samples:
        number = numbers.setdefault(sample.sample_id, len(numbers) + 1)
        lanes = (sample.lane,) if sample.lane is not None else given.lanes
        missing = [lane for lane in lanes if lane not in given.lanes]
        if missing:
            what = f"the folder has no base calls of lane {missing[0]}; bring them, or take the lane out of the sheet"
            problems.append(error("LANE_MISSING", what, given.path, sample.line))
        yield _Row(sample, number, lanes, masks.get(sample.line or 0) or usual)


def _masks_by_line(data: bytes) -> dict[int, str]:
    """Return the OverrideCycles that stand in rows of the table, by line."""
    place, found = None, {}
    for number, line in enumerate(lines(decode(data, "").text), 1):
        row, _ = cells(line, delimiter_of(line))
        keys = [column_key(cell) for cell in row]
        if "sampleid" in keys:
            place = keys.index("overridecycles") if "overridecycles" in keys else None
        elif place is not None and place < len(row) and row[place]:
            found[number] = row[place]
    return found


def _mismatches(given: Given) -> int:
    """Return how many are allowed: the fewest that the sheet names, 1 when it names none."""
    settings = given.sheet.settings.items()
    told = [to_int(text) for name, text in settings if column_key(name).startswith("barcodemismatchesindex")]
    return min((count for count in told if count is not None and 0 <= count <= 2), default=1)


def _collisions(rows: Sequence[_Row], mismatches: int, path: str) -> Iterator[Problem]:
    """Give an error for each pair of samples that could claim the same read; indexes of one sample may be alike."""
    indexed = [
        Indexed(row.sample.sample_id, row.indexes[0], "".join(row.indexes[1:]), row.lanes)
        for row in rows
        if row.indexes
    ]
    found = check_indexes(indexed, mismatches)
    others = [each for each in found.collisions if each.first != each.second]
    seen: set[tuple[str, str]] = set()
    for one in others:
        if (one.first, one.second) not in seen and len(seen) < SHOWN:
            seen.add((one.first, one.second))
            yield error("INDEX_COLLISION", _too_alike(one, mismatches, found.allowed), path)


def _too_alike(one: Collision, mismatches: int, allowed: int) -> str:
    far = f"{one.distance}" if one.distance2 is None else f"{one.distance} and {one.distance2}"
    advice = "correct one of them"
    if allowed >= 0:
        advice = f"correct one of them, or write BarcodeMismatchesIndex1,{allowed} into the sheet's settings"
    allow = counted(mismatches, "mismatch", "mismatches")
    names = f"{printable(one.first, 60)} and {printable(one.second, 60)}"
    what = f"{names} in lane {one.lane} differ in {far} bases of their indexes, too few for {allow}"
    return f"{what}; {advice}"


def _lane(lane: int, rows: Sequence[_Row], given: Given, problems: list[Problem]) -> dict[str, JSONValue] | None:
    """Return what Picard is to do with a lane: one read structure, and the indexes of each sample as read."""
    where = f"lane {lane}"
    plain = [row for row in rows if not row.indexes]
    if plain and len(rows) > 1:
        first = plain[0].sample
        said = f"has the index {printable(first.index, 40)!r}, which is no sequence" if first.index else "has no index"
        what = f"{printable(first.sample_id, 60)} {said}, and shares {where} with others; write its bases"
        problems.append(error("NO_INDEX", what, given.path, first.line))
        return None
    structures = {_structure(row, given) for row in rows}
    wrong = next((each for each in structures if isinstance(each, str)), None)
    if wrong is not None or len(structures) > 1:
        why = wrong or "its samples have indexes of several lengths, and Picard compares with one length"
        advice = "correct the sheet, or put bcl-convert on PATH"
        problems.append(error("BAD_MASK", f"{where} cannot be converted by Picard: {why}; {advice}", given.path))
        return None
    (structure,) = structures
    assert isinstance(structure, Structure)  # noqa: S101 (for mypy: texts have been told)
    samples = [_sample(place, row, structure, given, problems) for place, row in enumerate(rows, 1)]
    return {
        "lane": lane,
        "structure": structure.text,
        "mates": structure.mates,
        "indexes": len(structure.index_lengths),
        "turned": list(structure.turned),
        "samples": samples,
    }


def _structure(row: _Row, given: Given) -> Structure | str:
    lengths = [len(index) for index in row.indexes]
    room = [read.cycles for read in given.info.reads if read.is_index]
    if len(lengths) > len(room) or any(length > cycles for length, cycles in zip(lengths, room, strict=False)):
        shown = printable(row.sample.sample_id, 60)
        return f"the index of {shown} is longer than the run's index reads ({', '.join(map(str, room)) or 'none'})"
    return structure_of(row.mask or override_cycles(given.info.reads, *[*lengths, 0, 0][:2]), given.info.reads)


def _sample(place: int, row: _Row, structure: Structure, given: Given, problems: list[Problem]) -> dict[str, JSONValue]:
    """Return a sample of a lane, its indexes cut to what is read and turned where the instrument turns them."""
    name = printable(row.sample.sample_id, 60)
    short = len(row.indexes) != len(structure.index_lengths)
    if short or any(len(i) < n for i, n in zip(row.indexes, structure.index_lengths, strict=True)):
        what = f"the index of {name} is shorter than OverrideCycles reads; correct one of them"
        problems.append(error("INDEX_LENGTH", what, given.path, row.sample.line))
        return {}
    cut = [index[:length] for index, length in zip(row.indexes, structure.index_lengths, strict=True)]
    if not all(_BASES.match(index) for index in cut):
        what = f"the index of {name} has other letters than A, C, G and T, which match no read; correct it"
        problems.append(error("BAD_INDEX", what, given.path, row.sample.line))
    read_as = [reverse_complement(i) if turn else i for i, turn in zip(cut, structure.turned, strict=True)]
    return {
        "id": row.sample.sample_id,
        "file": f"{row.sample.sample_id}_S{row.number}",
        "prefix": f"s{place}",
        "indexes": cut,
        "read_as": read_as,
    }


def _notes(given: Given, converter: str) -> Iterator[str]:
    if converter != PICARD:
        return
    adapters = [name for name, text in given.sheet.settings.items() if column_key(name).startswith("adapter") and text]
    if adapters:
        yield f"Picard trims no adapters, so {adapters[0]} of the sheet is not followed"

"""A version 2 sample sheet for BCL Convert, made from samples and a recipe: decided here, written by who asked.

What depends on the chemistry and not on the samples, the orientation of the second index, is derived only where the
run or the instrument says it; else it has to be said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from labrelay.model.instrument import ReadSegment
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.illumina_models import model_of_serial
from labrelay.parsers.index_check import Indexed, check_indexes
from labrelay.parsers.lane_balance import reverse_complement
from labrelay.parsers.text import error

# What BCL Convert takes as a Sample_ID, and the words that it keeps for itself.
SAMPLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z")
_KEPT = frozenset(("all", "default", "none", "unknown", "undetermined", "stats", "reports"))
_BASES = re.compile(r"[ACGT]+\Z")
_READS_FORWARD = ("MiSeq", "HiSeq 2500", "HiSeq 2000/2500")
_SHOWN = 20


class Orientation(StrEnum):
    """How the second index is written: as announced (the strand of the adapter's own name), or its other strand."""

    FORWARD = "forward"
    REVERSE_COMPLEMENT = "reverse-complement"


@dataclass(frozen=True)
class Wanted:
    """A sample for the sheet: its id there, its indexes as announced, its lanes (none means all) and its project."""

    sample_id: str
    index: str = ""
    index2: str = ""
    lanes: tuple[int, ...] = ()
    project: str | None = None


@dataclass(frozen=True)
class Sheet:
    """A sheet that was made, and what was decided on the way.

    Attributes:
        text: The file, with LF line ends.
        rows: Rows of samples.
        override_cycles: The masks, the commonest first; more than one stands in a column of its own.
        orientation: Of the second index; None when there is none.
        notes: What a person has to know of it, in sentences.
    """

    text: str
    rows: int
    override_cycles: tuple[str, ...]
    orientation: Orientation | None
    notes: tuple[str, ...]


def usable_sample_id(*names: str) -> str | None:
    """Return the first of a sample's names that BCL Convert takes as Sample_ID, or None."""
    return next((name for name in names if SAMPLE_ID.match(name) and name.lower() not in _KEPT), None)


def recipe_of_cycles(text: str) -> tuple[ReadSegment, ...] | None:
    """Return the recipe that `151,10,10,151` means: read 1, index 1, index 2, read 2; None when it means none.

    With three numbers there is one index, with two no second read, with one no index; a 0 is a read that there is not.
    """
    try:
        cycles = [int(part) for part in text.split(",")]
    except ValueError:
        return None
    kinds = {1: "R", 2: "RI", 3: "RIR", 4: "RIIR"}.get(len(cycles))
    if kinds is None or any(not 0 <= count <= 2000 for count in cycles) or not cycles[0]:
        return None
    there = [(count, kind == "I") for count, kind in zip(cycles, kinds, strict=True) if count]
    return tuple(ReadSegment(number=n, cycles=count, is_index=i) for n, (count, i) in enumerate(there, 1))


def orientation_of(
    reads: Sequence[ReadSegment], serial: str | None, asked: Orientation | None
) -> tuple[Orientation | None, str]:
    """Return how to write the second index, with the reason; None where nobody but the user can know.

    BCL Convert turns the second index itself when RunInfo.xml has `IsReverseComplement` (NextSeq 1000/2000, NovaSeq X,
    MiSeq i100), so it is written forward then. MiSeq and HiSeq 2500 read it forward. NovaSeq 6000 reads it forward
    with reagents 1.0 and turned with 1.5; of the others it depends on the software that takes the sheet.
    """
    index_reads = [read for read in reads if read.is_index]
    flagged = len(index_reads) > 1 and index_reads[1].reverse_complement is not None
    model = model_of_serial(serial)
    if asked is not None:
        doubt = flagged and asked is Orientation.REVERSE_COMPLEMENT
        return asked, "as you said" + (
            "; but RunInfo.xml says by IsReverseComplement that BCL Convert turns it itself" if doubt else ""
        )
    if flagged:
        return Orientation.FORWARD, "RunInfo.xml has IsReverseComplement, by which BCL Convert turns it where needed"
    if model in _READS_FORWARD:
        return Orientation.FORWARD, f"a {model} reads it forward"
    which = f"a {model}" if model else "an instrument that is not named"
    return None, f"of {which} it depends on the reagents and on the software that takes the sheet"


def check(samples: Sequence[Wanted], reads: Sequence[ReadSegment], lanes: int | None, mismatches: int) -> list[Problem]:
    """Return everything that forbids a sheet of these samples: ids, indexes, lanes, and samples too alike."""
    comparable = [s for s in samples if _BASES.match(s.index) and (not s.index2 or _BASES.match(s.index2))]
    return [*_faults(samples, reads, lanes), *_mixtures(samples), *_collisions(comparable, mismatches)]


def _faults(samples: Sequence[Wanted], reads: Sequence[ReadSegment], lanes: int | None) -> list[Problem]:
    cycles = [read.cycles for read in reads if read.is_index]
    seen: set[str] = set()
    problems = []
    for sample in samples:
        name = printable(sample.sample_id, 60)
        if usable_sample_id(sample.sample_id) is None:
            what = f"{name!r} is no Sample_ID for BCL Convert (letters, digits, - and _); give it such an alias"
            problems.append(error("BAD_SAMPLE_ID", what))
        if sample.sample_id.lower() in seen:
            problems.append(error("DUPLICATE_SAMPLE", f"two samples would be called {name}; give one an alias"))
        seen.add(sample.sample_id.lower())
        for place, index in enumerate((sample.index, sample.index2)):
            room = cycles[place] if place < len(cycles) else 0
            if index and not _BASES.match(index):
                what = f"index {place + 1} of {name} has other letters than A, C, G and T, which match no read"
                problems.append(error("BAD_INDEX", what))
            elif len(index) > room:
                what = f"index {place + 1} of {name} has {len(index)} bases and the recipe {room or 'no'} cycles for it"
                problems.append(error("INDEX_LENGTH", what))
        for lane in sample.lanes:
            if lane < 1 or (lanes is not None and lane > lanes):
                what = f"{name} is mapped to lane {lane}, which the flow cell has not"
                problems.append(error("LANE_OUT_OF_RANGE", what))
    return problems


def _mixtures(samples: Sequence[Wanted]) -> list[Problem]:
    problems = []
    kinds = {(bool(s.index), bool(s.index2)) for s in samples}
    if len(kinds) > 1:
        what = "some samples have two indexes and others fewer; write a sheet for each kind"
        problems.append(error("MIXED_INDEXES", what))
    without = [s for s in samples if not s.index]
    alone = len(samples) == 1 or (all(len(s.lanes) > 0 for s in samples) and _apart(without))
    if without and not alone:
        names = ", ".join(printable(s.sample_id, 40) for s in without[:5])
        what = f"samples without a barcode share a lane ({names}); announce their barcodes"
        problems.append(error("NO_INDEX", what))
    if len({bool(s.lanes) for s in samples}) > 1:
        names = ", ".join(printable(s.sample_id, 40) for s in samples if not s.lanes)
        problems.append(error("NO_LANE", f"some samples have lanes and these have none: {names[:200]}; map them, too"))
    return problems


def _apart(samples: Sequence[Wanted]) -> bool:
    lanes = [lane for sample in samples for lane in sample.lanes]
    return len(lanes) == len(set(lanes))


def _collisions(samples: Sequence[Wanted], mismatches: int) -> list[Problem]:
    indexed = [Indexed(s.sample_id, s.index, s.index2, s.lanes) for s in samples]
    found = check_indexes(indexed, mismatches)
    if not found.collisions:
        return []
    advice = "change one of them" if found.allowed < 0 else f"--mismatches {found.allowed} would tell all apart"
    problems = []
    for one in found.collisions[:_SHOWN]:
        where = "" if one.lane is None else f" in lane {one.lane}"
        far = f"{one.distance}" if one.distance2 is None else f"{one.distance} and {one.distance2}"
        what = f"{one.first} and {one.second}{where} differ in {far} bases of their indexes"
        problems.append(error("INDEX_COLLISION", f"{what}, too few for {mismatches} mismatches each; {advice}"))
    if len(found.collisions) > _SHOWN:
        more = len(found.collisions) - _SHOWN
        problems.append(error("INDEX_COLLISION", f"and {more} or more further pairs are as close"))
    return problems


def override_cycles(reads: Sequence[ReadSegment], index: int, index2: int) -> str:
    """Return the mask of a sample whose indexes have so many bases: `Y151;I8N2;I10;Y151`, in the order of the recipe.

    Cycles beyond the index are read from the adapter. Where BCL Convert turns the read, they come first: `N2I8`.
    """
    left = iter((index, index2))
    parts = []
    for read in reads:
        if not read.is_index:
            parts.append(f"Y{read.cycles}")
            continue
        bases = next(left, 0)
        used, rest = (f"I{bases}" if bases else "", f"N{read.cycles - bases}" if read.cycles > bases else "")
        parts.append(rest + used if read.reverse_complement else used + rest)
    return ";".join(parts)


def make_sheet(
    run_name: str,
    samples: Sequence[Wanted],
    reads: Sequence[ReadSegment],
    orientation: Orientation | None,
    mismatches: int,
) -> Sheet:
    """Return the sheet of samples that `check` found nothing wrong with.

    Args:
        run_name: For the header; signs that BCL Convert does not take become `-`.
        samples: In the order of the rows.
        reads: The recipe.
        orientation: Of the second index, when there is one.
        mismatches: To allow in each index.
    """
    masks = [override_cycles(reads, len(s.index), len(s.index2)) for s in samples]
    distinct = tuple(sorted(set(masks), key=lambda mask: (-masks.count(mask), mask)))
    columns = _columns(samples, several=len(distinct) > 1)
    settings = [("BarcodeMismatchesIndex1", mismatches), ("BarcodeMismatchesIndex2", mismatches)]
    kept = [pair for pair, there in zip(settings, (samples[0].index, samples[0].index2), strict=True) if there]
    lines = ["[Header]", "FileFormatVersion,2", f"RunName,{re.sub(r'[^A-Za-z0-9_-]+', '-', run_name)[:100]}"]
    index_reads = [read for read in reads if read.is_index]
    if len(index_reads) > 1 and index_reads[1].reverse_complement is not None:
        lines.append("IndexOrientation,Forward")
    lines += ["", "[Reads]", *_cycles(reads), "", "[BCLConvert_Settings]"]
    lines += [f"{name},{value}" for name, value in kept]
    lines += [f"OverrideCycles,{distinct[0]}"] if len(distinct) == 1 else []
    lines += ["", "[BCLConvert_Data]", ",".join(columns)]
    rows = 0
    for sample, mask in zip(samples, masks, strict=True):
        turned = reverse_complement(sample.index2) if orientation is Orientation.REVERSE_COMPLEMENT else sample.index2
        values = {"Sample_ID": sample.sample_id, "Index": sample.index, "Index2": turned, "OverrideCycles": mask}
        values["Sample_Project"] = sample.project or ""
        for lane in sample.lanes or (None,):
            lines.append(",".join(str(lane) if name == "Lane" else values[name] for name in columns))
            rows += 1
    return Sheet("\n".join(lines) + "\n", rows, distinct, orientation, _notes(samples, distinct))


def _columns(samples: Sequence[Wanted], *, several: bool) -> list[str]:
    there = {
        "Lane": any(s.lanes for s in samples),
        "Sample_ID": True,
        "Index": any(s.index for s in samples),
        "Index2": any(s.index2 for s in samples),
        "Sample_Project": _projects(samples),
        "OverrideCycles": several,
    }
    return [name for name, wanted in there.items() if wanted]


def _projects(samples: Sequence[Wanted]) -> bool:
    return all(s.project and SAMPLE_ID.match(s.project) for s in samples)


def _cycles(reads: Sequence[ReadSegment]) -> list[str]:
    counts = {True: 0, False: 0}
    lines = []
    for read in reads:
        counts[read.is_index] += 1
        lines.append(f"{'Index' if read.is_index else 'Read'}{counts[read.is_index]}Cycles,{read.cycles}")
    return lines


def _notes(samples: Sequence[Wanted], masks: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if len(masks) > 1:
        notes.append(
            "indexes have several lengths: OverrideCycles stands in each row, which BCL Convert 4.1 understands"
        )
    if any(s.project for s in samples) and not _projects(samples):
        notes.append("projects were left out: not every sample has one of letters, digits, - and _")
    return tuple(notes)

"""Which sample sheet of an Illumina folder counts: there may be several, copies, or one that names another."""

from __future__ import annotations

import re
from collections.abc import Sequence

from labrelay.model.instrument import ReadSegment, SheetSample, has_mates
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.listing import Entry
from labrelay.parsers.personal import is_personal
from labrelay.parsers.reading import Reading
from labrelay.parsers.samplesheet import SampleSheet, read_sample_sheet
from labrelay.parsers.sheet_match import sheets_differ
from labrelay.parsers.text import decode, error, lines, warning

_OTHER = re.compile(r"[^/]*sample_?sheet[^/]*\.csv(?:\.\w+)?\Z", re.IGNORECASE)
_NAMED = re.compile(r"[\w .()/\\:+-]{1,300}\.csv(?:\.\w+)?\Z", re.IGNORECASE)


def sheet_of(
    reading: Reading, made: Sequence[Entry], lanes: int | None, reads: Sequence[ReadSegment] = ()
) -> tuple[SampleSheet | None, str | None]:
    """Return the sheet that counts and its path; problems go to `reading`.

    The sheet that made the FASTQ files wins over the one in the run folder; a copy with the same rows is nothing to
    tell of, one with others is.

    Args:
        reading: The folder.
        made: Sheets beside the reports of the conversion whose FASTQ files are taken.
        lanes: Of the flow cell, when known.
        reads: The recipe, which indexes have to fit.
    """
    listing = reading.listing
    own = listing.find("SampleSheet.csv")
    copies = [e for e in listing.files if e is not own and _OTHER.match(e.path)]
    candidates = [*made, *([own] if own else copies)]
    if not own and len(copies) > 1 and not made:
        names = ", ".join(printable(copy.name, 60) for copy in copies[:4])
        what = f"there is no SampleSheet.csv and several others ({names}); the first is used, name the right one so"
        reading.problems.append(warning("SEVERAL_SHEETS", what))
    if not candidates:
        candidates = [e for e in listing.named("samplesheet.csv") if "basecalls" in e.folder.lower()][:1]
    if not candidates:
        text = "the folder has no SampleSheet.csv; samples are known by the names of FASTQ files alone"
        reading.problems.append(warning("NO_SAMPLE_SHEET", text))
        return None, None
    found = [pair for entry in candidates if (pair := _read(reading, entry, lanes)) is not None]
    if not found:
        return None, None
    sheet, used = found[0]
    reading.problems += [*sheet.problems, *fits_recipe(sheet, reads, used)]
    _compare(reading, found, [copy for copy in copies if own], lanes)
    return sheet, used


def _compare(
    reading: Reading, found: Sequence[tuple[SampleSheet, str]], copies: Sequence[Entry], lanes: int | None
) -> None:
    sheet, used = found[0]
    others = [*found[1:], *(pair for copy in copies if (pair := _read(reading, copy, lanes)) is not None)]
    for other, path in others:
        if path != used:
            reading.problems += sheets_differ(sheet.samples, other.samples, used, path)


def _read(reading: Reading, entry: Entry, lanes: int | None) -> tuple[SampleSheet, str] | None:
    data = reading.data(entry)
    if data is None:
        return None
    target = _redirect(data)
    if target is None:
        return read_sample_sheet(data, entry.path, lanes), entry.path
    name = re.split(r"[/\\]", target)[-1]
    # Only a file beside it: the folder that was copied has nothing of the disk that the path is about.
    there = reading.listing.find(f"{entry.folder}/{name}" if entry.folder else name)
    if there is None or there is entry:
        what = f"it only names another sheet, {printable(name, 80)}, which is not beside it; bring that one"
        empty = SampleSheet(version="1", problems=(error("MISSING_REFERENCE", what, entry.path),))
        return empty, entry.path
    reading.problems.append(
        warning("REDIRECTED_SHEET", f"it only names another sheet; {printable(name, 80)} is used", entry.path)
    )
    onward = reading.data(there)
    return (read_sample_sheet(onward, there.path, lanes), there.path) if onward is not None else None


def _redirect(data: bytes) -> str | None:
    """Return the name in a file that holds nothing but the name of another sheet."""
    if len(data) > 1_000:
        return None
    told = [line.strip().strip('",') for line in lines(decode(data, "").text) if line.strip(' ",')]
    return told[0] if len(told) == 1 and _NAMED.match(told[0]) and "," not in told[0] else None


def fits_recipe(sheet: SampleSheet, reads: Sequence[ReadSegment], path: str) -> list[Problem]:
    """Return warnings where the sheet's indexes and cycles do not fit the reads that the instrument made."""
    if not reads:
        return []
    index_reads = [read.cycles for read in reads if read.is_index]
    problems = [_too_long(sheet.samples, place, index_reads, path) for place in (0, 1)]
    zero = [name for name, cycles in sheet.reads.items() if cycles == 0]
    if zero and sheet.version == "2":
        what = f"{zero[0]} is 0, which BCL Convert refuses; leave the line out"
        problems.append(warning("ZERO_CYCLES", what, path))
    return [problem for problem in problems if problem is not None]


def asks_for_mates(sheet: SampleSheet | None, reads: Sequence[ReadSegment] = ()) -> bool:
    """Return whether R1 and R2 are to be made: by the sheet's mask, else the recipe, else the cycles of the sheet."""
    mask = sheet.settings.get("OverrideCycles") if sheet else None
    if mask:
        return sum("Y" in part.upper() for part in mask.split(";")) > 1
    cycles = [count for name, count in sheet.reads.items() if name.lower().startswith("read")] if sheet else []
    return has_mates(reads) if reads else sum(count > 0 for count in cycles) > 1


def _too_long(samples: Sequence[SheetSample], place: int, index_reads: Sequence[int], path: str) -> Problem | None:
    """Return a warning for the first sample whose index has more bases than the instrument read."""
    cycles = index_reads[place] if place < len(index_reads) else 0
    for sample in samples:
        parts = sample.barcode.split("+") if sample.barcode else []
        if place < len(parts) and len(parts[place]) > cycles:
            name = printable(sample.sample_id, 60)
            what = f"{name} has an index {place + 1}, and the run has no such read"
            if cycles:
                what = f"index {place + 1} of {name} has {len(parts[place])} bases, more than its {cycles} cycles"
            return warning("INDEX_LENGTH", f"{what}; is it the sheet of another run?", path, sample.line)
    return None


def sheet_fields(sheet: SampleSheet, path: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sheet's header and settings as text by name, and apart from them what tells of people and machines."""
    raw: dict[str, str] = {}
    personal: dict[str, str] = {}
    for name, text in list({**sheet.header, **sheet.settings}.items())[:50]:
        if text:
            shown = text[:500]
            (personal if is_personal(name, shown) else raw)[name] = shown
    return raw, {f"{path}: {name}": text for name, text in personal.items()}

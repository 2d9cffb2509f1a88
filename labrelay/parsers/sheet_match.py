"""Which sheet sample a file of reads belongs to, and what the sheet and the files do not share.

Converters name files by Sample_Name or Sample_ID, put them in folders of Sample_ID, and replace signs that they do
not like; the MiSeq Reporter turns `_` into `-`. A name that fits several samples fits none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from labrelay.model.files import FileRole
from labrelay.model.instrument import RunFile, SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.fastq_names import SEQUENCES
from labrelay.parsers.text import warning

_SIGNS = re.compile(r"[^A-Za-z0-9]+")
_SHOWN = 8


class SheetIndex:
    """Finds the sheet's Sample_ID for what a file is called."""

    def __init__(self, samples: Iterable[SheetSample]) -> None:
        self._ids: set[str] = set()
        self._names: dict[str, set[str]] = {}
        self._folded: dict[str, set[str]] = {}
        for sample in samples:
            self._ids.add(sample.sample_id)
            for name in {sample.sample_id, sample.name or sample.sample_id}:
                self._names.setdefault(name, set()).add(sample.sample_id)
                self._folded.setdefault(_fold(name), set()).add(sample.sample_id)

    def by_prefix(self, called: str) -> str | None:
        """Return the Sample_ID that stands at the beginning of a file's name before `_`, `-` or `.`, the longest."""
        for cut in reversed([match.start() for match in _SIGNS.finditer(called)]):
            fitting = self._names.get(called[:cut], set())
            if len(fitting) == 1:
                return next(iter(fitting))
        return None

    def sample_id(self, called: str, path: str) -> str | None:
        """Return the Sample_ID of the file at `path`, whose name says `called`, or None when it is not clear."""
        fitting = self._names.get(called) or self._folded.get(_fold(called), set())
        folder = path.split("/")[-2] if "/" in path else ""
        if folder in fitting:
            return folder
        if called in self._ids:
            return called
        return next(iter(fitting)) if len(fitting) == 1 else None


def _fold(name: str) -> str:
    return _SIGNS.sub("-", name).strip("-").lower()


def match_reads(
    files: Sequence[RunFile], samples: Sequence[SheetSample], sheet: str | None, *, prefixes: bool = False
) -> tuple[list[RunFile], list[Problem]]:
    """Return the files with the sheet's Sample_ID where one is clear, and what sheet and files do not share.

    A sample without reads is a state, not an error: its library may have failed.

    Args:
        files: All files of the run; only reads and index reads are matched.
        samples: The sheet's rows; without any nothing is matched and nothing reported.
        sheet: Its path, for messages.
        prefixes: Take a file for a sample when the file's name begins with the sample's (`SAMPLE_LIBRARY_FLOWCELL`),
            as providers name them.
    """
    if not samples:
        return list(files), []
    index = SheetIndex(samples)
    matched, strangers, with_reads = [], dict[str, str](), dict[str, set[int | None]]()
    for file in files:
        if file.role not in (*SEQUENCES, FileRole.INDEX_READS) or file.sample is None:
            matched.append(file)
            continue
        found = index.sample_id(file.sample, file.path)
        if found is None and prefixes:
            found = index.by_prefix(file.sample)
        if found is None:
            strangers.setdefault(file.sample, file.path)
        elif file.role in SEQUENCES:
            with_reads.setdefault(found, set()).add(file.lane)
        matched.append(file.model_copy(update={"sample": found or file.sample}))
    problems = [_stranger(sample, path) for sample, path in strangers.items()]
    return matched, [*problems, *_without(samples, with_reads, sheet)]


def _stranger(sample: str, path: str) -> Problem:
    text = f"the sheet has no sample {printable(sample, 80)}, so these reads are taken in as unassigned"
    return warning("READS_WITHOUT_SAMPLE", text, path)


def _without(
    samples: Sequence[SheetSample], with_reads: dict[str, set[int | None]], sheet: str | None
) -> list[Problem]:
    """Return a warning for each sample without any reads, and for each lane of a sample that has none."""
    problems = []
    told: set[tuple[str, int | None]] = set()
    for sample in samples:
        lanes = with_reads.get(sample.sample_id, set())
        name = printable(sample.sample_id, 80)
        key = (sample.sample_id, sample.lane if lanes else None)
        if key in told or (lanes and (sample.lane is None or None in lanes or sample.lane in lanes)):
            continue
        told.add(key)
        if lanes:
            text = f"sample {name} has reads of other lanes and none of lane {sample.lane}; are they still to come?"
            problems.append(warning("LANE_WITHOUT_READS", text, sheet, sample.line))
        else:
            problems.append(warning("SAMPLE_WITHOUT_READS", f"sample {name} has no file of reads", sheet, sample.line))
    return problems


def sheets_differ(
    used: Sequence[SheetSample], other: Sequence[SheetSample], used_path: str, path: str
) -> list[Problem]:
    """Return a warning when two sheets of one run name different samples; the one used made the FASTQ files."""
    ours, theirs = {s.sample_id for s in used}, {s.sample_id for s in other}
    if not theirs or ours == theirs:
        return []
    only = sorted(ours ^ theirs)
    names = ", ".join(printable(name, 40) for name in only[:_SHOWN]) + (" …" if len(only) > _SHOWN else "")
    text = f"it does not name the samples of {printable(used_path)}, which is used; they differ in {names}"
    return [warning("SHEETS_DIFFER", text, path)]

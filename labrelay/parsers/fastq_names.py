"""What the name of a file of reads says, and which files are mates.

Instruments, converters and archives each have their pattern. They are tried in order, and every pattern is matched
from the right, because a sample's name may itself hold `_S1_` or `_L001`. Two files are mates only when they lie in
one folder and their names differ in the read number alone, so no pair ever spans samples, lanes or projects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from labrelay.model.files import FileRole
from labrelay.model.instrument import RunFile
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.listing import Entry
from labrelay.parsers.text import error, warning

Kind = Literal["reads", "index_reads", "undetermined"]
ROLES: Mapping[Kind, FileRole] = {
    "reads": FileRole.READS,
    "index_reads": FileRole.INDEX_READS,
    "undetermined": FileRole.UNDETERMINED,
}
SEQUENCES = (FileRole.READS, FileRole.ALIGNMENT)
"""The roles of a sample's own reads: FASTQ, and BAM or CRAM whether aligned or not."""
NO_HEADER = "it has no bytes at all, not even a header"
_FASTQ = r"\.(?:fastq|fq)(?:\.gz)?"
_ANY = r"(?:\.(?:fastq|fq)(?:\.gz)?|\.bam|\.cram)"
_OTHER_READS = re.compile(r"\.(?:(?:fastq|fq)\.(?:bz2|ora|xz|zst|zip|lz4|lzma)|sra|fast5|pod5)\Z", re.IGNORECASE)
_FASTQ_FILE = re.compile(_FASTQ + r"\Z", re.IGNORECASE)
_READ_FILE = re.compile(_ANY + r"\Z", re.IGNORECASE)


class _Pattern(NamedTuple):
    name: str
    regex: re.Pattern[str]


def _pattern(name: str, text: str) -> _Pattern:
    return _Pattern(name, re.compile(text + r"\Z", re.IGNORECASE))


# bcl2fastq and BCL Convert; the lane is missing after --no-lane-splitting. Older: barcode in place of the number.
_STRONG = (
    _pattern("illumina", r"(?P<sample>.*)_S\d{1,6}(?:_L(?P<lane>\d{3}))?_(?P<kind>[RI])(?P<read>\d)_\d{3}" + _FASTQ),
    _pattern(
        "casava",
        r"(?P<sample>.+)_(?:[ACGTN]{4,24}(?:[-+][ACGTN]{4,24})?|NoIndex)_L(?P<lane>\d{3})_(?P<kind>[RI])(?P<read>\d)_\d{3}"
        + _FASTQ,
    ),
    _pattern("accession", r"(?P<sample>[SED]RR\d{5,12})(?:_(?P<read>[12]))?" + _FASTQ),
    _pattern("provider", r"(?P<sample>.+)_L(?P<lane>\d{1,3})_R?(?P<read>[12])" + _FASTQ),
    _pattern("plain", r"(?P<sample>.+)[._](?P<kind>[RI])(?P<read>[123])(?:_\d{3})?" + _FASTQ),
    _pattern("pacbio", r"(?P<sample>m\d{5}[eU]?_\d{6}_\d{6}(?:_s\d)?(?:\.[A-Za-z0-9_-]+)*)" + _ANY),
    # MinKNOW numbers its files `_0`, `_1`, `_2`: these are parts, never mates. Without barcodes the flow cell is told.
    _pattern(
        "nanopore", r"(?P<sample>[A-Z]{3}\d{3,6})_(?:pass|fail|skip)_+[0-9a-f]{8}(?:_[0-9a-f]{8})?(?:_\d+)?" + _ANY
    ),
    _pattern(
        "nanopore",
        r"[A-Z]{3}\d{3,6}_(?:pass|fail|skip)_(?P<sample>barcode\d{2,3}|unclassified|mixed)(?:_[0-9a-f]+)*" + _ANY,
    ),
    _pattern(
        "nanopore",
        r"[A-Z]{3}\d{3,6}_(?:pass|fail|skip)_(?P<sample>[A-Za-z0-9][^/]*?)_[0-9a-f]{8}(?:_[0-9a-f]{8})?_\d+" + _ANY,
    ),
    _pattern("nanopore", r"(?P<sample>fastq_runid_[0-9a-f]{8,64})(?:_\d+){1,3}" + _ANY),
)
# These mean mates only when both are there: `patient_2.fastq.gz` alone is a sample called `patient_2`.
_WEAK = (
    _pattern("numbered", r"(?P<sample>.+)[._](?P<read>[12])" + _FASTQ),
    _pattern("inner", r"(?P<sample>.+)[._]R(?P<read>[12])[._][A-Za-z0-9._-]{1,60}" + _FASTQ),
)
_SINGLE = _pattern("single", r"(?P<sample>.+?)" + _ANY)


class ReadName(NamedTuple):
    """What a file name says.

    Attributes:
        sample: None for undetermined reads and when the name has an empty sample part.
        lane: From 1; None when the name has none.
        read: The number behind R or the underscore; None for a single file and for index reads.
        kind: Reads, index reads, or undetermined.
        pattern: Which pattern it was.
        mates: Equal for files that are mates: folder and name with the read number left out.
    """

    sample: str | None
    lane: int | None
    read: int | None
    kind: Kind
    pattern: str
    mates: str


class ReadPair(NamedTuple):
    """R1 and R2 of one sample, lane and chunk."""

    first: RunFile
    second: RunFile


class Pairing(NamedTuple):
    """Every file of reads, once: in a pair, alone, or left over with the problem that says why.

    Attributes:
        pairs: R1 with R2, in order of their paths.
        singles: Reads that have no mate by design, or R1 without R2.
        left_over: Index reads, undetermined reads, lone R2 and what cannot be paired.
        problems: About the files of `left_over`.
    """

    pairs: tuple[ReadPair, ...]
    singles: tuple[RunFile, ...]
    left_over: tuple[RunFile, ...]
    problems: tuple[Problem, ...]


def is_read_file(name: str) -> bool:
    """Tell whether the name is that of a FASTQ, BAM or CRAM file."""
    return bool(_READ_FILE.search(name))


def is_fastq(name: str) -> bool:
    """Tell whether the name is that of a FASTQ file, compressed or not."""
    return bool(_FASTQ_FILE.search(name))


def is_other_reads(name: str) -> bool:
    """Tell whether the name is that of reads in a form that is not taken (bzip2, ORA, SRA, POD5 …)."""
    return bool(_OTHER_READS.search(name))


def other_reads(path: str) -> Problem:
    """Return the error for reads in such a form: leaving them out in silence would lose them."""
    return error(
        "UNSUPPORTED_READS", "reads in this form are not taken; convert them to FASTQ (gzip), BAM or CRAM", path
    )


def name_reads(paths: Sequence[str]) -> dict[str, ReadName]:
    """Return what each name says, by path; a path that is no file of reads is left out.

    All paths are given together, because `_1` and `_2` can be judged only with the names beside them.
    """
    weak = [{path: found for path in paths if (found := _match(pattern, path))} for pattern in _WEAK]
    reads: dict[str, set[int | None]] = {}
    for found in (name for names in weak for name in names.values()):
        reads.setdefault(found.mates, set()).add(found.read)
    named = {}
    for path in paths:
        strong = (_match(pattern, path) for pattern in _STRONG)
        paired = (names[path] for names in weak if path in names and reads[names[path].mates] == {1, 2})
        name = next((found for found in (*strong, *paired, _match(_SINGLE, path)) if found is not None), None)
        if name is not None:
            named[path] = name
    return named


def _match(pattern: _Pattern, path: str) -> ReadName | None:
    folder, _, base = path.rpartition("/")
    match = pattern.regex.match(base)
    if match is None:
        return None
    groups = match.groupdict()
    sample: str | None = groups["sample"] or None
    index = (groups.get("kind") or "").upper() == "I"
    kind: Kind = "index_reads" if index else "reads"
    if sample is not None and _of_no_sample(sample, pattern.name):
        sample, kind = None, "undetermined"
    mates, read = path, None
    if groups.get("read"):
        start, end = match.span("read")
        mates = f"{folder}/{base[:start]}\0{base[end:]}"
        read = None if index else int(groups["read"])
    lane = int(groups["lane"]) if groups.get("lane") else None
    return ReadName(sample, lane, read, kind, pattern.name, mates)


def _of_no_sample(sample: str, pattern: str) -> bool:
    words = ("undetermined", "unclassified", "mixed") if pattern == "nanopore" else ("undetermined", "unclassified")
    return pattern != "single" and sample.lower() in words


def run_file(entry: Entry, name: ReadName) -> RunFile:
    """Return the file of reads as its name describes it."""
    role = ROLES[name.kind]
    if role is FileRole.READS and not is_fastq(entry.name):
        role = FileRole.ALIGNMENT
    return RunFile(path=entry.path, size=entry.size, role=role, sample=name.sample, lane=name.lane, read=name.read)


def pair_reads(files: Iterable[RunFile]) -> Pairing:
    """Sort the files of reads of a run into pairs, singles and what is left over.

    Args:
        files: Files of a run, in any roles; those that are no reads are passed over.
    """
    reads = [file for file in files if file.role in SEQUENCES or file.role in ROLES.values()]
    names = name_reads([file.path for file in reads])
    groups: dict[str, list[RunFile]] = {}
    left_over = []
    for file in sorted(reads, key=lambda f: f.path):
        if file.role in SEQUENCES:
            name = names.get(file.path)
            groups.setdefault(name.mates if name else file.path, []).append(file)
        else:
            left_over.append(file)
    pairs, singles, problems = [], [], []
    for group in groups.values():
        pair, single, problem = _settle(group)
        pairs += pair
        singles += single
        if problem is not None:
            problems.append(problem)
            left_over += group
    return Pairing(tuple(pairs), tuple(singles), tuple(left_over), tuple(problems))


def _settle(group: list[RunFile]) -> tuple[list[ReadPair], list[RunFile], Problem | None]:
    numbers = [file.read for file in group]
    if numbers == [1, 2]:
        return [ReadPair(group[0], group[1])], [], None
    if numbers in ([None], [1]):
        return [], group, None
    if numbers == [2]:
        text = "it is a second read (R2) without its first (R1); bring the R1 or take this file away"
        return [], [], error("LONE_R2", text, group[0].path)
    text = f"reads {', '.join('?' if n is None else f'R{n}' for n in numbers)} stand together and it is not known which"
    return [], [], error("AMBIGUOUS_MATES", f"{text} two are mates; leave R1 and R2 only", group[0].path)


def name_problems(files: Sequence[RunFile]) -> list[Problem]:
    """Return a warning for each file of reads that is empty or whose name has an empty sample part."""
    problems = []
    for file in files:
        if file.role in (*SEQUENCES, FileRole.INDEX_READS) and file.sample is None:
            text = "the name has no sample part, so these reads belong to no sample; assign them by hand"
            problems.append(warning("EMPTY_SAMPLE_NAME", text, file.path))
        if file.role in (FileRole.ALIGNMENT, *ROLES.values()) and file.size == 0:
            # An empty FASTQ is no reads, which is a state; an empty BAM has lost its header.
            said = error if file.role is FileRole.ALIGNMENT else warning
            problems.append(said("ZERO_BYTE_FILE", NO_HEADER, file.path))
    return problems


def lone_mates(files: Iterable[RunFile], *, by_recipe: bool = False) -> list[Problem]:
    """Return a warning for each file that is called like one mate and whose other mate is not there.

    `X_1` is warned of always; an `X_R1` only beside pairs or in a run of two reads, since one may be of single reads by
    design. (A lone `X_R2` is an error of `pair_reads`.)

    Args:
        files: Of the run.
        by_recipe: The recipe or the sample sheet asks for two reads.
    """
    pairing = pair_reads(files)
    problems = []
    if by_recipe and not pairing.pairs and (alone := [file for file in pairing.singles if file.read == 1]):
        few = "its R2 is missing" if len(alone) == 1 else f"none of {counted(len(alone), 'R1 file')} has its R2"
        text = f"the run has two reads and {few}; taken in as single reads: is a file to come?"
        return [warning("MATE_MISSING", text, alone[0].path)]
    for file in pairing.singles:
        read = file.read if pairing.pairs else None
        if file.read is None:
            read = next((n.read for pattern in _WEAK if (n := _match(pattern, file.path))), None)
        if read in (1, 2):
            text = f"it looks like R{read} and its R{3 - read} is missing; taken in as single reads: is a file to come?"
            problems.append(warning("MATE_MISSING", text, file.path))
    return problems

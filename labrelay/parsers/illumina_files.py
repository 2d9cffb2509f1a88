"""Which file of an Illumina folder is what: reads, sheet, metadata, conversion report, or raw base calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from labrelay.model.files import FileRole
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.checksums import is_checksum_list
from labrelay.parsers.fastq_names import is_fastq, is_other_reads, other_reads
from labrelay.parsers.listing import Entry
from labrelay.parsers.text import error, warning

_RAW = re.compile(
    r".*\.(?:bcl|bcl\.gz|bcl\.bgzf|bci|cbcl|filter|locs|clocs|cif|control|pos\.txt|stats|bcl\.bgzf\.bci)\Z", re.I
)
_SHEET = re.compile(r"(?:.*/)?sample_?sheet[^/]*\.csv(?:\.\d+)?\Z", re.IGNORECASE)
_REPORT = re.compile(
    r"(?:.*/)?(?:(?:Reports|Stats|Demultiplexing)/.*"
    r"|Logs/FastqComplete\.txt|(?:DemultiplexingStats|ConversionStats|DemultiplexSummary\w*)\.(?:xml|txt)"
    r"|GenerateFASTQRunStatistics\.xml|CompletedJobInfo\.xml|AdapterTrimming\.txt)\Z",
    re.IGNORECASE,
)
_METADATA = re.compile(
    r"(?:[^/]+\.(?:xml|txt|cfg|json|tsv|csv)|InterOp/.*\.bin|Analysis/\d+/(?:[^/]+\.(?:txt|tsv|json)"
    r"|Data/Secondary_Analysis_Complete\.txt))\Z",
    re.IGNORECASE,
)
# Several conversions of one run may lie in one folder; the later in this list is the more deliberate one.
_ROOTS = (
    re.compile(r"(Data/Intensities/BaseCalls)/", re.IGNORECASE),
    re.compile(r"(Alignment_\d+/[^/]+)/", re.IGNORECASE),
    re.compile(r"(Analysis/\d+)/", re.IGNORECASE),
)
_NUMBER = re.compile(r"\d+")


def role_of(path: str) -> FileRole | None:
    """Return the role of a file that is no FASTQ, or None for one that is not stored."""
    if _RAW.match(path):
        return None
    if is_checksum_list(path.rpartition("/")[2]):
        return FileRole.CHECKSUMS
    if _SHEET.match(path):
        return FileRole.SAMPLE_SHEET
    if _REPORT.match(path):
        return FileRole.CONVERSION_REPORT
    return FileRole.RUN_METADATA if _METADATA.match(path) else None


def left_behind(files: Iterable[Entry]) -> list[Problem]:
    """Return one warning for the raw base calls and one for each top folder with other files that are not stored.

    Reads in a form that is not taken are an error each.

    Args:
        files: Those that are neither reads nor have a role.
    """
    raw, others = 0, dict[str, list[str]]()
    problems = []
    for entry in files:
        if _RAW.match(entry.path):
            raw += 1
        elif is_other_reads(entry.name):
            problems.append(other_reads(entry.path))
        else:
            top = entry.path.partition("/")[0] if "/" in entry.path else ""
            others.setdefault(top, []).append(entry.path)
    if raw:
        text = f"{counted(raw, 'file')} of raw base calls not stored; keep the folder to convert again"
        problems.append(warning("RAW_BASECALLS_LEFT", text, "Data"))
    for top, paths in sorted(others.items()):
        first = ", ".join(printable(path, 80) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
        what = f"{counted(len(paths), 'file')} of no known role not stored: {first}"
        problems.append(warning("FILES_LEFT_OVER", what, top or None))
    return problems


def conversion_root(path: str) -> str:
    """Return the folder of the conversion that wrote this FASTQ file; empty when it belongs to the run itself."""
    for pattern in _ROOTS:
        match = pattern.match(path)
        if match:
            return match[1]
    return path.partition("/")[0] if "/" in path else ""


def one_conversion(files: Sequence[Entry]) -> tuple[list[Entry], list[Problem]]:
    """Return the FASTQ files of one conversion when several made the same files, so that no read counts twice.

    The instrument's latest analysis wins over earlier ones, and these over the MiSeq Reporter's folder. Between folders
    that people named, nobody can know: that is an error. Conversions that share no sample's file are parts of one
    whole, and all are taken; undetermined reads do not count, since each part has its own.
    """
    roots: dict[str, list[Entry]] = {}
    for entry in files:
        if is_fastq(entry.name):
            roots.setdefault(conversion_root(entry.path), []).append(entry)
    chosen: list[Entry] = []
    taken: dict[str, str] = {}
    problems = []
    for root in sorted(roots, key=_preference, reverse=True):
        names = {entry.name for entry in roots[root] if not entry.name.lower().startswith("undetermined_")}
        clash = next((taken[name] for name in sorted(names) if name in taken), None)
        if clash is None:
            chosen += roots[root]
            taken.update(dict.fromkeys(names, root))
            continue
        same = counted(len(roots[root]), "FASTQ file here has its name", "FASTQ files here have their names")
        text = f"{same} from {clash or 'the run folder'} too"
        if _preference(clash)[0] < 0:
            problems.append(error("SEVERAL_CONVERSIONS", f"{text}; leave only one of the two", root or None))
        else:
            problems.append(warning("SEVERAL_CONVERSIONS", f"{text}, a later conversion; they are not taken", root))
    return sorted(chosen), problems


def _preference(root: str) -> tuple[int, list[int], str]:
    rank = next((place for place, pattern in enumerate(_ROOTS) if pattern.match(root + "/")), -1)
    return rank, [int(number) for number in _NUMBER.findall(root)], root

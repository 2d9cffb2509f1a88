"""When is an Illumina run finished? Three facts, each with the file that says so, and what contradicts them.

Base calling ends, then the copy to the network ends, then (on the instrument or elsewhere) conversion to FASTQ ends.
Each generation of instruments marks these otherwise; a marker that is not there says nothing, and is never taken as
a yes. Small NovaSeq runs were cleaned away too early by tools that knew only the first of the three.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element

from labrelay.model.instrument import Completion, Fact, Known
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.illumina_models import WRITES_COPY_COMPLETE
from labrelay.parsers.illumina_onboard import newest_analysis, still_to_come, unfinished
from labrelay.parsers.illumina_parameters import RunParameters
from labrelay.parsers.listing import Listing, read_small
from labrelay.parsers.text import to_float, to_int, warning
from labrelay.parsers.xml import find_text, parse_xml

ACQUIRED = (
    "RTAComplete.txt",
    "RTAComplete.xml",
    "SequenceComplete.txt",
    "SequencingComplete.txt",
    "RTAExited.txt",
    "Basecalling_Netcopy_complete.txt",
)
COPIED = ("CopyComplete.txt", "Basecalling_Netcopy_complete.txt")
STATUS = "RunCompletionStatus.xml"
_CONVERTED = (
    re.compile(r"(?:.*/)?Logs/FastqComplete\.txt\Z", re.IGNORECASE),
    re.compile(r"Analysis/\d+/Data/Secondary_Analysis_Complete\.txt\Z", re.IGNORECASE),
    re.compile(r"(?:.*/)?Reports/Demultiplex_Stats\.csv\Z", re.IGNORECASE),
    re.compile(r"(?:.*/)?Stats/Stats\.json\Z", re.IGNORECASE),
    re.compile(r"(?:Alignment_\d+/[^/]+/|Data/Intensities/BaseCalls/Alignment\d*/)?CompletedJobInfo\.xml\Z", re.I),
    re.compile(r"(?:.*/)?GenerateFASTQRunStatistics\.xml\Z", re.IGNORECASE),
    re.compile(r"(?:.*/)?DemultiplexingStats\.xml\Z", re.IGNORECASE),
)
_ENDS = (
    "fastqcomplete.txt", "secondary_analysis_complete.txt", "demultiplex_stats.csv", "stats.json",
    "completedjobinfo.xml", "generatefastqrunstatistics.xml", "demultiplexingstats.xml",
)  # fmt: skip
_PARTIAL = re.compile(r"(?:Basecalling_Netcopy_complete_Read|RTARead|ImageAnalysis_Netcopy_complete_Read)\w*\.txt\Z")
_FIGURES = (
    ("ClusterDensity", "cluster_density", "thousands per square millimetre"),
    ("ClustersPassingFilter", "clusters_pf_percent", "percent"),
    ("EstimatedYield", "estimated_yield", "Gbp"),
)
_CYCLES = ("Read1Cycles", "Index1ReadCycles", "Index2ReadCycles", "Read2Cycles")


def completion_of(
    listing: Listing, model: str | None, parameters: RunParameters, fastq_count: int
) -> tuple[Completion, list[QCMetric], list[Problem]]:
    """Return the three facts, the figures that stand beside them, and what is missing or contradicts.

    Args:
        listing: The run folder.
        model: The instrument's, which says whether a missing CopyComplete.txt means something.
        parameters: RunParameters.xml, which has planned and completed cycles on some instruments.
        fastq_count: FASTQ files in the folder.
    """
    problems: list[Problem] = []
    status, told = _status(listing, problems)
    acquired = _acquired(listing, parameters, status, problems)
    copied = _copied(listing, model, acquired, problems)
    converted = _converted(listing, fastq_count, problems)
    return Completion(acquired=acquired, copied=copied, converted=converted), told, problems


def _marker(listing: Listing, names: Iterable[str]) -> Fact | None:
    entry = next((entry for name in names if (entry := listing.find(name))), None)
    return Fact(value=Known.YES, evidence=entry.path) if entry else None


def _acquired(listing: Listing, parameters: RunParameters, status: Fact | None, problems: list[Problem]) -> Fact:
    marker = _marker(listing, ACQUIRED)
    if status is not None and status.value is Known.NO:
        if marker is not None:
            text = f"{marker.evidence} says that the run is complete, and this file says that it did not end as planned"
            problems.append(warning("MARKER_CONTRADICTS", text, status.evidence))
        return status
    if parameters.completed is not None and parameters.completed < (parameters.planned or 0):
        text = f"{parameters.completed} of {parameters.planned} planned cycles were run"
        problems.append(warning("INCOMPLETE_CYCLES", text, "RunParameters.xml"))
        return Fact(value=Known.NO, evidence="RunParameters.xml")
    known = status or marker
    if known is not None:
        return known
    if listing.find("RunInfo.xml"):
        text = "no marker says that the instrument has finished (RTAComplete.txt or its like); is the run still going?"
        problems.append(warning("MARKER_MISSING", text))
    partial = next((e.path for e in listing.files if "/" not in e.path and _PARTIAL.match(e.path)), None)
    return Fact(value=Known.NO, evidence=partial) if partial else Fact()


def _status(listing: Listing, problems: list[Problem]) -> tuple[Fact | None, list[QCMetric]]:
    """Return what RunCompletionStatus.xml says: YES only for a run that ended as planned with all its cycles."""
    entry = listing.find(STATUS)
    if entry is None:
        return None, []
    data = read_small(listing.root, entry.path)
    if isinstance(data, Problem):
        problems.append(data)
        return None, []
    root, found = parse_xml(data, entry.path)
    problems.extend(found)
    if root is None:
        return None, []
    metrics = _figures(root, entry.path)
    word = find_text(root, "CompletionStatus", "RunStatus") or ""
    planned = [to_int(find_text(root, f"Planned{name}")) for name in _CYCLES]
    completed = [to_int(find_text(root, f"Completed{name}")) for name in _CYCLES]
    short = any(p is not None and c is not None and c < p for p, c in zip(planned, completed, strict=True))
    if short:
        problems.append(warning("INCOMPLETE_CYCLES", "fewer cycles were run than were planned", entry.path))
    if word.lower() in ("completedasplanned", "runcompleted", "completed") and not short:
        return Fact(value=Known.YES, evidence=entry.path), metrics
    reason = find_text(root, "ErrorDescription", "Message") or "None"
    why = "" if reason == "None" else f" ({printable(reason, 120)})"
    text = f"the instrument says that the run ended with status {printable(word, 60) or '(none)'}{why}"
    problems.append(warning("NOT_AS_PLANNED", f"{text}; decide whether its data may be used", entry.path))
    return Fact(value=Known.NO, evidence=entry.path), metrics


def _figures(root: Element, path: str) -> list[QCMetric]:
    """Return what a NextSeq 500 writes beside its status: density, clusters that passed, and estimated yield."""
    metrics = []
    for tag, name, unit in _FIGURES:
        value = to_float(find_text(root, tag))
        if value is not None:
            metrics.append(QCMetric(name=name, value=value, unit=unit, source=path))
    return metrics


def _copied(listing: Listing, model: str | None, acquired: Fact, problems: list[Problem]) -> Fact:
    marker = _marker(listing, COPIED)
    if marker is None:
        if listing.find("RunInfo.xml") and (model or "").startswith(WRITES_COPY_COMPLETE):
            text = f"a {model} writes CopyComplete.txt when all files have arrived, and it is not there; wait for it"
            problems.append(warning("MARKER_MISSING", text))
        return Fact()
    if acquired.value is Known.UNKNOWN:
        text = "it says that all was copied, and no marker says that base calling has ended"
        problems.append(warning("MARKER_CONTRADICTS", text, marker.evidence))
    newest = newest_analysis(listing)
    late = still_to_come(listing, newest, model) if newest and not unfinished(listing, newest) else []
    problems += late
    return Fact(value=Known.NO, evidence=late[0].path) if late else marker


def _converted(listing: Listing, fastq_count: int, problems: list[Problem]) -> Fact:
    # By their names first: a run has a hundred thousand files that are none of these.
    paths = [entry.path for entry in listing.named(*_ENDS)]
    newest = newest_analysis(listing)
    if newest is not None and (waiting := unfinished(listing, newest)):
        problems += waiting
        return Fact(value=Known.NO, evidence=newest)
    for pattern in _CONVERTED:
        evidence = next((path for path in paths if pattern.match(path)), None)
        if evidence is not None:
            return Fact(value=Known.YES, evidence=evidence)
    return Fact() if fastq_count else Fact(value=Known.NO)

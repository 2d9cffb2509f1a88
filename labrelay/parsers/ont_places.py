"""Where the files of a Nanopore folder lie: whose run, which kind, passed or failed, which barcode.

MinKNOW writes `EXPERIMENT/SAMPLE/DATE_TIME_DEVICE_FLOWCELL_ID/fastq_pass/barcode01/…`; any upper part may be missing,
and pooled output has several flow cells in one folder. So a run is where its data folders or control files lie.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labrelay.parsers.fastq_names import name_reads
from labrelay.parsers.listing import Entry

_DATA = re.compile(r"(?P<kind>fast5|fastq|pod5|bam)(?:_(?P<verdict>\w+))?\Z", re.IGNORECASE)
_CONTROL = re.compile(
    r"(?P<what>final_summary|sequencing_summary|sample_sheet|report|throughput|pore_activity|pore_scan_data"
    r"|barcode_alignment|duty_time|drift_correction|mux_scan_data|output_hash|temperature_adc_data|adaptive_sampling)"
    r"(?:_\w[\w.-]*)?\.(?:txt|csv|tsv|json|html|md|pdf)(?:\.gz)?\Z",
    re.IGNORECASE,
)
# FAX12345 of MinION, PAM83464 of PromethION, AOZ898 of a Flongle.
_FLOW_CELL = re.compile(r"(?:\A|_)(?P<id>[A-Z]{3}\d{3,6})(?=[_.])")
# A part of a run without barcodes, as MinKNOW and Guppy name them.
_PART = re.compile(r"(?:[A-Z]{3}\d{3,6}_(?:pass|fail|skip)_+[0-9a-f]{8}[_.]|fastq_runid_[0-9a-f]{8,})")
RUN_FOLDER = re.compile(
    r"(?P<date>\d{8}_\d{4})_(?P<position>[^_/]+)_(?P<flow_cell>[A-Za-z0-9-]+)_(?P<run8>[0-9a-f]{8})\Z"
)
_ENDINGS = {
    "fastq": (".fastq", ".fq", ".fastq.gz", ".fq.gz"),
    "bam": (".bam",),
    "fast5": (".fast5",),
    "pod5": (".pod5",),
}


@dataclass(frozen=True)
class Place:
    """Where a file lies.

    Attributes:
        entry: The file.
        root: The run's folder below the listing's root; None for a file outside of any run.
        kind: `fastq`, `bam`, `fast5`, `pod5`; of a control file what it is, such as `final_summary`; else None.
        verdict: `pass`, `fail` or `skip`; None when the folder's name does not say.
        label: The barcode's folder, or `unclassified` or `mixed`.
        flow_cell: As the file's name has it.
    """

    entry: Entry
    root: str | None
    kind: str | None = None
    verdict: str | None = None
    label: str | None = None
    flow_cell: str | None = None


@dataclass
class Group:
    """The files of one run: a flow cell, from start to stop."""

    root: str
    flow_cell: str | None
    controls: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
    data: list[Place] = field(default_factory=list)


def place_of(entry: Entry) -> Place:
    """Return where a file lies, by its path alone."""
    name = entry.name
    flow_cell = _FLOW_CELL.search(name)
    told = flow_cell["id"] if flow_cell else None
    control = _CONTROL.match(name)
    if control is not None:
        folder = entry.folder
        if folder.rpartition("/")[2].lower() == "other_reports":
            folder = folder.rpartition("/")[0]
        return Place(entry, folder, control["what"].lower(), flow_cell=told)
    parts = entry.path.split("/")
    found = [(i, told_by) for i, part in enumerate(parts[:-1]) if (told_by := _DATA.match(part))]
    # `fastq_pass` says more than a folder that somebody called `bam`.
    where, match = next((pair for pair in found if pair[1]["verdict"]), found[-1] if found else (0, None))
    lowered = name.lower()
    kind = next((kind for kind, endings in _ENDINGS.items() if lowered.endswith(endings)), None)
    if match is None:
        # pod5 and fast5 tell by themselves what they are; a FASTQ file outside of such folders may be anything.
        signal = kind if kind in ("pod5", "fast5") else None
        return Place(entry, entry.folder if signal else None, signal, flow_cell=told)
    verdict = (match["verdict"] or "").lower() or None
    label = parts[where + 1] if where + 2 < len(parts) else None
    if label is None and kind in ("fastq", "bam"):
        label = _label_in_name(name)
    return Place(entry, "/".join(parts[:where]), kind, verdict, label, told)


def _label_in_name(name: str) -> str | None:
    """Return the barcode, or what a person called the file, where no folder tells it; None for parts of a whole run."""
    if _PART.match(name):
        return None
    told = next(iter(name_reads([name]).values()), None)
    if told is None:
        return None
    return "unclassified" if told.kind == "undetermined" else told.sample


def groups_of(places: Iterable[Place]) -> tuple[list[Group], list[Place]]:
    """Return the runs in order of their folders, and the files that belong to none.

    A folder with the final summaries of several flow cells holds several runs (pooled output); the file names then say
    which is whose.
    """
    by_root: dict[str, list[Place]] = defaultdict(list)
    others = []
    for place in places:
        if place.root is None or place.kind is None:
            others.append(place)
        else:
            by_root[place.root].append(place)
    groups = []
    for root in sorted(by_root):
        found, lost = _groups_in(root, by_root[root])
        groups += found
        others += lost
    return groups, others


def _groups_in(root: str, places: list[Place]) -> tuple[list[Group], list[Place]]:
    pooled = {p.flow_cell for p in places if p.kind == "final_summary" and p.flow_cell}
    if len(pooled) < 2:
        named = pooled or {place.flow_cell for place in places} - {None}
        group = Group(root, next(iter(named)) if len(named) == 1 else None)
        for place in places:
            _put(group, place)
        return [group], []
    groups: Mapping[str | None, Group] = {each: Group(root, each) for each in sorted(pooled, key=str)}
    lost = []
    for place in places:
        if place.flow_cell in groups:
            _put(groups[place.flow_cell], place)
        else:
            lost.append(place)
    return [groups[each] for each in sorted(groups, key=str)], lost


def _put(group: Group, place: Place) -> None:
    if place.kind in _ENDINGS:
        group.data.append(place)
    else:
        group.controls[place.kind or ""].append(place)

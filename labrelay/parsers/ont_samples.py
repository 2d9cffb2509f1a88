"""Which file of a Nanopore run is what, and whose: roles, labels, and what is odd about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from labrelay.model.files import FileRole
from labrelay.model.instrument import Known, RunFile, SheetSample, Unit
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.model.words import counted
from labrelay.parsers.fastq_names import SEQUENCES
from labrelay.parsers.ont_places import Place
from labrelay.parsers.ont_run import NO_SAMPLE, Run, labels_of
from labrelay.parsers.text import error, warning


def files_of(run: Run, several: bool) -> Iterator[RunFile]:
    """Give the files of a run with their roles.

    FASTQ wins where the same reads are there as BAM too: two forms in one dataset would count every read twice.

    Args:
        run: The run.
        several: The folder holds runs of several samples, so that `barcode01` alone is not a sample.
    """
    reads = "fastq" if any(p.kind == "fastq" and p.verdict in ("pass", None) for p in run.group.data) else "bam"
    labels: dict[str | None, str] = {}  # by folder: there are many files in each
    for place in run.group.data:
        role, sample = _role(place, reads), None
        if role in SEQUENCES:
            if place.label not in labels:
                labels[place.label] = label_of(run, place.label, several)
            sample = labels[place.label]
        yield RunFile(path=place.entry.path, size=place.entry.size, role=role, sample=sample)
    for what, places in run.group.controls.items():
        role = FileRole.SAMPLE_SHEET if what == "sample_sheet" else FileRole.RUN_METADATA
        for place in places:
            yield RunFile(path=place.entry.path, size=place.entry.size, role=role)


def _role(place: Place, reads: str) -> FileRole:
    if place.kind in ("pod5", "fast5"):
        return FileRole.SIGNAL
    if place.kind != reads or place.verdict not in ("pass", None):
        return FileRole.OTHER
    if place.label and place.label.lower() in NO_SAMPLE:
        return FileRole.UNDETERMINED
    return FileRole.READS if place.kind == "fastq" else FileRole.ALIGNMENT


def label_of(run: Run, folder: str | None, several: bool) -> str:
    """Return the sample of a barcode's folder: its alias, else the barcode; without barcodes the sample loaded.

    Args:
        run: The run.
        folder: The folder below `fastq_pass`, or None.
        several: As for `files_of`.
    """
    whole = run.sample or run.flow_cell or run.name
    if folder is None:
        return whole
    row = run.row_of(folder)
    if row is not None and row.alias:
        return row.alias
    return f"{whole}_{folder}" if several and folder.lower().startswith("barcode") else folder


def samples_of(run: Run, several: bool) -> Iterator[SheetSample]:
    """Give the samples of a run: the sheet's barcodes, those that only folders tell of, or the sample loaded."""
    told = set()
    for row in run.own_rows:
        if row.barcode is not None and row.barcode not in told:
            told.add(row.barcode)
            label = label_of(run, row.barcode, several)
            yield SheetSample(sample_id=label, project=run.experiment, barcode=row.barcode, line=row.line)
    labels = labels_of(run)
    for label in labels:
        known = run.row_of(label)
        if known is None or known.barcode is None:
            barcode = label if label.lower().startswith("barcode") else None
            yield SheetSample(sample_id=label_of(run, label, several), project=run.experiment, barcode=barcode)
    if run.sample and not labels and not told:
        yield SheetSample(sample_id=run.sample, project=run.experiment)


def no_reads(
    samples: Sequence[SheetSample], files: Iterable[RunFile], units: Sequence[Unit], known: Iterable[QCMetric]
) -> Iterator[QCMetric]:
    """Give a count of 0 for each sample of the sheet without reads, once all files have come: a state, not a gap.

    Args:
        samples, files, units: Of the run.
        known: What is counted already, and is not said again.
    """
    counted_already = {metric.scope for metric in known if metric.name == "reads"}
    if not all(unit.completion.copied.value is Known.YES for unit in units):
        return
    have = {file.sample for file in files if file.role in SEQUENCES}
    for label in dict.fromkeys(sample.sample_id for sample in samples):
        if label not in have and label not in counted_already:
            yield QCMetric(name="reads", value=0, unit="count", scope=label)


def odd_files(files: Iterable[RunFile], runs: Sequence[Run]) -> Iterator[Problem]:
    """Tell of files of reads without a byte, an error where no file of a sample has any, and of reads in two forms.

    A BAM without a byte is an error of all platforms, and is told for them by the registry.
    """
    files = list(files)
    passed = [file for file in files if file.role in SEQUENCES]
    empty: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.size == 0 and file.role in (FileRole.READS, FileRole.UNDETERMINED, FileRole.SIGNAL):
            folder = file.path.rpartition("/")[0]
            empty[folder].append(file.path)
    if empty:
        folders = sorted(empty)
        count = sum(len(paths) for paths in empty.values())
        where = f"here and in {counted(len(folders) - 1, 'other folder')}" if len(folders) > 1 else "here"
        what = f"{counted(count, 'file has', 'files have')} no bytes at all {where}: copy them again"
        yield warning("ZERO_BYTE_FILE", what, folders[0] or None)
    if passed and not any(file.size for file in passed):
        none = "no file of its samples' reads has a byte, so there is nothing to take: copy the run again"
        yield error("NO_READS", none, passed[0].path)
    for run in runs:
        kinds = {place.kind for place in run.group.data if place.verdict in ("pass", None)}
        if {"fastq", "bam"} <= kinds:
            what = "its reads are here as FASTQ and as BAM: the FASTQ files are the samples' reads, the BAM files are"
            yield warning("READS_IN_TWO_FORMS", f"{what} stored beside them", run.group.root or None)

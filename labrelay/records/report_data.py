"""What the figures of a report are drawn from: depth in bins, variants and genes, read from a result's outputs.

The outputs are found by name and their columns by name, so that any workflow whose tables have these columns gets the
figures. What is absent or cannot be read leaves its figure out; a report never fails because of a picture.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from labrelay.records.plate_data import Picture, PlateValues, pictures_of, plate_of, wells_output
from labrelay.records.result import Result, ResultFile

log = logging.getLogger(__name__)

COVERAGE_OUTPUTS = ("coverage", "depth", "depth_windows")
VARIANT_OUTPUTS = ("variants_table", "variants")
MOST_BINS = 1_200
MOST_VARIANTS = 50_000
TABLES = (".tsv", ".csv", ".txt")
LARGEST_TABLE = 64 << 20  # bytes; larger is no table for a report
DEFAULT_MIN_DEPTH = 10.0
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "contig": ("contig", "chrom", "#chrom", "chromosome"),
    "start": ("start", "pos", "position"),
    "end": ("end",),
    "mean": ("mean_depth", "depth"),
    "low": ("min_depth",),
    "position": ("position", "pos"),
    "ref": ("ref",),
    "alt": ("alt",),
    "qual": ("qual", "quality"),
    "depth": ("depth", "dp"),
    "fraction": ("alt_fraction", "allele_fraction", "af"),
    "gene": ("gene",),
    "change": ("aa_change", "amino_acid_change", "protein_change", "change"),
}


@dataclass(frozen=True)
class DepthBin:
    """Depth over the positions `start` to `end` (from 1, both inclusive): mean and lowest, in reads."""

    contig: str
    start: int
    end: int
    mean: float
    low: float


@dataclass(frozen=True)
class Variant:
    """A variant: position from 1, Phred quality, depth in reads, fraction 0 to 1, gene and change when known."""

    contig: str
    position: int
    ref: str
    alt: str
    qual: float | None = None
    depth: float | None = None
    fraction: float | None = None
    gene: str = ""
    change: str = ""


@dataclass(frozen=True)
class Gene:
    """A gene of the annotation: positions from 1, both inclusive."""

    contig: str
    start: int
    end: int
    name: str


@dataclass(frozen=True)
class ReportData:
    """What the figures show; `min_depth` is the depth below which the workflow calls nothing, in reads.

    A result of a plate has `plate` and `pictures`, and nothing of the others.
    """

    coverage: tuple[DepthBin, ...] = ()
    variants: tuple[Variant, ...] = ()
    genes: tuple[Gene, ...] = ()
    min_depth: float = DEFAULT_MIN_DEPTH
    plate: PlateValues | None = None
    pictures: tuple[Picture, ...] = ()

    @property
    def contigs(self) -> tuple[str, ...]:
        """The contigs in the order of the coverage, then of variants on others."""
        names = [b.contig for b in self.coverage] + [v.contig for v in self.variants]
        return tuple(dict.fromkeys(names))


def load_report_data(result: Result) -> ReportData:
    """Read what the result's outputs have for figures; a missing or unreadable table is left out with a log line."""
    wanted = result.parameters.get("min_depth", DEFAULT_MIN_DEPTH)
    is_number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    return ReportData(
        coverage=bin_depths(list(_depths(_table_of(result, COVERAGE_OUTPUTS)))),
        variants=tuple(_variants(_table_of(result, VARIANT_OUTPUTS))),
        genes=tuple(_genes(result)),
        min_depth=float(wanted) if is_number else DEFAULT_MIN_DEPTH,
        plate=_plate(result),
        pictures=pictures_of(result.outputs),
    )


def bin_depths(depths: Sequence[DepthBin], most: int = MOST_BINS) -> tuple[DepthBin, ...]:
    """Join neighbouring bins until at most about `most` are left; a bin never spans two contigs."""
    step = max(1, -(-len(depths) // most))
    joined: list[DepthBin] = []
    group: list[DepthBin] = []
    for depth in depths:
        if group and (len(group) == step or depth.contig != group[0].contig):
            joined.append(_join(group))
            group = []
        group.append(depth)
    if group:
        joined.append(_join(group))
    return tuple(joined)


def _join(group: Sequence[DepthBin]) -> DepthBin:
    widths = [b.end - b.start + 1 for b in group]
    mean = sum(b.mean * width for b, width in zip(group, widths, strict=True)) / sum(widths)
    return DepthBin(group[0].contig, group[0].start, group[-1].end, mean, min(b.low for b in group))


def _table_of(result: Result, names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of the first output of these names that is a table."""
    for name in names:
        item = result.output(name)
        if item is not None and item.path.suffix.lower() in TABLES:
            yield from _rows(_read(item.path, result.run_id), _delimiter(item))
            return


def _plate(result: Result) -> PlateValues | None:
    item = wells_output(result)
    if item is None or item.path.suffix.lower() not in TABLES:
        return None
    reader = csv.reader(io.StringIO(_read(item.path, result.run_id)), delimiter=_delimiter(item))
    header = [name.strip().lower() for name in next(reader, [])]
    return plate_of(dict(zip(header, row, strict=False)) for row in reader)


def _delimiter(item: ResultFile) -> str:
    return "," if item.path.suffix.lower() == ".csv" else "\t"


def _read(path: Path, run_id: str) -> str:
    try:
        if path.stat().st_size > LARGEST_TABLE:
            log.warning("%s of %s is larger than a report's table; its figure is left out", path.name, run_id)
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        log.warning("%s of %s could not be read (%s); its figure is left out", path.name, run_id, error)
        return ""


def _rows(text: str, delimiter: str) -> Iterator[dict[str, str]]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    header = [name.strip().lower() for name in next(reader, [])]
    at = {key: header.index(n) for key, names in COLUMNS.items() for n in reversed(names) if n in header}
    for row in reader:
        yield {key: row[index] for key, index in at.items() if index < len(row)}


def _number(row: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(row[key])
    except (KeyError, ValueError):
        return None
    return value if abs(value) < 1e15 else None


def _depths(rows: Iterator[dict[str, str]]) -> Iterator[DepthBin]:
    for row in rows:
        start, mean = _number(row, "start"), _number(row, "mean")
        if start is None or mean is None or start < 1:
            continue
        end, low = _number(row, "end"), _number(row, "low")
        last = int(start) if end is None or end < start else int(end)
        yield DepthBin(row.get("contig", ""), int(start), last, mean, mean if low is None else low)


def _variants(rows: Iterator[dict[str, str]]) -> Iterator[Variant]:
    for count, row in enumerate(rows):
        position = _number(row, "position")
        if position is None or position < 1 or count >= MOST_VARIANTS:
            continue
        yield Variant(
            contig=row.get("contig", ""),
            position=int(position),
            ref=row.get("ref", ""),
            alt=row.get("alt", ""),
            qual=_number(row, "qual"),
            depth=_number(row, "depth"),
            fraction=_number(row, "fraction"),
            gene=row.get("gene", ""),
            change=row.get("change", ""),
        )


def _genes(result: Result) -> Iterator[Gene]:
    """Yield the genes of the annotation that the run gave out, or of the reference's (GFF3)."""
    item = result.output("annotation") or (result.reference.annotation if result.reference else None)
    if item is None or item.path.suffix.lower() not in (".gff3", ".gff"):
        return
    for line in _read(item.path, result.run_id).splitlines():
        fields = line.split("\t")
        if len(fields) == 9 and fields[2] == "gene" and fields[3].isdecimal() and fields[4].isdecimal():
            start, end = int(fields[3][:15]), int(fields[4][:15])
            if 1 <= start <= end:
                yield Gene(fields[0], start, end, _gene_name(fields[8]))


def _gene_name(attributes: str) -> str:
    pairs = dict(part.split("=", 1) for part in attributes.split(";") if "=" in part)
    return unquote(next((pairs[key] for key in ("Name", "gene", "locus_tag", "ID") if key in pairs), "gene"))

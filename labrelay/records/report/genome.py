"""Figures along the genome: depth with its limit and the regions below it, and variants with the genes under them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

from labrelay.model.words import counted
from labrelay.records.documents import number_text
from labrelay.records.report.svg import LEFT, RIGHT, WIDTH, Figure, join, line, nice_ticks, num, rect, scale, text
from labrelay.records.report_data import DepthBin, ReportData, Variant

TOP, PLOT = 18, 200
GENE_HEIGHT = 16
MOST_MARKS = 3_000
MOST_CONTIG_LABELS = 12
Place = Callable[[str, float], float]


def coverage_figure(data: ReportData) -> Figure | None:
    """Return depth along the genome on a logarithmic axis, or None without depths."""
    if not data.coverage:
        return None
    place = _places(data)
    top = max(10.0, *(b.mean for b in data.coverage), data.min_depth)
    bottom = TOP + PLOT
    height = _log_scale(top, bottom)
    below = list(_low_regions(data.coverage, data.min_depth))
    parts = [
        *(_low_mark(place, contig, start, end, bottom) for contig, start, end in below),
        *_depth_grid(top, height),
        *_curves(data.coverage, place, height, bottom),
        line(LEFT, height(data.min_depth), WIDTH - RIGHT, height(data.min_depth), "limit"),
        text(LEFT + 6, height(data.min_depth) - 6, f"called from {number_text(data.min_depth)}×", "limittext"),
        text(LEFT, 11, "Reads at a position (logarithmic)"),
    ]
    track, end = _tracks(data, place, bottom)
    bases = sum(end_ - start + 1 for _, start, end_ in below)
    limit = number_text(data.min_depth)
    summary = f"No position has fewer than {limit} reads."
    if below:
        regions = counted(len(below), "region has", "regions have")
        summary = f"{regions} fewer than {limit} reads, {bases:,} bp in all: shaded."
    return Figure("coverage", "Depth along the genome", summary, join([*parts, *track]), end)


def variants_figure(data: ReportData) -> Figure | None:
    """Return variants by position and allele fraction over the genes, or None without variants or lengths."""
    drawn = [v for v in data.variants if v.position <= _lengths(data).get(v.contig, 0)][:MOST_MARKS]
    if not drawn:
        return None
    place = _places(data)
    bottom = TOP + PLOT * 0.75
    height = scale(0, 1, bottom, TOP + 8)
    parts = [text(LEFT, 11, "Fraction of reads with the variant")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts += [line(LEFT, height(tick), WIDTH - RIGHT, height(tick), "grid")]
        parts += [text(LEFT - 8, height(tick) + 4, f"{100 * tick:.0f} %", "end")]
    parts += [_lollipop(v, place, height, bottom) for v in drawn]
    track, end = _tracks(data, place, bottom)
    indels = sum(not _is_snv(v) for v in drawn)
    single = len(drawn) - indels
    summary = f"{single:,} single-base change{'' if single == 1 else 's'}"
    summary += f" and {indels:,} others, drawn in the second colour." if indels else "."
    if len(drawn) < len(data.variants):
        summary += f" {len(data.variants) - len(drawn):,} more are in the table only."
    return Figure("variants", "Variants along the genome", summary, join([*parts, *track]), end)


def _is_snv(variant: Variant) -> bool:
    return len(variant.ref) == len(variant.alt) == 1


def _lollipop(variant: Variant, place: Place, height: Callable[[float], float], bottom: float) -> Markup:
    kind = "" if _is_snv(variant) else "2"
    x = place(variant.contig, variant.position)
    y = height(1.0 if variant.fraction is None else variant.fraction)
    said = f"{variant.position:,} {variant.ref}>{variant.alt} {variant.gene} {variant.change}".strip()
    if variant.fraction is not None:
        said += f" · {100 * variant.fraction:.1f} %"
    dot = Markup('<circle cx="{}" cy="{}" r="3" class="dot{}"><title>{}</title></circle>')
    return line(x, bottom, x, y, f"stem{kind}") + dot.format(num(x), num(y), kind, said)


def _lengths(data: ReportData) -> dict[str, int]:
    """Return how far each contig is known to reach; without depths, as far as its variants and genes do."""
    ends: dict[str, int] = {}
    for contig, end in [(b.contig, b.end) for b in data.coverage] or [
        *((v.contig, v.position) for v in data.variants),
        *((g.contig, g.end) for g in data.genes if g.contig in data.contigs),
    ]:
        ends[contig] = max(ends.get(contig, 0), end)
    return ends


def _places(data: ReportData) -> Place:
    """Return the map from contig and position to x; contigs stand one after the other."""
    lengths = _lengths(data)
    offsets, total = {}, 0
    for contig, length in lengths.items():
        offsets[contig] = total
        total += length
    across = scale(0, max(total, 1), LEFT, WIDTH - RIGHT)
    return lambda contig, position: across(offsets.get(contig, 0) + position)


def _log_scale(top: float, bottom: float) -> Callable[[float], float]:
    inner = scale(0, math.log10(1 + top) * 1.04, bottom, TOP)
    return lambda depth: inner(math.log10(1 + max(depth, 0)))


def _depth_grid(top: float, height: Callable[[float], float]) -> Iterator[Markup]:
    for tick in [0, *(10**power for power in range(int(math.log10(top)) + 1))]:
        yield line(LEFT, height(tick), WIDTH - RIGHT, height(tick), "axis" if tick == 0 else "grid")
        yield text(LEFT - 8, height(tick) + 4, f"{tick:,}", "end")


def _curves(
    bins: Sequence[DepthBin], place: Place, height: Callable[[float], float], bottom: float
) -> Iterator[Markup]:
    for contig in dict.fromkeys(b.contig for b in bins):
        points = [(place(contig, (b.start + b.end) / 2), height(b.mean)) for b in bins if b.contig == contig]
        path = " ".join(f"{num(x)},{num(y)}" for x, y in points)
        first, last = num(points[0][0]), num(points[-1][0])
        base = num(bottom)
        yield Markup('<polygon points="{},{} {} {},{}" class="area"/>').format(first, base, path, last, base)
        yield Markup('<polyline points="{}" class="curve"/>').format(path)


def _low_regions(bins: Sequence[DepthBin], limit: float) -> Iterator[tuple[str, int, int]]:
    """Yield contig, first and last position of each stretch of bins that reach below the limit."""
    open_region: tuple[str, int, int] | None = None
    for b in bins:
        if b.low >= limit:
            continue
        if open_region and open_region[0] == b.contig and open_region[2] + 1 >= b.start:
            open_region = (b.contig, open_region[1], b.end)
        else:
            if open_region:
                yield open_region
            open_region = (b.contig, b.start, b.end)
    if open_region:
        yield open_region


def _low_mark(place: Place, contig: str, start: int, end: int, bottom: float) -> Markup:
    x = place(contig, start - 1)
    width = max(place(contig, end) - x, 1.5)
    tip = f"below the limit: {start:,} to {end:,}"
    return rect(x, TOP, width, bottom - TOP, "low", tip) + rect(x, bottom - 3, width, 3, "lowmark", tip)


def _tracks(data: ReportData, place: Place, bottom: float) -> tuple[list[Markup], float]:
    """Return axis and gene track below a plot that ends at `bottom`, and the height that the figure has with them."""
    parts = [line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis")]
    lengths = _lengths(data)
    genes = [g for g in data.genes if g.contig in lengths and g.start <= lengths[g.contig]]
    y = bottom + 6
    rows: list[float] = []
    for gene in genes:
        x1, x2 = place(gene.contig, gene.start), place(gene.contig, gene.end)
        row = next((i for i, end in enumerate(rows) if x1 > end), len(rows))
        rows[row : row + 1] = [x2]
        if row > 3:
            continue
        top = y + row * (GENE_HEIGHT + 3)
        parts.append(rect(x1, top, x2 - x1, GENE_HEIGHT, "gene", f"{gene.name}: {gene.start:,} to {gene.end:,}", 3))
        if x2 - x1 > 8 + 7 * len(gene.name):
            parts.append(text((x1 + x2) / 2, top + 12, gene.name, "genename mid"))
    y += min(len(rows), 4) * (GENE_HEIGHT + 3)
    parts += _position_axis(lengths, place, y + 14)
    return parts, y + 40


def _position_axis(lengths: dict[str, int], place: Place, y: float) -> Iterator[Markup]:
    if len(lengths) == 1:
        contig, length = next(iter(lengths.items()))
        ticks = [tick for tick in nice_ticks(length, 8) if tick and tick < length * 0.97]
        yield text(LEFT, y, "1", "mid")
        for tick in ticks:
            yield text(place(contig, tick), y, f"{tick:,.0f}", "mid")
        yield text(WIDTH - RIGHT, y, f"{length:,}", "end")
        yield text((LEFT + WIDTH - RIGHT) / 2, y + 18, f"Position in {contig or 'the genome'} (bp)", "mid")
        return
    for index, (contig, length) in enumerate(lengths.items()):
        yield line(place(contig, length), TOP, place(contig, length), y - 10, "grid")
        if index < MOST_CONTIG_LABELS:
            yield text(place(contig, length / 2), y, contig[:14], "mid")
    yield text((LEFT + WIDTH - RIGHT) / 2, y + 18, f"{len(lengths)} contigs, one after the other", "mid")

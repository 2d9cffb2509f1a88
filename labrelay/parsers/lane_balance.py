"""How the reads of a lane were shared out among its samples, and which barcodes nobody's sheet knows.

A sample that was left out of the sheet, or whose index was typed the wrong way round, shows itself as a barcode with
many reads among the unknown ones; that is told with the barcode and, where it fits, with the sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

from labrelay.model.instrument import SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.text import cells, column_key, decode, lines, to_int, warning

UNDETERMINED = "Undetermined"
MAX_ROWS = 100_000  # of a report; converters write a thousand a lane
TOP = 5  # unknown barcodes of a lane that are kept as metrics
_COMPLEMENT = str.maketrans("ACGTNacgtn", "TGCANtgcan")


class Unknown(NamedTuple):
    """A barcode that no sample has: its lane, its sequence (`ACGT` or `ACGT+TGCA`) and its reads."""

    lane: int
    barcode: str
    reads: int


def reverse_complement(bases: str) -> str:
    """Return the other strand, read from its own beginning."""
    return bases.translate(_COMPLEMENT)[::-1]


def lane_metrics(reads: Mapping[tuple[str, int], int | None], source: str) -> list[QCMetric]:
    """Return for each lane the share without a sample, the spread among its samples, and how many have no read.

    Args:
        reads: Counts by sample and lane; `Undetermined` is no sample.
        source: The report's path.
    """
    metrics = []
    for lane in sorted({lane for _, lane in reads}):
        counts = [n for (name, at), n in reads.items() if at == lane and name != UNDETERMINED and n is not None]
        lost = reads.get((UNDETERMINED, lane))
        total = sum(counts) + (lost or 0)
        told: list[tuple[str, float | None, str]] = []
        if lost is not None:
            told.append(("undetermined_percent", 100 * lost / total if total else None, "percent"))
        if counts:
            told.append(("samples_without_reads", sum(n == 0 for n in counts), "count"))
        if len(counts) > 1:
            mean = fmean(counts)
            # The coefficient of variation: 0 is an even pool, above some 50 % the pool was uneven.
            told.append(("barcode_cv_percent", 100 * pstdev(counts) / mean if mean else None, "percent"))
        metrics += [
            QCMetric(name=name, value=value, unit=unit, scope=f"lane {lane}", source=source)
            for name, value, unit in told
        ]
    return metrics


def unknown_of_report(data: bytes, path: str) -> tuple[list[Unknown], list[Problem]]:
    """Return the unknown barcodes of BCL Convert's Top_Unknown_Barcodes.csv, in its order."""
    text, problems = decode(data, path)
    all_lines = lines(text)
    keys = [column_key(cell) for cell in cells(all_lines[0])[0]]
    if not {"lane", "index", "reads"} <= set(keys):
        what = "its first line does not name Lane, index and # Reads, so nothing was taken from it"
        return [], [*problems, warning("BAD_REPORT", what, path, 1)]
    # `# Reads` stands before `% …` columns whose keys may be like it.
    places = {name: keys.index(name) for name in ("lane", "index", "index2", "reads") if name in keys}
    found = []
    for line in all_lines[1:MAX_ROWS]:
        row = cells(line)[0]
        if len(row) <= max(places.values()):
            continue
        lane, reads = to_int(row[places["lane"]]), to_int(row[places["reads"]])
        second = row[places["index2"]] if "index2" in places else ""
        if lane is not None and reads is not None and row[places["index"]]:
            found.append(Unknown(lane, "+".join(filter(None, (row[places["index"]], second))), reads))
    return found, list(problems)


def unknown_of_stats(data: bytes) -> list[Unknown]:
    """Return the unknown barcodes of bcl2fastq's Stats.json; nothing when it is none."""
    try:
        listed = json.loads(data).get("UnknownBarcodes")
    except (ValueError, RecursionError, AttributeError):
        return []
    found = []
    for entry in listed if isinstance(listed, list) else []:
        barcodes = entry.get("Barcodes") if isinstance(entry, dict) else None
        lane = entry.get("Lane") if isinstance(entry, dict) else None
        if isinstance(lane, int) and isinstance(barcodes, dict):
            found += [Unknown(lane, name, n) for name, n in barcodes.items() if isinstance(n, int) and n >= 0]
    return found


def hopping_metrics(data: bytes, path: str) -> list[QCMetric]:
    """Return the share of reads with a first index of one sample and a second of another, by lane.

    Args:
        data: BCL Convert's Index_Hopping_Counts.csv, which names no sample for such a pair.
        path: Of it.
    """
    rows = [cells(line)[0] for line in lines(decode(data, path).text)[:MAX_ROWS]]
    keys = [column_key(cell) for cell in rows[0]]
    if not {"lane", "sampleid", "reads"} <= set(keys):
        return []
    counts: dict[int, tuple[int, int, int]] = {}
    for row in rows[1:]:
        values = dict(zip(reversed(keys[: len(row)]), reversed(row[: len(keys)]), strict=True))
        lane, reads = to_int(values.get("lane")), to_int(values.get("reads"))
        if lane is not None and reads is not None:
            samples, right, hopped = counts.get(lane, (0, 0, 0))
            own = bool(values.get("sampleid"))
            counts[lane] = (samples + own, right + reads * own, hopped + reads * (not own))
    return [
        QCMetric(name="hopped_percent", value=100 * hopped / (right + hopped), unit="percent", scope=f"lane {lane}",
                 source=path)
        for lane, (samples, right, hopped) in sorted(counts.items())
        # A sample alone has nobody to swap an index with.
        if samples > 1 and right + hopped
    ]  # fmt: skip


def unknown_metrics(unknown: Iterable[Unknown], source: str) -> list[QCMetric]:
    """Return the reads of the most frequent unknown barcodes of each lane."""
    by_lane: dict[int, list[Unknown]] = {}
    for each in unknown:
        by_lane.setdefault(each.lane, []).append(each)
    top = [each for lane in sorted(by_lane) for each in sorted(by_lane[lane], key=lambda u: -u.reads)[:TOP]]
    return [
        QCMetric(
            name="unknown_barcode_reads",
            value=each.reads,
            unit="count",
            scope=f"{printable(each.barcode, 80)}, lane {each.lane}",
            source=source,
        )
        for each in top
    ]


def suspects(
    unknown: Sequence[Unknown], metrics: Iterable[QCMetric], samples: Sequence[SheetSample], source: str
) -> list[Problem]:
    """Return a warning for the first unknown barcode of a lane when it has half the reads of a usual sample or more.

    Where no sample of the lane has a read, it is told as well: its index is what the samples' should have been.

    Args:
        unknown: As the converter counted them.
        metrics: The samples' reads by lane are among them.
        samples: The sheet's rows, for a barcode that is one of theirs the wrong way round.
        source: The report's path.
    """
    reads = [(metric.scope, metric.value) for metric in metrics if metric.name == "reads"]
    problems = []
    for lane in sorted({each.lane for each in unknown}):
        end = f", lane {lane}"
        here = [n or 0 for scope, n in reads if scope.endswith(end) and scope != UNDETERMINED + end]
        known = sorted(filter(None, here)) or here
        # G throughout is no signal on instruments of two colours, and no library.
        real = [each for each in unknown if each.lane == lane and not set(each.barcode) <= set("G+N")]
        first = max(real, key=lambda each: each.reads, default=None)
        usual = known[len(known) // 2] if known else None
        if first is None or usual is None or first.reads < usual / 2:
            continue
        of = _turned(first.barcode, lane, samples)
        why = f"it is {of} the wrong way round" if of else "is a sample missing from the sheet, or its index wrong?"
        text = f"in lane {lane} the unknown barcode {printable(first.barcode, 60)} has {first.reads:,} reads"
        problems.append(warning("UNKNOWN_BARCODE", f"{text}, a usual sample {usual:,.0f}; {why}", source))
    return problems


def _turned(barcode: str, lane: int, samples: Sequence[SheetSample]) -> str | None:
    """Return the sample whose barcode this is with its second, its first, or both indexes reverse-complemented."""
    for sample in samples:
        if not sample.barcode or (sample.lane is not None and sample.lane != lane):
            continue
        first, _, second = sample.barcode.partition("+")
        turned = reverse_complement(first), reverse_complement(second)
        forms = {"+".join(filter(None, pair)) for pair in ((first, turned[1]), (turned[0], second), turned)}
        if barcode in forms - {sample.barcode}:
            return f"that of {printable(sample.sample_id, 60)}"
    return None

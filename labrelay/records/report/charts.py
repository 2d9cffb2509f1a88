"""All figures of a result: plate maps, depth and variants along the genome, kinds of change, and when tasks ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from markupsafe import Markup

from labrelay.model.runs import TaskReport
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records.documents import call_name, duration_text
from labrelay.records.report.genome import coverage_figure, variants_figure
from labrelay.records.report.plate import plate_figures
from labrelay.records.report.svg import LEFT, RIGHT, WIDTH, Figure, join, line, nice_ticks, rect, scale, text
from labrelay.records.report_data import ReportData, Variant
from labrelay.records.result import Result
from labrelay.stores.durable import human_bytes

HALF = 472
TOP, BOTTOM = 24, 190
BINS = 20
TASK_LEFT, TASK_RIGHT, ROW = 190, 190, 30
MOST_TASKS = 40


def figures_of(result: Result, data: ReportData) -> list[Figure]:
    """Return the figures that the result has data for, in the order of the report."""
    drawn = (
        *plate_figures(data.plate),
        coverage_figure(data),
        variants_figure(data),
        fraction_figure(data.variants),
        change_figure(data.variants),
        timeline_figure(result.report.tasks),
    )
    return [figure for figure in drawn if figure is not None]


def fraction_figure(variants: Sequence[Variant]) -> Figure | None:
    """Return how many variants are shown by which fraction of reads, or None when no fraction is known."""
    known = [v.fraction for v in variants if v.fraction is not None and 0 <= v.fraction <= 1]
    if not known:
        return None
    counts = Counter(min(int(fraction * BINS + 1e-9), BINS - 1) for fraction in known)
    labels = {0: "0", 5: "25 %", 10: "50 %", 15: "75 %"}
    bars = [
        (labels.get(b, ""), counts[b], f"{100 * b // BINS} to {100 * (b + 1) // BINS} %: {counts[b]}")
        for b in range(BINS)
    ]
    mixed = sum(fraction < 0.9 for fraction in known)
    said = f"Less than 90 % of the reads show {mixed} of {counted(len(known), 'variant')}."
    body = _bars(bars, "Variants", edge_labels=True) + text(HALF - RIGHT, BOTTOM + 18, "100 %", "end")
    return Figure("allele_fractions", "Allele fractions", said, body, BOTTOM + 30, HALF)


def change_figure(variants: Sequence[Variant]) -> Figure | None:
    """Return how often each base changed into which, and insertions and deletions, or None without variants."""
    if not variants:
        return None
    counts = Counter(_kind(v) for v in variants)
    order = [f"{a}>{b}" for a in "ACGT" for b in "ACGT" if a != b] + ["ins", "del", "other"]
    bars = [(k, counts[k], f"{k}: {counts[k]}") for k in order if counts[k] or ">" in k]
    most, number = max(counts.items(), key=lambda item: (item[1], item[0]))
    said = f"The most frequent change is {most} ({number} of {len(variants):,})."
    return Figure("changes", "Kinds of change", said, _bars(bars, "Variants"), BOTTOM + 30, HALF)


def timeline_figure(tasks: Sequence[TaskReport]) -> Figure | None:
    """Return when each task ran, with its processor time and memory, or None when no task has times."""
    timed = [(t, t.started, t.ended) for t in tasks if t.started and t.ended and t.ended >= t.started]
    if not timed:
        return None
    timed.sort(key=lambda item: (item[1], item[0].name))
    begin, end = timed[0][1], max(ended for _, _, ended in timed)
    rows = timed[:MOST_TASKS]
    total = max((end - begin).total_seconds(), 0.001)
    across = scale(0, total, TASK_LEFT, WIDTH - TASK_RIGHT)
    bottom = TOP + ROW * len(rows)
    parts = [
        text(TASK_LEFT, 12, "Seconds since the first task began"),
        text(WIDTH - TASK_RIGHT + 10, 12, "Processor · memory"),
    ]
    for tick in nice_ticks(total, 6):
        parts += [
            line(across(tick), TOP, across(tick), bottom, "grid"),
            text(across(tick), bottom + 16, f"{tick:g}", "mid"),
        ]
    for index, (task, started, ended) in enumerate(rows):
        parts.append(_task_row(task, started, ended, begin, TOP + ROW * index, across))
    said = f"{counted(len(timed), 'task')} in {duration_text(total)}"
    said += f"; the first {MOST_TASKS} are drawn." if len(timed) > MOST_TASKS else "."
    return Figure("timeline", "When the tasks ran", said, join(parts), bottom + 26)


def _task_row(
    task: TaskReport, started: datetime, ended: datetime, begin: datetime, y: float, across: Callable[[float], float]
) -> Markup:
    x1, x2 = across((started - begin).total_seconds()), across((ended - begin).total_seconds())
    kind = "failed" if task.state is not RunState.COMPLETE else "cached" if task.cached else "used"
    took = duration_text((ended - started).total_seconds())
    if x2 + 60 < WIDTH - TASK_RIGHT:
        label, ink = x2 + 6, ""
    else:
        # No room behind it: in the bar when it is long enough, else before it.
        label, ink = (x2 - 6, "onshade end") if x2 - x1 > 80 else (x1 - 6, "end")
    return join(
        [
            text(TASK_LEFT - 10, y + 19, _short(call_name(task.name)), "strong end"),
            rect(x1, y + 6, max(x2 - x1, 2), ROW - 12, kind, f"{task.name}: {took}, {task.state.value}", 3),
            text(label, y + 19, took, ink),
            text(WIDTH - TASK_RIGHT + 10, y + 19, _usage(task)),
        ]
    )


def _usage(task: TaskReport) -> str:
    used = []
    if task.cpu_seconds is not None:
        used.append(duration_text(task.cpu_seconds))
    if task.peak_memory_bytes is not None:
        used.append(human_bytes(task.peak_memory_bytes))
    if task.cached:
        used.append("taken from cache")
    return " · ".join(used) or "not measured"


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _kind(variant: Variant) -> str:
    ref, alt = variant.ref.upper(), variant.alt.upper()
    if len(ref) == len(alt) == 1 and ref in "ACGT" and alt in "ACGT":
        return f"{ref}>{alt}"
    plain = set(ref + alt) <= set("ACGTN")
    return "other" if not plain or len(ref) == len(alt) else "ins" if len(alt) > len(ref) else "del"


def _bars(bars: Sequence[tuple[str, int, str]], heading: str, *, edge_labels: bool = False) -> Markup:
    """Return a bar chart of half the page's width; labels stand under their bar, or at its left edge."""
    top = max(1, *(count for _, count, _ in bars))
    height = scale(0, top, BOTTOM, TOP)
    step = (HALF - LEFT - RIGHT) / len(bars)
    parts = [text(LEFT, 12, heading)]
    for tick in nice_ticks(top, 4):
        if tick == int(tick):
            parts += [line(LEFT, height(tick), HALF - RIGHT, height(tick), "grid")]
            parts += [text(LEFT - 8, height(tick) + 4, f"{tick:,.0f}", "end")]
    for index, (label, count, tip) in enumerate(bars):
        x = LEFT + index * step
        if count:
            parts.append(rect(x + 1.5, height(count), step - 3, BOTTOM - height(count), "bar", tip, 1.5))
        parts.append(text(x if edge_labels else x + step / 2, BOTTOM + 18, label, "mid") if label else Markup(""))
    return join([*parts, line(LEFT, BOTTOM, HALF - RIGHT, BOTTOM, "axis")])

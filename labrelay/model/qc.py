"""Quality metrics, thresholds and the verdict that follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import zip_longest

from labrelay.model.problem import Frozen


class Verdict(StrEnum):
    """What the thresholds say; `NONE` means that no threshold was set or the metric is missing."""

    PASS = "pass"  # noqa: S105 (a verdict)
    WARN = "warn"
    FAIL = "fail"
    NONE = "none"

    @property
    def word(self) -> str:
        """What stands in a cell of a table: nothing where nothing was judged."""
        return "" if self is Verdict.NONE else self.value


class Override(Frozen):
    """A verdict that a person set on a result, with the reason; `computed` is what the thresholds said."""

    verdict: Verdict
    computed: Verdict
    reason: str
    at: str
    by: str


class QCMetric(Frozen):
    """A number with its name, unit and scope.

    Attributes:
        name: lower_snake, such as `mapped_percent`.
        value: The number; None when the tool says that it has none (never 0 in its place).
        unit: `percent`, `x`, `bp`, `count`, `phred`, `s`, `bytes` …
        scope: What it is about: a sample, a lane (`lane 1`), a file or the run.
        source: The file that it was read from, relative to the run or the result.
    """

    name: str
    value: float | None
    unit: str = ""
    scope: str = "run"
    source: str | None = None


def told_apart(files: Sequence[tuple[str, Sequence[QCMetric]]]) -> list[QCMetric]:
    """Return the numbers of several files; where two files tell one number of one scope, the scope says whose it is.

    As much of the path as tells them apart stands before it then: `lane1/S1`; the file's name too, where files of one
    folder differ. Those that agree there are one report in two forms.

    Args:
        files: Path, with `/`, and numbers of each.
    """
    folders = [tuple(path.split("/")[:-1]) for path, _ in files]
    # What one file says twice is its own matter.
    own = [{(m.scope, m.name): m.value for m in metrics} for _, metrics in files]
    told = {(at, key, value) for at, values in zip(folders, own, strict=True) for key, value in values.items()}
    every = Counter(key for _, key, _ in told)
    here = Counter((at, key) for at, key, _ in told)
    clash = [any(every[key] > 1 for key in values) for values in own]
    clashing = {at for at, is_one in zip(folders, clash, strict=True) if is_one}
    start = _same(clashing)
    end = _same({at[start:][::-1] for at in clashing})
    found: list[QCMetric] = []
    for (path, metrics), at, values, is_one in zip(files, folders, own, clash, strict=True):
        parts = [*at[start : len(at) - end]] if is_one else []
        if any(here[at, key] > 1 for key in values):
            parts.append(path.rpartition("/")[2])
        # A comma with a space is what parts of one scope have between them.
        label = "".join(f"{part}/" for part in parts).replace(", ", ",")
        found += [m.model_copy(update={"scope": f"{label}{m.scope}"}) for m in metrics] if label else metrics
    return found


def _same(folders: Collection[tuple[str, ...]]) -> int:
    """Return how many parts all of them begin with."""
    longest = max(map(len, folders), default=0)
    return next((n for n, parts in enumerate(zip_longest(*folders)) if len(set(parts)) > 1), longest)


_OF_WHAT = {
    "adapter_percent": "bases",
    "assigned_percent": "reads",
    "barcode_cv_percent": "the mean of its samples",
    "breadth_1x_percent": "positions",
    "clusters_pf_percent": "clusters",
    "confluency_percent": "the well's area",
    "duplication_percent": "reads",
    "error_percent": "mapped bases",
    "gc_percent": "bases",
    "hopped_percent": "reads with known indexes",
    "index_mismatch_percent": "assigned reads",
    "kept_percent": "reads",
    "mapped_percent": "reads",
    "nucleated_percent": "cells",
    "occupied_percent": "the flow cell's wells",
    "passed_percent": "reads",
    "perfect_index_percent": "the sample's reads",
    "proper_pair_percent": "paired reads",
    "q30_percent": "bases",
    "q40_percent": "bases",
    "q50_percent": "bases",
    "undetermined_percent": "the lane's reads",
    "unexpected_index_percent": "reads",
    "zmws_passed_percent": "ZMWs",
}


# Shares of all that the same file counts under another name.
COUNTED_AS = {
    "assigned_percent": "reads",
    "nucleated_percent": "cells",
    "unexpected_index_percent": "reads",
    "zmws_passed_percent": "zmws",
}


def share_text(name: str, unit: str, whole: float | None = None) -> str:
    """Return the unit of a metric, and of a share what it is a share of, where its name tells: `percent of bases`.

    Args:
        name: The metric's.
        unit: Its unit.
        whole: How many of these there are, where it is known: `percent of 1,200 reads`.
    """
    if unit != "percent" or name not in _OF_WHAT:
        return unit
    return f"{unit} of {'' if whole is None else f'{whole:,.0f} '}{_OF_WHAT[name]}"


class Threshold(Frozen):
    """Bounds of one metric: outside `fail_*` is a failure, outside `warn_*` a warning; all bounds are inclusive."""

    metric: str
    fail_below: float | None = None
    warn_below: float | None = None
    warn_above: float | None = None
    fail_above: float | None = None

    def judge(self, value: float | None) -> Verdict:
        """Return the verdict on `value`; a missing value fails, because a threshold says that it is needed."""
        if value is None:
            return Verdict.FAIL
        if _outside(value, self.fail_below, self.fail_above):
            return Verdict.FAIL
        return Verdict.WARN if _outside(value, self.warn_below, self.warn_above) else Verdict.PASS


def _outside(value: float, below: float | None, above: float | None) -> bool:
    return (below is not None and value < below) or (above is not None and value > above)


def judge_all(metrics: Mapping[str, float | None], thresholds: Sequence[Threshold]) -> dict[str, Verdict]:
    """Return the verdict of each threshold's metric, by metric name."""
    return {t.metric: t.judge(metrics.get(t.metric)) for t in thresholds}


def judge_each(metrics: Iterable[QCMetric], thresholds: Sequence[Threshold]) -> dict[str, Verdict]:
    """Return the verdict of each threshold's metric, by metric name: the worst one where it has several scopes."""
    values: dict[str, list[float | None]] = {}
    for metric in metrics:
        values.setdefault(metric.name, []).append(metric.value)
    return {t.metric: worst([t.judge(value) for value in values.get(t.metric, [None])]) for t in thresholds}


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the worst of the verdicts; `NONE` when there is none."""
    order = (Verdict.FAIL, Verdict.WARN, Verdict.PASS)
    return next((v for v in order if v in verdicts), Verdict.NONE)

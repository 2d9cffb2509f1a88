"""Control limits of an individuals chart: is a value what the values before it let us expect?

The centre line is the mean of the earlier values, the limits lie 2.66 mean moving ranges from it. A moving range is the
absolute difference of two values one after the other; 2.66 is 3 / 1.128, where 1.128 is the mean range of two values in
standard deviations. Source: NIST/SEMATECH e-Handbook of Statistical Methods, section 6.3.2.2, "Individuals Control
Charts", and section 6.3.2 for the run of eight values on one side of the centre line (Western Electric rules).

The value that is judged never counts for its own limits; a missing value counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from statistics import fmean

from labrelay.model.problem import Frozen

FACTOR = 2.66
LEAST = 8  # earlier values, below which there are no limits
WINDOW = 100  # earlier values that count, the newest
RUN = 8  # values in a row on one side of the centre line
TINY = 1e-9  # of the centre line: what rounding does


class Limits(Frozen):
    """Centre line and control limits, and how many earlier values they come from."""

    centre: float
    low: float
    high: float
    points: int

    def side(self, value: float) -> int:
        """Return 1 above the centre line, -1 below it, 0 on it."""
        apart = value - self.centre
        return 0 if abs(apart) <= TINY * abs(self.centre) else 1 if apart > 0 else -1

    def outside(self, value: float) -> bool:
        """Tell whether a value lies outside the limits."""
        slack = TINY * abs(self.centre)
        return value < self.low - slack or value > self.high + slack


class Judged(Frozen):
    """A value beside the limits that the earlier values give.

    Attributes:
        value: None when it is missing.
        limits: None while there are fewer than 8 earlier values.
        outside: Outside the limits.
        shift: It and the seven known values before it lie on one side of the centre line.
    """

    value: float | None
    limits: Limits | None = None
    outside: bool = False
    shift: bool = False

    @property
    def signal(self) -> bool:
        """Whether a person should look."""
        return self.outside or self.shift


def limits(earlier: Sequence[float | None]) -> Limits | None:
    """Return the limits that the newest 100 of the earlier values give, oldest first; None for fewer than 8."""
    values = known(earlier)
    if len(values) < LEAST:
        return None
    centre = fmean(values)
    reach = FACTOR * fmean(abs(after - before) for before, after in pairwise(values))
    return Limits(centre=centre, low=centre - reach, high=centre + reach, points=len(values))


def known(values: Sequence[float | None]) -> list[float]:
    """Return the newest 100 of the values that there are; one that is not finite is no value."""
    return _finite(values)[-WINDOW:]


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and isfinite(value)]


def judge(earlier: Sequence[float | None], value: float | None) -> Judged:
    """Return a value beside the limits that those before it give, oldest first."""
    found = limits(earlier)
    if value is None or not isfinite(value) or found is None:
        return Judged(value=value if value is None or isfinite(value) else None, limits=found)
    last = [found.side(each) for each in [*known(earlier)[-(RUN - 1) :], value]]
    shift = len(last) == RUN and last[0] != 0 and len(set(last)) == 1
    return Judged(value=value, limits=found, outside=found.outside(value), shift=shift)


def chart(values: Sequence[float | None]) -> list[Judged]:
    """Return each value beside the limits that those before it give, oldest first."""
    judged, earlier = list[Judged](), list[float]()
    for value in values:
        judged.append(judge(earlier[-WINDOW:], value))
        earlier += _finite([value])
    return judged


def begins(earlier: Sequence[float | None], judged: Judged) -> bool:
    """Tell whether a judged value is news: outside, or the first that shows a shift."""
    if judged.outside or not judged.shift:
        return judged.outside
    before = _finite(earlier)  # not only those that limits need: the value before has its own hundred
    return not judge(before[:-1], before[-1]).shift

"""Can the samples of a lane be told apart by their indexes, with as many mismatches as the converter is to allow?

A read belongs to a sample when each of its indexes differs from the sample's in at most so many bases. Two samples can
claim the same read exactly when, in every index, they differ in at most twice that number; so BCL Convert and bcl2fastq
refuse such a sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_MISMATCHES = 2


@dataclass(frozen=True)
class Indexed:
    """A sample with its indexes (`index2` is empty where there is one) and its lanes; none means all."""

    name: str
    index: str
    index2: str
    lanes: tuple[int, ...]


class Collision(NamedTuple):
    """Two samples that may claim the same read: the lane (None is every lane) and the distances of both indexes."""

    first: str
    second: str
    lane: int | None
    distance: int
    distance2: int | None


class Distances(NamedTuple):
    """What was found: pairs too close for the mismatches asked for, and how many mismatches all pairs allow.

    `allowed` is -1 when two samples have the same indexes, 2 at most; `closest` is the smallest distance that tells two
    samples of a lane apart, None when no lane has two.
    """

    collisions: tuple[Collision, ...]
    allowed: int
    closest: int | None


def check_indexes(samples: Sequence[Indexed], mismatches: int, most: int = 100) -> Distances:
    """Compare each sample with each other of its lane; indexes of unequal length over the shorter one.

    Args:
        samples: With their indexes in upper case.
        mismatches: To be allowed in each index.
        most: Collisions that are returned.
    """
    collisions: list[Collision] = []
    closest: int | None = None
    for lane, members in _lanes(samples):
        for first, others, one, two in _pairs(members):
            apart = np.maximum(one, two)
            nearest = int(apart.min())
            closest = nearest if closest is None else min(closest, nearest)
            for place in np.flatnonzero(apart <= 2 * mismatches):
                if len(collisions) < most:
                    second = others[int(place)]
                    far = int(two[place]) if first.index2 and second.index2 else None
                    collisions.append(Collision(first.name, second.name, lane, int(one[place]), far))
    allowed = MOST_MISMATCHES if closest is None else min((closest - 1) // 2, MOST_MISMATCHES)
    return Distances(tuple(collisions), allowed, closest)


def _lanes(samples: Sequence[Indexed]) -> Iterator[tuple[int | None, list[Indexed]]]:
    """Give each lane with its samples; those without a lane are in all of them."""
    named = sorted({lane for sample in samples for lane in sample.lanes})
    everywhere = [sample for sample in samples if not sample.lanes]
    if not named:
        yield None, everywhere
    for lane in named:
        yield lane, [*everywhere, *(sample for sample in samples if lane in sample.lanes)]


def _pairs(
    members: Sequence[Indexed],
) -> Iterator[tuple[Indexed, Sequence[Indexed], NDArray[np.int64], NDArray[np.int64]]]:
    """Give each sample with those after it and its distances from them; memory is linear in the samples."""
    first, second = _letters([m.index for m in members]), _letters([m.index2 for m in members])
    for place in range(len(members) - 1):
        yield (
            members[place],
            members[place + 1 :],
            _distances(first[place], first[place + 1 :]),
            _distances(second[place], second[place + 1 :]),
        )


def _letters(indexes: Sequence[str]) -> NDArray[np.uint8]:
    width = max((len(index) for index in indexes), default=0)
    if not width:
        return np.zeros((len(indexes), 0), np.uint8)
    rows = b"".join(index.encode("ascii", "replace").ljust(width, b"\0") for index in indexes)
    return np.frombuffer(rows, np.uint8).reshape(len(indexes), width)


def _distances(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    # A place beyond the end of the shorter index tells nothing apart.
    differ = (others != one) & (others != 0) & (one != 0)
    apart: NDArray[np.int64] = np.sum(differ, axis=1, dtype=np.int64)
    return apart

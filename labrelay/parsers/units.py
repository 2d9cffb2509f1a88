"""Runs of several parts: what holds of all of them together."""

from __future__ import annotations

from collections.abc import Sequence

from labrelay.model.instrument import Completion, Fact, Known, Unit


def together(units: Sequence[Unit]) -> Completion:
    """Return the three facts of a run by those of its parts: while one part is not finished, the run is not."""
    return Completion(
        acquired=_worst([unit.completion.acquired for unit in units]),
        copied=_worst([unit.completion.copied for unit in units]),
        converted=_worst([unit.completion.converted for unit in units]),
    )


def _worst(facts: Sequence[Fact]) -> Fact:
    for value in (Known.NO, Known.UNKNOWN, Known.YES):
        found = next((fact for fact in facts if fact.value is value), None)
        if found is not None:
            return found
    return Fact()

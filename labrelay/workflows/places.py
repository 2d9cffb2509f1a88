"""Where a workflow can run, and where it does: by what a person says, the definition, and what the home has."""

from __future__ import annotations

from collections.abc import Collection

from labrelay.model.errors import UsageError
from labrelay.workflows.definition import Definition
from labrelay.workflows.specs import COMMAND, NEXTFLOW, READY2RUN, Place

PLACES: tuple[Place, ...] = ("local", "healthomics", "batch")
BY_LANGUAGE: dict[str, tuple[Place, ...]] = {
    "WDL": PLACES,
    NEXTFLOW: PLACES,
    COMMAND: ("local", "batch"),
    READY2RUN: ("healthomics",),
}


def places_of(definition: Definition) -> tuple[Place, ...]:
    """Return the kinds of engine that can run a definition, its own wish first."""
    return definition.runs_on or BY_LANGUAGE[definition.language]


def choose_place(definition: Definition, asked: str | None, default: str, available: Collection[str]) -> str:
    """Return the kind of engine for a run.

    Args:
        definition: What shall run; its `runs_on` names where, the first that the home has before the others.
        asked: What a person or a rule says; None leaves it to the definition, and then to the home.
        default: The home's own engine.
        available: All that the home has.

    Returns:
        A kind that the home may not have, where it has none that would do.

    Raises:
        UsageError: The definition does not run where it was asked to.
    """
    able = places_of(definition)
    if asked is not None:
        if asked not in able and asked in PLACES:
            why = "its runs_on says so" if definition.runs_on else f"its language is {definition.language}"
            raise UsageError(f"{definition.name} runs on {' or '.join(able)}, not on {asked}: {why}")
        return asked
    if not definition.runs_on and (default in able or default not in PLACES):
        return default
    return next((place for place in able if place in available), able[0])

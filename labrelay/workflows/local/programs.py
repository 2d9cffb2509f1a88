"""Which engine program runs a workflow: by the language of its definition."""

from __future__ import annotations

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.workflows.local.miniwdl import Miniwdl
from labrelay.workflows.local.program import Program


def program_of(language: str) -> Program:
    """Return the engine program for a language.

    Raises:
        RefusedInput: Nothing on this machine runs it.
    """
    if language == "WDL":
        return Miniwdl()
    if language == "NEXTFLOW":
        # Only those that need it pay for a program's part.
        from labrelay.workflows.local.pipeline import Pipeline

        return Pipeline()
    if language == "COMMAND":
        from labrelay.workflows.local.command import Command

        return Command()
    message = (
        f"Nothing on this machine runs {language}; use the profile healthomics, or a definition in WDL or Nextflow, or "
        "of one command."
    )
    raise RefusedInput("The workflow", [Problem(code="LANGUAGE_UNKNOWN", message=message)])

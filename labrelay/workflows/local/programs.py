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
        # Only pipelines in Nextflow pay for its part.
        from labrelay.workflows.local.pipeline import Pipeline

        return Pipeline()
    message = (
        f"Nothing on this machine runs {language}; use the profile healthomics, or a definition in WDL or Nextflow."
    )
    raise RefusedInput("The workflow", [Problem(code="LANGUAGE_UNKNOWN", message=message)])

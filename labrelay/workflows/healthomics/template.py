"""Text and parameters as HealthOmics takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DESCRIPTION_CHARS, PARAMETERS = 256, 1000


def parameter_template(schema: Mapping[str, Any], outdir: str | None = None) -> dict[str, dict[str, Any]]:
    """Return HealthOmics' parameter template for a workflow's inputs: what each is for, and whether it may be left out.

    Args:
        schema: From `labrelay.workflows.schema`.
        outdir: A pipeline's parameter for the publish folder, which is none of its users' inputs.
    """
    required = set(schema.get("required", ()))
    template: dict[str, dict[str, Any]] = {}
    for name, shape in list(schema.get("properties", {}).items())[:PARAMETERS]:
        template[name] = {"optional": name not in required}
        words = plain(str(shape.get("description", "")))[:DESCRIPTION_CHARS]
        if words:
            template[name]["description"] = words
    if outdir is not None:
        template[outdir] = {"optional": True, "description": "where the pipeline publishes"}
    return template


def plain(text: str) -> str:
    """Return `text` as HealthOmics takes it: one line, no control characters."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))

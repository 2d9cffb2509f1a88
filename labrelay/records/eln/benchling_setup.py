"""What a tenant of Benchling needs to have for us: schemas with their fields, and where they are named in the settings.

Pure: what is missing is told from the schemas as Benchling describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labrelay.model.problem import Frozen, Problem

RECORD = {
    "labrelay_id": ("Labrelay ID", {"text"}),
    "entry": ("Entry", {"entry_link"}),
    "status": ("Status", {"long_text"}),
    "links": ("Links", {"long_text"}),
    "files": ("Files", {"blob_link"}),
    "journal": ("Labrelay journal", {"long_text"}),
}
RESULT = {
    "record": ("record", {"custom_entity_link", "entity_link"}),
    "source": ("source", {"text"}),
    "sample": ("sample", {"text"}),
    "run": ("workflow_run", {"text"}),
    "workflow": ("workflow", {"text"}),
    "metric": ("metric", {"text"}),
    "label": ("label", {"text"}),
    "value": ("value", {"float"}),
    "unit": ("unit", {"text"}),
    "verdict": ("verdict", {"text"}),
    "note": ("note", {"text", "long_text"}),
}
SAMPLE = {"experiment": ("Experiment", {"entry_link"})}
PROJECT = "Project"  # a field that entries of the experiment schema may have
REQUIRED = ("client_id", "folder", "record_schema", "result_schema")
KNOWN = (*REQUIRED, "project", "experiment_schema", "sample_schema")
_Fields = Mapping[str, tuple[str, set[str]]]


class Setup(Frozen):
    """The options of one tenant; the client secret is not among them.

    Attributes:
        client_id: Of the app.
        folder: Where records are made (`lib_…`).
        record_schema: The entity schema of records (`ts_…`).
        result_schema: The assay result schema (`assaysch_…`).
        project: Who may see the results (`src_…`); without it only the app can.
        experiment_schema: The entry schema whose entries announce experiments; without it nothing is heard.
        sample_schema: The entity schema of announced samples.
    """

    client_id: str
    folder: str
    record_schema: str
    result_schema: str
    project: str | None = None
    experiment_schema: str | None = None
    sample_schema: str | None = None


def option_problems(options: Mapping[str, str]) -> list[Problem]:
    """Return which options are missing, unknown or go only together."""
    missing = [name for name in REQUIRED if not options.get(name)]
    found = [problem("OPTION_MISSING", f"eln_options names no {name}: add it") for name in missing]
    unknown = sorted(set(options) - set(KNOWN))
    known = ", ".join(KNOWN)
    found += [problem("OPTION_UNKNOWN", f"eln_options: Benchling has no {name}; there are {known}") for name in unknown]
    if bool(options.get("experiment_schema")) != bool(options.get("sample_schema")):
        found.append(
            problem("OPTION_MISSING", "eln_options: experiment_schema and sample_schema go together: add the other")
        )
    return found


def field_problems(what: str, schema: Mapping[str, Any], fields: _Fields) -> list[Problem]:
    """Return which fields a schema lacks or has of another type."""
    there = {field["name"]: field for field in schema.get("fieldDefinitions") or [] if not field.get("archiveRecord")}
    named = f"the {what} schema {schema.get('name') or schema.get('id')}"
    found = []
    for name, types in fields.values():
        wanted = " or ".join(sorted(types))
        if name not in there:
            found.append(problem("FIELD_MISSING", f"{named} has no field {name}: add one of type {wanted}"))
        elif there[name].get("type") not in types:
            text = f"the field {name} of {named} is of type {there[name].get('type')}: it has to be {wanted}"
            found.append(problem("FIELD_TYPE", text))
        elif name == RECORD["files"][0] and not there[name].get("isMulti"):
            found.append(problem("FIELD_TYPE", f"the field {name} of {named} takes one value: it has to take several"))
    required = [n for n, field in there.items() if field.get("isRequired") and n not in {f for f, _ in fields.values()}]
    if fields is not SAMPLE and required:
        text = f"{named} requires {', '.join(sorted(required))}, which Labrelay does not know: make it optional"
        found.append(problem("FIELD_REQUIRED", text))
    return found


def names(fields: _Fields) -> dict[str, str]:
    """Return what each of our values is called in Benchling."""
    return {key: name for key, (name, _) in fields.items()}


def problem(code: str, message: str) -> Problem:
    """Return a finding about the set-up."""
    return Problem(code=code, message=message)

"""The form of one workflow definition: its free parameters as real fields, with words, defaults and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labrelay.workflows.definition import Definition, InputSource, InputSpec
from labrelay.workflows.places import places_of

Schema = dict[str, Any]
NESTED = "parameters"


def form_schema(base: Mapping[str, Any], definition: Definition, inputs: Mapping[str, Any]) -> Schema:
    """Return the parameter schema of a definition's deployment.

    Args:
        base: The flow's own schema, with a `parameters` property that is any object.
        definition: Says which inputs a person fills in, and with which words.
        inputs: The workflow's JSON Schema, from `labrelay.workflows.schema.input_schema`.

    Returns:
        The base with `workflow` fixed to this definition, and with `parameters` as an object of one property for each
        free input, by its unqualified name. Inputs that come from samples, reads, the reference or a constant are not
        in the form.
    """
    properties = {name: dict(shape) for name, shape in base.get("properties", {}).items()}
    properties["workflow"] |= {"enum": [definition.name], "readOnly": True, "default": definition.name}
    properties[NESTED] = _parameters(definition, inputs) | {"position": properties[NESTED].get("position", 0)}
    if "on" in properties:
        properties["on"]["enum"] = ["", *places_of(definition)]
    if definition.scope == "cohort":
        properties["sample"] |= {"title": "Experiment", "description": "All its samples with reads go into one run."}
    sources = [spec.source.value for spec in definition.inputs.values()]
    sources += definition.samplesheet.columns.values() if definition.samplesheet else []
    wants_reference = any(source.startswith("reference.") for source in sources)
    required = [name for name in base.get("required", ()) if name != NESTED]
    if wants_reference:
        required.append("reference")
        properties["reference"].pop("default", None)
        properties["reference"]["description"] = "The reference genome's name, as `labrelay reference list` shows it."
    else:
        del properties["reference"]
    return {**base, "properties": properties, "required": required}


def with_titles(schema: Mapping[str, Any]) -> Schema:
    """Return a flow's schema with titles in words; Prefect calls each field by its Python name."""
    properties = {
        name: {**shape, "title": name.replace("_", " ").capitalize()}
        for name, shape in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}


def _parameters(definition: Definition, inputs: Mapping[str, Any]) -> Schema:
    prefix = definition.prefix
    sheet = definition.samplesheet.parameter if definition.samplesheet else None
    needed = {name.removeprefix(prefix) for name in inputs.get("required", ())}
    fields: dict[str, Schema] = {}
    for qualified, shape in inputs.get("properties", {}).items():
        name = qualified.removeprefix(prefix)
        spec = definition.inputs.get(name)
        free = spec.source is InputSource.PARAMETER if spec else not shape.get("hidden")
        if free and qualified != sheet:
            fields[name] = _field(name, shape, spec, len(fields))
    required = [name for name in fields if name in needed and "default" not in fields[name]]
    return {
        "title": "Parameters",
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


def _field(name: str, shape: Mapping[str, Any], spec: InputSpec | None, position: int) -> Schema:
    """Return one field; an optional input is one of its plain type, because a choice of types makes a poor form."""
    plain = next((s for s in shape.get("anyOf", ()) if s.get("type") != "null"), shape)
    words = {key: shape[key] for key in ("description", "default") if shape.get(key) is not None}
    field = {**plain, **words, "title": name.replace("_", " ").capitalize(), "position": position}
    if spec is not None:
        told = {"title": spec.label, "description": spec.help, "default": spec.default}
        field |= {key: value for key, value in told.items() if value is not None}
    return field

"""The inputs of a Nextflow pipeline as JSON Schema: its own `nextflow_schema.json`, else what its text sets.

`nextflow_schema.json` is taken as hostile: bounded, references inside the file only, and of each parameter only the
keywords that are known here. Follows https://nextflow-io.github.io/nf-schema/latest/nextflow_schema/.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.workflows.definition import Definition, InputSource, InputSpec
from labrelay.workflows.nextflow.params import UNKNOWN, params_of
from labrelay.workflows.nextflow.samplesheet import sheet_shape
from labrelay.workflows.shapes import EITHER, FILE, FOLDER, NAMED, declared, inputs_schema, words_of

SCHEMA_FILE = "nextflow_schema.json"
MAX_BYTES = 2_000_000
MAX_DEPTH = 24
MAX_PATTERN = 1_000
TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}
NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
FORMATS = {FILE: FILE, FOLDER: FOLDER, "path": EITHER}


def pipeline_schema(definition: Definition) -> dict[str, Any]:
    """Return the JSON Schema of a pipeline's inputs, without the parameter of its publish folder.

    Raises:
        RefusedInput: `nextflow_schema.json` is there and is no schema.
    """
    own = read_schema(definition)
    properties, required = own if own is not None else _from_text(definition)
    for name, spec in definition.inputs.items():
        properties[name] = _with_spec(properties.get(name), spec, definition.scope == "cohort", own is not None)
        if own is None and spec.type and spec.default is None and not spec.may_be_missing:
            required.append(name)
    sheet = definition.samplesheet
    if sheet is not None:
        properties[sheet.parameter] = sheet_shape(sheet, properties.get(sheet.parameter))
        required.append(sheet.parameter)
    outdir = definition.nextflow.outdir
    properties.pop(outdir or "", None)
    needed = {name for name in required if name in properties and "default" not in properties[name]}
    typed = bool(definition.inputs) and all(spec.type for spec in definition.inputs.values())
    schema = inputs_schema(definition.name, properties, list(needed), closed=own is not None or typed)
    return schema | ({"propertyNames": {"not": {"const": outdir}}} if outdir else {})


def read_schema(definition: Definition) -> tuple[dict[str, Any], list[str]] | None:
    """Return the properties and the required names of `nextflow_schema.json`, or None if the folder has none.

    Raises:
        RefusedInput: It is no JSON, too large or deep, refers elsewhere, or is no schema.
    """
    path = definition.folder / SCHEMA_FILE
    if not path.is_file():
        return None
    import jsonschema  # here: few pipelines of a home have a schema to check

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")
        _check_depth(document, MAX_DEPTH)
        properties, required = _collected(document)
        jsonschema.Draft202012Validator.check_schema(inputs_schema("", properties, required))
    except (ValueError, RecursionError, jsonschema.SchemaError) as error:
        words = error.message if isinstance(error, jsonschema.SchemaError) else str(error)
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        message = f"It cannot be used as the schema of the parameters: {words.rstrip('.')}."
        problem = Problem(code="NEXTFLOW_SCHEMA_INVALID", message=message, path=SCHEMA_FILE, line=line)
        raise RefusedInput(f"The definition {definition.folder}", [problem]) from None
    return properties, required


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(item, left - 1)


def _collected(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for group in _groups(document, document, 0):
        members = group.get("properties")
        for name, shape in members.items() if isinstance(members, dict) else ():
            if isinstance(shape, dict):
                properties[name] = _clean(shape)
        given = {name for name, shape in members.items() if _has_default(shape)} if isinstance(members, dict) else set()
        names = group.get("required")
        required += [n for n in names if isinstance(n, str) and n not in given] if isinstance(names, list) else []
    return properties, required


def _has_default(shape: Any) -> bool:
    return isinstance(shape, dict) and shape.get("default") is not None


def _groups(document: Mapping[str, Any], part: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield a part of the schema and the groups that its `allOf` names."""
    if depth > MAX_DEPTH:
        raise ValueError("its references go round in circles")
    yield part
    groups = part.get("allOf")
    for group in groups if isinstance(groups, list) else ():
        if isinstance(group, dict):
            inner = _resolved(document, group["$ref"]) if "$ref" in group else group
            yield from _groups(document, inner, depth + 1)


def _resolved(document: Mapping[str, Any], reference: Any) -> Mapping[str, Any]:
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise ValueError(f"it refers to {reference!r}, which is not inside it")
    found: Any = document
    for part in reference[2:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"it refers to {reference}, which is not there")
    return found


def _clean(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return those keywords of a parameter's schema that are known and well formed."""
    if "$ref" in shape:
        raise ValueError(f"a parameter refers to {shape['$ref']!r}; write its schema out")
    kept: dict[str, Any] = {}
    kinds = shape.get("type")
    if kinds in TYPES if isinstance(kinds, str) else isinstance(kinds, list) and kinds and TYPES.issuperset(kinds):
        kept["type"] = kinds
    kept |= {key: shape[key] for key in NUMBERS if _is_number(shape.get(key))}
    kept |= {key: shape[key] for key in COUNTS if type(shape.get(key)) is int and shape[key] >= 0}
    if isinstance(shape.get("enum"), list) and shape["enum"]:
        kept["enum"] = shape["enum"]
    # `${projectDir}/…` is computed by Nextflow; as a value that is handed over it would be taken by the letter.
    kept |= {
        key: shape[key] for key in ("default", "const") if shape.get(key) is not None and not _computed(shape[key])
    }
    kept |= {key: shape[key] for key in ("hidden", "exists") if isinstance(shape.get(key), bool)}
    kept |= _text_keywords(shape) | _nested(shape)
    return kept


def _text_keywords(shape: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    words = shape.get("description") or shape.get("help_text")
    if isinstance(words, str):
        kept["description"] = words[:MAX_PATTERN]
    if FORMATS.get(str(shape.get("format"))):
        kept["format"] = FORMATS[shape["format"]]
    pattern = shape.get("pattern")
    if isinstance(pattern, str) and len(pattern) <= MAX_PATTERN:
        try:
            re.compile(pattern)
            kept["pattern"] = pattern
        except (re.error, RecursionError, OverflowError):
            pass  # Java's patterns can say more than ours; the pipeline looks itself
    return kept


def _nested(shape: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    if isinstance(shape.get("items"), dict):
        kept["items"] = _clean(shape["items"])
    members = shape.get("properties")
    if isinstance(members, dict):
        kept["properties"] = {name: _clean(inner) for name, inner in members.items() if isinstance(inner, dict)}
        names = shape.get("required")
        kept |= {"required": sorted({n for n in names if isinstance(n, str)})} if isinstance(names, list) else {}
    for key in ("anyOf", "oneOf"):
        choices = shape.get(key)
        if isinstance(choices, list) and choices and all(isinstance(choice, dict) for choice in choices):
            kept["anyOf"] = [_clean({"type": shape.get("type"), **choice}) for choice in choices]
    return kept


def _computed(value: Any) -> bool:
    return isinstance(value, str) and re.search(r"\$[{A-Za-z_]", value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _from_text(definition: Definition) -> tuple[dict[str, Any], list[str]]:
    folder = definition.folder
    found = params_of(folder / definition.main, folder / "nextflow.config")
    return {name: _guessed(value) for name, value in found.items()}, []


def _guessed(value: Any) -> dict[str, Any]:
    """Return the schema that a default allows: Groovy takes any number where there was one."""
    if value is UNKNOWN or value is None:
        return {}
    kind = "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "string"
    return {"type": "array" if isinstance(value, list) else kind, "default": value}


def _with_spec(shape: dict[str, Any] | None, spec: InputSpec, cohort: bool, known: bool) -> dict[str, Any]:
    if spec.type is not None:
        return declared(spec)
    source = spec.source
    if source in (InputSource.CONSTANT, InputSource.PARAMETER) or (known and shape is not None):
        return (shape or {}) | words_of(spec)
    mapped: dict[str, Any] = dict(NAMED["File" if source.value.startswith(("reads.", "reference.")) else "String"])
    lists = source.value.startswith("reads.") + (cohort and not source.value.startswith("reference."))
    for _ in range(lists):
        mapped = {"type": "array", "items": mapped}
    return mapped | words_of(spec)

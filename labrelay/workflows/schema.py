"""The inputs of a workflow as JSON Schema 2020-12, the check of values against it, and a template to fill in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import WDL

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.workflows.definition import COMMAND, NEXTFLOW, READY2RUN, Definition
from labrelay.workflows.document import load_document
from labrelay.workflows.nextflow.schema import pipeline_schema
from labrelay.workflows.shapes import EITHER, FILE, FOLDER, NAMED, declared, files_in, inputs_schema

if TYPE_CHECKING:
    import jsonschema

__all__ = [
    "FILE",
    "FOLDER",
    "check_inputs",
    "input_problems",
    "input_schema",
    "input_template",
    "schema_of",
    "type_schema",
]
SCALARS = (
    (WDL.Type.Boolean, NAMED["Boolean"]),
    (WDL.Type.Int, NAMED["Int"]),
    (WDL.Type.Float, NAMED["Float"]),
    (WDL.Type.File, NAMED["File"]),
    (WDL.Type.Directory, NAMED["Directory"]),
    (WDL.Type.String, NAMED["String"]),
)
KINDS = {FILE: "file", FOLDER: "folder", EITHER: "file or folder"}


def schema_of(definition: Definition) -> dict[str, Any]:
    """Return the JSON Schema of a definition's inputs; see `input_schema`.

    Raises:
        RefusedInput: Its WDL does not load, or its `nextflow_schema.json` is not one.
    """
    if definition.language == NEXTFLOW:
        return pipeline_schema(definition)
    if definition.language not in (READY2RUN, COMMAND):
        return input_schema(load_document(definition.folder, definition.main))
    properties = {definition.qualified(name): declared(spec) for name, spec in definition.inputs.items()}
    needed = (name for name, spec in definition.inputs.items() if spec.default is None and not spec.may_be_missing)
    return inputs_schema(definition.workflow, properties, [definition.qualified(name) for name in needed])


def input_schema(document: Any) -> dict[str, Any]:
    """Return the JSON Schema of a workflow's inputs.

    Args:
        document: From `document.load_document`.

    Returns:
        An object schema; its properties have the qualified names that the engine wants (`workflow.input`), files are
        strings of format `file-path`, and `description` is the help of `parameter_meta`. Runtime overrides
        (`call._runtime…`) are left out.
    """
    workflow = document.workflow
    required = {binding.name for binding in workflow.required_inputs}
    properties: dict[str, Any] = {}
    for binding in workflow.available_inputs:
        if "_runtime" in binding.name.split("."):
            continue
        shape = type_schema(binding.value.type)
        shape |= _words(workflow.parameter_meta.get(binding.name))
        literal = getattr(binding.value.expr, "literal", None)
        if literal is not None:
            shape["default"] = literal.json
        properties[f"{workflow.name}.{binding.name}"] = shape
    return inputs_schema(workflow.name, properties, [f"{workflow.name}.{name}" for name in required])


def type_schema(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema of one WDL type."""
    shape = _plain(kind)
    return {"anyOf": [shape, {"type": "null"}]} if kind.optional else shape


def _plain(kind: Any) -> dict[str, Any]:
    for known, shape in SCALARS:
        if isinstance(kind, known):
            return dict(shape)
    if isinstance(kind, WDL.Type.Array):
        return {"type": "array", "items": type_schema(kind.item_type)} | ({"minItems": 1} if kind.nonempty else {})
    if isinstance(kind, WDL.Type.Map):
        return {"type": "object", "additionalProperties": type_schema(kind.item_type[1])}
    if isinstance(kind, WDL.Type.Pair):
        members = {"left": kind.left_type, "right": kind.right_type}
        return _object(members)
    if isinstance(kind, WDL.Type.StructInstance):
        return {"title": kind.type_name, **_object(kind.members or {})}
    return {}


def _object(members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: type_schema(kind) for name, kind in members.items()},
        "required": [name for name, kind in members.items() if not kind.optional],
        "additionalProperties": False,
    }


def _words(meta: Any) -> dict[str, str]:
    if isinstance(meta, str):
        return {"description": meta}
    if isinstance(meta, Mapping):
        text = meta.get("description") or meta.get("help")
        return {"description": str(text)} if text else {}
    return {}


def input_problems(schema: Mapping[str, Any], inputs: Mapping[str, Any], look: bool = True) -> list[Problem]:
    """Return everything that is wrong with input values, each with what to do; an empty list means: submit.

    Args:
        schema: From `input_schema`.
        inputs: Qualified names and values.
        look: Whether to look for local files (a URI is never looked for).
    """
    import jsonschema  # here: whoever only asks for a schema does without

    problems = [_input_problem(error, schema) for error in jsonschema.Draft202012Validator(schema).iter_errors(inputs)]
    if look:
        for name, value in inputs.items():
            problems += _missing_files(name, schema.get("properties", {}).get(name, {}), value)
    return sorted(problems, key=lambda problem: problem.message)


def check_inputs(schema: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Raise `RefusedInput` with all problems of the values, if there are any."""
    problems = input_problems(schema, inputs)
    if problems:
        raise RefusedInput(f"The inputs of {schema.get('title', 'the workflow')}", problems)


def input_template(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person fills in: each input with its default, or the name of its type where it has none."""
    required = set(schema.get("required", ()))
    return {
        name: shape.get("default", _type_words(shape) + ("" if name in required else " (optional)"))
        for name, shape in schema.get("properties", {}).items()
    }


def _type_words(shape: Mapping[str, Any]) -> str:
    if "anyOf" in shape:
        return _type_words(shape["anyOf"][0])
    if shape.get("type") == "array":
        return f"list of {_type_words(shape.get('items') or {})}"
    if shape.get("format") in KINDS:
        return KINDS[shape["format"]]
    kind = shape.get("type")
    kind = " or ".join(str(each) for each in kind if each != "null") if isinstance(kind, list) else kind
    return str(shape.get("title") or kind or "any value")


def _input_problem(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> Problem:
    where = "".join(f"[{part}]" if isinstance(part, int) else f"/{part}" for part in error.absolute_path).lstrip("/")
    rule: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    known = rule.get("properties", {})
    if error.validator == "required":
        # jsonschema reports each missing name by itself and quotes it.
        missing = next(name for name in rule["required"] if error.message.startswith(repr(name)))
        inside = f" in {where}" if where else ""
        words = _type_words(known.get(missing, {}))
        return Problem(code="INPUT_MISSING", message=f"{missing}{inside} is missing; give a {words}.")
    if error.validator == "additionalProperties":
        given: dict[str, Any] = error.instance if isinstance(error.instance, dict) else {}
        names = ", ".join(sorted(set(given) - set(known)))
        message = (
            f"{names}: {schema.get('title', 'the workflow')} has no such input; it has {', '.join(sorted(known))}."
        )
        return Problem(code="INPUT_UNKNOWN", message=message)
    if error.validator == "not" and not error.absolute_path:
        message = f"{error.instance} is set to the folder that results are published to; leave it out."
        return Problem(code="PARAMETER_NOT_FREE", message=message)
    value = repr(error.instance)
    shown = value if len(value) <= 60 else value[:59] + "…"
    if error.validator in ("type", "anyOf"):
        words = _type_words(rule)
        return Problem(code="INPUT_WRONG_TYPE", message=f"{where} is {shown}, which is no {words}; give one.")
    if error.validator == "minItems":
        return Problem(code="INPUT_EMPTY", message=f"{where} is an empty list; give at least one.")
    return Problem(code="INPUT_INVALID", message=f"{where} is {shown}: {error.message}.")


def _missing_files(name: str, shape: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    for where, found, text in files_in(name, shape, value):
        path, kind = Path(text), found["format"]
        if "://" in text or found.get("exists") is False:
            continue
        if not {FILE: path.is_file, FOLDER: path.is_dir, EITHER: path.exists}[kind]():
            word = "folder" if kind == FOLDER else "file"
            yield Problem(code="INPUT_FILE_MISSING", message=f"{where}: there is no {word} {text}; check the path.")

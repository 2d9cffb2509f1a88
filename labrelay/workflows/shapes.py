"""What JSON Schemas of inputs are made of here, and the one walk over values that finds the files in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from labrelay.workflows.specs import InputSpec

FILE, FOLDER, EITHER = "file-path", "directory-path", "path"
NAMED: dict[str, dict[str, Any]] = {
    "Boolean": {"type": "boolean"},
    "Int": {"type": "integer"},
    "Float": {"type": "number"},
    "File": {"type": "string", "format": FILE},
    "Directory": {"type": "string", "format": FOLDER},
    "String": {"type": "string"},
}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list, tuple),
    "object": (dict,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def inputs_schema(title: str, properties: dict[str, Any], required: list[str], closed: bool = True) -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of a workflow's inputs; a closed one refuses names that it does not know."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": not closed,
    }


def declared(spec: InputSpec) -> dict[str, Any]:
    """Return the schema of an input whose type `definition.toml` says."""
    named = str(spec.type).removesuffix("?")
    item = NAMED[named.removeprefix("Array[").removesuffix("]")]
    shape: dict[str, Any] = {"type": "array", "items": dict(item)} if named.startswith("Array[") else dict(item)
    if str(spec.type).endswith("?"):
        shape = {"anyOf": [shape, {"type": "null"}]}
    return shape | words_of(spec)


def is_of(kind: str, value: object) -> bool:
    """Tell whether a value is of a type that `definition.toml` says, without its `?`."""
    if kind.startswith("Array["):
        item = kind.removeprefix("Array[").removesuffix("]")
        return isinstance(value, list | tuple) and all(is_of(item, each) for each in value)
    if isinstance(value, bool) or kind == "Boolean":
        return isinstance(value, bool) and kind == "Boolean"
    if kind == "Int" and isinstance(value, float):
        return value.is_integer()
    if kind in ("Int", "Float"):
        return isinstance(value, int) or (kind == "Float" and isinstance(value, float))
    return isinstance(value, str)


def words_of(spec: InputSpec) -> dict[str, Any]:
    """Return what `definition.toml` adds to an input's schema: words and a default."""
    words = {"description": spec.help or spec.label} if spec.help or spec.label else {}
    return words | ({"default": spec.default} if spec.default is not None else {})


def shape_for(shape: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Return that alternative of a schema which a value is meant to be: the first of its type, else the first."""
    choices: list[Mapping[str, Any]] = shape.get("anyOf") or [shape]
    return next((choice for choice in choices if _is_of(choice.get("type"), value)), choices[0])


def _is_of(kinds: Any, value: Any) -> bool:
    named = kinds if isinstance(kinds, list) else [kinds]
    return any(isinstance(value, PYTHON_TYPES.get(str(kind), ())) for kind in named)


def member_shape(shape: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the schema of one member of an object."""
    found = shape.get("properties", {}).get(key) or shape.get("additionalProperties")
    return found if isinstance(found, Mapping) else {}


def files_in(where: str, shape: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield (place, schema, text) of all in a value that its schema calls a file or folder, at any depth."""
    shape = shape_for(shape, value)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from files_in(f"{where}[{index}]", shape.get("items") or {}, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from files_in(f"{where}/{key}", member_shape(shape, key), item)
    elif isinstance(value, str) and shape.get("format") in (FILE, FOLDER, EITHER):
        yield where, shape, value


def with_files(shape: Mapping[str, Any], value: Any, change: Callable[[str], str]) -> Any:
    """Return a value in which each text that its schema calls a file or folder, at any depth, is what `change` says."""
    shape = shape_for(shape, value)
    if isinstance(value, list):
        return [with_files(shape.get("items") or {}, item, change) for item in value]
    if isinstance(value, dict):
        return {key: with_files(member_shape(shape, key), item, change) for key, item in value.items()}
    if isinstance(value, str) and shape.get("format") in (FILE, FOLDER, EITHER):
        return change(value)
    return value

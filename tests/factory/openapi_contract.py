"""Requests and answers held against an OpenAPI 3.0 document, so that a fake server cannot drift from it.

contract = Contract.load(path)
contract.request("/custom-entities", "POST", query, body)  # raises Broken
contract.answer("/custom-entities", "POST", 201, body)
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

BASE = "urn:openapi"
DROPPED = ("example", "examples", "xml", "externalDocs", "discriminator", "deprecated")


class Broken(AssertionError):
    """Something on the wire is not as the document says."""


class Contract:
    """One document, its schemas made JSON Schema 2020-12."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        components = document["components"]["schemas"]
        parts = set(_parts_of_wholes(document))
        schemas = {name: as_json_schema(_opened(s) if name in parts else s) for name, s in components.items()}
        whole = {"components": {"schemas": schemas}}
        resource = Resource.from_contents(whole, default_specification=DRAFT202012)
        self._registry = Registry().with_resource(BASE, resource)
        self._validators: dict[str, Draft202012Validator] = {}

    @classmethod
    @functools.cache
    def load(cls, path: Path) -> Contract:
        """Read a document in YAML, once a process."""
        return cls(yaml.load(path.read_text(), Loader=yaml.CSafeLoader))

    def request(self, path: str, method: str, query: Mapping[str, str], body: Any) -> None:
        """Check parameters and body of a request to a path as the document spells it."""
        operation = self._operation(path, method)
        declared = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
        free = [p for p in declared.values() if p["schema"].get("$ref", "").endswith("SchemaFieldsQueryParam")]
        for name, value in query.items():
            if name in declared:
                self._parameter(f"{method} {path}", declared[name], value)
            elif not (free and name.startswith("schemaField.")):
                raise Broken(f"{method} {path} has no parameter {name}")
        for name, parameter in declared.items():
            if parameter.get("required") and name not in query:
                raise Broken(f"{method} {path} needs the parameter {name}")
        if "requestBody" in operation and body is not None:
            self._check(f"{method} {path}", body_schema(operation["requestBody"]), body)

    def answer(self, path: str, method: str, status: int, body: Any) -> None:
        """Check an answer; a status that the operation does not declare is broken as well."""
        responses = self._operation(path, method)["responses"]
        if str(status) not in responses:
            raise Broken(f"{method} {path} never answers {status}")
        response = responses[str(status)]
        if "$ref" in response:
            response = self.document["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]
        if "content" in response:
            self._check(f"the {status} of {method} {path}", body_schema(response), body)

    def _operation(self, path: str, method: str) -> Mapping[str, Any]:
        try:
            operation: Mapping[str, Any] = self.document["paths"][path][method.lower()]
        except KeyError:
            raise Broken(f"there is no {method} {path}") from None
        return operation

    def _parameter(self, where: str, parameter: Mapping[str, Any], value: str) -> None:
        schema = parameter["schema"]
        typed: Any = int(value) if schema.get("type") == "integer" and value.lstrip("-").isdigit() else value
        typed = {"true": True, "false": False}.get(value, typed) if schema.get("type") == "boolean" else typed
        self._check(f"the parameter {parameter['name']} of {where}", schema, typed)

    def _check(self, where: str, schema: Mapping[str, Any], value: Any) -> None:
        if where not in self._validators:
            self._validators[where] = Draft202012Validator(as_json_schema(schema), registry=self._registry)
        validator = self._validators[where]
        problems = [f"{where}: {error.json_path}: {error.message}"[:400] for error in validator.iter_errors(value)]
        if problems:
            raise Broken("; ".join(problems))


def body_schema(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a request's or an answer's only kind of content."""
    (media,) = holder["content"].values()
    schema: Mapping[str, Any] = media["schema"]
    return schema


def as_json_schema(schema: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as JSON Schema: `nullable`, references, and closed objects of several parts."""
    if isinstance(schema, list):
        return [as_json_schema(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {
        k: v if k in ("enum", "default", "required") else _part(k, v) for k, v in schema.items() if k not in DROPPED
    }
    if "$ref" in made:
        made["$ref"] = BASE + made["$ref"]
    # `allOf` beside `additionalProperties: false` would allow nothing at all; it is meant of the parts together.
    if made.get("additionalProperties") is False and "allOf" in made:
        made["unevaluatedProperties"] = made.pop("additionalProperties")
    # Benchling's own links of several kinds match more than one alternative: one that matches will do.
    if "oneOf" in made:
        made["anyOf"] = made.pop("oneOf")
    if made.pop("nullable", False):
        return {"anyOf": [made, {"type": "null"}]}
    return made


def _parts_of_wholes(schema: Any) -> Iterator[str]:
    """Yield the names of schemas that stand in an `allOf`: they are closed only as a whole."""
    if isinstance(schema, list):
        for part in schema:
            yield from _parts_of_wholes(part)
    elif isinstance(schema, Mapping):
        for part in schema.get("allOf") or []:
            if isinstance(part, Mapping) and "$ref" in part:
                yield part["$ref"].rsplit("/", 1)[-1]
        for part in schema.values():
            yield from _parts_of_wholes(part)


def _opened(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if (key, value) != ("additionalProperties", False)}


def _part(key: str, value: Any) -> Any:
    if key in ("properties", "patternProperties"):
        return {name: as_json_schema(schema) for name, schema in value.items()}
    return as_json_schema(value)


def cut(document: Mapping[str, Any], wanted: Iterable[tuple[str, str]], prefix: str = "") -> dict[str, Any]:
    """Return a document with only the wanted operations (path, method), each path behind a prefix."""
    paths: dict[str, dict[str, Any]] = {}
    for path, method in wanted:
        paths.setdefault(prefix + path, {})[method.lower()] = document["paths"][path][method.lower()]
    return {**document, "servers": [{"url": "/"}], "paths": paths}

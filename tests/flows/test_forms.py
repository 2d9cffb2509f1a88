"""The form of a workflow definition has its free inputs as real fields, and nothing that Labrelay fills in."""

from __future__ import annotations

from typing import Any

import pytest

from labrelay.flows.forms import form_schema, with_titles
from labrelay.workflows.definition import Definition

BASE: dict[str, Any] = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "home": {"title": "home", "type": "string", "position": 0},
        "workflow": {"type": "string", "position": 1},
        "sample": {"type": "string", "position": 2, "description": "d"},
        "reference": {"type": "string", "position": 3, "default": ""},
        "parameters": {"type": "object", "position": 4, "default": {}},
    },
    "required": ["home", "workflow", "sample"],
}
INPUTS: dict[str, Any] = {
    "properties": {
        "w.sample": {"type": "string"},
        "w.min_depth": {"type": "integer", "default": 5, "description": "Depth in the WDL"},
        "w.panel": {"type": "array", "items": {"type": "string"}},
        "w.note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["w.panel", "w.sample"],
}


def a_definition(tmp_path: Any, **values: Any) -> Definition:
    inputs = {
        "sample": {"from": "sample.name"},
        "min_depth": {"from": "parameter", "label": "Depth to call", "default": 10},
    }
    told = {"name": "w", "version": "1", "title": "W", "workflow": "w", "inputs": inputs, "folder": tmp_path}
    return Definition.model_validate(told | values)


def test_free_inputs_are_fields_with_the_definitions_words_and_defaults(tmp_path: Any) -> None:
    fields = form_schema(BASE, a_definition(tmp_path), INPUTS)["properties"]["parameters"]
    assert list(fields["properties"]) == ["min_depth", "panel", "note"]
    depth = fields["properties"]["min_depth"]
    assert (depth["title"], depth["default"], depth["description"]) == ("Depth to call", 10, "Depth in the WDL")
    assert fields["required"] == ["panel"]
    assert fields["additionalProperties"] is False


def test_an_optional_input_is_one_plain_field(tmp_path: Any) -> None:
    note = form_schema(BASE, a_definition(tmp_path), INPUTS)["properties"]["parameters"]["properties"]["note"]
    assert (note["type"], note["title"]) == ("string", "Note")
    assert "anyOf" not in note


def test_the_workflow_is_fixed_and_a_form_without_a_reference_does_not_ask_for_one(tmp_path: Any) -> None:
    schema = form_schema(BASE, a_definition(tmp_path), INPUTS)
    assert schema["properties"]["workflow"]["enum"] == ["w"]
    assert "reference" not in schema["properties"]


def test_a_definition_that_wants_a_reference_makes_it_required(tmp_path: Any) -> None:
    schema = form_schema(BASE, a_definition(tmp_path, inputs={"ref": {"from": "reference.fasta"}}), INPUTS)
    assert "reference" in schema["required"]
    assert "default" not in schema["properties"]["reference"]


def test_a_cohort_workflow_asks_for_an_experiment(tmp_path: Any) -> None:
    schema = form_schema(BASE, a_definition(tmp_path, scope="cohort"), INPUTS)
    assert schema["properties"]["sample"]["title"] == "Experiment"


def test_the_base_is_not_changed(tmp_path: Any) -> None:
    form_schema(BASE, a_definition(tmp_path), INPUTS)
    assert BASE["properties"]["workflow"] == {"type": "string", "position": 1}
    assert BASE["properties"]["parameters"]["default"] == {}


@pytest.mark.parametrize(("name", "title"), [("assume_complete", "Assume complete"), ("home", "Home")])
def test_titles_are_words(name: str, title: str) -> None:
    assert with_titles({"properties": {name: {"title": name}}})["properties"][name]["title"] == title

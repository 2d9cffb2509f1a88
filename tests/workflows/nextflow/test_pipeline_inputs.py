"""Which inputs a Nextflow pipeline has: by its schema, by its text, by its definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.workflows.definition import load
from labrelay.workflows.nextflow.params import UNKNOWN, params_in
from labrelay.workflows.schema import input_problems, schema_of

from .test_nextflow_definition import TOML, pipeline

GROUPS: dict[str, Any] = {
    "io": {
        "required": ["input", "outdir", "depth"],
        "properties": {
            "input": {"type": "string", "format": "file-path", "pattern": r"^\S+\.csv$", "exists": True},
            "outdir": {"type": "string", "format": "directory-path"},
            "depth": {"type": "integer", "minimum": 1, "default": 10, "fa_icon": "x"},
        },
    },
    "other": {
        "properties": {
            "aligner": {"type": "string", "enum": ["star", "hisat2"], "help_text": "Which one.", "hidden": True},
            "java": {"type": "string", "pattern": r"^\p{Alpha}++$"},
            "index": {"type": "string", "format": "path"},
        }
    },
}


def nf_schema(kind: str, groups: dict[str, Any] = GROUPS) -> str:
    return json.dumps({"type": "object", kind: groups, "allOf": [{"$ref": f"#/{kind}/{name}"} for name in groups]})


def with_schema(folder: Path, text: str, toml: str = TOML) -> Path:
    pipeline(folder, toml)
    (folder / "nextflow_schema.json").write_text(text)
    return folder


@pytest.mark.parametrize("kind", ["$defs", "definitions"])
def test_the_pipelines_own_schema_is_the_schema(tmp_path: Path, kind: str) -> None:
    schema = schema_of(load(with_schema(tmp_path / "d", nf_schema(kind))))
    assert sorted(schema["properties"]) == ["aligner", "depth", "index", "input", "java"]
    assert schema["required"] == ["input"]
    assert schema["properties"]["aligner"] == {
        "type": "string",
        "enum": ["star", "hisat2"],
        "description": "Which one.",
        "hidden": True,
    }
    assert "pattern" not in schema["properties"]["java"]
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("")
    assert input_problems(schema, {"input": str(sheet), "aligner": "star", "index": str(tmp_path)}) == []
    bad = {"input": "/no/sheet.csv", "aligner": "bwa", "depth": 0, "nope": 1, "outdir": "/tmp/x", "index": "/no/index"}
    assert sorted(p.code for p in input_problems(schema, bad)) == [
        "INPUT_FILE_MISSING",
        "INPUT_FILE_MISSING",
        "INPUT_INVALID",
        "INPUT_INVALID",
        "INPUT_UNKNOWN",
        "PARAMETER_NOT_FREE",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"properties": ' + '{"a": {"type": "object", "properties": ' * 30 + "{}" + "}}" * 30 + "}",
        '{"allOf": [{"$ref": "https://example.org/schema.json"}]}',
        '{"allOf": [{"$ref": "#/$defs/gone"}]}',
        '{"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}',
        '{"properties": {"a": {"$ref": "file:///etc/passwd"}}}',
        '{"a": "' + "x" * 2_000_000 + '"}',
    ],
    ids=["cut", "list", "deep json", "deep schema", "remote", "gone", "circle", "file", "large"],
)
def test_a_schema_that_is_none_is_refused_in_words(tmp_path: Path, text: str) -> None:
    definition = load(with_schema(tmp_path / "d", text))
    with pytest.raises(RefusedInput) as caught:
        schema_of(definition)
    assert [(p.code, p.path) for p in caught.value.problems] == [("NEXTFLOW_SCHEMA_INVALID", "nextflow_schema.json")]


def test_malformed_keywords_of_a_parameter_are_left_out(tmp_path: Path) -> None:
    odd = {"type": "wizard", "minimum": "1", "maxLength": -1, "enum": [], "pattern": "(", "default": "kept"}
    schema = schema_of(load(with_schema(tmp_path / "d", json.dumps({"properties": {"a": odd}, "required": [1, "a"]}))))
    assert schema["properties"] == {"a": {"default": "kept"}}
    assert schema["required"] == []


SOURCE = r"""#!/usr/bin/env nextflow
// params.comment = 1
/* params.block = 2
*/
params.depth = 10
params.big = 1_000L; params.low = -2.5e-3
params.word = 'it\'s "x" // no comment'
params.path = "data/${params.word}"
params.plain = "cost \$5"
params.reads =
    'a.fq'
params.names = ['a', 'b',
                'c',]
params.empty = []
params.map = [a: 1]
params.flag = true
params.none = null
params.call = file('x')
params.joined = 'a' +
    'b'
params.chained = 'a'
    .toUpperCase()
params.other = params.depth ?: 3
params.long = '''two
lines'''
params.deep.er = 1
def pattern = /params { slashy = 'no' }/
if (params.depth == 3) {
    params.inner = 1
}
profiles { test { params { profile = 1 } } }
params {
    // a comment
    x = 1; y = 'two'
    nested { z = false }
    w = { -> 1 }
    last = 2 }
println "params.quoted = 1"
workflow { params.later = 2 }
"""


def test_parameters_are_read_from_groovy_as_text() -> None:
    assert params_in(SOURCE) == {
        "depth": 10,
        "big": 1000,
        "low": -0.0025,
        "word": 'it\'s "x" // no comment',
        "path": UNKNOWN,
        "plain": "cost $5",
        "reads": "a.fq",
        "names": ["a", "b", "c"],
        "empty": [],
        "map": UNKNOWN,
        "flag": True,
        "none": None,
        "call": UNKNOWN,
        "joined": UNKNOWN,
        "chained": UNKNOWN,
        "other": UNKNOWN,
        "long": "two\nlines",
        "deep.er": 1,
        "x": 1,
        "y": "two",
        "nested.z": False,
        "w": UNKNOWN,
        "last": 2,
    }


@pytest.mark.parametrize(
    "text",
    ["params.", "params.x", "params.x =", "params {", "params { x = [", "params.x = 'cut", "params { } }", "}" * 9],
)
def test_text_that_is_cut_off_gives_no_default(text: str) -> None:
    assert set(params_in(text).values()) <= {UNKNOWN}


def test_a_pipeline_of_hostile_text_is_read_in_time() -> None:
    assert params_in("params {" * 5_000 + "x { " * 5_000 + "'" * 20_000 + "/*" * 20_000) is not None


def test_without_a_schema_the_text_says_the_types_and_unknown_names_pass(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "d", TOML, main_nf="params.n = 1\nparams.word = 'w'\nparams.outdir = 'o'\n")
    (folder / "nextflow.config").write_text("params { n = 2 \n on = false }\n")
    schema = schema_of(load(folder))
    assert schema["properties"] == {
        "n": {"type": "number", "default": 2},
        "word": {"type": "string", "default": "w"},
        "on": {"type": "boolean", "default": False},
    }
    assert input_problems(schema, {"n": 1.5, "hidden_one": 1}) == []
    assert [p.code for p in input_problems(schema, {"n": "x", "outdir": "o"})] == [
        "INPUT_WRONG_TYPE",
        "PARAMETER_NOT_FREE",
    ]


def test_the_definition_stands_before_the_text(tmp_path: Path) -> None:
    toml = TOML + (
        "[inputs.word]\nfrom = 'parameter'\ntype = 'Int'\nlabel = 'Number'\n"
        "[inputs.index]\nfrom = 'parameter'\ntype = 'File'\noptional = true\n"
    )
    schema = schema_of(load(pipeline(tmp_path / "d", toml, main_nf="params.word = 'w'\n")))
    assert schema["properties"]["word"] == {"type": "integer", "description": "Number"}
    assert schema["required"] == ["word"]
    assert [p.code for p in input_problems(schema, {"word": 1, "index": "/no/file", "x": 1})] == [
        "INPUT_FILE_MISSING",
        "INPUT_UNKNOWN",
    ]


@pytest.mark.parametrize("scope", ["sample", "cohort"])
def test_mapped_reads_and_references_are_files(tmp_path: Path, scope: str) -> None:
    toml = TOML + f'scope = "{scope}"\n[inputs.r1]\nfrom = "reads.r1"\n[inputs.fasta]\nfrom = "reference.fasta"\n'
    shapes = schema_of(load(pipeline(tmp_path / "d", toml)))["properties"]
    lane: dict[str, Any] = {"type": "array", "items": {"type": "string", "format": "file-path"}}
    assert shapes["r1"] == (lane if scope == "sample" else {"type": "array", "items": lane})
    assert shapes["fasta"] == {"type": "string", "format": "file-path"}


def test_a_default_that_nextflow_computes_is_not_handed_over_and_needs_no_value(tmp_path: Path) -> None:
    text = json.dumps({"properties": {"a": {"type": "string", "default": "${projectDir}/x"}}, "required": ["a"]})
    schema = schema_of(load(with_schema(tmp_path / "d", text)))
    assert (schema["properties"], schema["required"]) == ({"a": {"type": "string"}}, [])

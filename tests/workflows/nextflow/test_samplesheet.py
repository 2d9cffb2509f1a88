"""Sample sheets for Nextflow pipelines, from the mapping to the bytes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from labrelay.flows.forms import form_schema
from labrelay.model.errors import RefusedInput
from labrelay.workflows.definition import load
from labrelay.workflows.inputs import ReferenceInputs, SampleInputs, compose_inputs
from labrelay.workflows.nextflow.samplesheet import sheet_csv
from labrelay.workflows.schema import input_problems, input_template, schema_of
from labrelay.workflows.shapes import files_in

from .test_nextflow_definition import TOML, codes, pipeline

SHEET = (
    '[samplesheet]\nparameter = "input"\n'
    'columns = { sample = "sample.name", fastq_1 = "reads.r1", fastq_2 = "reads.r2", strandedness = "=auto" }\n'
)
A = SampleInputs(name="A", id="smp_a", r1=("/a1_1.gz", "/a2_1.gz"), r2=("/a1_2.gz", "/a2_2.gz"))
B = SampleInputs(name="B", id="smp_b", r1=("/b_1.gz",))


def test_a_sheet_has_one_row_a_lane_and_an_empty_cell_for_no_second_mate(tmp_path: Path) -> None:
    definition = load(pipeline(tmp_path / "d", TOML + 'scope = "cohort"\n' + SHEET))
    inputs = compose_inputs(definition, [A, B], None, {"depth": 3})
    assert inputs == {
        "input": {
            "samplesheet": [
                {"sample": "A", "fastq_1": "/a1_1.gz", "fastq_2": "/a1_2.gz", "strandedness": "auto"},
                {"sample": "A", "fastq_1": "/a2_1.gz", "fastq_2": "/a2_2.gz", "strandedness": "auto"},
                {"sample": "B", "fastq_1": "/b_1.gz", "fastq_2": None, "strandedness": "auto"},
            ]
        },
        "depth": 3,
    }
    through_json = json.loads(json.dumps(inputs, sort_keys=True))["input"]["samplesheet"]
    assert definition.samplesheet is not None
    assert sheet_csv(through_json, tuple(definition.samplesheet.columns)) == (
        "sample,fastq_1,fastq_2,strandedness\nA,/a1_1.gz,/a1_2.gz,auto\nA,/a2_1.gz,/a2_2.gz,auto\nB,/b_1.gz,,auto\n"
    )


def test_a_name_with_commas_quotes_and_line_ends_stays_one_cell() -> None:
    rows: list[dict[str, str | None]] = [{"sample": 'a,"b"\nc', "fastq_1": "/a b.gz"}]
    text = sheet_csv(rows)
    assert text == 'sample,fastq_1\n"a,""b""\nc",/a b.gz\n'
    assert list(csv.DictReader(io.StringIO(text))) == rows


def test_the_files_in_a_sheet_are_seen_and_looked_for(tmp_path: Path) -> None:
    definition = load(pipeline(tmp_path / "d", TOML + SHEET))
    schema = schema_of(definition)
    inputs = compose_inputs(definition, [B], None, {})
    found = [text for _, _, text in files_in("input", schema["properties"]["input"], inputs["input"])]
    assert found == ["/b_1.gz"]
    assert [(p.code, p.message) for p in input_problems(schema, inputs)] == [
        ("INPUT_FILE_MISSING", "input/samplesheet[0]/fastq_1: there is no file /b_1.gz; check the path.")
    ]
    own = tmp_path / "own.csv"
    assert [p.code for p in input_problems(schema, {"input": str(own)})] == ["INPUT_FILE_MISSING"]
    own.write_text("sample\n")
    assert input_problems(schema, {"input": str(own)}) == []
    assert [p.code for p in input_problems(schema, {})] == ["INPUT_MISSING"]
    assert input_template(schema)["input"] == "sample sheet"


@pytest.mark.parametrize(
    ("sample", "reference", "parameters", "found"),
    [
        (SampleInputs(name="A", id="a"), ReferenceInputs(fasta="/r", fai="/r.fai"), {}, ["INPUT_MISSING"]),
        (B, None, {}, ["INPUT_MISSING"]),
        (
            SampleInputs(name="M", id="m", r1=("/1", "/2"), r2=("/3",)),
            ReferenceInputs(fasta="/r", fai="/r.fai"),
            {},
            ["INPUT_MISSING"],
        ),
        (
            B,
            ReferenceInputs(fasta="/r", fai="/r.fai"),
            {"input": "x.csv", "outdir": "/tmp"},
            ["PARAMETER_NOT_FREE"] * 2,
        ),
    ],
    ids=["no reads", "no reference", "mixed lanes", "ours"],
)
def test_what_a_sheet_lacks_is_told(
    tmp_path: Path,
    sample: SampleInputs,
    reference: ReferenceInputs | None,
    parameters: dict[str, str],
    found: list[str],
) -> None:
    toml = TOML + SHEET.replace('"=auto"', '"reference.fasta"')
    with pytest.raises(RefusedInput) as caught:
        compose_inputs(load(pipeline(tmp_path / "d", toml)), [sample], reference, parameters)
    assert codes(caught.value) == found


def test_one_file_is_given_where_the_definition_says_one(tmp_path: Path) -> None:
    definition = load(pipeline(tmp_path / "d", TOML + '[inputs.reads]\nfrom = "reads.r1"\ntype = "File"\n'))
    assert compose_inputs(definition, [B], None, {}) == {"reads": "/b_1.gz"}
    with pytest.raises(RefusedInput, match="takes one file"):
        compose_inputs(definition, [A], None, {})


def test_a_form_shows_no_hidden_parameter_unless_the_definition_names_it(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "d", TOML + '[inputs.c]\nfrom = "parameter"\n')
    hidden = {"type": "string", "hidden": True}
    (folder / "nextflow_schema.json").write_text(json.dumps({"properties": {"a": hidden, "b": {}, "c": hidden}}))
    definition = load(folder)
    base = {"properties": {name: {} for name in ("workflow", "parameters", "sample", "reference")}}
    form = form_schema(base, definition, schema_of(definition))
    assert list(form["properties"]["parameters"]["properties"]) == ["b", "c"]


def test_the_form_asks_for_no_sheet_but_for_its_reference(tmp_path: Path) -> None:
    toml = TOML + SHEET.replace('"=auto"', '"reference.fasta"')
    definition = load(pipeline(tmp_path / "d", toml, main_nf="params.depth = 1\n"))
    base = {"properties": {name: {"default": None} for name in ("workflow", "parameters", "sample", "reference")}}
    form = form_schema(base, definition, schema_of(definition))
    assert list(form["properties"]["parameters"]["properties"]) == ["depth"]
    assert "reference" in form["required"]

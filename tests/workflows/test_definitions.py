from __future__ import annotations

import json
from pathlib import Path

import pytest

from labrelay.model.errors import Conflict, NotFound, RefusedInput
from labrelay.model.problem import Severity, errors_of
from labrelay.workflows.definition import InputSource, load
from labrelay.workflows.document import load_document
from labrelay.workflows.inputs import ReferenceInputs, SampleInputs, compose_inputs
from labrelay.workflows.lint import lint
from labrelay.workflows.metrics import read_metrics
from labrelay.workflows.registry import BUILT_IN, Registry
from labrelay.workflows.schema import check_inputs, input_problems, input_schema, input_template

from .conftest import ECHO, HEAD, one_task

STRUCTS = (
    HEAD
    + """
struct Lane { File r1  File? r2  Int number }
workflow shapes {
  parameter_meta { lanes: { description: "The lanes." }  word: "A word." }
  input { Array[Lane]+ lanes  String word  Int depth = 10  Float? cut  Map[String, Int] counts = {"a": 1}
          Pair[Int, Boolean] both  Array[Array[File]] nested = [] }
  call work
  output { File made = work.made }
}
task work { command <<< touch x >>> output { File made = "x" } runtime { container: "c" cpu: 1 memory: "1 GB" } }
"""
)


def write(folder: Path, wdl: str, toml: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.wdl").write_text(wdl)
    if toml is not None:
        (folder / "definition.toml").write_text(toml)
    return folder


def codes(error: RefusedInput) -> list[str]:
    return [problem.code for problem in error.problems]


def test_the_bundled_definition_loads_and_lints_without_a_word() -> None:
    folder = BUILT_IN / "viral_variants"
    definition = load(folder)
    assert definition.inputs["r1"].source is InputSource.READS_R1
    assert definition.thresholds["mean_depth"].warn_below == 100
    assert definition.metrics["mapped_percent"].pointer == "/mapped_percent"
    assert lint(folder) == []


def test_all_problems_of_a_definition_come_at_once_with_their_lines(tmp_path: Path) -> None:
    toml = (
        'name = "Bad Name"\nversion = "1"\ntitle = "T"\nscope = "galaxy"\n\n'
        '[inputs.word]\nfrom = "sample.shoe_size"\n\n[inputs.depth]\nfrom = "constant"\n\n'
        '[metrics.m]\noutput = "o"\npointer = "no-slash"\n'
    )
    with pytest.raises(RefusedInput) as caught:
        load(write(tmp_path / "d", ECHO, toml))
    found = {problem.message.partition(":")[0]: problem.line for problem in caught.value.problems}
    assert found == {"name": 1, "scope": 4, "inputs.word.from": 7, "inputs.depth": 9, "metrics.m.pointer": 14}


def test_a_threshold_without_its_metric_and_a_missing_main_file_are_named(tmp_path: Path) -> None:
    toml = 'name = "a"\nversion = "1"\ntitle = "T"\nmain = "../main.wdl"\n[thresholds.depth]\nwarn_below = 1\n'
    with pytest.raises(RefusedInput) as caught:
        load(write(tmp_path / "d", ECHO, toml))
    assert codes(caught.value) == ["DEFINITION_WITHOUT_MAIN", "THRESHOLD_WITHOUT_METRIC"]


def test_toml_that_cannot_be_read_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(RefusedInput) as caught:
        load(write(tmp_path / "d", ECHO, 'name = "a"\nversion = \n'))
    assert [(p.code, p.line) for p in caught.value.problems] == [("DEFINITION_NOT_TOML", 2)]


def test_a_bare_folder_of_wdl_loads_with_every_input_as_a_parameter(tmp_path: Path) -> None:
    folder = tmp_path / "My Nice-Pipeline"
    folder.mkdir()
    (folder / "tasks.wdl").write_text(HEAD + "task t { command <<< >>> }\n")
    (folder / "pipeline.wdl").write_text(ECHO)
    definition = load(folder)
    assert (definition.name, definition.version) == ("my_nice_pipeline", "0")
    assert (definition.main, definition.workflow, definition.inputs) == ("pipeline.wdl", "tiny", {})


def test_a_folder_without_a_workflow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tasks.wdl").write_text(HEAD + "task t { command <<< >>> }\n")
    with pytest.raises(RefusedInput, match="DEFINITION_WITHOUT_MAIN"):
        load(tmp_path)


def test_wdl_types_become_a_json_schema(tmp_path: Path) -> None:
    schema = input_schema(load_document(write(tmp_path / "d", STRUCTS), "main.wdl"))
    shapes = schema["properties"]
    assert schema["required"] == ["shapes.both", "shapes.lanes", "shapes.word"]
    assert shapes["shapes.word"] == {"type": "string", "description": "A word."}
    lanes = shapes["shapes.lanes"]
    assert (lanes["type"], lanes["minItems"], lanes["description"]) == ("array", 1, "The lanes.")
    assert lanes["items"]["required"] == ["r1", "number"]
    assert lanes["items"]["properties"]["r1"] == {"type": "string", "format": "file-path"}
    assert shapes["shapes.depth"]["default"] == 10
    assert shapes["shapes.cut"] == {"anyOf": [{"type": "number"}, {"type": "null"}]}
    assert shapes["shapes.both"]["required"] == ["left", "right"]
    assert not [name for name in shapes if "_runtime" in name]
    assert input_template(schema)["shapes.lanes"] == "list of Lane"
    assert input_template(schema)["shapes.cut"] == "number (optional)"


def test_every_wrong_input_is_told_with_what_to_do(tmp_path: Path) -> None:
    schema = input_schema(load_document(write(tmp_path / "d", STRUCTS), "main.wdl"))
    there = tmp_path / "r1.fastq.gz"
    there.write_text("")
    good = {
        "shapes.lanes": [{"r1": str(there), "number": 1}],
        "shapes.word": "w",
        "shapes.both": {"left": 1, "right": True},
    }
    check_inputs(schema, good)
    check_inputs(schema, good | {"shapes.nested": [["s3://bucket/key"]]})
    bad = {"shapes.lanes": [{"r1": "/no/such", "number": "two"}], "shapes.word": "w", "x": 1}
    found = {(p.code, p.message) for p in input_problems(schema, bad)}
    assert {code for code, _ in found} == {
        "INPUT_MISSING",
        "INPUT_WRONG_TYPE",
        "INPUT_UNKNOWN",
        "INPUT_FILE_MISSING",
    }
    assert ("INPUT_MISSING", "shapes.both is missing; give a object.") in found
    assert any("shapes.lanes[0]/number is 'two'" in message for _, message in found)
    assert any("there is no file /no/such" in message for _, message in found)


@pytest.mark.parametrize(
    ("wdl", "code", "line"),
    [
        (HEAD + "workflow w {\n  call }\n", "WDL_SYNTAX", 3),
        (HEAD + "workflow w {\n  Int n = nowhere\n}\n", "WDL_INVALID", 3),
        (HEAD + 'import "https://example.org/x.wdl"\nworkflow w { }\n', "WDL_IMPORT", 2),
        (HEAD + 'import "../outside.wdl" as o\nworkflow w { }\n', "WDL_IMPORT", 2),
        (HEAD + 'import "missing.wdl" as o\nworkflow w { }\n', "WDL_IMPORT", 2),
        (one_task("true", ""), "WDL_WITHOUT_OUTPUTS", 2),
    ],
    ids=["syntax", "type", "network", "outside", "missing", "no outputs"],
)
def test_lint_names_file_line_and_column(tmp_path: Path, wdl: str, code: str, line: int) -> None:
    (tmp_path / "outside.wdl").write_text(HEAD + "task t { command <<< >>> }\n")
    (problem, *_) = errors_of(lint(write(tmp_path / "d", wdl)))
    assert (problem.code, problem.path, problem.line) == (code, "main.wdl", line)
    assert problem.message.startswith("Column ")


def test_lint_compares_the_mapping_with_the_workflow(tmp_path: Path) -> None:
    toml = (
        'name = "a"\nversion = "1"\ntitle = "T"\nworkflow = "other"\n[inputs.nope]\nfrom = "sample.name"\n'
        '[inputs.word]\nfrom = "reads.r1"\n[outputs.gone]\n[metrics.m]\noutput = "length"\n'
    )
    found = lint(write(tmp_path / "d", ECHO, toml))
    assert sorted(p.code for p in errors_of(found)) == [
        "DEFINITION_WRONG_WORKFLOW",
        "INPUT_UNKNOWN",
        "INPUT_WRONG_TYPE",
        "OUTPUT_UNKNOWN",
        "OUTPUT_UNKNOWN",
    ]


def test_lint_keeps_warnings_apart(tmp_path: Path) -> None:
    found = lint(write(tmp_path / "d", one_task("touch made.txt")))
    assert {p.code for p in found} == {"TASK_WITHOUT_CONTAINER", "TASK_WITHOUT_RESOURCES"}
    assert {p.severity for p in found} == {Severity.WARNING}


def test_inputs_are_composed_by_the_mapping() -> None:
    definition = load(BUILT_IN / "viral_variants")
    sample = SampleInputs(name="A-1", id="smp_1", r1=("/a_1.gz", "/b_1.gz"), r2=("/a_2.gz", "/b_2.gz"))
    reference = ReferenceInputs(fasta="/ref.fa", fai="/ref.fa.fai")
    assert compose_inputs(definition, [sample], reference, {"min_depth": 5, "viral_variants.min_length": 30}) == {
        "viral_variants.sample": "A-1",
        "viral_variants.r1": ["/a_1.gz", "/b_1.gz"],
        "viral_variants.r2": ["/a_2.gz", "/b_2.gz"],
        "viral_variants.reference": "/ref.fa",
        "viral_variants.min_allele_fraction": 0.75,
        "viral_variants.min_variant_quality": 20.0,
        "viral_variants.min_depth": 5,
        "viral_variants.min_length": 30,
    }


def test_what_is_missing_for_the_inputs_is_told_at_once() -> None:
    definition = load(BUILT_IN / "viral_variants")
    with pytest.raises(RefusedInput) as caught:
        compose_inputs(definition, [SampleInputs(name="A", id="smp_1", r1=("/a",))], None, {"sample": "forged"})
    assert sorted(codes(caught.value)) == ["INPUT_MISSING", "INPUT_MISSING", "PARAMETER_NOT_FREE"]


def test_a_cohort_gets_lists_over_samples(tmp_path: Path) -> None:
    toml = 'name = "c"\nversion = "1"\ntitle = "T"\nscope = "cohort"\n'
    toml += '[inputs.names]\nfrom = "sample.name"\n[inputs.r1]\nfrom = "reads.r1"\n'
    definition = load(write(tmp_path / "d", ECHO, toml))
    samples = [SampleInputs(name=name, id=f"smp_{name}", r1=(f"/{name}",)) for name in "ab"]
    assert compose_inputs(definition, samples, None, {}) == {"tiny.names": ["a", "b"], "tiny.r1": [["/a"], ["/b"]]}


def test_metrics_are_read_and_missing_ones_are_none(tmp_path: Path) -> None:
    toml = 'name = "m"\nversion = "1"\ntitle = "T"\n[metrics.a]\noutput = "o"\nunit = "x"\n'
    toml += (
        '[metrics.b]\noutput = "o"\npointer = "/deep/1/a~1b"\n[metrics.c]\noutput = "o"\n[metrics.d]\noutput = "gone"\n'
    )
    definition = load(write(tmp_path / "d", ECHO, toml))
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"a": 1.5, "deep": [0, {"a/b": 7}], "c": "text"}))
    found = {m.name: (m.value, m.unit, m.scope) for m in read_metrics(definition, [("o", path)], "S1")}
    assert found == {"a": (1.5, "x", "S1"), "b": (7.0, "", "S1"), "c": (None, "", "S1"), "d": (None, "", "S1")}


def test_the_registry_adds_finds_and_bundles_a_third_party_definition(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    source = write(tmp_path / "their_flow", ECHO)
    definition, warnings = registry.add(source)
    assert definition.name == "their_flow"
    assert errors_of(warnings) == []
    assert {"their_flow", "viral_variants"} <= set(registry.definitions())
    assert registry.add(source)[0] == definition
    version, path = registry.bundle(registry.get("their_flow"))
    assert path.name == f"{version.digest}.zip"
    assert registry.bundle(registry.get("their_flow")) == (version, path)
    with pytest.raises(
        NotFound, match="there are cell_count, demultiplex, samtools_stats, their_flow, to_ome_zarr, viral_variants"
    ):
        registry.get("nope")
    (source / "main.wdl").write_text(ECHO.replace("one", "1"))
    with pytest.raises(Conflict, match="another workflow their_flow"):
        registry.add(source)


def test_a_definition_with_errors_is_not_added(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    with pytest.raises(RefusedInput, match="WDL_SYNTAX"):
        registry.add(write(tmp_path / "bad", HEAD + "workflow {"))
    assert not (tmp_path / "home" / "definitions").exists()

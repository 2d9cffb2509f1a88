"""Definitions that are one command: what is refused when they are loaded, what is doubtful, and their bundle."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from labrelay.model.errors import Conflict, RefusedInput
from labrelay.model.problem import Severity
from labrelay.workflows.bundle import unpack_bundle, write_bundle
from labrelay.workflows.command.values import check
from labrelay.workflows.definition import Definition, load
from labrelay.workflows.healthomics.lint import lint_for_healthomics
from labrelay.workflows.inputs import SampleInputs, compose_inputs
from labrelay.workflows.lint import lint
from labrelay.workflows.registry import BUILT_IN, Registry
from labrelay.workflows.schema import input_template, schema_of
from tests.workflows.command.conftest import HEAD, MADE, command

INPUT = '[inputs.{0}]\nfrom = "{1}"\ntype = "{2}"\n'


def write(folder: Path, toml: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "definition.toml").write_text(toml)
    return folder


def loaded(folder: Path, toml: str) -> Definition:
    return load(write(folder, toml))


def test_a_command_loads_with_its_parts(tmp_path: Path) -> None:
    top = 'stdout = "a/b.txt"\nimage = "q.io/a/b:1.2--h3_0"\nresources = {cpus = 3, minutes = 5}\n'
    definition = loaded(tmp_path, command('["x", ["-b", "{bed}"], "{n}"]', "bed: File?, n: Int", top=top))
    assert (definition.language, definition.main, definition.prefix) == ("COMMAND", "definition.toml", "")
    assert definition.command == ("x", ("-b", "{bed}"), "{n}")
    assert (definition.resources.cpus, definition.resources.memory_gib, definition.resources.minutes) == (3, 1.0, 5.0)


@pytest.mark.parametrize(
    ("toml", "code", "words"),
    [
        (
            command('["x", "{bam}"]'),
            "COMMAND_UNKNOWN_NAME",
            "no [inputs.bam] for {bam}; there are cpus, memory_gib, bundle",
        ),
        (command('["x", ["-i", "{?bam}"]]'), "COMMAND_UNKNOWN_NAME", "no [inputs.bam]"),
        (command("[]"), "DEFINITION_INVALID", "say the program and its arguments"),
        (command('["-x"]'), "DEFINITION_INVALID", "its first argument is the program"),
        (command('[["x"]]'), "DEFINITION_INVALID", "its first argument is the program"),
        (command('["{a}"]', "a: String"), "DEFINITION_INVALID", "{a} names no program"),
        (command('["{bundle}/{a}"]', "a: String"), "DEFINITION_INVALID", "names no program"),
        (command('["x", "{a"]', "a: String"), "DEFINITION_INVALID", "a brace stands alone in '{a'; write {{"),
        (command('["x", "{?a}"]', "a: Boolean"), "DEFINITION_INVALID", "{?a} is a condition; put it into a list"),
        (command('["x", "--a={a}"]', "a: Array[String]"), "DEFINITION_INVALID", "--a={a} holds a list"),
        (command('["x"]', "cpus: Int"), "DEFINITION_INVALID", "has its own cpus; choose another name"),
        (command('["x", 3]'), "DEFINITION_INVALID", "command.1"),
        (command('["x", "{a}"]', "a: Text"), "DEFINITION_INVALID", "'Text' is no type; say File, String, Int"),
        (command('["x"]', more=""), "COMMAND_WITHOUT_OUTPUTS", "nothing of a run would be kept"),
        (command('["x"]', more="[outputs.a]\n"), "OUTPUT_WITHOUT_PATH", "outputs.a.path"),
        (command('["x"]', more='[outputs.a]\npath = "../a"\n'), "DEFINITION_INVALID", "no pattern inside"),
        (command('["x"]', top='stdout = "../a"\n'), "DEFINITION_INVALID", "stdout: ../a is not a safe path"),
        (command('["x"]', top='image = "-v /:/x"\n'), "DEFINITION_INVALID", "image"),
        (command('["x"]', top="resources = {cpus = 0}\n"), "DEFINITION_INVALID", "resources.cpus"),
        (command('["x"]', top='main = "x.wdl"\n'), "DEFINITION_INVALID", "a command has no main file"),
        (command('["x"]', top='language = "WDL"\n'), "DEFINITION_INVALID", "command: this is for"),
        (command('["x"]', more=MADE + '[metrics.m]\noutput = "b"\n'), "OUTPUT_UNKNOWN", "metrics.m: there is no"),
        (command('["x"]', more='[inputs.r]\nfrom = "sample.id"\n' + MADE), "DEFINITION_INVALID", "needs the type"),
        (
            command('["x"]', more=INPUT.format("r", "reads.r1", "String") + MADE),
            "INPUT_WRONG_TYPE",
            "File or Array[File]",
        ),
        (
            command('["x", "{a}"]', more=INPUT.format("a", "parameter", "Int") + "default = true\n" + MADE),
            "INPUT_WRONG_TYPE",
            "inputs.a.default: True is no Int",
        ),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_loaded(tmp_path: Path, toml: str, code: str, words: str) -> None:
    with pytest.raises(RefusedInput) as caught:
        loaded(tmp_path, toml)
    found = [problem for problem in caught.value.problems if problem.code == code and words in problem.message]
    assert found, caught.value
    assert found[0].path == "definition.toml"


def test_what_belongs_to_a_command_is_refused_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "main.wdl").write_text("version 1.1\nworkflow w { output { Int a = 1 } }\n")
    toml = HEAD + 'stdout = "a"\nimage = "b"\nresources = {cpus = 2}\n[outputs.a]\noptional = true\n'
    with pytest.raises(RefusedInput) as caught:
        loaded(tmp_path, toml)
    assert [problem.message.split(":")[0] for problem in caught.value.problems] == [
        "stdout",
        "image",
        "outputs.a.optional",
    ]


def test_what_is_doubtful_is_told_as_a_warning(tmp_path: Path) -> None:
    toml = command('["x", "--bed", "{bed}", "--n", "{n}"]', "bed: File?, n: Int, idle: Int", top='stdout = "s.txt"\n')
    findings = lint(write(tmp_path, toml))
    assert {problem.severity for problem in findings} == {Severity.WARNING}
    assert sorted(problem.code for problem in findings) == [
        "COMMAND_OPTION_ALONE",
        "COMMAND_STDOUT_LOST",
        "INPUT_UNUSED",
        "TASK_WITHOUT_CONTAINER",
    ]
    assert any('write ["--bed", "{bed}"]' in problem.message for problem in findings)


def test_healthomics_does_not_run_it_and_says_so_in_one_sentence() -> None:
    (finding,) = lint_for_healthomics(BUILT_IN / "samtools_stats")
    assert finding.code == "HEALTHOMICS_NO_COMMAND"
    assert finding.severity is Severity.ERROR


def test_types_become_the_form_and_its_checks(tmp_path: Path) -> None:
    inputs = "bam: File, more: Array[File]?, n: Int?, f: Float, flag: Boolean, names: Array[String]"
    definition = loaded(tmp_path, command('["x", "{bam}"]', inputs))
    schema = schema_of(definition)
    assert schema["required"] == ["bam", "f", "flag", "names"]
    template = input_template(schema)
    assert (template["bam"], template["more"]) == ("file", "list of file (optional)")
    assert schema["properties"]["n"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def test_everything_wrong_with_the_values_is_told_at_once(tmp_path: Path) -> None:
    definition = loaded(tmp_path, command('["x", "{bam}", "{n}", "{word}"]', "bam: File, n: Int, word: String"))
    with pytest.raises(RefusedInput) as caught:
        check(definition, {"bam": "/gone", "n": True, "other": 1}, here=True)
    codes = sorted(problem.code for problem in caught.value.problems)
    assert codes == ["INPUT_FILE_MISSING", "INPUT_MISSING", "INPUT_UNKNOWN", "INPUT_WRONG_TYPE"]
    with pytest.raises(RefusedInput, match="ARGUMENT_LIKE_OPTION"):
        check(definition, {"bam": "s3://b/k", "n": -1, "word": "-x"})
    check(definition, {"bam": "s3://b/k", "n": -1, "word": "x"})


def test_one_file_or_a_list_is_taken_from_the_reads_and_a_cohort_has_one_list(tmp_path: Path) -> None:
    one = loaded(tmp_path, command('["x", "{a}"]', more=INPUT.format("a", "reads.r1", "File") + MADE))
    two_lanes = SampleInputs(name="S", id="smp_1", r1=("/1", "/2"))
    assert compose_inputs(one, [two_lanes.model_copy(update={"r1": ("/1",)})], None, {}) == {"a": "/1"}
    with pytest.raises(RefusedInput, match="INPUT_WRONG_TYPE"):
        compose_inputs(one, [two_lanes], None, {})
    many = INPUT.format("a", "reads.r1", "Array[File]") + INPUT.format("n", "sample.name", "Array[String]") + MADE
    cohort = loaded(tmp_path, command('["x", "{a}", "{n}"]', more=many, top='scope = "cohort"\n'))
    other = SampleInputs(name="T", id="smp_2", r1=("/3",))
    assert compose_inputs(cohort, [two_lanes, other], None, {}) == {"a": ["/1", "/2", "/3"], "n": ["S", "T"]}


def test_an_optional_mate_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    more = INPUT.format("a", "reads.r1", "File") + INPUT.format("b", "reads.r2", "File?") + MADE
    definition = loaded(tmp_path, command('["x", "{a}", "{b}"]', more=more))
    assert compose_inputs(definition, [SampleInputs(name="S", id="s", r1=("/1",))], None, {}) == {"a": "/1"}


def test_programs_of_the_bundle_stay_executable_and_those_beside_wdl_do_not(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", command('["run.sh"]'))
    (folder / "bin").mkdir()
    program = folder / "bin" / "run.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    write_bundle(folder, tmp_path / "c.zip")
    unpack_bundle(tmp_path / "c.zip", tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "bin" / "run.sh").stat().st_mode & 0o111
    assert not (tmp_path / "unpacked" / "definition.toml").stat().st_mode & 0o111
    (folder / "definition.toml").write_text(HEAD)
    write_bundle(folder, tmp_path / "w.zip")
    with zipfile.ZipFile(tmp_path / "w.zip") as archive:
        assert {entry.external_attr >> 16 & 0o777 for entry in archive.infolist()} == {0o644}


def test_the_registry_takes_a_command_with_its_programs(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    folder = write(tmp_path / "theirs", command('["run.sh"]', top='image = "q.io/a:1"\n'))
    (folder / "bin").mkdir()
    (folder / "bin" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "bin" / "run.sh").chmod(0o755)
    definition, findings = registry.add(folder)
    assert (definition.name, findings) == ("tiny", [])
    assert (definition.folder / "bin" / "run.sh").stat().st_mode & 0o111
    version, _ = registry.bundle(definition)
    assert (version.language, version.main) == ("COMMAND", "definition.toml")
    (folder / "bin" / "run.sh").write_text("#!/bin/bash\n")
    with pytest.raises(Conflict):
        registry.add(folder)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["n" * 60] * 100_000, "100,001 arguments would have"),
        (["n" * (128 * 1024)], "one argument would have 131,072 bytes"),
    ],
)
@pytest.mark.parametrize("here", [True, False])
def test_more_than_one_command_can_be_given_is_refused_with_what_to_do(
    tmp_path: Path, values: list[str], words: str, here: bool
) -> None:
    definition = loaded(tmp_path, command('["x", "{all}"]', "all: Array[String]"))
    with pytest.raises(RefusedInput, match=f"{words}.*write them to a file") as caught:
        check(definition, {"all": values}, here)
    assert [problem.code for problem in caught.value.problems] == ["COMMAND_TOO_LONG"]
    check(definition, {"all": ["n" * (128 * 1024 - 1)]}, here)

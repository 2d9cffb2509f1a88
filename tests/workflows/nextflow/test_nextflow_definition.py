"""What `definition.toml` says of a Nextflow pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.workflows.definition import NextflowSpec, find_definitions, load

TOML = 'name = "tiny"\nversion = "1"\ntitle = "T"\nmain = "main.nf"\n'


def pipeline(folder: Path, toml: str | None = None, **files: str) -> Path:
    """Write a pipeline's folder: `main.nf`, the definition when given, and files whose names have `_` for `.`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.nf").write_text(files.pop("main_nf", "params.word = 'hi'\nworkflow { println params.word }\n"))
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    if toml is not None:
        (folder / "definition.toml").write_text(toml)
    return folder


def codes(error: RefusedInput) -> list[str]:
    return [problem.code for problem in error.problems]


def test_a_bare_folder_with_a_main_nf_loads_without_a_prefix(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "3-Prime rnaseq")
    definition = load(folder)
    assert (definition.name, definition.language, definition.main) == ("nf_3_prime_rnaseq", "NEXTFLOW", "main.nf")
    assert definition.workflow == definition.name
    assert definition.qualified("word") == "word"
    assert definition.nextflow == NextflowSpec(profile=(), config=(), outdir="outdir")
    assert list(find_definitions([tmp_path])) == [folder]


@pytest.mark.parametrize("said", ["", 'language = "NEXTFLOW"\n', 'main = "main.nf"\n'])
def test_the_main_file_says_the_language(tmp_path: Path, said: str) -> None:
    toml = TOML.replace('main = "main.nf"\n', said) + '[outputs.counts]\npath = "counts/**/*.tsv"\n'
    definition = load(pipeline(tmp_path / "d", toml))
    assert (definition.language, definition.main) == ("NEXTFLOW", "main.nf")
    assert definition.outputs["counts"].path == "counts/**/*.tsv"


def test_profiles_and_configuration_are_part_of_the_definition(tmp_path: Path) -> None:
    toml = TOML + '[nextflow]\nprofile = ["test", "slurm"]\nconfig = ["lab.config"]\noutdir = ""\n'
    spec = load(pipeline(tmp_path / "d", toml, lab_config="process.cpus = 1\n")).nextflow
    assert spec == NextflowSpec(profile=("test", "slurm"), config=("lab.config",), outdir=None)


@pytest.mark.parametrize(
    ("toml", "found"),
    [
        ("[nextflow]\nconfig = ['gone.config']\n", ["NEXTFLOW_WITHOUT_CONFIG"]),
        ("[nextflow]\nconfig = ['../lab.config', '/etc/passwd', '.hidden']\n", ["DEFINITION_INVALID"] * 3),
        ("[nextflow]\nprofile = ['a,b', '-with-docker x']\n", ["DEFINITION_INVALID"] * 2),
        ("[outputs.a]\n[outputs.b]\npath = '../b'\n", ["OUTPUT_WITHOUT_PATH", "DEFINITION_INVALID"]),
        ("[outputs.a]\npath = '/b'\n", ["DEFINITION_INVALID"]),
        ("[inputs.outdir]\nfrom = 'parameter'\n", ["DEFINITION_INVALID"]),
        ("[inputs.input]\nfrom = 'reads.r1'\n[samplesheet]\ncolumns = {a = 'reads.r1'}\n", ["DEFINITION_INVALID"]),
        ("[samplesheet]\nparameter = 'outdir'\ncolumns = {a = 'reads.r1'}\n", ["DEFINITION_INVALID"]),
        ("[samplesheet]\ncolumns = {}\n", ["DEFINITION_INVALID"]),
        ("[samplesheet]\ncolumns = {a = 'sample.shoe_size'}\n", ["DEFINITION_INVALID"]),
        ("[samplesheet]\ncolumns = {a = 'constant'}\n", ["DEFINITION_INVALID"]),
        ('[samplesheet]\ncolumns = {"a\\nb" = "=x"}\n', ["DEFINITION_INVALID"]),
    ],
)
def test_what_cannot_be_true_of_a_pipeline_is_refused(tmp_path: Path, toml: str, found: list[str]) -> None:
    with pytest.raises(RefusedInput) as caught:
        load(pipeline(tmp_path / "d", TOML + toml))
    assert codes(caught.value) == found


def test_what_is_nextflows_is_refused_for_wdl(tmp_path: Path) -> None:
    toml = 'name = "w"\nversion = "1"\ntitle = "T"\n[nextflow]\nprofile = ["a"]\n'
    toml += '[samplesheet]\ncolumns = { a = "reads.r1" }\n[outputs.o]\npath = "x"\n'
    folder = pipeline(tmp_path / "d", toml, main_wdl="version 1.1\nworkflow w { }\n")
    with pytest.raises(RefusedInput) as caught:
        load(folder)
    assert [p.message.partition(":")[0] for p in caught.value.problems] == ["nextflow", "samplesheet", "outputs.o.path"]


def test_a_language_that_the_main_file_is_not_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedInput, match=r"does not fit main\.nf"):
        load(pipeline(tmp_path / "d", 'language = "WDL"\n' + TOML))

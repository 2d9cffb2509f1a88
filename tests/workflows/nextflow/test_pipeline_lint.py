"""Findings about Nextflow pipelines, and that no JVM is needed for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.problem import errors_of
from labrelay.workflows.lint import lint
from labrelay.workflows.registry import BUILT_IN

from .test_nextflow_definition import TOML, pipeline

GOOD = """\
process COUNT {
    publishDir "${params.outdir}/counts"
    output: path 'n.txt'
    script: 'echo 1 > n.txt'
}
workflow { COUNT() }
"""
NAMED = TOML + '[outputs.n]\npath = "counts/n.txt"\n'


@pytest.fixture(autouse=True)
def _no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_good_pipeline_has_no_findings(tmp_path: Path) -> None:
    assert lint(pipeline(tmp_path / "d", NAMED, main_nf=GOOD)) == []


def test_the_bundled_pipeline_has_no_findings() -> None:
    assert lint(BUILT_IN / "viral_variants_nf") == []


@pytest.mark.parametrize(
    ("main", "toml", "found"),
    [
        ("nextflow.enable.dsl = 1\n" + GOOD, NAMED, ["NEXTFLOW_DSL1"]),
        (
            "process A {\n publishDir params.outdir\n output:\n file 'x' into done\n 'touch x'\n}\n",
            NAMED,
            ["NEXTFLOW_DSL1"],
        ),
        ("// nextflow.enable.dsl = 1\n" + GOOD, NAMED, []),
        (GOOD, TOML, ["NEXTFLOW_WITHOUT_OUTPUTS"]),
        (GOOD.replace("publishDir", "// publishDir"), NAMED, ["NEXTFLOW_PUBLISHES_NOTHING"]),
        ("workflow { main: x = 1\n publish: n = x }\noutput { n { path 'n' } }\n", NAMED, []),
        (GOOD.replace("params.outdir", "params.publish_to"), NAMED, ["NEXTFLOW_OUTDIR_UNKNOWN"]),
        (
            GOOD.replace("params.outdir", "params.publish_to"),
            NAMED.replace("[outputs", '[nextflow]\noutdir = "publish_to"\n[outputs'),
            [],
        ),
        (GOOD, NAMED + '[metrics.m]\noutput = "gone"\n', ["OUTPUT_UNKNOWN"]),
        (GOOD, TOML + "[outputs.n]\n", ["OUTPUT_WITHOUT_PATH"]),
        (GOOD, TOML + '[nextflow]\nconfig = ["gone.config"]\n', ["NEXTFLOW_WITHOUT_CONFIG"]),
        (GOOD, NAMED.replace("main.nf", "other.nf"), ["DEFINITION_WITHOUT_MAIN"]),
    ],
)
def test_findings_are_named(tmp_path: Path, main: str, toml: str, found: list[str]) -> None:
    assert [p.code for p in lint(pipeline(tmp_path / "d", toml, main_nf=main))] == found


def test_a_main_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "d", NAMED)
    (folder / "main.nf").write_bytes(b"\xff\xfeworkflow { }")
    assert [p.code for p in errors_of(lint(folder))] == ["NEXTFLOW_NOT_TEXT"]


def test_a_schema_that_is_none_and_an_input_that_it_lacks_are_errors(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "d", NAMED + '[inputs.nope]\nfrom = "reads.r1"\n', main_nf=GOOD)
    (folder / "nextflow_schema.json").write_text("{")
    assert [p.code for p in errors_of(lint(folder))] == ["NEXTFLOW_SCHEMA_INVALID"]
    (folder / "nextflow_schema.json").write_text('{"properties": {"reads": {}}}')
    (problem,) = errors_of(lint(folder))
    assert problem.message == "inputs.nope: nextflow_schema.json has no nope; there are reads."

"""The words of a pipeline's tasks are found by the command that people type, as those of WDL are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_run import TinyLab

from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.run_details import log_lines
from tests.workflows.nextflow.conftest import nextflow

__all__ = ["nextflow"]
PIPELINE = """params.outdir = 'out'
process SAY {
    publishDir params.outdir, mode: 'copy'
    output: path 'a.txt'
    script: "echo the lid is stuck >&2; echo x > a.txt; exit 3"
}
workflow { SAY() }
"""


@pytest.mark.usefixtures("nextflow")
def test_the_words_of_a_failed_task_of_a_pipeline_end_its_log(tmp_path: Path) -> None:
    lab = TinyLab(tmp_path)
    folder = lab.home / "definitions" / "say"
    folder.mkdir()
    (folder / "main.nf").write_text(PIPELINE)
    home = lab.open()
    (run,) = submit_direct(home, "say", inputs={}).runs
    wait_for(home, [run])
    assert list(log_lines(home, run, "SAY")) == ["the lid is stuck"]
    lines = list(log_lines(home, run))
    assert lines[-1] == "  the lid is stuck"
    assert lines[-2].startswith("the task SAY failed; its standard error (")
    home.close()

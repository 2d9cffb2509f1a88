"""Pipelines for the tests of Nextflow, and the reason when there is none to run them."""

from __future__ import annotations

import pytest

from labrelay.model.errors import MissingTool
from labrelay.workflows.nextflow import runtime
from labrelay.workflows.nextflow.runtime import Nextflow

DEFINITION = """\
name = "tiny"
version = "1"
title = "A tiny pipeline"
main = "main.nf"

[outputs.loud]
path = "loud/*.txt"

[outputs.all]
path = "all.txt"
"""
# Two processes; `b` fails at its first try, and one process publishes by copies, the other by links.
TINY = """\
params.words = ['a', 'b']
params.seconds = 0
params.fail = ''

process UPPER {
    tag "$word"
    publishDir "${params.outdir}/loud", mode: 'copy'
    errorStrategy { task.exitStatus == 3 ? 'retry' : 'terminate' }
    input: val word
    output: path "${word}.txt"
    script:
    \"\"\"
    if [ "$word" = b ] && [ "$task.attempt" = 1 ]; then echo not yet >&2; exit 3; fi
    if [ "$word" = "$params.fail" ]; then echo no such luck >&2; exit 4; fi
    echo $word | tr a-z A-Z > ${word}.txt
    \"\"\"
}

process JOIN {
    publishDir params.outdir
    input: path files
    output: path 'all.txt'
    script: "sleep $params.seconds; cat ${files} > all.txt"
}

workflow {
    JOIN(UPPER(Channel.fromList(params.words)).toSortedList { it.name })
}
"""


@pytest.fixture(scope="session")
def nextflow() -> Nextflow:
    """Return the Nextflow of this machine."""
    try:
        return runtime.find()
    except MissingTool as missing:
        pytest.skip(str(missing))


@pytest.fixture
def tiny() -> dict[str, str]:
    """Return the files of a small pipeline."""
    return {"main.nf": TINY, "definition.toml": DEFINITION}

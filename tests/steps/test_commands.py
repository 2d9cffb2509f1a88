"""A definition that is one command goes the whole way: rules, metrics, verdicts, records, and reprocessing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_run import TinyLab

from labrelay.model.errors import UsageError
from labrelay.model.qc import Verdict
from labrelay.steps.announce import announce
from labrelay.steps.direct import submit_direct
from labrelay.steps.home import Home
from labrelay.steps.process import process
from labrelay.steps.reprocess import plan
from labrelay.steps.reprocess_run import reprocess
from labrelay.steps.results import results_table

DEFINITION = """name = "count_reads"
version = "{version}"
title = "Counted reads"
command = ["count.sh", ["--from", "{{r2}}"], "{{sample}}", "{{r1}}"]
[inputs.sample]
from = "sample.name"
type = "String"
[inputs.r1]
from = "reads.r1"
type = "Array[File]"
[inputs.r2]
from = "reads.r2"
type = "Array[File]?"
[outputs.metrics]
path = "metrics.json"
role = "report"
[outputs.tool_versions]
path = "versions.json"
[metrics.read_pairs]
output = "metrics"
unit = "count"
[thresholds.read_pairs]
warn_below = 40
"""
PROGRAM = """#!/bin/sh
shift 3
gzip -dc "$@" | awk 'END { printf "{\\"read_pairs\\": %d}\\n", NR / 4 }' > metrics.json
echo '{"count": "1.0"}' > versions.json
"""


@pytest.fixture
def lab(tmp_path: Path) -> TinyLab:
    lab = TinyLab(tmp_path)
    folder = lab.home / "definitions" / "count_reads"
    (folder / "main.wdl").unlink()
    (folder / "definition.toml").write_text(DEFINITION.format(version="1.0.0"))
    (folder / "bin").mkdir()
    (folder / "bin" / "count.sh").write_text(PROGRAM)
    (folder / "bin" / "count.sh").chmod(0o755)
    return lab


@pytest.fixture
def home(lab: TinyLab) -> Iterator[Home]:
    home = lab.open()
    announce(home, lab.table)
    yield home
    home.close()


def test_a_rule_runs_a_command_on_each_sample_and_a_new_version_runs_again(lab: TinyLab, home: Home) -> None:
    done = process(home, lab.run)
    assert done.failed == []
    rows = {row.sample: row for row in results_table(home)}
    assert {name: row.verdict for name, row in rows.items()} == {"alpha": Verdict.PASS, "beta": Verdict.WARN}
    folder = home.path / "results" / rows["alpha"].result_path
    assert json.loads((folder / "metrics.json").read_text()) == {"read_pairs": 50}
    crate = (folder / "ro-crate-metadata.json").read_text()
    names = {entity.get("name") for entity in json.loads(crate)["@graph"]}
    assert {"bin/count.sh", "count", "count_reads"} <= names
    assert plan(home).to_run == []

    definition = lab.home / "definitions" / "count_reads" / "definition.toml"
    definition.write_text(DEFINITION.format(version="1.0.1"))
    planned = plan(home)
    assert len(planned.to_run) == 2
    reprocess(home, planned, wait=True)
    assert {row.workflow for row in results_table(home) if row.stale is None} == {"count_reads 1.0.1"}


def test_a_command_on_healthomics_is_a_mistake(home: Home) -> None:
    with pytest.raises(UsageError, match="count_reads runs on local or batch, not on healthomics"):
        submit_direct(home, "count_reads", inputs={}, on="healthomics")

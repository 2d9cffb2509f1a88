"""A home for the tests of flows: the demo's run and samples, and a workflow that needs no tool and no reference."""

from __future__ import annotations

from pathlib import Path

from labrelay.steps.announce import announce
from labrelay.steps.home import init_home, open_home

ROOT = Path(__file__).parents[2]
RUN_FOLDER = ROOT / "demo" / "run" / "231108_M04586_0992_000000000-L7342"
BAD_SAMPLE, GOOD_SAMPLE = "SRR7517498", "SRR7517490"

WDL = f"""version 1.0
workflow count_files {{
  input {{
    String sample
    Array[File] r1
    Int min_length = 30
    Float share
    String? comment
    Boolean strict = true
  }}
  parameter_meta {{ min_length: "Shortest read that counts (bp)" }}
  call count {{ input: sample = sample, r1 = r1 }}
  output {{ File counts = count.counts }}
}}
task count {{
  input {{ String sample Array[File] r1 }}
  command <<<
    if [ "~{{sample}}" = "{BAD_SAMPLE}" ]; then exit 3; fi
    echo '{{"files": ~{{length(r1)}}}}' > counts.json
  >>>
  output {{ File counts = "counts.json" }}
}}
"""
DEFINITION = """name = "count_files"
version = "1.0.0"
title = "Count files"
description = "Counts a sample's files."

[inputs.sample]
from = "sample.name"

[inputs.r1]
from = "reads.r1"

[inputs.share]
from = "parameter"
label = "Share of reads"
help = "From 0 to 1."
default = 0.5

[metrics.files]
output = "counts"
unit = "count"

[thresholds.files]
fail_below = 1
"""
RULES = """[[rule]]
name = "everything"
workflow = "count_files"
"""


def make_home(path: Path, rules: str = RULES) -> Path:
    """Make a home whose rules send every sample to a workflow that fails for one of the two."""
    init_home(path)
    folder = path / "definitions" / "count_files"
    folder.mkdir(parents=True)
    (folder / "main.wdl").write_text(WDL, encoding="utf-8")
    (folder / "definition.toml").write_text(DEFINITION, encoding="utf-8")
    (path / "rules.toml").write_text(rules, encoding="utf-8")
    home = open_home(path)
    announce(home, ROOT / "demo" / "samples.csv")
    home.close()
    return path

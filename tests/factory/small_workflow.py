"""A workflow of one shell task that counts its inputs, and the rule that sends a platform's datasets to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

WDL = """version 1.1
workflow {name} {{
  input {{ {inputs} }}
  call each {{ input: {names} }}
  output {{ File counts = each.counts }}
}}
task each {{
  input {{ {inputs} }}
  command <<<
    set -eu
{script}
  >>>
  output {{ File counts = "counts.json" }}
  runtime {{ container: "quay.io/example/shell:1"  cpu: 1  memory: "100 MB" }}
}}
"""


def add_small_workflow(
    home: Path, name: str, platform: str, inputs: Mapping[str, str], script: str, metrics: Sequence[str]
) -> None:
    """Give a home the workflow and the rule.

    Args:
        home: Its folder.
        name: Of the workflow.
        platform: Whose datasets go to it.
        inputs: Where each list comes from, by its name: `{"images": "images.paths"}`; `sample` is there besides.
        script: Lines of shell that write `counts.json`.
        metrics: What stands in it.
    """
    kinds = {key: "File" if source.endswith((".paths", ".r1", ".r2")) else "String" for key, source in inputs.items()}
    declared = "  ".join(["String sample", *(f"Array[{kind}]+ {key}" for key, kind in kinds.items())])
    lines = "\n".join(f"    {line}" for line in script.strip().splitlines())
    wdl = WDL.format(name=name, inputs=declared, names=", ".join(["sample", *inputs]), script=lines)
    told = [f'name = "{name}"', 'version = "1.0.0"', f'title = "{name}"', "[inputs.sample]", 'from = "sample.name"']
    for key, source in inputs.items():
        told += [f"[inputs.{key}]", f'from = "{source}"']
    told += ["[outputs.counts]", 'role = "report"']
    for metric in metrics:
        told += [f"[metrics.{metric}]", 'output = "counts"', 'unit = "count"']
    folder = home / "definitions" / name
    folder.mkdir(parents=True)
    (folder / "main.wdl").write_text(wdl)
    (folder / "definition.toml").write_text("\n".join(told) + "\n")
    rule = f'[[rule]]\nname = "{name} {platform}"\nworkflow = "{name}"\n[rule.when]\nplatform = "{platform}"\n'
    (home / "rules.toml").write_text(rule)

"""A folder of TIFFs becomes a counted plate: dataset, rule, result, report, notebook and a crate that is valid."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from labrelay.cli.tables import show_results
from labrelay.model.qc import Verdict
from labrelay.records.eln.port import FilePart, ResultsPart
from labrelay.steps.announce import announce
from labrelay.steps.eln_parts import wanted_parts
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.process import process
from labrelay.steps.results import results_table, show_result

ROOT = Path(__file__).parents[2]
REAL = ROOT / "tests" / "data" / "imaging"
PLATE = "AS_09125_050116030001"
RULES = """[[rule]]
name = "count cells"
workflow = "cell_count"
[rule.when]
platform = "images"
[rule.parameters]
positive_channel = 2
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    init_home(tmp_path / "home")
    (tmp_path / "home" / "rules.toml").write_text(RULES)
    opened = open_home(tmp_path / "home")
    table = tmp_path / "plates.csv"
    table.write_text(f"sample,experiment,assay,project\n{PLATE},ht29,imaging,screen\n")
    announce(opened, table)
    return opened


def validated(folder: Path) -> None:
    python = ROOT / ".venv-crate" / "bin" / "python"
    if not python.exists():
        reason = "the crate validator is not installed: make .venv-crate"
        if os.environ.get("LABRELAY_NO_SKIPS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    command = [str(python), str(ROOT / "tests/tools/validate_crate.py"), str(folder), "provenance-run-crate-0.5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_real_plate_is_counted_reported_and_told_to_the_notebook(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "landing" / PLATE
    shutil.copytree(REAL, folder)
    done = process(home, folder)
    assert (done.stored, done.submitted, done.unassigned, done.failed) == (3, 1, [], [])
    shown = show_result(home, PLATE)
    result = shown.result
    assert 270 <= (result.metric("cells") or 0) <= 300
    assert 16 <= (result.metric("positives") or 0) <= 22
    assert result.verdict is Verdict.PASS
    assert [file.name for file in result.inputs] == ["images"] * 3
    assert {file.path.name for file in result.outputs} == {
        "fields.csv",
        "metrics.json",
        "objects.csv",
        "overlay-01-D03-f1.png",
        "wells.csv",
    }

    page = (shown.folder / "report.html").read_text()
    cells = f"{result.metric('cells'):.0f}"
    rows = results_table(home)
    assert [(row.cells, row.positive_percent) for row in rows] == [(int(cells), result.metric("positive_percent"))]
    show_results(rows, "")
    assert "cells  positive % of cells" in capsys.readouterr().out
    assert f"D03: {cells} cells in 1 field" in page
    assert page.count('src="data:image/png;base64,') == 1
    assert "The images are 3 files" in page
    assert "No reference was used" not in page

    _experiment, parts = wanted_parts(home, result.experiment.id)
    files = [part.file_name.partition("-")[2] for part in parts if isinstance(part, FilePart)]
    assert any(name.endswith("plate_count.svg") for name in files)
    assert any(name.endswith("report.html") for name in files)
    [told] = [part for part in parts if isinstance(part, ResultsPart)]
    assert cells in told.model_dump_json()

    graph = json.loads((shown.folder / "ro-crate-metadata.json").read_text())["@graph"]
    kinds = [each.get("encodingFormat") for each in graph if str(each["@id"]).endswith(".png")]
    assert kinds == ["image/png"]
    validated(shown.folder)

    again = process(home, folder)
    assert (again.stored, again.imported, again.submitted) == (0, 0, 0)
    home.close()

"""`docs/aws-check` says that it was not run on a real account, and refuses results that are not those expected."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "aws-check"
DEMO = SCRIPT.parent.parent / "demo"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("aws_check", str(SCRIPT))
    spec = importlib.util.spec_from_loader("aws_check", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


class Answers:
    """A `labrelay` whose home holds the results that we expect, but for what a test changes."""

    def __init__(self, home: Path, expected: dict[str, Row]) -> None:
        self.home = home
        self.rows: list[Row] = []
        for sample, known in expected.items():
            self.rows.append({"sample": sample, "reads": known["reads"], "verdict": "pass", "result_path": sample})
            table = home / "results" / sample / "variants.tsv"
            table.parent.mkdir(parents=True)
            with (DEMO / "truth" / f"{sample}.snv.tsv").open() as agreed, table.open("w") as lines:
                writer = csv.writer(lines, delimiter="\t")
                writer.writerow(["position", "ref", "alt"])
                writer.writerows([row["pos"], row["ref"], row["alt"]] for row in csv.DictReader(agreed, delimiter="\t"))

    def __call__(self, *words: object) -> str:
        assert words == ("results", "list", "--json")
        return json.dumps(self.rows)

    def add_change(self, sample: str, position: int) -> None:
        with (self.home / "results" / sample / "variants.tsv").open("a") as lines:
            lines.write(f"{position}\tA\tC\n")


@pytest.fixture
def lab(script: ModuleType, tmp_path: Path) -> Answers:
    return Answers(tmp_path, script.EXPECTED)


def test_it_is_a_program_that_says_what_it_is(script: ModuleType) -> None:
    assert os.access(SCRIPT, os.X_OK)
    assert "NOT RUN BY US ON A REAL ACCOUNT" in "".join(SCRIPT.read_text().splitlines(keepends=True)[:6])
    helped = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "--role-arn" in helped.stdout
    assert script.RUN.is_dir()


def test_the_results_that_are_expected_are_accepted(script: ModuleType, lab: Answers) -> None:
    lab.add_change("SRR7517490", 4887)  # one of those that some callers see
    script.compare(lab)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lab: lab.rows.pop(), "expected"),
        (lambda lab: lab.rows[0].update(reads=40_538), "SRR7517490: 40538 reads, expected 40540"),
        (lambda lab: lab.rows[1].update(verdict="fail"), "SRR7517498: verdict fail"),
        (lambda lab: lab.add_change("SRR7517498", 1), "0 changes were missed, 1 are not known"),
    ],
)
def test_other_results_are_refused(
    script: ModuleType, lab: Answers, change: Callable[[Answers], object], said: str
) -> None:
    change(lab)
    with pytest.raises(script.Stopped, match=said):
        script.compare(lab)


def test_a_command_that_fails_stops_it_with_its_name(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(script.Stopped, match="`labrelay status` ended with exit code 2"):
        script.Lab(tmp_path / "none")("status")

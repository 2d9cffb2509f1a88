"""The same workflow on the same reads on this machine, on HealthOmics and on Batch: the same result and crate."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_home import home_with_batch
from emulated import Emulated
from sqlalchemy import select

from labrelay.records.schema import WorkflowRunRow
from labrelay.steps.announce import announce
from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.home import Home
from labrelay.steps.process import process

DEMO = Path(__file__).parents[1] / "demo"
RUN = next((DEMO / "run").iterdir())
SAMPLE = "SRR7517490"
PLACES = ("local", "healthomics", "batch")
SAME = (
    "File",
    "CreateAction",
    "OrganizeAction",
    "ControlAction",
    "HowToStep",
    "ComputationalWorkflow",
    "FormalParameter",
)
UNTOLD = {"healthomics": {"FormalParameter"}}  # HealthOmics does not tell what went into a task
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(emulator: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Return a home of the profile healthomics that has Batch as well, with the demo's reads imported."""
    with pytest.MonkeyPatch.context() as patch:
        opened = home_with_batch(emulator, patch, tmp_path_factory.mktemp("places") / "home", "places")
        opened.reads.add_reference(DEMO / "MH356245.1.reference.fasta", "MH356245.1")
        announce(opened, DEMO / "samples.csv")
        process(opened, RUN)  # without rules: the reads are stored and imported, and nothing runs
        yield opened
        opened.close()


def results_of(home: Home, workflow: str) -> dict[str, Path]:
    """Run a workflow on one sample in each place, all at once; return the folders of the results."""
    asked = {
        place: submit_direct(home, workflow, subjects=[SAMPLE], reference="MH356245.1", on=place)  # type: ignore[arg-type]
        for place in PLACES
    }
    done = wait_for(home, [run for each in asked.values() for run in each.runs])
    assert done.stuck == []
    folders = {}
    with home.records.read() as session:
        for place, each in asked.items():
            row = session.scalars(select(WorkflowRunRow).where(WorkflowRunRow.id == each.runs[0])).one()
            assert (row.engine, row.state, row.failure) == (place, "COMPLETE", None)
            folders[place] = home.path / "results" / row.result_path
    return folders


def variants(folder: Path) -> list[str]:
    (table,) = folder.glob("*variants*.tsv")
    return table.read_text().splitlines()


def crate(folder: Path) -> list[dict[str, Any]]:
    graph: list[dict[str, Any]] = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    return graph


def types(folder: Path) -> Counter[str]:
    told = [each["@type"] if isinstance(each["@type"], list) else [each["@type"]] for each in crate(folder)]
    return Counter(name for names in told for name in names if name in SAME)


@pytest.mark.parametrize("workflow", ["viral_variants", "viral_variants_nf"])
def test_a_workflow_gives_the_same_in_three_places(home: Home, workflow: str) -> None:
    brought = Path(__file__).parents[1] / ".nextflow-runtime"
    if workflow.endswith("_nf") and not brought.is_dir() and shutil.which("nextflow") is None:
        pytest.skip("there is no Nextflow here: make nextflow")
    folders = results_of(home, workflow)
    files = {place: sorted(path.name for path in folder.iterdir()) for place, folder in folders.items()}
    assert files["local"] == files["batch"] == files["healthomics"]
    for place in ("healthomics", "batch"):
        assert variants(folders[place]) == variants(folders["local"]), place
        assert json.loads((folders[place] / "metrics.json").read_text()) == json.loads(
            (folders["local"] / "metrics.json").read_text()
        )
        left_out = UNTOLD.get(place, set())
        told, here = (
            {name: count for name, count in types(folders[each]).items() if name not in left_out}
            for each in (place, "local")
        )
        assert told == here, place

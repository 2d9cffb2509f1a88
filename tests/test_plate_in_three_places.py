"""The same plate counted on this machine, on HealthOmics and on Batch: images lie in S3, the tables are the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from batch_home import home_with_batch
from batch_queues import enabled_queue
from emulated import Emulated
from sqlalchemy import select
from tiny_plate import WELLS, as_zarr

from labrelay.records.schema import WorkflowRunRow
from labrelay.steps.announce import announce
from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.process import process

REAL = Path(__file__).parent / "data" / "imaging"
PLATE = "AS_09125_050116030001"
ZARR = "PLATE"
PLACES = ("local", "healthomics", "batch")
TABLES = ("wells.csv", "fields.csv", "objects.csv", "metrics.json")
pytestmark = pytest.mark.slow
NUMBERS = count(1)  # of homes: all are of one account, in which a queue or a bucket has its name alone


def announced(home: Home, folder: Path) -> Path:
    """Announce the plate and return its run, of which nothing is stored yet."""
    table = folder / "plates.csv"
    table.write_text(f"sample,experiment,assay,project\n{PLATE},ht29,imaging,screen\n{ZARR},made-up,imaging,screen\n")
    announce(home, table)
    return Path(shutil.copytree(REAL, folder / "landing" / PLATE))


@pytest.fixture
def home(emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    opened = home_with_batch(emulator, monkeypatch, tmp_path / "home", f"plates-{next(NUMBERS)}")
    process(opened, announced(opened, tmp_path))  # without rules: the images are stored, and nothing runs
    process(opened, as_zarr(tmp_path / "landing" / "plate.ome.zarr", 3))
    yield opened
    opened.close()


def test_plates_in_tiff_and_in_zarr_are_counted_alike_in_three_places(home: Home) -> None:
    asked = {place: submit_direct(home, "cell_count", subjects=[PLATE, ZARR], on=place) for place in PLACES}  # type: ignore[arg-type]
    assert [each.failed for each in asked.values()] == [[], [], []]
    done = wait_for(home, [run for each in asked.values() for run in each.runs])
    assert done.stuck == []
    found = {}
    with home.records.read() as session:
        for place, each in asked.items():
            for name, run in zip(("tiff", "zarr"), each.runs, strict=True):
                row = session.scalars(select(WorkflowRunRow).where(WorkflowRunRow.id == run)).one()
                assert (row.engine, row.state, row.failure) == (place, "COMPLETE", None)
                folder = home.path / "results" / row.result_path
                found[place, name] = {table: (folder / table).read_bytes() for table in TABLES}
                pictures = (
                    ["overlay-01-D03-f1.png"] if name == "tiff" else ["overlay-01-B02-f1.png", "overlay-02-C11-f1.png"]
                )
                assert sorted(path.name for path in folder.glob("overlay*.png")) == pictures
    for name in ("tiff", "zarr"):
        assert found["local", name] == found["healthomics", name] == found["batch", name]
    assert 270 <= json.loads(found["local", "tiff"]["metrics.json"])["cells"] <= 300
    assert json.loads(found["local", "zarr"]["metrics.json"])["cells"] == sum(WELLS.values())


def test_a_plate_becomes_the_same_ome_zarr_on_this_machine_and_on_batch(home: Home) -> None:
    asked = [submit_direct(home, "to_ome_zarr", subjects=[PLATE], on=place) for place in ("local", "batch")]
    assert [each.failed for each in asked] == [[], []]
    done = wait_for(home, [run for each in asked for run in each.runs])
    assert done.stuck == []
    made = []
    with home.records.read() as session:
        for each in asked:
            row = session.scalars(select(WorkflowRunRow).where(WorkflowRunRow.id == each.runs[0])).one()
            assert (row.state, row.failure, row.verdict) == ("COMPLETE", None, "pass")
            made.append((home.path / "results" / row.result_path / f"{PLATE}.ozx").read_bytes())
    assert made[0] == made[1]


def test_a_laptops_plate_goes_to_batch_and_comes_back(
    emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    emulator.client("s3").create_bucket(Bucket="laptop-plates")
    enabled_queue(emulator.client("batch"), "laptop")
    path = tmp_path / "home"
    init_home(path)
    with (path / "labrelay.toml").open("a") as settings:
        settings.write(
            'outputs_url = "s3://laptop-plates/runs"\nbatch_queue = "laptop"\nbatch_image = "labrelay:test"\n'
        )
        settings.write('batch_role_arn = "arn:aws:iam::123456789012:role/labrelay-jobs"\n')
    (path / "rules.toml").write_text(
        '[[rule]]\nname = "plates"\nworkflow = "cell_count"\non = "batch"\n[rule.when]\nplatform = "images"\n'
    )
    home = open_home(path)
    done = process(home, announced(home, tmp_path))
    assert (done.stored, done.submitted, done.failed) == (3, 1, [])
    with home.records.read() as session:
        [row] = session.scalars(select(WorkflowRunRow)).all()
        assert (row.engine, row.state, row.failure) == ("batch", "COMPLETE", None)
        result = home.path / "results" / row.result_path
    cells = json.loads((result / "metrics.json").read_text())["cells"]
    assert f"D03: {cells} cells in 1 field" in (result / "report.html").read_text()
    home.close()

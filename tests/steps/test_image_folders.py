"""Images as folders with a table: what lies where, how large a pixel is, and a Zarr as the one thing that it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_plate import WELLS, as_tiff, as_zarr, field

from labrelay.model.errors import UsageError
from labrelay.model.files import FileRef
from labrelay.model.imaging import ImageAt
from labrelay.model.reads import ReadSource
from labrelay.parsers.preview import Unseen
from labrelay.parsers.preview_zarr import full_plane, sizes_of
from labrelay.steps.announce import announce
from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.home import Home
from labrelay.steps.image_folders import table_rows
from labrelay.steps.process import process
from labrelay.steps.results import show_result
from labrelay.steps.route import plan_by_hand
from labrelay.steps.rules import Rule
from labrelay.steps.submit import Composer
from labrelay.workflows.lint import lint
from labrelay.workflows.registry import BUILT_IN


def wells_of(home: Home, plate: str) -> list[tuple[str, int, float, float]]:
    submitted = submit_direct(home, "cell_count", subjects=[plate])
    wait_for(home, submitted.runs)
    assert submitted.failed == []
    with (show_result(home, plate).folder / "wells.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    numbers = ("area_median_um2", "mean_intensity")
    return [(row["well"], int(row["count"]), *(float(row[each]) for each in numbers)) for row in rows]  # type: ignore[misc]


def test_a_plate_as_ome_zarr_is_counted_as_the_same_plate_in_tiff_in_the_units_of_the_run(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home, table = make_home(), tmp_path / "plates.csv"
    table.write_text("sample,experiment\nTIFF,screen\nPLATE,screen\n")
    announce(home, table)
    process(home, as_tiff(tmp_path / "TIFF"))
    done = process(home, as_zarr(tmp_path / "plate.ome.zarr", 2))
    assert (done.unassigned, done.failed) == ([], [])
    tiff = wells_of(home, "TIFF")
    assert [(well, count) for well, count, *_rest in tiff] == list(WELLS.items())
    assert all(70 < area < 140 for _well, _count, area, _light in tiff), "discs of 9 px at 0.65 µm have 107 µm²"
    assert wells_of(home, "PLATE") == tiff


@pytest.mark.parametrize("version", [2, 3])
def test_a_plane_is_put_together_from_the_chunks_of_zarr_as_it_was(tmp_path: Path, version: int) -> None:
    root = as_zarr(tmp_path / "plate.ome.zarr", version)
    (root / "B" / "2" / "0" / "0" / ("c/1/1" if version == 3 else "1.1")).unlink()
    wanted = field(WELLS["B02"], WELLS["B02"])
    wanted[128:, 128:] = 0  # an absent chunk is full of the fill value
    assert sizes_of(root, "B/2/0") == {"y": 200, "x": 256}
    found = full_plane(root, "B/2/0", {})
    assert found.dtype == np.uint16
    assert (found == wanted).all()
    with pytest.raises(Unseen, match="no array that is here"):
        sizes_of(root, "B/2")


def source(*keys: str, at: tuple[ImageAt | None, ...] = ()) -> ReadSource:
    files = tuple(FileRef(storage="objects", key=key, version="1", sha256="0" * 64, size=1) for key in keys)
    return ReadSource(sample_id="smp_1", name="PLATE", file_type="IMAGE", files=files, images=at)


def test_the_table_says_what_lies_where_in_the_folders_of_two_instrument_runs() -> None:
    places = (ImageAt(well="B02", field=1, channel=2), None)
    first = source("raw/images/day-1/a.tif", "raw/images/day-1/~1/b.tif", at=places)
    second = source("raw/images/day-2/x/c.tif")
    rows = table_rows([first, second], ["raw/images/day-1", "raw/images/day-2/x"], {"raw/images/day-1/": 0.5})
    assert list(rows) == [
        (0, "a.tif", places[0], 0.5),
        (0, "~1/b.tif", ImageAt(), 0.5),
        (1, "c.tif", ImageAt(), None),
    ]


def test_a_zarr_is_one_line_of_the_table_and_its_chunks_are_none() -> None:
    inside = ("a.zarr/.zattrs", "a.zarr/0/.zarray", "a.zarr/0/0.0", "overview.tif")
    mixed = source(*(f"raw/ome_zarr/run/{path}" for path in inside))
    rows = table_rows([mixed], ["raw/ome_zarr/run"], {})
    assert [path for _place, path, *_rest in rows] == ["a.zarr", "overview.tif"]
    alone = source("raw/ome_zarr/run/zarr.json", "raw/ome_zarr/run/0/c/0/0")
    assert [path for _place, path, *_rest in table_rows([alone], ["raw/ome_zarr/run"], {})] == ["."]
    apart = source("raw/ome_zarr/run/zarr.json", "raw/ome_zarr/run/~1/0/c/0/0")
    with pytest.raises(UsageError, match="lies in no folder as it was: bring it once more under another name"):
        list(table_rows([apart], ["raw/ome_zarr/run"], {}))


def test_what_a_run_is_asked_with_does_not_grow_with_the_plate(make_home: Callable[..., Home], tmp_path: Path) -> None:
    home, plate, table = make_home(), tmp_path / "PLATE7", tmp_path / "plates.csv"
    plate.mkdir()
    for number in range(400):
        (plate / f"PLATE7_B02f{number:03d}d0.tif").write_bytes(b"x")
    table.write_text("sample,experiment\nPLATE7,screen\n")
    announce(home, table)
    process(home, plate)
    rule = Rule(name="count", workflow="cell_count")
    [planned] = plan_by_hand(home, rule, "PLATE7")
    asked = Composer(home).intent(planned).request_inputs
    assert len(json.dumps(asked)) < 1_000
    assert Path(asked["cell_count.table"]).read_text().count("PLATE7_B02f") == 400


def test_a_list_of_files_is_no_place_for_a_folder(tmp_path: Path) -> None:
    text = (BUILT_IN / "cell_count" / "main.wdl").read_text().replace("Array[Directory]+", "Array[File]+")
    (tmp_path / "main.wdl").write_text(text)
    (tmp_path / "definition.toml").write_text((BUILT_IN / "cell_count" / "definition.toml").read_text())
    [wrong] = [problem for problem in lint(tmp_path) if problem.code == "INPUT_WRONG_TYPE"]
    assert wrong.message.startswith("inputs.folders: images.folders is a Directory, of several an Array[Directory]")

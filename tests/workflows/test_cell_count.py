"""The bundled `cell_count` against a real field that two others counted, and against plates with exact counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from labrelay.model.states import RunState
from labrelay.steps.image_folders import COLUMNS
from labrelay.workflows.inputs import SampleInputs, compose_inputs
from labrelay.workflows.lint import lint
from labrelay.workflows.metrics import read_metrics
from labrelay.workflows.registry import BUILT_IN, Registry

from .cells import REAL, apart, count, discs, pairs
from .conftest import Lab
from .viral import output, requested

FIELD = sorted(REAL.glob("*.tif"))


def saved(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image)
    return path


def test_the_definition_has_nothing_to_find_fault_with() -> None:
    assert lint(BUILT_IN / "cell_count") == []


def test_nuclei_of_a_real_field_are_as_many_as_two_other_methods_found(tmp_path: Path) -> None:
    _done, tables, metrics = count(tmp_path / "dna", FIELD, positive_channel=2, pixel_um=0.5, overlays=3)
    told = json.loads(metrics)
    assert 270 <= told["cells"] <= 300
    assert 16 <= told["positives"] <= 22
    assert (told["wells"], told["empty_wells"], told["fields_not_counted"]) == (1, 0, 0)
    assert [(row["well"], row["field"], row["flag"]) for row in tables["fields"]] == [("D03", "1", "")]
    assert len(tables["objects"]) == told["cells"]
    assert float(tables["objects"][0]["area_um2"]) == int(tables["objects"][0]["area_px"]) / 4
    assert len(list((tmp_path / "dna" / "overlays").glob("overlay-01-D03-f1.png"))) == 1

    mitotic = json.loads(count(tmp_path / "h3", FIELD, channel=2)[2])
    assert 16 <= mitotic["cells"] <= 22
    assert mitotic["positives"] is None


def test_touching_nuclei_of_a_real_field_in_16_bit_are_told_apart(tmp_path: Path) -> None:
    field = REAL.parent / "instruments/hcs-imagexpress-htd-mixed/9987_Plate_3435/TimePoint_1/9987_B02_s1_w1.TIF"
    found = json.loads(count(tmp_path / "run", [field])[2])["cells"]
    assert 13 <= found <= 16  # a person sees 15, six of them in pairs that touch


@pytest.mark.parametrize("bits", [8, 16])
def test_discs_that_lie_apart_are_counted_exactly_in_every_well_of_a_generated_plate(tmp_path: Path, bits: int) -> None:
    truth = {"A01": (1, 2), "A02": (0, 0), "B01": (30, 17), "H12": (40, 0), "P24": (5, 60)}
    images = [
        saved(
            tmp_path / f"GENERATED_{well}f{site:02d}d0.tif",
            discs(apart(number, seed=number + site), bits=bits, seed=site),
        )
        for well, numbers in truth.items()
        for site, number in enumerate(numbers)
    ]
    _done, tables, metrics = count(tmp_path / "run", images)
    assert {row["well"]: int(row["count"]) for row in tables["wells"]} == {w: sum(n) for w, n in truth.items()}
    assert [int(row["count"]) for row in tables["fields"]] == [n for numbers in truth.values() for n in numbers]
    flags = {(row["well"], row["field"]): row["flag"] for row in tables["fields"]}
    assert {place for place, flag in flags.items() if flag} == {("A02", "1"), ("A02", "2"), ("H12", "2")}
    assert set(flags.values()) == {"", "no_signal"}
    told = json.loads(metrics)
    assert (told["cells"], told["wells"], told["empty_wells"]) == (155, 5, 1)
    assert (told["cells_per_well_median"], told["fields_without_signal"]) == (40, 3)


def test_discs_that_touch_are_told_apart_to_within_a_twentieth(tmp_path: Path) -> None:
    truth = {f"B{radius:02d}": pairs(12, 1024, seed=radius, radius=radius) for radius in (6, 8, 12, 20)}
    images = [saved(tmp_path / f"GENERATED_{well}f00d0.tif", discs(made, 1024)) for well, made in truth.items()]
    _done, tables, _metrics = count(tmp_path / "run", images)
    found = {row["well"]: int(row["count"]) for row in tables["wells"]}
    assert found.keys() == truth.keys()
    assert all(abs(found[well] - len(made)) <= len(made) / 20 for well, made in truth.items()), found


def test_the_size_that_counts_leaves_out_dust_and_clumps_and_tells_how_many(tmp_path: Path) -> None:
    circles = [(40.0, 40.0, 8.0), (40.0, 120.0, 8.0), (120.0, 40.0, 3.0), (160.0, 160.0, 40.0)]
    image = saved(tmp_path / "GENERATED_A01f00d0.tif", discs(circles))
    _done, tables, _metrics = count(tmp_path / "run", [image], min_diameter=12, max_diameter=30)
    [row] = tables["fields"]
    assert (row["count"], row["too_large"]) == ("2", "1")
    middles = {(round(float(o["x"])), round(float(o["y"]))) for o in tables["objects"]}
    assert middles == {(40, 40), (40, 120)}


def flat(shape: tuple[int, ...] = (64, 64), value: int = 0) -> np.ndarray:
    return np.full(shape, value, np.uint16)


NOTHING = {
    "dark": (flat(), "flat"),
    "white": (flat(value=65535), "flat"),
    "noise": (np.random.default_rng(1).poisson(3, (128, 128)).astype(np.uint8), "no_signal"),
    "slope": (np.add.outer(np.arange(128), np.zeros(128)).astype(np.uint16), "no_signal"),
    "not a number": (np.full((64, 64), np.nan, np.float32), "flat"),
    "one pixel": (flat((1, 1), 7), "flat"),
}


def test_an_image_with_nothing_in_it_has_no_objects_and_a_flag(tmp_path: Path) -> None:
    images = [saved(tmp_path / f"X_A{n:02d}f00d0.tif", image) for n, (image, _) in enumerate(NOTHING.values(), 1)]
    done, tables, metrics = count(tmp_path / "run", images, overlays=9)
    assert done.returncode == 0, done.stderr
    flags = dict(zip(NOTHING, (row["flag"] for row in tables["fields"]), strict=True))
    assert flags == {name: flag for name, (_image, flag) in NOTHING.items()}
    assert {row["count"] for row in tables["fields"]} == {"0"}
    assert json.loads(metrics)["cells"] == 0


def test_light_that_is_uneven_is_taken_off_and_told_and_alone_it_is_no_cell(tmp_path: Path) -> None:
    real = tifffile.imread(FIELD[0]).astype(float)
    across = np.linspace(0, 1, real.shape[1])
    y, x = (np.linspace(-0.5, 0.5, size) for size in real.shape)
    dim = 1 - 0.5 * 2 * np.add.outer(y**2, x**2)
    noise, circles = np.random.default_rng(3), apart(40, 512, seed=9)
    ramp = 20 + 200 * np.linspace(0, 1, 512) + np.zeros((512, 512))
    fields = {
        "A01": (real + 60 * across, 298, "uneven_light"),
        "A02": ((real + 60) * dim, 298, "uneven_light"),
        "A03": (real, 298, ""),
        "B01": (noise.poisson(ramp + 0.6 * np.clip(discs(circles, 512) - 10.0, 0, None)), 40, "uneven_light"),
        "B02": (noise.poisson(ramp), 0, "no_signal"),
    }
    images = [
        saved(tmp_path / f"X_{well}f00d0.tif", np.round(image).astype(np.uint16))
        for well, (image, _truth, _flag) in fields.items()
    ]
    _done, tables, metrics = count(tmp_path / "run", images)
    found = {row["well"]: (int(row["count"]), row["flag"]) for row in tables["fields"]}
    assert {well: flag for well, (_count, flag) in found.items()} == {w: flag for w, (*_rest, flag) in fields.items()}
    assert all(abs(found[well][0] - truth) <= truth / 50 for well, (_image, truth, _flag) in fields.items()), found
    assert json.loads(metrics)["fields_with_uneven_light"] == 3


def test_an_image_that_cannot_be_read_is_not_zero_cells(tmp_path: Path) -> None:
    good = saved(tmp_path / "X_A01f00d0.tif", discs(apart(5)))
    cut = tmp_path / "X_A02f00d0.tif"
    cut.write_bytes(good.read_bytes()[:3000])
    empty = tmp_path / "X_A03f00d0.tif"
    empty.write_bytes(b"")
    done, tables, metrics = count(tmp_path / "run", [good, cut, empty])
    assert done.returncode == 0, done.stderr
    assert [(r["well"], r["count"], r["flags"]) for r in tables["wells"]] == [
        ("A01", "5", ""),
        ("A02", "", "unreadable"),
        ("A03", "", "unreadable"),
    ]
    told = json.loads(metrics)
    assert (told["cells"], told["fields_not_counted"], told["empty_wells"]) == (5, 2, 0)
    assert "X_A02f00d0.tif cannot be read" in done.stderr


def test_dark_things_in_a_bright_field_are_no_cells_and_stop_no_plate(tmp_path: Path) -> None:
    bright = np.random.default_rng(1).normal(3000, 50, (400, 400))
    rows, columns = np.ogrid[:400, :400]
    bright[(rows - 200) ** 2 + (columns - 200) ** 2 < 900] = 300
    dirty = saved(tmp_path / "X_A01f00d0.tif", bright.astype("u2"))
    good = saved(tmp_path / "X_A02f00d0.tif", discs(apart(5)))
    done, tables, metrics = count(tmp_path / "run", [dirty, good])
    assert done.returncode == 0, done.stderr
    assert [(row["count"], row["flag"]) for row in tables["fields"]] == [("", "all_bright"), ("5", "")]
    assert json.loads(metrics)["fields_not_counted"] == 1


def test_a_field_without_the_second_channel_is_counted_and_none_of_its_cells_is_judged(tmp_path: Path) -> None:
    both = [saved(tmp_path / f"X_A01f00d{n}.tif", discs(apart(4, seed=1))) for n in (0, 1)]
    alone = saved(tmp_path / "X_A02f00d0.tif", discs(apart(6, seed=2)))
    _done, tables, metrics = count(tmp_path / "run", [*both, alone], channel=1, positive_channel=2)
    assert [(row["count"], row["positives"], row["flag"]) for row in tables["fields"]] == [
        ("4", "4", ""),
        ("6", "", "no_positive_channel"),
    ]
    told = json.loads(metrics)
    assert (told["cells"], told["positives"], told["positive_percent"], told["fields_not_counted"]) == (10, 4, 100, 0)


def test_a_plane_too_large_for_a_field_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "X_A01f00d0.tif"
    saved(path, discs([]))
    with tifffile.TiffFile(path, mode="r+b") as opened:
        for name in ("ImageWidth", "ImageLength"):
            opened.pages[0].tags[name].overwrite(100_000)
    _done, tables, _metrics = count(tmp_path / "run", [path])
    assert [(row["count"], row["flag"]) for row in tables["fields"]] == [("", "too_large")]


def test_a_file_with_all_channels_and_planes_is_counted_in_the_channel_asked_for(tmp_path: Path) -> None:
    stack = np.stack([np.stack([discs(apart(n, seed=n)), discs([])]) for n in (0, 4, 9)], axis=1)
    path = tmp_path / "a b'c.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "ZCYX"}, ome=True)
    found = [json.loads(count(tmp_path / f"run{n}", [path], channel=n)[2]) for n in (2, 3, 4)]
    assert [told["cells"] for told in found] == [4, 9, None]
    told = found[1]
    assert (told["wells"], told["cells_per_well_median"], told["cells_per_field_median"]) == (None, None, 9)


def test_planes_of_a_field_are_projected_and_of_its_times_the_first_is_counted(tmp_path: Path) -> None:
    circles = apart(8)
    images = [
        saved(tmp_path / "z1.tif", discs(circles[:3])),
        saved(tmp_path / "z2.tif", discs(circles[3:8])),
        saved(tmp_path / "later.tif", discs([])),
    ]
    place = {"well": "B02", "field": "1", "channel": "1"}
    places = [place | {"z": "1", "t": "1"}, place | {"z": "2", "t": "1"}, place | {"z": "1", "t": "2"}]
    done, tables, _metrics = count(tmp_path / "run", images, places)
    assert [row["count"] for row in tables["fields"]] == ["8"]
    assert "1 later time point" in done.stderr


def test_a_channel_that_no_image_has_is_said_in_one_sentence(tmp_path: Path) -> None:
    done, _tables, _metrics = count(tmp_path / "run", FIELD, channel=7)
    assert (done.returncode, done.stderr) == (1, "No image has the channel 7; there are the channels 1, 2, 3.\n")


def test_it_runs_as_a_workflow_and_gives_what_the_report_and_the_notebook_want(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    table = tmp_path / "table.tsv"
    lines = [[0, file.name, "D03", 1, channel, "", "", 0.5] for channel, file in enumerate(FIELD, 1)]
    table.write_text("".join("\t".join(map(str, line)) + "\n" for line in [COLUMNS, *lines]))
    sample = SampleInputs(name="AS_09125", id="smp_1", folders=(str(REAL),), table=str(table))
    lab, definition = make_lab("auto"), Registry(Path()).get("cell_count")
    token = lab.engine.submit(requested(lab, "cell_count", compose_inputs(definition, [sample], None, {})))
    status = lab.wait(token, 120)
    assert status.state is RunState.COMPLETE, (status, lab.log(token))
    report = lab.engine.report(token)
    metrics = {m.name: m.value for m in read_metrics(definition, [("metrics", output(report, "metrics"))])}
    assert 270 <= (metrics["cells"] or 0) <= 300
    without = {name for name, value in metrics.items() if value is None}
    assert without == {"positives", "positive_percent"}
    assert metrics["area_median_um2"] == pytest.approx((metrics["area_median"] or 0) / 4, abs=0.01)
    assert set(report.tools) == {"scikit-image", "tifffile"}
    assert [task.name for task in report.tasks] == ["segment", "summarise"]
    assert output(report, "overlay_images").read_bytes().startswith(b"\x89PNG")


def test_the_same_field_in_any_file_that_cameras_and_people_write_has_the_same_count(tmp_path: Path) -> None:
    field = discs(apart(12))
    colour = np.zeros((*field.shape, 3), np.uint8)
    colour[..., 2] = field  # as exported in a blue look-up table
    saved(tmp_path / "X_A01f00d0.tif", colour)
    tifffile.imwrite(tmp_path / "X_A02f00d0.tif", field, compression="lzw", bigtiff=True)
    tifffile.imwrite(tmp_path / "X_A03f00d0.tif", field.astype(">u2") * 16, byteorder=">")
    tifffile.imwrite(tmp_path / "X_A04f00d0.tif", field.astype(np.float32) / 255, tile=(64, 64))
    Image.fromarray(field).save(tmp_path / "X_A05f00d0.png")
    Image.fromarray(colour).save(tmp_path / "X_A06f00d0.jpg", quality=95)
    _done, tables, _metrics = count(tmp_path / "run", sorted(tmp_path.glob("X_*")), overlays=6)
    assert [(row["count"], row["flag"]) for row in tables["fields"]] == [("12", "")] * 6
    assert len(list((tmp_path / "run" / "overlays").glob("*.png"))) == 6


def test_a_field_brighter_than_its_file_can_hold_is_counted_and_flagged(tmp_path: Path) -> None:
    image = saved(tmp_path / "X_A01f00d0.tif", discs(apart(6), light=3.0))
    _done, tables, metrics = count(tmp_path / "run", [image])
    assert [(row["count"], row["flag"]) for row in tables["fields"]] == [("6", "saturated")]
    assert json.loads(metrics)["fields_saturated"] == 1

"""The bundled `to_ome_zarr`: what it writes is read back by our own readers, and judged by Zarr's and NGFF's own."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from referees import BIN

from labrelay.model.instrument import Known
from labrelay.parsers.preview import Preview, Where
from labrelay.parsers.preview_zarr import preview_zarr
from labrelay.parsers.registry import read_run
from labrelay.workflows.lint import lint
from labrelay.workflows.registry import BUILT_IN

from .cells import REAL
from .zarrs import convert

FIELD = sorted(REAL.glob("*.tif"))
D03 = [{"wells": "D03", "fields": "1", "channels": str(n + 1)} for n in range(3)]
ND2 = REAL.parent / "instruments" / "nd2-nikon-a1plus"
JUDGE = """
import hashlib, json, sys, zarr, ome_zarr_models
told = {}
for path in sys.argv[1:]:
    store = zarr.storage.ZipStore(path, mode="r") if path.endswith(".ozx") else path
    group = zarr.open_group(store, mode="r")
    kind = type(ome_zarr_models.open_ome_zarr(group)).__name__
    arrays = {name: each for name, each in group.members(max_depth=None) if isinstance(each, zarr.Array)}
    facts = {n: [list(a.shape), a.dtype.name, hashlib.sha256(a[:].tobytes()).hexdigest()] for n, a in arrays.items()}
    told[path] = [kind, facts]
print(json.dumps(told))
"""


def test_the_definition_is_without_fault() -> None:
    assert lint(BUILT_IN / "to_ome_zarr") == []


def five(folder: Path) -> tuple[Path, npt.NDArray[np.uint16]]:
    """Write an OME-TIFF with five axes, odd sizes and more than one chunk a plane; return it and its pixels."""
    pixels = np.random.default_rng(7).integers(0, 4000, (2, 3, 2, 1101, 300), np.uint16)
    pixels[:, :, :, 1024:] = 0  # a chunk of zeros is not written
    facts = {"PhysicalSizeX": 0.325, "PhysicalSizeY": 0.325, "PhysicalSizeZ": 2.0}
    named = {"axes": "TCZYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}, **facts}
    tifffile.imwrite(folder / "five.ome.tif", pixels, metadata=named, ome=True, byteorder=">")
    return folder / "five.ome.tif", pixels


def test_a_real_plate_is_read_back_with_wells_pixel_sizes_channels_and_pixels(tmp_path: Path) -> None:
    made = convert(tmp_path / "run", FIELD, D03, name="HT29 1", pixel=0.5, channel_names="DNA, pH3, actin")
    assert (made.done.returncode, made.packed.name) == (0, "HT29_1.ozx"), made.done.stderr
    assert made.metrics == {
        "images_written": 1, "wells": 1, "planes_written": 3, "planes_missing": 0, "images_left_out": 0
    }  # fmt: skip
    run = read_run(made.folder)
    assert (run.platform, run.problems, run.completion.copied.value) == ("ome_zarr", (), Known.YES)
    assert run.plate is not None
    assert (run.plate.id, run.plate.wells, run.plate.rows, run.plate.columns) == ("HT29 1", ("D03",), 8, 12)
    (image,) = run.images
    assert (image.path, image.size_x, image.size_c, image.pixel_um, image.step_um) == ("D/3/0", 512, 3, 0.5, None)
    assert [channel.name for channel in image.channels] == ["DNA", "pH3", "actin"]
    for channel, path in enumerate(FIELD):
        seen = preview_zarr(made.folder, "D/3/0", Where(c=channel), 512)
        assert isinstance(seen, Preview)
        assert np.array_equal(seen.values, tifffile.imread(path))
        small = preview_zarr(made.folder, "D/3/0", Where(c=channel), 256)
        truth = tifffile.imread(path).reshape(256, 2, 256, 2).mean((1, 3))
        assert isinstance(small, Preview)
        assert np.abs(small.values - truth).max() <= 0.5


def test_zarrs_own_reader_finds_each_pixel_and_ngffs_own_models_find_no_fault(tmp_path: Path) -> None:
    python = BIN / "python"
    if not python.exists():
        pytest.skip("the referees are not installed: make .venv-referees")
    path, pixels = five(tmp_path)
    whole = convert(tmp_path / "five", [path], [{}], name="five")
    plate = convert(tmp_path / "plate", FIELD, D03)
    assert whole.done.returncode == plate.done.returncode == 0, whole.done.stderr
    argv = [str(python), "-c", JUDGE, str(whole.packed), str(whole.folder), str(plate.packed)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    told = json.loads(done.stdout)
    kind, arrays = told[str(whole.packed)]
    assert told[str(whole.folder)] == [kind, arrays]
    assert (kind, told[str(plate.packed)][0]) == ("Image", "HCS")
    assert arrays["0"] == [list(pixels.shape), "uint16", hashlib.sha256(pixels.astype("<u2").tobytes()).hexdigest()]
    assert [arrays[name][0][3:] for name in "0123"] == [[1101, 300], [551, 150], [276, 75], [138, 38]]
    run = read_run(whole.folder)
    (image,) = run.images
    assert (image.size_t, image.size_c, image.size_z, image.pixel_um, image.step_um) == (2, 3, 2, 0.325, 2.0)
    assert [channel.name for channel in image.channels] == ["DAPI", "GFP", "Cy5"]


def test_a_zip_lists_what_it_is_first_packs_nothing_again_and_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = (convert(tmp_path / name, FIELD, D03) for name in ("one", "two"))
    assert one.packed.read_bytes() == two.packed.read_bytes()
    with zipfile.ZipFile(one.packed) as archive:
        names = archive.namelist()
        assert names[:4] == ["zarr.json", "D/zarr.json", "D/3/zarr.json", "D/3/0/zarr.json"]
        assert json.loads(archive.comment.rstrip(b"\0")) == {"ome": {"version": "0.5"}}
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}
    first_data = next(n for n, name in enumerate(names) if not name.endswith("zarr.json"))
    assert not any(name.endswith("zarr.json") for name in names[first_data:])


def test_what_is_missing_is_counted_and_what_is_broken_is_left_out_and_named(tmp_path: Path) -> None:
    places, images = [], []
    for well in ("A1", "A02", "B12"):
        for channel in ("1", "2"):
            for z in ("1", "2"):
                path = tmp_path / f"{well}_{channel}_{z}.tif"
                tifffile.imwrite(path, np.full((40, 30), 7, np.uint8))
                images.append(path)
                places.append({"wells": well, "fields": "1", "channels": channel, "planes": z})
    del images[1], places[1]
    (tmp_path / "A02_1_1.tif").write_bytes(b"II*\0nothing")
    tifffile.imwrite(tmp_path / "B12_2_2.tif", np.full((40, 31), 7, np.uint8))
    made = convert(tmp_path / "run", images, places)
    assert made.done.returncode == 0, made.done.stderr
    assert [(row["well"], row["flag"], row["missing"]) for row in made.rows] == [
        ("A1", "", "1"),
        ("A02", "unreadable", ""),
        ("B12", "sizes_differ", ""),
    ]
    assert (made.metrics["planes_missing"], made.metrics["images_left_out"], made.metrics["wells"]) == (1, 2, 1)
    run = read_run(made.folder)
    assert run.plate is not None
    assert run.plate.wells == ("A01",)
    with zipfile.ZipFile(made.packed) as archive:
        assert not [name for name in archive.namelist() if name.startswith(("A/2/", "B/12/"))]
    assert "A02_1_1.tif cannot be read" in made.done.stderr


def test_images_without_a_well_are_a_list_and_an_nd2_tells_its_own_sizes(tmp_path: Path) -> None:
    (packed,) = ND2.rglob("*.nd2.gz")
    image = tmp_path / "cluster.nd2"
    image.write_bytes(gzip.decompress(packed.read_bytes()))
    made = convert(tmp_path / "run", [image, image], [{}, {}], name="clusters")
    assert made.done.returncode == 0, made.done.stderr
    run = read_run(made.folder)
    assert [(each.path, each.size_t, each.size_c, each.size_z) for each in run.images] == [
        ("0", 3, 2, 10),
        ("1", 3, 2, 10),
    ]
    assert (run.images[0].pixel_um, run.images[0].step_um) == (0.167809, 0.5)
    assert [channel.name for channel in run.images[0].channels] == ["5-FAM/pH 9.0", "FM 4-64/2% CHAPS"]


def test_a_mixture_that_cannot_be_one_image_is_refused_in_a_sentence(tmp_path: Path) -> None:
    made = convert(tmp_path / "run", FIELD[:2], [{"wells": "D03"}, {}])
    assert (made.done.returncode, made.done.stderr) == (
        1,
        "Some images have a well and others have none; convert them apart.\n",
    )
    told = convert(tmp_path / "told", FIELD[:2], [{"channels": "1"}, {"fields": "2"}])
    assert told.done.stderr == "Some images tell their channel and others do not; convert them apart.\n"

"""OME-Zarr of every version: its JSON, its chunks, and what strays from the specification."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from run_folders import codes, put

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt
from labrelay.model.instrument import Known
from labrelay.parsers.registry import detect, read_run

Json = dict[str, object]


def group(root: Path, path: str, attributes: Json, version: int = 2) -> None:
    root = root / path
    if version == 3:
        content = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}
        put(root, "zarr.json", json.dumps(content))
        return
    put(root, ".zgroup", '{"zarr_format": 2}')
    put(root, ".zattrs", json.dumps(attributes))


def array(root: Path, path: str, shape: list[int], chunks: list[int], files: int = 0, version: int = 2) -> None:
    if version == 3:
        grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
        content = {"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint16", "chunk_grid": grid}
        put(root, f"{path}/zarr.json", json.dumps(content))
    else:
        put(root, f"{path}/.zarray", json.dumps({"shape": shape, "chunks": chunks, "dtype": "<u2"}))
    for number in range(files):
        put(root, f"{path}/{'c/' if version == 3 else ''}0/{number}")


def scales(axes: object = None, version: str = "0.4", **more: object) -> Json:
    first: Json = {"datasets": [{"path": "0"}], "version": version, **more}
    return {"multiscales": [first if axes is None else {**first, "axes": axes}]}


AXES_04 = [{"name": "c"}, {"name": "y", "unit": "nanometer"}, {"name": "x", "unit": "nanometer"}]
STEPS = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 500, 500]}]}]


@pytest.mark.parametrize(
    ("attributes", "shape", "version", "sizes"),
    [
        (scales(version="0.1"), [1, 2, 1, 4, 6], 2, (6, 4, 1, 2, 1)),
        (scales(version="0.1"), [4, 6], 2, (6, 4, None, None, None)),
        (scales(version="0.2"), [1, 2, 1, 4, 6], 2, (6, 4, 1, 2, 1)),
        (scales(["c", "y", "x"], "0.3"), [2, 4, 6], 2, (6, 4, None, 2, None)),
        (scales(AXES_04, datasets=STEPS), [2, 4, 6], 2, (6, 4, None, 2, None)),
        (scales(AXES_04, datasets=STEPS), [2, 4, 6], 3, (6, 4, None, 2, None)),
    ],
)
def test_each_version_has_its_own_axes(
    tmp_path: Path, attributes: Json, shape: list[int], version: int, sizes: tuple[int | None, ...]
) -> None:
    group(tmp_path, "HeLa.ome.zarr", attributes, version)
    array(
        tmp_path,
        "HeLa.ome.zarr/0",
        shape,
        [1] * (len(shape) - 2) + [4, 6],
        files=shape[0] if len(shape) == 3 else 2 if len(shape) == 5 else 1,
        version=version,
    )
    run = read_run(tmp_path)
    image = run.images[0]
    assert (image.size_x, image.size_y, image.size_z, image.size_c, image.size_t) == sizes
    assert image.pixel_um == (0.5 if "datasets" in str(attributes) and "nanometer" in str(attributes) else None)
    assert (run.run_id, run.sample_labels, image.pixel_type) == ("HeLa", ("HeLa",), "uint16")
    assert (run.completion.copied.value, run.problems) == (Known.YES, ())
    assert {file.role for file in run.files} == {FileRole.IMAGE}
    assert read_run(tmp_path / "HeLa.ome.zarr").run_id == "HeLa"


def test_a_missing_chunk_is_no_proof_of_loss(tmp_path: Path) -> None:
    group(tmp_path, "a.zarr", scales(AXES_04))
    array(tmp_path, "a.zarr/0", [2, 8, 6], [1, 4, 6], files=3)
    run = read_run(tmp_path)
    assert (codes(run, "warning"), codes(run, "error")) == (["MISSING_CHUNKS"], [])
    assert run.completion.copied.value is Known.UNKNOWN


def plate(root: Path, wells: list[str], present: list[str], version: int = 2) -> None:
    told = [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in wells]
    rows, columns = [{"name": "A"}, {"name": "B"}], [{"name": str(number)} for number in range(1, 4)]
    group(root, "", {"plate": {"name": "P1", "rows": rows, "columns": columns, "wells": told}}, version)
    for well in present:
        group(root, well, {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version)
        for field in "01":
            group(root, f"{well}/{field}", scales(AXES_04), version)
            array(root, f"{well}/{field}/0", [1, 4, 4], [1, 4, 4], files=1, version=version)


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_gives_wells_fields_and_the_place_of_every_file(tmp_path: Path, version: int) -> None:
    root = tmp_path / "plate.zarr"
    plate(root, ["A/1", "B/03"], ["A/1", "B/03"], version)
    run = read_run(root)
    assert run.plate is not None
    assert (run.plate.rows, run.plate.columns, run.plate.wells, run.plate.fields) == (2, 3, ("A01", "B03"), 2)
    assert [image.name for image in run.images] == [f"{well} field {n}" for well in ("A01", "B03") for n in (1, 2)]
    chunks = [file for file in run.files if "/0/0/" in file.path or "/0/c/" in file.path]
    assert {(file.sample, file.role) for file in run.files} == {("P1", FileRole.IMAGE)}
    assert chunks[0].image == ImageAt(well="A01", field=1)
    assert (run.run_id, run.problems, run.completion.copied.value) == ("P1", (), Known.YES)


def test_wells_that_a_plate_lists_and_that_are_not_here_are_told(tmp_path: Path) -> None:
    plate(tmp_path / "p.zarr", ["A/1", "B/03"], ["A/1"])
    run = read_run(tmp_path)
    assert codes(run) == ["MISSING_WELLS"]
    assert "B03 first" in run.problems[0].message
    assert run.completion.copied.value is Known.UNKNOWN


def test_a_root_of_bioformats2raw_holds_images_with_the_times_of_its_ome_xml(tmp_path: Path) -> None:
    root = tmp_path / "slide.zarr"
    group(root, "", {"bioformats2raw.layout": 3})
    group(root, "OME", {"series": ["0", "1"]})
    images = "".join(
        f'<Image ID="Image:{n}"><AcquisitionDate>2024-02-0{n + 1}T00:00:00Z</AcquisitionDate></Image>' for n in (0, 1)
    )
    put(root, "OME/METADATA.ome.xml", f"<OME>{images}</OME>")
    for n in (0, 1):
        group(root, str(n), scales(AXES_04))
        array(root, f"{n}/0", [1, 4, 4], [1, 4, 4], files=1)
    run = read_run(tmp_path)
    assert [image.name for image in run.images] == ["slide 0", "slide 1"]
    assert [image.acquired for image in run.images] == ["2024-02-01T00:00:00Z", "2024-02-02T00:00:00Z"]
    assert (run.problems, {file.sample for file in run.files}) == ((), {"slide"})


def test_several_images_in_a_folder_are_samples_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        group(tmp_path, f"{name}.zarr", scales(AXES_04))
        array(tmp_path, f"{name}.zarr/0", [1, 4, 4], [1, 4, 4], files=1)
    put(tmp_path, "notes.txt")
    run = read_run(tmp_path)
    assert (run.sample_labels, run.run_id) == (("a", "b"), tmp_path.name)
    assert [file.role for file in run.files if file.sample is None] == [FileRole.OTHER]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "BAD_JSON"),
        ("[" * 100_000, "BAD_JSON"),
        ("[]", "NO_OME_METADATA"),
        ('{"multiscales": 7}', "MISSING_ARRAY"),
    ],
)
def test_metadata_that_are_none_are_warnings(tmp_path: Path, text: str, code: str) -> None:
    put(tmp_path, "a.zarr/.zgroup", "{}")
    put(tmp_path, "a.zarr/.zattrs", text)
    put(tmp_path, "a.zarr/0/.zarray", '{"shape": [1e99, "x"], "chunks": [0]}')
    run = read_run(tmp_path, "ome_zarr") if detect(tmp_path) else None
    if run is not None:
        assert code in codes(run, "warning")
    else:
        assert code != "MISSING_ARRAY"


def test_a_zarr_of_something_else_is_none_of_ours(tmp_path: Path) -> None:
    put(tmp_path, "weather.zarr/.zgroup", "{}")
    put(tmp_path, "weather.zarr/.zattrs", '{"title": "rain"}')
    assert detect(tmp_path) == []


def test_a_tree_of_many_files_is_read_in_one_pass(tmp_path: Path) -> None:
    root = tmp_path / "p.zarr"
    plate(root, ["A/1", "B/03"], ["A/1", "B/03"])
    for folder in ("A/1/0/0", "A/1/1/0", "B/03/0/0", "B/03/1/0"):
        (root / folder / "1").mkdir()
        for number in range(1_000):
            (root / folder / "1" / str(number)).touch()
    began = time.monotonic()
    assert detect(root)[0].platform == "ome_zarr"
    assert len(read_run(root).files) > 4_000
    assert time.monotonic() - began < 5

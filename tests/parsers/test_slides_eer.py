"""Whole slides and EER movies: GENERATED files in the layouts of their makers.

SVS was tried on real slides of Aperio (CMU-1, TCGA), which may not be shipped; the others are from documents.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from run_folders import codes, put
from tiny_images import SCN, SVS, Page, Tags, bif, eer, ndpi, scn, slide_pixels, svs, tiff_of_pages

from labrelay.parsers.preview import Preview, Where
from labrelay.parsers.preview_eer import preview_eer
from labrelay.parsers.preview_slide import preview_slide
from labrelay.parsers.registry import detect, read_run
from labrelay.parsers.tiff_pages import read_pages
from labrelay.records.report.run_choice import choose
from labrelay.records.report.run_pictures import draw
from labrelay.records.report.run_views import load_from

SLIDES: dict[str, Callable[[], bytes]] = {"svs": svs, "ndpi": ndpi, "scn": scn, "bif": bif}
SLIDEDAT = """[GENERAL]
SLIDE_VERSION = 01.02
SLIDE_NAME = Ada Example
SLIDE_ID = 17
SLIDE_CREATIONDATETIME = 25/11/2010 12:36:29
OBJECTIVE_MAGNIFICATION = 20
OBJECTIVE_NAME = Plan-Apochromat
CAMERA_TYPE = CIS_VCC_F52U25CL
IMAGENUMBER_X = 20
IMAGENUMBER_Y = 15
CameraImageDivisionsPerSide = 4
[HIERARCHICAL]
HIER_COUNT = 1
HIER_0_NAME = Slide zoom level
HIER_0_COUNT = 10
HIER_0_VAL_0_SECTION = LAYER_0_LEVEL_0_SECTION
NONHIER_0_VAL_0 = ScanDataLayer_SlideBarcode
[LAYER_0_LEVEL_0_SECTION]
MICROMETER_PER_PIXEL_X = 0.23
DIGITIZER_WIDTH = 256
DIGITIZER_HEIGHT = 256
OVERLAP_X = 40.5
OVERLAP_Y = 0
[DATAFILE]
FILE_COUNT = 2
FILE_0 = Data0000.dat
FILE_1 = Data0001.dat
""".replace("\n", "\r\n")
FACTS = {
    "svs": ("Aperio", "SS1", "Aperio Image Library v10.0.51", "20×", 0.499, "2009-12-29T09:59:15"),
    "ndpi": ("Hamamatsu NanoZoomer", "A17", "NDP.scan 2.5", "20×", 0.227702, "2009-12-31T09:11:46"),
    "scn": ("Leica SCN400", None, "1.4.0", "20×", 0.5, "2026-01-02T03:04:05Z"),
    "bif": ("VENTANA DP 200", "2000515", "1.1.0.15854", "40×", 0.25, None),
}
PEOPLE = {
    "svs": {"User": "ada", "Filename": "Ada Example", "label picture": "page 3", "macro picture": "page 4"},
    "ndpi": {"Reference": "Ada Example", "macro picture": "page 2"},
    "scn": {"Barcode": "SLIDE123", "Collection": "Ada Example", "macro picture": "page 0"},
    "bif": {"UserName": "Operator Ada", "Barcode1D": "X17", "label picture": "page 0"},
}


def seen(view: Preview | str) -> Preview:
    assert isinstance(view, Preview), view
    return view


@pytest.mark.parametrize("maker", SLIDES)
def test_a_slide_tells_its_scan_and_hides_people(tmp_path: Path, maker: str) -> None:
    put(tmp_path, f"case 1.{maker}", SLIDES[maker]())
    assert [(found.platform, found.confidence) for found in detect(tmp_path)] == [("slide", 0.9)]
    run = read_run(tmp_path)
    [image] = run.images
    magnification = run.raw[f"case 1.{maker}"]["magnification"]
    told = (run.instrument_model, run.instrument_serial, run.software, magnification, image.pixel_um, image.acquired)
    assert told == FACTS[maker]
    assert (image.extent, image.pixel_type, len(image.channels)) == ("128 × 96 × 1 × 3 × 1", "uint8", 1)
    assert run.raw[f"case 1.{maker}"]["levels"] == "2"
    untried = [] if maker == "svs" else ["FROM_DOCUMENTS"]
    assert (codes(run), run.sample_labels, run.completion.copied.value.value) == (untried, ("case 1",), "yes")
    found = {key.partition(": ")[2]: value.partition(",")[0] for key, value in run.personal.items()}
    assert found == PEOPLE[maker]
    open_fields = run.model_copy(update={"personal": {}}).model_dump_json()
    assert "Ada" not in open_fields
    assert "SLIDE123" not in open_fields


@pytest.mark.parametrize("maker", SLIDES)
def test_a_view_is_of_the_slide_and_never_of_its_label(tmp_path: Path, maker: str) -> None:
    pytest.importorskip("tifffile", reason="the extra imaging is not installed")
    put(tmp_path, f"a.{maker}", SLIDES[maker]())
    for edge, small in ((16, (12, 16)), (64, (48, 64))):
        view = seen(preview_slide(tmp_path, f"a.{maker}", Where(), edge))
        assert (view.width, view.height, view.colour, view.values.shape[:2]) == (128, 96, True, small)
        # Red grows to the right and green downwards, at every level; a label would be white.
        assert (view.values[:, :, 2] == 200).all()
        assert (np.diff(view.values[0, :, 0]) > 0).all()
        assert (np.diff(view.values[:, 0, 1]) > 0).all()


def test_a_small_view_is_read_from_the_small_level(tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="the extra imaging is not installed")
    data = svs()
    with (tmp_path / "a.svs").open("w+b") as file:
        file.write(data)
        file.flush()
        pages, whole = read_pages(file, "a.svs")
    assert (whole, [page.tiled for page in pages]) == (True, [True, False, True, False, False])
    # All pixels of the largest level are black now.
    largest = len(slide_pixels().tobytes())
    put(tmp_path, "a.svs", data[:8] + b"\0" * largest + data[8 + largest :])
    assert seen(preview_slide(tmp_path, "a.svs", Where(), 64)).values.max() == 251
    assert seen(preview_slide(tmp_path, "a.svs", Where(), 128)).values.max() == 0


def test_the_page_shows_a_slide_and_says_nothing_of_channels(tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="the extra imaging is not installed")
    put(tmp_path, "a.svs", svs())
    run = read_run(tmp_path)
    galleries = draw(choose(run), load_from(run, tmp_path))
    assert [(gallery.title, len(gallery.pictures), gallery.notes) for gallery in galleries] == [("Images", 1, ())]


def test_a_description_in_one_line_tells_no_names_as_the_software(tmp_path: Path) -> None:
    text = "Aperio Leica Biosystems GT450 v1.0.1|User = ada|Date = 02/29/2024|Time = 10:00:00|Time Zone = GMT-0500"
    put(tmp_path, "a.svs", tiff_of_pages([({270: text, 322: 32, 323: 32}, slide_pixels())], "classic", 32))
    run = read_run(tmp_path)
    assert (run.software, run.personal) == ("Aperio Leica Biosystems GT450 v1.0.1", {"a.svs: User": "ada"})
    assert (run.started_text, run.started is not None) == ("2024-02-29T10:00:00-05:00", True)


def test_planes_of_focus_of_an_aperio_slide_are_counted_and_no_levels(tmp_path: Path) -> None:
    tiled = {322: 32, 323: 32}
    pages = [({270: SVS, **tiled}, slide_pixels()), *[(tiled, slide_pixels()) for _ in range(2)]]
    put(tmp_path, "a.svs", tiff_of_pages(pages, "classic", 32))
    run = read_run(tmp_path)
    assert (run.images[0].size_z, run.raw["a.svs"]["levels"]) == (3, "1")


def test_an_ndpi_beyond_four_gigabytes_is_read_and_shown(tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="the extra imaging is not installed")
    data = ndpi(base=5 * 2**30)
    with (tmp_path / "a.ndpi").open("wb") as file:
        file.write(data[:12])
        file.seek(5 * 2**30 + 12)  # a hole, which takes no room
        file.write(data[12:])
    run = read_run(tmp_path)
    assert (run.images[0].extent, run.instrument_model) == ("128 × 96 × 1 × 3 × 1", "Hamamatsu NanoZoomer")
    assert (run.completion.copied.value.value, codes(run)) == ("yes", ["FROM_DOCUMENTS"])
    assert (seen(preview_slide(tmp_path, "a.ndpi", Where(), 64)).values[:, :, 2] == 200).all()


def test_an_array_that_a_directory_names_many_times_is_read_once(tmp_path: Path) -> None:
    entries = [struct.pack("<HHQQ", tag, 16, 100_000, 0) for tag in [273] * 400 + [324] * 100]
    head = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(entries))
    (tmp_path / "a.svs").write_bytes((head + b"".join(entries) + bytes(8)).ljust(900_000, b"\0"))
    with (tmp_path / "a.svs").open("rb") as file:
        spy = Mock(wraps=file)
        read_pages(spy, "a.svs")
    assert sum(call.args[0] >= 800_000 for call in spy.read.call_args_list) == 2


@pytest.mark.parametrize("maker", SLIDES)
def test_a_cut_slide_is_refused(tmp_path: Path, maker: str) -> None:
    put(tmp_path, f"a.{maker}", SLIDES[maker]()[:-40])
    run = read_run(tmp_path)
    assert codes(run, "error") == ["TRUNCATED"]
    assert run.completion.copied.value.value == "no"


def test_a_tiff_that_is_only_called_a_slide_tells_its_size(tmp_path: Path) -> None:
    put(tmp_path, "a.svs", tiff_of_pages([({322: 32, 323: 32}, slide_pixels())], "classic", 32))
    put(tmp_path, "b.svs", b"no tiff")
    put(tmp_path, "c.svs", b"II*\0\xff\0\0\0")
    run = read_run(tmp_path)
    assert [(p.path, p.code, p.severity.value) for p in run.problems] == [
        ("a.svs", "UNUSUAL_CONTENT", "warning"),
        ("b.svs", "BAD_TIFF", "warning"),
        ("c.svs", "TRUNCATED", "error"),
    ]
    assert [image.extent for image in run.images] == ["128 × 96 × 1 × 3 × 1"]


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("a.svs", {}),
        ("a.scn", {270: SCN[:-20]}),
        ("a.scn", {270: SCN.replace('sizeX="600000" sizeY="400000"><bar', 'sizeX="600001" sizeY="400000"><bar')}),
        ("a.bif", {270: "Label_Image", 700: b"<Metadata><Other/></Metadata>"}),
        ("a.ndpi", {271: "Hamamatsu", 65421: -1.0}),
    ],
)
def test_a_slide_whose_description_is_not_understood_never_shows_its_label(
    tmp_path: Path, name: str, tags: Tags
) -> None:
    pages: list[Page] = [(tags, np.full((40, 60, 3), 255, np.uint8)), ({322: 32, 323: 32}, slide_pixels())]
    put(tmp_path, name, tiff_of_pages(pages, "ndpi" if name == "a.ndpi" else "big", 32))
    run = read_run(tmp_path)
    assert "60 × 40 × 1 × 3 × 1" not in [image.extent for image in run.images]
    view = preview_slide(tmp_path, name, Where())
    assert isinstance(view, str) or view.width == 128


def test_a_scn_with_much_to_tell_is_understood_and_its_overview_hidden(tmp_path: Path) -> None:
    text = SCN.replace("<scanSettings>", "<scanSettings>" + "<channel name='DAPI' exposure='1'/>" * 7000)
    tiled: Tags = {322: 32, 323: 32}
    pages: list[Page] = [({270: text}, np.full((40, 60, 3), 255, np.uint8)), *[(tiled, slide_pixels())] * 2]
    put(tmp_path, "a.scn", tiff_of_pages(pages, "big", 32))
    run = read_run(tmp_path)
    assert ([image.extent for image in run.images], codes(run)) == (["128 × 96 × 1 × 3 × 1"], ["FROM_DOCUMENTS"])


def test_an_mrxs_is_its_file_and_its_folder(tmp_path: Path) -> None:
    put(tmp_path, "case 1.mrxs", b"\xff\xd8")
    put(tmp_path, "case 1/Slidedat.ini", SLIDEDAT)
    for name in ("Index.dat", "Data0000.dat", "Data0001.dat"):
        put(tmp_path, f"case 1/{name}")
    run = read_run(tmp_path)
    assert (run.platform, {(f.role.value, f.sample) for f in run.files}) == ("slide", {("image", "case 1")})
    [image] = run.images
    # Twenty images of 256 pixels are five photos, which overlap at four seams.
    assert (image.size_x, image.size_y) == (20 * 256 - 162, 15 * 256)
    assert (image.pixel_um, image.acquired) == (0.23, "2010-11-25T12:36:29")
    assert run.raw["case 1.mrxs"] == {
        "maker": "3DHISTECH",
        "magnification": "20×",
        "objective": "Plan-Apochromat",
        "levels": "10",
        "images across": "20",
        "images down": "15",
        "version": "01.02",
    }
    assert {key.partition(": ")[2] for key in run.personal} == {"SLIDE_NAME", "SLIDE_ID", "label picture"}
    assert (codes(run), run.completion.copied.value.value) == (["FROM_DOCUMENTS"], "yes")
    assert "OpenSlide or QuPath shows them" in str(preview_slide(tmp_path, "case 1.mrxs", Where()))


def test_an_mrxs_without_its_folder_or_a_part_of_it_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.mrxs")
    put(tmp_path, "b.mrxs")
    put(tmp_path, "b/Slidedat.ini", SLIDEDAT)
    put(tmp_path, "b/Data0000.dat")
    run = read_run(tmp_path)
    assert [(p.code, p.path) for p in run.problems if p.severity == "error"] == [
        ("MISSING_REFERENCE", "a.mrxs"),
        ("MISSING_REFERENCE", "b/Slidedat.ini"),
    ]
    [missing] = [p for p in run.problems if p.path == "b/Slidedat.ini"]
    assert "Data0001.dat first" in missing.message


def test_an_eer_movie_tells_its_frames_dose_and_time(tmp_path: Path) -> None:
    put(tmp_path, "m1.eer", eer())
    assert [found.platform for found in detect(tmp_path)] == ["eer"]
    run = read_run(tmp_path)
    [image] = run.images
    assert (image.extent, image.pixel_um, image.channels[0].exposure_s) == ("64 × 64 × 1 × 1 × 3", 7.5e-05, 0.5)
    assert (run.instrument_model, run.instrument_serial) == ("Falcon 4i", "17")
    assert (run.started_text, run.raw["m1.eer"]["exposureTime"]) == ("2025-03-14T17:40:48.482908+01:00", "0.5 s")
    assert (codes(run), run.completion.copied.value.value) == (["FROM_DOCUMENTS"], "yes")


def test_a_view_of_an_eer_movie_is_the_sum_of_its_frames(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="the extra imaging is not installed")
    put(tmp_path, "m1.eer", eer())
    view = seen(preview_eer(tmp_path, "m1.eer", Where(), 64))
    assert view.values.sum(axis=1).tolist() == [64.0] * 3 + [0.0] * 61
    assert seen(preview_eer(tmp_path, "m1.eer", Where(), 16)).values[0, 0] == 0.75


def test_movies_of_a_session_are_seen_as_its_micrographs(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="the extra imaging is not installed")
    put(tmp_path, "m1.eer", eer())
    put(tmp_path, "m1.eer.mdoc", "PixelSpacing = 0.75\nVoltage = 300\n\n[FrameSet = 0]\nSubFramePath = X:\\m1.eer\n")
    run = read_run(tmp_path)
    assert run.platform == "serialem"
    [gallery] = draw(choose(run), load_from(run, tmp_path))
    assert (gallery.title, len(gallery.pictures), gallery.notes) == ("Micrographs", 1, ())
    assert gallery.said.startswith("1 of 1 file, the first frames of each")


def test_frames_that_are_missing_are_told(tmp_path: Path) -> None:
    put(tmp_path, "few.eer", eer(frames=2, declared=5))
    put(tmp_path, "cut.eer", eer()[:-30])
    put(tmp_path, "plain.eer", tiff_of_pages([({}, slide_pixels())]))
    run = read_run(tmp_path)
    assert {(p.path, p.code) for p in run.problems} == {
        ("few.eer", "COUNT_MISMATCH"),
        ("cut.eer", "TRUNCATED"),
        ("plain.eer", "NO_METADATA"),
        ("plain.eer", "UNUSUAL_CONTENT"),
        ("cut.eer", "FROM_DOCUMENTS"),
    }

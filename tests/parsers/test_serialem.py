"""SerialEM's mdoc files: sections of three kinds, tilt series, montages, movies that lie elsewhere."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from mrc_files import mrc
from run_folders import CASES, case, codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import Known
from labrelay.parsers.mdoc import mdoc_time, parse_mdoc, windows_folder, windows_name
from labrelay.parsers.registry import detect, read_run

MDOCS = CASES / "cryoem-serialem-mdoc"


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("frame_set_multiple", 21),
        ("frame_set_single", 1),
        ("montage_section", 63),
        ("montage_section_multiple", 100),
        ("tilt_series", 41),
    ],
)
def test_every_section_of_a_real_file_is_found(name: str, sections: int) -> None:
    mdoc, problems = parse_mdoc((MDOCS / f"{name}.mdoc").read_bytes(), f"{name}.mdoc")
    assert (len(mdoc.sections), problems) == (sections, ())


def test_a_folder_of_mdoc_files_is_serialem_with_its_series_montages_and_movies() -> None:
    assert [found.platform for found in detect(MDOCS)] == ["serialem"]
    run = case("cryoem-serialem-mdoc")
    kinds = {unit.name: (unit.kind, unit.facts) for unit in run.units}
    assert kinds["tilt_series"][0] == "tilt series"
    assert kinds["tilt_series"][1]["degrees"] == "-60.0 to 60.0"
    assert kinds["montage_section"][1]["pieces"] == "62"
    assert kinds["montage_section_multiple"][1]["pieces"] == "90"
    assert "frame_set_single" not in kinds
    [apart] = [problem for problem in run.problems if problem.code == "DATES_APART"]
    assert "its sections are dated from 2015-11-30 to 2021-10-08" in apart.message
    alone = read_run(MDOCS / "tilt_series.mdoc")
    assert "DATES_APART" not in [problem.code for problem in alone.problems]


def test_a_tilt_series_has_its_angles_in_the_order_they_were_taken() -> None:
    run = read_run(MDOCS / "tilt_series.mdoc")
    [image] = run.images
    assert (image.name, image.size_x, image.size_y, image.size_z) == ("TS_01.mrc", 924, 958, 41)
    assert (len(image.tilt_degrees), image.tilt_degrees[1]) == (41, 3.00113)
    assert min(image.tilt_degrees) == pytest.approx(-59.9986)
    assert (image.pixel_um, image.pixel_type) == (0.00054, "int16")
    assert run.instrument_model == "EMBL Krios"
    assert (run.started, run.started_text) == (datetime(2015, 11, 30, 15, 21, 38), "30-Nov-15  15:21:38")
    assert run.ended == datetime(2015, 11, 30, 16, 6, 45)
    assert (image.size_c, image.size_t) == (1, None)


def test_a_movie_has_frames_and_one_angle() -> None:
    [image] = read_run(MDOCS / "frame_set_single.mdoc").images
    assert (image.name, image.size_t) == ("s_mmm_00993_33.0_Oct08_07.39.05.tif", 12)
    assert image.tilt_degrees == (32.984,)


def test_planes_of_a_montage_are_not_its_pieces() -> None:
    assert [each.size_z for each in read_run(MDOCS / "montage_section_multiple.mdoc").images] == [10]


def test_movies_named_by_a_windows_path_are_told_to_be_elsewhere_and_their_folder_is_personal() -> None:
    run = read_run(MDOCS / "frame_set_single.mdoc")
    [problem] = [each for each in run.problems if each.code == "MISSING_REFERENCE"]
    assert (problem.path, problem.line) == ("frame_set_single.mdoc", 4)
    assert run.personal == {"frames 1": r"X:\removed_20211007\grid2_lamella3\frames"}
    assert "removed" not in str(run.raw) + problem.message
    assert run.completion.acquired.value is run.completion.copied.value is Known.UNKNOWN


@pytest.mark.parametrize(
    ("images", "problems", "copied"), [(41, [], Known.YES), (40, ["COUNT_MISMATCH"], Known.UNKNOWN)]
)
def test_a_stack_is_held_against_the_sections_of_its_mdoc(
    tmp_path: Path, images: int, problems: list[str], copied: Known
) -> None:
    put(tmp_path, "TS_01.mrc.mdoc", (MDOCS / "tilt_series.mdoc").read_bytes().replace(b"SubFramePath", b"Movie"))
    put(tmp_path, "TS_01.mrc", mrc(bytes(images * 4), (2, 2, images), 0))
    run = read_run(tmp_path)
    assert (codes(run), run.units[0].completion.copied.value) == (problems, copied)
    assert run.completion.copied.value is Known.UNKNOWN, "a series that goes on looks the same"
    assert run.images[0].path == "TS_01.mrc"
    assert "DATA" not in str(run.raw)


def test_a_movie_that_is_there_is_an_image_of_the_session_and_the_gain_reference_is_not(tmp_path: Path) -> None:
    root = tmp_path / "grid7"
    put(
        root,
        "s.mdoc",
        b"[FrameSet = 0]\r\nSubFramePath = D:\\x\\m1.tif\r\nGainReference = g.mrc\r\nNumSubFrames = 9\r\n",
    )
    for name in ("m1.TIF", "g.mrc", "session.nav", "view.png", "a.log", "b.bin"):
        put(root, name)
    run = read_run(root)
    roles = {file.path: (file.role, file.sample) for file in run.files}
    assert roles["m1.TIF"] == (FileRole.IMAGE, "grid7")
    assert roles["g.mrc"] == roles["session.nav"] == (FileRole.RUN_METADATA, None)
    assert (roles["view.png"][0], roles["a.log"][0], roles["b.bin"][0]) == ("thumbnail", "log", "other")
    assert run.images[0].path == "m1.TIF"
    assert codes(run) == []


def test_a_cut_stack_or_an_empty_movie_has_not_arrived_and_refuses_no_session(tmp_path: Path) -> None:
    put(tmp_path, "TS_01.mrc.mdoc", (MDOCS / "tilt_series.mdoc").read_bytes())
    put(tmp_path, "TS_01.mrc", (CASES / "cryoem-mrc-emd3197" / "EMD-3197.map").read_bytes()[:-1])
    run = read_run(tmp_path)
    assert "TRUNCATED" in codes(run, "warning")
    assert (codes(run, "error"), run.completion.copied.value) == ([], Known.NO)
    assert run.completion.copied.evidence == "TS_01.mrc"
    (tmp_path / "TS_01.mrc").unlink()
    put(tmp_path, "TS_01_000_0.0.tif", b"")
    run = read_run(tmp_path)
    assert ("ZERO_BYTE_FILE" in codes(run, "warning"), run.completion.copied.evidence) == (True, "TS_01_000_0.0.tif")


def test_years_have_two_digits_or_four_and_newer_files_iso_dates() -> None:
    assert mdoc_time("08-Oct-21  07:39:08") == mdoc_time("08-Oct-2021  07:39:08") == datetime(2021, 10, 8, 7, 39, 8)
    assert mdoc_time("2023-01-27  10:02:03") == datetime(2023, 1, 27, 10, 2, 3)
    assert mdoc_time("31-Feb-21  07:39:08") is mdoc_time("08-Okt-21  07:39:08") is mdoc_time(None) is None


def test_a_line_that_is_no_field_and_a_file_without_sections_are_told_with_their_line() -> None:
    mdoc, problems = parse_mdoc(b"Voltage = 300\n[Unheard = 3]\nrubbish\n[ZValue = 0]\nNewKey2031 = a = b\n", "x.mdoc")
    assert [(each.code, each.line) for each in problems] == [("BAD_LINE", 2), ("BAD_LINE", 3)]
    assert mdoc.sections[0].fields == {"NewKey2031": "a = b"}
    assert [each.code for each in parse_mdoc(b"", "x.mdoc")[1]] == ["NO_SECTIONS"]


def test_paths_of_windows_and_unix_are_split() -> None:
    assert (windows_name(r"X:\a\b.tif"), windows_folder(r"X:\a\b.tif")) == ("b.tif", r"X:\a")
    assert (windows_name("/a/b.tif"), windows_folder("b.tif"), windows_name("")) == ("b.tif", "", "")
    assert (windows_folder("C:\\a\\"), windows_folder("")) == ("C:", "")

"""What the name of an image tells of where it belongs."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tiny_tiff import tiff

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, well_name
from labrelay.model.problem import errors_of
from labrelay.parsers.image_names import parse_image_name
from labrelay.parsers.registry import detect, read_run


@pytest.mark.parametrize(
    ("name", "plate", "at"),
    [
        ("AS_09125_050116030001_D03f00d2.tif", "AS_09125_050116030001", ImageAt(well="D03", field=1, channel=3)),
        ("r02c03f01p04-ch1sk1fk1fl1.tiff", None, ImageAt(well="B03", field=1, channel=1, z=4, t=1)),
        ("screen_B02_s1_w2.tif", "screen", ImageAt(well="B02", field=1, channel=2)),
        ("screen_B2_s1_w2.tif", "screen", ImageAt(well="B02", field=1, channel=2)),
        ("plate_AB07.tif", "plate", ImageAt(well="AB07")),
        ("p_D08_T0001F002L01A01Z03C01.tif", "p", ImageAt(well="D08", field=2, channel=1, z=3, t=1)),
    ],
)
def test_the_namings_of_imagers_are_understood(name: str, plate: str | None, at: ImageAt) -> None:
    told = parse_image_name(name)
    assert told is not None
    assert (told.plate, told.at, told.thumbnail) == (plate, at, False)


@pytest.mark.parametrize("name", ["plate_A00_s1_w1.tif", "plate_Z09_s1.tif", "plate_A49_s1.tif", "group_A1.tif"])
def test_what_is_no_well_is_none(name: str) -> None:
    assert parse_image_name(name) is None


def test_a_name_without_a_pattern_tells_nothing_and_a_thumbnail_is_none_of_the_data() -> None:
    assert parse_image_name("holiday.tif") is None
    guid = "1A2B3C4D-0000-0000-0000-123456789ABC"
    told = parse_image_name(f"plate_B02_s1_w1_thumb{guid}.tif")
    assert told is not None
    assert (told.at.well, told.thumbnail) == ("B02", True)


def test_wells_are_named_as_on_plates() -> None:
    assert [well_name(*at) for at in ((1, 1), (8, 12), (16, 24), (26, 1), (27, 1), (32, 48))] == [
        "A01",
        "H12",
        "P24",
        "Z01",
        "AA01",
        "AF48",
    ]


def test_a_tiff_whose_directory_is_damaged_is_named(tmp_path: Path) -> None:
    whole = tiff()
    (tmp_path / "S_B02f00d0.tif").write_bytes(whole)
    (tmp_path / "S_B02f00d1.tif").write_bytes(whole.replace(struct.pack("<HHI", 256, 4, 1), b"\xff" * 8))
    (problem,) = read_run(tmp_path).problems
    assert (problem.code, problem.path) == ("BAD_TIFF", "S_B02f00d1.tif")
    assert "does not say how large its image is; copy it again" in problem.message


def test_tiffs_of_very_many_strips_are_looked_at_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / f"S_B02f00d{number}.tif").write_bytes(tiff(offset=9999))

    def named() -> list[str]:
        return [problem.message for problem in read_run(tmp_path).problems if problem.code == "TRUNCATED"]

    assert named() == ["the file ends before its pixels do (and 2 more); copy it again"]
    monkeypatch.setattr("labrelay.parsers.images.STRIPS", 2)  # each has a place and a length
    assert named() == ["the file ends before its pixels do (and 1 more); copy it again"]


def test_two_images_of_one_place_are_refused_as_their_cells_would_count_twice(tmp_path: Path) -> None:
    for folder in ("S", "S - Kopie"):
        (tmp_path / folder).mkdir()
        for name in ("S_B02f00d0.tif", "S_B02f00d1.tif"):
            (tmp_path / folder / name).write_bytes(tiff())
    (problem,) = read_run(tmp_path).problems
    assert (problem.code, problem.severity, problem.path) == ("SAME_PLACE", "error", "S/S_B02f00d0.tif")
    assert "the same plane of well B02 as S - Kopie/S_B02f00d0.tif (and 1 more); keep one of them" in problem.message


def test_time_points_in_folders_of_their_own_are_not_one_place(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"TimePoint_{number}" / "ZStep_3").mkdir(parents=True)
        (tmp_path / f"TimePoint_{number}" / "ZStep_3" / "S_B02_s1_w1.TIF").write_bytes(tiff())
    run = read_run(tmp_path)
    assert run.problems == ()
    assert [(file.image.t, file.image.z) for file in run.files if file.image] == [(1, 3), (2, 3)]


def test_a_folder_of_images_is_a_plate_with_its_wells_in_order(tmp_path: Path) -> None:
    for name in ("S_B10f00d0.tif", "S_B02f00d0.tif", "S_A03f00d0.tif", "readme.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [found.platform for found in detect(tmp_path)] == ["images"]
    run = read_run(tmp_path)
    assert run.plate is not None
    assert (run.plate.id, run.plate.wells) == ("S", ("A03", "B02", "B10"))
    assert run.sample_labels == ("S",)
    assert [file.role for file in run.files] == [FileRole.IMAGE] * 3 + [FileRole.OTHER]


def test_empty_images_and_two_plates_in_one_folder_are_told(tmp_path: Path) -> None:
    for name in ("A_B02f00d0.tif", "A_B03f00d0.tif", "B_B02f00d0.tif"):
        (tmp_path / name).write_bytes(b"" if "B03" in name else b"x")
    told = {problem.code: str(problem) for problem in read_run(tmp_path).problems}
    assert told["ZERO_BYTE_FILE"] == "A_B03f00d0.tif: 1 image has no bytes: copy again [ZERO_BYTE_FILE]"
    assert "the names tell of 2 plates, and each becomes a dataset: A, B" in told["SEVERAL_PLATES"]


def test_a_sequencing_run_beside_images_is_not_swallowed(tmp_path: Path) -> None:
    (tmp_path / "S_B02f00d0.tif").write_bytes(b"x")
    run = tmp_path / "231108_M04586_0007_000000000-TINY7"
    run.mkdir()
    (run / "RunInfo.xml").write_text("<RunInfo/>")
    [problem] = errors_of(read_run(tmp_path).problems)
    assert problem.code == "INNER_RUN"
    assert str(problem).startswith(f"{run.name}: looks like an Illumina run; give that folder")


def test_what_a_well_lacks_that_others_have_is_named(tmp_path: Path) -> None:
    for well, channels in (("A01", 2), ("A02", 2), ("A03", 1)):
        for channel in range(channels):
            (tmp_path / f"P_{well}f00d{channel}.tif").write_bytes(b"x")
    [problem] = read_run(tmp_path).problems
    assert problem.code == "MISSING_IMAGE"
    lacks = "A03 lacks field 1 channel 2: is all here?"
    assert problem.message == f"of P 5 of 6 images are here (3 wells of 2 planes each): {lacks}"


@pytest.mark.parametrize("name", ["low_b0{}_s1_w1.TIF", "plate_B0{}_dapi_1.tif", "B - {}(fld 1 wv DAPI - DAPI).tif"])
def test_names_that_may_tell_of_wells_and_are_not_known_are_told_once(tmp_path: Path, name: str) -> None:
    for number in (2, 3):
        (tmp_path / name.format(number)).write_bytes(tiff())
    [problem] = read_run(tmp_path).problems
    assert (problem.code, problem.path) == ("UNKNOWN_NAMES", name.format(2))
    assert "2 names may tell of wells" in problem.message


def test_pictures_that_are_no_wells_are_not_said_to_be(tmp_path: Path) -> None:
    for name in ("gel 1.tif", "blot_2026-11-29.tif", "lane3.tif"):
        (tmp_path / name).write_bytes(tiff())
    assert read_run(tmp_path).problems == ()


def test_what_all_wells_lack_in_turn_is_counted(tmp_path: Path) -> None:
    for name in ("A01f00d0", "A01f01d1", "A02f00d1", "A02f01d0"):
        (tmp_path / f"P_{name}.tif").write_bytes(b"x")
    [problem] = read_run(tmp_path).problems
    assert problem.message.startswith(
        "of P 4 of 8 images are here (2 wells of 4 planes each): A01 lacks field 1 channel 2"
    )
    assert problem.message.endswith("(and 1 other well some): is all here?")

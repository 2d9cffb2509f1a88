"""EPU's sessions: what the session says, what its images say, and what lies on another disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mrc_files import mrc
from run_folders import CASES, case, codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import Known
from labrelay.parsers.epu import MAX_READ
from labrelay.parsers.epu_session import parse_image, parse_session
from labrelay.parsers.registry import detect, read_run

EPU = CASES / "cryoem-epu-session-2025"
NAME = "Supervisor_20250108_101446_62_cm40593-1_EPU"
SQUARE = "Images-Disc1/GridSquare_8999138"
EXPOSURE = "FoilHole_9015883_Data_9017347_6_20250108_154915"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EPU, tmp_path / NAME))


def test_a_real_session_gives_its_known_facts() -> None:
    assert [found.platform for found in detect(EPU)] == ["epu"]
    run = case("cryoem-epu-session-2025")
    assert (run.run_id, run.folder_name) == (NAME, "cryoem-epu-session-2025")
    assert (run.instrument_model, run.instrument_serial) == ("TITAN52336320", "3632")
    assert (run.software, run.grid) == ("EPU 3.9.1.8206", "Sample7")
    assert run.started is not None
    assert run.started.isoformat().startswith("2025-01-08T15:10:39.48")
    assert run.raw["EpuSession.dm"]["ImageFileFormat"] == "Mrc"
    assert run.raw["EpuSession.dm"]["DoseFractionsOutputFormat"] == "Tiff Lzw Non-Gain normalized"
    assert run.raw["EpuSession.dm"]["grid squares on the atlas"] == "228"
    exposures = run.raw[f"{SQUARE}/Data/{EXPOSURE}.xml"]
    assert (exposures["kV"], exposures["magnification"], exposures["pixel size Å"]) == ("300", "165000", "1.056")


@pytest.mark.parametrize(
    ("path", "magnification"),
    [
        (f"{SQUARE}/Data/{EXPOSURE}.xml", 165000),
        (f"{SQUARE}/FoilHoles/FoilHole_9015889_20250108_154715.xml", 11500),
        (f"{SQUARE}/GridSquare_20250108_151151.xml", 470),
    ],
)
def test_each_kind_of_image_has_its_magnification(path: str, magnification: int) -> None:
    image, problems = parse_image((EPU / path).read_bytes(), path)
    assert image is not None
    assert (image.magnification, image.volts, image.serial, problems) == (magnification, 300_000, "3632", ())


def test_grid_squares_are_parts_and_exposures_are_images_with_their_pixel() -> None:
    run = case("cryoem-epu-session-2025")
    [unit] = run.units
    assert (unit.name, unit.kind) == ("GridSquare_8999138", "grid square")
    assert {key: unit.facts[key] for key in ("exposures", "movies", "holes")} == {
        "exposures": "2",
        "movies": "0",
        "holes": "2",
    }
    assert [image.name for image in run.images] == [EXPOSURE, "FoilHole_9015883_Data_9017354_6_20250108_154918"]
    assert run.images[0].pixel_um == pytest.approx(1.0558814e-4)
    assert (run.images[0].size_x, run.images[0].acquired) == (2880, "2025-01-08T15:49:18.1158288+00:00")


def test_presets_of_2022_in_a_session_of_2025_are_told_and_not_used() -> None:
    run = case("cryoem-epu-session-2025")
    assert {"PRESET_DATE", "ID_MISMATCH", "MISSING_REFERENCE"} == set(codes(run))
    assert codes(run, "error") == []
    assert run.ended is not None
    assert (run.ended.year, run.completion.acquired.value) == (2025, Known.UNKNOWN)


def test_paths_and_the_name_of_the_computer_are_personal() -> None:
    run = case("cryoem-epu-session-2025")
    assert run.personal["storage folder 1"] == r"Z:\DoseFractions\cm40593-1"
    assert run.personal["computer"] == "TITAN52336320"
    assert "Z:" not in str(run.raw)


def test_a_session_with_its_movies_lacks_nothing(session: Path) -> None:
    for exposure in (EXPOSURE, "FoilHole_9015883_Data_9017354_6_20250108_154918"):
        put(session, f"{SQUARE}/Data/{exposure}_Fractions.tiff")
        put(session, f"{SQUARE}/Data/{exposure}.jpg")
    run = read_run(session)
    assert codes(run) == ["PRESET_DATE"]
    roles = {file.path: (file.role, file.sample) for file in run.files}
    assert roles[f"{SQUARE}/Data/{EXPOSURE}_Fractions.tiff"] == (FileRole.IMAGE, NAME)
    assert roles[f"{SQUARE}/Data/{EXPOSURE}.jpg"][0] is FileRole.THUMBNAIL
    assert roles["EpuSession.dm"][0] is FileRole.RUN_METADATA
    assert run.images[0].path == f"{SQUARE}/Data/{EXPOSURE}_Fractions.tiff"
    assert run.sample_labels == (NAME,)


def test_a_session_whose_squares_came_in_part_is_told(session: Path) -> None:
    put(session, "Metadata/GridSquare_8999669.dm")
    [told] = [
        each for each in read_run(session).problems if each.path == "EpuSession.dm" and "Metadata" in each.message
    ]
    assert (told.code, "227 of 228 grid squares have no file" in told.message) == ("MISSING_REFERENCE", True)


def test_the_sessions_file_alone_can_be_looked_at() -> None:
    run = read_run(EPU / "EpuSession.dm")
    assert (run.run_id, codes(run)) == (NAME, ["PRESET_DATE"])


def test_a_cut_movie_has_not_arrived_and_refuses_no_session(session: Path) -> None:
    put(session, f"{SQUARE}/Data/{EXPOSURE}_Fractions.mrc", mrc(bytes(19), (5, 4, 1), 0))
    run = read_run(session)
    assert ("TRUNCATED" in codes(run, "warning"), codes(run, "error")) == (True, [])
    assert (run.completion.copied.value, run.images[0].path) == (Known.NO, f"{SQUARE}/Data/{EXPOSURE}_Fractions.mrc")


def test_images_without_their_session_are_taken_under_the_folders_name(session: Path) -> None:
    (session / "EpuSession.dm").unlink()
    run = read_run(session)
    assert (run.run_id, run.platform) == (NAME, "epu")
    assert {"NO_SESSION", "MISSING_REFERENCE"} == set(codes(run))
    assert run.started is not None
    assert run.started.isoformat() == "2025-01-08T15:49:18.115828+00:00"


def test_a_session_that_is_a_level_down_is_found(session: Path) -> None:
    run = read_run(session.parent)
    assert (run.run_id, codes(run)) == (NAME, ["MISSING_REFERENCE", "PRESET_DATE"])


def test_movies_alone_on_their_disk_are_a_session_too(tmp_path: Path) -> None:
    put(tmp_path / "S", f"{SQUARE}/Data/{EXPOSURE}_EER.eer")
    run = read_run(tmp_path / "S")
    assert (run.platform, run.run_id, run.units[0].facts["movies"]) == ("epu", "S", "1")


def test_references_of_net_are_followed_and_a_circle_ends() -> None:
    text = (
        '<EpuSessionXml xmlns:z="z"><Name z:Ref="5"/>'
        '<Other><Name z:Id="4">wrong</Name><Name z:Id="5">right</Name></Other>'
        '<StartDateTime z:Id="6" z:Ref="6"/></EpuSessionXml>'
    )
    session, problems = parse_session(text.encode(), "EpuSession.dm")
    assert session is not None
    assert (session.name, session.started, problems) == ("right", None, ())


def test_another_xml_is_no_session_and_a_broken_image_refuses_nothing(session: Path) -> None:
    assert [each.code for each in parse_session(b"<Other/>", "e")[1]] == ["NO_SESSION"]
    put(session, f"{SQUARE}/Data/{EXPOSURE}.xml", b"<MicroscopeImage>")
    run = read_run(session)
    assert "BAD_XML" in codes(run, "warning")
    assert codes(run, "error") == []


def test_of_very_many_descriptions_the_first_and_last_are_read(tmp_path: Path) -> None:
    small = b"<MicroscopeImage><acquisitionDateTime>2025-01-08T15:00:00Z</acquisitionDateTime></MicroscopeImage>"
    for number in range(MAX_READ + 5):
        put(tmp_path, f"GridSquare_1/Data/FoilHole_1_Data_{number}_6_20250108_{number:06}.xml", small)
    run = read_run(tmp_path)
    assert "NOT_ALL_READ" in codes(run)
    assert (len(run.images), run.units[0].facts["exposures"]) == (MAX_READ, str(MAX_READ + 5))

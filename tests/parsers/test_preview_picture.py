"""Small views of JPEG and PNG files: right, bounded, and a sentence for whatever is damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.parsers.preview import Preview
from labrelay.parsers.preview_picture import preview_picture, size_of
from labrelay.records.report.png import png
from labrelay.records.report.run_choice import choose
from labrelay.records.report.run_pictures import draw
from labrelay.records.report.run_views import load_from

imagecodecs = pytest.importorskip("imagecodecs", reason="the extra imaging is not installed")
RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (32, 1))
JPEG = bytes(imagecodecs.jpeg8_encode(RAMP))


def seen(folder: Path, name: str, data: bytes, edge: int = 16) -> Preview | str:
    (folder / name).write_bytes(data)
    return preview_picture(folder, name, edge)


@pytest.mark.parametrize(("name", "data"), [("a.png", png(RAMP)), ("a.jpg", JPEG)])
def test_grey_is_averaged(tmp_path: Path, name: str, data: bytes) -> None:
    view = seen(tmp_path, name, data)
    assert isinstance(view, Preview)
    assert (view.width, view.height, view.colour, view.values.shape) == (64, 32, False, (8, 16))
    assert np.abs(view.values[0] - (np.arange(16) * 16 + 6)).max() < 4


@pytest.mark.parametrize("bits", [8, 16])
def test_colour_stays_colour_in_shades_of_eight_bits(tmp_path: Path, bits: int) -> None:
    pixels = np.zeros((8, 8, 3), f"u{bits // 8}")
    pixels[:, :, 0] = 2**bits - 1
    view = seen(tmp_path, "a.png", bytes(imagecodecs.png_encode(pixels)))
    assert isinstance(view, Preview)
    assert view.colour
    assert view.values[0, 0].tolist() == [255, 0, 0]


def test_a_picture_that_claims_to_be_huge_is_not_decoded(tmp_path: Path) -> None:
    huge = bytearray(png(RAMP))
    huge[16:24] = struct.pack(">II", 100_000, 100_000)
    assert "too many to be decoded" in str(seen(tmp_path, "a.png", bytes(huge)))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff", JPEG[:40], png(RAMP)[:20]])
def test_what_is_no_whole_picture_is_told(tmp_path: Path, data: bytes) -> None:
    assert str(seen(tmp_path, "a.jpg", data)).startswith("no picture of a.jpg: it is no whole JPEG or PNG")


@given(at=st.integers(2, len(JPEG) - 1), value=st.binary(min_size=1, max_size=6), kept=st.integers(0, len(JPEG)))
def test_a_damaged_picture_gives_a_view_or_a_sentence(
    at: int, value: bytes, kept: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = bytearray(JPEG)
    changed[at : at + len(value)] = value
    found = seen(tmp_path_factory.getbasetemp(), "fuzz.jpg", bytes(changed[:kept]))
    assert isinstance(found, Preview) or found.startswith("no picture of fuzz.jpg: ")


@given(st.binary(max_size=64))
def test_a_size_is_read_or_not_there(data: bytes) -> None:
    found = size_of(b"\xff\xd8" + data)
    assert found is None or len(found) == 2


def test_a_session_whose_movies_lie_elsewhere_shows_the_pictures_of_its_exposures(tmp_path: Path) -> None:
    names = [
        "Images-Disc1/GridSquare_1/Data/FoilHole_1_Data_2_20250101_101010.jpg",
        "Images-Disc1/GridSquare_1/GridSquare_20250101_101010.jpg",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(JPEG)
    files = [RunFile(path=name, size=1, role=FileRole.THUMBNAIL) for name in names]
    run = InstrumentRun.model_validate({"run_id": "R", "folder_name": "F", "platform": "epu", "files": files})
    [gallery] = draw(choose(run), load_from(run, tmp_path))
    assert gallery.said.startswith("1 of 1 picture that the instrument's program made")
    assert [picture.caption for picture in gallery.pictures] == ["FoilHole_1_Data_2_20250101_101010.jpg"]

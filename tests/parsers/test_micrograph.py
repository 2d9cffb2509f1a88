"""Small pictures of micrographs: right side up, with contrast, and in bounded memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mrc_files import mrc
from numpy.typing import NDArray
from run_folders import CASES, put

from labrelay.model.problem import Problem
from labrelay.parsers.micrograph import micrograph_preview
from labrelay.parsers.preview import to_bytes, window_of

EMD = CASES / "cryoem-mrc-emd3197" / "EMD-3197.map"


def picture(path: Path, side: int = 256) -> NDArray[np.uint8]:
    made = micrograph_preview(path, side)
    assert not isinstance(made, Problem), made
    assert made.dtype == np.float32
    return to_bytes(made, window_of([made]))


def problem(path: Path) -> Problem:
    made = micrograph_preview(path)
    assert isinstance(made, Problem)
    return made


def test_a_real_map_gives_its_middle_slice_with_the_whole_range_of_grey() -> None:
    made = picture(EMD)
    assert (made.shape, made.min(), made.max()) == ((20, 20), 0, 255)
    volume = np.frombuffer(EMD.read_bytes(), "<f4", offset=1024).reshape(20, 20, 20)
    order = np.argsort(volume[10][::-1].ravel(), kind="stable")
    grey = made.ravel()[order].astype(int)
    assert (np.diff(grey) >= 0).all(), "a lighter pixel stays lighter"
    values = micrograph_preview(EMD)
    assert not isinstance(values, Problem)
    assert np.array_equal(values, volume[10][::-1]), "black and white are told in the map's own units"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "kind"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_every_mode_and_byte_order_shows_the_same_ramp(tmp_path: Path, mode: int, kind: str, order: str) -> None:
    ramp = np.add.outer(np.arange(30), np.arange(40)).astype(np.dtype(order + kind))
    made = picture(put(tmp_path, "a.mrc", mrc(ramp, (40, 30, 1), mode, order)))
    assert made.shape == (30, 40)
    assert (made[-1, 0], made[0, -1]) == (0, 255), "the origin is the lower left corner"


def test_four_bits_a_pixel_are_unpacked_row_by_row(tmp_path: Path) -> None:
    made = picture(put(tmp_path, "a.mrc", mrc(bytes([0x10, 0x02] * 2), (3, 2, 1), 101)))
    assert made[0, 0] < made[0, 1] < made[0, 2]


def test_pixels_are_averaged_down_to_the_side_that_is_asked_for(tmp_path: Path) -> None:
    blocks = np.kron(np.array([[0, 200], [100, 50]], dtype=np.uint16), np.ones((50, 150), dtype=np.uint16))
    path = put(tmp_path, "a.mrc", mrc(blocks, (300, 100, 1), 6))
    assert picture(path).shape == (50, 150)
    assert picture(path, 2).shape == (1, 2)
    small = picture(path, 6)
    assert small[-1, 0] == 0
    assert small[-1, -1] == 255


def test_what_is_no_number_and_a_picture_of_one_grey_do_no_harm(tmp_path: Path) -> None:
    flat = np.full((4, 4), np.nan, dtype="<f4")
    assert set(picture(put(tmp_path, "a.mrc", mrc(flat, (4, 4, 1), 2))).ravel()) == {0}


def test_files_that_give_no_picture_say_why(tmp_path: Path) -> None:
    data = EMD.read_bytes()
    assert problem(put(tmp_path, "cut.mrc", data[:-1])).code == "TRUNCATED"
    assert problem(put(tmp_path, "waves.mrc", mrc(bytes(32), (2, 2, 1), 4))).code == "NO_PREVIEW"
    assert problem(put(tmp_path, "text.mrc", b"x" * 2000)).code == "BAD_HEADER"
    assert problem(tmp_path / "gone.mrc").code == "UNREADABLE"
    (tmp_path / "link.mrc").symlink_to(EMD)
    assert problem(tmp_path / "link.mrc").code == "UNREADABLE"


def test_a_micrograph_of_two_gigabytes_is_shown_in_little_memory(tmp_path: Path) -> None:
    side = 16_000
    path = put(tmp_path, "large.mrc", mrc(b"", (side, side, 2), 2))
    os.truncate(path, 1024 + side * side * 4 * 2)
    tracemalloc.start()
    made = picture(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.shape == (254, 254)
    assert peak < 100_000_000

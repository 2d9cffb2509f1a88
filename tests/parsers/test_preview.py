"""Small views of planes: right, in bounded memory, and never of a file that lies."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from run_folders import CASES, put
from tiny_tiff import tiff

from labrelay.parsers import preview_zarr as preview_zarr_module
from labrelay.parsers.preview import Preview, Where, preview_tiff, to_bytes, window_of
from labrelay.parsers.preview_zarr import full_plane, preview_zarr

tifffile = pytest.importorskip("tifffile", reason="the extra imaging is not installed")
MEMORY_MB = 150  # of a process with numpy and tifffile in it, whatever the file's size


def seen(view: Preview | str) -> Preview:
    assert isinstance(view, Preview), view
    return view


def test_a_small_plane_is_averaged(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype="<u2").reshape(8, 8)
    put(tmp_path, "a.tif", tiff(8, 8, pixels.tobytes()))
    view = seen(preview_tiff(tmp_path, "a.tif", edge=4))
    assert view.values.tolist() == pixels.reshape(4, 2, 4, 2).mean(axis=(1, 3)).tolist()
    assert (view.width, view.height, view.colour) == (8, 8, False)


def test_what_the_library_says_of_a_damaged_file_stays_off_the_screen(tmp_path: Path) -> None:
    put(tmp_path, "a.tif", tiff(100, 100)[:60])
    asked = "from pathlib import Path; import labrelay.parsers.preview as p; print(p.preview_tiff(Path(), 'a.tif'))"
    said = subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    assert said.stdout == "no picture of a.tif: it is damaged, and no whole image is in it; copy it again\n"


def test_a_whole_file_that_lacks_a_plane_is_not_called_damaged(tmp_path: Path) -> None:
    put(tmp_path, "a.tif", tiff(8, 8))
    told = preview_tiff(tmp_path, "a.tif", page=6)
    assert told == "no picture of a.tif: its plane 7 is not in it; see whether it has come whole"


def test_a_real_field_is_seen() -> None:
    view = seen(preview_tiff(CASES, "hcs-imagexpress-exported/9987_Plate_3420/TimePoint_1/9987_B02.TIF"))
    assert view.values.shape == (256, 256)
    low, high = view.window
    assert 0 < low < high


@pytest.mark.parametrize(
    "how", ["strips", "tiles", "one strip", "packed strips", "packed tiles", "pyramid", "big-endian"]
)
def test_a_large_plane_is_sampled_out_of_its_strips_and_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("labrelay.parsers.preview.WHOLE", 1000)
    # Even blocks of 32, so that whatever pixel of a block is taken, its value is known.
    blocks = np.arange(8 * 6, dtype="u2").reshape(8, 6) * 100
    pixels = np.kron(blocks, np.ones((32, 32), "u2"))
    options: dict[str, object] = {
        "strips": {"rowsperstrip": 7},
        "tiles": {"tile": (64, 48)},
        "one strip": {"rowsperstrip": 256},
        "packed strips": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
        "packed tiles": {"tile": (64, 48), "compression": "zlib"},
        "pyramid": {"tile": (64, 48), "subifds": 1},
        "big-endian": {"rowsperstrip": 7},
    }[how]  # type: ignore[assignment]
    order = ">" if how == "big-endian" else "<"
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order) as file:
        file.write(pixels, **options)
        if how == "pyramid":
            file.write(np.kron(blocks, np.ones((8, 8), "u2")), tile=(64, 48))
    view = seen(preview_tiff(tmp_path, "a.tif", edge=8))
    assert view.values.tolist() == blocks.tolist()


def test_colours_stay_colours(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9, 3), (10, 20, 250), "u1"), photometric="rgb")
    view = seen(preview_tiff(tmp_path, "a.tif"))
    assert view.colour
    assert view.values[0, 0].tolist() == [10, 20, 250]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no picture of a.tif"),
        (b"\x89PNG is none", "no picture of a.tif"),
        (tiff(100, 100)[:60], "no picture of a.tif"),
        (tiff(100, 100, offset=2_000_000_000), "bytes too early"),
        (tiff(2**31 - 1, 2**31 - 1, b"", bits=16, big=True), "no picture of a.tif"),
        (tiff(4, 4, bits=13), "no picture of a.tif"),
    ],
)
def test_a_truncated_or_lying_file_gives_a_sentence_and_no_picture(tmp_path: Path, data: bytes, said: str) -> None:
    put(tmp_path, "a.tif", data)
    view = preview_tiff(tmp_path, "a.tif")
    assert isinstance(view, str)
    assert said in view


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "secret.tif", tiff())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.tif").symlink_to(tmp_path / "secret.tif")
    assert isinstance(preview_tiff(tmp_path / "run", "a.tif"), str)


PROGRAM = """
import sys
from pathlib import Path
from labrelay.parsers.preview import Preview, preview_tiff
view = preview_tiff(Path(sys.argv[1]), sys.argv[2])
# Not by getrusage, which counts what the parent held when it forked.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(isinstance(view, Preview), peak // 1024)
"""


@pytest.mark.parametrize("how", [{}, {"tile": (512, 512), "compression": "zlib"}])
def test_a_plane_of_gigabytes_is_viewed_in_bounded_memory(tmp_path: Path, how: dict[str, object]) -> None:
    side = 40_000 if not how else 12_000  # 3.2 GB, sparse; packed it is written in full, so a smaller one
    if how:
        blank = np.zeros((512, 512), "u2")
        tiles = ((side + 511) // 512) ** 2
        tifffile.imwrite(tmp_path / "a.tif", (blank for _ in range(tiles)), shape=(side, side), dtype="u2", **how)
    else:
        tifffile.imwrite(tmp_path / "a.tif", shape=(side, side), dtype="u2", bigtiff=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), "a.tif"], capture_output=True, text=True, check=True, timeout=60
    )
    shown, memory = done.stdout.split()
    assert shown == "True"
    assert int(memory) < MEMORY_MB


def test_a_window_of_grey_is_that_of_all_planes_together() -> None:
    dim, bright = np.full((10, 10), 10, np.float32), np.full((10, 10), 110, np.float32)
    window = window_of([dim, bright])
    assert window == (10.0, 110.0)
    assert (to_bytes(dim, window).max(), to_bytes(bright, window).min()) == (0, 255)
    assert to_bytes(dim, (5.0, 5.0)).max() == 0


def zarr(root: Path, metadata: dict[str, object], chunks: dict[str, bytes], version: int) -> None:
    axes = [{"name": name} for name in "cyx"]
    told = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    if version == 2:
        put(root, ".zattrs", json.dumps(told))
    else:
        put(root, "zarr.json", json.dumps({"attributes": {"ome": told}}))
    put(root, f"0/{'.zarray' if version == 2 else 'zarr.json'}", json.dumps(metadata))
    for name, data in chunks.items():
        put(root, f"0/{name}", data)


PLANE = np.arange(24, dtype="<u2").reshape(4, 6)
LEFT, RIGHT = PLANE[:, :3].tobytes(), PLANE[:, 3:].tobytes()
GRID = {"name": "regular", "configuration": {"chunk_shape": [1, 4, 3]}}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def test_chunks_of_zarr_2_and_3_make_a_plane(tmp_path: Path) -> None:
    old = {"shape": [2, 4, 6], "chunks": [1, 4, 3], "dtype": "<u2", "fill_value": 7, "compressor": {"id": "zlib"}}
    zarr(tmp_path / "2", old, {"1.0.0": zlib.compress(LEFT), "1.0.1": zlib.compress(RIGHT)}, 2)
    new = {"shape": [2, 4, 6], "chunk_grid": GRID, "data_type": "uint16", "fill_value": 7, "codecs": [BYTES]}
    zarr(tmp_path / "3", new, {"c/1/0/0": LEFT, "c/1/0/1": RIGHT}, 3)
    for name in "23":
        assert seen(preview_zarr(tmp_path, name, Where(c=1))).values.tolist() == PLANE.tolist()
        assert set(seen(preview_zarr(tmp_path, name, Where(c=0))).values.ravel()) == {7.0}  # absent, so the fill value


def test_shards_are_opened_at_their_index(tmp_path: Path) -> None:
    inner = {"chunk_shape": [1, 4, 3], "codecs": [BYTES], "index_codecs": [BYTES, {"name": "crc32c"}]}
    grid = {"name": "regular", "configuration": {"chunk_shape": [1, 4, 6]}}
    codecs = [{"name": "sharding_indexed", "configuration": inner}]
    metadata = {"shape": [1, 4, 6], "chunk_grid": grid, "data_type": "uint16", "fill_value": 0, "codecs": codecs}
    index = struct.pack("<QQQQ", 24, 24, 0, 24) + b"sum4"
    zarr(tmp_path, metadata, {"c/0/0/0": RIGHT + LEFT + index}, 3)
    assert seen(preview_zarr(tmp_path, ".", Where())).values.tolist() == PLANE.tolist()
    put(tmp_path, "0/c/0/0/0", index[:20])
    assert "has not come whole" in str(preview_zarr(tmp_path, ".", Where()))


def test_of_a_shard_only_the_chunks_of_the_plane_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = {"chunk_shape": [1, 2, 2], "codecs": [BYTES], "index_codecs": [BYTES]}
    grid = {"name": "regular", "configuration": {"chunk_shape": [4, 4, 6]}}
    codecs = [{"name": "sharding_indexed", "configuration": inner}]
    metadata = {"shape": [4, 4, 6], "chunk_grid": grid, "data_type": "uint16", "fill_value": 0, "codecs": codecs}
    index = b"".join(struct.pack("<QQ", 8 * n, 8) for n in range(24))
    zarr(tmp_path, metadata, {"c/0/0/0": np.arange(96, dtype="<u2").tobytes() + index}, 3)
    monkeypatch.setattr(preview_zarr_module, "SHARD", 8)  # a chunk, where the shard is far more
    assert full_plane(tmp_path, ".", {"c": 1})[:2, :4].tolist() == [[24, 25, 28, 29], [26, 27, 30, 31]]
    put(tmp_path, "0/c/0/0/0", bytes(192) + index[:-16] + struct.pack("<QQ", 2**63, 8))
    assert "has not come whole" in str(preview_zarr(tmp_path, ".", Where(c=3)))


def test_a_plane_in_chunks_without_end_is_not_looked_for(tmp_path: Path) -> None:
    metadata = {"shape": [1, 500, 500], "chunks": [1, 1, 1], "dtype": "|u1"}
    zarr(tmp_path, metadata, {}, 2)
    assert "too many chunks" in str(preview_zarr(tmp_path, ".", Where()))


def test_a_plane_whose_chunks_hold_far_more_beside_it_has_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = {"shape": [9, 4, 6], "chunks": [9, 4, 3], "dtype": "<u2", "fill_value": 0}
    zarr(tmp_path, metadata, {"0.0.0": LEFT * 9, "0.0.1": RIGHT * 9}, 2)
    assert seen(preview_zarr(tmp_path, ".", Where(c=1))).values.tolist() == PLANE.tolist()
    monkeypatch.setattr(preview_zarr_module, "MOST_UNPACKED", 2 * 9 * len(LEFT) - 1)
    assert "its chunks hold so much beside one plane" in str(preview_zarr(tmp_path, ".", Where(c=1)))
    assert full_plane(tmp_path, ".", {"c": 1}).tolist() == PLANE.tolist()


def test_blosc_is_read_and_its_bombs_are_not(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="the extra imaging is not installed")
    metadata = {"shape": [1, 4, 6], "chunks": [1, 4, 6], "dtype": "<u2", "compressor": {"id": "blosc"}}
    packed = imagecodecs.blosc_encode(PLANE.tobytes(), typesize=2)
    zarr(tmp_path, metadata, {"0.0.0": packed}, 2)
    assert seen(preview_zarr(tmp_path, ".", Where())).values.tolist() == PLANE.tolist()
    put(tmp_path, "0/0.0.0", packed[:4] + struct.pack("<I", 2_000_000_000) + packed[8:])
    assert "larger than the array says" in str(preview_zarr(tmp_path, ".", Where()))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1, 400_000, 600_000], "chunks": [1, 400_000, 600_000]},
        {"dtype": "|O"},
        {"filters": [{"id": "delta"}]},
        {"compressor": {"id": "lzma"}},
        {"shape": []},
    ],
)
def test_an_array_that_cannot_be_viewed_gives_a_sentence(tmp_path: Path, change: dict[str, object]) -> None:
    metadata = {"shape": [1, 4, 6], "chunks": [1, 4, 6], "dtype": "<u2", "compressor": None, **change}
    zarr(tmp_path, metadata, {"0.0.0": PLANE.tobytes()}, 2)
    assert str(preview_zarr(tmp_path, ".", Where())).startswith("no picture of")

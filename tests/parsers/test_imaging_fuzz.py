"""Mutated real files of imagers: a run or a refusal, never an exception, and soon."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_folders import CASES

from labrelay.model.errors import RefusedInput
from labrelay.model.instrument import InstrumentRun
from labrelay.parsers.registry import read_run

CV8000 = "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"
INNER = f"hcs-yokogawa-cv8000/{CV8000}_20230918_135839/{CV8000}"
# The files of each platform that a mutation may hit.
TARGETS = {
    "harmony": ["hcs-operetta-harmony-v5/Images/Index.idx.xml"],
    "metaxpress": [
        "hcs-imagexpress-htd-mixed/9987_Plate_3435/9987.HTD",
        "hcs-imagexpress-htd-mixed/9987_Plate_3435/TimePoint_1/9987_B02_s1_w1.TIF",
    ],
    "cellvoyager": [f"{INNER}/{name}" for name in ("MeasurementData.mlf", "MeasurementDetail.mrf")]
    + [f"{INNER}/Minimal-3C3W2S-FP2-stack.mes"],
    "ome_tiff": [
        "ome-companion/c3_z33.companion.ome",
        "ome-tiff-and-xml/ome.tiff",
        "ome-xml-hcs-plates/two-screens-two-plates-four-wells.ome.xml",
    ],
    "ome_zarr": [
        "ome-zarr-hcs-v04/hcs_example.ome.zarr/.zattrs",
        "ome-zarr-hcs-v04/hcs_example.ome.zarr/B/03/0/.zattrs",
        "ome-zarr-hcs-v04/hcs_example.ome.zarr/B/03/0/0/.zarray",
        "ome-zarr-idr0062-v05-labels/6001240_labels.zarr/zarr.json",
    ],
    "nd2": ["nd2-nikon-a1plus/cluster.nd2"],
}
PIECES = [
    b"",
    b"\0",
    b"<",
    b">",
    b'"',
    b"-1",
    b"1e999",
    b"999999999999999999999",
    b"{",
    b"[",
    b"\xff\xfe",
    b"../..",
    b"nan",
]


@cache
def original(path: str) -> bytes:
    if path.endswith(".nd2"):
        return gzip.decompress((CASES / f"{path}.gz").read_bytes())
    return (CASES / path).read_bytes()


@st.composite
def mutated(draw: st.DrawFn, paths: list[str]) -> tuple[str, bytes]:
    path = draw(st.sampled_from(paths))
    data = original(path)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 2, 8, 200]))
        data = data[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=4)) + data[at + length :]
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    return path, data


def read_with(path: str, data: bytes, platform: str) -> InstrumentRun | None:
    case = path.split("/")[0]
    with tempfile.TemporaryDirectory() as place:
        if not path.endswith(".nd2"):
            shutil.copytree(CASES / case, Path(place) / case)
        target = Path(place) / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        try:
            return read_run(Path(place) / case, platform)
        except RefusedInput:
            return None


@pytest.mark.parametrize("platform", TARGETS)
def test_a_mutated_file_gives_a_run_or_a_refusal(platform: str) -> None:
    if platform == "nd2":
        pytest.importorskip("nd2", reason="the extra nikon is not installed")

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(change=mutated(TARGETS[platform]))
    def examine(change: tuple[str, bytes]) -> None:
        began = time.monotonic()
        run = read_with(*change, platform)
        assert time.monotonic() - began < 5
        assert run is None or all(file.path and ".." not in file.path for file in run.files)

    examine()


@pytest.mark.parametrize("platform", ["harmony", "metaxpress", "cellvoyager", "ome_tiff", "ome_zarr", "nd2", "images"])
def test_a_platform_that_is_asked_to_read_what_is_not_its_own_does_not_fail(tmp_path: Path, platform: str) -> None:
    from labrelay.parsers.listing import walk
    from labrelay.parsers.registry import platforms

    (tmp_path / "notes.txt").write_text("x")
    [module] = [each for each in platforms() if platform == each.NAME]
    assert module.read(tmp_path, walk(tmp_path)).platform == platform

"""Mutated CZI, LIF, slides and EER movies: a run or a refusal, a view or a sentence, never an exception, and soon."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_folders import CASES, put
from test_slides_eer import SLIDEDAT
from tiny_images import bif, czi, eer, lif, ndpi, scn, svs

from labrelay.model.errors import RefusedInput
from labrelay.parsers.preview import Preview, Where
from labrelay.parsers.preview_czi import preview_czi
from labrelay.parsers.preview_eer import preview_eer
from labrelay.parsers.preview_lif import preview_lif
from labrelay.parsers.preview_slide import preview_slide
from labrelay.parsers.registry import read_run

SOURCES: dict[str, Callable[[], bytes]] = {
    "a.czi": czi,
    "packed.czi": lambda: (CASES / "czi-generated" / "GENERATED-two-scenes.czi").read_bytes(),
    "a.lif": lif,
    "a.svs": svs,
    "a.ndpi": ndpi,
    "a.scn": scn,
    "a.bif": bif,
    "a.eer": eer,
    "a/Slidedat.ini": SLIDEDAT.encode,
}
VIEWS = {"czi": preview_czi, "lif": preview_lif, "eer": preview_eer}
# What breaks readers of binary files: the ends of numbers, and places before, at and far behind the file.
PIECES = [
    b"",
    b"\0" * 4,
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\xff" * 8,
    b"\x01\0\0\0\0\0\0\0",
    b"<!DOCTYPE x>",
    b"<x>",
    b"-1",
]
MEMORY_MB = 256


@cache
def original(name: str) -> bytes:
    return SOURCES[name]()


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    data = original(name)
    for _ in range(draw(st.integers(1, 4))):
        # Most of a file is pixels: the first and the last kilobytes are hit more often than the rest.
        at = draw(st.integers(0, len(data)) | st.integers(0, 700) | st.integers(max(0, len(data) - 2500), len(data)))
        length = draw(st.sampled_from([0, 1, 4, 8, 200]))
        data = data[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=8)) + data[at + length :]
    if draw(st.integers(0, 3)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return data


@pytest.mark.parametrize("name", SOURCES)
def test_a_mutated_image_gives_a_run_or_a_refusal_and_a_view_or_a_sentence(name: str) -> None:
    pytest.importorskip("imagecodecs", reason="the extra imaging is not installed")
    view = VIEWS.get(name.rpartition(".")[2], preview_slide)
    view(Path("/nowhere"), "a.eer", Where())  # so that the libraries are there before memory is looked at
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=mutated(name))
    def examine(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            put(root, name, data)
            shown = name
            if name.endswith(".ini"):
                shown = "a.mrxs"
                put(root, shown)
            began = time.process_time()
            try:
                run = read_run(root)
            except RefusedInput:
                run = None
            assert run is None or {file.path for file in run.files} == {name, shown}
            for series in (0, 1):
                assert isinstance(view(root, shown, Where(series=series), 32), Preview | str)
            assert time.process_time() - began < 1

    examine()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEMORY_MB

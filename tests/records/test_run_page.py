"""The page of an instrument run: facts, the plate's map, pictures, and nothing that runs."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, ImageSet, Plate
from labrelay.model.instrument import Completion, Fact, InstrumentRun, Known, RunFile, SheetSample, Unit
from labrelay.model.problem import Problem, Severity
from labrelay.model.qc import QCMetric
from labrelay.parsers.preview import Preview, Where, averaged, smaller
from labrelay.records.report.plate_map import plate_figure
from labrelay.records.report.png import png
from labrelay.records.report.run_choice import choose
from labrelay.records.report.run_page import write_run_page
from labrelay.records.report.run_pictures import BUDGET, Gallery, draw, read_once
from labrelay.records.report.run_views import Shot, load_from
from labrelay.records.report.run_views import page_of as page_of_plane


def decoded(picture: bytes) -> np.ndarray:
    """Return a PNG's pixels; filter 2 adds the row above."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, parts = 8, {}
    while at < len(picture):
        length, kind = struct.unpack_from(">I4s", picture, at)
        data = picture[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", picture, at + 8 + length)[0] == zlib.crc32(kind + data)
        parts[kind] = data
        at += 12 + length
    width, height, depth, colour = struct.unpack_from(">IIBB", parts[b"IHDR"])
    assert depth == 8
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, -1)
    assert set(rows[:, 0]) == {2}
    pixels = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint64).astype(np.uint8)
    return pixels.reshape((height, width, 3) if colour == 2 else (height, width))


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 4, 3)])
def test_a_png_holds_its_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    assert (decoded(png(pixels)) == pixels).all()


def plane(well: str, field: int = 1, channel: int = 1, z: int = 1) -> RunFile:
    at = ImageAt(well=well, field=field, channel=channel, z=z, t=1, channel_name=f"C{channel}")
    path = f"{well}_f{field}_c{channel}_z{z}.tif"
    return RunFile(path=path, size=1, role=FileRole.IMAGE, sample="P", image=at)


def run_of(*files: RunFile, wells: tuple[str, ...] = ("A01", "B02"), **more: object) -> InstrumentRun:
    plate = Plate(id="P", rows=8, columns=12, wells=wells)
    return InstrumentRun.model_validate(
        {"run_id": "R", "folder_name": "F", "platform": "harmony", "files": files, "plate": plate, **more}
    )


def flat(level: float) -> Preview:
    values = np.full((4, 4), level, np.float32)
    values[0, 0] += 1
    return Preview(values, 4, 4)


def test_wells_are_compared_in_one_channel_and_place_and_one_well_is_shown_along_each_axis() -> None:
    files = [plane(w, f, c, z) for w in ("A01", "B02") for f in (1, 2) for c in (1, 2) for z in (1, 2, 3)]
    rows = choose(run_of(*files))
    assert [row.title for row in rows] == [
        "Wells",
        "Channels of well A01",
        "Fields of well A01",
        "Planes in z of well A01",
    ]
    assert [shot.path for shot in rows[0].shots] == ["A01_f1_c1_z2.tif", "B02_f1_c1_z2.tif"]
    assert [shot.caption for shot in rows[3].shots] == ["z 1", "z 2", "z 3"]
    assert rows[0].said == "C1, field 1, z 2, t 1; all in the same window of grey"
    assert rows[1].said == "well A01, field 1, z 2, t 1"


def test_a_dim_well_is_dim_beside_a_bright_one() -> None:
    levels = {"a": flat(10), "b": flat(200)}
    row = choose(run_of(plane("A01"), plane("B02")))[0]
    shots = tuple(Shot(name, name, "C1") for name in "ab")
    [gallery] = draw([row.__class__("Wells", "said", shots, 64)], lambda shot, _edge: levels[shot.path])
    dark, bright = (decoded(base64.b64decode(p.src.split(",")[1])).mean() for p in gallery.pictures)
    assert dark < 20 < 230 < bright
    assert re.search(r"black 10.*white 20\d", gallery.said)


def test_planes_that_are_shown_in_several_sizes_are_read_once_and_keep_one_size_side_by_side() -> None:
    files = [plane(w, channel=c) for w in ("A01", "B02") for c in (1, 2, 3, 4, 5)]
    rows = choose(run_of(*files))
    assert [row.edge for row in rows] == [256, 128]
    asked: list[str] = []

    def load(shot: Shot, edge: int) -> Preview | str:
        asked.append(shot.path)
        return Preview(averaged(np.ones((2160, 2160, 1), np.uint16), edge)[:, :, 0], 2160, 2160)

    view = read_once(rows, load)
    thumbnail = [view(shot, 119) for shot in rows[0].shots]
    assert {each.values.shape for each in thumbnail if isinstance(each, Preview)} == {(119, 119)}
    sizes = [{(picture.width, picture.height) for picture in each.pictures} for each in draw(rows, view)]
    assert sizes == [{(240, 240)}, {(128, 128)}]
    assert len(asked) == len(set(asked)) == 6


def test_a_smaller_view_is_the_mean_over_the_area_of_each_pixel() -> None:
    view = Preview(np.array([[0, 3, 6], [0, 3, 6]], np.float32), 300, 200)
    assert smaller(view, 2).values.tolist() == [[1.0, 5.0]]
    assert smaller(view, 3).values.tolist() == view.values.tolist()
    hot = np.full((4, 8), 100, np.float32)
    hot[0, 1] = 1e30
    assert smaller(Preview(hot, 8, 4), 4).values[:, 1:].tolist() == [[100, 100, 100]] * 2
    colour = np.random.default_rng(1).random((50, 70, 3)).astype(np.float32)
    made = smaller(Preview(colour, 70, 50, colour=True), 21)
    assert made.values.shape == (15, 21, 3)
    assert made.values.mean((0, 1)) == pytest.approx(colour.mean((0, 1)), rel=1e-5)


def test_what_cannot_be_seen_is_said_and_the_page_stays_small() -> None:
    noise = np.random.default_rng(1).normal(100, 30, (256, 256)).astype(np.float32)
    wells = tuple(f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13))
    rows = choose(run_of(*(plane(well) for well in wells), wells=wells))
    galleries = draw(rows, lambda shot, _edge: "no picture: x" if "A01" in shot.path else Preview(noise, 256, 256))
    assert galleries[0].notes[0] == "no picture: x"
    assert "would make the page too large" in galleries[0].notes[-1]
    assert sum(len(base64.b64decode(p.src.split(",")[1])) for g in galleries for p in g.pictures) < BUDGET


def test_a_screen_of_many_wells_shows_some_of_them_evenly() -> None:
    wells = tuple(f"{chr(65 + row)}{column:02d}" for row in range(16) for column in range(1, 25))
    [row] = choose(run_of(*(plane(well) for well in wells), wells=wells))
    assert (len(row.shots), row.shots[0].caption, row.shots[-1].caption) == (96, "A01", "P24")
    assert row.said.startswith("96 of 384 wells, ")


def test_images_of_zarr_are_shown_by_their_planes() -> None:
    image = ImageSet(name="B03 field 1", path="p/B/3/0", size_c=2, size_z=3, at=ImageAt(well="B03", field=1))
    second = ImageSet(name="B03 field 2", path="p/B/3/1", at=ImageAt(well="B03", field=2))
    rows = choose(run_of(platform="ome_zarr", images=(image, second)))
    assert [row.title for row in rows] == ["Wells", "Channels of B03 field 1", "Planes in z of B03 field 1"]
    assert [shot.path for shot in rows[0].shots] == ["p/B/3/0"]
    assert [shot.where.z for shot in rows[2].shots if shot.where] == [0, 1, 2]


def test_a_run_without_images_has_no_pictures() -> None:
    assert choose(run_of()) == []


def test_the_map_shows_what_was_acquired_or_a_number_by_shade() -> None:
    plate = Plate(id="P", rows=8, columns=12, wells=("A01", "H12"))
    figure = plate_figure(plate)
    assert figure is not None
    body = str(figure.body)
    assert (body.count('class="taken"'), body.count('class="well"')) == (2, 94)
    assert "<title>H12: acquired</title>" in body
    heat = plate_figure(plate, {"A01": 0.0, "H12": 70.0, "B01": None}, "cells", "")
    assert heat is not None
    assert '<rect x="40" y="26" width="37.8" height="37.8" rx="18.9" class="zero">' in str(heat.body)
    assert "<title>H12: 70</title>" in str(heat.body)
    assert "<title>B01: no value</title>" in str(heat.body)
    assert heat.summary == "cells, 0 to 70."


def test_numbers_by_well_of_a_plate_reader_are_a_map_each(tmp_path: Path) -> None:
    scopes = [(f"plate 1 well {row}{column:02d}", float(column)) for row in "ABCDEFGH" for column in range(1, 13)]
    metrics = [QCMetric(name="abs450", value=value, scope=scope) for scope, value in scopes]
    run = run_of(qc=(*metrics, QCMetric(name="reads", value=1.0, scope="run")), plate=None)
    page = page_of(run, tmp_path, [])
    assert "abs450, plate 1" in page.text
    assert "H12: 12" in page.text
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 1
    assert "The first" not in page.text  # numbers by well stand in no table


def test_parts_samples_and_numbers_of_a_sequencing_run_are_tables(tmp_path: Path) -> None:
    run = run_of(
        plate=None,
        units=[Unit(name="m84140_s1", kind="cell", sample="S1", completion=Completion(copied=Fact(value=Known.YES)))],
        samples=[SheetSample(sample_id=f"S{number}", index="ACGT") for number in range(60)],
        qc=[QCMetric(name="q30_percent", value=91.25, unit="percent", scope="lane 1")],
    )
    page = page_of(run, tmp_path, [])
    assert all(word in page.text for word in ("m84140_s1", "S49", "91.25", "lane 1", "The first 50 of 60."))
    assert "S51" not in page.text


def test_a_plate_of_unknown_size_is_drawn_as_the_smallest_that_fits_and_says_so() -> None:
    figure = plate_figure(Plate(id="P", wells=("D07",)))
    assert figure is not None
    assert str(figure.body).count("<rect") == 48
    assert "no file tells the size" in figure.summary
    assert plate_figure(Plate(id="P")) is None
    assert plate_figure(Plate(id="P", wells=("nonsense", "ZZ99"))) is None


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(run: InstrumentRun, folder: Path, galleries: list[Gallery]) -> Tags:
    path = folder / "run.html"
    write_run_page(run, [("platform", run.platform)], galleries, path)
    tags = Tags()
    tags.feed(path.read_text())
    return tags


def test_the_page_is_one_file_without_scripts_whose_policy_allows_only_its_own_pictures(tmp_path: Path) -> None:
    run = run_of(plane("A01"), personal={"OperatorName": "J. Doe"}, problems=[Problem(code="X", message="odd")])
    galleries = draw(choose(run), lambda _shot, _edge: flat(3))
    page = page_of(run, tmp_path, galleries)
    [policy] = [a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "img-src data:" in policy
    assert "script-src 'none'" in policy
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "link"})
    assert all(str(a["src"]).startswith("data:image/png;base64,") for tag, a in page.tags if tag == "img")
    assert not any("style" in attributes for _, attributes in page.tags)
    assert "J. Doe" not in (tmp_path / "run.html").read_text()
    assert "odd [X]" in page.text
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1


def test_errors_stand_before_warnings_and_both_are_counted(tmp_path: Path) -> None:
    odd = Problem(code="ODD", message="odd", severity=Severity.WARNING)
    page = page_of(run_of(problems=[odd, Problem(code="BAD", message="bad")]), tmp_path, [])
    assert "1 error, 1 warning" in page.text
    assert page.text.index("error: bad [BAD]") < page.text.index("warning: odd [ODD]")


def test_an_image_that_two_galleries_cannot_show_is_told_of_once(tmp_path: Path) -> None:
    note = "no picture of a.tif: it is damaged"
    page = page_of(run_of(), tmp_path, [Gallery("Plate", "one", (), (note,)), Gallery("Well", "the same", (), (note,))])
    assert "1 warning" in page.text
    assert page.text.count(note) == 3  # above all, and where each picture would be


@settings(max_examples=25, deadline=None)
@given(name=st.text(min_size=1, max_size=30))
def test_names_from_outside_stay_text(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    hostile = f"<img src=x onerror=alert(1)>{name}"
    run = run_of(run_id=hostile, problems=[Problem(code="X", message=hostile)])
    page = page_of(run, tmp_path_factory.mktemp("page"), [Gallery(hostile, hostile, (), (hostile,))])
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_the_page_of_a_plane_follows_the_order_that_its_file_tells() -> None:
    image = ImageSet(name="i", path="i.ome.tif", size_c=2, size_z=3, size_t=4)
    assert page_of_plane(image, "XYCZT", Where(c=1, z=2, t=3)) == 1 + 2 * 2 + 3 * 6
    assert page_of_plane(image, "XYZCT", Where(c=1, z=2, t=3)) == 2 + 1 * 3 + 3 * 6
    assert page_of_plane(image, "XYTZC", Where(c=1)) == 0 + 1 * 4 + 1 * 12
    assert page_of_plane(image, "nonsense", Where(c=1)) == 0


def test_channels_planes_and_times_of_a_file_that_holds_them_all_are_shown() -> None:
    image = ImageSet(name="i", path="i.ome.tif", size_c=2, size_z=3, size_t=4)
    run = run_of(platform="ome_tiff", plate=None, images=[image], raw={"i.ome.tif": {"order": "XYZCT"}})
    assert [(row.title, row.said) for row in choose(run)] == [
        ("Images", "channel 1, the middle plane, the first time point; all in the same window of grey"),
        ("Channels of i", "the middle plane, the first time point"),
        ("Planes in z of i", "channel 1, the first time point"),
        ("Time points of i", "channel 1, the middle plane"),
    ]


def test_a_micrograph_is_shown_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    header = struct.pack("<4i", 8, 4, 1, 0) + bytes(192) + b"MAP \x44\x44\0\0" + bytes(808)
    (tmp_path / "a.mrc").write_bytes(header + bytes(range(32)))
    (tmp_path / "b.mrc").write_bytes(header + bytes(5))
    files = [RunFile(path=f"{name}.mrc", size=1, role=FileRole.IMAGE, sample=name) for name in "ab"]
    run = run_of(*files, plate=None, platform="mrc")
    [gallery] = draw(choose(run), load_from(run, tmp_path))
    assert (gallery.title, len(gallery.pictures)) == ("Micrographs", 1)
    assert (gallery.pictures[0].width, gallery.pictures[0].height) == (96, 48)  # enlarged, for it is tiny
    assert gallery.notes[0].startswith("no picture of b.mrc: ")


def test_numbers_of_wells_are_on_the_map_however_the_instrument_writes_the_well_and_say_of_what(tmp_path: Path) -> None:
    metrics = [
        QCMetric(name="confluency_percent", value=50, unit="percent", scope=f"well {well}") for well in ("A1", "B02")
    ]
    page_of(run_of(plate=None, platform="element", qc=metrics), tmp_path, [])
    text = (tmp_path / "run.html").read_text()
    assert "A01: 50 percent of the well&#39;s area" in text
    assert "B02: 50 percent of the well&#39;s area" in text
    assert "confluency_percent, 50 percent of the well&#39;s area." in text


def test_the_page_of_one_file_speaks_of_a_file(tmp_path: Path) -> None:
    file = RunFile(path="a.nd2", size=1, role=FileRole.IMAGE)
    page_of(run_of(file, plate=None, platform="nd2", folder_name="a.nd2"), tmp_path, [])
    assert "Made by Labrelay from the file as it was found" in (tmp_path / "run.html").read_text()

from __future__ import annotations

import csv
import io
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

import factory
import hostile
import pytest

from labrelay.model.files import FileRole
from labrelay.model.imaging import well_at
from labrelay.records.plate_data import MOST_PICTURES, pictures_of, plate_of
from labrelay.records.report.page import write_report
from labrelay.records.report.plate import plate_figures
from labrelay.records.report_data import load_report_data
from labrelay.records.result import Result, ResultFile

WELLS = """well,fields,count,area_median_px,area_median_um2,mean_intensity,positives,positive_percent,flags
A01,2,296,95.5,,60.7,19,6.42,
B02,2,0,,,,0,,no_signal
C03,0,,,,,,,unreadable
{last},1,40,120,,55.1,4,10,
"""
Cells = dict[str, tuple[str, str]]


def png(width: int = 8, height: int = 4) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(width) for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def output(root: Path, name: str, file: str, content: bytes, index: int = 0) -> ResultFile:
    path = factory.result_folder(root, "P1") / file
    return ResultFile(name=name, role=FileRole.OUTPUT, ref=factory.write_file(path, content), path=path, index=index)


def plate_result(root: Path, text: str, pictures: int = 0) -> Result:
    outputs = [output(root, "wells_table", "wells.csv", text.encode())]
    outputs += [
        output(root, "overlay_images", f"overlay-{n:02d}-A01-f{n}.png", png(), n) for n in range(1, pictures + 1)
    ]
    return factory.make_result(root, sample="P1", outputs=tuple(outputs))


def policy_of(page: hostile.Page) -> str:
    return next(a["content"] for tag, a in page.tags if tag == "meta" and "default-src" in a.get("content", ""))


def cells_of(figure: bytes) -> Cells:
    """Return the class and the hover title of each well of a map, by the well's name."""
    found = {}
    for box in ElementTree.fromstring(figure).iter("{http://www.w3.org/2000/svg}rect"):
        title = box.findtext("{http://www.w3.org/2000/svg}title")
        if title:
            name, _, said = title.partition(": ")
            found[name] = (box.get("class", ""), said)
    return found


@pytest.mark.parametrize(("last", "wells"), [("H12", 96), ("P24", 384), ("AF48", 1536)])
def test_a_map_has_every_well_and_tells_not_imaged_not_counted_and_zero_apart(
    tmp_path: Path, last: str, wells: int
) -> None:
    data = load_report_data(plate_result(tmp_path, WELLS.format(last=last)))
    figures = plate_figures(data.plate)
    assert [figure.name for figure in figures] == [
        "plate_count",
        "plate_positive_percent",
        "plate_area_median_px",
        "plate_mean_intensity",
    ]
    cells = cells_of(figures[0].standalone)
    assert len(cells) == wells
    assert cells["A01"] == ("shade7", "296 cells in 2 fields")
    assert cells["B02"] == ("zero", "0 cells in 2 fields (no signal)")
    assert cells["C03"] == ("blind", "could not be counted (unreadable)")
    assert cells["D04"] == ("unseen", "not imaged")
    assert cells[last] == ("shade1", "40 cells in 1 field")
    said = "3 wells: 0 to 296, median 40. 1 well has 0. 1 well could not be counted. "
    assert figures[0].summary == f"{said}1 corner is marked: no signal."
    shares = cells_of(figures[1].standalone)
    assert shares["A01"] == ("shade5", "6.42 % of 296 cells in 2 fields")
    areas = cells_of(figures[2].standalone)
    assert (areas["A01"], areas["B02"]) == (("shade0", "95.5 px in 2 fields"), ("zero", "no cells to measure"))
    assert areas["C03"][0] == "blind"


def test_a_well_that_was_counted_with_a_flag_has_a_mark_in_its_corner(tmp_path: Path) -> None:
    figure = plate_figures(load_report_data(plate_result(tmp_path, WELLS.format(last="H12"))).plate)[0]
    marks = [each for each in ElementTree.fromstring(figure.standalone).iter() if each.get("class") == "flagmark"]
    assert len(marks) == 1  # B02; C03 could not be counted, and is crossed out


def test_a_scale_names_its_ends_and_unit(tmp_path: Path) -> None:
    data = load_report_data(plate_result(tmp_path, WELLS.format(last="H12")))
    words = [element.text for element in ElementTree.fromstring(plate_figures(data.plate)[2].standalone).iter()]
    assert {"95.5", "120 px", "A", "H", "1", "12", "not imaged", "could not be counted"} <= set(words)


def test_of_a_single_well_there_is_one_map_and_of_none_there_is_none(tmp_path: Path) -> None:
    one = "well,fields,count,area_median_px\nD03,1,296,95.5\n"
    assert [f.name for f in plate_figures(load_report_data(plate_result(tmp_path, one)).plate)] == ["plate_count"]
    for text in ("", "well,count\n,12\n", "well,count\nnone,1\nZZ99,2\nA00,3\n", "count\n5\n", "\x00\xff,\n"):
        assert plate_figures(load_report_data(plate_result(tmp_path, text)).plate) == []


def test_numbers_that_are_none_are_no_numbers() -> None:
    plate = plate_of([{"well": "A01", "count": "nan"}, {"well": "a2", "count": "1e400"}, {"well": "A03", "count": "7"}])
    assert plate is not None
    assert [(well.name, dict(well.values)) for well in plate.wells] == [("A01", {}), ("A2", {}), ("A03", {"count": 7})]


def test_wells_are_found_by_letters_and_number() -> None:
    assert [well_at(name) for name in ("A01", "p24", "AA1", "AF48", "A0", "1A", "A123", "")] == [
        (1, 1),
        (16, 24),
        (27, 1),
        (32, 48),
        None,
        None,
        None,
        None,
    ]


def test_pictures_stand_in_the_page_and_the_policy_lets_in_nothing_else(tmp_path: Path) -> None:
    result = plate_result(tmp_path, WELLS.format(last="H12"), pictures=2)
    folder = factory.result_folder(tmp_path, "P1")
    made = write_report(result, folder)
    assert {each.path.name for each in made} >= {"plate_count.svg", "plate_area_median_px.svg"}
    page = hostile.Page(made[0].path.read_text())
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["src"][:22] for image in images] == ["data:image/png;base64,"] * 2
    assert (images[0]["width"], images[0]["height"]) == ("8", "4")
    assert "img-src data:;" in policy_of(page)
    assert "script-src 'none'" in policy_of(page)
    assert "A01, field 2" in page.texts["main"][0]
    without = write_report(plate_result(tmp_path, WELLS.format(last="H12")), folder)
    assert "img-src 'none'" in policy_of(hostile.Page(without[0].path.read_text()))


def test_pictures_are_few_and_small_and_pictures(tmp_path: Path) -> None:
    many = [output(tmp_path, "overlays", f"{n}.png", png(), n) for n in range(20)]
    assert len(pictures_of(many)) == MOST_PICTURES
    bad = [
        output(tmp_path, "overlays", "large.png", png() + bytes(500_000)),
        output(tmp_path, "overlays", "page.png", b"<script>alert(1)</script>"),
        output(tmp_path, "overlays", "empty.png", b""),
        output(tmp_path, "overlays", "a.svg", b"<svg/>"),
        output(tmp_path, "other", "b.png", png()),
    ]
    assert pictures_of(bad) == ()
    gone = output(tmp_path, "overlays", "gone.png", png())
    gone.path.unlink()
    assert pictures_of([gone]) == ()


def test_a_hostile_table_of_wells_is_text(tmp_path: Path) -> None:
    table = io.StringIO()
    rows = [[f"A{n}", 0, "", name] for n, name in enumerate(hostile.NAMES[:12], 1)]
    csv.writer(table).writerows([["well", "fields", "count", "flags"], *rows, [hostile.NAMES[0], 1, 1], ["B01", 1, 3]])
    made = write_report(plate_result(tmp_path, table.getvalue()), tmp_path / "page")
    page = hostile.Page(made[0].path.read_text())
    assert not {"script", "img"} & set(page.names)
    assert "B01: 3 cells in 1 field" in made[0].path.read_text()

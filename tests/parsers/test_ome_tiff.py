"""OME-TIFF: what the first directory and a companion say, and which files belong together."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pytest
from run_folders import codes, put
from tiny_tiff import tiff

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt
from labrelay.model.instrument import Known
from labrelay.model.problem import Problem
from labrelay.parsers import ome_xml
from labrelay.parsers.ome_xml import Held, read_ome_xml
from labrelay.parsers.registry import detect, read_run
from labrelay.parsers.tiff_head import TiffHead, read_tiff_head

OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/{year}" Creator="Scope 1.2">{inner}</OME>'
IMAGE = (
    '<Image ID="Image:{n}" Name="{name}"><AcquisitionDate>2024-01-0{day}T10:00:00</AcquisitionDate>'
    '<Pixels Type="uint16" SizeX="4" SizeY="4" SizeZ="1" SizeC="{c}" SizeT="1" PhysicalSizeX="{um}" '
    'PhysicalSizeXUnit="{unit}">{channels}{data}</Pixels></Image>'
)


def image(n: int = 0, name: str = "cells", data: str = "", c: int = 1, um: str = "0.5", unit: str = "µm") -> str:
    channels = "".join(f'<Channel ID="Channel:0:{i}" Name="C{i}"/>' for i in range(c))
    return IMAGE.format(n=n, name=name, day=n % 9 + 1, c=c, um=um, unit=unit, channels=channels, data=data)


def ome(*inner: str, year: str = "2016-06") -> str:
    return OME.format(year=year, inner="".join(inner))


def held(name: str, first: str = "", count: str = ' PlaneCount="1"') -> str:
    return f'<TiffData {first}{count}><UUID FileName="{name}">urn:uuid:1</UUID></TiffData>'


def test_a_lone_file_is_a_sample_by_its_images_name(tmp_path: Path) -> None:
    put(tmp_path, "a.ome.tif", tiff(description=ome(image(name="HeLa 3"))))
    put(tmp_path, "notes.txt", "x")
    run = read_run(tmp_path)
    assert (run.sample_labels, run.software, run.problems) == (("HeLa 3",), "Scope 1.2", ())
    assert (run.images[0].pixel_um, run.images[0].path) == (0.5, "a.ome.tif")
    assert run.started is not None
    assert (run.started.isoformat(), run.started.tzinfo) == ("2024-01-01T10:00:00", None)
    assert {fact.value for _, fact in run.completion} == {Known.UNKNOWN}


def test_images_that_a_program_calls_all_the_same_are_told_apart_by_their_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path, f"{name}.ome.tiff", tiff(description=ome(image(name="image"))))
    assert read_run(tmp_path).sample_labels == ("a", "b")


def test_a_companion_says_which_file_is_which_channel(tmp_path: Path) -> None:
    data = held("s_w1.ome.tif") + held("s_w2.ome.tif", 'FirstC="1"')
    put(tmp_path, "s.companion.ome", ome(image(name="s", c=2, data=data)))
    for number in (1, 2):
        put(tmp_path, f"s_w{number}.ome.tif", tiff(description=ome('<BinaryOnly MetadataFile="s.companion.ome"/>')))
    run = read_run(tmp_path)
    places = [file.image for file in run.files if file.role is FileRole.IMAGE]
    assert places == [ImageAt(channel=n, z=1, t=1, channel_name=f"C{n - 1}") for n in (1, 2)]
    assert (run.sample_labels, run.problems) == (("s",), ())
    assert (run.completion.copied.value, run.completion.copied.evidence) == (Known.YES, "s.companion.ome")


def test_files_are_kept_once_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    data = held("a.tif", 'FirstC="1"') * 2 + held("b.tif") + held("b.tif", 'FirstT="1"') + "<TiffData/>" * 40_000
    tracemalloc.start()
    document = read_ome_xml(io.BytesIO(ome(image(data=data)).encode()), "a.ome.xml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert document.images[0].held == (Held("a.tif", 2, 1, 1), Held("b.tif", 1, 1, None))
    assert (document.problems, peak < 13 * 1024 * 1024) == ([], True)
    monkeypatch.setattr(ome_xml, "MAX_FILES", 2)
    one = image(data=held("a.tif") + held("b.tif"))
    found = read_ome_xml(io.BytesIO(ome(one, image(1, data=held("c.tif")), one).encode()), "a.ome.xml")
    assert (len(found.images), [each.code for each in found.problems]) == (1, ["TOO_MANY_IMAGES"])
    assert "more than 2 files" in found.problems[0].message


@pytest.mark.parametrize(
    ("bound", "noun"), [("MOST_WELLS", "wells"), ("MOST_CHANNELS", "channels"), ("MAX_FILES", "places in wells")]
)
def test_wells_and_channels_without_end_are_not_all_looked_at(
    monkeypatch: pytest.MonkeyPatch, bound: str, noun: str
) -> None:
    monkeypatch.setattr(ome_xml, bound, 4)
    wells = "".join(f'<Well Row="0" Column="{n}"><WellSample/><WellSample/></Well>' for n in range(9))
    text = ome(image(c=2), image(1, c=2), image(2, c=2), f"<Plate>{wells}</Plate>")
    found = read_ome_xml(io.BytesIO(text.encode()), "a.ome.xml")
    assert [(each.code, each.severity) for each in found.problems] == [("TOO_MANY_IMAGES", "warning")]
    assert f"more than 4 {noun}; the rest is not looked at" in found.problems[0].message


def test_a_file_whose_companion_is_gone_is_taken_with_a_warning(tmp_path: Path) -> None:
    put(tmp_path, "s.ome.tif", tiff(description=ome('<BinaryOnly MetadataFile="s.companion.ome" UUID="u"/>')))
    run = read_run(tmp_path)
    assert (codes(run), run.sample_labels) == (["MISSING_REFERENCE"], ("s",))
    assert run.completion.copied.value is Known.NO


def test_wells_of_a_plate_are_counted_from_1(tmp_path: Path) -> None:
    plate = (
        '<Plate ID="Plate:0" Name="P9" Rows="8" Columns="12"><Well ID="Well:0" Row="1" Column="2">'
        '<WellSample ID="w0" Index="0"><ImageRef ID="Image:0"/></WellSample>'
        '<WellSample ID="w1" Index="1"><ImageRef ID="Image:1"/></WellSample></Well></Plate>'
    )
    # The dataset refers to an image, too, which is none of the plate's places.
    dataset = '<Dataset ID="Dataset:0"><ImageRef ID="Image:0"/></Dataset>'
    for n in (0, 1):
        data = "".join(held(f"f{each}.ome.tif") for each in (n,))
        other = image(1 - n, data=held(f"f{1 - n}.ome.tif"))
        inner = sorted([image(n, data=data), other])
        put(tmp_path, f"f{n}.ome.tif", tiff(description=ome(dataset, plate, *inner)))
    run = read_run(tmp_path)
    assert run.plate is not None
    assert (run.plate.id, run.plate.rows, run.plate.wells, run.plate.fields) == ("P9", 8, ("B03",), 2)
    assert [(f.sample, f.image and (f.image.well, f.image.field)) for f in run.files] == [
        ("P9", ("B03", 1)),
        ("P9", ("B03", 2)),
    ]
    assert len(run.images) == 2


def test_only_a_wells_own_reference_places_an_image(tmp_path: Path) -> None:
    dataset = '<Dataset ID="Dataset:0"><ImageRef ID="Image:0"/></Dataset>'
    plates = "".join(
        f'<Plate ID="{name}" Name="{name}"><Well ID="w" Row="0" Column="0"><WellSample ID="s">{ref}</WellSample></Well>'
        "</Plate>"
        for name, ref in (("P1", ""), ("P2", '<ImageRef ID="Image:0"/>'))
    )
    put(tmp_path, "a.ome.tif", tiff(description=ome(dataset, plates, image())))
    assert read_run(tmp_path).sample_labels == ("P2",)


@pytest.mark.parametrize(
    ("um", "unit", "told"), [("650", "nm", 0.65), ("0.001", "mm", 1.0), ("7", "pixel", None), ("-1", "µm", None)]
)
def test_units_of_length_become_micrometres_or_nothing(tmp_path: Path, um: str, unit: str, told: float | None) -> None:
    put(tmp_path, "a.ome.tif", tiff(description=ome(image(um=um, unit=unit))))
    assert read_run(tmp_path).images[0].pixel_um == told


def test_an_old_schema_is_read_and_its_year_is_kept(tmp_path: Path) -> None:
    date = "<CreationDate>2008-02-03T04:05:06</CreationDate>"
    old = f'<Image ID="i" Name="old">{date}<Pixels PixelType="uint8" SizeX="4"/></Image>'
    put(tmp_path, "a.ome.tif", tiff(description=ome(old, year="2008-02")))
    run = read_run(tmp_path)
    assert (run.images[0].acquired, run.images[0].pixel_type) == ("2008-02-03T04:05:06", "uint8")
    assert run.raw == {"a.ome.tif": {"schema": "2008-02"}}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "BAD_TIFF"),
        (b"II*\0", "BAD_TIFF"),
        (tiff()[:40], "BAD_TIFF"),
        (tiff(description="no xml"), "NO_OME_XML"),
        (tiff(description=ome(image())[:-20]), "BAD_XML"),
        (tiff(9, 4, description=ome(image())), "SIZE_MISMATCH"),
    ],
)
def test_a_damaged_or_lying_file_is_taken_with_a_warning(tmp_path: Path, data: bytes, code: str) -> None:
    put(tmp_path, "a.ome.tif", data)
    run = read_run(tmp_path)
    assert code in codes(run, "warning")
    assert [file.role for file in run.files] == [FileRole.IMAGE]


def test_a_name_that_leads_out_of_the_folder_is_a_missing_file(tmp_path: Path) -> None:
    put(tmp_path, "secret.ome.tif", tiff())
    put(tmp_path, "run/a.companion.ome", ome(image(data=held("../secret.ome.tif"))))
    run = read_run(tmp_path / "run")
    assert codes(run) == ["MISSING_REFERENCE", "NO_IMAGES"]
    assert run.images[0].path == "a.companion.ome"


def test_a_description_alone_is_less_sure_than_an_image(tmp_path: Path) -> None:
    put(tmp_path, "a.ome.xml", ome())
    assert [(seen.platform, seen.confidence) for seen in detect(tmp_path)] == [("ome_tiff", 0.5)]


@pytest.mark.parametrize("big", [False, True])
def test_the_head_of_a_tiff_is_read_in_both_of_its_forms(tmp_path: Path, big: bool) -> None:
    put(tmp_path, "a.tif", tiff(5, 3, description="hello, microscope", big=big))
    assert read_tiff_head(tmp_path, "a.tif") == TiffHead(5, 3, "uint16", 1, b"hello, microscope", b"", b"")


def test_a_directory_behind_the_end_of_a_file_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, "a.tif", b"II*\0\xff\xff\xff\x7f" + b"\0" * 20)
    found = read_tiff_head(tmp_path, "a.tif")
    assert isinstance(found, Problem)
    assert found.code == "BAD_TIFF"

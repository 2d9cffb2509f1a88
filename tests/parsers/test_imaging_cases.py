"""Real folders of imagers, held against facts that independent tools found in them."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import pytest
from run_folders import CASES, case, codes

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, Known
from labrelay.parsers.preview import Preview, Where
from labrelay.parsers.registry import detect, read_run

CV8000 = "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"


@dataclass(frozen=True)
class Facts:
    path: str
    platform: str
    run_id: str
    plate: str | None
    size: tuple[int | None, int | None]
    wells: str
    images: int
    pixels: str
    channels: str
    started: str | None


FACTS = [
    Facts("hcs-operetta-harmony-v1", "harmony", "5de72537-0fda-42a5-8715-2e605ccb652c", "BR00121482", (16, 24), "A01",
          1, "1080x1080x1x6x1 uint16", "Alexa 647/Alexa 568/488 long/Alexa 488/HOECHST 33342/Brightfield",
          "2021-03-29T20:51:44.644488+00:00"),
    Facts("hcs-operetta-harmony-v5", "harmony", "87abafd9-b3ba-44d1-96af-7ae5a38babfa", "BR00122249", (16, 24), "A01",
          1, "1080x1080x1x6x1 uint16",
          "Digital Phase Contrast/Brightfield high/488 650/Alexa 488/Alexa 568/Alexa 647",
          "2023-03-23T18:50:32.625217+00:00"),
    Facts("hcs-imagexpress-exported/9987_Plate_3420", "metaxpress", "af67a541-a074-4ed4-a516-912d0171b177", "9987",
          (8, 12), "B02", 1, "256x256x1x1x1 uint16", "DAPI", "2024-07-08T14:44:46.693000"),
    Facts("hcs-imagexpress-htd-mixed/9987_Plate_3435", "metaxpress", "fe477428-69e1-4edb-94d1-4098a0f3a611", "9987",
          (8, 12), "B02", 1, "256x256x1x1x1 uint16", "DAPI", "2024-07-09T13:15:50.916000"),
    Facts(f"hcs-yokogawa-cv8000/{CV8000}_20230918_135839", "cellvoyager", f"{CV8000}_20230918_135839", CV8000,
          (8, 12), "D08 E03 F08", 12, "2000x2000x4x2x1 uint16", "BP445/45/BP525/50",
          "2023-09-18T11:58:39.401493+00:00"),
    Facts("ome-companion", "ome_tiff", "ome-companion", None, (None, None), "", 1, "2048x2048x33x3x1 uint16",
          "Conf640/Conf561/Conf405", "2024-11-04T09:38:07.947510+00:00"),
    Facts("ome-zarr-hcs-v04/hcs_example.ome.zarr", "ome_zarr", "hcs_example", "hcs_example", (None, None), "B03", 1,
          "5120x2160x2x1xNone uint16", "DAPI", None),
    Facts("ome-zarr-idr0062-v05-labels", "ome_zarr", "6001240_labels", None, (None, None), "", 1,
          "271x275x236x2xNone uint16", "LaminB1/Dapi", None),
]  # fmt: skip


@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: facts.path.split("/")[0])
def test_a_real_folder_of_an_imager_gives_its_known_facts(facts: Facts) -> None:
    run = case(facts.path)
    assert detect(CASES / facts.path)[0].platform == run.platform == facts.platform
    assert run.run_id == facts.run_id
    plate = run.plate
    assert (plate and plate.id, plate and plate.wells) == (facts.plate, plate and tuple(facts.wells.split()))
    assert facts.size == ((plate.rows, plate.columns) if plate else (None, None))
    assert len(run.images) == facts.images
    assert shape(run) == facts.pixels
    assert "/".join(channel.name or "?" for channel in run.images[0].channels) == facts.channels
    assert (run.started.isoformat() if run.started else None) == facts.started


def shape(run: InstrumentRun) -> str:
    image = run.images[0]
    sizes = (image.size_x, image.size_y, image.size_z, image.size_c, image.size_t)
    return f"{'x'.join(str(size) for size in sizes)} {image.pixel_type}"


def test_a_harmony_index_without_its_images_has_not_come_whole() -> None:
    run = case("hcs-operetta-harmony-v5")
    assert (run.completion.acquired.value, run.completion.copied.value) == (Known.YES, Known.NO)
    assert codes(run) == ["ID_MISMATCH", "NO_IMAGES"]
    assert run.personal == {"Images/Index.idx.xml: User": "removed"}
    assert run.instrument_model == "Phenix"
    assert (run.images[0].channels[4].excitation_nm, run.images[0].channels[1].emission_nm) == (561.0, None)


def test_cellvoyager_says_when_it_ended_and_who_ran_it_only_to_who_asks() -> None:
    run = case(f"hcs-yokogawa-cv8000/{CV8000}_20230918_135839")
    assert run.ended is not None
    assert run.ended.isoformat() == "2023-09-18T11:59:15.966490+00:00"
    assert run.completion.acquired.evidence == f"{CV8000}/MeasurementDetail.mrf"
    assert (run.completion.acquired.value, run.completion.copied.value) == (Known.YES, Known.NO)
    assert list(run.personal.values()) == ["removed"]
    assert (run.instrument_model, run.software) == ("CV8000", "CellVoyager R2.06.03")
    image = run.images[0]
    assert (image.step_um, image.pixel_um, image.channels[0].exposure_s) == (3.0, 0.325, 0.1)
    assert (image.channels[1].excitation_nm, image.channels[1].emission_nm) == (488.0, 525.0)
    assert [p.code for p in run.problems] == ["COUNT_MISMATCH"]
    assert "of 96 listed images 95 are not here" in run.problems[0].message


def test_a_plan_of_more_images_than_were_taken_is_no_proof_that_some_are_missing() -> None:
    run = case("hcs-imagexpress-htd-mixed/9987_Plate_3435")
    assert run.completion.copied.value is Known.UNKNOWN
    assert codes(run) == ["COUNT_MISMATCH"]
    assert "plans 96 images and 1 is here" in run.problems[0].message
    assert "mixed; DAPI: at all TPs" in run.raw["9987.HTD"]["description"]
    assert run.images[0].pixel_um == 1.3672
    [image] = [file for file in run.files if file.role is FileRole.IMAGE]
    assert image.image is not None
    assert (image.sample, image.image.well, image.image.channel_name, image.image.t) == ("9987", "B02", "DAPI", 1)


def test_a_companion_that_names_absent_files_is_told() -> None:
    run = case("ome-companion")
    assert codes(run) == ["MISSING_REFERENCE", "NO_IMAGES"]
    assert "3 files that are not here, c3_z33_w1Conf640.ome.tif first" in run.problems[0].message
    assert run.completion.copied.value is Known.NO
    assert (run.images[0].pixel_um, run.images[0].step_um) == (0.0649555549, 0.5)
    assert run.images[0].channels[2].emission_nm == 460.0


def test_ome_xml_of_many_programs_is_read_and_the_invalid_one_is_named() -> None:
    run = case("ome-tiff-and-xml")
    by_path = {image.path.split("/")[-1]: image for image in run.images}
    assert {"bad.ome.xml", "ome.tiff"} <= set(by_path)
    micro_manager = [image for image in run.images if "MMStack" in image.name]
    assert [(i.size_x, i.size_z, i.size_c, i.size_t, i.pixel_type) for i in micro_manager] == [
        (256, 5, 3, 2, "uint16")
    ] * 2
    named = {image.name: image for image in run.images}
    assert named["tubhiswt"].acquired == "2013-01-15T17:02:41"
    assert (named["tubhiswt"].size_x, named["tubhiswt"].size_c, named["tubhiswt"].size_t) == (512, 2, 20)
    assert named["6x6x1x8-swatch.tif"].acquired is None
    [single] = [image for image in run.images if "seq0000xy01c1" in image.name]
    assert (single.size_x, single.size_y, single.pixel_type) == (2044, 2060, "uint16")
    assert (by_path["ome.tiff"].size_x, by_path["ome.tiff"].size_y, by_path["ome.tiff"].size_c) == (6, 6, 2)
    invalid = [problem for problem in run.problems if problem.code == "OME_XML_INVALID"]
    assert {(problem.path, problem.line) for problem in invalid} == {("bad.ome.xml", 6), ("bad.ome.xml", 4)}
    assert sorted(run.personal.values()) == ["removed"] * 3


def test_plates_and_screens_of_ome_xml_are_told_apart() -> None:
    folder = CASES / "ome-xml-hcs-plates"
    two = read_run(folder / "two-screens-two-plates-four-wells.ome.xml")
    assert len(two.images) == 22
    assert [(unit.name, unit.facts["wells"]) for unit in two.units] == [("Plate:1", "4"), ("twoName", "4")]
    hcs = read_run(folder / "hcs.ome.xml")
    assert hcs.plate is not None
    assert (hcs.plate.id, hcs.plate.rows, hcs.plate.columns, hcs.plate.wells) == ("Control Plate", 8, 12, ("A01",))
    assert (hcs.images[0].size_x, hcs.images[0].size_c, hcs.images[0].size_t) == (1024, 3, 16)
    overview = read_run(folder / "OverViewScan.ome.xml")
    assert overview.plate is not None
    assert (overview.plate.wells, overview.images[0].size_x, overview.images[0].size_y) == ((), 7398, 3212)
    assert len(read_run(folder / "spim.ome.xml").images) == 4


def test_descriptions_without_chunks_are_never_called_complete() -> None:
    run = case("ome-zarr-idr0076-v04")
    image = run.images[0]
    assert (image.size_c, image.size_y, image.size_x, image.pixel_type, len(image.channels)) == (
        50,
        494,
        464,
        "double",
        50,
    )
    assert image.pixel_um is None  # its scale has no unit
    assert codes(run) == ["NO_PIXELS"]
    assert {fact.value for _, fact in run.completion} == {Known.UNKNOWN}
    assert {file.sample for file in run.files} == {"10501752"}


def test_labels_without_a_version_refuse_no_image() -> None:
    run = case("ome-zarr-idr0062-v05-labels")
    assert codes(run) == ["NO_PIXELS", "OME_ZARR_INVALID"]
    assert run.raw["6001240_labels.zarr"] == {"version": "0.5", "levels": "3", "labels": "0"}
    assert (run.images[0].pixel_um, run.images[0].step_um) == (0.360398, 0.500203)


def test_a_nikon_file_tells_its_facts_with_the_extra(tmp_path: Path) -> None:
    pytest.importorskip("nd2", reason="the extra nikon is not installed")
    (tmp_path / "cluster.nd2").write_bytes(gzip.decompress((CASES / "nd2-nikon-a1plus/cluster.nd2.gz").read_bytes()))
    run = read_run(tmp_path)
    image = run.images[0]
    assert (image.size_t, image.size_z, image.size_c, image.size_y, image.size_x) == (3, 10, 2, 31, 38)
    assert (run.platform, run.instrument_model, image.pixel_type, image.step_um) == (
        "nd2",
        "Nikon A1plus",
        "uint16",
        0.5,
    )
    assert [channel.name for channel in image.channels] == ["5-FAM/pH 9.0", "FM 4-64/2% CHAPS"]
    # Day and month may be the other way round in another laboratory, so the text stands and no time is made of it.
    assert (run.started, run.started_text) == (None, "18/06/2014  15:55:27")
    assert run.problems == ()
    from labrelay.parsers.preview_nd2 import preview_nd2

    views = [preview_nd2(tmp_path, "cluster.nd2", Where(c=c)) for c in (0, 1)]
    assert [isinstance(view, Preview) and view.values.shape for view in views] == [(31, 38)] * 2
    (tmp_path / "cluster.nd2").write_bytes(b"\xda\xce\xbe\x0a and no more")
    assert str(preview_nd2(tmp_path, "cluster.nd2", Where())).startswith("no picture of cluster.nd2")

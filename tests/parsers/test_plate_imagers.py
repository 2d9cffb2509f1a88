"""Harmony, ImageXpress and CellVoyager: what their plans say against what lies in the folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_folders import CASES, codes, put
from tiny_tiff import tiff

from labrelay.model.errors import RefusedInput
from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt
from labrelay.model.instrument import InstrumentRun, Known
from labrelay.parsers.registry import detect, read_run

GUID = "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV7"
V7_IMAGE = """<Image Version="1"><id>0203K1F1P1R{channel}</id><State>{state}</State><URL>{url}</URL>
<Row>2</Row><Col>3</Col><FieldID>1</FieldID><PlaneID>{plane}</PlaneID><TimepointID>{time}</TimepointID><ChannelID>{channel}</ChannelID>
<PositionZ Unit="m">{z}</PositionZ><AbsTime>2024-05-06T07:08:09.5+02:00</AbsTime></Image>"""
V7 = """<?xml version="1.0" encoding="utf-8"?>
<EvaluationInputData xmlns="{guid}"><User>somebody</User><InstrumentType>Operetta</InstrumentType>
<Plates><Plate><PlateID>P7</PlateID><MeasurementID>m-1</MeasurementID><PlateRows>8</PlateRows>
<PlateColumns>12</PlateColumns><Well id="0203" /><Well id="0304" /></Plate></Plates>
<Maps><Map><Entry ChannelID="1"><FlatfieldProfile>{flat}</FlatfieldProfile></Entry></Map>
<Map><Entry ChannelID="1"><ImageSizeX>64</ImageSizeX><ImageResolutionX Unit="m">3.0E-07</ImageResolutionX></Entry>
<Entry ChannelID="2"><ChannelName>Alexa 488, [high]</ChannelName>
<MainEmissionWavelength>522</MainEmissionWavelength></Entry></Map></Maps>
<Images>{images}</Images></EvaluationInputData>"""
FLAT = "{Background: {Mean: 1}, Channel: 1, ChannelName: HOECHST 33342, Version: Acapella:2013}"


def harmony(root: Path, taken: int = 4, more: str = "", flat: str = FLAT) -> InstrumentRun:
    folder = root / "P7__2024-05-06T07_08_09-Measurement 1"
    images = []
    for number, (channel, plane) in enumerate(((1, 1), (1, 2), (2, 1), (2, 2))):
        url = f"r02c03f01p0{plane}-ch{channel}sk1fk1fl1.tiff"
        images.append(V7_IMAGE.format(channel=channel, plane=plane, time=0, url=url, state="Ok", z=plane * 2e-6))
        if number < taken:
            put(folder, f"Images/{url}", tiff())
    put(folder, "Images/Index.xml", V7.format(guid=GUID, flat=flat, images="".join(images) + more))
    return read_run(folder)


def test_harmony_7_tells_its_channels_in_maps_and_counts_time_from_0(tmp_path: Path) -> None:
    run = harmony(tmp_path)
    image = run.images[0]
    assert [channel.name for channel in image.channels] == ["HOECHST 33342", "Alexa 488, [high]"]
    assert (image.size_z, image.size_c, image.size_t, image.step_um, image.pixel_um) == (2, 2, 1, 2.0, 0.3)
    [first, *_] = [file for file in run.files if file.role is FileRole.IMAGE]
    assert first.sample == "P7"
    assert first.image == ImageAt(well="B03", field=1, channel=1, z=1, t=1, channel_name="HOECHST 33342")
    assert run.raw["Images/Index.xml"]["schema"] == "HarmonyV7"
    assert {run.completion.acquired.value, run.completion.copied.value} == {Known.YES}
    assert codes(run) == ["WELL_WITHOUT_IMAGES"]  # C04 was selected


@pytest.mark.parametrize("case", ["hcs-imagexpress-htd-mixed", "hcs-yokogawa-cv8000"])
def test_an_image_that_is_cut_is_told_in_the_folder_of_any_imager(tmp_path: Path, case: str) -> None:
    [root] = Path(shutil.copytree(CASES / case, tmp_path / case)).iterdir()
    assert "TRUNCATED" not in codes(read_run(root))
    image = max(root.rglob("*.[tT][iI][fF]"), key=lambda path: path.stat().st_size)
    image.write_bytes(tiff(offset=10_000))
    assert_one_is_cut(read_run(root), image.name)


def test_an_image_of_harmony_or_of_ome_tiff_that_is_cut_is_told(tmp_path: Path) -> None:
    run = harmony(tmp_path)
    put(tmp_path / run.folder_name, run.images[0].path or "", tiff(offset=10_000))
    assert_one_is_cut(harmony(tmp_path, taken=0), (run.images[0].path or "").rpartition("/")[2])
    text = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"/>'
    put(tmp_path, "ome/a.ome.tif", tiff(description=text))
    put(tmp_path, "ome/b.ome.tif", tiff(description=text, offset=10_000))
    assert_one_is_cut(read_run(tmp_path / "ome"), "b.ome.tif")


def test_of_more_images_than_are_looked_at_the_smallest_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.parsers.images.CHECKED", 1)
    put(tmp_path, "a.tif", tiff(8, 8))
    put(tmp_path, "b.tif", tiff(8, 8)[:40])
    assert_one_is_cut(read_run(tmp_path), "b.tif")


def assert_one_is_cut(run: InstrumentRun, name: str) -> None:
    [told] = [problem for problem in run.problems if problem.code == "TRUNCATED"]
    assert (told.severity, (told.path or "").rpartition("/")[2]) == ("warning", name)
    assert "more" not in told.message


def test_images_that_harmony_lists_and_never_took_do_not_hold_the_run_up(tmp_path: Path) -> None:
    run = harmony(tmp_path, taken=3, more=V7_IMAGE.format(channel=1, plane=3, time=0, url="", state="Bad", z=0))
    assert run.completion.copied.value is Known.UNKNOWN
    assert codes(run, "error") == []
    assert {"COUNT_MISMATCH", "IMAGE_STATE", "NOT_RECORDED"} <= set(codes(run))


def test_a_channel_name_with_comma_and_bracket_is_found_in_the_text_of_a_flat_field(tmp_path: Path) -> None:
    run = harmony(tmp_path, flat=FLAT.replace("HOECHST 33342", '"DAPI, [low] {x}"'))
    assert run.images[0].channels[0].name == "DAPI, [low] {x}"


def test_a_file_of_several_planes_as_columbus_has_it_is_placed_by_what_they_share(tmp_path: Path) -> None:
    pages = "".join(
        V7_IMAGE.format(channel=channel, plane=plane, time=0, url="002003000.tif", state="Ok", z=0)
        for channel in (1, 2)
        for plane in (1, 2)
    )
    put(tmp_path, "Images/002003000.tif", tiff())
    put(tmp_path, "Images/Index.xml", V7.format(guid=GUID, flat=FLAT, images=pages))
    run = read_run(tmp_path)
    [file] = [file for file in run.files if file.role is FileRole.IMAGE]
    assert file.image == ImageAt(well="B03", field=1, t=1)
    assert (run.images[0].size_z, run.images[0].size_c, run.completion.copied.value) == (2, 2, Known.YES)


def test_a_cut_index_refuses_the_folder_and_says_where(tmp_path: Path) -> None:
    harmony(tmp_path)
    index = next(tmp_path.rglob("Index.xml"))
    index.write_bytes(index.read_bytes()[:-200])
    run = read_run(next(tmp_path.iterdir()))
    assert codes(run, "error") == ["BAD_XML"]
    assert run.completion.acquired.value is Known.UNKNOWN
    assert any(problem.line for problem in run.problems)


def test_an_index_that_names_files_elsewhere_reaches_none_of_them(tmp_path: Path) -> None:
    put(tmp_path, "secret.tiff", tiff())
    run = harmony(tmp_path, more=V7_IMAGE.format(channel=1, plane=9, time=0, url="../../secret.tiff", state="Ok", z=0))
    assert all(".." not in file.path for file in run.files)
    assert len([file for file in run.files if file.role is FileRole.IMAGE]) == 4


def test_two_measurements_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(CASES / "hcs-operetta-harmony-v5", tmp_path / name)
    assert codes(read_run(tmp_path), "error") == ["SEVERAL_RUNS"]


def test_another_programs_index_is_none_of_harmonys(tmp_path: Path) -> None:
    put(tmp_path, "Index.xml", "<html>EvaluationOutput</html>")
    with pytest.raises(RefusedInput):
        read_run(tmp_path)


HTD = (
    b'"HTSInfoFile", Version 1.0\r\n"Description", "first\x82\x81second"\r\n"TimePoints", 2\r\n"ZSeries", TRUE\r\n'
    b'"ZSteps", 2\r\n"XWells", 3\r\n"YWells", 2\r\n"WellsSelection1", FALSE, FALSE, FALSE\r\n'
    b'"WellsSelection2", FALSE, TRUE, TRUE\r\n"Sites", TRUE\r\n"XSites", 2\r\n"YSites", 1\r\n'
    b'"SiteSelection1", TRUE, FALSE\r\n"NWavelengths", 2\r\n"WaveName1", "DAPI"\r\n"WaveName2", "FITC, dim"\r\n'
    b'"UniquePlateIdentifier", "u-1"\r\n"EndFile"\r\n'
)


def metaxpress(root: Path, leave_out: int = 0) -> InstrumentRun:
    folder = root / "SCR_Plate_12"
    put(folder, "SCR.HTD", HTD)
    paths = [
        f"TimePoint_{t}/ZStep_{z}/SCR_{well}_s1_w{w}1A2B3C4D-0000-0000-0000-123456789ABC.tif"
        for t in (1, 2) for z in (1, 2) for well in ("B02", "B03") for w in (1, 2)
    ]  # fmt: skip
    for path in paths[leave_out:]:
        put(folder, path, tiff(8, 6))
        put(folder, path.replace("_w1", "_w1_thumb"), tiff(2, 2))
    return read_run(folder)


def test_an_imagexpress_plate_has_its_time_points_and_steps_in_folders(tmp_path: Path) -> None:
    run = metaxpress(tmp_path)
    image = run.images[0]
    assert (image.size_x, image.size_y, image.size_z, image.size_c, image.size_t) == (8, 6, 2, 2, 2)
    assert [channel.name for channel in image.channels] == ["DAPI", "FITC, dim"]
    roles = [file.role for file in run.files]
    assert (roles.count(FileRole.IMAGE), roles.count(FileRole.THUMBNAIL)) == (16, 8)
    assert run.completion.copied.value is Known.YES
    assert run.raw["SCR.HTD"]["description"] == "first; second"
    assert (run.run_id, run.sample_labels, run.problems) == ("u-1", ("SCR",), ())
    last = [file.image for file in run.files if file.role is FileRole.IMAGE][-1]
    assert last == ImageAt(well="B03", field=1, channel=2, z=2, t=2, channel_name="FITC, dim")


def test_fewer_images_than_planned_leave_it_open_whether_more_will_come(tmp_path: Path) -> None:
    run = metaxpress(tmp_path, leave_out=3)
    assert (run.completion.copied.value, codes(run)) == (Known.UNKNOWN, ["COUNT_MISMATCH"])


def test_a_plan_that_has_not_come_whole_is_told_and_a_plan_of_numbers_beyond_reason_is_harmless(tmp_path: Path) -> None:
    name = tmp_path.name
    put(
        tmp_path,
        f"{name}.HTD",
        HTD.replace(b'"TimePoints", 2', b'"TimePoints", 999999999999999').replace(b'"EndFile"', b""),
    )
    put(tmp_path, "a_B02_s1_w1.tif", tiff())
    assert codes(read_run(tmp_path)) == ["COUNT_MISMATCH", "TRUNCATED"]


MRF = (
    '<?xml version="1.0" encoding="utf-8"?><bts:MeasurementDetail bts:OperatorName="ann" bts:Title="SCR" '
    'bts:BeginTime="2024-01-02T03:04:05.5+01:00" {end} bts:ColumnCount="12" bts:RowCount="8" bts:FieldCount="1" '
    'bts:TargetSystem="CV7000" bts:Status="{status}" xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"/>'
)
RECORD = (
    '<bts:MeasurementRecord bts:Type="{kind}" bts:Time="2024-01-02T03:04:06+01:00" bts:Column="3" bts:Row="2" '
    'bts:TimePoint="1" bts:FieldIndex="1" bts:ZIndex="1" bts:Ch="{channel}">{text}</bts:MeasurementRecord>\n'
)


def cellvoyager(root: Path, ended: bool = True, status: str = "0", more: str = "") -> InstrumentRun:
    folder = root / "SCR_20240102_030405"
    end = 'bts:EndTime="2024-01-02T04:04:05+01:00"' if ended else ""
    put(folder, "MeasurementDetail.mrf", MRF.format(end=end, status=status))
    names = [f"SCR_B03_T0001F001L01A01Z01C0{channel}.tif" for channel in (1, 2)]
    records = "".join(RECORD.format(kind="IMG", channel=n, text=name) for n, name in enumerate(names, 1)) + more
    put(
        folder,
        "MeasurementData.mlf",
        f'<bts:MeasurementData xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">{records}</bts:MeasurementData>',
    )
    for name in (*names, "DC_sCMOS #1_CAM1.tif", "SC_BP445-45_20x_M01_CH01.tif"):
        put(folder, name, tiff())
    return read_run(folder)


def test_dark_and_shading_images_are_calibration_and_no_data(tmp_path: Path) -> None:
    run = cellvoyager(tmp_path)
    assert [f.path for f in run.files if f.role is FileRole.IMAGE] == [
        "SCR_B03_T0001F001L01A01Z01C01.tif",
        "SCR_B03_T0001F001L01A01Z01C02.tif",
    ]
    assert {f.role for f in run.files if f.path.startswith(("DC_", "SC_"))} == {FileRole.RUN_METADATA}
    assert (run.problems, run.run_id) == ((), "SCR_20240102_030405")
    assert {run.completion.acquired.value, run.completion.copied.value} == {Known.YES}


def test_a_measurement_without_end_is_under_way(tmp_path: Path) -> None:
    assert cellvoyager(tmp_path, ended=False).completion.acquired.value is Known.NO


def test_errors_and_a_bad_end_of_a_cellvoyager_are_told(tmp_path: Path) -> None:
    run = cellvoyager(tmp_path, status="2", more=RECORD.format(kind="ERR", channel=1, text="AF failed"))
    assert codes(run) == ["ACQUISITION_ERROR", "ACQUISITION_STATUS"]
    assert "AF failed" in run.problems[0].message


@pytest.mark.parametrize("name", ["a.mlf", "plate.HTD", "Images/Index.xml"])
def test_a_link_in_place_of_a_plan_is_not_followed(tmp_path: Path, name: str) -> None:
    secret = put(tmp_path, "secret", V7.format(guid=GUID, flat="", images=""))
    folder = tmp_path / "run"
    put(folder, "a_B02_s1_w1.tif", tiff())
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(secret)
    assert [seen.platform for seen in detect(folder)] == ["images"]

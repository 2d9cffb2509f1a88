"""The tables of a run: what is counted together, what is not known, and numbers that people can read."""

from __future__ import annotations

import pytest

from labrelay.model.files import FileRole
from labrelay.model.imaging import Channel, ImageAt, ImageSet, Plate
from labrelay.model.instrument import InstrumentRun, RunFile, SheetSample
from labrelay.model.qc import QCMetric
from labrelay.model.run_tables import pixel_text, plate_text, run_tables


def tables(**of_run: object) -> dict[str, tuple[tuple[object, ...], ...]]:
    run = InstrumentRun.model_validate({"run_id": "r", "folder_name": "r", "platform": "images", **of_run})
    return {table.title: table.rows for table in run_tables(run)}


@pytest.mark.parametrize(
    ("micrometres", "told"),
    [(None, None), (0.65, "0.65"), (0.00010564, "0.0001056"), (10_000.0, "10,000"), (0.00004321, "0.00004321")],
)
def test_a_pixel_of_any_microscope_is_told_with_four_digits_and_no_exponent(
    micrometres: float | None, told: str | None
) -> None:
    assert pixel_text(micrometres) == told


def test_a_sample_of_two_lanes_is_one_row_and_one_that_only_a_file_names_stands_below() -> None:
    sheet = [SheetSample(sample_id="a", lane=lane, index=index) for lane, index in ((2, "GG"), (1, "AA"), (1, "CC"))]
    files = [RunFile(path=f"{s}{n}", size=1, role=FileRole.READS, sample=s) for s, n in (("a", 1), ("a", 2), ("b", 1))]
    assert tables(samples=sheet, files=files)["samples"] == (
        ("a", None, "1 2", "GG AA … 3 indexes", None, 2),
        ("b", None, None, None, None, 1),
    )
    assert tables(files=files)["samples"] == (("a", 2), ("b", 1))


def test_what_a_run_has_none_of_has_no_table_and_a_number_that_nobody_took_no_row() -> None:
    assert tables() == {}
    assert tables(qc=[QCMetric(name="reads", value=None, unit="count", scope="run")]) == {}


def test_channels_beyond_a_dozen_are_counted() -> None:
    image = ImageSet(name="i", path="i", channels=tuple(Channel(name=str(n)) for n in range(40)))
    [[_name, _size, _type, _pixel, channels, _when]] = tables(images=[image])["images"]
    assert channels == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 … 40 channels"


def test_a_share_says_of_what_and_a_number_of_two_files_stands_once_where_they_agree() -> None:
    def metric(value: float, source: str, name: str = "clusters_pf_percent") -> QCMetric:
        return QCMetric(name=name, value=value, unit="percent", source=source)

    alike = [metric(93.07328, "RunCompletionStatus.xml"), metric(93.0731, "InterOp/TileMetricsOut.bin")]
    assert tables(qc=alike)["quality"] == (("clusters_pf_percent", 93.07328, "percent of clusters", "run"),)
    apart = [alike[0], metric(90.0, "InterOp/TileMetricsOut.bin"), metric(1.0, "x", "own_percent")]
    assert [row[2:] for row in tables(qc=apart)["quality"]] == [
        ("percent of clusters", "run (RunCompletionStatus.xml)"),
        ("percent of clusters", "run (InterOp/TileMetricsOut.bin)"),
        ("percent", "run"),
    ]


def image(well: str, field: int, channel: int, z: int) -> RunFile:
    at = ImageAt(well=well, field=field, channel=channel, z=z)
    return RunFile(path=f"{well}{field}{channel}{z}.tif", size=1, role=FileRole.IMAGE, image=at)


def test_a_plate_tells_its_fields_channels_and_planes_as_the_names_of_its_files_do() -> None:
    run = InstrumentRun(run_id="r", folder_name="r", platform="images", plate=Plate(id="P", wells=("A01", "A02")))
    assert plate_text(run) == "P, 2 wells"
    files = [image("A01", f, c, z) for f in (1, 2) for c in (1, 2) for z in (1, 2, 3)]
    told = run.model_copy(update={"files": tuple(files)})
    assert plate_text(told) == "P, 2 wells, 2 fields each, 2 channels, 3 planes"
    differs = run.model_copy(update={"files": (*files, image("A02", 1, 1, 1))})
    assert plate_text(differs) == "P, 2 wells, 1 to 2 fields each, 2 channels, 3 planes"
    assert plate_text(run.model_copy(update={"plate": None})) is None


def test_numbers_of_the_run_and_of_lanes_stand_before_those_of_its_samples() -> None:
    scopes = ("alpha, lane 1", "lane 1", "read 2", "beta", "run")
    told = tables(qc=[QCMetric(name="reads", value=1, unit="count", scope=scope) for scope in scopes])["quality"]
    assert [row[3] for row in told] == ["run", "lane 1", "read 2", "alpha, lane 1", "beta"]


def test_a_share_says_of_how_many_where_the_same_file_counts_them() -> None:
    def metric(name: str, value: float, unit: str, source: str = "RunStats.json") -> QCMetric:
        return QCMetric(name=name, value=value, unit=unit, scope="run", source=source)

    told = [
        metric("reads", 12_345, "count"),
        metric("unexpected_index_percent", 1.5, "percent"),
        metric("index_mismatch_percent", 0.5, "percent"),
        metric("assigned_percent", 90.0, "percent", "another.json"),
        metric("occupied_percent", 80.0, "percent"),
    ]
    assert {str(row[0]): row[2] for row in tables(qc=told)["quality"]} == {
        "reads": "count",
        "unexpected_index_percent": "percent of 12,345 reads",
        "index_mismatch_percent": "percent of assigned reads",
        "assigned_percent": "percent of reads",
        "occupied_percent": "percent of the flow cell's wells",
    }

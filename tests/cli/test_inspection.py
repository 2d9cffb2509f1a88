"""What `labrelay inspect` says of a folder and of one file, and what it keeps to itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import shell

from labrelay.model.imaging import Channel, ImageSet, Plate
from labrelay.model.instrument import Completion, Fact, InstrumentRun, Known, Unit
from labrelay.model.problem import Problem, Severity
from labrelay.parsers import registry
from labrelay.parsers.listing import Listing

QC = Path(__file__).parents[1] / "data" / "qc"


def test_one_file_is_inspected_as_a_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "S_B02f00d0.tif").write_bytes(b"x")
    (tmp_path / "other.fastq").write_bytes(b"")
    said = shell(monkeypatch)("inspect", tmp_path / "S_B02f00d0.tif")
    assert said.code == 0
    assert "S, 1 well" in said.out
    assert "other" not in said.out
    gone = shell(monkeypatch)("inspect", tmp_path / "gone.tif")
    assert (gone.code, "there is no folder or file" in gone.err) == (2, True)


def test_parts_images_and_the_plate_are_shown_and_names_of_people_only_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = InstrumentRun(
        run_id="R1",
        folder_name="folder-1",
        platform="images",
        software="Imager 3.1",
        plate=Plate(id="P7", rows=8, columns=12, wells=("A01", "A02"), fields=4),
        units=(
            Unit(name="m84", kind="cell", completion=Completion(copied=Fact(value=Known.YES))),
            Unit(name="m85", kind="cell", facts={"exposures": "12", "kV": "300"}),
        ),
        images=(ImageSet(name="i", path="i.tif", size_x=512, size_y=256, channels=(Channel(name="DAPI"), Channel())),),
        personal={"OperatorName": "J. Doe"},
    )
    monkeypatch.setattr(registry, "look", lambda *_args: registry.Look(run, [], Listing(tmp_path, ())))
    (tmp_path / "a.tif").write_bytes(b"x")
    said = shell(monkeypatch)("inspect", tmp_path)
    for told in ("P7, 8 × 12, 2 wells, 4 fields each", "Imager 3.1", "folder-1", "512 × 256 × ? × ? × ?", "DAPI, ?"):
        assert told in said.out
    [unit] = [line.split() for line in said.out.splitlines() if line.startswith("m84")]
    assert unit == ["m84", "cell", "–", "unknown", "yes", "unknown", "–"]
    assert "exposures 12, kV 300" in said.out
    assert "1 personal field left out" in said.out
    assert "Doe" not in said.out + shell(monkeypatch)("inspect", tmp_path, "--json").out
    assert "J. Doe" in shell(monkeypatch)("inspect", tmp_path, "--personal").out
    assert "J. Doe" in shell(monkeypatch)("inspect", tmp_path, "--personal", "--json").out


def test_errors_in_what_is_read_give_exit_code_1_and_warnings_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = InstrumentRun(run_id="R1", folder_name="R1", platform="images")
    for severity, code in ((Severity.WARNING, 0), (Severity.ERROR, 1)):
        wrong = run.model_copy(update={"problems": (Problem(code="X", message="odd", severity=severity),)})
        monkeypatch.setattr(
            registry, "look", lambda *_args, wrong=wrong: registry.Look(wrong, [], Listing(tmp_path, ()))
        )
        assert [shell(monkeypatch)("inspect", tmp_path, *how).code for how in ((), ("--json",))] == [code, code]
    assert shell(monkeypatch)("inspect", tmp_path / "gone").code == 2


def test_a_page_with_pictures_is_written_and_the_text_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "S_B02f00d0.tif").write_bytes(b"no image at all")
    said = shell(monkeypatch)("inspect", tmp_path / "run", "--html", tmp_path / "pages" / "run.html")
    assert said.code == 0
    assert "S, 1 well" in said.out
    page = (tmp_path / "pages" / "run.html").read_text()
    assert "no picture of S_B02f00d0.tif" in page or "labrelay[imaging]" in page
    assert "<title>S</title>" in page
    assert "<script" not in page


def test_qc_files_of_tools_are_shown_with_their_numbers_where_there_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = shell(monkeypatch)
    for name in ("small.flagstat.txt", "SAMPLE.fastp.json"):
        (tmp_path / name).write_bytes((QC / name).read_bytes())
    (tmp_path / "notes.txt").write_text("nothing of a tool")
    said = inspect("inspect", tmp_path)
    assert said.code == 0
    assert "SAMPLE.fastp.json, written by fastp" in said.out
    assert "small.flagstat.txt, written by samtools flagstat" in said.out
    assert "98.82  percent  small" in said.out
    assert "notes" not in said.out
    told = json.loads(inspect("inspect", tmp_path / "SAMPLE.fastp.json", "--json").out)
    assert [(file["path"], file["tool"]) for file in told] == [("SAMPLE.fastp.json", "fastp")]
    assert told[0]["qc"][0]["value"] == 16_763_944
    assert inspect("inspect", tmp_path / "notes.txt").code == 2
    assert inspect("inspect", tmp_path, "--as", "illumina").code == 2
    asked = inspect("inspect", tmp_path, "--html", tmp_path / "page.html")
    assert (asked.code, (tmp_path / "page.html").exists()) == (2, False)
    assert "--multiqc makes their page" in asked.err

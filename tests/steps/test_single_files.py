"""A file that is a run goes the way of a folder, with what lies beside it and belongs to it; nothing is taken twice."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tifffile
from small_workflow import add_small_workflow
from sqlalchemy import select, update
from tiny_run import TinyLab

from labrelay.model.errors import Conflict, UsageError
from labrelay.parsers.registry import listed, read_run
from labrelay.records.schema import DatasetFileRow, FileRow, InstrumentRunRow, ObservationRow
from labrelay.steps.announce import announce
from labrelay.steps.home import Home
from labrelay.steps.process import process
from labrelay.steps.readiness import FolderState
from labrelay.steps.rehearse import rehearse
from labrelay.steps.results import results_table, show_result
from labrelay.steps.watch import scan, watch, watch_folder

DATA = Path(__file__).parents[1] / "data" / "instruments"
BAM = DATA.parent / "alignments" / "empty.ccs.bam"
TRACE = DATA / "sanger-ab1" / "310.ab1"
WEIGH = """printf '{"files": %s, "bytes": %s}\\n' ~{length(files)} "$(cat ~{sep(" ", files)} | wc -c)" > counts.json"""
METADATA = """<PacBioDataModel><CollectionMetadata Context="{movie}" InstrumentId="84140"><RunDetails>
<TimeStampedName>r84140_20260105_110000</TimeStampedName></RunDetails><WellSample Name="lib"/></CollectionMetadata>
</PacBioDataModel>"""


def test_one_file_is_stored_searched_announced_routed_and_run_like_a_folder(tmp_path: Path) -> None:
    tiny = TinyLab(tmp_path)
    add_small_workflow(tiny.home, "weigh", "sanger", {"files": "files.paths"}, WEIGH, [])
    table = tmp_path / "samples.csv"
    table.write_text("sample,experiment\nD11F,traces\n")
    home = tiny.open()
    announce(home, table)
    file = Path(shutil.copy(TRACE, tmp_path / "cluster.ab1"))
    (tmp_path / "another.ab1").write_bytes(b"that lies beside it")
    assert [(said.label, said.sample) for said in rehearse(home, file)[1]] == [("D11F", "D11F")]
    done = process(home, file)
    assert (done.run_id, done.stored, done.submitted, done.unassigned, done.failed) == ("cluster.ab1", 1, 1, [], [])
    [row] = results_table(home)
    told = json.loads(next(Path(show_result(home, row.run).folder).glob("counts.json")).read_bytes())
    assert told == {"files": 1, "bytes": TRACE.stat().st_size}
    again = process(home, file)
    assert (again.stored, again.imported, again.submitted) == (0, 0, 0)
    with home.records.read() as session:
        [kept] = session.scalars(select(InstrumentRunRow))
    assert (kept.folder, kept.state) == (str(file), "stored")
    with pytest.raises(UsageError, match="there is no folder or file"):
        process(home, tmp_path / "none.ab1")
    home.close()


def test_two_traces_of_one_instrument_run_that_are_named_one_by_one_are_two_runs(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = make_home()
    ids = [process(home, Path(shutil.copy(TRACE, tmp_path / name))).run_id for name in ("a.ab1", "b.ab1")]
    assert len(set(ids)) == 2
    assert [run_id.rpartition("_")[2] for run_id in ids] == ["a.ab1", "b.ab1"] or ids == ["a.ab1", "b.ab1"]


def test_what_belongs_to_a_file_is_taken_with_it_whichever_of_them_is_named(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = make_home()
    for name in ("tissue.imzML", "tissue.ibd", "other.ibd"):
        (tmp_path / name).write_bytes(name.encode())
    done = process(home, tmp_path / "tissue.imzML", assume_complete=True)
    assert (done.run_id, done.stored) == ("tissue.imzML", 2)
    with home.records.read() as session:
        keys = session.scalars(select(FileRow.key).join(DatasetFileRow, DatasetFileRow.file_id == FileRow.id)).all()
    assert {key.rpartition("/")[2] for key in keys} == {"tissue.imzML", "tissue.ibd"}


def test_another_file_of_the_same_name_and_size_is_not_taken_for_the_first(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = make_home()
    places = [tmp_path / day for day in ("monday", "tuesday", "copied")]
    for place, content in zip(places, (b"OLYMPUSRAW one", b"OLYMPUSRAW two", b"OLYMPUSRAW one"), strict=True):
        place.mkdir()
        (place / "Image 1.oir").write_bytes(content)
    os.utime(places[2] / "Image 1.oir", ns=(1, 1))
    assert process(home, places[0] / "Image 1.oir").stored == 1
    with pytest.raises(Conflict, match=r"not the one that was stored on .* give this one another, or name its folder"):
        process(home, places[1] / "Image 1.oir")
    assert process(home, places[2] / "Image 1.oir").stored == 0
    assert process(home, places[1]).stored == 1


def test_a_file_with_a_folder_beside_it_that_was_taken_is_taken_again_for_nothing_and_another_is_refused(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = make_home()
    (tmp_path / "case 1").mkdir()
    (tmp_path / "case 1.mrxs").write_bytes(b"\xff\xd8")
    slidedat = "[GENERAL]\nSLIDE_ID = 1\nIMAGENUMBER_X = 4\nIMAGENUMBER_Y = 4\n[HIERARCHICAL]\nHIER_COUNT = 0\n"
    (tmp_path / "case 1" / "Slidedat.ini").write_text(f"{slidedat}[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n")
    (tmp_path / "case 1" / "Data0000.dat").write_bytes(b"one")
    taken = [process(home, tmp_path / "case 1.mrxs", assume_complete=True).stored for _ in range(2)]
    assert taken == [3, 0]
    (tmp_path / "case 1" / "Data0000.dat").write_bytes(b"two")
    with pytest.raises(Conflict, match=r"this case 1/Data0000\.dat is not the one"):
        process(home, tmp_path / "case 1.mrxs", assume_complete=True)


def test_a_file_that_was_taken_is_not_taken_again_with_its_folder_and_the_other_way_round(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = make_home()
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        for name in ("a.oir", "b.oir"):
            (folder / name).write_bytes(b"OLYMPUSRAW" + folder.name.encode() + name.encode())
    process(home, first / "a.oir")
    with pytest.raises(Conflict, match=r"a\.oir was stored on .* with the run a\.oir .* name the other parts of this"):
        process(home, first)
    assert process(home, first / "b.oir").stored == 1
    assert process(home, second).stored == 2
    with pytest.raises(Conflict, match=r"with the run second .* nothing is left to take"):
        process(home, second / "b.oir")


def test_a_part_of_a_stored_run_that_looks_like_a_run_of_another_kind_is_not_taken_again(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = make_home()
    delivery = tmp_path / "delivery"
    part = delivery / "lane1"
    part.mkdir(parents=True)
    (part / "A.fastq").write_text("@r\nACGT\n+\nIIII\n")
    (delivery / "samples.csv").write_text("sample,file\nA,A.fastq\n")
    done = process(home, delivery)
    assert (done.stored, read_run(delivery).platform, read_run(part).platform) == (2, "delivery", "reads")
    with pytest.raises(Conflict, match=r"A\.fastq was stored on .* with the run delivery .* nothing is left to take"):
        process(home, part)
    (part / "A.fastq").rename(part / "B.fastq")
    assert process(home, part).stored == 1


def cells(run: Path) -> None:
    for cell, movie in (("1_A01", "m84140_260105_120000_s1"), ("1_B01", "m84140_260105_140000_s2")):
        for path, content in (
            (f"hifi_reads/{movie}.hifi_reads.bam", BAM.read_bytes()),
            (f"metadata/{movie}.metadata.xml", METADATA.format(movie=movie).encode()),
            (f"metadata/{movie}.transferdone", b""),
        ):
            (run / cell / path).parent.mkdir(parents=True, exist_ok=True)
            (run / cell / path).write_bytes(content)


def test_a_pacbio_run_whose_cells_were_taken_is_not_taken_whole_even_from_another_disk(
    make_home: Callable[..., Home], tmp_path: Path
) -> None:
    home = make_home()
    run = tmp_path / "r84140_20260105_110000"
    cells(run)
    process(home, run / "1_A01")
    moved = run.rename(tmp_path / "archive")
    said = r"m84140_260105_120000_s1 was stored on .* with the run r84140_20260105_110000_1_A01 .* each by itself"
    with pytest.raises(Conflict, match=said):
        process(home, moved)
    with home.records.read() as session:
        assert [row.state for row in session.scalars(select(InstrumentRunRow))] == ["stored"]
    assert process(home, moved / "1_B01").run_id == "r84140_20260105_110000_1_B01"


def test_cells_of_a_pacbio_run_that_was_taken_whole_are_done(
    make_home: Callable[..., Home], tmp_path: Path, landing: Path
) -> None:
    home = make_home(f'landing = ["{landing}"]\nquiet_minutes = 0\n')
    cells(landing / "r84140_20260105_110000")
    process(home, landing / "r84140_20260105_110000")
    watch(home)
    seen = watch(home)
    assert {each.state for each in seen} == {FolderState.DONE}
    assert "nothing is left to take" in seen[0].reason


def test_files_that_lie_in_a_landing_folder_are_taken_each_with_its_own_when_they_rest(
    make_home: Callable[..., Home], landing: Path
) -> None:
    home = make_home(f'landing = ["{landing}"]\nquiet_minutes = 5\nquiet_hours = 24\n')
    for name in ("tissue.imzML", "tissue.ibd", "reads_R1.fastq.gz", "notes.txt", ".hidden.oir"):
        (landing / name).write_bytes(b"x")
    shutil.copy(TRACE, landing)
    (landing / "link.ab1").symlink_to(TRACE)
    found = {seen.folder.name: seen for seen in scan(home)}
    left = found.pop("landing").reason
    assert "1 file of instruments in no folder of their own, such as reads_R1.fastq.gz" in left
    assert "links are not followed" in found["link.ab1"].reason
    assert {name: seen.state for name, seen in found.items()} == {
        "link.ab1": FolderState.WAITING,
        "tissue.imzML": FolderState.WAITING,
        "310.ab1": FolderState.WAITING,
    }
    earlier = (datetime.now(UTC) - timedelta(hours=25)).isoformat(timespec="microseconds")
    with home.records.write() as session:
        session.execute(update(ObservationRow).values(first_at=earlier))
    taken = watch(home)
    assert {seen.folder.name: seen.state for seen in taken if seen.folder != landing} == {
        "tissue.imzML": FolderState.DONE,
        "310.ab1": FolderState.DONE,
        "link.ab1": FolderState.WAITING,
    }, [seen.reason for seen in taken]
    assert watch_folder(home, landing / "tissue.imzML").state is FolderState.DONE


def test_a_set_of_files_in_a_landing_folder_is_listed_once_and_not_again_for_each_of_its_files(
    make_home: Callable[..., Home], landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(f'landing = ["{landing}"]\n')
    ome = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
    named = "".join(f'<TiffData FirstT="{n}"><UUID FileName="{n}.ome.tif">u</UUID></TiffData>' for n in range(4))
    pixels = '<Pixels ID="Pixels:0" Type="uint8" SizeX="8" SizeY="8" SizeZ="1" SizeC="1" SizeT="4">{}</Pixels>'
    (landing / "set.companion.ome").write_text(ome.format(f'<Image ID="Image:0">{pixels.format(named)}</Image>'))
    for n in range(4):
        text = ome.format('<BinaryOnly MetadataFile="set.companion.ome" UUID="u"/>')
        tifffile.imwrite(landing / f"{n}.ome.tif", [[n] * 8] * 8, dtype="u1", description=text, metadata=None)
    looked: list[str] = []
    monkeypatch.setattr("labrelay.steps.watch.listed", lambda file: looked.append(file.name) or listed(file))
    [seen] = scan(home)
    assert (seen.folder.name, looked) == ("0.ome.tif", ["0.ome.tif"])

"""A Nanopore run goes the way of any run: many small files of a barcode are one dataset, and one run takes them all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_workflow import add_small_workflow
from tiny_run import TinyLab

from labrelay.model.errors import RefusedInput, UsageError
from labrelay.parsers.registry import read_run
from labrelay.records.schema import DatasetRow
from labrelay.steps.announce import announce
from labrelay.steps.home import Home
from labrelay.steps.process import process
from labrelay.steps.readiness import FolderState, judge
from labrelay.steps.reads import read_sets
from labrelay.steps.rehearse import rehearse
from labrelay.steps.results import results_table, show_result
from labrelay.steps.watch import scan, watch_folder

SCRIPT = r"""
printf '{"files": %s, "reads": %s}\n' ~{length(r1)} $(($(gzip -dc ~{sep(" ", r1)} | wc -l) / 4)) > counts.json
"""
SUMMARY = """instrument=MN31000
flow_cell_id=FAX12345
sample_id=pool7
protocol_group_id=outbreak
protocol_run_id=1a2b3c4d-0000-4000-8000-000000000000
started=2026-01-05T14:10:21.100000+01:00
acquisition_stopped=2026-01-06T14:10:21.100000+01:00
fastq_files_in_final_dest={fastq}
"""
SHEET = """flow_cell_id,sample_id,barcode,alias
FAX12345,pool7,barcode01,patient_1
FAX12345,pool7,barcode02,patient_2
FAX12345,pool7,barcode09,water
"""
METADATA = """<PacBioDataModel><CollectionMetadata Context="{movie}" InstrumentId="84140"><RunDetails>
<TimeStampedName>r84140_20260105_110000</TimeStampedName></RunDetails><WellSample Name="lib"/></CollectionMetadata>
</PacBioDataModel>"""
CHUNKS = 12


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "20260105_1410_MN31000_FAX12345_1a2b3c4d"
    for barcode in ("barcode01", "barcode02", "unclassified"):
        for chunk in range(CHUNKS):
            name = f"FAX12345_pass_{barcode}_1a2b3c4d_55667788_{chunk}.fastq.gz"
            read = f"@{barcode}-{chunk} runid=55 ch=1\nACGTACGTAC\n+\nIIIIIIIIII\n" * 2
            put(root / "fastq_pass" / barcode / name, gzip.compress(read.encode()))
    put(root / "final_summary_FAX12345_1a2b3c4d_55667788.txt", SUMMARY.format(fastq=3 * CHUNKS).encode())
    put(root / "sample_sheet_FAX12345_20260105_1410_1a2b3c4d.csv", SHEET.encode())
    return root


def test_the_many_files_of_a_barcode_are_one_dataset_and_one_run_takes_them_all(tmp_path: Path, folder: Path) -> None:
    tiny = TinyLab(tmp_path)
    add_small_workflow(tiny.home, "count", "ont", {"r1": "reads.r1"}, SCRIPT, ["files", "reads"])
    table = tmp_path / "s.csv"
    table.write_text("sample,experiment,project\npatient_1,outbreak-7,outbreak\npatient_2,outbreak-7,outbreak\n")
    home = tiny.open()
    announce(home, table)
    done = process(home, folder)
    with home.records.read() as session:
        states = {row.label: row.state for row in session.query(DatasetRow)}
    shown = [Path(show_result(home, row.run).folder) for row in results_table(home)]
    sets = read_sets(home, sample="patient_1") + read_sets(home, sample="patient_2")
    places = home.reads.locations(sets[0].read_set)
    inputs = show_result(home, results_table(home)[0].run).result.inputs
    again = process(home, folder)
    assert (again.stored, again.imported, again.submitted) == (0, 0, 0)
    home.close()
    told = [json.loads((place / "counts.json").read_bytes()) for place in shown]
    assert (done.submitted, done.failed) == (2, [])
    assert states == {"patient_1": "assigned", "patient_2": "assigned", "water": "no_reads"}
    assert told == [{"files": 1, "reads": 2 * CHUNKS}] * 2
    assert [(len(each.files), each.size > 0) for each in sets] == [(CHUNKS, True)] * 2
    names = [line[1:].split()[0] for line in gzip.decompress(Path(places[0]).read_bytes()).decode().splitlines()[::4]]
    assert names == [f"barcode01-{chunk}" for chunk in range(CHUNKS) for _ in range(2)]
    assert len(inputs) == CHUNKS


def test_samples_are_announced_by_the_barcodes_of_a_kit_as_a_lab_says_them(
    make_home: Callable[..., Home], tmp_path: Path, folder: Path
) -> None:
    for path in folder.glob("sample_sheet*"):
        path.unlink()
    home, table = make_home(), tmp_path / "s.csv"
    table.write_text("sample,experiment,barcode\npatient 1,first,NB01\npatient 2,first,2\npatient 3,first,flask 7\n")
    with pytest.raises(RefusedInput, match=r"barcode FLASK 7 is none: say a sequence .* \(barcode01, BC01, NB01\)"):
        announce(home, table)
    table.write_text("sample,experiment,barcode\npatient 1,first,NB01\npatient 2,first,2\n")
    announce(home, table)
    table.write_text("sample,experiment,barcode\npatient 1,first,barcode01\n")
    assert announce(home, table)[0].unchanged == ["patient 1"]
    assert [(said.label, said.sample) for said in rehearse(home, folder)[1]] == [
        ("barcode01", "patient 1"),
        ("barcode02", "patient 2"),
    ]
    assert process(home, folder).unassigned == []
    other = Path(str(folder).replace("1a2b3c4d", "99993c4d"))
    folder.rename(other)
    for path in other.glob("final_summary*"):
        path.write_text(path.read_text().replace("1a2b3c4d-0000", "99993c4d-0000"))
    waiting = process(home, other).unassigned
    assert [dataset.label for dataset in waiting] == ["barcode01", "barcode02"]
    assert "barcode01 was announced for patient 1, and every pool has one" in str(waiting[0].reason)
    assert process(home, other, "first").unassigned == []


def test_a_barcode_of_the_sheet_without_reads_is_not_waited_for(folder: Path) -> None:
    assert judge(read_run(folder)).state is FolderState.READY


def test_files_that_are_still_to_come_are_waited_for(folder: Path) -> None:
    for chunk in range(2):
        name = f"FAX12345_fail_barcode01_1a2b3c4d_55667788_{chunk}.fastq.gz"
        put(folder / "fastq_fail" / "barcode01" / name, b"")
    put(folder / "final_summary_FAX12345_1a2b3c4d_55667788.txt", SUMMARY.format(fastq=3 * CHUNKS + 9).encode())
    found = judge(read_run(folder))
    assert found.state is FolderState.WAITING
    assert "not all files have come" in found.reason


def with_another_flow_cell(landing: Path, folder: Path) -> tuple[Path, str]:
    """Move a run and one that goes on into an experiment's folder; return the sample's folder and the latter's name."""
    sample = landing / "outbreak" / "pool7"
    sample.mkdir(parents=True)
    folder.rename(sample / folder.name)
    other = "20260107_0900_MN31000_FAX99999_99993c4d"
    put(sample / other / "fastq_pass" / "barcode01" / "FAX99999_pass_barcode01_99993c4d_1_0.fastq.gz", b"x")
    return sample, other


def test_flow_cells_of_an_experiment_are_taken_each_when_it_has_ended(
    tmp_path: Path, folder: Path, make_home: Callable[[str], Home]
) -> None:
    landing = tmp_path / "landing"
    sample, going = with_another_flow_cell(landing, folder)
    home = make_home(f'landing = ["{landing}"]\nquiet_minutes = 0\n')
    scan(home)
    found = {seen.folder.name: seen for seen in scan(home)}
    assert {name: seen.state for name, seen in found.items()} == {
        folder.name: FolderState.READY,
        going: FolderState.WAITING,
    }
    assert "nothing in the folder says that it is complete" in found[going].reason
    put(sample / going / "fastq_pass" / "barcode01" / "FAX99999_pass_barcode01_99993c4d_1_1.fastq.gz", b"x")
    grown = {seen.folder.name: seen.content for seen in scan(home)}
    assert grown[going] != found[going].content
    assert grown[folder.name] == found[folder.name].content, "what comes for one flow cell starts no other's rest anew"
    assert watch_folder(home, sample / going).state is FolderState.WAITING
    with pytest.raises(UsageError, match="holds several runs: say which"):
        watch_folder(home, landing / "outbreak")


def test_flow_cells_that_are_spoken_of_in_turn_rest_each_by_itself(
    tmp_path: Path, folder: Path, make_home: Callable[[str], Home]
) -> None:
    landing = tmp_path / "landing"
    sample, other = with_another_flow_cell(landing, folder)
    home = make_home(f'landing = ["{landing}"]\nquiet_minutes = 0\n')
    told = [watch_folder(home, sample / name) for _ in range(2) for name in (other, folder.name)]
    assert ["first time" in seen.reason for seen in told] == [True, True, False, False]


def test_cells_of_a_pacbio_run_are_taken_each_when_it_has_ended(
    tmp_path: Path, make_home: Callable[[str], Home]
) -> None:
    landing = tmp_path / "landing"
    run = landing / "r84140_20260105_110000"
    for cell, movie, files in (
        ("1_A01", "m84140_260105_120000_s1", ("hifi_reads/{}.hifi_reads.bam", "metadata/{}.transferdone")),
        ("1_B01", "m84140_260105_140000_s2", ("hifi_reads/{}.hifi_reads.bam",)),
    ):
        for path in files:
            put(run / cell / path.format(movie), b"x" if path.endswith("bam") else b"")
        put(run / cell / f"metadata/{movie}.metadata.xml", METADATA.format(movie=movie).encode())
    home = make_home(f'landing = ["{landing}"]\nquiet_minutes = 0\n')
    scan(home)
    found = {seen.folder.name: (seen.state, seen.run_id) for seen in scan(home)}
    assert found == {
        "1_A01": (FolderState.READY, "r84140_20260105_110000_1_A01"),
        "1_B01": (FolderState.WAITING, "r84140_20260105_110000_1_B01"),
    }

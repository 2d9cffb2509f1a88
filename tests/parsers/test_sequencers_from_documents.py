"""MGI and Ultima folders as documents and public programs describe them: nobody's real run was at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import Known
from labrelay.parsers.fastq_names import pair_reads
from labrelay.parsers.registry import detect, read_run

G99 = "Machine ID,R2130000000000\nFlow Cell ID,V350012345\nSequence start time,2026-01-05 10:20:30\nRead1 Cycles,150\n"
T1 = "RunName,x\nFlowcellID,V350012345\nRead1Len,150\nRead2Len,150\nStartSequenceTime,20260105\nUsername,Ann\n"
STAT = "#Name\tV350012345_L01_12_1.fq.gz\n#ReadNum\t1000\n#BaseNum\t150000\n#Q30%\t93.5\n"
LIBRARY = """<SampleInfo RunId="433681" Library_Pool="pool"><Samples>
<Sample Id="L1@L1" Index_Label="Z0152" Index_Sequence="CATGCAACACTAGAT"/></Samples></SampleInfo>"""


@pytest.mark.parametrize(("info", "cycles"), [(G99, [150]), (T1, [150, 150])], ids=["G99", "T1+"])
def test_an_mgi_flow_cell_is_read_in_both_dialects(tmp_path: Path, info: str, cycles: list[int]) -> None:
    root = tmp_path / "V350012345"
    put(root, "L01/BioInfo.csv", info)
    put(root, "L01/V350012345_L01_12_1.fq.fqStat.txt", STAT)
    for name in ("12_1", "12_2", "13_1", "13_2", "undecoded_1", "undecoded_2"):
        put(root, f"L01/V350012345_L01_{name}.fq.gz")
    run = read_run(root)
    assert (run.platform, run.run_id, run.flow_cell) == ("mgi", "V350012345", "V350012345")
    assert [read.cycles for read in run.reads] == cycles
    assert [(s.sample_id, s.lane, s.barcode) for s in run.samples] == [
        ("V350012345_L01_12", 1, "12"),
        ("V350012345_L01_13", 1, "13"),
    ]
    assert len(pair_reads(run.files).pairs) == 2
    assert sum(file.role is FileRole.UNDETERMINED for file in run.files) == 2
    told = {(metric.scope, metric.name): metric.value for metric in run.qc}
    assert told == {
        ("V350012345_L01_12_1", "reads"): 1000,
        ("V350012345_L01_12_1", "bases"): 150000,
        ("V350012345_L01_12_1", "q30_percent"): 93.5,
    }
    assert run.started is not None
    assert run.started.date().isoformat() == "2026-01-05"
    assert run.completion.copied.value is run.completion.acquired.value is Known.UNKNOWN
    assert "Ann" not in str(run.raw)
    assert codes(run) == ["FROM_DOCUMENTS"]


def test_an_ultima_run_is_read_with_its_samples(tmp_path: Path) -> None:
    root = tmp_path / "433681-20260205_1327"
    put(root, "433681_LibraryInfo.xml", LIBRARY)
    put(root, "433681_UploadCompleted.json", "{}")
    put(root, "433681-L1-Z0152-CATGCAACACTAGAT/433681-L1-Z0152-CATGCAACACTAGAT.cram")
    put(root, "433681-unmatched/433681-unmatched.cram")
    run = read_run(root)
    assert (run.platform, run.run_id) == ("ultima", "433681")
    assert [(s.sample_id, s.name, s.barcode) for s in run.samples] == [("L1", "L1@L1", "CATGCAACACTAGAT")]
    assert [f.sample for f in run.files if f.role is FileRole.ALIGNMENT] == ["L1"]
    assert sum(file.role is FileRole.UNDETERMINED for file in run.files) == 1
    assert [fact.value for _, fact in run.completion] == [Known.YES] * 3
    assert codes(run) == ["FROM_DOCUMENTS"]


def test_an_ultima_run_under_another_name_and_without_its_last_file_is_told(tmp_path: Path) -> None:
    put(tmp_path, "999999-20260205_1327/433681_LibraryInfo.xml", LIBRARY)
    run = read_run(tmp_path / "999999-20260205_1327")
    assert codes(run) == ["FROM_DOCUMENTS", "ID_MISMATCH", "MARKER_MISSING"]
    assert run.completion.acquired.value is Known.UNKNOWN


def test_pairs_of_a_provider_are_not_taken_for_mgi(tmp_path: Path) -> None:
    put(tmp_path, "d/patient_L01_1.fq.gz")
    put(tmp_path, "d/patient_L01_2.fq.gz")
    assert [seen.platform for seen in detect(tmp_path / "d")] == ["reads"]


@settings(max_examples=20, deadline=None)
@given(noise=st.binary(max_size=200))
def test_any_bytes_give_a_run(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    root = tmp_path_factory.mktemp("noise")
    put(root, "L01/BioInfo.csv", G99.encode() + noise)
    put(root, "L01/V350012345_L01_12_1.fq.fqStat.txt", STAT.encode() + noise)
    put(root, "433681_LibraryInfo.xml", noise + LIBRARY.encode())
    assert read_run(root, "mgi").platform == "mgi"
    assert read_run(root, "ultima").platform == "ultima"

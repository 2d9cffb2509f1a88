"""Element AVITI: statistics of real runs, and run folders as documents describe them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folders import CASES, codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, Known
from labrelay.parsers.element_stats import parse_run_stats
from labrelay.parsers.registry import detect, read_run

FOLDER = "20260105_AV240405_EXP7"
VERSION_5 = {
    "FileVersion": "5.0.0",
    "RunName": "EXP7",
    "RunType": "Sequencing",
    "Side": "SideA",
    "Date": "2026-01-05T10:20:30.123456Z",
    "InstrumentName": "AV240405",
    "RunFolderName": FOLDER,
    "Cycles": {"R1": 151, "R2": 151, "I1": 8, "I2": 8},
    "ReadOrder": "I1,I2,R1,R2",
    "PlatformVersion": "3.2.0",
    "AnalysisLanes": "1+2",
    "OperatorName": "Ann",
    "Consumables": {"Flowcell": {"SerialNumber": "0012345678"}},
}
VERSION_4 = {
    **{key: value for key, value in VERSION_5.items() if key != "Consumables"},
    "FileVersion": "4.0.0",
    "RunID": "seq_65a1",
    "FlowcellID": "0012345678",
}
CSV = """[RunValues]
KeyName,Value
[Settings]
SettingName,Value
# a comment
[Samples]
SampleName,Index1,Index2,Lane,Project
S1,ACGTACGT,TTTTACGT,1+2,P1
S2,CCGTACGT,GGTTACGT,1,P1
,CCGTACGT,,,
"""


def aviti(
    parent: Path, parameters: dict[str, object], outcome: str | None = "OutcomeCompleted", fastq: bool = True
) -> Path:
    root = parent / FOLDER
    put(root, "RunParameters.json", json.dumps(parameters))
    put(root, "RunManifest.csv", CSV)
    put(root, "BaseCalls/R1_C001.zip")
    if outcome is not None:
        put(root, "RunUploaded.json", json.dumps({"version": "1.0.0", "outcome": outcome}))
    for sample in ("S1", "S2") if fastq else ():
        for read in (1, 2):
            put(root, f"Samples/P1/{sample}/{sample}_R{read}.fastq.gz")
    if fastq:
        put(root, "Samples/Unassigned/Unassigned_R1.fastq.gz")
        put(root, "Samples/Unassigned/Unassigned_R2.fastq.gz")
    return root


def metrics(run: InstrumentRun) -> dict[tuple[str, str], float | None]:
    return {(metric.scope, metric.name): metric.value for metric in run.qc}


def test_statistics_of_a_real_run_are_read_and_null_stays_nothing() -> None:
    run = read_run(CASES / "element-bases2fastq-wgs")
    assert (run.run_id, run.flow_cell) == ("seq_66c914b91576c9136240a1a1", "2343404627")
    assert run.software == "bases2fastq 2.0.0.1379264253"
    told = metrics(run)
    assert told["run", "reads"] == 652007049
    assert told["run", "q30_percent"] == pytest.approx(94.7708, abs=1e-4)
    assert told["run", "q40_percent"] == pytest.approx(85.9543, abs=1e-4)
    assert told["run", "bases"] == pytest.approx(195.5749e9, abs=1e6)
    assert told["run", "q50_percent"] is None
    assert len(run.samples) == 7
    assert told["AL-L007-HG001", "reads"] == 196102776
    assert told["AL-L007-HG001, lane 1", "reads"] == 95298025


def test_statistics_of_cells_have_the_same_name_and_are_told_apart() -> None:
    run = read_run(CASES / "element-cells2stats")
    assert run.flow_cell == "0124170814"
    assert run.run_id == "cto_67f9a99b5b8bac3642613532"
    assert run.software == "cells2stats 1.2.0.1751587763"
    assert metrics(run)["well A1", "cells"] == 15000


def test_a_manifest_gives_each_index_of_each_lane() -> None:
    run = read_run(CASES / "element-runmanifest-json")
    assert len(run.samples) == 10
    assert len({sample.sample_id for sample in run.samples}) == 5
    assert (run.samples[0].index, run.samples[0].index2, run.samples[0].lane) == ("ACGTGTAGC", "GCTAGTGCA", 1)


@pytest.mark.parametrize("parameters", [VERSION_4, VERSION_5], ids=["4.0.0", "5.0.0"])
def test_both_versions_of_run_parameters_give_the_same_run(tmp_path: Path, parameters: dict[str, object]) -> None:
    run = read_run(aviti(tmp_path, parameters))
    assert run.flow_cell == "0012345678"
    assert run.run_id == parameters.get("RunID", FOLDER)
    assert (run.instrument_serial, run.software, run.lanes) == ("AV240405", "AVITI OS 3.2.0", 2)
    assert [(read.cycles, read.is_index) for read in run.reads] == [(8, True), (8, True), (151, False), (151, False)]
    assert run.started is not None
    assert run.started.isoformat() == "2026-01-05T10:20:30.123456+00:00"
    assert run.personal == {"RunParameters.json: OperatorName": "Ann"}
    assert "Ann" not in str(run.raw)
    assert [fact.value for _, fact in run.completion] == [Known.YES] * 3
    assert "FROM_DOCUMENTS" in codes(run)


def test_fastq_files_get_their_samples_and_unassigned_reads_none(tmp_path: Path) -> None:
    run = read_run(aviti(tmp_path, VERSION_5))
    reads = [(file.sample, file.read) for file in run.files if file.role is FileRole.READS]
    assert reads == [("S1", 1), ("S1", 2), ("S2", 1), ("S2", 2)]
    assert sum(file.role is FileRole.UNDETERMINED for file in run.files) == 2
    assert [(s.sample_id, s.lane, s.line) for s in run.samples] == [("S1", None, 8), ("S2", 1, 9)]
    assert "BAD_ROW" in codes(run)
    assert "RAW_BASECALLS_LEFT" in codes(run)


@pytest.mark.parametrize("outcome", ["OutcomeFailed", "OutcomeStopped"])
def test_the_last_file_is_there_also_of_a_run_that_failed(tmp_path: Path, outcome: str) -> None:
    run = read_run(aviti(tmp_path, VERSION_5, outcome))
    assert run.completion.acquired.value is Known.NO
    assert "RUN_FAILED" in codes(run)


def test_a_run_without_its_last_file_is_still_going(tmp_path: Path) -> None:
    run = read_run(aviti(tmp_path, VERSION_5, None, fastq=False))
    assert run.completion.acquired.value is Known.UNKNOWN
    assert run.completion.converted.value is Known.NO
    assert {"MARKER_MISSING", "NOT_CONVERTED"} <= set(codes(run))


def test_statistics_of_another_run_and_a_renamed_folder_are_told(tmp_path: Path) -> None:
    root = aviti(tmp_path, VERSION_4)
    put(root, "RunStats.json", json.dumps({"RunID": "seq_other", "NumPolonies": 5, "FlowCellID": "1"}))
    root.rename(tmp_path / "renamed")
    assert {"WRONG_RUN", "ID_MISMATCH"} <= set(codes(read_run(tmp_path / "renamed")))


def test_numbers_per_cycle_are_not_kept_and_another_json_of_that_name_is_told(tmp_path: Path) -> None:
    cycles = [{"Cycle": n, "BaseComposition": {"A": n}} for n in range(1000)]
    stats, _ = parse_run_stats(json.dumps({"NumPolonies": 5, "Reads": [{"Cycles": cycles}]}).encode(), "RunStats.json")
    assert stats is not None
    assert [(m.name, m.value) for m in stats.metrics] == [("reads", 5)]
    assert parse_run_stats(b'{"a": 1}', "RunStats.json")[0] is None
    put(tmp_path, "x/RunStats.json", '{"a": 1}')
    assert detect(tmp_path / "x") == []


def test_a_suppliers_md5_list_is_held_against_the_reads(tmp_path: Path) -> None:
    root = aviti(tmp_path, VERSION_5)
    put(root, "md5.txt", f"{'0' * 32}  Samples/P1/S1/S1_R1.fastq.gz\n")
    run = read_run(root)
    assert [file.md5 for file in run.files if file.path.endswith("S1_R1.fastq.gz")] == ["0" * 32]
    assert next(file.role for file in run.files if file.path == "md5.txt") is FileRole.CHECKSUMS

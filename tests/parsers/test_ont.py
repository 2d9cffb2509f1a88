"""Nanopore folders: real ones against the facts that are known of them, and what MinKNOW's users do to folders."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import pytest
from run_folders import CASES, codes, put, unpacked

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, Known
from labrelay.parsers.fastq_names import name_reads, pair_reads
from labrelay.parsers.ont_report import parse_report
from labrelay.parsers.ont_sheet import parse_sample_sheet
from labrelay.parsers.ont_summary import parse_final_summary
from labrelay.parsers.registry import detect, read_run

EXPERIMENT = "ont-promethion-2022-folder"
RUN = "20260105_1410_MN31000_FAX12345_1a2b3c4d"
RUN_ID = "1a2b3c4d-0000-4000-8000-000000000000"
SUMMARY = f"""instrument=MN31000
position=
flow_cell_id=FAX12345
sample_id=pool7
protocol_group_id=outbreak
protocol=sequencing/sequencing_MIN114_DNA_e8_2_400K:FLO-MIN114:SQK-NBD114-24
protocol_run_id={RUN_ID}
acquisition_run_id=5566778899aabbccddeeff00112233445566778c
started=2026-01-05T14:10:21.100000+01:00
acquisition_stopped=2026-01-06T14:10:21.100000+01:00
processing_stopped=2026-01-06T14:12:00.000000+01:00
basecalling_enabled=1
fastq_files_in_final_dest={{fastq}}
fastq_files_in_fallback=0
pod5_files_in_final_dest={{pod5}}
pod5_files_in_fallback=0
"""
SHEET = """protocol_run_id,position_id,flow_cell_id,sample_id,experiment_id,kit,barcode,alias,type
x,MN31000,FAX12345,pool7,outbreak,SQK-NBD114-24,barcode01,patient_1,test_sample
x,MN31000,FAX12345,pool7,outbreak,SQK-NBD114-24,barcode02,patient_2,test_sample
x,MN31000,FAX12345,pool7,outbreak,SQK-NBD114-24,barcode09,water,no_template_control
"""
FASTQ = [
    f"fastq_{verdict}/{label}/FAX12345_{verdict}_{label}_1a2b3c4d_55667788_{chunk}.fastq.gz"
    for verdict, label, chunks in (
        ("pass", "barcode01", 3), ("pass", "barcode02", 1), ("pass", "unclassified", 1), ("fail", "barcode01", 1),
    )
    for chunk in range(chunks)
]  # fmt: skip
POD5 = ["pod5/FAX12345_1a2b3c4d_55667788_0.pod5", "pod5/FAX12345_1a2b3c4d_55667788_1.pod5"]


def minknow(parent: Path, *, fastq: int = 6, pod5: int = 2, sheet: str | None = SHEET, name: str = RUN) -> Path:
    root = parent / name
    for path in (*FASTQ, *POD5):
        put(root, path)
    put(root, "final_summary_FAX12345_1a2b3c4d_55667788.txt", SUMMARY.format(fastq=fastq, pod5=pod5))
    if sheet is not None:
        put(root, "sample_sheet_FAX12345_20260105_1410_1a2b3c4d.csv", sheet)
    return root


def by_sample(run: InstrumentRun, role: FileRole = FileRole.READS) -> dict[str | None, int]:
    found: dict[str | None, int] = {}
    for file in run.files:
        if file.role is role:
            found[file.sample] = found.get(file.sample, 0) + 1
    return found


def test_a_promethion_experiment_is_one_run_of_four_flow_cells_that_end_by_themselves(tmp_path: Path) -> None:
    run = read_run(unpacked(EXPERIMENT, tmp_path) / "20221103_EGS2_25070AT")
    assert (run.platform, run.run_id, run.folder_name) == ("ont", "25070AT_20221103_1714", "20221103_EGS2_25070AT")
    assert (run.instrument_serial, run.instrument_model) == ("PC24B218", "PromethION 24")
    cells = {unit.facts["flow cell"]: (unit.facts["position"], unit.sample) for unit in run.units}
    assert cells == {
        "PAM83464": ("1F", "25070AT0003"),
        "PAM78534": ("1G", "25070AT0003"),
        "PAM83454": ("1D", "25070AT0004"),
        "PAM82832": ("1B", "25070AT0005"),
    }
    assert {unit.facts["kit"] for unit in run.units} == {"SQK-LSK109"}
    assert [fact.value for _, fact in run.completion] == [Known.YES] * 3
    assert run.started is not None
    assert run.started.isoformat() == "2022-11-03T17:14:42.237762+00:00"


def test_barcodes_of_several_libraries_are_not_thrown_together_and_two_flow_cells_of_one_are(tmp_path: Path) -> None:
    run = read_run(unpacked(EXPERIMENT, tmp_path) / "20221103_EGS2_25070AT")
    counts = by_sample(run)
    assert len(counts) == 15
    assert counts["25070AT0003_barcode03"] == 20
    assert counts["25070AT0004_barcode04"] == 10
    assert by_sample(run, FileRole.UNDETERMINED) == {None: 40}


def test_thousands_of_empty_files_are_one_warning_and_the_counts_still_agree(tmp_path: Path) -> None:
    run = read_run(unpacked(EXPERIMENT, tmp_path) / "20221103_EGS2_25070AT")
    empty = [p for p in run.problems if p.code == "ZERO_BYTE_FILE" and "no bytes at all" in p.message]
    assert len(empty) == 1
    assert "COUNT_MISMATCH" not in codes(run)


def test_reads_that_are_there_as_fastq_and_bam_are_taken_once(tmp_path: Path) -> None:
    run = read_run(unpacked(EXPERIMENT, tmp_path) / "20221103_EGS2_25070AT")
    assert by_sample(run, FileRole.ALIGNMENT) == {}
    assert codes(run).count("READS_IN_TWO_FORMS") == 4


def test_one_run_folder_has_the_protocol_runs_id(tmp_path: Path) -> None:
    root = unpacked(EXPERIMENT, tmp_path) / "20221103_EGS2_25070AT/25070AT0004/20221103_1710_1D_PAM83454_1f1b14bd"
    run = read_run(root)
    assert run.run_id == "1f1b14bd-9861-478d-80d3-df2570daa31d"
    assert run.flow_cell == "PAM83454"
    assert "ID_MISMATCH" not in codes(run)
    assert set(by_sample(run)) == {f"barcode{number:02d}" for number in range(1, 6)}
    assert {sample.project for sample in run.samples} == {"25070AT"}


def test_a_comment_is_passed_over_and_the_last_of_a_repeated_key_counts() -> None:
    path = CASES / "ont-final-summary-and-pod5/final_summary_PAK00383_564d5253.txt"
    summary, problems = parse_final_summary(path.read_bytes(), "f.txt")
    assert summary.written("fastq") == 3125
    assert [(p.code, p.line) for p in problems] == [("REPEATED_KEY", 19)]
    assert summary.text("instrument") == "PCT0112"
    assert summary.text("position") == "2-E11-H11"
    assert summary.text("acquisition_run_id") == "564d52535b8db9cd5a084b612eed13cc68eaf349"
    other, none = parse_final_summary(path.with_name("final_summary_PAK01185_f579772a.txt").read_bytes(), "f.txt")
    assert (other.kit, other.text("sample_id"), none) == ("SQK-RNA002", "18701TK0002", [])


def test_one_file_that_is_named_is_read_too() -> None:
    run = read_run(CASES / "ont-final-summary-and-pod5/final_summary_PAK01185_f579772a.txt")
    assert (run.platform, run.flow_cell, run.run_id) == ("ont", "PAK01185", "0bd0a70a-1811-4848-95e5-adc1a7c696b0")
    assert (run.completion.acquired.value, run.completion.copied.value) == (Known.YES, Known.UNKNOWN)
    assert codes(run) == [], "of one file nothing is missed"


def test_aliases_of_the_sheet_are_the_samples_and_fail_is_not_taken(tmp_path: Path) -> None:
    run = read_run(minknow(tmp_path))
    assert by_sample(run) == {"patient_1": 3, "patient_2": 1}
    assert by_sample(run, FileRole.SIGNAL) == {None: 2}
    assert [(s.sample_id, s.barcode, s.line) for s in run.samples] == [
        ("patient_1", "barcode01", 2),
        ("patient_2", "barcode02", 3),
        ("water", "barcode09", 4),
    ]
    assert [(m.scope, m.value) for m in run.qc if m.name == "reads"] == [("water", 0)]
    assert [fact.value for _, fact in run.completion] == [Known.YES] * 3


def test_folders_that_are_called_by_their_alias_find_their_row(tmp_path: Path) -> None:
    root = minknow(tmp_path)
    (root / "fastq_pass/barcode02").rename(root / "fastq_pass/patient_2")
    run = read_run(root)
    assert by_sample(run) == {"patient_1": 3, "patient_2": 1}
    assert [s.sample_id for s in run.samples] == ["patient_1", "patient_2", "water"]


def test_an_empty_position_is_none_and_a_minion_is_known_by_its_serial(tmp_path: Path) -> None:
    run = read_run(minknow(tmp_path))
    (unit,) = run.units
    assert "position" not in unit.facts
    assert (run.instrument_model, run.instrument_serial) == ("MinION", "MN31000")


def test_a_flongle_without_barcodes_gives_the_sample_that_was_loaded(tmp_path: Path) -> None:
    root = tmp_path / "20260105_1410_MN31000_AOZ898_1a2b3c4d"
    for chunk in range(4):
        put(root, f"fastq_pass/AOZ898_pass_1a2b3c4d_55667788_{chunk}.fastq.gz")
    summary = SUMMARY.replace("FAX12345", "AOZ898").format(fastq=4, pod5=0)
    put(root, "final_summary_AOZ898_1a2b3c4d_55667788.txt", summary)
    run = read_run(root)
    assert (run.flow_cell, by_sample(run)) == ("AOZ898", {"pool7": 4})
    assert pair_reads(run.files).pairs == ()
    assert codes(run) == []


@pytest.mark.parametrize(
    ("written", "copied", "word"),
    [(9, Known.NO, "the copy is not complete"), (5, Known.YES, "were files added")],
)
def test_counts_are_held_against_the_disk(tmp_path: Path, written: int, copied: Known, word: str) -> None:
    run = read_run(minknow(tmp_path, fastq=written))
    assert run.completion.copied.value is copied
    (problem,) = [p for p in run.problems if p.code == "COUNT_MISMATCH"]
    assert word in problem.message
    assert problem.path == "final_summary_FAX12345_1a2b3c4d_55667788.txt"


def test_failed_reads_that_were_thrown_away_are_told_and_hold_nothing_up(tmp_path: Path) -> None:
    root = minknow(tmp_path)
    for path in FASTQ:
        if "fail" in path:
            (root / path).unlink()
    run = read_run(root)
    assert run.completion.copied.value is Known.UNKNOWN
    assert "on purpose" in next(p.message for p in run.problems if p.code == "COUNT_MISMATCH")


def test_a_run_without_final_summary_is_not_known_to_be_finished(tmp_path: Path) -> None:
    root = minknow(tmp_path)
    (root / "final_summary_FAX12345_1a2b3c4d_55667788.txt").unlink()
    run = read_run(root)
    assert run.completion.acquired.value is run.completion.copied.value is Known.UNKNOWN
    assert "NO_FINAL_SUMMARY" in codes(run)
    assert by_sample(run) == {"patient_1": 3, "patient_2": 1}


def test_signal_alone_is_not_converted(tmp_path: Path) -> None:
    root = minknow(tmp_path, fastq=0, sheet=None)
    for path in FASTQ:
        (root / path).unlink()
    run = read_run(root)
    assert run.completion.converted.value is Known.NO
    assert by_sample(run, FileRole.SIGNAL) == {None: 2}


def test_a_renamed_folder_is_told_and_the_id_inside_is_used(tmp_path: Path) -> None:
    root = minknow(tmp_path / "e")
    (tmp_path / "e" / RUN).rename(tmp_path / "e" / RUN.replace("1a2b3c4d", "ffffffff"))
    run = read_run(root.parent)
    assert run.run_id == RUN_ID
    assert "ID_MISMATCH" in codes(run)


def test_pooled_output_of_two_flow_cells_in_one_folder_is_told_apart_by_file_names(tmp_path: Path) -> None:
    for cell, run_id, sample in (("FAX12345", RUN_ID, "pool7"), ("FAX99999", RUN_ID.replace("1a2b", "9999"), "pool8")):
        summary = SUMMARY.replace("FAX12345", cell).replace(RUN_ID, run_id).replace("pool7", sample)
        put(tmp_path, f"outbreak/final_summary_{cell}_x_y.txt", summary.format(fastq=2, pod5=0))
        for chunk in range(2):
            name = f"{cell}_pass_barcode01_1a2b3c4d_55667788_{chunk}.fastq.gz"
            put(tmp_path, f"outbreak/fastq_pass/barcode01/{name}")
    run = read_run(tmp_path / "outbreak")
    assert [(unit.name, unit.sample) for unit in run.units] == [("FAX12345", "pool7"), ("FAX99999", "pool8")]
    assert by_sample(run) == {"pool7_barcode01": 2, "pool8_barcode01": 2}
    assert "COUNT_MISMATCH" not in codes(run)


def test_parts_of_one_barcode_are_never_taken_for_mates() -> None:
    names = [f"FAX12345_pass_1a2b3c4d_55667788_{chunk}.fastq.gz" for chunk in range(3)]
    names += [f"fastq_runid_{'ab' * 20}_{chunk}_0.fastq" for chunk in range(3)]
    names += [f"FAX12345_pass_patient_1_1a2b3c4d_55667788_{chunk}.fastq.gz" for chunk in range(3)]
    told = name_reads(names)
    assert {name.pattern for name in told.values()} == {"nanopore"}
    assert {name.read for name in told.values()} == {None}
    assert {told[name].sample for name in names} == {"FAX12345", f"fastq_runid_{'ab' * 20}", "patient_1"}
    mixed = name_reads(["FAX12345_pass_mixed_1a2b3c4d_55667788_0.fastq.gz"])
    assert [name.kind for name in mixed.values()] == ["undetermined"]


def bam(header: str) -> bytes:
    text = header.encode()
    return gzip.compress(b"BAM\1" + struct.pack("<I", len(text)) + text + struct.pack("<I", 0))


def test_read_groups_tell_the_model_and_a_bam_of_another_run_is_told(tmp_path: Path) -> None:
    root = minknow(tmp_path)
    header = (
        "@HD\tVN:1.6\n@RG\tID:x\tPU:FAX12345\tDT:2026-01-05T14:10:21_2026-01-06T09:00:00\t"
        "DS:runid=ffff basecall_model=dna_r10.4.1_e8.2_400bps_hac@v4.3.0\n"
    )
    put(root, "bam_pass/barcode01/FAX12345_pass_barcode01_1a2b3c4d_55667788_0.bam", bam(header))
    run = read_run(root)
    assert run.units[0].facts["basecalling model"] == "dna_r10.4.1_e8.2_400bps_hac@v4.3.0"
    assert "ID_MISMATCH" in codes(run)


def test_a_report_gives_software_yield_and_keeps_names_apart() -> None:
    report = {
        "host": {"hostname": "lab-pc-7"},
        "protocol_run_info": {
            "run_id": RUN_ID,
            "device": {"device_id": "X1", "device_type": "GRIDION"},
            "flow_cell": {"flow_cell_id": "FAX12345"},
            "software_versions": {"minknow": {"full": "5.9.7"}},
            "user_info": {"sample_id": {"value": "pool7"}, "protocol_group_id": {"value": "no_group"}},
            "start_time": "2026-01-05T13:10:21.1Z",
        },
        "acquisitions": [
            {"acquisition_run_info": {"config_summary": {"purpose": "CALIBRATION"}, "yield_summary": {}}},
            {
                "acquisition_run_info": {
                    "config_summary": {"purpose": "SEQUENCING"},
                    "yield_summary": {"read_count": "100", "basecalled_pass_read_count": "90"},
                }
            },
        ],
    }
    told, problems = parse_report(json.dumps(report).encode(), "r.json")
    assert problems == []
    assert (told.software, told.device_type, told.sample, told.group) == ("MinKNOW 5.9.7", "GridION", "pool7", None)
    assert {metric.name: metric.value for metric in told.metrics} == {"reads_sequenced": 100, "reads": 90}
    assert told.personal == {"r.json: host name": "lab-pc-7"}


def test_a_barcode_with_two_names_and_a_broken_row_are_told_with_their_lines() -> None:
    sheet = SHEET + "x,,FAX12345,pool7,outbreak,,barcode01,patient_9,t\nx,y,z,1,2,3,4,5,6,7,8,9\n"
    rows, problems = parse_sample_sheet(sheet.encode(), "s.csv")
    assert len(rows) == 4
    assert [(p.code, p.line) for p in problems] == [("BAD_ROW", 6), ("DUPLICATE_BARCODE", 5)]
    dual, _ = parse_sample_sheet(b"internal_barcode,external_barcode,alias\nbarcode05,barcode10,a\n", "s.csv")
    assert dual[0].barcode == "barcode05--barcode10"


def test_a_folder_of_fastq_files_alone_is_no_nanopore_run(tmp_path: Path) -> None:
    put(tmp_path, "fastq/a.fastq.gz")
    put(tmp_path, "fastq/b.fastq.gz")
    assert [seen.platform for seen in detect(tmp_path)] == ["reads"]


def test_barcodes_that_only_the_names_of_files_tell_are_samples_too(tmp_path: Path) -> None:
    for name in ("barcode01.fastq.gz", "FAX12345_pass_barcode02_1a2b3c4d_55667788_0.fastq.gz", "unclassified.fastq.gz"):
        put(tmp_path, f"run/fastq_pass/{name}")
    put(tmp_path, "run/fastq_pass/FAX12345_pass_unclassified_1a2b3c4d_55667788_0.fastq.gz")
    run = read_run(tmp_path / "run")
    assert by_sample(run) == {"barcode01": 1, "barcode02": 1}
    assert by_sample(run, FileRole.UNDETERMINED) == {None: 2}


def test_a_barcode_whose_reads_all_failed_has_no_reads_and_one_whose_files_are_missing_has(tmp_path: Path) -> None:
    root = minknow(tmp_path)
    rows = [("barcode01", "TRUE")] * 3 + [("barcode02", "TRUE"), ("barcode09", "FALSE")]
    head = "read_id\tpasses_filtering\tsequence_length_template\tmean_qscore_template\tbarcode_arrangement\n"
    table = head + "".join(f"r{n}\t{passed}\t100\t9.5\t{code}\n" for n, (code, passed) in enumerate(rows))
    put(root, "sequencing_summary_FAX12345_1a2b3c4d_55667788.txt", table)
    run = read_run(root)
    told = {(metric.scope, metric.name): metric.value for metric in run.qc}
    assert (told["water", "reads"], told["water", "reads_failed"]) == (0, 1)
    assert (told["patient_1", "reads"], told["run", "reads"], told["run", "passed_percent"]) == (3, 4, 80)
    assert len({(metric.scope, metric.name) for metric in run.qc}) == len(run.qc)


def test_a_folder_above_that_is_called_bam_is_not_taken_for_one_of_minknow(tmp_path: Path) -> None:
    root = minknow(tmp_path / "top" / "bam" / "pool7")
    run = read_run(tmp_path / "top")
    assert (run.units[0].name, by_sample(run)) == (root.name, {"patient_1": 3, "patient_2": 1})


def test_a_suppliers_md5_list_is_held_against_the_reads(tmp_path: Path) -> None:
    root = minknow(tmp_path)
    put(root, "md5.txt", f"{'0' * 32}  {FASTQ[0]}\n{'1' * 32}  fastq_pass/barcode01/gone.fastq.gz\n")
    run = read_run(root)
    assert next(file.md5 for file in run.files if file.path == FASTQ[0]) == "0" * 32
    assert next(file.role for file in run.files if file.path == "md5.txt") is FileRole.CHECKSUMS
    assert codes(run, "error") == ["LISTED_FILE_MISSING"]


def test_a_run_whose_reads_are_all_empty_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "fastq_pass" / "barcode01"
    folder.mkdir(parents=True)
    (folder / "FAX1_pass_barcode01_a_b_0.fastq.gz").write_bytes(b"")
    [problem] = [each for each in read_run(tmp_path / "run").problems if each.severity == "error"]
    assert problem.code == "NO_READS"
    assert "copy the run again" in problem.message

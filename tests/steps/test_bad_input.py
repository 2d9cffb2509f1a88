"""What comes in broken ends in one clear sentence, and the same command goes on once it is mended."""

import gzip
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pysam
import pytest
from tiny_run import BASECALLS, EXPERIMENT, TinyLab, announcement, fastq, make_run

from labrelay.model.errors import Busy, Conflict, LabrelayError, RefusedInput, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.records import lease
from labrelay.steps.announce import announce
from labrelay.steps.home import Home
from labrelay.steps.ingest import fingerprint
from labrelay.steps.process import Processed, process

R1, R2 = (f"{BASECALLS}/alpha_S1_L001_R{mate}_001.fastq.gz" for mate in (1, 2))


@pytest.fixture
def lab(tmp_path: Path) -> TinyLab:
    return TinyLab(tmp_path)


@pytest.fixture
def home(lab: TinyLab) -> Iterator[Home]:
    with lab.announced() as opened:
        yield opened


def pack(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), 1, mtime=0))  # the usual 9 takes 4 s for a large file here


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def shorter(path: Path) -> None:
    pack(path, fastq("x", 3, 2))


def other_names(path: Path) -> None:
    pack(path, gzip.decompress(path.read_bytes()).decode().replace("@M04586", "@M99999"))


def swap(run: Path) -> None:
    one, two = run / R1, run / R2
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a truncated gzip": (lambda run: cut(run / R1), "TRUNCATED_GZIP"),
    "mates of different number": (lambda run: shorter(run / R2), "MATE_COUNT"),
    "mates with other names": (lambda run: other_names(run / R2), "MATE_NAMES"),
    "swapped mates": (swap, "MATES_SWAPPED"),
    "a lone R2": (lambda run: (run / R1).unlink(), "LONE_R2"),
    "a missing marker": (lambda run: (run / "RTAComplete.txt").unlink(), "NOT_COMPLETE"),
    "a FIFO among the files": (lambda run: os.mkfifo(run / "pipe"), "NOT_A_REGULAR_FILE"),
    "a link to elsewhere": (lambda run: (run / "link.txt").symlink_to("/etc/passwd"), "SYMLINK"),
    "an empty sheet": (lambda run: (run / "SampleSheet.csv").write_text(""), "EMPTY_SHEET"),
    "a quality line that is short": (lambda run: pack(run / R1, "@a 1:N:0\nACGT\n+\nII\n"), "SEQ_QUAL_LENGTH"),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_it_is_refused_in_words_and_taken_when_it_is_mended(
    lab: TinyLab, home: Home, tmp_path: Path, fault: str
) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(lab.run, whole)
    damage, code = BREAKS[fault]
    damage(lab.run)
    with pytest.raises(RefusedInput) as caught:
        process(home, lab.run)
    assert f"[{code}]" in str(caught.value)
    assert caught.value.exit_code == 2
    assert not list((home.path / "objects" / "manifests").rglob("*.json"))
    shutil.rmtree(lab.run)
    shutil.copytree(whole, lab.run)
    assert process(home, lab.run, wait=False).submitted == 2


@pytest.mark.parametrize("corrected", ["same length", "longer"])
def test_a_sheet_that_is_corrected_after_a_refusal_is_the_one_that_counts(
    lab: TinyLab, home: Home, tmp_path: Path, corrected: str
) -> None:
    kept = (lab.run / R1).read_bytes()
    cut(lab.run / R1)
    with pytest.raises(RefusedInput):
        process(home, lab.run)
    (lab.run / R1).write_bytes(kept)
    sheet = lab.run / "SampleSheet.csv"
    before = sheet.read_text()
    # one of the same length, one of another
    after = before.replace("IEMFileVersion,5", "IEMFileVersion,4") if corrected == "same length" else before + "\n"
    sheet.write_text(after)
    assert process(home, lab.run, wait=False).submitted == 2
    manifest = next((home.path / "objects" / "manifests").rglob("*.json")).read_text()
    assert hashlib.sha256(after.encode()).hexdigest() in manifest
    assert hashlib.sha256(before.encode()).hexdigest() not in manifest


def test_every_problem_of_every_file_is_told_at_once(lab: TinyLab, home: Home) -> None:
    cut(lab.run / R1)
    pack(lab.run / f"{BASECALLS}/beta_S2_L001_R1_001.fastq.gz", "@x\nAC\n+\nI\n")
    with pytest.raises(RefusedInput) as caught:
        process(home, lab.run)
    assert {p.code for p in caught.value.problems} >= {"TRUNCATED_GZIP", "SEQ_QUAL_LENGTH"}
    assert any(p.line == 4 and p.path for p in caught.value.problems)


def test_zero_reads_are_a_state_and_hold_nobody_up(lab: TinyLab, home: Home) -> None:
    for mate in (1, 2):
        pack(lab.run / f"{BASECALLS}/beta_S2_L001_R{mate}_001.fastq.gz", "")
    done = process(home, lab.run, wait=False)
    assert done.submitted == 1
    assert ("beta", "there are no reads of it in this run") in done.left_out


def test_zero_reads_in_a_second_run_are_no_failure_of_the_sample_that_has_reads_already(
    lab: TinyLab, home: Home
) -> None:
    process(home, lab.run, wait=False)
    second = make_run(lab.landing, {"alpha": 20, "beta": 0}, "231109_M04586_0008_000000000-TINY8")
    done = process(home, second, wait=False)
    assert (done.submitted, done.failed) == (1, [])
    assert ("beta", "there are no reads of it in this run") in done.left_out


def test_a_sample_without_files_is_told_and_the_others_go_on(lab: TinyLab, home: Home) -> None:
    for mate in (1, 2):
        (lab.run / f"{BASECALLS}/beta_S2_L001_R{mate}_001.fastq.gz").unlink()
    done = process(home, lab.run, wait=False)
    assert done.submitted == 1
    assert "SAMPLE_WITHOUT_READS" in {p.code for p in done.warnings}


def test_an_unannounced_sample_waits_for_a_person(lab: TinyLab, tmp_path: Path) -> None:
    home = lab.open()
    announce(home, announcement(tmp_path / "one.csv", ["alpha"]))
    done = process(home, lab.run, wait=False)
    assert [d.label for d in done.unassigned] == ["beta"]
    assert done.submitted == 1


def test_a_folder_that_changed_after_it_was_stored_is_a_conflict(lab: TinyLab, home: Home) -> None:
    process(home, lab.run, wait=False)
    (lab.run / "RunInfo.xml").write_text((lab.run / "RunInfo.xml").read_text() + "\n")
    with pytest.raises(Conflict, match=r"RunInfo\.xml has other bytes than were stored"):
        process(home, lab.run)


def test_a_file_that_grows_while_it_is_read_is_not_stored(lab: TinyLab, home: Home) -> None:
    big = lab.run / R1
    text = fastq("big", 2_000, 1) * 100
    pack(big, text)
    pack(lab.run / R2, text.replace(" 1:N", " 2:N"))
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set():
            with big.open("ab") as out:
                out.write(gzip.compress(b"@x 1:N:0\nA\n+\nI\n"))
            time.sleep(0.005)

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with pytest.raises((StorageFailed, RefusedInput)) as caught:
            process(home, lab.run)
    finally:
        stop.set()
        writer.join()
    assert R1.rsplit("/", 1)[-1] in str(caught.value)
    assert home.objects.head(f"raw/illumina/{lab.run.name}/{R1}") is None


def test_a_second_process_on_the_same_run_is_told_who_works_on_it(lab: TinyLab, home: Home) -> None:
    with lease.held(home.records, f"the ingest of {lab.run.name}"), pytest.raises(Busy, match="being worked on"):
        process(home, lab.run)
    assert process(home, lab.run, wait=False).submitted == 2


def test_a_sheet_with_hostile_names_makes_no_path(lab: TinyLab, home: Home) -> None:
    sheet = lab.run / "SampleSheet.csv"
    sheet.write_text(sheet.read_text().replace("beta,", "../../beta,"))
    done = process(home, lab.run, wait=False)
    assert "../../beta" in {d.label for d in done.unassigned} | {name for name, _why in done.left_out}
    assert not list(home.path.parent.glob("beta*"))


def failing(lab: TinyLab, home: Home, wdl: str) -> Processed:
    (home.definitions / "count_reads" / "main.wdl").write_text(wdl)
    return process(home, lab.run)


def test_a_wdl_with_a_syntax_error_is_told_with_its_line(lab: TinyLab, home: Home) -> None:
    done = failing(lab, home, "version 1.1\nworkflow count_reads {\n  input { String sample\n")
    assert done.submitted == 0
    assert all("main.wdl" in why for _name, why in done.failed)
    assert len(done.failed) == 2


def test_a_run_without_outputs_has_failed(lab: TinyLab, home: Home) -> None:
    wdl = "version 1.1\nworkflow count_reads { input { String sample  Array[File]+ r1  Array[File]+ r2 } }\n"
    definition = home.definitions / "count_reads" / "definition.toml"
    kept = definition.read_text()
    definition.write_text(kept[: kept.index("[outputs")])
    failing(lab, home, wdl)
    with home.records.read() as session:
        from labrelay.records.schema import WorkflowRunRow

        rows = session.query(WorkflowRunRow).all()
    assert [row.state for row in rows] == ["EXECUTOR_ERROR"] * 2
    assert all("output" in (row.failure or "") for row in rows)


def test_an_output_with_the_name_of_a_document_of_ours_is_kept_beside_it(lab: TinyLab, home: Home) -> None:
    main = home.definitions / "count_reads" / "main.wdl"
    done = failing(lab, home, main.read_text().replace("lengths.txt", "report.html"))
    assert not done.failed
    folder = home.path / "results" / EXPERIMENT / "alpha" / "count_reads-1.0.0"
    assert (folder / "lengths-0-report.html").read_text() == "36 50\n"
    assert "<html" in (folder / "report.html").read_text()


@pytest.mark.parametrize("name", [EXPERIMENT, "../x"])
def test_an_experiments_name_is_never_a_path(lab: TinyLab, name: str, tmp_path: Path) -> None:
    home = lab.open()
    announce(home, announcement(tmp_path / "a.csv", experiment=name))
    done = process(home, lab.run)
    assert done.submitted == 2
    assert all((home.path / "results") in path.parents for path in home.path.rglob("ro-crate-metadata.json"))


def test_a_fingerprint_sees_sizes_and_names(lab: TinyLab) -> None:
    from labrelay.parsers.registry import read_run

    before = fingerprint(read_run(lab.run))
    (lab.run / "RTAComplete.txt").write_text("longer than it was before, so another size altogether\n")
    assert fingerprint(read_run(lab.run)) != before


def test_a_bam_whose_header_names_another_sample_waits_for_a_person(lab: TinyLab, home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "delivery-7"
    folder.mkdir()
    header = {"HD": {"VN": "1.6"}, "RG": [{"ID": "1", "SM": "someone-else"}]}
    for name in ("alpha", "beta"):
        with pysam.AlignmentFile(str(folder / f"{name}.bam"), "wb", header=header) as out:
            read = pysam.AlignedSegment()
            read.query_name, read.query_sequence, read.flag = "r1", "ACGT", 4
            read.query_qualities = pysam.qualitystring_to_array("IIII")
            out.write(read)
        header["RG"][0]["SM"] = "beta"
    done = process(home, folder, wait=False)
    assert [d.label for d in done.unassigned] == ["alpha"]
    assert "WRONG_SAMPLE" in (done.unassigned[0].reason or "")


def test_a_run_that_the_engine_forgot_is_not_waited_for(lab: TinyLab, home: Home) -> None:
    process(home, lab.run, wait=False)
    home.engine.stop()  # type: ignore[attr-defined]
    for folder in ("runs", "engine/queue"):
        shutil.rmtree(home.path / folder)
    again = process(home, lab.run)
    assert len(again.failed) == 2
    assert all("does not know" in why for _run, why in again.failed)


def test_errors_know_whether_trying_again_can_help() -> None:
    assert Busy("x").retryable
    assert not Conflict("x").retryable
    assert issubclass(StorageFailed, LabrelayError)
    faultpoint("inert")

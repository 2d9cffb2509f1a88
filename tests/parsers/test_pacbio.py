"""PacBio runs: real ones against known facts, and ends that are empty, listed or written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import CASES, codes, put, unpacked

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, Known
from labrelay.parsers.bam_header import read_groups
from labrelay.parsers.listing import Entry
from labrelay.parsers.pacbio_names import parse_name
from labrelay.parsers.pacbio_stats import ccs_metrics, lima_counts, lima_summary_metrics
from labrelay.parsers.registry import detect, read_run

REVIO = "pacbio-revio-2024-barcoded"
MOVIE = "m64175e_210101_120000"
HIDDEN = f"""<?xml version="1.0" encoding="utf-8"?>
<PacBioDataModel xmlns="http://pacificbiosciences.com/PacBioDataModel.xsd">
<CollectionMetadata Context="{MOVIE}" InstrumentId="64175e" Status="PostPrimaryPending">
<RunDetails><TimeStampedName>r64175e_20210101_110000</TimeStampedName></RunDetails>
<WellSample Name="lib1"><WellName>A01</WellName></WellSample>
</CollectionMetadata></PacBioDataModel>"""


def revio(parent: Path) -> Path:
    return unpacked(REVIO, parent) / "r84140_20231018_154254"


def sequel(parent: Path, *files: str) -> Path:
    root = parent / "r64175e_20210101_110000"
    put(root, f"1_A01/.{MOVIE}.metadata.xml", HIDDEN)
    for path in files:
        put(root, f"1_A01/{MOVIE}.{path}")
    return root


def taken(run: InstrumentRun) -> dict[str, str | None]:
    return {f.path.rpartition("/")[2]: f.sample for f in run.files if f.role is FileRole.ALIGNMENT}


def test_a_revio_run_has_cells_that_end_by_themselves_and_samples_by_their_barcode(tmp_path: Path) -> None:
    run = read_run(revio(tmp_path))
    assert (run.platform, run.run_id) == ("pacbio", "r84140_20231018_154254")
    assert (run.instrument_model, run.instrument_serial, run.software) == ("Revio", "84140", "ICS 12.0.4.197734")
    assert run.raw["m84140_231018_155043_s3"] == {"instrument name": "Obelix"}
    assert {unit.name: (unit.sample, unit.facts["well"]) for unit in run.units} == {
        "m84140_231018_155043_s3": ("28850RL0004L02", "C01"),
        "m84140_231018_162059_s4": ("28561HMpool01", "D01"),
    }
    assert taken(run) == {
        "m84140_231018_155043_s3.hifi_reads.bc1002.bam": "28850RL0004L02",
        "m84140_231018_162059_s4.hifi_reads.bc1011.bam": "28561HM0001",
        "m84140_231018_162059_s4.hifi_reads.bc1012.bam": "28561HM0002",
    }
    assert sum(file.role is FileRole.UNDETERMINED for file in run.files) == 2


def test_utf_16_that_is_utf_8_is_read_and_a_status_of_pending_means_nothing(tmp_path: Path) -> None:
    path = CASES / REVIO / "r84140_20231018_154254/1_D01/metadata/m84140_231018_162059_s4.metadata.xml"
    assert path.read_bytes().startswith(b'<?xml version="1.0" encoding="utf-16"?>')
    run = read_run(revio(tmp_path))
    done = next(unit for unit in run.units if unit.name.endswith("_s4"))
    assert done.facts["status"] == "PostPrimaryPending"
    assert [fact.value for _, fact in done.completion] == [Known.YES] * 3


def test_a_cell_without_its_marker_holds_the_run_up_although_the_other_is_done(tmp_path: Path) -> None:
    run = read_run(revio(tmp_path))
    waiting = next(unit for unit in run.units if unit.name.endswith("_s3"))
    assert waiting.completion.copied.value is run.completion.copied.value is Known.NO
    assert "NO_TRANSFERDONE" in codes(run)


def test_one_cell_alone_is_not_its_whole_run(tmp_path: Path) -> None:
    run = read_run(revio(tmp_path) / "1_D01")
    assert run.run_id == "r84140_20231018_154254_1_D01"
    assert run.completion.copied.value is Known.YES


def test_probes_of_the_instrument_are_not_stored(tmp_path: Path) -> None:
    names = {file.path.rpartition("/")[2] for file in read_run(revio(tmp_path)).files}
    assert not any(name.startswith("Transfer_Test") or name.endswith(".canary") for name in names)


def test_data_sets_give_reads_and_bases_of_a_cell_and_of_a_barcode() -> None:
    run = read_run(CASES / "pacbio-revio-consensusreadset")
    told = {(metric.scope, metric.name): metric.value for metric in run.qc}
    assert told["m84140_240116_163605_s1", "reads"] == 1353292
    assert told["m84140_240116_163605_s1", "bases"] == 24219889776
    assert told["28850RL0003L01, m84140_240116_183509_s2", "reads"] == 3583153
    assert told["28850RL0003L01, m84140_240116_183509_s2", "bases"] == 30297094622
    assert {unit.facts["run name"] for unit in run.units} == {"Run 01.16.2024 14:10"}
    assert [s.sample_id for s in run.samples] == ["28350AA0001L03", "28850RL0003L01", "28850RL0006L01"]
    assert run.run_id == "r84140_20240116_162812"


@pytest.mark.parametrize(
    ("version", "ending", "zmws", "passed"),
    [("v4.2", "txt", 93, 44), ("v5.0.0", "json", 93, 44), ("v5.0.0", "txt", 93, 44), ("v6.2.0", "json", 177, 104),
     ("v6.2.0", "txt", 177, 104)],
)  # fmt: skip
def test_ccs_reports_of_three_versions_say_the_same_in_text_and_json(
    version: str, ending: str, zmws: int, passed: int
) -> None:
    path = CASES / f"pacbio-ccs-report-versions/{version}/ccs.report.{ending}"
    metrics, problems = ccs_metrics(path.read_bytes(), path.name, "cell")
    told = {metric.name: metric.value for metric in metrics}
    assert (told["zmws"], told["zmws_passed"], told["zmws_failed"], problems) == (zmws, passed, zmws - passed, [])


def test_a_folder_of_ccs_reports_is_known_and_each_is_told_once() -> None:
    run = read_run(CASES / "pacbio-ccs-report-versions")
    assert [(m.scope, m.value) for m in run.qc if m.name == "zmws"] == [("v4.2", 93), ("v5.0.0", 93), ("v6.2.0", 177)]


def test_lima_counts_and_summaries_are_read_and_another_table_is_told() -> None:
    table = (
        b"IdxFirst\tIdxCombined\tIdxFirstNamed\tIdxCombinedNamed\tCounts\tMeanScore\n1\t1\tbc1011\tbc1011\t123\t90\n"
    )
    assert lima_counts(table, "l") == ({"bc1011--bc1011": 123}, [])
    assert [problem.code for problem in lima_counts(b"a\tb\n1\t2\n", "l")[1]] == ["BAD_REPORT"]
    summary = b"ZMWs input                (A)  : 200\nZMWs above all thresholds (B)  : 190 (95%)\n"
    assert {m.name: m.value for m in lima_summary_metrics(summary, "s", "c")} == {
        "reads_to_assign": 200,
        "reads_assigned": 190,
    }


def test_hidden_metadata_of_a_sequel_is_found(tmp_path: Path) -> None:
    run = read_run(sequel(tmp_path, "hifi_reads.bam", "transferdone", "subreads.bam", "scraps.bam"))
    assert (run.run_id, run.instrument_model) == ("r64175e_20210101_110000", "Sequel IIe")
    assert taken(run) == {f"{MOVIE}.hifi_reads.bam": "lib1"}
    assert detect(tmp_path / "r64175e_20210101_110000")[0].platform == "pacbio"


def test_a_cell_without_hifi_reads_gives_its_subreads(tmp_path: Path) -> None:
    assert taken(read_run(sequel(tmp_path, "subreads.bam", "scraps.bam"))) == {f"{MOVIE}.subreads.bam": "lib1"}


@pytest.mark.parametrize(
    ("text", "copied", "code"),
    [
        ("", Known.YES, None),
        (f"1_A01/{MOVIE}.hifi_reads.bam\n", Known.YES, None),
        (f"/pa/{MOVIE}.hifi_reads.bam\n/pa/{MOVIE}.sts.xml\n", Known.NO, "COUNT_MISMATCH"),
        ("made by Ann on Friday, as the transfer had hung\n", Known.YES, "MARKER_BY_HAND"),
    ],
)
def test_transferdone_may_be_empty_a_list_or_a_note(tmp_path: Path, text: str, copied: Known, code: str | None) -> None:
    root = sequel(tmp_path, "hifi_reads.bam")
    put(root, f"1_A01/{MOVIE}.transferdone", text)
    run = read_run(root)
    assert run.completion.copied.value is copied
    assert [found for found in codes(run) if found in ("COUNT_MISMATCH", "MARKER_BY_HAND")] == ([code] if code else [])
    assert "Ann" not in "".join(problem.message for problem in run.problems)


@pytest.mark.parametrize(
    "kinds", [("hifi_reads.bam",), ("hifi_reads.bc1001--bc1001.bam", "hifi_reads.bc1002--bc1002.bam")]
)
def test_a_bam_without_a_byte_is_one_error_that_it_is_empty(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    root = sequel(tmp_path, *kinds, "transferdone")
    for kind in kinds:
        (root / "1_A01" / f"{MOVIE}.{kind}").write_bytes(b"")
    [problem] = [p for p in read_run(root).problems if p.code == "ZERO_BYTE_FILE"]
    more = " (and 1 more)" if len(kinds) > 1 else ""
    said = f"it has no bytes at all, not even a header{more}; copy it again"
    assert (problem.severity, problem.path, problem.message) == ("error", f"1_A01/{MOVIE}.{kinds[0]}", said)


def test_reads_that_were_divided_again_are_taken_once(tmp_path: Path) -> None:
    root = sequel(tmp_path, "hifi_reads.bam", "hifi_reads.bc1001--bc1001.bam", "transferdone")
    put(root, f"1_A01/demultiplexed/again/{MOVIE}.hifi_reads.bc1001.bam")
    run = read_run(root)
    assert taken(run) == {f"{MOVIE}.hifi_reads.bc1001--bc1001.bam": "lib1_bc1001--bc1001"}
    assert codes(run).count("READS_TWICE") == 2


def test_a_default_infix_is_no_barcode_and_an_asymmetric_one_is() -> None:
    default = parse_name(Entry(name := f"{MOVIE}.hifi_reads.default.bam", 1, 0, name))
    assert (default.kind, default.barcode) == ("hifi_reads", None)
    both = parse_name(Entry(name := f"{MOVIE}.hifi_reads.bc1001--bc1002.consensusreadset.xml", 1, 0, name))
    assert (both.barcode, both.ending) == ("bc1001--bc1002", "consensusreadset.xml")


@pytest.mark.parametrize(("name", "kind"), [("empty.ccs.bam", "CCS"), ("empty2.bam", "SUBREAD")])
def test_a_bam_without_reads_tells_its_read_groups(name: str, kind: str) -> None:
    (group,) = read_groups((CASES.parent / "alignments" / name).read_bytes()) or []
    assert (group.fields["PL"], group.described["READTYPE"]) == ("PACBIO", kind)
    assert read_groups(b"no BAM") is None


def test_names_of_people_are_kept_apart() -> None:
    run = read_run(CASES / "pacbio-revio-consensusreadset")
    assert set(run.personal.values()) == {"removed"}
    assert not any("removed" in value for unit in run.units for value in unit.facts.values())


def test_a_suppliers_md5_list_is_held_against_the_reads(tmp_path: Path) -> None:
    root = sequel(tmp_path, "hifi_reads.bam", "transferdone")
    put(root, "md5.txt", f"{'0' * 32}  1_A01/{MOVIE}.hifi_reads.bam\n")
    run = read_run(root)
    assert [file.md5 for file in run.files if file.role is FileRole.ALIGNMENT] == ["0" * 32]
    assert next(file.role for file in run.files if file.path == "md5.txt") is FileRole.CHECKSUMS

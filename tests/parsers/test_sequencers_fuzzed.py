"""Control files of sequencers with any bytes changed: a typed result, at once, and never an exception."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import CASES, put

from labrelay.model.instrument import InstrumentRun
from labrelay.parsers.abif import parse_abif
from labrelay.parsers.bam_header import read_groups
from labrelay.parsers.element_run import manifest_samples, parse_outcome, parse_run_parameters
from labrelay.parsers.element_stats import parse_instrument_stats, parse_run_stats
from labrelay.parsers.ont_report import parse_report
from labrelay.parsers.ont_sheet import parse_sample_sheet
from labrelay.parsers.ont_summary import parse_final_summary
from labrelay.parsers.pacbio_stats import ccs_metrics, lima_counts, lima_summary_metrics
from labrelay.parsers.pacbio_xml import parse_collection
from labrelay.parsers.registry import read_run

ALIGNMENTS = Path(__file__).parents[1] / "data" / "alignments"
SHEET = (
    b"flow_cell_id,sample_id,experiment_id,kit,barcode,alias\nFAX12345,p,e,k,barcode01,a\nFAX12345,p,e,k,barcode02,b\n"
)
REPORT = (
    b'{"protocol_run_info": {"run_id": "x", "device": {"device_id": "X1"}, "user_info": {"sample_id": {"value": "p"}}},'
    b' "acquisitions": [{"acquisition_run_info": {"yield_summary": {"read_count": "7"}}}]}'
)
MANIFEST = b"[Samples]\nSampleName,Index1,Index2,Lane,Project\nS1,ACGT,TTTT,1+2,P\nS2,CCGT,GGTT,1,P\n"
LIMA = b"IdxFirst\tIdxCombined\tIdxFirstNamed\tIdxCombinedNamed\tCounts\n1\t1\tbc1\tbc1\t5\n"
REVIO = "pacbio-revio-2024-barcoded/r84140_20231018_154254/1_D01/metadata/m84140_231018_162059_s4.metadata.xml"


def real(path: str) -> bytes:
    return (CASES / path).read_bytes()


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "final_summary": (
        lambda data: parse_final_summary(data, "f")[0].time("started"),
        real("ont-final-summary-and-pod5/final_summary_PAK00383_564d5253.txt"),
    ),
    "ont sheet": (lambda data: parse_sample_sheet(data, "s.csv"), SHEET),
    "ont report": (lambda data: parse_report(data, "r.json"), REPORT),
    "bam header": (read_groups, (ALIGNMENTS / "range.bam").read_bytes()),
    "pacbio xml": (lambda data: parse_collection(data, "m.metadata.xml"), real(REVIO)),
    "ccs json": (
        lambda data: ccs_metrics(data, "r.json", "c"), real("pacbio-ccs-report-versions/v6.2.0/ccs.report.json"),
    ),
    "ccs text": (
        lambda data: ccs_metrics(data, "r.txt", "c"), real("pacbio-ccs-report-versions/v4.2/ccs.report.txt"),
    ),
    "lima counts": (lambda data: lima_counts(data, "l"), LIMA),
    "lima summary": (lambda data: lima_summary_metrics(data, "l", "c"), b"ZMWs input   (A)  : 200\n"),
    "element manifest": (
        lambda data: manifest_samples(data, "m.json"), real("element-runmanifest-json/RunManifest.json"),
    ),
    "element manifest csv": (lambda data: manifest_samples(data, "m.csv"), MANIFEST),
    "element parameters": (
        lambda data: parse_run_parameters(data, "p.json"),
        json.dumps({"Cycles": {"R1": 5}, "Consumables": {"Flowcell": {"SerialNumber": "01"}}, "Date": "x"}).encode(),
    ),
    "element outcome": (lambda data: parse_outcome(data, "u.json"), b'{"outcome": "OutcomeCompleted"}'),
    "element stats": (lambda data: parse_run_stats(data, "s.json"), real("element-cells2stats/RunStats.json")),
    "aviti stats": (lambda data: parse_instrument_stats(data, "s.json"), b'{"RunStats": {"PercentQ30": 9}}'),
    "abif": (lambda data: parse_abif(data, "a.ab1"), real("sanger-ab1/no_smpl1.ab1")),
}  # fmt: skip

EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40)), max_size=6)


def changed(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, gone, put_in in edits:
        start = int(place * len(data))
        data = data[:start] + put_in + data[start + gone :]
    return data


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=15, deadline=None)
@given(edits=EDITS)
def test_changed_bytes_give_a_result_and_no_exception(name: str, edits: list[tuple[float, int, bytes]]) -> None:
    parser, data = PARSERS[name]
    parser(changed(data, edits))


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=10, deadline=None)
@given(noise=st.binary(max_size=300))
def test_any_bytes_give_a_result_and_no_exception(name: str, noise: bytes) -> None:
    parser, data = PARSERS[name]
    parser(noise)
    parser(data[:20] + noise)


HOSTILE = {
    "nested": b"[" * 200_000,
    "objects": b'{"NumPolonies":[' + b"{}," * 300_000 + b"{}]}",
    "long line": b"a" * 1_000_000,
    "lines": b"k=v\n" * 100_000,
    "huge number": b'{"NumPolonies": ' + b"9" * 5000 + b', "acquisitions": 1e999}',
    "not a number": b'{"NumPolonies": NaN, "Cycles": {"R1": Infinity, "I1": -1e400}}',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_give_a_result_too(kind: str) -> None:
    for parser, _ in PARSERS.values():
        parser(HOSTILE[kind])


def test_a_statistics_file_of_many_small_objects_costs_no_memory_for_each() -> None:
    data = b'{"NumPolonies": 5, "Reads": [' + b'{"Cycle": 1},' * 500_000 + b"{}]}"
    tracemalloc.start()
    stats, _ = parse_run_stats(data, "RunStats.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stats is not None
    assert peak < 4 * len(data)


NAMES = (
    "final_summary_FAX12345_a_b.txt", "report_FAX12345_1.json", "sample_sheet_FAX12345_1.csv", "a.ab1",
    "sequencing_summary_FAX12345.txt", "fastq_pass/barcode01/x.fastq.gz", "bam_pass/x.bam", "RunParameters.json",
    "RunUploaded.json", "RunManifest.csv", "RunStats.json", "AvitiRunStats.json",
    "1_A01/metadata/m84140_231018_162059_s4.metadata.xml",
    "m84140_231018_162059_s4.hifi_reads.consensusreadset.xml", "m84140_231018_162059_s4.transferdone",
    "m84140_231018_162059_s4.hifi_reads.bc1.bam", "ccs.report.json", "m84140_231018_162059_s4.lima_counts.txt",
)  # fmt: skip


FOLDERS = st.dictionaries(
    st.sampled_from(NAMES),
    st.one_of(st.binary(max_size=80), st.sampled_from([data for _, data in PARSERS.values()])),
    min_size=1,
)


@settings(max_examples=25, deadline=None)
@given(files=FOLDERS)
@pytest.mark.parametrize("platform", ["ont", "pacbio", "element", "sanger"])
def test_folders_of_any_such_files_are_read_as_any_of_the_platforms(platform: str, files: dict[str, bytes]) -> None:
    from labrelay.parsers import element, ont, pacbio, sanger
    from labrelay.parsers.listing import walk

    module = {"ont": ont, "pacbio": pacbio, "element": element, "sanger": sanger}[platform]
    with TemporaryDirectory() as folder:
        for path, data in files.items():
            put(Path(folder), path, data)
        listing = walk(Path(folder))
        module.detect(listing)
        run = module.read(Path(folder), listing)
        assert isinstance(run, InstrumentRun)
        assert len({file.path for file in run.files}) == len(run.files)
        if module.detect(listing):
            read_run(Path(folder))

"""mzML: what the head says, what is counted against what is declared, and files that are cut or hostile."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tracemalloc
from pathlib import Path

import pytest
from run_folders import CASES, codes, put

from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun, Known
from labrelay.parsers import mzml_spectra
from labrelay.parsers.registry import detect, read_run

MZML = CASES / "mzml-chromatogram"
EXAMPLE = MZML / "example.mzML.gz"
HEAD = (
    '<?xml version="1.0"?><mzML id="m"><fileDescription><fileContent/></fileDescription>'
    '<referenceableParamGroupList><referenceableParamGroup id="two">'
    '<cvParam accession="MS:1000511" name="ms level" value="2"/></referenceableParamGroup>'
    "</referenceableParamGroupList>"
    '<run id="QE_0815" startTimeStamp="{start}"><spectrumList count="{count}">'
)
LEVEL = '<spectrum index="0" id="s"><cvParam accession="MS:1000511" value="{level}" name="ms level"/></spectrum>'
BY_GROUP = '<spectrum index="0"><referenceableParamGroupRef ref="two"/></spectrum>'
END = "</spectrumList></run></mzML>"


def text(*spectra: str, count: int | None = None, start: str = "2024-02-03T04:05:06Z", end: str = END) -> bytes:
    return (HEAD.format(count=len(spectra) if count is None else count, start=start) + "".join(spectra) + end).encode()


def run_of(folder: Path, data: bytes, name: str = "QE_0815.mzML") -> InstrumentRun:
    put(folder, name, data)
    return read_run(folder / name)


def values(run: InstrumentRun) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in run.qc}


def test_a_real_file_that_declares_2918_spectra_and_holds_11_is_told() -> None:
    run = read_run(EXAMPLE)
    assert (run.run_id, run.folder_name) == ("exp105-01-ds5562-Pos", "example.mzML.gz")
    assert (run.instrument_model, run.instrument_serial) == ("Q Exactive", "Exactive Series slot 0244")
    assert run.software == "Xcalibur 2.2-164600/2.2.1.1646, ProteoWizard (pwiz 3.0.3768)"
    assert run.started is not None
    assert (run.started.isoformat(), run.started_text) == ("2013-09-10T10:31:08+00:00", "2013-09-10T10:31:08Z")
    assert values(run) == {"spectra": 11, "chromatograms": 1, "ms1_spectra": 11}
    assert codes(run) == ["COUNT_MISMATCH", "ID_MISMATCH"]
    assert "2,918 spectra and holds 11" in run.problems[0].message
    sha1 = "40cf85e46ecda3d8d71e067fb090e51f75d9a4b0"
    assert run.raw["example.mzML.gz"]["source file 1"] == f"exp105-01-ds5562-Pos.raw SHA-1 {sha1}"
    assert run.personal == {"location of exp105-01-ds5562-Pos.raw": "file:///C:/Xcalibur/data/exp105"}
    assert run.completion.converted.value is Known.YES


def test_files_with_chromatograms_only_are_taken_and_told() -> None:
    run = read_run(MZML / "mini.chrom.mzML")
    assert values(run) == {"spectra": 0, "chromatograms": 3}
    assert (run.started, run.started_text, run.instrument_model) == (None, None, None)
    assert codes(run) == ["NO_SPECTRA"]
    assert values(read_run(MZML / "mini_numpress.chrom.mzML.gz")) == {"spectra": 0, "chromatograms": 1}


def test_a_folder_of_files_is_one_run_with_a_sample_a_file() -> None:
    assert [found.platform for found in detect(MZML)] == ["mzml"]
    run = read_run(MZML)
    assert run.run_id == "mzml-chromatogram"
    assert run.sample_labels == ("example", "mini.chrom", "mini_numpress.chrom")
    assert {file.role for file in run.files} == {FileRole.SPECTRA}
    assert [unit.name for unit in run.units] == [
        "exp105-01-ds5562-Pos",
        "mini.chrom",
        "mini.chrom",
        "mini_numpress.chrom",
    ]
    assert run.completion.words == ("yes", "yes", "yes")
    assert {unit.completion.words for unit in run.units} == {("yes", "yes", "yes")}
    assert "DUPLICATE_SAMPLE" in codes(run), "mini.chrom is there twice, plain and packed"
    assert len({(metric.name, metric.scope) for metric in run.qc}) == len(run.qc)


def test_an_id_that_a_converter_made_up_is_no_runs_id() -> None:
    run = read_run(MZML / "mini.chrom.mzML")
    assert (run.run_id, run.units[0].name) == ("mini.chrom.mzML", "mini.chrom")


def test_an_id_that_xml_had_escaped_is_the_files_name_again(tmp_path: Path) -> None:
    escaped = text(BY_GROUP).replace(b"QE_0815", b"_x0032_0240203_x0020_QE")
    run = run_of(tmp_path, escaped, "20240203 QE.mzML")
    assert (run.run_id, codes(run)) == ("20240203 QE", [])
    assert codes(run_of(tmp_path, text(BY_GROUP).replace(b"QE_0815", b"a_x0000_b"), "a.mzML")) == []


def test_who_is_to_be_asked_is_personal_and_what_else_stands_there_is_not(tmp_path: Path) -> None:
    contact = (
        '<contact><cvParam accession="MS:1000586" name="contact name" value="Ada"/>'
        '<cvParam accession="MS:9" name="x" value="y"/></contact></fileDescription>'
    )
    run = run_of(tmp_path, text(BY_GROUP).replace(b"</fileDescription>", contact.encode()))
    assert run.personal == {"contact name": "Ada"}
    assert "Ada" not in str(run.raw) + str(run.problems)


def test_levels_are_counted_where_the_spectrum_or_its_group_says_them(tmp_path: Path) -> None:
    run = run_of(tmp_path, text(LEVEL.format(level=1), BY_GROUP, LEVEL.format(level=2), LEVEL.format(level=3)))
    expected = {"spectra": 4, "chromatograms": 0, "ms1_spectra": 1, "ms2_spectra": 2, "ms3_spectra": 1}
    assert (values(run), codes(run), run.run_id) == (expected, [], "QE_0815")


def test_counts_do_not_depend_on_where_blocks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = text(*[LEVEL.format(level=1 + n % 2) + "<x/>" * n for n in range(40)])
    expected = values(run_of(tmp_path, data))
    for block in (1, 7, 64, 1000):
        monkeypatch.setattr(mzml_spectra, "BLOCK", block)
        assert values(run_of(tmp_path, data)) == expected
        assert values(run_of(tmp_path, gzip.compress(data), "QE_0815.mzML.gz")) == expected


@pytest.mark.parametrize("start", ["2024-02-03T04:05:06", "2024-02-03T04:05:06+01:00", "yesterday"])
def test_a_start_without_a_zone_stays_naive_and_one_that_is_none_is_told(tmp_path: Path, start: str) -> None:
    run = run_of(tmp_path, text(BY_GROUP, start=start))
    if start == "yesterday":
        assert (run.started, codes(run)) == (None, ["UNKNOWN_DATE"])
    else:
        assert run.started is not None
        assert (run.started.tzinfo is not None, run.started_text) == ("+" in start, start)


def test_starts_with_and_without_a_zone_stand_in_one_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.mzML", text(BY_GROUP, start="2024-02-03T04:05:06"))
    put(tmp_path, "b.mzML", text(BY_GROUP, start="2024-02-02T04:05:06+01:00"))
    assert read_run(tmp_path).started_text == "2024-02-02T04:05:06+01:00"


@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path, packed: bool) -> None:
    whole = EXAMPLE.read_bytes() if packed else (MZML / "mini.chrom.mzML").read_bytes()
    name = "a.mzML.gz" if packed else "a.mzML"
    for share in (0.01, 0.2, 0.7, 0.999):
        run = run_of(tmp_path, whole[: int(len(whole) * share)], name)
        assert codes(run, "error") == ["TRUNCATED"], share
        assert run.completion.words == ("unknown", "no", "no")
        assert {unit.completion.words for unit in run.units} <= {("unknown", "no", "no")}
    assert codes(run_of(tmp_path, b"", name), "error") == ["TRUNCATED"]


def test_a_gzip_of_several_members_and_padding_is_whole(tmp_path: Path) -> None:
    data = text(LEVEL.format(level=1), BY_GROUP)
    two = gzip.compress(data[:200]) + gzip.compress(data[200:])
    run = run_of(tmp_path, two + bytes(512), "QE_0815.mzML.gz")
    assert (values(run)["spectra"], codes(run)) == (2, [])


def test_a_damaged_gzip_is_refused(tmp_path: Path) -> None:
    data = bytearray(EXAMPLE.read_bytes())
    data[len(data) // 2] ^= 255
    assert codes(run_of(tmp_path, bytes(data), "a.mzML.gz"), "error") == ["TRUNCATED"]


def test_the_checksum_that_an_indexed_file_carries_of_itself_is_compared(tmp_path: Path) -> None:
    inner = text(LEVEL.format(level=1)).decode().removeprefix('<?xml version="1.0"?>')
    body = f"<indexedmzML>{inner}<indexList/><fileChecksum>"
    sha1 = hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()
    whole = f"{body}{sha1}</fileChecksum>\n</indexedmzML>".encode()
    assert codes(run_of(tmp_path, whole)) == []
    assert codes(run_of(tmp_path, whole.replace(b'value="1"', b'value="2"'))) == ["CHECKSUM_MISMATCH"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'<!DOCTYPE mzML [<!ENTITY a "b">]>' + text()[21:], "XML_REFUSED"),
        (b"<mzML>" + b"<a>" * 100, "XML_REFUSED"),
        (b"<html></html>", "XML_REFUSED"),
        (b"<mzML></run>", "BAD_XML"),
        (b'<?xml version="1.0" encoding="klingon"?><mzML/>', "BAD_XML"),
        (b"<mzML>" + b" " * 6_000_000, "NO_SPECTRA"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, data: bytes, code: str) -> None:
    run = run_of(tmp_path, data, "a.mzML")
    assert codes(run, "error") == [code]


def test_a_bomb_of_gzip_is_left_alone_in_little_memory(tmp_path: Path) -> None:
    bomb = gzip.compress(text(end="") + bytes(200_000_000), 9)
    put(tmp_path, "a.mzML.gz", bomb)
    tracemalloc.start()
    run = read_run(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert codes(run, "error") == ["TRUNCATED"]
    assert "times its size" in run.problems[0].message
    assert peak < 60_000_000


def test_a_raw_file_beside_its_mzml_is_the_signal_of_the_same_sample(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / "s1.mzML.gz")
    put(tmp_path, "s1.raw")
    put(tmp_path, "s2.d/analysis.tdf")
    put(tmp_path, "notes.docx")
    run = read_run(tmp_path)
    roles = {file.path: (file.role.value, file.sample) for file in run.files}
    assert roles == {
        "s1.mzML.gz": ("spectra", "s1"),
        "s1.raw": ("signal", "s1"),
        "s2.d/analysis.tdf": ("signal", "s2"),
        "notes.docx": ("other", None),
    }


def test_files_beyond_the_bound_are_told_and_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        put(tmp_path, f"{name}.mzML", text(BY_GROUP))
    monkeypatch.setattr("labrelay.parsers.mzml.MAX_COUNTED", len(text(BY_GROUP)) + 1)
    run = read_run(tmp_path)
    assert ("NOT_ALL_READ" in codes(run), len(run.units), run.completion.copied.value) == (True, 1, Known.UNKNOWN)

"""What `inspect` and `process` both tell of a folder that is not as it should be."""

import gzip
import os
from pathlib import Path

import pytest
from tiny_run import BASECALLS, make_run
from tiny_tiff import tiff

from labrelay.model.errors import RefusedInput
from labrelay.parsers.registry import read_run


def told(place: Path) -> dict[str, str]:
    return {problem.code: f"{problem.severity}: {problem}" for problem in read_run(place).problems}


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")])
def test_one_mate_without_reads_is_an_error_as_it_is_when_the_run_is_taken_in(tmp_path: Path, content: bytes) -> None:
    run = make_run(tmp_path)
    first, second = (run / f"{BASECALLS}/alpha_S1_L001_R{mate}_001.fastq.gz" for mate in (1, 2))
    second.write_bytes(content)
    assert told(run)["MATE_EMPTY"].startswith(f"error: {second.relative_to(run)}: it has no")
    first.write_bytes(gzip.compress(b""))
    assert "MATE_EMPTY" not in told(run)


def test_files_of_another_instrument_in_the_folder_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert "OTHER_INSTRUMENT" not in told(run)
    (run / "trace.mzML").write_text('<?xml version="1.0"?><mzML xmlns="http://psi.hupo.org/ms/mzml"></mzML>')
    assert "files of mzml as well" in told(run)["OTHER_INSTRUMENT"]


def test_an_illumina_run_folder_without_its_run_info_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "RunInfo.xml").unlink()
    assert "without its RunInfo.xml and is read as" in told(run)["RUN_INFO_MISSING"]


def test_samples_without_a_sheet_are_said_to_be_known_by_the_names_of_files(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "SampleSheet.csv").unlink()
    assert "unassigned" not in told(run)["NO_SAMPLE_SHEET"]
    assert read_run(run).sample_labels


def test_a_cut_image_is_told_without_its_pixels(tmp_path: Path) -> None:
    folder = tmp_path / "plate"
    folder.mkdir()
    whole = tiff()
    (folder / "A01.tif").write_bytes(whole)
    assert "TRUNCATED" not in told(folder)
    (folder / "A02.tif").write_bytes(tiff(offset=10_000))
    assert "A02.tif" in told(folder)["TRUNCATED"]


def test_a_named_pipe_is_called_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RefusedInput, match="it is a named pipe and holds no run"):
        read_run(tmp_path / "pipe")

"""The content gate hashes nothing that the store has hashed, and a long second read does not cost the lease."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.model.files import FileRole
from labrelay.model.instrument import RunFile
from labrelay.parsers import bam
from labrelay.parsers.bam import scan_bam
from labrelay.parsers.fastq import FastqScan, scan_fastq
from labrelay.parsers.registry import read_run
from labrelay.records import lease
from labrelay.steps import gate
from labrelay.steps.gate import Gate
from labrelay.steps.home import Home
from labrelay.steps.ingest import ingest
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.upload import put_group

DATA = Path(__file__).parents[1] / "data"


def files_in(folder: Path, *sources: Path, role: FileRole) -> list[RunFile]:
    for source in sources:
        shutil.copy(source, folder / source.name)
    return [RunFile(path=s.name, size=s.stat().st_size, role=role) for s in sources]


def stored(gate_: Gate, group: list[RunFile], store: FolderObjectStore) -> None:
    put_group(store, [gate_.upload(file, f"raw/{file.path}") for file in group], gate_.judge, what=gate_.name)


def test_what_the_gate_learns_of_reads_is_what_a_scan_of_its_own_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [DATA / "reads" / "example.fastq.gz", DATA / "reads" / "example_dos.fastq"]
    group = files_in(tmp_path, *sources, role=FileRole.READS)
    expected = {source.name: scan_fastq(source).model_dump(mode="json") for source in sources}
    hashing: list[bool] = []
    made = FastqScan.__init__

    def watched(scan: FastqScan, path: str, *, hash_bytes: bool = True) -> None:
        hashing.append(hash_bytes)
        made(scan, path, hash_bytes=hash_bytes)

    monkeypatch.setattr(FastqScan, "__init__", watched)
    for file in group:
        alone = Gate([file], tmp_path)
        stored(alone, [file], FolderObjectStore(tmp_path / "objects"))
        assert alone.stats(file) == expected[file.path]
    assert hashing == [False, False]


def test_what_the_gate_learns_of_alignments_is_what_a_scan_of_its_own_says(tmp_path: Path) -> None:
    source = DATA / "alignments" / "range.bam"
    (file,) = files_in(tmp_path, source, role=FileRole.ALIGNMENT)
    alone = Gate([file], tmp_path)
    stored(alone, [file], FolderObjectStore(tmp_path / "objects"))
    assert alone.stats(file) == scan_bam(source)[0].model_dump(mode="json")


def test_the_lease_is_prolonged_while_a_bam_is_read_for_the_second_time(
    tmp_path: Path, make_home: Callable[..., Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "delivery"
    folder.mkdir()
    shutil.copy(DATA / "alignments" / "range.bam", folder)
    monkeypatch.setattr(bam, "PULSE_RECORDS", 20)
    monkeypatch.setattr(lease, "SECONDS", 0)  # so that every chance to prolong is taken
    decoding = False
    prolonged = 0
    confirm = lease.confirm

    def scanning(*given: object, **options: object) -> object:
        nonlocal decoding
        decoding = True
        try:
            return scan_bam(*given, **options)  # type: ignore[arg-type]
        finally:
            decoding = False

    def confirming(*given: object) -> None:
        nonlocal prolonged
        prolonged += decoding
        confirm(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(gate, "scan_bam", scanning)
    monkeypatch.setattr(lease, "confirm", confirming)
    home = make_home()
    assert ingest(home, read_run(folder), folder).stored == 1
    assert prolonged == 112 // 20

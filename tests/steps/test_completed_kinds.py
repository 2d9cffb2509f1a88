"""A plate and a Nanopore run take what came later, on this machine and on HealthOmics with S3, as reads in pairs do."""

from __future__ import annotations

import gzip
from itertools import count
from pathlib import Path

import pytest
from batch_home import home_with_batch
from changing_lab import Engine
from emulated import Emulated
from small_workflow import add_small_workflow
from sqlalchemy import select
from tiny_run import BASECALLS, TinyLab, announcement, make_run

from labrelay.records.schema import AuditRow, FileRow, ReadSetRow
from labrelay.steps.announce import announce
from labrelay.steps.home import Home
from labrelay.steps.outgrown import told
from labrelay.steps.process import Processed, process
from labrelay.steps.reprocess import plan

NUMBERS = count(1)
SCRIPT = "printf '{\"files\": %s}\\n' 1 > counts.json"


def plate(folder: Path) -> tuple[Path, list[str]]:
    folder.mkdir()
    names = [f"PLATE7_{well}f00d0.tif" for well in ("B02", "C04", "D05")]
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder, names[1:]


def nanopore(folder: Path, first: int = 3) -> tuple[Path, list[str]]:
    names = [f"fastq_pass/barcode01/FAX12345_pass_barcode01_1a2b3c4d_55667788_{chunk}.fastq.gz" for chunk in range(5)]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(f"@{path.stem} runid=55 ch=1\nACGT\n+\nIIII\n".encode()))
    return folder, names[first:]


def one_chunk(folder: Path) -> tuple[Path, list[str]]:
    return nanopore(folder, first=1)


def illumina(folder: Path) -> tuple[Path, list[str]]:
    return make_run(folder), [f"{BASECALLS}/beta_S2_L001_R2_001.fastq.gz"]


KINDS = {
    "plate": (plate, "images", "PLATE7", {"paths": "images.paths"}),
    "chunks": (nanopore, "ont", "barcode01", {"r1": "reads.r1"}),
    "one chunk": (one_chunk, "ont", "barcode01", {"r1": "reads.r1"}),
    "mates": (illumina, "illumina", "beta", {"r1": "reads.r1"}),
}


def completed(home: Home, root: Path, kind: str) -> None:
    """Take a run without some of its files, then with them; see that all is as it were if it had come at once."""
    make, platform, sample, inputs = KINDS[kind]
    add_small_workflow(home.path, "count", platform, inputs, SCRIPT, ["files"])
    announce(home, announcement(root / "samples.csv", [sample]))
    folder, late = make(root / "run-7")
    kept = {name: (folder / name).read_bytes() for name in late}
    for name in late:
        (folder / name).unlink()
    first = take(home, folder)
    assert (first.failed, first.outgrown, len(first.runs)) == ([], {}, 1)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    done = take(home, folder)
    assert (done.stored, done.failed, len(done.runs), done.submitted) == (len(late), [], 1, 1)
    [(old, item)] = done.outgrown.items()
    assert (old, item.instead_id) == (first.runs[0], done.runs[0])
    of = "" if kind == "plate" else " of reads"
    assert item.reason == f"{len(late)} more file{'s' if len(late) > 1 else ''}{of} came in"
    assert "made of all" in told(item)
    with home.records.read() as session:
        audited = session.scalars(select(AuditRow).where(AuditRow.action == "instrument_run.completed")).one()
        statuses = sorted(session.scalars(select(ReadSetRow.status)))
        keys = list(session.scalars(select(FileRow.key).where(FileRow.key.startswith("raw/"))))
    assert audited.detail["first"] == late
    assert statuses.count("SUPERSEDED") == 1
    assert len(keys) == len(set(keys))
    again = take(home, folder)
    assert (again.stored, again.imported, again.submitted, again.runs) == (0, 0, 0, done.runs)
    assert plan(home).problems == []


def take(home: Home, folder: Path) -> Processed:
    return process(home, folder, wait=False, assume_complete=True)


@pytest.mark.parametrize("kind", ["plate", "chunks", "one chunk"])
def test_a_run_of_any_kind_gains_files(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home = TinyLab(tmp_path).open()
    monkeypatch.setattr(home, "engine", Engine())
    completed(home, tmp_path, kind)
    home.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plate", "chunks", "mates"])
def test_a_run_on_healthomics_and_s3_gains_files(
    emulator: Emulated, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_with_batch(emulator, monkeypatch, tmp_path / "home", f"completed-{next(NUMBERS)}")
    completed(home, tmp_path, kind)
    home.close()

"""Read sets: one outcome a source, nothing twice, no second copy of bytes, and a kill is finished by asking again."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labrelay.model.errors import Busy, StorageFailed
from labrelay.model.reads import ReadSource
from labrelay.stores.durable import file_lock
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_readsets import ReadSetFolder

FASTQ = b"@r1\nACGT\n+\nIIII\n"
IMPORT_TWO = """
import sys
from pathlib import Path
from labrelay.model.reads import ReadSource
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_readsets import ReadSetFolder
root = Path(sys.argv[1])
sources = [ReadSource.model_validate_json(text) for text in sys.argv[2:]]
ReadSetFolder(root / "reads", FolderObjectStore(root / "objects")).import_reads(sources, "token")
"""


class Lab:
    """A home with objects and a read store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = FolderObjectStore(root / "objects")
        self.reads = ReadSetFolder(root / "reads", self.objects)

    def source(self, sample: str, *contents: bytes, file_type: str = "FASTQ") -> ReadSource:
        files = tuple(
            self.objects.put_bytes(f"raw/{sample}_R{n}.fastq.gz", content) for n, content in enumerate(contents, 1)
        )
        return ReadSource(sample_id=f"smp_{sample}", name=sample, file_type=file_type, files=files)

    def pair(self, sample: str) -> ReadSource:
        return self.source(sample, *(gzip.compress(FASTQ + sample.encode() + b"%d" % n, mtime=0) for n in (1, 2)))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_pair_becomes_an_active_read_set_of_links(lab: Lab) -> None:
    source = lab.pair("S1")
    job = lab.reads.job(lab.reads.import_reads([source], "token"))
    assert (job.status, job.failed) == ("COMPLETED", ())
    assert [(done.id, done.status, done.source) for done in job.done] == [(source.id, "ACTIVE", source)]
    locations = [Path(location) for location in lab.reads.locations(source.id)]
    assert [path.name for path in locations] == ["source1.fastq.gz", "source2.fastq.gz"]
    for path, ref in zip(locations, source.files, strict=True):
        there = lab.objects.local_path(ref)
        assert there is not None
        assert path.samefile(there)


def test_the_ending_follows_the_content_and_the_type(lab: Lab) -> None:
    plain, bam = lab.source("plain", FASTQ), lab.source("bam", b"\x1f\x8b...", file_type="UBAM")
    lab.reads.import_reads([plain, bam], "token")
    assert [Path(each).name for each in lab.reads.locations(plain.id)] == ["source1.fastq"]
    assert [Path(each).name for each in lab.reads.locations(bam.id)] == ["source1.bam"]


def test_asking_again_is_the_same_job_and_does_nothing(lab: Lab) -> None:
    source = lab.pair("S1")
    job_id = lab.reads.import_reads([source], "token")
    before = {path: path.stat().st_mtime_ns for path in (lab.root / "reads").rglob("*.*")}
    assert lab.reads.import_reads([source], "token") == job_id
    other = lab.reads.import_reads([source], "another token")
    assert other != job_id
    after = {path: path.stat().st_mtime_ns for path in (lab.root / "reads").rglob("*.*")}
    assert {path: after[path] for path in before if path.name != ".lock"} == {
        path: at for path, at in before.items() if path.name != ".lock"
    }
    assert lab.reads.job(other).done == lab.reads.job(job_id).done


def test_a_read_set_that_lost_its_file_says_so_and_is_mended_by_importing_again(lab: Lab) -> None:
    source = lab.pair("S1")
    lab.reads.import_reads([source], "token")
    Path(lab.reads.locations(source.id)[1]).unlink()
    with pytest.raises(StorageFailed, match=f"File 2 of read set {source.id}"):
        lab.reads.locations(source.id)
    lab.reads.import_reads([source], "token")
    assert len(lab.reads.locations(source.id)) == 2


def test_a_broken_metadata_file_is_told_not_guessed(lab: Lab) -> None:
    source = lab.pair("S1")
    lab.reads.import_reads([source], "token")
    (Path(lab.reads.locations(source.id)[0]).parent / "metadata.json").write_text('{"id": 1}')
    with pytest.raises(StorageFailed, match="restore it from a copy"):
        lab.reads.describe(source.id)


@pytest.mark.parametrize("errno", [18, 1, 31])
def test_where_links_are_not_possible_the_bytes_are_copied(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, errno: int
) -> None:
    source = lab.pair("S1")

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno, os.strerror(errno))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    lab.reads.import_reads([source], "token")
    for location, ref in zip(lab.reads.locations(source.id), source.files, strict=True):
        there = lab.objects.local_path(ref)
        assert there is not None
        assert Path(location).read_bytes() == there.read_bytes()
        assert not Path(location).samefile(there)
        assert Path(location).stat().st_mode & 0o777 == 0o444
    assert list((lab.root / "reads").rglob(".tmp-*")) == []


def test_a_copy_that_reads_back_wrong_is_no_read_set(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    source = lab.pair("S1")
    monkeypatch.setattr(lab.objects, "local_path", lambda ref: None)
    decayed = lab.objects.root / source.files[1].key
    before = decayed.stat()
    decayed.chmod(0o644)
    decayed.write_bytes(decayed.read_bytes()[::-1])
    os.utime(decayed, ns=(before.st_atime_ns, before.st_mtime_ns))
    job = lab.reads.job(lab.reads.import_reads([source], "token"))
    assert job.status == "FAILED"
    assert "did not read back" in job.failed[0][1]
    assert [path.name for path in (lab.root / "reads").rglob("source*")] == ["source1.fastq.gz"]
    assert list((lab.root / "reads").rglob(".tmp-*")) == []
    assert lab.reads.describe(source.id) is None


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        ("reads.job_written", 1),
        ("reads.file_linked", 1),
        ("reads.file_linked", 4),
        ("reads.metadata_written", 1),
        ("reads.metadata_written", 2),
        ("reads.imported", 1),
    ],
)
def test_a_killed_import_is_finished_by_asking_again(lab: Lab, point: str, nth: int) -> None:
    sources = [lab.pair("S1"), lab.pair("S2")]
    child = subprocess.run(
        [sys.executable, "-c", IMPORT_TWO, lab.root, *(source.model_dump_json() for source in sources)],
        env={**os.environ, "LABRELAY_FAULT": f"{point}:{nth}:kill"},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    finished = {s.id: (lab.reads.describe(s.id) or s) for s in sources}
    job = lab.reads.job(lab.reads.import_reads(sources, "token"))
    assert (job.status, job.failed, len(job.done)) == ("COMPLETED", (), 2)
    for done in job.done:
        assert len(lab.reads.locations(done.id)) == 2
        # What was finished before the kill was not made again.
        assert finished[done.id] in (done, done.source)
    lab.reads.reap(older_than=0)
    assert list((lab.root / "reads").rglob(".tmp-*")) == []


def test_what_a_kill_leaves_of_a_join_is_reaped(lab: Lab) -> None:
    chunks = lab.pair("chunks").model_copy(update={"parts": True})
    child = subprocess.run(
        [sys.executable, "-c", IMPORT_TWO, lab.root, chunks.model_dump_json()],
        env={**os.environ, "LABRELAY_FAULT": "store.staged:1:kill"},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    jobs = [path for path in (lab.root / "reads").rglob("*") if path.suffix == ".json"]
    assert lab.reads.reap(older_than=0) > 0
    assert [path for path in (lab.root / "reads").rglob("*") if path.is_file() and path.name != ".lock"] == jobs


def test_a_second_importer_waits_and_then_says_who_works(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.stores.folder_readsets.LOCK_SECONDS", 0.1)
    held = file_lock(lab.root / "reads" / ".lock", "the read store")
    with held, pytest.raises(Busy, match=f"Process {os.getpid()}"):
        lab.reads.import_reads([lab.pair("S1")], "token")

"""Files on AWS come to this machine once, under paths whose bytes never change."""

from __future__ import annotations

import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from emulated import Emulated

from labrelay.model.errors import NotFound
from labrelay.model.names import is_safe_name
from labrelay.stores.aws import Aws
from labrelay.workflows.bringing import Bringer, file_name

FILES = {"type": "array", "items": {"type": "string", "format": "file-path"}}
SCHEMA = {"properties": {"files": FILES, "folder": {"type": "string", "format": "directory-path"}}}


@dataclass
class Bucket:
    """A bucket of its own, and a folder that its objects are brought to."""

    aws: Aws
    name: str
    folder: Path

    def put(self, key: str, body: bytes) -> str:
        self.aws.client("s3").put_object(Bucket=self.name, Key=key, Body=body)
        return f"s3://{self.name}/{key}"

    def bring(self, *uris: str) -> list[Path]:
        found = Bringer(self.aws, self.folder).bring(SCHEMA, {"files": list(uris)})
        return [Path(path) for path in found["files"]]


@pytest.fixture
def bucket(emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    aws = Aws(region="us-east-1", endpoint_url=emulator.endpoint, attempts=1)
    name = f"lab-{secrets.token_hex(4)}"
    aws.client("s3").create_bucket(Bucket=name)
    return Bucket(aws, name, tmp_path / "brought")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> list[str]:
    """Return a list that takes the range of each GetObject."""
    client, ranges = bucket.aws.client("s3"), list[str]()
    original = client.get_object

    def get_object(**asked: Any) -> Any:
        ranges.append(asked["Range"])
        return original(**asked)

    monkeypatch.setattr(client, "get_object", get_object)
    return ranges


def test_a_path_keeps_its_bytes_when_its_object_is_replaced(bucket: Bucket) -> None:
    (first,) = bucket.bring(bucket.put("in/panel.bed", b"one"))
    (second,) = bucket.bring(bucket.put("in/panel.bed", b"two"))
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    assert {path.name for path in (first, second)} == {"panel.bed"}


def test_what_is_there_is_not_read_again_and_has_the_same_path_and_time(bucket: Bucket, reads: list[str]) -> None:
    uri = bucket.put("in/a.bam", b"bam")
    (first,) = bucket.bring(uri)
    assert (first.stat().st_mtime, first.stat().st_mode & 0o222) == (0, 0)
    os.utime(first.parent, (1, 1))
    (again,) = bucket.bring(uri)
    assert (again, len(reads)) == (first, 1)
    # clean goes by the time of the place, so that it has to be that of the last use
    assert time.time() - first.parent.stat().st_mtime < 60
    assert first.stat().st_mtime == 0


def test_files_of_one_folder_lie_in_one_folder_and_are_read_once_for_all(bucket: Bucket, reads: list[str]) -> None:
    fasta, index, bam = (bucket.put(f"in/{name}", name.encode()) for name in ("r.fa", "r.fa.fai", "s.bam"))
    (alone,) = bucket.bring(fasta)
    two, three = bucket.bring(fasta, index), bucket.bring(fasta, index, bam)
    assert [path.name for path in three] == ["r.fa", "r.fa.fai", "s.bam"]
    assert len({path.parent for path in two}) == len({path.parent for path in three}) == 1
    assert len(reads) == 3
    assert alone.stat().st_ino == two[0].stat().st_ino == three[0].stat().st_ino
    assert all(path.read_bytes() == path.name.encode() for path in (alone, *two, *three))


def test_an_index_that_is_replaced_moves_what_it_is_of(bucket: Bucket) -> None:
    fasta, index = bucket.put("in/r.fa", b"fa"), bucket.put("in/r.fa.fai", b"old")
    before = bucket.bring(fasta, index)
    bucket.put("in/r.fa.fai", b"new")
    after = bucket.bring(fasta, index)
    assert [path.read_bytes() for path in (*before, *after)] == [b"fa", b"old", b"fa", b"new"]


def test_a_folder_has_its_files_and_nothing_else_and_moves_when_one_is_replaced(bucket: Bucket) -> None:
    bucket.put("in/dir/a.txt", b"a")
    bucket.put("in/dir/deep/b.txt", b"b")
    asked = {"folder": f"s3://{bucket.name}/in/dir/"}
    found = Path(Bringer(bucket.aws, bucket.folder).bring(SCHEMA, asked)["folder"])
    inside = sorted(str(path.relative_to(found)) for path in found.rglob("*"))
    assert (found.name, inside) == ("dir", ["a.txt", "deep", "deep/b.txt"])
    assert {path.stat().st_mtime for path in (found, *found.rglob("*"))} == {0}
    bucket.put("in/dir/a.txt", b"new")
    moved = Path(Bringer(bucket.aws, bucket.folder).bring(SCHEMA, asked)["folder"])
    assert ((found / "a.txt").read_bytes(), (moved / "a.txt").read_bytes()) == (b"a", b"new")


def test_what_is_not_there_is_told_by_its_name_before_anything_is_read(bucket: Bucket, reads: list[str]) -> None:
    with pytest.raises(NotFound, match=r"s3://\S+/no/such\.bed"):
        bucket.bring(bucket.put("in/a.bam", b"x"), f"s3://{bucket.name}/no/such.bed")
    with pytest.raises(NotFound, match=r"nothing lies below s3://\S+/no/"):
        bucket.bring(f"s3://{bucket.name}/no/")
    assert reads == []


def test_who_goes_on_after_a_break_reads_the_rest_alone(
    bucket: Bucket, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = os.urandom(3 << 20)
    uri = bucket.put("in/a.bam", body)
    monkeypatch.setenv("LABRELAY_FAULT", "download.chunk:2:raise")
    with pytest.raises(RuntimeError, match=r"download\.chunk"):
        bucket.bring(uri)
    monkeypatch.delenv("LABRELAY_FAULT")
    (path,) = bucket.bring(uri)
    assert path.read_bytes() == body
    assert reads == ["bytes=0-", f"bytes={2 << 20}-"]


def test_a_place_that_was_not_finished_is_no_place(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = [bucket.put(f"in/{name}", name.encode()) for name in ("a.bam", "a.bam.bai")]
    monkeypatch.setenv("LABRELAY_FAULT", "bringing.filled:3:raise")
    with pytest.raises(RuntimeError, match=r"bringing\.filled"):
        bucket.bring(*uris)
    monkeypatch.delenv("LABRELAY_FAULT")
    found = bucket.bring(*uris)
    assert [path.read_bytes() for path in found] == [b"a.bam", b"a.bam.bai"]
    assert [path for path in bucket.folder.glob(".*") if path.is_dir()] == []


def test_one_that_takes_long_holds_up_nobody_who_wants_another(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = bucket.put("in/slow.bam", b"slow"), bucket.put("other/quick.bed", b"quick")
    begun, go_on = threading.Event(), threading.Event()
    other = Aws(region="us-east-1", endpoint_url=bucket.aws.endpoint_url, attempts=1)
    original = other.client("s3").get_object

    def get_object(**asked: Any) -> Any:
        begun.set()
        go_on.wait(30)
        return original(**asked)

    monkeypatch.setattr(other.client("s3"), "get_object", get_object)
    brought: list[Any] = []
    slowly = threading.Thread(
        target=lambda: brought.append(Bringer(other, bucket.folder).bring(SCHEMA, {"files": [slow]}))
    )
    slowly.start()
    try:
        assert begun.wait(10)
        assert [path.read_bytes() for path in bucket.bring(quick)] == [b"quick"]
        assert slowly.is_alive()
    finally:
        go_on.set()
        slowly.join()
    (same,) = bucket.bring(slow)
    assert brought == [{"files": [str(same)]}]


@pytest.mark.parametrize(
    ("name", "end"),
    [("a b.fq.gz", ".fq.gz"), ("a b.bam.bai", ".bam.bai"), ("é.v1.2.vcf.gz", ".v1.2.vcf.gz"), ("con.fa", ".fa"),
     ("x" * 150 + ".bam", ".bam"), (".bed", ".bed"), ("a b", ""), ("a b." + "c" * 30, ""), ("..", "")],
)  # fmt: skip
def test_a_name_that_cannot_be_a_files_keeps_the_suffixes_that_tools_go_by(name: str, end: str) -> None:
    found = file_name(name)
    assert is_safe_name(found)
    assert found.endswith(end)
    assert found not in (name, file_name(f"{name} "))


def test_an_index_is_found_by_the_name_of_its_file() -> None:
    assert file_name("a b.v1.bam.bai") == f"{file_name('a b.v1.bam')}.bai"
    assert file_name("plain.fastq.gz") == "plain.fastq.gz"

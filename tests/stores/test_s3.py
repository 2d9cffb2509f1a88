"""What S3 adds to the contract: parts, versions, checksums that S3 itself compares, and kills in between."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from awscrt import checksums

from labrelay.model.errors import Conflict, NotFound, StorageFailed
from labrelay.model.files import FileRef
from labrelay.stores import s3_reading, s3_sending
from labrelay.stores.aws import Aws
from labrelay.stores.s3 import S3ObjectStore
from labrelay.stores.s3_bucket import ensure_bucket
from labrelay.stores.s3_sending import MIB, crc64, part_size

LARGE = 20 * MIB + 12_345
STAGE = """
import sys
from pathlib import Path
from labrelay.stores.aws import Aws
from labrelay.stores.s3 import S3ObjectStore
url, prefix, source = sys.argv[1:]
S3ObjectStore(Aws(region="us-east-1", endpoint_url=url), "lab", prefix).stage(Path(source), "runs/a.bam").commit()
"""


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(LARGE)


@pytest.fixture
def large(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.bam"
    path.write_bytes(content)
    return path


class Counted:
    """A client that counts its calls, and in which a test can break one."""

    def __init__(self, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = aws.client("s3")
        self.calls: list[str] = []
        self.instead: dict[str, Any] = {}
        monkeypatch.setitem(aws._clients, "s3", self)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        def call(*args: Any, **arguments: Any) -> Any:
            self.calls.append(name)
            if name in self.instead:
                return self.instead[name](real, *args, **arguments)
            return real(*args, **arguments)

        return call


@pytest.fixture
def counted(s3_server: Aws, monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(s3_server, monkeypatch)


def uploads(store: S3ObjectStore) -> int:
    return len(store._client.list_multipart_uploads(Bucket="lab", Prefix=store.base).get("Uploads", ()))


def test_a_large_file_goes_in_parts_and_is_what_was_read(
    s3_store: S3ObjectStore, large: Path, content: bytes, recorder: type, counted: Counted
) -> None:
    watcher = recorder()
    staged = s3_store.stage(large, "runs/a.bam", [watcher])
    assert (s3_store.head("runs/a.bam"), list(s3_store.list("runs")), uploads(s3_store)) == (None, [], 1)
    counted.calls.clear()
    ref = staged.commit()
    assert counted.calls == ["put_object", "complete_multipart_upload", "head_object"]
    assert watcher.seen == content
    assert (ref.size, ref.sha256) == (LARGE, hashlib.sha256(content).hexdigest())
    assert ref.version != ref.sha256
    assert s3_store.head("runs/a.bam") == ref
    assert list(s3_store.list("runs")) == [ref]
    assert uploads(s3_store) == 0
    with s3_store.open(ref) as opened:
        assert hashlib.file_digest(opened, "sha256").hexdigest() == ref.sha256  # type: ignore[arg-type]


def test_s3_holds_the_checksum_of_the_whole_object(s3_store: S3ObjectStore, large: Path, content: bytes) -> None:
    s3_store.stage(large, "a.bam").commit()
    held = s3_store._client.head_object(Bucket="lab", Key=f"{s3_store.base}a.bam", ChecksumMode="ENABLED")
    assert held["ChecksumType"] == "FULL_OBJECT"
    assert held["ChecksumCRC64NVME"] == crc64(checksums.crc64nvme(content))


def test_an_aborted_upload_leaves_no_parts(s3_store: S3ObjectStore, large: Path) -> None:
    s3_store.stage(large, "a.bam").abort()
    assert (uploads(s3_store), s3_store.head("a.bam")) == (0, None)


def test_a_watcher_that_refuses_a_large_file_leaves_no_parts(
    s3_store: S3ObjectStore, large: Path, recorder: type
) -> None:
    def refuse() -> None:
        raise ValueError("no BAM")

    with pytest.raises(ValueError, match="no BAM"):
        s3_store.stage(large, "a.bam", [recorder(refuse)])
    assert uploads(s3_store) == 0


def test_a_file_that_is_stored_is_not_sent_again(s3_store: S3ObjectStore, large: Path, counted: Counted) -> None:
    ref = s3_store.stage(large, "a.bam").commit()
    counted.calls.clear()
    assert s3_store.stage(large, "a.bam").commit() == ref
    assert set(counted.calls) <= {"head_object", "get_object"}


def test_of_two_large_uploads_the_first_to_end_wins(s3_store: S3ObjectStore, large: Path) -> None:
    first, same = s3_store.stage(large, "a.bam"), s3_store.stage(large, "a.bam")
    large.write_bytes(os.urandom(LARGE))
    other = s3_store.stage(large, "a.bam")
    ref = first.commit()
    assert same.commit() == ref
    with pytest.raises(Conflict, match="never replaced"):
        other.commit()
    assert s3_store.head("a.bam") == ref
    assert uploads(s3_store) == 0


@pytest.mark.parametrize("size", [10, LARGE])
def test_an_answer_that_got_lost_is_not_taken_for_a_conflict(
    s3_store: S3ObjectStore, tmp_path: Path, counted: Counted, size: int
) -> None:
    def twice(real: Any, **arguments: Any) -> Any:
        real(**arguments)
        return real(**arguments)

    source = tmp_path / "a"
    source.write_bytes(os.urandom(size))
    staged = s3_store.stage(source, "a")
    counted.instead["put_object" if size == 10 else "complete_multipart_upload"] = twice
    assert staged.commit() == s3_store.head("a")


def test_a_part_that_was_damaged_on_its_way_is_refused_by_s3(
    s3_store: S3ObjectStore, large: Path, counted: Counted
) -> None:
    def damage(real: Any, **arguments: Any) -> Any:
        return real(**{**arguments, "Body": b"\0" + arguments["Body"][1:]})

    counted.instead["upload_part"] = damage
    with pytest.raises(StorageFailed, match=r"send part 1 of .*damaged on their way"):
        s3_store.stage(large, "a.bam")
    assert (uploads(s3_store), s3_store.head("a.bam")) == (0, None)


def test_what_s3_holds_is_compared_with_what_was_sent(s3_store: S3ObjectStore, large: Path, counted: Counted) -> None:
    staged = s3_store.stage(large, "a.bam")
    counted.instead["head_object"] = lambda real, **asked: {**real(**asked), "ChecksumCRC64NVME": crc64(1)}
    with pytest.raises(StorageFailed, match="CRC64NVME"):
        staged.commit()


@pytest.mark.parametrize(
    ("point", "there"),
    [
        ("s3.upload_started", False),
        ("s3.part_sent", False),
        ("s3.staged", False),
        ("s3.digest_noted", False),
        ("s3.put", True),
    ],
)
def test_a_killed_upload_is_finished_by_the_next_and_its_parts_are_reaped(
    s3_store: S3ObjectStore, s3_server: Aws, large: Path, point: str, there: bool
) -> None:
    child = subprocess.run(
        [sys.executable, "-c", STAGE, s3_server.endpoint_url or "", s3_store.base, large],
        env={**os.environ, "LABRELAY_FAULT": f"{point}:1:kill"},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    assert (s3_store.head("runs/a.bam") is not None) == there
    ref = s3_store.stage(large, "runs/a.bam").commit()
    assert s3_store.head("runs/a.bam") == ref
    assert s3_store.reap() == 0
    assert s3_store.reap(older_than=-1) == (0 if there else 1)
    assert uploads(s3_store) == 0


def test_reaping_leaves_the_uploads_of_others(s3_store: S3ObjectStore, s3_server: Aws, large: Path) -> None:
    other = S3ObjectStore(s3_server, "lab", s3_store.base.rstrip("/") + "0")
    staged = other.stage(large, "a.bam")
    assert s3_store.reap(older_than=-1) == 0
    assert other.head(staged.commit().key) is not None


def test_a_note_is_written_once_and_never_changed(s3_store: S3ObjectStore) -> None:
    notes, client = s3_store._notes, s3_store._client
    ref = FileRef(storage="s3", key="a", version="1", sha256="a" * 64, size=9)
    notes.write(ref, "crc")
    notes.write(ref, "crc")
    with pytest.raises(Conflict, match=r"a has other bytes than the note .*\.meta/"):
        notes.write(ref.model_copy(update={"sha256": "b" * 64}), "crc")
    assert notes.read("a", "crc", 9) == "a" * 64
    [listed] = client.list_objects_v2(Bucket="lab", Prefix=f"{s3_store.base}.meta/")["Contents"]
    versions = client.list_object_versions(Bucket="lab", Prefix=listed["Key"])["Versions"]
    assert len(versions) == 1
    # What no version of ours has written stays, and nobody believes it.
    client.delete_object(Bucket="lab", Key=listed["Key"])
    client.put_object(Bucket="lab", Key=listed["Key"], Body=b"mine")
    notes.write(ref, "crc")
    assert notes.read("a", "crc", 9) is None


def test_an_object_whose_note_is_lost_is_read_once(s3_store: S3ObjectStore, large: Path, counted: Counted) -> None:
    ref = s3_store.stage(large, "a.bam").commit()
    listed = s3_store._client.list_objects_v2(Bucket="lab", Prefix=f"{s3_store.base}.meta/")["Contents"]
    assert len(listed) == 1
    s3_store._client.delete_object(Bucket="lab", Key=listed[0]["Key"])
    assert s3_store.head("a.bam") == ref
    counted.calls.clear()
    assert s3_store.head("a.bam") == ref
    assert counted.calls == ["head_object", "get_object"]


def test_an_object_of_another_program_has_its_hash_too(s3_store: S3ObjectStore) -> None:
    s3_store._client.put_object(Bucket="lab", Key=f"{s3_store.base}theirs/x", Body=b"abc")
    ref = s3_store.head("theirs/x")
    assert ref is not None
    assert (ref.sha256, ref.size) == (hashlib.sha256(b"abc").hexdigest(), 3)
    assert list(s3_store.list("theirs")) == [ref]


@pytest.mark.parametrize("told", ["A" * 64, "not a hash", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="])
def test_a_hash_that_another_program_wrote_in_another_form_is_not_believed(s3_store: S3ObjectStore, told: str) -> None:
    s3_store._client.put_object(
        Bucket=s3_store.bucket, Key=f"{s3_store.base}theirs.txt", Body=b"abc", Metadata={"sha256": told}
    )
    found = s3_store.head("theirs.txt")
    assert found is not None
    assert found.sha256 == hashlib.sha256(b"abc").hexdigest()
    with s3_store.open(found) as opened:
        assert opened.read() == b"abc"


def test_a_version_stays_readable_after_another_program_wrote_over_it(s3_store: S3ObjectStore) -> None:
    ref = s3_store.put_bytes("a", b"first")
    s3_store._client.put_object(Bucket="lab", Key=f"{s3_store.base}a", Body=b"other")
    with s3_store.open(ref) as opened:
        assert opened.read() == b"first"
    assert s3_store.head("a") != ref
    with pytest.raises(Conflict):
        s3_store.put_bytes("a", b"first")


def test_a_bucket_without_versions_tells_contents_apart_by_their_hash(s3_server: Aws) -> None:
    s3_server.client("s3").create_bucket(Bucket="plain")
    store = S3ObjectStore(s3_server, "plain")
    ref = store.put_bytes("a", b"1")
    assert ref.version == ref.sha256
    with store.open(ref) as opened:
        assert opened.read() == b"1"
    s3_server.client("s3").put_object(Bucket="plain", Key="a", Body=b"2")
    with pytest.raises(StorageFailed, match="not the file that was stored"):
        store.open(ref)


def test_reading_goes_on_where_the_connection_broke(
    s3_store: S3ObjectStore, large: Path, content: bytes, counted: Counted
) -> None:
    class Breaking(io.RawIOBase):
        def __init__(self, body: Any) -> None:
            self.body, self.left = body, 7 * MIB

        def read(self, count: int = -1) -> bytes:
            if self.left <= 0:
                raise OSError("reset by peer")
            self.left -= count
            got: bytes = self.body.read(count)
            return got

    ref = s3_store.stage(large, "a.bam").commit()
    counted.instead["get_object"] = lambda real, **asked: (
        (answer := real(**asked)) | {"Body": Breaking(answer["Body"])} if "Range" not in asked else real(**asked)
    )
    with s3_store.open(ref) as opened:
        assert opened.read() == content
        assert opened.seek(-10, io.SEEK_END) == LARGE - 10
        assert opened.read() == content[-10:]
        opened.seek(5)
        assert opened.read(3) == content[5:8]
    asked = [name for name in counted.calls if name == "get_object"]
    assert len(asked) <= 6


def test_a_connection_that_always_breaks_is_a_sentence(
    s3_store: S3ObjectStore, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = s3_store.put_bytes("a", b"abc")
    counted.instead["get_object"] = lambda real, **asked: real(**asked) | {"Body": io.BytesIO(b"")}
    with s3_store.open(ref) as opened, pytest.raises(StorageFailed, match="broke off after 0 of 3 bytes"):
        opened.read()
    assert counted.calls.count("get_object") == s3_reading.TRIES


def test_a_bucket_that_is_not_there_is_a_sentence(s3_server: Aws) -> None:
    with pytest.raises(NotFound, match="NoSuchBucket"):
        list(S3ObjectStore(s3_server, "gone-bucket").list(""))


def test_the_uri_names_bucket_prefix_and_key(s3_store: S3ObjectStore) -> None:
    ref = s3_store.put_bytes("a b/ü.txt", b"1")
    assert s3_store.uri(ref) == f"s3://lab/{s3_store.base}a b/ü.txt"
    assert s3_store.local_path(ref) is None


def test_parts_grow_only_where_ten_thousand_would_not_do() -> None:
    assert part_size(0) == part_size(s3_sending.MAX_PARTS * 16 * MIB) == 16 * MIB
    for size in (s3_sending.MAX_PARTS * 16 * MIB + 1, 5 * 1024**4):
        part = part_size(size)
        assert part % MIB == 0
        assert -(-size // part) <= s3_sending.MAX_PARTS


def test_the_contents_of_a_group_are_compared_by_hash_not_by_version(
    s3_store: S3ObjectStore, large: Path, tmp_path: Path
) -> None:
    from labrelay.stores.upload import Upload, put_group

    late = tmp_path / "late"
    late.write_bytes(b"late")

    def judge() -> list[Any]:
        s3_store.put_bytes("late", b"late")  # another process is faster with the same bytes
        return []

    refs = put_group(s3_store, [Upload(large, "a.bam"), Upload(late, "late")], judge, what="a group")
    assert refs == [s3_store.head("a.bam"), s3_store.head("late")]


def test_a_bucket_is_made_once_and_keeps_versions(s3_server: Aws) -> None:
    assert ensure_bucket(s3_server, "made-once") is True
    assert ensure_bucket(s3_server, "made-once") is False
    assert S3ObjectStore(s3_server, "made-once").put_bytes("a", b"1").version != hashlib.sha256(b"1").hexdigest()

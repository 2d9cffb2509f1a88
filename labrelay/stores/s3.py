"""An object store in an S3 bucket: put once by condition, each object with its SHA-256, its version the File's version.

Where an object's SHA-256 is kept: in its metadata when it went in one request, which is after it was read; of one that
went in parts in a small object below `.meta/`, since metadata is given when a multipart upload begins and the hash is
known when it ends. That one is named by key, checksum and size and written before the object is visible, so no order of
kills leaves an object without it (and without it, the bytes are read once more).

Calls: a file of up to 8 MiB costs two (HEAD, PUT), a larger one five and one a part, a look-up one or two, a listing
one for 1,000 names and one an object. Nothing is sent for a key that is taken.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from botocore.exceptions import ClientError

from labrelay.model.errors import Conflict, Denied, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.aws_errors import status_of
from labrelay.stores.keys import checked_key, is_key_part
from labrelay.stores.many import stage_each
from labrelay.stores.ports import StagedMany, Watcher
from labrelay.stores.s3_digests import DigestNotes
from labrelay.stores.s3_lock import default_retention
from labrelay.stores.s3_reading import BUFFER, ObjectReader
from labrelay.stores.s3_sending import LargeObject, Place, Sending, SmallObject, crc64, sending
from labrelay.stores.source import open_source, read_through

META = ".meta/"
SHA256 = re.compile(r"[0-9a-f]{64}")
DAY_SECONDS = 86_400.0
LOOKS = 16  # look-ups at once while a listing goes on
TAKEN = frozenset(
    {404, 409, 412}
)  # what a conditional write answers when another one, or its own first try, was faster


class S3ObjectStore:
    """`ObjectStore` in a bucket, which should keep versions.

    Args:
        aws: The way there.
        bucket: Its name; it exists.
        prefix: Below which all keys lie, such as `lab/raw`; empty means the whole bucket.
        name: The store's name in this home, which every `FileRef` carries.
    """

    bundle_bytes = 40 << 20  # which wait in memory, those of three bundles

    def __init__(self, aws: Aws, bucket: str, prefix: str = "", name: str = "objects") -> None:
        self.name, self.bucket = name, bucket
        self.base = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._aws = aws
        self._notes = DigestNotes(aws, bucket, f"{self.base}{META}")

    def stage(
        self,
        source: Path,
        key: str,
        watchers: Sequence[Watcher] = (),
        on_bytes: Callable[[int], None] | None = None,
    ) -> S3Staged:
        """Read `source` once while it is sent in parts that nobody sees; see `ObjectStore.stage`.

        Memory does not grow with the file. A file of up to 8 MiB waits in memory and is sent by `commit`; of a key that
        is taken nothing is sent.

        Raises:
            StorageFailed: The file changed, vanished or is no regular file, or S3 did not take it.
            UsageError: `key` is no key.
        """
        with ExitStack() as stack:
            for watcher in watchers:
                stack.callback(watcher.close)
            checked_key(key)
            opened = stack.enter_context(open_source(source))
            if (there := self.head(key)) is not None:
                sha256, size = read_through(opened, lambda _chunk: None, watchers, on_bytes)
                return S3Staged(self, None, self._ref(key, sha256, size, there.version))
            sender = sending(self._place(key), opened.before.st_size)
            try:
                sha256, size = read_through(opened, sender.write, watchers, on_bytes)
                sender.finish()
            except BaseException:
                sender.abort()
                raise
            faultpoint("s3.staged")
            return S3Staged(self, sender, self._ref(key, sha256, size, None))

    def stage_many(
        self, files: Sequence[tuple[Path, str]], on_bytes: Callable[[int], None] | None = None
    ) -> StagedMany:
        """Read small files once each, several at a time; they wait in memory. See `ObjectStore.stage_many`.

        Raises:
            StorageFailed: A file changed, vanished or is no regular file, or S3 did not answer.
            UsageError: A key is no key.
        """
        return stage_each(self, files, on_bytes)

    def put_bytes(self, key: str, content: bytes) -> FileRef:
        """Store a small object; the same content again changes nothing, other content raises `Conflict`."""
        checked_key(key)
        sender = SmallObject(self._place(key))
        sender.write(content)
        sender.finish()
        sha256 = hashlib.sha256(content).hexdigest()
        return S3Staged(self, sender, self._ref(key, sha256, len(content), None)).commit()

    def head(self, key: str) -> FileRef | None:
        """Return what is stored under `key`, or None. Cost: one call, two for an object that went in parts."""
        checked_key(key)
        answer = self._look(key)
        return None if answer is None else self._describe(key, answer)

    def open(self, ref: FileRef) -> BinaryIO:
        """Open exactly this version for reading.

        Raises:
            StorageFailed: It is gone, or other bytes lie there now.
        """
        checked_key(ref.key)
        asked = self._asked(ref)
        if "VersionId" not in asked:
            self._refuse_other(ref, self.head(ref.key))
        with aws_errors(f"open {ref.key}"):
            try:
                answer = self._client.get_object(**asked)
            except ClientError as error:
                if status_of(error) in (400, 404):
                    self._refuse_other(ref, self.head(ref.key), another_version=True)
                raise
            if answer["ContentLength"] != ref.size or _told_sha256(answer) not in (None, ref.sha256):
                answer["Body"].close()
                raise StorageFailed(self._other(ref))
            reader = ObjectReader(self._client, asked, ref.size, answer["Body"])
        return cast(BinaryIO, io.BufferedReader(reader, BUFFER))

    def local_path(self, ref: FileRef) -> Path | None:  # noqa: ARG002 (the port's)
        """Return None: S3 has no paths."""
        return None

    def uri(self, ref: FileRef) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.base}{ref.key}"

    def list(self, prefix: str = "") -> Iterator[FileRef]:
        """Yield what lies below the folder `prefix` (a last `/` may be left out), in the byte order of the keys."""
        below = prefix.rstrip("/")
        if below:
            checked_key(below)
        keys = self._keys(f"{below}/" if below else "")
        with ThreadPoolExecutor(LOOKS, thread_name_prefix="s3-list") as pool:
            while window := tuple(islice(keys, LOOKS * 4)):
                yield from (found for found in pool.map(self.head, window) if found is not None)

    def reap(self, older_than: float = DAY_SECONDS) -> int:
        """Abort the uploads below our prefix that began more than `older_than` seconds ago; return how many.

        Nobody can tell a slow upload of another machine from a dead one but by age, hence a day.
        """
        limit, reaped = datetime.now(UTC).timestamp() - older_than, 0
        with aws_errors(f"look for unfinished uploads in {self.bucket}"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.base)
            for upload in (upload for page in pages for upload in page.get("Uploads", ())):
                if upload["Initiated"].timestamp() <= limit:
                    named = {"Bucket": self.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                    self._client.abort_multipart_upload(**named)
                    reaped += 1
        return reaped

    def retention(self) -> str | None:
        """Return how the bucket keeps new objects from change and deletion, in words, or None. Cost: one call."""
        return default_retention(self._aws, self.bucket)

    # What follows is between the store and its staged files.

    def publish(self, sender: Sending | None, ref: FileRef) -> FileRef:
        """Make the bytes of `sender` visible, or find that the same are there; None means that they have to be there.

        Raises:
            Conflict: Other bytes are there.
            StorageFailed: S3 did not take them, or holds other ones than were sent.
        """
        version, there = None, None
        if sender is None:
            there = self.head(ref.key)
            if there is None:
                raise StorageFailed(f"{ref.key} was removed from {self.bucket} meanwhile; repeat the command.")
        else:
            if isinstance(sender, LargeObject):
                self._notes.write(ref, crc64(sender.crc))
            with aws_errors(f"store {ref.key}"):
                version, there = self._put(sender, ref)
            faultpoint("s3.put")
        if there is None:
            return self._ref(ref.key, ref.sha256, ref.size, version)
        if there.sha256 != ref.sha256:
            raise Conflict(
                f"{ref.key} is stored with other content (sha256 {there.sha256[:12]}…, now {ref.sha256[:12]}…); "
                "stored files are never replaced: store this one under another name."
            )
        return there

    def _put(self, sender: Sending, ref: FileRef) -> tuple[str | None, FileRef | None]:
        """Write where nothing is: return the new version, or what was there before."""
        try:
            version = sender.put(ref.sha256)
        except ClientError as error:
            if status_of(error) not in TAKEN or (there := self.head(ref.key)) is None:
                raise
            return None, there
        if isinstance(sender, LargeObject):
            self._compare(ref, version, crc64(sender.crc))
        return version, None

    def _compare(self, ref: FileRef, version: str | None, crc: str) -> None:
        named = {} if version is None else {"VersionId": version}
        held = self._client.head_object(**self._place(ref.key).named(), **named, ChecksumMode="ENABLED")
        if held["ContentLength"] != ref.size or held.get("ChecksumCRC64NVME") != crc:
            raise StorageFailed(
                f"{self.bucket} holds {held['ContentLength']} bytes with CRC64NVME {held.get('ChecksumCRC64NVME')} of "
                f"{ref.key}, sent were {ref.size} with {crc}; remove that version, then repeat the command."
            )

    @property
    def _client(self) -> Any:
        return self._aws.client("s3")

    def _place(self, key: str) -> Place:
        return Place(self._client, self.bucket, self.base + key)

    def _ref(self, key: str, sha256: str, size: int, version: str | None) -> FileRef:
        # A bucket without versions: the content is what tells two of one key apart, as in a folder.
        return FileRef(storage=self.name, key=key, version=version or sha256, sha256=sha256, size=size)

    def _asked(self, ref: FileRef) -> dict[str, str]:
        versioned = {} if ref.version == ref.sha256 else {"VersionId": ref.version}
        return {**self._place(ref.key).named(), **versioned}

    def _look(self, key: str) -> dict[str, Any] | None:
        with aws_errors(f"look up {key}"):
            try:
                answer: dict[str, Any] = self._client.head_object(**self._place(key).named(), ChecksumMode="ENABLED")
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise
            return answer

    def _describe(self, key: str, answer: dict[str, Any]) -> FileRef:
        size, version = int(answer["ContentLength"]), answer.get("VersionId")
        noted = _told_sha256(answer) or self._notes.read(key, str(answer.get("ChecksumCRC64NVME", "")), size)
        sha256 = noted or self._hash(key, answer)
        return self._ref(key, sha256, size, None if version in (None, "", "null") else version)

    def _hash(self, key: str, answer: dict[str, Any]) -> str:
        """Return the SHA-256 of an object that another program stored, or whose note is lost, by reading it once."""
        asked, size = self._place(key).named(), int(answer["ContentLength"])
        if answer.get("VersionId") not in (None, "", "null"):
            asked["VersionId"] = answer["VersionId"]
        with aws_errors(f"read {key}"):
            body = self._client.get_object(**asked)["Body"]
        with io.BufferedReader(ObjectReader(self._client, asked, size, body), BUFFER) as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        if crc := str(answer.get("ChecksumCRC64NVME", "")):
            # Who may only read reads it again the next time.
            with suppress(Denied):
                self._notes.write(self._ref(key, sha256, size, None), crc)
        return sha256

    def _keys(self, below: str) -> Iterator[str]:
        with aws_errors(f"list {below or 'everything'} in {self.bucket}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.base + below)
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = str(entry["Key"]).removeprefix(self.base)
                    if all(part and is_key_part(part) for part in key.split("/")):
                        yield key

    def _refuse_other(self, ref: FileRef, found: FileRef | None, *, another_version: bool = False) -> None:
        if found is None:
            raise StorageFailed(
                f"{ref.key} is not in {self.bucket} any more; restore it from an earlier version or a copy, "
                "and see with `labrelay verify --all --inputs` what else is missing."
            )
        if found != ref or another_version:
            raise StorageFailed(self._other(ref))

    def _other(self, ref: FileRef) -> str:
        return (
            f"{ref.key} in {self.bucket} is not the file that was stored (recorded {ref.size} bytes, sha256 "
            f"{ref.sha256[:12]}…, version {ref.version[:32]}); restore it from a copy."
        )


class S3Staged:
    """Bytes that S3 holds in an unfinished upload (small ones: memory); `commit` or `abort` ends it.

    Attributes:
        ref: What the file will be; S3 gives the version at the commit, until then the SHA-256 stands there.
        taken: Something lay under the key when it was staged.
    """

    def __init__(self, store: S3ObjectStore, sender: Sending | None, ref: FileRef) -> None:
        self.ref = ref
        self._store, self._sender = store, sender
        self._committed = False
        self.taken = sender is None

    def commit(self) -> FileRef:
        """Make the file visible under its key; the same bytes there already: nothing is written.

        Raises:
            Conflict: Other bytes are there; stored files are never replaced.
            StorageFailed: S3 did not take it, or holds other bytes than were sent.
        """
        if not self._committed:
            try:
                self.ref = self._store.publish(self._sender, self.ref)
                self._committed = True
            finally:
                self.abort()
        return self.ref

    def abort(self) -> None:
        """Drop the bytes; after `commit` it does nothing."""
        if self._sender is not None:
            self._sender.abort()
            self._sender = None


def _told_sha256(answer: dict[str, Any]) -> str | None:
    """Return the SHA-256 in an object's metadata; what another program wrote there in another form says nothing."""
    told = str(answer.get("Metadata", {}).get("sha256", ""))
    return told if SHA256.fullmatch(told) else None

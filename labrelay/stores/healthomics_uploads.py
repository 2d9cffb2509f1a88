"""Local files straight into a sequence store, without an object in S3 between.

    uploads/<digest>.json   the service's upload of these files, while it goes on

Parts are sent in parallel, at most `IN_FLIGHT_BYTES` of them in memory; the service's SHA-256 of each is compared with
ours. A killed upload is taken up by asking again: the files are read once more, and parts that are there are not sent.

Calls: one to begin, one a part (of 32 MiB, more for files over 312 GiB), one to end, and some looks until it is ACTIVE.
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labrelay.model.canonical import JSONValue, digest
from labrelay.model.errors import LabrelayError, NotFound, RefusedInput, StorageFailed
from labrelay.model.faults import faultpoint
from labrelay.model.names import printable
from labrelay.model.problem import Frozen, Problem
from labrelay.model.reads import ReadSource
from labrelay.stores.aws import aws_errors
from labrelay.stores.durable import write_json_atomic
from labrelay.stores.healthomics_jobs import TAG, TOKEN_LENGTH, about, file_tags, polled, refusal
from labrelay.stores.healthomics_readsets import THERE, ReferenceArns, SequenceStore
from labrelay.stores.healthomics_state import StateFolder
from labrelay.stores.jsonfile import read_model
from labrelay.stores.source import open_source

MIB = 1 << 20
PART, LARGEST_PART = 32 * MIB, 100 * MIB
MAX_PARTS = 10_000
IN_FLIGHT_BYTES = 128 * MIB
THREADS = 4
SLOTS = ("SOURCE1", "SOURCE2")
PROCESSING = "PROCESSING_UPLOAD"


class _Begun(Frozen):
    """`uploads/<digest>.json`."""

    upload_id: str


@dataclass(frozen=True)
class Part:
    """One part of one file: bytes from `start`, the number from 1."""

    slot: str
    number: int
    path: Path
    start: int
    size: int


def parts_of(paths: Sequence[Path], sizes: Sequence[int]) -> Iterator[Part]:
    """Yield the parts of the files, R1 before R2.

    Raises:
        RefusedInput: A file is empty or larger than 10,000 parts of 100 MiB.
    """
    for slot, path, size in zip(SLOTS, paths, sizes, strict=False):
        part = PART if size <= MAX_PARTS * PART else -(-size // (MAX_PARTS * MIB)) * MIB
        if not size or part > LARGEST_PART:
            message = "is empty" if not size else f"has {size} bytes, more than a read set's file may have"
            raise RefusedInput(path.name, [Problem(code="READS_SIZE", message=message, path=path.name)])
        for number, start in enumerate(range(0, size, part), start=1):
            yield Part(slot, number, path, start, min(part, size - start))


class HealthOmicsUploads:
    """Direct uploads into one sequence store.

    Args:
        store: The sequence store.
        state: What this home remembers of the store.
        references: For aligned reads.
        sleep: Waits between looks at what the service makes of an upload.
    """

    def __init__(
        self,
        store: SequenceStore,
        state: StateFolder,
        references: ReferenceArns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._state, self._references, self._sleep = store, state, references, sleep

    def upload(self, paths: Sequence[Path], source: ReadSource, on_bytes: Callable[[int], None] | None = None) -> str:
        """Upload local files as one read set and return the service's id when it is ACTIVE.

        Args:
            paths: One file, or R1 and R2.
            source: What they are; its id is kept as `generatedFrom`, and a read set that has it is not made again.
            on_bytes: Told the bytes of each part that is there.

        Raises:
            RefusedInput: HealthOmics cannot take the files, or did not.
            StorageFailed: A file changed meanwhile, or the service failed.
        """
        if (wrong := refusal(source)) is not None or len(paths) != len(source.files):
            message = wrong or f"{len(paths)} files were given for {len(source.files)}."
            raise RefusedInput(source.name, [Problem(code="READS_REFUSED", message=message)])
        before = [path.lstat() for path in map(_regular, paths)]
        state = self._state.path / "uploads" / f"{_identity(source, paths, before, self._store.id)}.json"
        read_set_id = self._find(source)
        if read_set_id is None:
            begun, there = self._begun(source, state, len(paths))
            read_set_id = self._send_all(_Sending(self._store, begun.upload_id, there, on_bytes), source, paths, before)
        state.unlink(missing_ok=True)
        self._wait(source, read_set_id)
        return read_set_id

    def _begun(self, source: ReadSource, state: Path, files: int) -> tuple[_Begun, dict[tuple[str, int], str]]:
        """Return the upload to go on with, and the checksums of the parts that the service has."""
        before = read_model(state, _Begun)
        if before is not None:
            # The service forgets an upload that was aborted or is too old.
            with suppress(NotFound):
                return before, self._there(source, before.upload_id, files)
        return self._begin(source, state), {}

    def _begin(self, source: ReadSource, state: Path) -> _Begun:
        asked = about(source, None if source.reference_id is None else self._references.arn(source.reference_id))
        asked["tags"] |= file_tags(source)
        with aws_errors(f"begin the upload of {source.name}"):
            # No token: the upload that it gave again may have been aborted; one that nobody goes on with does no harm.
            answer = self._store.omics.create_multipart_read_set_upload(sequenceStoreId=self._store.id, **asked)
        faultpoint("omics.upload_begun")
        begun = _Begun(upload_id=str(answer["uploadId"]))
        write_json_atomic(state, begun.model_dump(mode="json"))
        faultpoint("omics.upload_noted")
        return begun

    def _send_all(
        self, sending: _Sending, source: ReadSource, paths: Sequence[Path], before: Sequence[os.stat_result]
    ) -> str:
        sent = sending.send(list(parts_of(paths, [each.st_size for each in before])))
        for path, then in zip(paths, before, strict=True):
            now = path.lstat()
            if (now.st_size, now.st_mtime_ns, now.st_ino) != (then.st_size, then.st_mtime_ns, then.st_ino):
                self._abort(sending.upload_id)
                raise StorageFailed(f"{path} changed while it was sent; repeat when it rests.")
        faultpoint("omics.parts_sent")
        with aws_errors(f"complete the upload of {source.name}"):
            answer = self._store.omics.complete_multipart_read_set_upload(
                sequenceStoreId=self._store.id, uploadId=sending.upload_id, parts=sent
            )
        faultpoint("omics.upload_completed")
        return str(answer["readSetId"])

    def _abort(self, upload_id: str) -> None:
        with suppress(LabrelayError), aws_errors("abort an upload"):
            self._store.omics.abort_multipart_read_set_upload(sequenceStoreId=self._store.id, uploadId=upload_id)

    def _there(self, source: ReadSource, upload_id: str, files: int) -> dict[tuple[str, int], str]:
        with aws_errors(f"look for parts of {source.name}"):
            return {
                (slot, part["partNumber"]): part["checksum"]
                for slot in SLOTS[:files]
                for page in self._store.omics.get_paginator("list_read_set_upload_parts").paginate(
                    sequenceStoreId=self._store.id, uploadId=upload_id, partSource=slot
                )
                for part in page["parts"]
            }

    def _find(self, source: ReadSource) -> str | None:
        """Return the service's id of what was made of this source before; one that failed does not count."""
        with aws_errors(f"look for read set {source.id}"):
            # What is still being processed has no `generatedFrom` in lists yet. It is looked for first: what ends
            # meanwhile is found by the second list, and the other way round neither would have it.
            for each in self._listed(sampleId=source.sample_id, status=PROCESSING):
                tags = self._store.omics.list_tags_for_resource(resourceArn=each["arn"])["tags"]
                if tags.get(TAG) == source.id:
                    return str(each["id"])
            for each in self._listed(generatedFrom=source.id):
                if each["status"] in (*THERE, PROCESSING):
                    return str(each["id"])
        return None

    def _listed(self, **wanted: str) -> Iterator[dict[str, Any]]:
        pages = self._store.omics.get_paginator("list_read_sets").paginate(
            sequenceStoreId=self._store.id, filter=wanted
        )
        return (each for page in pages for each in page["readSets"])

    def _wait(self, source: ReadSource, read_set_id: str) -> None:
        def look() -> dict[str, Any] | None:
            with aws_errors(f"describe read set {read_set_id}"):
                found: dict[str, Any] = self._store.omics.get_read_set_metadata(
                    sequenceStoreId=self._store.id, id=read_set_id
                )
            return found if found["status"] != PROCESSING else None

        answer = polled(look, self._sleep)
        if answer is None:
            raise StorageFailed(
                f"Read set {read_set_id} is still being processed; repeat the command to go on waiting."
            )
        if answer["status"] not in THERE:
            why = printable(str(answer.get("statusMessage", answer["status"])))
            problem = Problem(code="UPLOAD_FAILED", message=f"HealthOmics did not take the files: {why}")
            raise RefusedInput(source.name, [problem])


class _Sending:
    """Sends the parts of one upload, a few at once."""

    def __init__(
        self,
        store: SequenceStore,
        upload_id: str,
        there: Mapping[tuple[str, int], str],
        on_bytes: Callable[[int], None] | None,
    ) -> None:
        self._store, self.upload_id, self._there = store, upload_id, there
        self._on_bytes = on_bytes
        self._telling = threading.Lock()

    def send(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Return the parts as CompleteMultipartReadSetUpload wants them; the first failure ends it."""
        at_once = max(1, min(THREADS, IN_FLIGHT_BYTES // max(part.size for part in parts)))
        with ThreadPoolExecutor(at_once, thread_name_prefix="omics-part") as pool:
            futures: list[Future[dict[str, Any]]] = [pool.submit(self._send, part) for part in parts]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _send(self, part: Part) -> dict[str, Any]:
        content = _read(part)
        hashed = hashlib.sha256(content).digest()
        ours = {base64.b64encode(hashed).decode(), hashed.hex()}
        checksum = self._there.get((part.slot, part.number))
        if checksum not in ours:
            with aws_errors(f"send part {part.number} of {part.path.name}"):
                answer = self._store.omics.upload_read_set_part(
                    sequenceStoreId=self._store.id,
                    uploadId=self.upload_id,
                    partSource=part.slot,
                    partNumber=part.number,
                    payload=content,
                )
            checksum = str(answer["checksum"])
            # Both spellings of a SHA-256 have been seen; another kind of checksum cannot be compared.
            if len(checksum) in map(len, ours) and checksum not in ours:
                raise StorageFailed(
                    f"Part {part.number} of {part.path.name} was damaged on its way; repeat the command."
                )
            faultpoint("omics.part_sent")
        if self._on_bytes is not None:
            with self._telling:
                self._on_bytes(part.size)
        return {"partNumber": part.number, "partSource": part.slot, "checksum": checksum}


def _read(part: Part) -> bytes:
    with open_source(part.path) as opened:
        content = bytearray(part.size)
        view, done = memoryview(content), 0
        while done < part.size and (got := os.preadv(opened.handle, [view[done:]], part.start + done)):
            done += got
    if done < part.size:
        raise StorageFailed(f"{part.path} changed while it was sent; repeat when it rests.")
    view.release()
    return bytes(content)


def _regular(path: Path) -> Path:
    with open_source(path):
        return path


def _identity(source: ReadSource, paths: Sequence[Path], before: Sequence[os.stat_result], store_id: str) -> str:
    stats: list[JSONValue] = [[each.st_size, each.st_mtime_ns] for each in before]
    return digest([store_id, source.id, [str(path.absolute()) for path in paths], stats])[:TOKEN_LENGTH]

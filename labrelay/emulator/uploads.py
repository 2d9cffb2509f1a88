"""Direct uploads: parts of a read set's files, put together and judged in the background.

The parts lie in the data folder under `uploads/<upload>/<SOURCE>-<number>` until the read set is ACTIVE.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from labrelay.emulator.asking import DEFAULT_PAGE, found, idempotent, listed, storage_id
from labrelay.emulator.operation import Params, invalid, not_found, operation
from labrelay.emulator.read_set_imports import check_reference
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.stored_files import PART_BYTES
from labrelay.emulator.tags import set_tags
from labrelay.stores.durable import fsync_dir, fsync_file, make_dirs, open_temp, write_all

KIND = "multipartUpload"
PART = "uploadPart"
COMPLETED = "completedUpload"
READ_BYTES = 1024 * 1024
ABOUT = ("name", "subjectId", "sampleId", "sourceFileType", "description", "generatedFrom", "referenceArn")


@operation("CreateMultipartReadSetUpload")
def create_upload(service: Service, asked: Params) -> Params:
    """Begin an upload."""

    def make(state: Transaction) -> Params:
        store = asked["sequenceStoreId"]
        found(state, "sequenceStore", store)
        check_reference(state, asked["sourceFileType"], asked.get("referenceArn"))
        body = {
            # Required in answers, though a request may leave them out.
            "referenceArn": "",
            "generatedFrom": "",
            **{name: value for name, value in asked.items() if name != "clientToken"},
            "uploadId": storage_id(state),
            "creationTime": timestamp(),
        }
        state.put(KIND, body["uploadId"], body, store)
        return body

    return idempotent(service, "CreateMultipartReadSetUpload", asked, make)


@operation("ListMultipartReadSetUploads")
def list_uploads(service: Service, asked: Params) -> Params:
    """Return one page of the uploads that are neither complete nor aborted."""
    with service.state.read() as state:
        found(state, "sequenceStore", asked["sequenceStoreId"])
        return listed(state, asked, "uploads", KIND, asked["sequenceStoreId"])


@operation("UploadReadSetPart")
def upload_part(service: Service, asked: Params) -> Params:
    """Take a part; a number that was used before is overwritten."""
    upload, source, number = asked["uploadId"], asked["partSource"], asked["partNumber"]
    with service.state.read() as state:
        body = found(state, KIND, upload, asked["sequenceStoreId"])
    if source == "SOURCE2" and body["sourceFileType"] != "FASTQ":
        raise invalid(f"A second source is for FASTQ only, not for {body['sourceFileType']}.")
    folder = upload_folder(service, upload)
    make_dirs(folder)
    given = _as_file(asked["payload"], folder)
    size = given.stat().st_size
    if not 0 < size <= PART_BYTES:
        given.unlink()
        raise invalid(f"A part has 1 to {PART_BYTES} bytes, this one has {size}.")
    checksum = _checksum(given)
    fsync_file(given)
    now, key = timestamp(), f"{source}-{number}"
    part = {"partNumber": number, "partSource": source, "partSize": size, "checksum": checksum}
    with service.state.write() as state:
        # Aborted or completed meanwhile: nothing may be left behind.
        if state.get(KIND, upload, asked["sequenceStoreId"]) is None:
            given.unlink()
            raise not_found(KIND, upload)
        before = state.get(PART, key, upload) or {"creationTime": now}
        # Renamed inside the transaction, so that checksum and bytes are those of the same request.
        shutil.move(given, folder / key)
        fsync_dir(folder)
        state.put(PART, key, {**before, **part, "lastUpdatedTime": now}, upload)
    return {"checksum": checksum}


@operation("ListReadSetUploadParts")
def list_parts(service: Service, asked: Params) -> Params:
    """Return one page of the parts of one source, by number."""
    wanted = asked.get("filter", {})
    with service.state.read() as state:
        found(state, KIND, asked["uploadId"], asked["sequenceStoreId"])
        parts = [
            part
            for part in state.each(PART, asked["uploadId"])
            if part["partSource"] == asked["partSource"]
            and wanted.get("createdAfter", "") <= part["creationTime"]
            and (part["creationTime"] <= wanted.get("createdBefore", part["creationTime"]))
        ]
    token, limit = asked.get("nextToken", "0"), asked.get("maxResults", DEFAULT_PAGE)
    if not (token.isascii() and token.isdigit()):
        raise invalid("The nextToken is not one that this operation returned.")
    after = sorted((p for p in parts if p["partNumber"] > int(token)), key=lambda p: int(p["partNumber"]))
    page = after[:limit]
    return {"parts": page, "nextToken": str(page[-1]["partNumber"]) if len(after) > limit else None}


@operation("AbortMultipartReadSetUpload")
def abort_upload(service: Service, asked: Params) -> Params:
    """Forget an upload and its parts."""
    with service.state.write() as state:
        found(state, KIND, asked["uploadId"], asked["sequenceStoreId"])
        _forget(state, asked["sequenceStoreId"], asked["uploadId"])
    shutil.rmtree(upload_folder(service, asked["uploadId"]), ignore_errors=True)
    return {}


@operation("CompleteMultipartReadSetUpload")
def complete_upload(service: Service, asked: Params) -> Params:
    """Make a read set of the parts; asked again, it is the same read set."""
    store, upload = asked["sequenceStoreId"], asked["uploadId"]
    with service.state.write() as state:
        done = state.get(COMPLETED, upload, store)
        if done is not None:
            return done
        body = found(state, KIND, upload, store)
        _check_parts(asked["parts"], list(state.each(PART, upload)), body["sourceFileType"])
        key = storage_id(state)
        arn = service.arn("sequenceStore", store, "readSet", key)
        read_set = {
            **{name: body[name] for name in ABOUT if body.get(name)},
            "id": key,
            "arn": arn,
            "sequenceStoreId": store,
            "status": "PROCESSING_UPLOAD",
            "fileType": body["sourceFileType"],
            "creationType": "UPLOAD",
            "creationTime": timestamp(),
            "_upload": upload,
            "_parts": _numbers(asked["parts"]),
        }
        state.put("readSet", key, read_set, store)
        set_tags(state, arn, body.get("tags", {}))
        state.put(COMPLETED, upload, {"readSetId": key}, store)
        _forget(state, store, upload)
    service.wake()
    return {"readSetId": key}


def upload_folder(service: Service, upload: str) -> Path:
    """Return the folder of the parts of an upload."""
    return service.folder / "uploads" / upload


def _check_parts(named: list[Body], there: list[Body], file_type: str) -> None:
    problems = [*_wrong_parts(named, there), *_wrong_sources(_numbers(named), file_type)]
    if problems:
        raise invalid(f"The upload cannot be completed: {'; '.join(problems[:10])}.")


def _wrong_parts(named: list[Body], there: list[Body]) -> Iterator[str]:
    checksums = {(part["partSource"], part["partNumber"]): part["checksum"] for part in there}
    for part in named:
        checksum = checksums.get((part["partSource"], part["partNumber"]))
        if checksum is None:
            yield f"part {part['partNumber']} of {part['partSource']} was not uploaded"
        elif checksum != part["checksum"]:
            yield f"part {part['partNumber']} of {part['partSource']} has the checksum {checksum}"


def _wrong_sources(numbers: dict[str, list[int]], file_type: str) -> Iterator[str]:
    for source, found_numbers in numbers.items():
        if found_numbers != list(range(1, len(found_numbers) + 1)):
            yield f"the parts of {source} are not numbered from 1 without gaps and repetitions"
    if "SOURCE1" not in numbers:
        yield "there is no part of SOURCE1"
    if "SOURCE2" in numbers and file_type != "FASTQ":
        yield f"a second source is for FASTQ only, not for {file_type}"


def _numbers(parts: Iterable[Body]) -> dict[str, list[int]]:
    """Return the sorted part numbers of each source."""
    numbers: dict[str, list[int]] = {}
    for source, number in sorted((part["partSource"], part["partNumber"]) for part in parts):
        numbers.setdefault(source, []).append(number)
    return numbers


def _forget(state: Transaction, store: str, upload: str) -> None:
    for part in list(state.each(PART, upload)):
        state.delete(PART, f"{part['partSource']}-{part['partNumber']}", upload)
    state.delete(KIND, upload, store)


def _as_file(payload: bytes | Path, folder: Path) -> Path:
    if isinstance(payload, Path):
        return payload
    temp, handle = open_temp(folder)
    with handle:
        write_all(handle, payload)
        os.fsync(handle.fileno())
    return temp


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()

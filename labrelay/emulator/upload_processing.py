"""Completed uploads become read sets: parts put together, judged, shown; or UPLOAD_FAILED, the parts kept elsewhere."""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path

from labrelay.emulator.asking import found, short
from labrelay.emulator.objects import ObjectUnavailable, Reason, store_folder
from labrelay.emulator.read_set_content import judge
from labrelay.emulator.read_set_imports import make_read_set, read_set_event, reference_path
from labrelay.emulator.service import Service, worker
from labrelay.emulator.state import Body
from labrelay.emulator.stored_files import put_objects
from labrelay.emulator.tags import tags_of
from labrelay.emulator.uploads import ABOUT, upload_folder
from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.stores.durable import fsync_dir, make_dirs

logger = logging.getLogger(__name__)

KIND = "readSet"
MESSAGE_LIMIT = 255  # ReadSetStatusMessage
COPY_BYTES = 1024 * 1024
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
ENDS = {"BAM": ".bam", "UBAM": ".bam", "CRAM": ".cram"}


@worker("upload processing")
def process_uploads(service: Service) -> float | None:
    """Work through what was completed."""
    with service.state.read() as state:
        waiting = list(state.each(KIND, None, "PROCESSING_UPLOAD"))
        stores = {store["id"]: store for store in state.each("sequenceStore")}
        uploads = {body["_upload"] for body in waiting}
        known = {body["uploadId"] for body in state.each("multipartUpload", None)}
    for body in waiting:
        _process(service, stores[body["sequenceStoreId"]], body)
    _remove_left_over(service, uploads | known)
    return None


def _process(service: Service, store: Body, waiting: Body) -> None:
    folder = store_folder(service, store["id"], KIND, waiting["id"])
    shutil.rmtree(folder, ignore_errors=True)
    try:
        body = _take(service, store, waiting, folder)
    except (LabrelayError, OSError) as error:
        if isinstance(error, ObjectUnavailable) and error.reason is Reason.FAILED:
            # S3 is away, which says nothing of the upload: it is tried again.
            raise
        body = _failed(service, store, waiting, folder, str(error))
    except Exception:
        logger.exception("upload %s broke", waiting["_upload"])
        body = _failed(service, store, waiting, folder, "An internal error occurred.")
    faultpoint("emulator.upload.judged")
    with service.state.write() as state:
        state.put(KIND, body["id"], body, store["id"])
    shutil.rmtree(upload_folder(service, waiting["_upload"]), ignore_errors=True)
    service.announce(*read_set_event(body))


def _take(service: Service, store: Body, waiting: Body, folder: Path) -> Body:
    make_dirs(folder)
    files = {}
    for source, numbers in waiting["_parts"].items():
        path = folder / _file_name(waiting, source.lower())
        _join([upload_folder(service, waiting["_upload"]) / f"{source}-{number}" for number in numbers], path)
        files[source.lower()] = path
    fsync_dir(folder)
    reference = reference_path(service, waiting.get("referenceArn"))
    content = judge(waiting["fileType"], files, store["eTagAlgorithmFamily"], reference)
    about = {name: waiting[name] for name in ABOUT if name in waiting}
    body = make_read_set(service, store, waiting["id"], about, files, content)
    body |= {"creationType": "UPLOAD", "creationTime": waiting["creationTime"]}
    with service.state.read() as state:
        tags = tags_of(state, body["arn"])
    put_objects(service, store, body, tags)
    return body


def _failed(service: Service, store: Body, waiting: Body, folder: Path, why: str) -> Body:
    shutil.rmtree(folder, ignore_errors=True)
    with service.state.read() as state:
        fallback = found(state, "sequenceStore", store["id"]).get("fallbackLocation")
    if fallback:
        try:
            _keep_parts(service, waiting, fallback)
        except Exception as error:
            # Whatever S3 says, the read set has to be told as failed.
            logger.exception("the parts of upload %s could not be kept", waiting["_upload"])
            why = f"{why} The parts could not be copied to {fallback}: {error}"
    return {**waiting, "status": "UPLOAD_FAILED", "statusMessage": short(why, MESSAGE_LIMIT)}


def _keep_parts(service: Service, waiting: Body, fallback: str) -> None:
    bucket, _, prefix = fallback.removeprefix("s3://").partition("/")
    for source, numbers in waiting["_parts"].items():
        for number in numbers:
            path = upload_folder(service, waiting["_upload"]) / f"{source}-{number}"
            service.s3.upload_file(str(path), bucket, f"{prefix}{waiting['_upload']}/{path.name}")


def _join(parts: list[Path], target: Path) -> None:
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, out, COPY_BYTES)
        out.flush()
        os.fsync(out.fileno())


def _file_name(body: Body, slot: str) -> str:
    name = NOT_IN_NAMES.sub("_", body["name"]).lstrip(".") or "read_set"
    end = ENDS.get(body["fileType"])
    return f"{name}{end}" if end is not None else f"{name}_{slot}.fastq.gz"


def _remove_left_over(service: Service, known: set[str]) -> None:
    """Remove the parts of uploads that are done or aborted, which a killed server did not get to."""
    folder = service.folder / "uploads"
    if not folder.is_dir():
        return
    for inner in folder.iterdir():
        if inner.name in known:
            continue
        with service.state.read() as state:
            # Asked again: it may have been begun since.
            begun = any(body["uploadId"] == inner.name for body in state.each("multipartUpload", None))
            begun = begun or any(body["_upload"] == inner.name for body in state.each(KIND, None, "PROCESSING_UPLOAD"))
        if not begun:
            shutil.rmtree(inner, ignore_errors=True)

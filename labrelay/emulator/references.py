"""References: imported from S3 as they are, indexed, read in parts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pysam

from labrelay.emulator.asking import chosen, found, listed
from labrelay.emulator.objects import S3_URI, fetch, store_folder
from labrelay.emulator.operation import Failure, Params, Slice, conflict, operation
from labrelay.emulator.service import Service, timestamp, worker
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.storage_jobs import ItemDone, ItemFailed, JobKind, Thing, get, list_jobs, start, tags_thing, work
from labrelay.emulator.stored_files import SAMTOOLS, describe, file_of, fresh_folder, slice_of
from labrelay.model.faults import faultpoint

KIND = "reference"
MOST_REFERENCES = 50
MOST_BYTES = 15 * 1000**3
SUFFIXES = (".fasta", ".fa", ".fas", ".fsa", ".faa", ".fna", ".ffn", ".frn", ".mpfa", ".seq", ".txt")
PACKED = (".gz", ".bgz", ".bgzf")
JOB = JobKind(
    kind="referenceImportJob",
    store="referenceStore",
    operation="StartReferenceImportJob",
    event="Reference Import Job Status Change",
    answer=("id", "referenceStoreId", "roleArn", "status", "creationTime"),
)


@operation("StartReferenceImportJob")
def start_reference_import_job(service: Service, asked: Params) -> Params:
    """Start to import references."""
    return start(service, JOB, asked, _items)


@operation("GetReferenceImportJob")
def get_reference_import_job(service: Service, asked: Params) -> Params:
    """Return a job."""
    return get(service, JOB, asked)


@operation("ListReferenceImportJobs")
def list_reference_import_jobs(service: Service, asked: Params) -> Params:
    """Return one page of the jobs."""
    return list_jobs(service, JOB, asked, "importJobs")


@operation("ListReferences")
def list_references(service: Service, asked: Params) -> Params:
    """Return one page of the references."""
    with service.state.read() as state:
        found(state, "referenceStore", asked["referenceStoreId"])
        return listed(state, asked, "references", KIND, asked["referenceStoreId"])


@operation("GetReferenceMetadata")
def get_reference_metadata(service: Service, asked: Params) -> Params:
    """Return what is known of a reference."""
    with service.state.read() as state:
        return found(state, KIND, asked["id"], asked["referenceStoreId"])


@operation("GetReference")
def get_reference(service: Service, asked: Params) -> Params:
    """Return a part of a reference's file, or a range inside that part."""
    return {"payload": _part(service, asked)}


@operation("DeleteReference")
def delete_reference(service: Service, asked: Params) -> Params:
    """Begin to delete a reference that no read set uses."""
    with service.state.write() as state:
        body = found(state, KIND, asked["id"], asked["referenceStoreId"])
        for read_set in state.each("readSet", None):
            if read_set.get("referenceArn") == body["arn"]:
                raise conflict(f"The reference {body['id']} is used by the read set {read_set['id']}.")
        body |= {"status": "DELETING", "updateTime": timestamp()}
        state.put(KIND, body["id"], body, body["referenceStoreId"])
    service.announce("Reference Status Change", [body["arn"]], reference_detail(body, "DELETING"))
    service.wake()
    return {}


@worker("reference imports")
def import_references(service: Service) -> float | None:
    """Work through the import jobs."""
    work(service, JOB, _import)
    return None


def reference_detail(body: Body, status: str) -> Params:
    """Return the detail of an event about a reference."""
    known = {name: body[name] for name in ("arn", "referenceStoreId", "id")}
    return {"omicsVersion": "1.0.0", **known, "status": status}


def _part(service: Service, asked: Params) -> Slice:
    with service.state.read() as state:
        body = found(state, KIND, asked["id"], asked["referenceStoreId"])
    where = (asked["referenceStoreId"], KIND, asked["id"])
    path, entry = file_of(service, where, body, asked.get("file", "SOURCE").lower())
    return slice_of(path, entry, asked["partNumber"], asked.get("range"))


def _items(state: Transaction, asked: Params) -> list[Body]:
    count = state.count(KIND, asked["referenceStoreId"])
    if count + len(asked["sources"]) > MOST_REFERENCES:
        message = f"A reference store holds at most {MOST_REFERENCES} references; there are {count}."
        raise Failure("ServiceQuotaExceededException", message)
    return list(asked["sources"])


def _import(service: Service, job: Body, item: Body) -> ItemDone:
    store, key, uri = job["referenceStoreId"], item["_id"], item["sourceFile"]
    match = S3_URI.fullmatch(uri)
    name = match["key"].rpartition("/")[2] if match else ""
    stem = name.lower()
    for packed in PACKED:
        stem = stem.removesuffix(packed)
    if not stem.endswith(SUFFIXES):
        raise ItemFailed(f"{name or uri} does not end as a FASTA file does (.fasta, .fa, .fna … or with .gz).")
    with fresh_folder(store_folder(service, store, KIND, key)):
        return _take(service, job, item, name)


def _take(service: Service, job: Body, item: Body, name: str) -> ItemDone:
    store, key = job["referenceStoreId"], item["_id"]
    path = store_folder(service, store, KIND, key) / name
    md5 = hashlib.md5(usedforsecurity=False)
    fetch(service, item["sourceFile"], path, md5.update)
    faultpoint("emulator.reference.fetched")
    index = _index(path)
    now, arn = timestamp(), service.arn("referenceStore", store, KIND, key)
    body = {
        **chosen(item, ("name", "description")),
        "id": key,
        "arn": arn,
        "referenceStoreId": store,
        "md5": md5.hexdigest(),
        "status": "ACTIVE",
        "creationTime": now,
        "updateTime": now,
        "files": {"source": describe(path), "index": describe(index)},
        "creationType": "IMPORT",
        "creationJobId": job["id"],
        "_names": {"source": path.name, "index": index.name},
    }
    event = ("Reference Status Change", [arn], reference_detail(body, "ACTIVE"))
    return ItemDone({"referenceId": key}, [Thing(KIND, key, body, store), tags_thing(arn, item)], [event])


def _index(path: Path) -> Path:
    """Make `<file>.fai` (and `.gzi` for bgzip) and return its path."""
    if path.stat().st_size > MOST_BYTES:
        raise ItemFailed(f"{path.name} is larger than the 15 GB that a reference may have.")
    try:
        with SAMTOOLS:
            pysam.faidx(str(path))
    except pysam.SamtoolsError as error:
        raise ItemFailed(f"{path.name} cannot be indexed as FASTA or bgzipped FASTA: {error}") from error
    index = path.with_name(path.name + ".fai")
    if not index.is_file() or not index.stat().st_size:
        raise ItemFailed(f"{path.name} holds no sequence.")
    return index

"""Read-set import jobs: fetched from S3, judged, indexed, and shown as objects of the store."""

from __future__ import annotations

import re
from pathlib import Path

from labrelay.emulator.asking import found, short
from labrelay.emulator.objects import S3_URI, fetch, store_folder
from labrelay.emulator.operation import Failure, Params, invalid, not_found, operation
from labrelay.emulator.read_set_content import Content, judge
from labrelay.emulator.service import Service, timestamp, worker
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.storage_jobs import ItemDone, ItemFailed, JobKind, Thing, get, list_jobs, start, tags_thing, work
from labrelay.emulator.stored_files import describe, fresh_folder, put_objects
from labrelay.model.faults import faultpoint

MOST_READ_SETS = 1_000_000
REFERENCE_ARN = re.compile(r"arn:aws:omics:[^:]+:\d+:referenceStore/(?P<store>\d+)/reference/(?P<id>\d+)")
FASTQ_END = re.compile(r"\.(fastq|fq)\.gz\Z")
NEEDS_REFERENCE = ("BAM", "CRAM")
ABOUT = ("subjectId", "sampleId", "name", "description", "referenceArn")
JOB = JobKind(
    kind="readSetImportJob",
    store="sequenceStore",
    operation="StartReadSetImportJob",
    event="Read Set Import Job Status Change",
    answer=("id", "sequenceStoreId", "roleArn", "status", "creationTime"),
)


@operation("StartReadSetImportJob")
def start_read_set_import_job(service: Service, asked: Params) -> Params:
    """Start to import read sets."""
    return start(service, JOB, asked, _items)


@operation("GetReadSetImportJob")
def get_read_set_import_job(service: Service, asked: Params) -> Params:
    """Return a job."""
    return get(service, JOB, asked)


@operation("ListReadSetImportJobs")
def list_read_set_import_jobs(service: Service, asked: Params) -> Params:
    """Return one page of the jobs."""
    return list_jobs(service, JOB, asked, "importJobs")


@worker("read set imports")
def import_read_sets(service: Service) -> float | None:
    """Work through the import jobs."""
    work(service, JOB, _import)
    return None


def check_reference(state: Snapshot, file_type: str, arn: str | None) -> None:
    """Refuse a missing or unknown reference.

    Raises:
        Failure: BAM or CRAM without a reference, or one that does not exist.
    """
    if arn is None:
        if file_type in NEEDS_REFERENCE:
            raise invalid(f"A read set of type {file_type} needs a referenceArn.")
        return
    match = REFERENCE_ARN.fullmatch(arn)
    reference = state.get("reference", match["id"], match["store"]) if match else None
    if reference is None or reference["status"] != "ACTIVE":
        raise not_found("reference", arn)


def reference_path(service: Service, arn: str | None) -> Path | None:
    """Return the FASTA of a reference, or None when there is no ARN.

    Raises:
        ItemFailed: The reference is gone.
    """
    match = REFERENCE_ARN.fullmatch(arn) if arn is not None else None
    if match is None:
        return None
    with service.state.read() as state:
        body = state.get("reference", match["id"], match["store"])
    if body is None:
        raise ItemFailed(f"The reference {arn} does not exist any more.")
    name: str = body["_names"]["source"]
    return store_folder(service, match["store"], "reference", match["id"]) / name


def make_read_set(
    service: Service, store: Body, key: str, about: Params, files: dict[str, Path], content: Content
) -> Body:
    """Return the body of an ACTIVE read set.

    Args:
        service: Whose.
        store: The sequence store.
        key: The read set's id.
        about: What was said of it: names as in the requests, `sourceFileType`, `generatedFrom` too.
        files: By slot; without the index.
        content: What judging gave.
    """
    named = files | ({"index": content.index} if content.index is not None else {})
    base = f"{store['s3Access']['s3Uri']}readSet/{key}/"
    information = dict(content.information)
    if "generatedFrom" in about:
        information["generatedFrom"] = about["generatedFrom"]
    return {
        **{name: about[name] for name in ABOUT if about.get(name)},
        "id": key,
        "arn": service.arn("sequenceStore", store["id"], "readSet", key),
        "sequenceStoreId": store["id"],
        "status": "ACTIVE",
        "fileType": about["sourceFileType"],
        "creationTime": timestamp(),
        "sequenceInformation": information,
        "files": {slot: {**describe(path), "s3Access": {"s3Uri": base + path.name}} for slot, path in named.items()},
        "etag": content.etag,
        "_shown": True,
        "_names": {slot: path.name for slot, path in named.items()},
    }


def read_set_event(body: Body) -> tuple[str, list[str], Params]:
    """Return the event that tells a read set's state."""
    members = ("arn", "sequenceStoreId", "id", "status", "statusMessage", "creationJobId")
    detail = {name: body[name] for name in members if name in body}
    return "Read Set Status Change", [body["arn"]], {"omicsVersion": "1.0.0", **detail}


def _items(state: Transaction, asked: Params) -> list[Body]:
    for source in asked["sources"]:
        if "source2" in source["sourceFiles"] and source["sourceFileType"] != "FASTQ":
            raise invalid(f"A second source is for FASTQ only, not for {source['sourceFileType']}.")
        check_reference(state, source["sourceFileType"], source.get("referenceArn"))
    if state.count("readSet", asked["sequenceStoreId"]) + len(asked["sources"]) > MOST_READ_SETS:
        raise Failure("ServiceQuotaExceededException", f"A sequence store holds at most {MOST_READ_SETS} read sets.")
    return list(asked["sources"])


def _import(service: Service, job: Body, item: Body) -> ItemDone:
    with service.state.read() as state:
        store = found(state, "sequenceStore", job["sequenceStoreId"])
    folder = store_folder(service, store["id"], "readSet", item["_id"])
    with fresh_folder(folder):
        return _take(service, job, item, store, folder)


def _take(service: Service, job: Body, item: Body, store: Body, folder: Path) -> ItemDone:
    files = {slot: folder / name for slot, name in file_names(item["sourceFiles"]).items()}
    for slot, path in files.items():
        fetch(service, item["sourceFiles"][slot], path)
    faultpoint("emulator.read_set.fetched")
    reference = reference_path(service, item.get("referenceArn"))
    content = judge(item["sourceFileType"], files, store["eTagAlgorithmFamily"], reference)
    body = make_read_set(service, store, item["_id"], item, files, content)
    body |= {"creationType": "IMPORT", "creationJobId": job["id"]}
    put_objects(service, store, body, item.get("tags", {}))
    faultpoint("emulator.read_set.shown")
    done = {"readSetId": body["id"]} | ({"statusMessage": short(content.note)} if content.note else {})
    things = [Thing("readSet", body["id"], body, store["id"]), tags_thing(body["arn"], item)]
    return ItemDone(done, things, [read_set_event(body)])


def file_names(uris: Params) -> dict[str, str]:
    """Return how the files of a read set are called: as in S3, and apart if both have the same name."""
    names = {}
    for slot, uri in uris.items():
        match = S3_URI.fullmatch(uri)
        name = match["key"].rpartition("/")[2] if match else ""
        if name in ("", ".", ".."):
            raise ItemFailed(f"{uri} does not end with the name of a file.")
        names[slot] = name
    if len(set(names.values())) < len(names):
        return {slot: _apart(name, slot) for slot, name in names.items()}
    return names


def _apart(name: str, slot: str) -> str:
    end = FASTQ_END.search(name)
    return f"{name[: end.start()]}_{slot}{end.group()}" if end else f"{name}_{slot}"

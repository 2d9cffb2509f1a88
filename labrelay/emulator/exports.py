"""Export jobs: the files of read sets are copied to a bucket, each read set under a prefix of its own."""

from __future__ import annotations

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from labrelay.emulator.asking import found
from labrelay.emulator.objects import store_folder, touch
from labrelay.emulator.operation import Params, operation
from labrelay.emulator.service import Service, worker
from labrelay.emulator.state import Body, Transaction
from labrelay.emulator.storage_jobs import ItemDone, ItemFailed, JobKind, get, list_jobs, start, work

JOB = JobKind(
    kind="readSetExportJob",
    store="sequenceStore",
    operation="StartReadSetExportJob",
    event="Read Set Export Job Status Change",
    answer=("id", "sequenceStoreId", "destination", "status", "creationTime"),
    items="readSets",
)


@operation("StartReadSetExportJob")
def start_export_job(service: Service, asked: Params) -> Params:
    """Start to export read sets."""
    return start(service, JOB, asked, _items)


@operation("GetReadSetExportJob")
def get_export_job(service: Service, asked: Params) -> Params:
    """Return a job."""
    return get(service, JOB, asked)


@operation("ListReadSetExportJobs")
def list_export_jobs(service: Service, asked: Params) -> Params:
    """Return one page of the jobs."""
    return list_jobs(service, JOB, asked, "exportJobs")


@worker("exports")
def export_read_sets(service: Service) -> float | None:
    """Work through the export jobs."""
    work(service, JOB, _export)
    return None


def _items(state: Transaction, asked: Params) -> list[Body]:
    for source in asked["sources"]:
        found(state, "readSet", source["readSetId"], asked["sequenceStoreId"])
    return [{"id": source["readSetId"]} for source in asked["sources"]]


def _export(service: Service, job: Body, item: Body) -> ItemDone:
    store, key = job["sequenceStoreId"], item["id"]
    with service.state.read() as state:
        body = state.get("readSet", key, store)
    if body is None or body["status"] != "ACTIVE":
        status = "gone" if body is None else body["status"]
        raise ItemFailed(f"The read set {key} is {status}; only an ACTIVE one can be exported.")
    folder = store_folder(service, store, "readSet", key)
    touch(folder)
    bucket, _, prefix = job["destination"].removeprefix("s3://").partition("/")
    for name in body["_names"].values():
        try:
            service.s3.upload_file(str(folder / name), bucket, f"{prefix}{key}/{name}")
        except (S3UploadFailedError, ClientError, BotoCoreError) as error:
            raise ItemFailed(f"{name} could not be written to {job['destination']}: {error}") from error
    return ItemDone()

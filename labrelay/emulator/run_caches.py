"""Run caches: results of tasks that later runs take over. CreateRunCache, GetRunCache, ListRunCaches, Update…, Delete…

The results themselves lie in the engine's call cache below the data folder, in a place of their own for each run cache
and definition; the S3 location is where HealthOmics would keep them.
"""

from __future__ import annotations

from labrelay.emulator.cached_results import drop_cache
from labrelay.emulator.operation import Failure, Params, invalid, not_found, operation
from labrelay.emulator.run_states import BUSY
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Snapshot, Transaction
from labrelay.emulator.tags import drop_tags, set_tags
from labrelay.emulator.workflow_requests import items, once, tagged

MAX_CACHES = 1_000
FIRST_ID = 3_000_001
DEFAULT_BEHAVIOUR = "CACHE_ON_FAILURE"


def existing_cache(state: Snapshot, key: str) -> Body:
    """Return a run cache's body; ResourceNotFoundException when there is none."""
    body = state.get("runCache", key)
    if body is None:
        raise not_found("run cache", key)
    return body


@operation("CreateRunCache")
def create_run_cache(service: Service, asked: Params) -> Params:
    """Make a run cache; its bucket has to be there."""
    bucket = asked["cacheS3Location"].removeprefix("s3://").partition("/")[0]
    if not _bucket_is_there(service, bucket):
        raise invalid(f"The bucket {bucket} of cacheS3Location does not exist or cannot be reached.")

    def make(state: Transaction) -> Params:
        if state.count("runCache") >= MAX_CACHES:
            raise Failure("ServiceQuotaExceededException", f"There are {MAX_CACHES:,} run caches; delete some first.")
        key = str(state.next_number("runCache", FIRST_ID))
        body: Body = {name: asked[name] for name in ("name", "description", "cacheBucketOwnerId") if name in asked}
        body |= {
            "id": key,
            "arn": service.arn("runCache", key),
            "status": "ACTIVE",
            "cacheBehavior": asked.get("cacheBehavior", DEFAULT_BEHAVIOUR),
            "cacheS3Uri": asked["cacheS3Location"].rstrip("/"),
            "creationTime": timestamp(),
            "tags": asked.get("tags", {}),
        }
        state.put("runCache", key, body)
        set_tags(state, body["arn"], body["tags"])
        return {name: body[name] for name in ("arn", "id", "status", "tags")}

    return once(service, "CreateRunCache", asked, make)


@operation("GetRunCache")
def get_run_cache(service: Service, asked: Params) -> Params:
    """Return one run cache."""
    with service.state.read() as state:
        return tagged(state, existing_cache(state, asked["id"]))


@operation("ListRunCaches")
def list_run_caches(service: Service, asked: Params) -> Params:
    """Return a page of run caches."""
    with service.state.read() as state:
        return items(state, asked, "runCache")


@operation("UpdateRunCache")
def update_run_cache(service: Service, asked: Params) -> Params:
    """Change a run cache's name, words and behaviour."""
    with service.state.write() as state:
        body = existing_cache(state, asked["id"])
        body |= {name: asked[name] for name in ("name", "description", "cacheBehavior") if name in asked}
        state.put("runCache", asked["id"], body)
    return {}


@operation("DeleteRunCache")
def delete_run_cache(service: Service, asked: Params) -> Params:
    """Forget a run cache with its results; what lies in S3 stays, and so do results that a run uses just now."""
    with service.state.write() as state:
        existing_cache(state, asked["id"])
        used = any(run.get("cacheId") == asked["id"] for status in BUSY for run in state.each("run", status=status))
        state.delete("runCache", asked["id"])
        drop_tags(state, service.arn("runCache", asked["id"]))
    if not used:
        drop_cache(service.folder / "engine", asked["id"])
    return {}


def _bucket_is_there(service: Service, bucket: str) -> bool:
    try:
        service.s3.head_bucket(Bucket=bucket)
    except Exception:  # whatever the client raises for a missing, forbidden or unreachable bucket
        return False
    return True

"""Read sets that nobody used for long are archived: their bytes stay, but cannot be read until they are activated.

AWS archives after thirty days. Here nothing is archived unless the data folder has a `storage.toml` that says when:

    [archive]
    after_seconds = 2592000
"""

from __future__ import annotations

import time
import tomllib
from contextlib import suppress

from labrelay.emulator.asking import found
from labrelay.emulator.objects import store_folder
from labrelay.emulator.operation import Failure, conflict
from labrelay.emulator.read_set_imports import read_set_event
from labrelay.emulator.service import Service, worker
from labrelay.emulator.state import Body
from labrelay.emulator.stored_files import remove_objects, tag_objects
from labrelay.emulator.tags import tags_of

KIND = "readSet"
LONGEST_WAIT = 60.0


def archive(service: Service, store: str, read_set: str) -> None:
    """Archive one read set now.

    Args:
        service: Whose.
        store, read_set: Their ids.

    Raises:
        Failure: It does not exist or is not ACTIVE.
    """
    with service.state.write() as state:
        body = found(state, KIND, read_set, store)
        if body["status"] != "ACTIVE":
            raise conflict(f"The read set {read_set} is {body['status']}; only an ACTIVE one can be archived.")
        body["status"] = "ARCHIVED"
        state.put(KIND, read_set, body, store)
    _hide(service, body)
    service.announce(*read_set_event(body))


@worker("archive")
def archive_unused(service: Service) -> float | None:
    """Archive what is due, and take away the objects of what a killed server had archived."""
    with service.state.read() as state:
        hidden = [body for body in state.each(KIND, None, "ARCHIVED") if body.get("_shown")]
    for body in hidden:
        _hide(service, body)
    seconds = archive_seconds(service)
    if seconds is None:
        return None
    with service.state.read() as state:
        active = list(state.each(KIND, None, "ACTIVE"))
    for body in active:
        # One that was deleted since is no reason to stop.
        with suppress(Failure, FileNotFoundError):
            if _idle_seconds(service, body) >= seconds:
                archive(service, body["sequenceStoreId"], body["id"])
    return min(LONGEST_WAIT, max(0.1, seconds / 2))


@worker("tag propagation")
def propagate_tags(service: Service) -> float | None:
    """Write the tags of the objects anew for stores whose propagated tags were changed."""
    with service.state.read() as state:
        stores = list(state.each("sequenceStore", "", "UPDATING"))
    for store in stores:
        with service.state.read() as state:
            read_sets = [(body, tags_of(state, body["arn"])) for body in state.each(KIND, store["id"], "ACTIVE")]
        for body, tags in read_sets:
            tag_objects(service, store, body, tags)
        with service.state.write() as state:
            now = found(state, "sequenceStore", store["id"])
            if now.get("propagatedSetLevelTags") == store.get("propagatedSetLevelTags"):
                state.put("sequenceStore", store["id"], {**now, "status": "ACTIVE"})
            else:
                service.wake()
    return None


def archive_seconds(service: Service) -> float | None:
    """Return after how many seconds without use a read set is archived, or None for never."""
    file = service.folder / "storage.toml"
    if not file.is_file():
        return None
    value = tomllib.loads(file.read_text(encoding="utf-8")).get("archive", {}).get("after_seconds")
    return None if value is None else float(value)


def _idle_seconds(service: Service, body: Body) -> float:
    folder = store_folder(service, body["sequenceStoreId"], KIND, body["id"])
    return time.time() - folder.stat().st_mtime


def _hide(service: Service, body: Body) -> None:
    remove_objects(service, body)
    with service.state.write() as state:
        now = state.get(KIND, body["id"], body["sequenceStoreId"])
        if now is not None and now["status"] == "ARCHIVED":
            state.put(KIND, body["id"], {**now, "_shown": False}, body["sequenceStoreId"])

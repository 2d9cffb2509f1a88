"""The common part of workflows and their versions: taking a definition, checking it in the background, showing it."""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any

from labrelay.emulator.buckets import make_bucket
from labrelay.emulator.definition_check import Checked, check_definition, status_message
from labrelay.emulator.objects import ObjectUnavailable, Reason, fetch, open_uri
from labrelay.emulator.operation import Failure, Params, conflict, invalid
from labrelay.emulator.service import Service, timestamp, worker
from labrelay.emulator.state import Body
from labrelay.model.errors import RefusedInput, StorageFailed
from labrelay.stores.durable import make_dirs, write_atomic, write_json_atomic
from labrelay.workflows.bundle import file_digest

log = logging.getLogger(__name__)

MAX_ZIP_BYTES = 4_400_000
MAX_URI_BYTES = 100_000_000
KINDS = ("workflow", "workflowVersion")
SOURCES = ("definitionZip", "definitionUri", "definitionRepository")
KEPT = ("description", "engine", "main", "parameterTemplate", "storageCapacity", "accelerators", "containerRegistryMap")
LISTED_DEFAULTS = {"type": "PRIVATE", "metadata": {}}
RETRY_SECONDS = 2.0


def definition_folder(service: Service, identity: str) -> Path:
    """Return where the definition of the workflow or version with this uuid lies: `definition.zip`, `files/` …"""
    return service.folder / "workflows" / identity


def new_definition(service: Service, asked: Params) -> Body:
    """Return the body of a new workflow or version in state CREATING; a zip that came along is written down.

    Raises:
        Failure: Not exactly one source of the definition, or one that is too big or cannot be reached from here.
    """
    given = [name for name in SOURCES if name in asked]
    if len(given) != 1:
        raise invalid(f"Give exactly one of {', '.join(SOURCES)}; {len(given)} were given.")
    if given == ["definitionRepository"]:
        raise invalid(
            "The emulator reaches no Git repositories; send the definition as definitionZip or definitionUri."
        )
    if len(asked.get("definitionZip", b"")) > MAX_ZIP_BYTES:
        raise Failure("ServiceQuotaExceededException", f"definitionZip holds more than {MAX_ZIP_BYTES:,} bytes.")
    if "definitionUri" in asked and not asked["definitionUri"].startswith("s3://"):
        raise invalid(f"definitionUri {asked['definitionUri']} is no s3:// URI of a zip.")
    identity = str(uuid.uuid4())
    if "definitionZip" in asked:
        folder = definition_folder(service, identity)
        make_dirs(folder)
        write_atomic(folder / "definition.zip", asked["definitionZip"])
    body = {name: asked[name] for name in KEPT if name in asked}
    if body.get("accelerators") is None:
        body.pop("accelerators", None)
    return {
        **body,
        **LISTED_DEFAULTS,
        "status": "CREATING",
        "uuid": identity,
        "storageType": asked.get("storageType", "STATIC"),
        "creationTime": timestamp(),
        "tags": asked.get("tags", {}),
        "_uri": asked.get("definitionUri"),
        "_readme": asked.get("readmeMarkdown"),
    }


@worker("definitions")
def check_new_definitions(service: Service) -> float | None:
    """Look at every definition that is CREATING and make it ACTIVE or FAILED."""
    with service.state.read() as state:
        waiting = [(kind, body) for kind in KINDS for body in state.each(kind, None, "CREATING")]
    again = None
    for kind, body in waiting:
        try:
            settled = _check(service, body)
        except StorageFailed:
            log.exception("the definition of %s waits", body["arn"])
            again = RETRY_SECONDS
            continue
        _settle(service, kind, body, settled)
    return again


def _check(service: Service, body: Body) -> Params:
    """Return the members that change when the definition has been looked at."""
    folder = definition_folder(service, body["uuid"])
    archive = folder / "definition.zip"
    try:
        if body["_uri"] is not None and not archive.exists():
            _download(service, body["_uri"], archive)
        checked = check_definition(archive, folder / "files", body.get("engine"), body.get("main"))
    except RefusedInput as refused:
        return _failed(status_message(refused))
    except ObjectUnavailable as unavailable:
        return _failed(str(unavailable))
    except Exception as error:  # a checker that breaks on a strange definition must not block those behind it
        log.exception("the definition of %s could not be checked", body["arn"])
        return _failed(f"The definition could not be checked: {type(error).__name__}.")
    write_json_atomic(folder / "schema.json", checked.schema)
    return _active(body, checked, file_digest(archive))


def _download(service: Service, uri: str, archive: Path) -> None:
    if open_uri(service, uri).size > MAX_URI_BYTES:
        raise ObjectUnavailable(Reason.INVALID, uri, f"The definition {uri} has more than {MAX_URI_BYTES:,} bytes.")
    fetch(service, uri, archive)


def _active(body: Body, checked: Checked, digest: str) -> Params:
    template = body.get("parameterTemplate") or checked.template
    return {
        "status": "ACTIVE",
        "engine": checked.engine,
        "main": checked.main,
        "digest": digest,
        "_workflow": checked.workflow,
        "_cpus": checked.cpus,
        **({"parameterTemplate": template} if template else {}),
    }


def _failed(message: str) -> Params:
    return {"status": "FAILED", "statusMessage": message}


def _settle(service: Service, kind: str, seen: Body, change: Params) -> None:
    key, parent = (seen["id"], "") if kind == "workflow" else (seen["versionName"], seen["workflowId"])
    with service.state.write() as state:
        body = state.get(kind, key, parent)
        # It may have been deleted, and even made anew, while it was looked at.
        if body is None or body["uuid"] != seen["uuid"]:
            return
        body.update(change)
        state.put(kind, key, body, parent)
    words = "creation success" if change["status"] == "ACTIVE" else "creation failure"
    announce_workflow(service, body, words)


def announce_workflow(service: Service, body: Body, words: str) -> None:
    """Tell what happened to a workflow or version; the guide names the four outcomes in words."""
    detail = {"omicsVersion": "1.0.0", "arn": body["arn"], "status": words}
    service.announce("Workflow Status Change", [body["arn"]], detail)


def shown(service: Service, body: Body, export: list[str], archive: Path | None = None) -> Params:
    """Return the answer of `Get…`, with the definition put where a client can fetch it, if that is asked for."""
    answer = dict(body)
    archive = archive or definition_folder(service, body["uuid"]) / "definition.zip"
    if "DEFINITION" in export and archive.exists():
        answer["definition"] = _published(service, f"{body['uuid']}/definition.zip", archive.read_bytes())
    readme = body.get("_readme")
    if "README" in export and readme:
        answer["readme"] = _published(service, f"{body['uuid']}/README.md", readme.encode())
    return answer


def _published(service: Service, key: str, content: bytes) -> str:
    bucket = f"omics-{service.account}-{service.region}-exports"
    make_bucket(service, bucket)
    service.s3.put_object(Bucket=bucket, Key=key, Body=content)
    return f"s3://{bucket}/{key}"


def change_definition(body: Body, asked: Params) -> Body:
    """Return the body with what `Update…` may change.

    Raises:
        Failure: The thing is not there to be changed yet.
    """
    if body["status"] not in ("ACTIVE", "INACTIVE"):
        raise conflict(f"{body['arn']} is {body['status']}; only an ACTIVE one can be changed.")
    names = ("name", "description", "storageType", "storageCapacity")
    changed = body | {name: asked[name] for name in names if name in asked}
    return changed | ({"_readme": asked["readmeMarkdown"]} if "readmeMarkdown" in asked else {})


def remove_definition(service: Service, identity: str) -> None:
    """Remove a definition's files; runs have taken copies of what they need."""
    shutil.rmtree(definition_folder(service, identity), ignore_errors=True)


def input_schema_of(service: Service, identity: str) -> dict[str, Any]:
    """Return the JSON Schema of the inputs of a checked WDL definition."""
    schema: dict[str, Any] = json.loads((definition_folder(service, identity) / "schema.json").read_bytes())
    return schema

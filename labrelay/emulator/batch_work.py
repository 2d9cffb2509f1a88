"""What is done for batches in the background: reading their settings, starting, cancelling and deleting their runs.

Each run is started with a token made of the batch and the setting, so that a server that was killed in the middle
starts none twice.
"""

from __future__ import annotations

import json
from typing import Any

from labrelay.emulator import shapes
from labrelay.emulator.batches import announce_batch
from labrelay.emulator.objects import ObjectUnavailable, open_uri
from labrelay.emulator.operation import Failure, Handler, Params, invalid, not_found
from labrelay.emulator.routing import operation_model
from labrelay.emulator.run_states import BUSY
from labrelay.emulator.runs import cancel_run, delete_run, start_run
from labrelay.emulator.service import Service, timestamp, worker
from labrelay.emulator.state import Body, Snapshot
from labrelay.model.canonical import digest

MAX_RUNS = 100_000
MAX_INLINE = 100
MAX_BYTES = 6_000_000_000
# What a run's own setting may say, over the batch's.
OVERRIDES = ("name", "outputUri", "priority")
NOT_FOR_RUNS = ("runTags", "outputBucketOwnerId", "parameters")


class BatchRefused(Exception):
    """A batch whose settings are not acceptable as a whole; the text is its `failureReason`."""


@worker("batches")
def work_on_batches(service: Service) -> float | None:
    """Carry every batch on as far as it goes now; it is woken whenever a run ends."""
    steps = {
        "CREATING": _accept,
        "PENDING": _validate,
        "SUBMITTING": _submit,
        "INPROGRESS": _end_when_done,
        "STOPPING": _cancel,
        "RUNS_DELETING": _delete,
    }
    for status, step in steps.items():
        with service.state.read() as state:
            batches = list(state.each("runBatch", status=status))
        for batch in batches:
            step(service, batch)
    return None


def _accept(service: Service, batch: Body) -> None:
    _move(service, batch, "PENDING")


def _validate(service: Service, batch: Body) -> None:
    try:
        settings = read_settings(service, batch["_settings"])
    except BatchRefused as refused:
        _move(service, batch, "FAILED", failureReason=str(refused), failedTime=timestamp())
        return
    with service.state.write() as state:
        for setting in settings:
            row = {"runSettingId": setting["runSettingId"], "_setting": setting}
            state.put("batchRun", setting["runSettingId"], row, batch["id"])
    _move(service, batch, "SUBMITTING", totalRuns=len(settings))


def read_settings(service: Service, given: Params) -> list[Params]:
    """Return the settings of a batch's runs.

    Args:
        service: Its S3.
        given: `inlineSettings`, or `s3UriSettings`, the URI of a JSON list of the same.

    Raises:
        BatchRefused: They are not there, no list of settings, too many, or their ids are not unique.
    """
    if "inlineSettings" in given:
        settings, most = given["inlineSettings"], MAX_INLINE
    else:
        settings, most = _from_s3(service, given["s3UriSettings"]), MAX_RUNS
    good = isinstance(settings, list) and all(
        isinstance(one, dict) and isinstance(one.get("runSettingId"), str) and one["runSettingId"] for one in settings
    )
    if not good or not settings:
        raise BatchRefused("Invalid JSON format in run configurations")
    if len(settings) > most:
        raise BatchRefused(f"Batch has {len(settings)} runs but {most} runs is the max.")
    unique = len({one["runSettingId"] for one in settings})
    if unique != len(settings):
        raise BatchRefused(f"Expected {len(settings)} unique runSettingIds but there were {unique}")
    return list(settings)


def _from_s3(service: Service, uri: str) -> Any:
    try:
        found = open_uri(service, uri)
        if found.size > MAX_BYTES:
            raise BatchRefused(f"The run configurations at {uri} have more than {MAX_BYTES:,} bytes.")
        return json.loads(b"".join(found.chunks()))
    except ObjectUnavailable as error:
        raise BatchRefused(str(error)) from error
    except (ValueError, RecursionError):
        raise BatchRefused("Invalid JSON format in run configurations") from None


def _submit(service: Service, batch: Body) -> None:
    with service.state.read() as state:
        rows = [row for row in state.each("batchRun", batch["id"]) if "submissionStatus" not in row]
    for row in rows:
        if not _still(service, batch, "SUBMITTING"):
            return
        asked = run_request(batch, row["_setting"])
        try:
            run = start_run(service, _checked(asked) | {"batchId": batch["id"]})
        except Failure as failure:
            told = {"submissionFailureReason": failure.code, "submissionFailureMessage": failure.message}
            _save(service, batch, row | {"submissionStatus": "FAILED"} | told)
        else:
            _save(service, batch, row | {"submissionStatus": "SUCCESS"} | _known(run))
    _move(service, batch, "INPROGRESS", submittedTime=timestamp())
    service.wake()


def run_request(batch: Body, setting: Params) -> Params:
    """Return the StartRun parameters of one setting: the batch's, its own over them, parameters and tags merged."""
    default = batch["defaultRunSetting"]
    asked = {name: value for name, value in default.items() if name not in NOT_FOR_RUNS}
    asked |= {name: setting[name] for name in OVERRIDES if name in setting}
    asked["parameters"] = {**(default.get("parameters") or {}), **(setting.get("parameters") or {})}
    asked["tags"] = {**default.get("runTags", {}), **setting.get("runTags", {})}
    asked["outputUri"] = asked.get("outputUri", "")
    return asked | {"requestId": _token(batch, setting["runSettingId"])}


def _token(batch: Body, setting: str) -> str:
    return digest([batch["uuid"], setting])


def _checked(asked: Params) -> Params:
    """Hold a request that came from a file, not over the wire, against the service model."""
    parsed, problems = shapes.read(operation_model("StartRun").input_shape, asked)
    if problems:
        raise invalid("; ".join(problems))
    return parsed


def _end_when_done(service: Service, batch: Body) -> None:
    if not _busy(service, batch):
        _move(service, batch, "PROCESSED", processedTime=timestamp())


def _cancel(service: Service, batch: Body) -> None:
    _for_each_run(service, batch, cancel_run, "CANCEL")
    if not _busy(service, batch):
        _move(service, batch, "CANCELLED", processedTime=timestamp())


def _delete(service: Service, batch: Body) -> None:
    _for_each_run(service, batch, delete_run, "DELETE")
    with service.state.read() as state:
        failed = any(row.get("submissionStatus") == "DELETE_FAILED" for row in state.each("batchRun", batch["id"]))
    _move(service, batch, "RUNS_DELETE_FAILED" if failed else "RUNS_DELETED")


def _for_each_run(service: Service, batch: Body, action: Handler, verb: str) -> None:
    """Cancel or delete each run of a batch that this was not tried on yet."""
    with service.state.read() as state:
        rows = [_with_run(state, batch, row) for row in state.each("batchRun", batch["id"])]
        runs = {row["runId"]: state.get("run", row["runId"]) for row in rows if "runId" in row}
    for row in rows:
        if "runId" not in row or row["submissionStatus"].startswith(verb):
            continue
        try:
            run = runs[row["runId"]]
            if run is None or run["uuid"] != row["runInternalUuid"]:
                raise not_found("run", row["runId"])
            action(service, {"id": row["runId"]})
            outcome = {"submissionStatus": f"{verb}_SUCCESS"}
        except Failure as failure:
            told = {"submissionFailureReason": failure.code, "submissionFailureMessage": failure.message}
            outcome = {"submissionStatus": f"{verb}_FAILED"} | told
        _save(service, batch, row | outcome)


def _with_run(state: Snapshot, batch: Body, row: Body) -> Body:
    """Return a row with its run, also when the server was killed between the start and the note of it."""
    answered = state.answered("StartRun", _token(batch, row["runSettingId"])) if "submissionStatus" not in row else None
    return row | {"submissionStatus": "SUCCESS"} | _known(answered[1]) if answered is not None else row


def _known(run: Params) -> Params:
    return {"runId": run["id"], "runInternalUuid": run["uuid"], "runArn": run["arn"]}


def _busy(service: Service, batch: Body) -> bool:
    with service.state.read() as state:
        return any(run.get("batchId") == batch["id"] for status in BUSY for run in state.each("run", status=status))


def _still(service: Service, batch: Body, status: str) -> bool:
    with service.state.read() as state:
        body = state.get("runBatch", batch["id"])
    return body is not None and body["status"] == status


def _save(service: Service, batch: Body, row: Body) -> None:
    with service.state.write() as state:
        state.put("batchRun", row["runSettingId"], row, batch["id"])


def _move(service: Service, batch: Body, status: str, **members: Any) -> None:
    """Give a batch its next state, unless somebody gave it another one meanwhile."""
    with service.state.write() as state:
        body = state.get("runBatch", batch["id"])
        if body is None or body["status"] != batch["status"]:
            return
        state.put("runBatch", batch["id"], body | {"status": status, **members})
    announce_batch(service, batch["id"])

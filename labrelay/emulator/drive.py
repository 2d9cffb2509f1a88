"""The life of one run from STARTING to its end, safe to be begun again at any point after a kill.

What has been decided is in the state before it is done: the attempt before it is submitted, the end before it is told.
The engine starts nothing for a token that it knows, staging and export do again only what is not there, so a driver
that takes up a run does the same as one that never stopped.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

from labrelay.emulator.cached_results import forget_results, shared_work
from labrelay.emulator.instances import whole_gib
from labrelay.emulator.outputs import Exporter
from labrelay.emulator.run_faults import EmulatorStops, RunCancelled, RunFault, workflow_failed
from labrelay.emulator.run_log import RunLog, disk_bytes
from labrelay.emulator.run_states import change_run
from labrelay.emulator.runs import run_folder
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.staging import Staged, Stager
from labrelay.emulator.state import Body
from labrelay.emulator.task_rows import TaskRows
from labrelay.emulator.verdict import failure_of
from labrelay.model.canonical import digest
from labrelay.model.errors import MissingTool
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus, RunRequest, WorkflowVersion
from labrelay.model.states import RunState
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.home import Attempt, EngineHome
from labrelay.workflows.nextflow.folders import PUBLISH_FOLDER

POLL_SECONDS = 0.1
MAX_ATTEMPTS = 3  # a run whose engine died is begun again, going on from the finished tasks
STOP_SECONDS = 30.0
LANGUAGES = {"WDL": "WDL", "WDL_LENIENT": "WDL", "NEXTFLOW": "NEXTFLOW"}  # by the engine that a client asks for


class Drive:
    """Drives one run to its end."""

    def __init__(self, service: Service, engine: LocalEngine, run: Body) -> None:
        self._service, self._engine, self._run = service, engine, run
        self._home = EngineHome((service.folder / "engine").resolve())
        self._tasks = TaskRows(service, run)
        self._log = RunLog(service, run, run_folder(service, run["uuid"]))
        self._exporter = Exporter(service, run["runOutputUri"], self._check)
        self._deadline = self._timeout()

    def go(self) -> None:
        """Do all that is left to do for the run.

        Raises:
            EmulatorStops: It is left as it is.
        """
        if "_end" not in self._run:
            try:
                self._execute()
                end: dict[str, Any] = {"status": "COMPLETED"}
            except RunCancelled:
                end = self._cancel()
            except RunFault as fault:
                if self._service.stopping.is_set():
                    # S3 may be gone already; the next start of the emulator goes on from here.
                    raise EmulatorStops from fault
                end = self._fail(fault)
            if not self._decide(end):
                self._decide(self._cancel())
        self._finish()

    def give_up(self) -> None:
        """End the run as HealthOmics ends one that it could not run for a reason of its own."""
        self._decide(
            self._fail(RunFault("SERVICE_ERROR", "An internal error stopped the run; see the emulator's log."))
        )
        self._finish()

    def _execute(self) -> None:
        """Run it to good end, its outputs exported; raise otherwise."""
        self._check()
        if self._language is None:
            name = self._run["_definition"]["engine"]
            why = f"The emulator runs WDL and Nextflow; it keeps {name} workflows, and does not run them."
            raise workflow_failed(self._log.engine_stream, why)
        self._change({"status": "RUNNING", "startTime": self._run.get("startTime") or timestamp()})
        self._log.say("RUN_STARTED", f"Run {self._run['id']} is RUNNING")
        faultpoint("emulator.run_started")
        status = self._submit_and_wait()
        while status.state is RunState.SYSTEM_ERROR and self._run["_attempt"] < MAX_ATTEMPTS and self._was_lost():
            self._change({"_attempt": self._run["_attempt"] + 1})
            status = self._submit_and_wait()
        ended = self._attempt().exit()
        # No output at all is a failure to the engine's other users, and none to HealthOmics.
        if status.state is not RunState.COMPLETE and (ended is None or ended.exit_code != 0):
            raise failure_of(self._attempt(), status, self._tasks, self._log)
        self._change({"_exporting": True})
        self._exporter.upload(self._attempt(), self._log.engine_text(self._attempt()))
        faultpoint("emulator.run_exported")
        self._log.say("OUTPUTS_EXPORTED", f"The outputs are at {self._run['runOutputUri']}")

    def _submit_and_wait(self) -> EngineStatus:
        """Hand the attempt to the engine unless it has it, and follow it to its end."""
        if "_attempt" not in self._run:
            self._change({"_attempt": 1})
        attempt = self._attempt()
        if not attempt.request_file.exists():
            self._submit(attempt)
            faultpoint("emulator.run_submitted")
        while True:
            status = self._engine.poll([attempt.token]).get(attempt.token)
            if status is None:
                self._submit(attempt)
                continue
            self._follow(attempt)
            if status.state.terminal:
                return status
            self._check()
            time.sleep(POLL_SECONDS)

    @property
    def _language(self) -> str | None:
        """The language of the run's definition, None of one that nothing here runs."""
        return LANGUAGES.get(self._run["_definition"]["engine"])

    def _submit(self, attempt: Attempt) -> None:
        try:
            self._engine.submit(self._request(attempt.token))
        except MissingTool as missing:
            raise workflow_failed(self._log.engine_stream, str(missing)) from missing

    def _stage(self) -> Staged:
        stager, parameters = Stager(self._service, self._check), self._run["parameters"]
        if self._language == "NEXTFLOW":
            return stager.stage_uris(parameters)
        schema = json.loads((run_folder(self._service, self._run["uuid"]) / "schema.json").read_bytes())
        return stager.stage(schema, self._run["_definition"]["_workflow"], parameters)

    def _request(self, token: str) -> RunRequest:
        folder, definition = run_folder(self._service, self._run["uuid"]), self._run["_definition"]
        staged = self._stage()
        digests = staged.resource_digests()
        earlier = self._run.get("resourceDigests")
        if earlier is not None and earlier != digests:
            changed = sorted(uri for uri in digests if earlier.get(uri) != digests[uri])
            raise RunFault("MODIFIED_INPUT_RESOURCE", f"Inputs were modified during the run: {', '.join(changed)}.")
        self._change({"resourceDigests": digests})
        return RunRequest(
            token=token,
            key=digest(token),
            run_id=f"run_{self._run['id']}",
            workflow=WorkflowVersion(
                name=definition["_workflow"],
                version="1",
                digest=definition["digest"],
                language=self._language or "",
                main=definition["main"],
            ),
            bundle=str((folder / "definition.zip").resolve()),
            inputs=staged.inputs,
            labels={"run": self._run["id"]},
            published=PUBLISH_FOLDER if self._language == "NEXTFLOW" else None,
        )

    def _attempt(self) -> Attempt:
        """Return the engine's files of the current attempt.

        What stands before the last `-` of a token names the work folder with the call cache, so runs with the same run
        cache and definition share it.
        """
        number, identity = self._run.get("_attempt", 1), self._run["uuid"]
        if "cacheId" in self._run:
            shared = shared_work(self._run["cacheId"], self._run["_definition"]["digest"])
            return self._home.attempt(f"{shared}-{identity.replace('-', '')}.{number}")
        return self._home.attempt(f"{identity}-{number}")

    def _was_lost(self) -> bool:
        """Tell whether the attempt ended without the engine's own word, because its runner or the machine died."""
        ended = self._attempt().exit()
        return ended is None or ended.exit_code is None or ended.exit_code > 128

    def _follow(self, attempt: Attempt) -> None:
        for row, report in self._tasks.update(self._engine.tasks(attempt.token)):
            self._log.task_ended(row, report, self._engine.said(attempt.token, report.name))
        self._log.follow(attempt)

    def _check(self) -> None:
        """Raise when the run was cancelled, is gone, or has taken too long."""
        with self._service.state.read() as state:
            body = state.get("run", self._run["id"])
        if body is None or body["uuid"] != self._run["uuid"] or body.get("_cancelled"):
            raise RunCancelled
        if self._service.stopping.is_set():
            raise EmulatorStops
        if self._deadline is not None and time.time() > self._deadline[0]:
            raise RunFault("RUN_TIMED_OUT", f"Run timeout after {self._deadline[1]} minutes.")

    def _timeout(self) -> tuple[float, int] | None:
        """Return when the run's group ends it, in seconds since 1970, and the minutes that it allows."""
        with self._service.state.read() as state:
            group = state.get("runGroup", self._run.get("runGroupId", ""))
        if group is None or "maxDuration" not in group:
            return None
        started = self._run.get("startTime") or timestamp()
        return datetime.fromisoformat(started).timestamp() + 60 * group["maxDuration"], group["maxDuration"]

    def _cancel(self) -> dict[str, Any]:
        self._stop_engine("CANCELLED")
        # Where objects of earlier runs are overwritten, what lies there may not be this run's.
        if "_exporting" in self._run and self._run.get("outputUriPrefixMode") != "NONE_WITH_OVERWRITE":
            self._exporter.remove(self._attempt())
        return {"status": "CANCELLED"}

    def _fail(self, fault: RunFault) -> dict[str, Any]:
        self._stop_engine("CANCELLED")
        return {"status": "FAILED", "failureReason": fault.reason, "statusMessage": fault.message}

    def _stop_engine(self, tasks: str) -> None:
        attempt = self._attempt()
        if attempt.request_file.exists():
            self._engine.cancel(attempt.token)
            until = time.monotonic() + STOP_SECONDS
            while attempt.exit() is None and time.monotonic() < until:
                self._engine.poll([attempt.token])
                time.sleep(POLL_SECONDS)
            self._follow(attempt)
        self._tasks.end(tasks)

    def _decide(self, end: dict[str, Any]) -> bool:
        """Write how the run ends; False when it was cancelled before that and so cannot end well."""

        def change(body: Body) -> dict[str, Any] | None:
            if body.get("_cancelled") and end["status"] != "CANCELLED":
                return None
            return {"status": "STOPPING", "_end": end}

        body = change_run(self._service, self._run["id"], self._run["uuid"], change)
        if body is None:
            self._run["_end"] = {"status": "CANCELLED"}
            return True
        self._run = body
        return "_end" in body

    def _finish(self) -> None:
        """Tell the end: logs, manifest, state; then remove what nobody needs any more."""
        faultpoint("emulator.run_decided")
        end, attempt = self._run["_end"], self._attempt()
        if end["status"] == "FAILED":
            self._exporter.upload_log(self._log.engine_text(attempt))
        now = timestamp()
        if self._run["storageType"] == "DYNAMIC":
            end = end | {"storageCapacity": max(1, whole_gib(disk_bytes(attempt.work)))}
        self._log.finish(self._run | end | {"stopTime": now}, self._tasks.rows, attempt)
        faultpoint("emulator.run_told")
        if "cacheId" in self._run:
            # Before the end, because the next run of the cache is let in by it.
            self._leave_cache(attempt, end["status"])
        self._change({**end, "stopTime": now})
        faultpoint("emulator.run_ended")
        if "cacheId" not in self._run:
            tokens = [f"{self._run['uuid']}-{number}" for number in range(1, self._run.get("_attempt", 0) + 1)]
            self._engine.forget(tokens)

    def _leave_cache(self, attempt: Attempt, status: str) -> None:
        if status == "COMPLETED" and self._run["cacheBehavior"] == "CACHE_ON_FAILURE":
            forget_results(attempt, datetime.fromisoformat(self._run["startTime"]).timestamp())
        self._engine.forget([attempt.token], work=False)

    def _change(self, members: dict[str, Any]) -> None:
        """Change members of the run, but never the state of one that is being stopped."""

        def change(body: Body) -> dict[str, Any]:
            held = body.get("_cancelled") and "_end" not in body
            return {key: value for key, value in members.items() if key != "status" or not held}

        body = change_run(self._service, self._run["id"], self._run["uuid"], change)
        if body is None:
            raise RunCancelled
        self._run = body

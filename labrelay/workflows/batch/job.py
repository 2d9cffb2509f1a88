"""The program of a job: `python -m labrelay.workflows.batch.job s3://…/order.json`, in the job's container.

It takes the order, brings bundle and inputs, runs the workflow by the same engine as on a laptop, and leaves in S3 what
came of it; the report is written last. It may be begun again at any point: on the file system that `LABRELAY_WORK`
names, tasks that were finished before the host was lost are not run again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from labrelay.model.canonical import canonical_json
from labrelay.model.errors import Conflict, LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus, RunReport, RunRequest
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws
from labrelay.stores.download import bucket_and_key, fetch, read_object
from labrelay.stores.s3 import S3ObjectStore
from labrelay.workflows.batch.job_definition import CPUS, MEMORY_GIB
from labrelay.workflows.batch.leaving import leave
from labrelay.workflows.batch.order import AGAIN, DONE, FAILED, ORDER_BYTES, Order, Progress
from labrelay.workflows.batch.order import order_key, owner_key, progress_key, report_key
from labrelay.workflows.batch.states import ENDED
from labrelay.workflows.batch.submission import owner_bytes, read_order, read_owner, read_tokens
from labrelay.workflows.bringing import Bringer
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.home import EngineHome
from labrelay.workflows.local.sandbox import Setting
from labrelay.workflows.opened import open_bundle

log = logging.getLogger("labrelay.job")
LOOK_SECONDS, TELL_SECONDS, STOP_SECONDS = 0.5, 10.0, 20.0
CODES = {RunState.COMPLETE: DONE, RunState.SYSTEM_ERROR: AGAIN}


class Stopped(Exception):
    """Batch wants the container to end; the order stays as it is, for another attempt of the job or for nobody."""


class Doing:
    """One order being done.

    Args:
        aws: The way to S3.
        work_uri: Where orders and reports lie.
        order: What to do.
        job_id, attempt: As Batch has them.
        root: The folder of this order's workflow run; it may outlive the container.
        engine: Runs the workflow inside the container.
    """

    def __init__(
        self, aws: Aws, work_uri: str, order: Order, job_id: str, attempt: int, root: Path, engine: LocalEngine
    ) -> None:
        self._aws, self._work_uri, self._order, self._job_id, self._attempt = aws, work_uri, order, job_id, attempt
        self._engine = engine
        self._store = S3ObjectStore(aws, *bucket_and_key(work_uri), name="batch")
        self._root, self._home = root, EngineHome(root)
        self.stop = threading.Event()
        self._told: tuple[Progress, float] = (Progress(), 0.0)

    def do(self) -> int:
        """Do the order, unless it is done or another job's; return the exit code.

        Raises:
            Stopped: Before it was done.
            LabrelayError: It could not be done, which a new attempt may.
        """
        token = self._order.request.token
        if not self._take():
            return DONE
        report = self._report()
        if report is None:
            report = self._run(token)
            self._store.put_bytes(report_key(token), canonical_json(report.model_dump(mode="json")).encode())
            faultpoint("batch_job.reported")
        log.info("the workflow run ended as %s%s", report.state, f": {report.failure}" if report.failure else "")
        if report.state is RunState.COMPLETE:
            # What a failed one has finished is of use to the next attempt; this is of use to nobody.
            shutil.rmtree(self._root, ignore_errors=True)
        return CODES.get(report.state, FAILED)

    def _take(self) -> bool:
        """Take the order for this job; False when another job has it."""
        key = owner_key(self._order.request.token)
        try:
            self._store.put_bytes(key, owner_bytes(self._job_id))
        except Conflict:
            owner = read_owner(self._aws, f"{self._work_uri}/{key}")
            if owner not in (None, self._job_id):
                log.info("the job %s does this order, so that this one does nothing", owner)
                return False
        return True

    def _report(self) -> RunReport | None:
        content = read_object(self._aws, f"{self._work_uri}/{report_key(self._order.request.token)}", ORDER_BYTES)
        return None if content is None else RunReport.model_validate_json(content)

    def _run(self, token: str) -> RunReport:
        inner = f"{token}.{self._attempt}"
        try:
            request, origins = self._brought()
            for left in self._home.queued({inner}):
                self._engine.cancel(left.token)  # of an attempt of this job whose host was lost
            self._engine.submit(request.model_copy(update={"token": inner}))
        except LabrelayError as error:
            if error.retryable:
                raise
            return RunReport(state=RunState.EXECUTOR_ERROR, engine="AWS Batch", failure=str(error))
        faultpoint("batch_job.submitted")
        status = self._follow(inner)
        log.info("the engine says %s; what it left goes to S3", status.state)
        where = f"jobs/{token}/{self._attempt}"
        return leave(self._store, where, self._engine.report(inner), origins, self._order.image)

    def _brought(self) -> tuple[RunRequest, dict[str, str]]:
        """Return the request with local files, and what these are called outside."""
        request, origins = self._order.request, dict[str, str]()
        bundle = self._root / f"{request.workflow.digest}.zip"
        fetch(self._aws, request.bundle, bundle)
        bringer = Bringer(self._aws, self._root / "inputs")
        inputs = bringer.bring(open_bundle(bundle).schema, request.inputs, origins)
        log.info("%d inputs are here", len(origins))
        return request.model_copy(update={"bundle": str(bundle), "inputs": inputs}), origins

    def _follow(self, token: str) -> EngineStatus:
        while True:
            status = self._engine.poll([token])[token]
            self._tell(status)
            if status.state.terminal:
                return status
            if self.stop.wait(LOOK_SECONDS):
                self._end(token)
                raise Stopped

    def _tell(self, status: EngineStatus) -> None:
        """Write how far it is when that has changed, every ten seconds at most."""
        progress, (before, at) = Progress(tasks_done=status.tasks_done, tasks_started=status.tasks_started), self._told
        if progress == before or (time.monotonic() - at < TELL_SECONDS and at):
            return
        log.info("%d of %d started tasks are done", progress.tasks_done, progress.tasks_started)
        bucket, key = bucket_and_key(f"{self._work_uri}/{progress_key(self._order.request.token)}")
        self._aws.client("s3").put_object(Bucket=bucket, Key=key, Body=progress.model_dump_json().encode())
        self._told = (progress, time.monotonic())

    def _end(self, token: str) -> None:
        self._engine.cancel(token)
        until = time.monotonic() + STOP_SECONDS
        while not self._engine.poll([token])[token].state.terminal and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        self._engine.stop()


def find_order(aws: Aws, uri: str, environment: Mapping[str, str]) -> tuple[str, Order | None]:
    """Return the work folder in S3 and the order of this job, or of this child of an array job.

    None when the order names another job: an array job is submitted whole, whoever else has taken some of its orders.
    """
    index = environment.get("AWS_BATCH_JOB_ARRAY_INDEX")
    if index is None:
        return uri.rpartition("/jobs/")[0], read_order(aws, uri)
    base, _, file = uri.rpartition("/arrays/")
    order = read_order(aws, f"{base}/{order_key(read_tokens(aws, uri)[int(index)])}")
    mine = order.job == file.removesuffix(".json") and order.index == int(index)
    return base, order if mine else None


def engine_for(root: Path, environment: Mapping[str, str]) -> LocalEngine:
    """Return the engine of a container, which shares out what the job has of its machine."""
    setting, cpus, memory = (environment.get(name, "") for name in ("LABRELAY_SANDBOX", CPUS, MEMORY_GIB))
    return LocalEngine(
        root,
        concurrency=1,
        # The container holds the tasks; a sandbox inside of it needs rights that containers seldom have.
        sandbox=setting if setting in get_args(Setting) else "host",  # type: ignore[arg-type]
        idle_seconds=1.0,
        cpus=int(cpus) if cpus else None,
        memory_gib=float(memory) if memory else None,
    )


def carry_out(uri: str, environment: Mapping[str, str]) -> int:
    """Do what an order says; return the exit code of the job."""
    aws = Aws()
    work_uri, order = find_order(aws, uri, environment)
    if order is None:
        log.info("this order is another job's, so that this one does nothing")
        return DONE
    log.info("%s of %s, image %s", order.request.run_id, order.request.workflow.name, order.image)
    base = Path(environment.get("LABRELAY_WORK") or tempfile.mkdtemp(prefix="labrelay-work-"))
    root = base / order.request.key[:40]
    doing = Doing(
        aws,
        work_uri,
        order,
        environment.get("AWS_BATCH_JOB_ID", ""),
        int(environment.get("AWS_BATCH_JOB_ATTEMPT", "1")),
        root,
        engine_for(root, environment),
    )
    signal.signal(signal.SIGTERM, lambda *_: doing.stop.set())
    return doing.do()


def main(arguments: list[str]) -> int:
    """Do the order that the only argument names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        return carry_out(arguments[0], os.environ)
    except Stopped:
        log.warning("the container was told to end")
        return ENDED
    except (LabrelayError, json.JSONDecodeError, ValueError, OSError) as error:
        log.error("%s", error)
        return AGAIN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

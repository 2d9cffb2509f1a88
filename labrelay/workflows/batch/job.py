"""The program of a job: `python -m labrelay.workflows.batch.job s3://…/order.json`, in the job's container.

It takes the order, brings bundle and inputs, runs the workflow by the same engine as on a laptop, and leaves in S3 what
came of it; the report is written last. It may be begun again at any point: on the file system that `LABRELAY_WORK`
names, tasks that were finished before the host was lost are not run again.
"""

from __future__ import annotations

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

from labrelay.model.canonical import digest
from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus, RunReport, RunRequest
from labrelay.model.states import RunState
from labrelay.stores.aws import Aws
from labrelay.stores.download import fetch
from labrelay.stores.durable import make_dirs, write_atomic
from labrelay.workflows.batch.job_definition import CPUS, IMAGE, MEMORY_GIB
from labrelay.workflows.batch.leaving import leave
from labrelay.workflows.batch.order import AGAIN, DONE, FAILED, Order, Progress
from labrelay.workflows.batch.orders import Orders, split_uri
from labrelay.workflows.batch.states import ENDED
from labrelay.workflows.bringing import Bringer
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.opened import open_bundle

log = logging.getLogger("labrelay.job")
LOOK_SECONDS, TELL_SECONDS, STOP_SECONDS = 0.5, 10.0, 20.0
CODES = {RunState.COMPLETE: DONE, RunState.SYSTEM_ERROR: AGAIN}
END_FILE = "ended"


class Stopped(Exception):
    """Batch wants the container to end; the order stays as it is, for another attempt of the job or for nobody."""


class Doing:
    """One order being done.

    Args:
        aws: The way to S3.
        orders: The work folder in S3.
        order: What to do.
        job_id, attempt: As Batch has them.
        root: The folder of this order's workflow run; it may outlive the container, and have other jobs in it.
        environment: Of the container: its image, and what it has of its machine.
    """

    def __init__(
        self,
        aws: Aws,
        orders: Orders,
        order: Order,
        job_id: str,
        attempt: int,
        root: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._aws, self._orders, self._order, self._job_id, self._attempt = aws, orders, order, job_id, attempt
        self._root, self._image = root, environment.get(IMAGE, "unknown")
        self._home = home_in(root, job_id)
        self._engine = engine_for(self._home, environment)
        self._following, self._stop = False, threading.Event()
        self._told: tuple[Progress, float] = (Progress(), 0.0)

    def do(self) -> int:
        """Do the order, unless it is done or another job's; return the exit code.

        Raises:
            Stopped: Before it was done.
            LabrelayError: It could not be done, which a new attempt may.
        """
        token = self._order.token
        owner = self._orders.own(token, self._job_id)
        if owner != self._job_id:
            log.info("%s does this order, so that this job does nothing", owner)
            return DONE
        report = self._orders.report(token)
        if report is None:
            report = self._run(token)
            self._orders.write_report(token, report)
            faultpoint("batch_job.reported")
        log.info("the workflow run ended as %s%s", report.state, f": {report.failure}" if report.failure else "")
        self._tidy(report.state is RunState.COMPLETE)
        return CODES.get(report.state, FAILED)

    def stop(self, *_signal: object) -> None:
        """End in good time: the engine is asked to stop; where it does not run, nothing is left half-done."""
        if not self._following:
            os._exit(ENDED)
        self._stop.set()

    def _run(self, token: str) -> RunReport:
        inner = f"{token}.{self._attempt}"
        try:
            request, origins = self._brought()
            self._engine.submit(request.model_copy(update={"token": inner}))
        except LabrelayError as error:
            if error.retryable:
                raise
            return RunReport(state=RunState.EXECUTOR_ERROR, engine="AWS Batch", failure=str(error))
        faultpoint("batch_job.submitted")
        status = self._follow(inner)
        log.info("the engine says %s; what it left goes to S3", status.state)
        where = f"jobs/{token}/{self._attempt}"
        return leave(self._orders.store, where, self._engine.report(inner), origins, self._image)

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
        self._following = True
        while True:
            status = self._engine.poll([token])[token]
            if status.state.terminal:
                self._following = False
                return status
            self._tell(status)
            if self._stop.wait(LOOK_SECONDS):
                self._end(token)
                raise Stopped

    def _tell(self, status: EngineStatus) -> None:
        """Write how far it is when that has changed, every ten seconds at most; a failure harms nobody."""
        progress, (before, at) = Progress(tasks_done=status.tasks_done, tasks_started=status.tasks_started), self._told
        if progress == before or (time.monotonic() - at < TELL_SECONDS and at):
            return
        log.info("%d of %d started tasks are done", progress.tasks_done, progress.tasks_started)
        self._told = (progress, time.monotonic())
        try:
            self._orders.write_progress(self._order.token, progress)
        except LabrelayError as error:
            log.warning("how far it is cannot be told: %s", error)

    def _end(self, token: str) -> None:
        self._engine.cancel(token)
        until = time.monotonic() + STOP_SECONDS
        while not self._engine.poll([token])[token].state.terminal and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        self._engine.stop()

    def _tidy(self, complete: bool) -> None:
        """Remove the run's folder when it is of use to nobody: it is done, and no other job of it is there."""
        write_atomic(self._home / END_FILE, b"")
        others = [home for home in self._home.parent.iterdir() if not (home / END_FILE).exists()]
        if complete and not others:
            shutil.rmtree(self._root, ignore_errors=True)


def home_in(root: Path, job_id: str) -> Path:
    """Return the engine's home of one job in the folder of a run; the work folder is shared with the run's other jobs.

    A job that was given up for lost may still be there: its runner is never to take up what the next one has queued.
    """
    home = root / "jobs" / job_id.replace(":", ".")
    make_dirs(home)
    make_dirs(root / "work")
    link = home / "work"
    if not link.is_symlink():
        link.symlink_to(root / "work", target_is_directory=True)
    return home


def engine_for(home: Path, environment: Mapping[str, str]) -> LocalEngine:
    """Return the engine of a container, which shares out what the job has of its machine."""
    cpus, memory = (environment.get(name, "") for name in (CPUS, MEMORY_GIB))
    return LocalEngine(
        home,
        concurrency=1,
        # The container holds the tasks; a sandbox inside of it needs rights that containers seldom have.
        sandbox="host",
        idle_seconds=1.0,
        cpus=int(cpus) if cpus else None,
        memory_gib=float(memory) if memory else None,
    )


def find_order(aws: Aws, uri: str, environment: Mapping[str, str]) -> tuple[Orders, Order | None]:
    """Return the work folder in S3 and the order of this job, or of this child of an array job.

    None when the order names another job: an array job is submitted whole, whoever else has taken some of its orders.

    Raises:
        LabrelayError: There is no such order, or it cannot be read.
    """
    base, rest = split_uri(uri)
    orders, index = Orders(aws, base), environment.get("AWS_BATCH_JOB_ARRAY_INDEX")
    job = rest.removesuffix(".json")
    token = rest.partition("/")[0] if index is None else orders.tokens(job)[int(index)]
    order = orders.read(token)
    mine = order is not None and (index is None or (order.job == job and order.index == int(index)))
    return orders, order if mine else None


def carry_out(uri: str, environment: Mapping[str, str]) -> int:
    """Do what an order says; return the exit code of the job."""
    aws = Aws()
    orders, order = find_order(aws, uri, environment)
    if order is None:
        log.info("there is no order for this job, or it is another job's, so that this one does nothing")
        return DONE
    log.info("%s of %s", order.request.run_id, order.request.workflow.name)
    base = Path(environment.get("LABRELAY_WORK") or tempfile.mkdtemp(prefix="labrelay-work-"))
    doing = Doing(
        aws,
        orders,
        order,
        environment.get("AWS_BATCH_JOB_ID", "job"),
        int(environment.get("AWS_BATCH_JOB_ATTEMPT", "1")),
        base / digest([orders.work_uri])[:8] / order.request.key[:40],
        environment,
    )
    signal.signal(signal.SIGTERM, doing.stop)
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
    except LabrelayError as error:
        log.error("%s", error)
    except Exception:
        # Whatever it is, it says nothing of the workflow.
        log.exception("the job could not be carried out")
    return AGAIN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""An attempt is started: its folders, its command with what holds it, its environment, its attendant."""

from __future__ import annotations

import subprocess

from labrelay.emulator.batch.attempts import Attempt, Spec
from labrelay.emulator.batch.containment import CannotStart, cannot, contained, pulled
from labrelay.emulator.batch.naming import JOB, parent_of
from labrelay.emulator.batch.settling import stream_name
from labrelay.emulator.logs import BATCH_GROUP, stream_file
from labrelay.emulator.run_settings import RunSettings
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body

MOST_OVERRIDDEN = 8192  # characters that ECS takes of what a job changes of its definition


def start(service: Service, settings: RunSettings, job: Body, attempt: Attempt) -> subprocess.Popen[bytes]:
    """Start the attempt of a STARTING job.

    Raises:
        CannotStart: Its container cannot be started; the text says why.
    """
    try:
        return _start(service, settings, job, attempt)
    except OSError as error:
        raise cannot(str(error)) from error


def _start(service: Service, settings: RunSettings, job: Body, attempt: Attempt) -> subprocess.Popen[bytes]:
    container, data = job["container"], service.folder.absolute()
    if job["_override_length"] > MOST_OVERRIDDEN:
        raise CannotStart(f"Container Overrides length must be at most {MOST_OVERRIDDEN}")
    pulled(container["image"], settings)
    attempt.prepare()
    variables = environment_of(service, job)
    command, environment, in_sandbox = contained(container["command"], container, attempt, data, settings, variables)
    spec = Spec(
        command=command,
        environment=environment,
        folder=str(attempt.work),
        log=str(stream_file(service, BATCH_GROUP, stream_name(job)).absolute()),
        timeout=job.get("timeout", {}).get("attemptDurationSeconds"),
        grace=settings.batch.grace_seconds,
        contained=in_sandbox,
    )
    return attempt.start(spec)


# On EC2 Batch does not tell a job its region, so that one which needs it has to say it in its definition.
UNSET = ("AWS_REGION", "AWS_DEFAULT_REGION")


def environment_of(service: Service, job: Body) -> dict[str, str]:
    """Return a job's variables: what stands for its role, its own, and those that Batch sets."""
    given = {pair["name"]: pair["value"] for pair in job["container"]["environment"]}
    batch = {
        "AWS_BATCH_JOB_ID": job["jobId"],
        "AWS_BATCH_JOB_ATTEMPT": str(len(job["attempts"]) + 1),
        "AWS_BATCH_JQ_NAME": job["jobQueue"].rpartition("/")[2],
        "AWS_BATCH_CE_NAME": job["_attempt"]["environment"].rpartition("/")[2],
    }
    if parent_of(job["jobId"]):
        with service.state.read() as state:
            parent = state.get(JOB, parent_of(job["jobId"])) or {}
        batch["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job["arrayProperties"]["index"])
        batch["AWS_BATCH_JOB_ARRAY_SIZE"] = str(parent["arrayProperties"]["size"])
    role = {name: value for name, value in service.environment.items() if name not in UNSET}
    return role | given | batch

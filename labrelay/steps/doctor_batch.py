"""What a home uses of AWS Batch, looked at: is each queue there, does it take jobs, and is the rest set."""

from __future__ import annotations

from collections.abc import Iterator

from labrelay.model.errors import EngineFailed
from labrelay.model.names import printable
from labrelay.steps.adapters import NEEDED, PAGES
from labrelay.steps.doctor import Finding, Health
from labrelay.steps.settings import FILE, Settings
from labrelay.stores.aws import Aws, aws_errors

WHAT = "batch"


def examine_batch(settings: Settings, aws: Aws) -> Iterator[Finding]:
    """Yield what is found of Batch; a home that names nothing of it uses none. Cost: one call.

    Raises:
        LabrelayError: Batch could not be asked.
    """
    unset = [name for name in NEEDED[WHAT] if getattr(settings, name) is None]
    if settings.batch_queue is None and len(unset) > 1:
        yield _finding(Health.NOTE, "not set up: runs go to the profile's engine", f"{PAGES[WHAT]} says how")
        return
    if unset:
        yield _finding(Health.BROKEN, f"{', '.join(unset)} is not set", f"write it into {FILE}: {PAGES[WHAT]}")
    named = (settings.batch_queue, settings.batch_queue_high, settings.batch_queue_low)
    queues = list(dict.fromkeys(queue for queue in named if queue is not None))
    if not queues:
        return
    with aws_errors(f"look at the job queues {', '.join(queues)}", EngineFailed):
        told = aws.client("batch").describe_job_queues(jobQueues=queues)["jobQueues"]
    found = {name: queue for queue in told for name in (queue["jobQueueName"], queue["jobQueueArn"])}
    for queue in queues:
        if queue not in found:
            yield _finding(
                Health.BROKEN, f"there is no job queue {queue}", "check its name, the region and the account"
            )
        elif (found[queue]["state"], found[queue]["status"]) != ("ENABLED", "VALID"):
            said = f"the job queue {queue} takes no jobs: it is {found[queue]['state']} and {found[queue]['status']}"
            yield _finding(Health.BROKEN, said, "enable it, and the compute environments that it names")
        else:
            yield _finding(Health.OK, f"the job queue {queue} takes jobs", None)
    if settings.batch_file_system is None:
        said = "no file system: a job whose host is lost begins anew instead of going on from its finished tasks"
        yield _finding(Health.NOTE, said, f"set batch_file_system: {PAGES[WHAT]}")


def _finding(health: Health, said: str, fix: str | None) -> Finding:
    return Finding(what=WHAT, health=health, text=printable(said, 600), fix=fix)

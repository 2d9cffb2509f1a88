"""What runs leave in CloudWatch Logs: the last lines of a stream, and a run's manifest."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from labrelay.model.errors import NotFound
from labrelay.stores.aws import Aws, translate

log = logging.getLogger(__name__)
GROUP = "/aws/omics/WorkflowLog"
STREAM_ARN = re.compile(r"arn:[^:]+:logs:[^:]*:\d*:log-group:([^:]+):log-stream:(.+)\Z")
MAX_PAGES = 1_000


def stream_of(location: str) -> tuple[str, str]:
    """Return (group, stream) of a stream's ARN or plain name."""
    found = STREAM_ARN.match(location)
    return (found[1], found[2]) if found else (GROUP, location)


def last_lines(aws: Aws, location: str | None, count: int = 20) -> tuple[str, ...]:
    """Return the last lines of a log stream; nothing when there is no such stream, or nobody lets us read it.

    Args:
        aws: Where.
        location: The stream's ARN or name.
        count: How many events at most.
    """
    if not location:
        return ()
    group, stream = stream_of(location)
    asked = {"logGroupName": group, "logStreamName": stream, "limit": count, "startFromHead": False}
    try:
        events = aws.client("logs").get_log_events(**asked)["events"]
    except (ClientError, BotoCoreError) as error:
        # A log explains a failure; that it cannot be read must not hide the failure. A run that never began has none.
        told = translate(error, f"read the log {stream}")
        log.log(logging.INFO if isinstance(told, NotFound) else logging.WARNING, "no log %s: %s", stream, told)
        return ()
    return tuple(line for event in events for line in str(event.get("message", "")).splitlines())


def manifest(aws: Aws, run_id: str, uuid: str) -> list[dict[str, Any]]:
    """Return a run's manifest, the run's entry first and then one a task; empty when there is none (yet).

    Cost: one call a megabyte.
    """
    try:
        return list(_objects(aws, f"manifest/run/{run_id}/{uuid}"))
    except (ClientError, BotoCoreError) as error:
        log.info("the run %s has no manifest to read: %s", run_id, translate(error, "read the manifest"))
        return []


def _objects(aws: Aws, stream: str) -> Iterator[dict[str, Any]]:
    client = aws.client("logs")
    more: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        page = client.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **more)
        for event in page["events"]:
            try:
                value = json.loads(event.get("message", ""))
            except (ValueError, RecursionError):
                continue  # one entry that cannot be read says nothing of the others
            if isinstance(value, dict):
                yield value
        # The end of a stream is told by the same token twice, not by an empty page.
        token = page.get("nextForwardToken")
        if token is None or token == more.get("nextToken"):
            return
        more = {"nextToken": token}

"""Last words in CloudWatch Logs, for the sentence that tells why something failed."""

from __future__ import annotations

import logging

from botocore.exceptions import BotoCoreError, ClientError

from labrelay.model.errors import NotFound
from labrelay.stores.aws import Aws, translate

log = logging.getLogger(__name__)


def last_lines(aws: Aws, group: str, stream: str, count: int = 20) -> tuple[str, ...]:
    """Return the last lines of a log stream; nothing when there is no such stream, or nobody lets us read it.

    Args:
        aws: Where.
        group, stream: Of CloudWatch Logs.
        count: How many events at most.
    """
    asked = {"logGroupName": group, "logStreamName": stream, "limit": count, "startFromHead": False}
    try:
        events = aws.client("logs").get_log_events(**asked)["events"]
    except (ClientError, BotoCoreError) as error:
        # A log explains a failure; that it cannot be read must not hide the failure. What never began has none.
        told = translate(error, f"read the log {stream}")
        log.log(logging.INFO if isinstance(told, NotFound) else logging.WARNING, "no log %s: %s", stream, told)
        return ()
    return tuple(line for event in events for line in str(event.get("message", "")).splitlines())

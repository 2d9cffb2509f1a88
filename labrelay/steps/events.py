"""Events from AWS: what the queue holds is committed to the inbox, then one collect settles what they tell of.

EventBridge delivers at least once, in any order, or not at all. Nothing is believed that the state's own order does not
allow (`model/states.py`), a second delivery of one event is one inbox row, and the sweep finds what no event told.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labrelay.model.errors import RefusedInput, UsageError
from labrelay.model.faults import faultpoint
from labrelay.records import inbox, runs
from labrelay.records.inbox import InboxMessage
from labrelay.steps.cloud import aws_of
from labrelay.steps.collect import Collected, collect
from labrelay.steps.home import Home
from labrelay.stores.aws import aws_errors
from labrelay.workflows.batch import events as of_batch
from labrelay.workflows.eventbridge import EVENT_ID, RunEvent, open_envelope
from labrelay.workflows.healthomics import events as of_healthomics

log = logging.getLogger(__name__)
SOURCE = of_healthomics.SOURCE  # what cannot be told where it is from counts as from there
SOURCES = {of_healthomics.SOURCE: of_healthomics.KIND, of_batch.SOURCE: of_batch.KIND}
BATCH = 10  # messages of one SQS call


@dataclass
class Drained:
    """What a drain did: messages taken now, of these new ones, and those that were no event of ours."""

    received: int = 0
    new: int = 0
    applied: int = 0
    refused: int = 0
    collected: Collected | None = None


def drain(home: Home, queue: Any = None, settled: bool = True) -> Drained:
    """Take all messages of the home's queue, apply them and record what has ended.

    A message is deleted from the queue after its inbox row is durable. Doing it twice, or being killed at any point,
    ends in the same records. Cost: two calls and one transaction per ten messages, one collect for all.

    Args:
        home: Where; its settings name the queue.
        queue: An SQS client, if not the one of the settings.
        settled: Whether to collect in the end; who does so anyhow says no.

    Raises:
        UsageError: The settings name no queue.
    """
    url = home.settings.event_queue_url
    if url is None:
        raise UsageError("no queue is set: make one as docs/aws.md says and set event_queue_url in labrelay.toml")
    client = queue or aws_of(home.settings).client("sqs")
    done = Drained()
    while received := _receive(client, url):
        messages = [_message(raw) for raw in received]
        with home.records.write() as session:
            done.new += inbox.take(session, messages)
        faultpoint("events.taken")
        with aws_errors("delete messages that were taken"):
            handles = [{"Id": str(i), "ReceiptHandle": raw["ReceiptHandle"]} for i, raw in enumerate(received)]
            client.delete_message_batch(QueueUrl=url, Entries=handles)
        done.received += len(received)
    if apply(home, done) and settled:
        done.collected = collect(home)
    return done


def _receive(client: Any, url: str) -> list[dict[str, Any]]:
    with aws_errors("take messages from the event queue"):
        answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=0)
    return list(answer.get("Messages", []))


def _message(raw: dict[str, Any]) -> InboxMessage:
    """Return the inbox message of a queue message; EventBridge's own id tells two deliveries of one event apart."""
    try:
        payload = json.loads(raw["Body"])
    except (ValueError, RecursionError):
        payload = None
    # What cannot be EventBridge's id may not be text that a database takes, either.
    if not isinstance(payload, dict) or not EVENT_ID.match(str(payload.get("id"))):
        return InboxMessage(source=SOURCE, message_id=f"sqs:{raw['MessageId']}", payload={"body": raw["Body"][:4096]})
    source = payload.get("source")
    told = source if isinstance(source, str) and source in SOURCES else SOURCE
    return InboxMessage(source=told, message_id=str(payload["id"]), payload=payload)


def apply(home: Home, done: Drained) -> bool:
    """Work off the inbox; return whether an attempt of ours was told of."""
    touched = False
    while True:
        with home.records.read() as session:
            waiting = inbox.waiting(session)
        if not waiting:
            return touched
        events, refused = _parsed(waiting)
        with home.records.write() as session:
            known = runs.tokens_of(session, [event.external_id for _number, event in events if event.external_id])
            touched = touched or any(event.external_id is None for _number, event in events)
            for _number, event in events:
                if (token := known.get(event.external_id or "")) is not None:
                    touched = True  # also where the event cannot tell enough, and the engine has to be asked
                    done.applied += event.status is not None and runs.apply_event(session, token, event.status)
            inbox.finish(session, [number for number, _event in events])
            for number, reason in refused:
                inbox.finish(session, [number], error=reason)
        done.refused += len(refused)
        faultpoint("events.applied")


def _event(body: str) -> RunEvent | None:
    envelope = open_envelope(body, SOURCES)
    if envelope is None:
        return None
    return of_batch.job_event(envelope) if envelope.source == of_batch.SOURCE else of_healthomics.run_event(envelope)


def _parsed(
    waiting: Sequence[tuple[int, InboxMessage]],
) -> tuple[list[tuple[int, RunEvent]], list[tuple[int, str]]]:
    events, refused = [], []
    for number, message in waiting:
        try:
            event = _event(json.dumps(message.payload))
        except RefusedInput as error:
            refused.append((number, str(error)))
            continue
        except Exception as error:
            # It comes from outside: what nobody has thought of stops this message, and never the ones behind it.
            log.exception("the message %s cannot be understood", number)
            refused.append((number, f"it cannot be understood: {error!r}"))
            continue
        if event is None:  # of something else than a run: the sweep and the import step ask for themselves
            refused.append((number, "not the status of a run"))
        else:
            events.append((number, event))
    return events, refused

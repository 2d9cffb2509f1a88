"""Step 11, deliver: the outbox tells the notebook and people; at least once, in order per entity, never twice seen."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from labrelay.model.errors import LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.records import notify, outbox
from labrelay.records.delivery import Troubles, Undeliverable
from labrelay.records.outbox import Message
from labrelay.steps.catalogue import CHANNEL as CATALOGUE
from labrelay.steps.catalogue import to_catalogue
from labrelay.steps.eln import bring_up_to_date
from labrelay.steps.home import Home
from labrelay.steps.notices import ways_of
from labrelay.steps.run_telling import TO_FILE, TO_HTTP, to_file, to_http
from labrelay.steps.trail import keep_anchored

_log = logging.getLogger(__name__)


@dataclass
class Delivered:
    """What a delivery did: messages confirmed, put back for later, and given up."""

    confirmed: int = 0
    waiting: int = 0
    dead: int = 0


def deliver(home: Home) -> Delivered:
    """Deliver all due messages. Cost: one outside call a message, none with a transaction open.

    A channel that fails puts its message back with a growing pause and does not hold up the others; one whose other
    side takes nothing just now is left alone for the rest of this delivery.
    """
    outcome, left_alone = Delivered(), set[str]()
    troubles: defaultdict[str, Troubles] = defaultdict(Troubles)
    while claimed := outbox.claim(home.records, without=left_alone):
        for message in claimed:
            # Those before it may have been slow: the whole batch would outlive its lease, and be told twice.
            if message.channel in left_alone or not outbox.prolong(home.records, message):
                continue
            confirmed, error = _deliver(home, message)
            outcome.confirmed += confirmed
            if troubles[message.channel].end_it(error):
                left_alone.add(message.channel)
                outbox.put_off(home.records, message, down=isinstance(error, Undeliverable) and error.down)
    with home.records.read() as session:
        counts = outbox.waiting(session)
    outcome.waiting, outcome.dead = counts.get("pending", 0) + counts.get("sending", 0), counts.get("dead", 0)
    if (problem := keep_anchored(home)) is not None:
        _log.warning("%s", problem)  # the sweep says it to people
    return outcome


def _deliver(home: Home, message: Message) -> tuple[int, Exception | None]:
    """Deliver one message and settle it; return how many messages that has told, and what went wrong."""
    with home.records.read() as session:
        newest = outbox.newest(session)
    try:
        covered = CHANNELS[message.channel](home, message)
    except (LabrelayError, KeyError) as error:
        retry = isinstance(error, LabrelayError) and error.retryable
        after = error.retry_after if isinstance(error, Undeliverable) else 0.0
        patient = message.channel in PATIENT
        outbox.fail(home.records, message, str(error), retry=retry, after=after, patient=patient)
        return 0, error
    except Exception as error:
        # A bug met in one message must not keep the others from being told, nor be met again at every turn.
        _log.exception("the message %s of %s could not be told", message.id, message.channel)
        reason = f"an unexpected error stopped it ({type(error).__name__}): see the log"
        outbox.fail(home.records, message, reason, retry=True)
        return 0, error
    faultpoint("deliver.told")
    outbox.confirm(home.records, message)
    # what was told just now covers the messages that waited behind it
    return 1 + (outbox.confirm_older(home.records, message, newest) if covered else 0), None


def _to_eln(home: Home, message: Message) -> bool:
    """Bring an experiment's pages and its notebook entry to what the records say; what was posted is only a sign."""
    bring_up_to_date(home, message.entity_id, {message.kind})
    return True


def _to_people(home: Home, message: Message) -> bool:
    notify.send(message, ways_of(home.settings))
    return False


PATIENT = frozenset({"eln", CATALOGUE, TO_HTTP})  # what is down for days is told afterwards all the same
# A channel tells one message; True says that with it all that waited for this entity was told.
CHANNELS: dict[str, Callable[[Home, Message], bool]] = {
    "eln": _to_eln,
    "notify-mail": _to_people,
    "notify-webhook": _to_people,
    CATALOGUE: to_catalogue,
    TO_FILE: to_file,
    TO_HTTP: to_http,
}

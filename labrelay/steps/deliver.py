"""Step 11, deliver: the outbox tells the notebook and people; at least once, in order per entity, never twice seen."""

from __future__ import annotations

from dataclasses import dataclass

from labrelay.records import outbox
from labrelay.steps.home import Home


@dataclass
class Delivered:
    """What a delivery did: messages confirmed, put back for later, and given up."""

    confirmed: int = 0
    waiting: int = 0
    dead: int = 0


def deliver(home: Home) -> Delivered:
    """Deliver all due messages. Cost: one outside call a message, none with a transaction open."""
    outcome = Delivered()
    while claimed := outbox.claim(home.records):
        for message in claimed:
            outbox.confirm(home.records, message)
            outcome.confirmed += 1
    with home.records.read() as session:
        counts = outbox.waiting(session)
    outcome.waiting, outcome.dead = counts.get("pending", 0) + counts.get("sending", 0), counts.get("dead", 0)
    return outcome

"""The one way into the inbox: whoever gets there first commits for all who wait, so that a storm costs few commits.

A commit waits for the disk, and one transaction writes at a time. Requests that would queue for it put their messages
down instead, and the first one writes all of them; each is answered when its own message is durable, as before.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from labrelay.model.errors import Conflict, LabrelayError
from labrelay.model.faults import faultpoint
from labrelay.records import inbox
from labrelay.records.database import Database
from labrelay.records.inbox import InboxMessage, Posted

MOST = 100  # messages of a transaction


@dataclass
class _Ticket:
    """A message that waits to be written, and what came of that."""

    message: InboxMessage
    outcome: Posted | Exception | None = None


class Inlet:
    """Writes messages to the inbox, from any number of threads.

    Args:
        records: Where.
    """

    def __init__(self, records: Database) -> None:
        self._records = records
        self._waiting: list[_Ticket] = []
        self._queue, self._pen = threading.Lock(), threading.Lock()

    def post(self, message: InboxMessage) -> Posted:
        """Return when the message is durable.

        Raises:
            Conflict: Its source has used the id for another message.
            LabrelayError: The metadata store did not take it; nothing of it is there.
        """
        ticket = _Ticket(message)
        with self._queue:
            self._waiting.append(ticket)
        with self._pen:
            while ticket.outcome is None:
                with self._queue:
                    batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                self._write(batch)
        if isinstance(ticket.outcome, Exception):
            raise ticket.outcome
        return ticket.outcome

    def _write(self, batch: Sequence[_Ticket]) -> None:
        try:
            outcomes = self._commit(batch)
        except Exception as error:
            # What the store says is so for all of them; else one that cannot be written is to stop no other.
            if len(batch) > 1 and not isinstance(error, LabrelayError):
                for ticket in batch:
                    self._write([ticket])
                return
            outcomes = [error] * len(batch)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.outcome = outcome

    def _commit(self, batch: Sequence[_Ticket]) -> list[Posted | Exception]:
        outcomes: list[Posted | Exception] = []
        with self._records.write() as session:
            for ticket in batch:
                try:
                    outcomes.append(inbox.post(session, ticket.message))
                except Conflict as error:  # it has changed nothing
                    outcomes.append(error)
        faultpoint("api.taken")
        return outcomes

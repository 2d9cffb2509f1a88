"""What came through the front door is worked off: announcements first, run folders last.

The door has answered already, so whatever becomes of a message is written beside it, in one sentence for who sent it.
Each has its own transaction and its own failure; one that nobody can understand never holds up the others.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import InterfaceError, OperationalError

from labrelay.model.announcement import (
    ANNOUNCED,
    EVENT,
    EXPERIMENT,
    FOLDER_COMPLETE,
    OURS,
    Announcement,
    FolderComplete,
)
from labrelay.model.errors import LabrelayError, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.names import on_one_line, printable
from labrelay.model.words import counted
from labrelay.records import experiments, inbox
from labrelay.records.database import acting_as
from labrelay.records.experiments import Announced
from labrelay.records.inbox import InboxMessage
from labrelay.steps.announce import refuse_differing
from labrelay.steps.collect import Worked
from labrelay.steps.eln_news import pull
from labrelay.steps.eln_signs import sign_announced
from labrelay.steps.home import Home
from labrelay.steps.readiness import FolderState
from labrelay.steps.watch import NO_PATHS, watch_folder

log = logging.getLogger(__name__)
PAGE = 200
PATIENCE = timedelta(days=1)  # so long is a folder that is not ready looked at because of a message
TRANSIENT = (OSError, OperationalError, InterfaceError)  # the disk's or the database's, and no fault of the message

Told = TypeVar("Told", bound=BaseModel)
Handler = Callable[[Home, int, InboxMessage], str | None]
"""Works off one message and returns what came of it; None when it was finished in its own transaction."""


class _NotYet(Exception):
    """What was told is not so yet: the message is looked at again the next time."""


def work_off(home: Home) -> Worked:
    """Work off what came through the front door, but for run folders; see `look_at_folders`.

    What the disk or a busy store stopped waits for the next time. Cost: one query when nothing waits; else one
    transaction a message.
    """
    done = Worked()
    for number, message in _open(home):
        if message.payload.get("kind") != FOLDER_COMPLETE:
            _work_off(home, [number], message, done)
    return done


def look_at_folders(home: Home) -> Worked:
    """Look at the run folders that were told of, and process those that are ready.

    That may take as long as the main job, so who settles other things does it in the end; by then, experiments that
    were announced together with a run are known. However many messages name a folder, it is looked at once.
    """
    done = Worked()
    same: dict[str, list[tuple[int, InboxMessage]]] = defaultdict(list)
    for number, message in _open(home):
        if message.payload.get("kind") == FOLDER_COMPLETE:
            same[json.dumps(message.payload.get("data"), sort_keys=True)].append((number, message))
    for told in same.values():
        _work_off(home, [number for number, _message in told], told[0][1], done)
    return done


def _open(home: Home) -> Iterator[tuple[int, InboxMessage]]:
    last = 0
    while True:
        with home.records.read() as session:
            page = inbox.waiting(session, PAGE, door=True, after=last)
        if not page:
            return
        last = page[-1][0]
        yield from page


def _work_off(home: Home, numbers: Sequence[int], message: InboxMessage, done: Worked) -> None:
    try:
        _settle(home, numbers, message, done)
    except (LabrelayError, *TRANSIENT) as error:
        # Also when only what became of it could not be written: it is done again, which changes nothing.
        why = error if isinstance(error, LabrelayError) else type(error).__name__
        log.warning("message %d waits: %s", numbers[0], why)
        done.waiting += len(numbers)


def _settle(home: Home, numbers: Sequence[int], message: InboxMessage, done: Worked) -> None:
    """Work off messages that tell the same."""
    waiting = 0
    try:
        with acting_as(message.source):
            outcome = _handler_of(message)(home, numbers[0], message)
        if outcome is not None:
            _finish(home, numbers, outcome=outcome)
    except _NotYet as told:
        before = (datetime.now(UTC) - PATIENCE).isoformat(timespec="microseconds")
        with home.records.write() as session:
            waiting = inbox.put_off(session, numbers, str(told), before)
    except LabrelayError as error:
        if error.retryable:
            raise
        _refuse(home, numbers, done, on_one_line(str(error)))
    except TRANSIENT as error:
        if not isinstance(error, OSError) or error.errno not in NO_PATHS:
            raise
        _refuse(home, numbers, done, f"a path in it is none: {error.strerror}")
    except Exception as error:
        # It comes from outside: what nobody has thought of stops this message, and never the ones behind it.
        log.exception("message %d cannot be worked off", numbers[0])
        _refuse(home, numbers, done, f"an unexpected error stopped it ({type(error).__name__}): see the log")
    done.done += len(numbers) - waiting
    done.waiting += waiting


def _refuse(home: Home, numbers: Sequence[int], done: Worked, error: str) -> None:
    done.refused += len(numbers)
    _finish(home, numbers, error=error)


def _finish(home: Home, numbers: Sequence[int], *, error: str | None = None, outcome: str | None = None) -> None:
    with home.records.write() as session:
        inbox.finish(session, numbers, error=error, outcome=outcome)
    faultpoint("messages.finished")


def _handler_of(message: InboxMessage) -> Handler:
    scheme = str(message.payload.get("scheme"))
    handler = HANDLERS.get((scheme, message.payload.get("kind"))) or HANDLERS.get((scheme, None))
    if handler is None:
        kind = message.payload.get("kind")
        what = f"the scheme {printable(scheme, 60)}" if kind is None else f"the kind {printable(str(kind), 60)}"
        raise UsageError(f"nothing is done with messages of {what} here: this Labrelay may be too old for it")
    return handler


def _announce(home: Home, number: int, message: InboxMessage) -> None:
    announcement = _read(Announcement, message.payload.get("data"))
    wanted, samples = announcement.parts()
    with home.records.write() as session:
        if not inbox.is_open(session, number):
            return
        reason = announcement.correction
        outcome = experiments.announce(session, wanted, samples, correct=reason is not None, reason=reason)
        refuse_differing([outcome], "say why in `correction`")
        sign_announced(home, session, outcome)
        inbox.finish(session, [number], outcome=_sentence(outcome))
    faultpoint("messages.announced")


def _sentence(outcome: Announced) -> str:
    counts = (("added", outcome.added), ("corrected", outcome.corrected), ("as before", outcome.unchanged))
    told = ", ".join(f"{counted(len(names), 'sample')} {word}" for word, names in counts if names)
    if outcome.fields:
        told = ", ".join(part for part in (told, f"its {' and '.join(outcome.fields)} corrected") if part)
    return f"{outcome.experiment.id}: {told or 'announced without samples'}"


def _look_at_folder(home: Home, _number: int, message: InboxMessage) -> str:
    told = _read(FolderComplete, message.payload.get("data"))
    seen = watch_folder(home, Path(told.folder))
    said = f"{seen.state.value}: {seen.reason}"
    if seen.state is FolderState.WAITING:
        raise _NotYet(said)
    return said


def _hear_notebook(home: Home, number: int, message: InboxMessage) -> str | None:
    """Ask the notebook what is new: its webhook says that something is, and its own answer is what counts.

    Whatever waits of the same source was told before we ask, so that one look is enough for all of it.
    """
    with home.records.read() as session:
        waits = [n for n, other in inbox.waiting(session, PAGE, door=True) if other.source == message.source]
    if number not in waits:
        return None
    done = pull(home)
    told = f"{counted(done.heard, 'entry', 'entries')} heard, {len(done.waiting)} waiting"
    with home.records.write() as session:
        inbox.finish(session, waits, outcome=told)
    return None


def _read(shape: type[Told], value: object) -> Told:
    """Return the message's content; the door has checked it, but an older one may have checked less."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where or 'the content'}: {first['msg']}") from None


# A scheme of webhooks with bodies of its own has one line here, under (its name, None).
HANDLERS: dict[tuple[str, str | None], Handler] = {
    (ANNOUNCED, EXPERIMENT): _announce,
    (EVENT, FOLDER_COMPLETE): _look_at_folder,
    (OURS, EXPERIMENT): _announce,
    (OURS, FOLDER_COMPLETE): _look_at_folder,
    ("github", EXPERIMENT): _announce,
    ("github", FOLDER_COMPLETE): _look_at_folder,
    ("benchling", None): _hear_notebook,
}

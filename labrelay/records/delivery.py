"""What every channel of the outbox raises when a message could not be told, and what HTTP's refusals mean."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from labrelay.model.errors import LabrelayError

LONGEST_WAIT = 86_400.0
LATER = frozenset({408, 425, 429})  # with all of 5xx: the same may be taken later
DOWN = frozenset({429, 502, 503, 504})  # nothing is taken just now
IN_A_ROW = 3  # messages that are to be tried again: the other side has a trouble that is not one message's


class Troubles:
    """Counts what could not be told in a row, to know when to leave the other side alone for now."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def end_it(self, error: Exception | None) -> bool:
        """Take how one try ended (None: well), and return whether the other side is to be left alone."""
        later = isinstance(error, Undeliverable) and error.retryable
        self._in_a_row = self._in_a_row + 1 if later else 0
        return (isinstance(error, Undeliverable) and error.down) or self._in_a_row >= IN_A_ROW


class Undeliverable(LabrelayError):
    """A message was not taken.

    Args:
        message: The sentence for people; it holds no secret of the settings.
        retry: Whether the same message may be taken later without anybody changing anything.
        retry_after: Seconds that the other side asked to be left alone.
        down: Whether nothing else would be taken just now either: nobody answers, or we ask too often.
    """

    def __init__(self, message: str, *, retry: bool, retry_after: float = 0.0, down: bool = False) -> None:
        self.retryable = retry
        self.retry_after = retry_after
        self.down = retry and (down or retry_after > 0)
        super().__init__(message)


def judge(status: int, headers: Mapping[str, str], who: str, setting: str) -> Undeliverable:
    """Return what an answer outside 2xx means; `Retry-After` (seconds or a date) is heeded up to a day.

    Args:
        status, headers: Of the answer.
        who: Who answered, for the sentence.
        setting: What a person looks at when trying again does not help.
    """
    retry = status in LATER or 500 <= status < 600
    hint = "" if retry else f": check {setting} in the settings"
    wait = wait_seconds(headers.get("retry-after")) if retry else 0.0
    return Undeliverable(f"{who} answered {status}{hint}", retry=retry, retry_after=wait, down=status in DOWN)


def wait_seconds(retry_after: str | None) -> float:
    """Return what a `Retry-After` header asks for, in seconds (it may be a date), at most a day; 0 for none."""
    if not retry_after:
        return 0.0
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after[:9]), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_WAIT)

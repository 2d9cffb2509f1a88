"""What every channel of the outbox raises when a message could not be told."""

from __future__ import annotations

from labrelay.model.errors import LabrelayError


class Undeliverable(LabrelayError):
    """A message was not taken.

    Args:
        message: The sentence for people; it holds no secret of the settings.
        retry: Whether the same message may be taken later without anybody changing anything.
        retry_after: Seconds that the other side asked to be left alone.
    """

    def __init__(self, message: str, *, retry: bool, retry_after: float = 0.0) -> None:
        self.retryable = retry
        self.retry_after = retry_after
        super().__init__(message)

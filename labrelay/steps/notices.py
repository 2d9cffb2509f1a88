"""Messages to people (`failed`, `needs-you`, `done`), posted only where the settings name a way to reach them."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from labrelay.records import outbox
from labrelay.records.notify import Ways
from labrelay.steps.home import Home
from labrelay.steps.settings import Settings


def notify(home: Home, session: Session, entity_id: str, kind: str, dedup: str, **payload: Any) -> None:
    """Queue a notification in the caller's transaction, one message a way; the same `dedup` text is told once."""
    ways = ways_of(home.settings)
    for channel, open_way in (("notify-mail", ways.by_mail), ("notify-webhook", ways.webhook_url is not None)):
        if open_way:
            outbox.post(session, channel, entity_id, kind, f"{channel}:{kind}:{dedup}", **payload)


def ways_of(settings: Settings) -> Ways:
    """Return the ways to reach people that the settings name."""
    return Ways(
        smtp_url=settings.smtp_url.get_secret_value() if settings.smtp_url else None,
        mail_from=settings.mail_from,
        mail_to=settings.mail_to,
        webhook_url=settings.webhook_url.get_secret_value() if settings.webhook_url else None,
        base_url=settings.base_url,
    )

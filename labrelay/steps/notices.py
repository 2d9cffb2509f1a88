"""Messages to people (`failed`, `needs-you`, `done`), posted only where the settings name a way to reach them."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from labrelay.records import outbox
from labrelay.steps.home import Home


def notify(home: Home, session: Session, entity_id: str, kind: str, dedup: str, **payload: Any) -> None:
    """Queue a notification in the caller's transaction; the same `dedup` text is told once."""
    settings = home.settings
    if settings.webhook_url is not None or (settings.smtp_url is not None and settings.mail_to):
        outbox.post(session, "notify", entity_id, kind, f"notify:{kind}:{dedup}", **payload)

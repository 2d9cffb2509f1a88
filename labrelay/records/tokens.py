"""Machine tokens: a random secret shown once, kept as a hash, good for named scopes until it expires or is revoked.

    lrt_6f0c9c2a1b7e4d35_rq8mGv0…   an id to look up by, and 256 random bits

The secret has no structure to guess at, so one SHA-256 is enough and costs a request nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from hmac import compare_digest
from typing import Literal, NamedTuple, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.names import is_safe_name, printable
from labrelay.model.problem import Frozen
from labrelay.records import audit
from labrelay.records.database import actor, now
from labrelay.records.schema import AccessTokenRow

Scope = Literal["announce", "event", "read"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_TOKEN = re.compile(r"lrt_([0-9a-f]{16})_[A-Za-z0-9_-]{43}\Z")
_NOBODYS = hashlib.sha256(secrets.token_bytes(32)).hexdigest()  # what an unknown token is compared with


class Token(Frozen):
    """A token as people see it: everything but the secret, which nobody can see again.

    Attributes:
        id: `tok_…`.
        name: In the records who used it is `token:NAME`.
        scopes: What it opens.
        created_at, expires_at, revoked_at: ISO 8601 in UTC; None for never.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    created_by: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def state(self, moment: str) -> str:
        """Return `live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= moment else "live"


class Made(NamedTuple):
    """A new token and its secret text, which is nowhere else."""

    token: Token
    secret: str


def add(session: Session, name: str, scopes: Sequence[Scope], expires_at: datetime | None = None) -> Made:
    """Make a token.

    Args:
        session: A writing one.
        name: Of the machine or program; letters, digits, `.`, `_`, `-`.
        scopes: At least one.
        expires_at: Zone-aware, in UTC; None for never.

    Raises:
        UsageError: The name cannot be one, or was used before: the records name who acted by it.
    """
    if not is_safe_name(name):
        raise UsageError(f"a token cannot be called {printable(name, 60)}: use letters, digits, '.', '_' and '-'")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise UsageError(f"a token needs scopes to be good for anything: {', '.join(SCOPES)}")
    if session.scalar(select(AccessTokenRow.id).where(AccessTokenRow.name == name)) is not None:
        raise UsageError(f"there is or was a token {name}, and the records name it: choose another name")
    number = secrets.token_hex(8)
    secret = f"lrt_{number}_{secrets.token_urlsafe(32)}"
    row = AccessTokenRow(
        id=f"tok_{number}",
        name=name,
        hash=_hash(secret),
        scopes=[scope for scope in SCOPES if scope in scopes],
        created_at=now(),
        created_by=actor(),
        expires_at=expires_at.isoformat(timespec="microseconds") if expires_at else None,
        revoked_at=None,
    )
    session.add(row)
    audit.record(session, "token.added", row.id, name=name, scopes=row.scopes, expires_at=row.expires_at)
    return Made(_token(row), secret)


def every(session: Session) -> list[Token]:
    """Return all tokens there ever were, by name."""
    return [_token(row) for row in session.scalars(select(AccessTokenRow).order_by(AccessTokenRow.name))]


def revoke(session: Session, name: str) -> Token:
    """Let a token open nothing any more, from the next request on; one that was revoked stays so.

    Raises:
        NotFound: There is none of this name or id.
    """
    wanted = (AccessTokenRow.name == name) | (AccessTokenRow.id == name)
    row = session.scalar(select(AccessTokenRow).where(wanted))
    if row is None:
        raise NotFound(f"there is no token {printable(name, 60)}: `labrelay token list` shows those that there are")
    if row.revoked_at is None:
        row.revoked_at = now()
        audit.record(session, "token.revoked", row.id, name=row.name)
    return _token(row)


def holder_of(session: Session, secret: str) -> Token | None:
    """Return the live token that this secret is of, or None; an unknown one takes the same work as a wrong one."""
    match = _TOKEN.match(secret)
    row = session.get(AccessTokenRow, f"tok_{match[1] if match else '0' * 16}")
    right = compare_digest(_hash(secret), row.hash if row is not None else _NOBODYS)
    if row is None or not right:
        return None
    token = _token(row)
    return token if token.state(now()) == "live" else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _token(row: AccessTokenRow) -> Token:
    return Token.model_validate({name: getattr(row, name) for name in Token.model_fields})

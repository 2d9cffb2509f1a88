"""A front door for tests: a home whose settings name a hook, tokens of every scope, and a client that asks it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from labrelay.api.app import make_app
from labrelay.api.signatures import sign
from labrelay.records import tokens
from labrelay.records.schema import InboxRow
from labrelay.steps.home import Home, init_home, open_home

SECRET = "s-first-0123456789abcdef0123456789"
NEXT_SECRET = "s-second-0123456789abcdef012345678"
SETTINGS = f"""landing = ["{{landing}}"]
quiet_minutes = 0
[hooks.lims]
secrets = ["{SECRET}", "{NEXT_SECRET}"]
[hooks.forge]
scheme = "github"
secrets = ["{SECRET}"]
[hooks.bench]
scheme = "benchling"
app = "appdef_Tests1"
"""
STUDY = {"experiment": "study-7", "samples": [{"name": "alpha", "assay": "wgs"}, {"name": "beta", "aliases": ["b1"]}]}


def make_home(folder: Path, url: str | None = None) -> Home:
    """Make a home with the settings of these tests, its records in this database or where the tests have them."""
    path, landing = folder / "home", folder / "landing"
    init_home(path)
    landing.mkdir(exist_ok=True)
    file = path / "labrelay.toml"
    kept = [line for line in file.read_text().splitlines() if line.startswith("database_url")]
    if url is not None:
        kept = [f'database_url = "{url}"']
    file.write_text("\n".join([*kept, SETTINGS.format(landing=landing)]), encoding="utf-8")
    return open_home(path)


class Doorway:
    """The front door of a fresh home.

    Attributes:
        home: The home.
        landing: Its landing folder.
        client: Asks the app in this process; what it raises is raised here.
        secrets: Token secrets by name: `all`, `announcer`, `teller`, `reader`.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.home = make_home(folder, url)
        self.landing = folder / "landing"
        self.app = make_app(self.home)
        self.client = TestClient(self.app)
        with self.home.records.write() as session:
            self.secrets = {
                "all": tokens.add(session, "all", tokens.SCOPES).secret,
                "announcer": tokens.add(session, "announcer", ["announce"]).secret,
                "teller": tokens.add(session, "teller", ["event"]).secret,
                "reader": tokens.add(session, "reader", ["read"]).secret,
            }

    def close(self) -> None:
        """Close the home."""
        self.home.close()

    def bearer(self, name: str = "all", key: str | None = None) -> dict[str, str]:
        """Return the headers of a request by this token."""
        keyed = {"Idempotency-Key": key} if key is not None else {}
        return {"Authorization": f"Bearer {self.secrets[name]}", **keyed}

    def get(self, path: str, name: str = "all", **params: Any) -> httpx.Response:
        """Ask with a token."""
        return self.client.get(f"/api{path}", headers=self.bearer(name), params=params or None)

    def post(self, path: str, body: Any, key: str | None = "key-1", name: str = "all") -> httpx.Response:
        """Tell with a token."""
        return self.client.post(f"/api{path}", json=body, headers=self.bearer(name, key))

    def hook(self, body: Any, message_id: str = "m-1", **changed: Any) -> httpx.Response:
        """Send a webhook of the source `lims`, signed, with some of it `changed` afterwards."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = signed_headers(content, message_id, changed.pop("at", None), changed.pop("secret", SECRET))
        headers |= changed.pop("headers", {})
        content = changed.pop("content", content)
        return self.client.post("/api/hooks/lims", content=content, headers=headers)

    def rows(self) -> int:
        """Return how many messages are in the inbox."""
        with self.home.records.read() as session:
            return session.scalar(select(func.count()).select_from(InboxRow)) or 0

    def outcome(self, answer: httpx.Response) -> dict[str, Any]:
        """Return what has become of an accepted message."""
        found: dict[str, Any] = self.client.get(answer.json()["url"], headers=self.bearer()).json()
        return found


def signed_headers(body: bytes, message_id: str, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    """Return the headers of a signed message."""
    timestamp = int(time.time()) if at is None else at
    return {
        "Content-Type": "application/json",
        "Labrelay-Id": message_id,
        "Labrelay-Timestamp": str(timestamp),
        "Labrelay-Signature": sign(secret.encode(), message_id, timestamp, body),
    }

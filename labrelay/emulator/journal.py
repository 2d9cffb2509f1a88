"""What was configured in moto, which keeps everything in memory: written down, and asked again at the next start.

Queues, rules, targets, roles and their policies come back; messages in queues do not, as no event is promised.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.error
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs

from labrelay.emulator.loopback import ask

logger = logging.getLogger(__name__)

SERVICES = ("sqs", "events", "iam")
ADDING = ("Create", "Put", "Set", "Tag", "Add", "Attach", "Update", "Enable", "Disable")
REMOVING = ("Delete", "Remove", "Detach", "Untag")
OF_THE_MOMENT = ("PutEvents", "DeleteMessage", "DeleteMessageBatch")
HEADERS = ("authorization", "content-type", "x-amz-target", "x-amz-date", "host")


def action_of(headers: Mapping[str, str], body: bytes) -> str:
    """Return which operation a request to a JSON or query service asks for; empty if it does not say."""
    target = headers.get("x-amz-target")
    if target:
        return target.rpartition(".")[2]
    return parse_qs(body.decode("utf-8", errors="replace")).get("Action", [""])[0]


def changes_configuration(service: str, action: str) -> bool:
    """Whether a request is to be asked again after a restart."""
    return service in SERVICES and action.startswith(ADDING + REMOVING) and action not in OF_THE_MOMENT


class Journal:
    """A file of requests, one a line."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writing = threading.Lock()
        # Of equal requests that follow each other without a removal between them, the first is enough.
        self._known: set[str] = set()
        for line in self._lines():
            self._note(line)

    def add(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a request that was answered; it is durable when this returns."""
        kept = {name: headers[name] for name in HEADERS if name in headers and name not in ("x-amz-date",)}
        kept["authorization"] = kept.get("authorization", "").partition(", SignedHeaders")[0]
        line = json.dumps({"method": method, "path": path, "headers": kept, "body": body.decode("utf-8", "replace")})
        with self._writing:
            if line in self._known:
                return
            with self._file.open("ab") as file:
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._note(line)

    def replay(self, url: str) -> int:
        """Ask everything again, in order; return how many requests were not taken.

        A request that is refused now is logged and kept: it was taken once.
        """
        refused = 0
        for line in self._lines():
            asked = json.loads(line)
            headers = dict(asked["headers"])
            try:
                with ask(f"{url}{asked['path']}", asked["body"].encode(), headers, asked["method"]) as answer:
                    answer.read()
            except urllib.error.HTTPError as error:
                refused += 1
                logger.warning("%s was refused at the restart: %s", action_of(headers, b""), error)
        return refused

    def _note(self, line: str) -> None:
        asked = json.loads(line)
        action = action_of(asked["headers"], asked["body"].encode())
        if action.startswith(REMOVING):
            self._known.clear()
        else:
            self._known.add(line)

    def _lines(self) -> Iterator[str]:
        if not self._file.exists():
            return
        content = self._file.read_text(encoding="utf-8")
        whole, _newline, torn = content.rpartition("\n")
        if torn:
            # A kill cut the last line, which therefore was never acknowledged.
            self._file.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        yield from (line for line in whole.splitlines() if line)

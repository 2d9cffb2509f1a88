"""A notebook in a folder that keeps the port's promises, and the hands of a person in it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labrelay.model.problem import Problem
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln.port import (
    Announcement,
    ChangedThere,
    Entry,
    Heading,
    News,
    Page,
    Part,
    PartThere,
    SampleThere,
)


class FakeNotebook:
    """Entries as JSON in one file, so that a killed process and the one after it see the same notebook.

    Attributes:
        answers: What the next calls raise, by method, in order; None lets a call through.
        calls: How often each method was called.
        between: Called right before `write` compares: what a person does at the worst moment.
    """

    system = "fake"
    title = "Fake notebook"

    def __init__(self, folder: Path, system: str = "fake") -> None:
        self.file = folder / f"{system}.json"
        self.system = system
        self.answers: dict[str, list[Undeliverable | None]] = {}
        self.calls: dict[str, int] = {}
        self.between: Any = None
        folder.mkdir(parents=True, exist_ok=True)
        if not self.file.exists():
            self.file.write_text(json.dumps({"entries": {}, "announced": [], "clock": 0}))

    @contextmanager
    def state(self) -> Iterator[dict[str, Any]]:
        """The whole notebook, written back at the end."""
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = json.loads(self.file.read_text())
            yield state
            self.file.write_text(json.dumps(state))

    def _called(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
        planned = self.answers.get(method)
        answer = planned.pop(0) if planned else None
        if answer is not None:
            raise answer

    def check(self) -> list[Problem]:
        self._called("check")
        return []

    def find(self, identifier: str) -> Entry | None:
        self._called("find")
        with self.state() as state:
            found = [i for i, e in state["entries"].items() if e["identifier"] == identifier]
            return self._entry(state, found[0]) if found else None

    def create(self, identifier: str, heading: Heading) -> Entry:
        self._called("create")
        with self.state() as state:
            found = [i for i, e in state["entries"].items() if e["identifier"] == identifier]
            if not found:
                found = [str(len(state["entries"]) + 1)]
                state["entries"][found[0]] = new_entry(identifier, heading.title)
            return self._entry(state, found[0])

    def read(self, external_id: str) -> Page:
        self._called("read")
        with self.state() as state:
            entry = self._entry(state, external_id)
            if entry.state == "deleted":
                return Page(entry=entry)
            parts = state["entries"][external_id]["parts"]
            there = {n: PartThere(digest=_hash(text), text=text[:80]) for n, text in parts.items()}
            return Page(entry=entry, parts=there)

    def digest(self, part: Part) -> str | None:
        return _hash(_text(part))

    def write(self, external_id: str, part: Part, expected: str | None) -> None:
        self._called("write")
        if self.between is not None:
            self.between()
        with self.state() as state:
            entry = self._entry(state, external_id)
            if entry.state != "open":
                raise Undeliverable(f"the entry is {entry.state}", retry=False)
            parts = state["entries"][external_id]["parts"]
            if part.name in parts and _hash(parts[part.name]) != expected:
                raise ChangedThere(part.name)
            parts[part.name] = _text(part)
            state["writes"] = [*state.get("writes", []), part.name]

    def announced_since(self, cursor: str | None) -> News:
        self._called("announced_since")
        with self.state() as state:
            since = int(cursor or 0)
            rows = [a for a in state["announced"] if a["clock"] > since]
            made = tuple(Announcement.model_validate({k: v for k, v in a.items() if k != "clock"}) for a in rows)
            return News(announcements=made, cursor=str(state["clock"]))

    def url(self, external_id: str) -> str:
        return f"https://notebook.test/entries/{external_id}"

    def close(self) -> None:
        pass

    def _entry(self, state: dict[str, Any], external_id: str) -> Entry:
        entry = state["entries"].get(external_id)
        return Entry(external_id=external_id, state=entry["state"] if entry else "deleted", why=None)


class Hands:
    """What a person does in the fake notebook."""

    def __init__(self, notebook: FakeNotebook) -> None:
        self.notebook = notebook

    def edit(self, external_id: str, part: str) -> None:
        """Change one of our parts."""
        with self.notebook.state() as state:
            state["entries"][external_id]["parts"][part] = "what a person wrote"

    def remove(self, external_id: str, part: str) -> None:
        """Take one of our parts away."""
        with self.notebook.state() as state:
            del state["entries"][external_id]["parts"][part]

    def close(self, external_id: str, how: str = "deleted") -> None:
        """Delete or lock an entry."""
        with self.notebook.state() as state:
            state["entries"][external_id]["state"] = how

    def announce(self, external_id: str, name: str, samples: dict[str, str], title: str | None = None) -> str:
        """Announce an experiment with samples and their barcodes, or edit it; return the entry's id."""
        with self.notebook.state() as state:
            state["clock"] += 1
            rows = [SampleThere(name=n, barcode=b or None).model_dump(mode="json") for n, b in samples.items()]
            told = {"external_id": external_id, "version": str(state["clock"]), "name": name, "samples": rows}
            rest = {"by": "ada", "at": datetime.now(UTC).isoformat(), "clock": state["clock"], "title": title}
            state["announced"] = [a for a in state["announced"] if a["external_id"] != external_id] + [told | rest]
            state["entries"].setdefault(external_id, new_entry(f"own-{external_id}", name))
        return external_id

    def entries(self) -> dict[str, dict[str, Any]]:
        """All entries, by id."""
        with self.notebook.state() as state:
            entries: dict[str, dict[str, Any]] = state["entries"]
            return entries

    def writes(self) -> list[str]:
        """The parts that were written, in order."""
        with self.notebook.state() as state:
            return list(state.get("writes", []))


def killed_at(point: str, work: Callable[[], object]) -> None:
    """Do the work in a process of its own that is killed at a fault point, and see that it got there."""
    if (pid := os.fork()) == 0:
        try:
            os.environ["LABRELAY_FAULT"] = f"{point}:1:kill"
            work()
        finally:
            os._exit(1)
    _pid, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"{point} was not passed"


def new_entry(identifier: str, title: str) -> dict[str, Any]:
    """An empty entry."""
    return {"identifier": identifier, "title": title, "state": "open", "parts": {}}


def _text(part: Part) -> str:
    return part.model_dump_json(exclude={"path"})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""The real Kadi as a bench for the contract, and what people do in it."""

from __future__ import annotations

from typing import Any

from kadi_server import Kadi

from labrelay.records.eln import sections
from labrelay.records.eln.kadi import KadiNotebook
from labrelay.records.eln.port import FILE, RESULTS, Account


def notebook_of(kadi: Kadi, who: str = "robot", **options: str) -> KadiNotebook:
    """Return the adapter with one of the tokens."""
    return KadiNotebook(Account(url=kadi.url, token=kadi.tokens[who], options=options))


class KadiHands:
    """A person who works in Kadi's records."""

    def __init__(self, kadi: Kadi) -> None:
        self.kadi = kadi
        self.robot, self.person = kadi.api("robot"), kadi.api("person")
        self.announced: dict[str, str] = {}

    def edit(self, external_id: str, part: str) -> None:
        """Write a word of one's own into one of our parts."""
        if part.startswith(FILE):
            self.upload(external_id, part.removeprefix(FILE), b"what a person put there")
            return
        text = self.record(external_id)["description"]
        body = sections.body_of(text, part) or ""
        self.change(external_id, description=sections.with_section(text, part, f"{body}\n\nA word of my own."))

    def remove(self, external_id: str, part: str) -> None:
        """Take a section with its numbers, or a file, away."""
        if part.startswith(FILE):
            self.ok(self.robot.delete(f"/records/{external_id}/files/{self.file(external_id, part)['id']}"))
            return
        record = self.record(external_id)
        before, rest = record["description"].split(sections.opening(part), 1)
        after = rest.split(sections.closing(part), 1)[1]
        values: dict[str, Any] = {"description": f"{before.rstrip()}\n\n{after.lstrip()}"}
        if part == RESULTS:
            values["extras"] = [extra for extra in record["extras"] if extra["key"] != "Labrelay"]
        self.change(external_id, **values)

    def close(self, external_id: str, how: str = "deleted") -> None:
        """Put a record into the bin, or take the right to change it from the robot."""
        if how == "deleted":
            self.ok(self.robot.delete(f"/records/{external_id}"))
        else:
            self.ok(self.person.delete(f"/records/{external_id}/roles/users/{self.kadi.tokens['robot_id']}"))

    def announce(self, external_id: str, name: str, samples: dict[str, str], title: str | None = None) -> str:
        """Make a record with the tag and samples that the robot may change, or change the one with this id."""
        rows = [
            {"type": "dict", "value": [text("name", sample), *([text("barcode", code)] if code else [])]}
            for sample, code in samples.items()
        ]
        extras = [text("experiment", name), {"type": "list", "key": "samples", "value": rows}]
        if external_id in self.announced.values():
            self.ok(self.person.patch(f"/records/{external_id}", json={"extras": extras}))
            return external_id
        identifier = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")[:50]
        values = {"identifier": identifier, "title": title or name, "tags": ["labrelay"], "extras": extras}
        made = self.ok(self.person.post("/records", json=values | {"description": "What I want to find out."}))
        self.announced[name] = str(made["id"])
        role = {"user": {"id": int(self.kadi.tokens["robot_id"])}, "role": {"name": "editor"}}
        self.ok(self.person.post(f"/records/{made['id']}/roles/users", json=role))
        return str(made["id"])

    def record(self, external_id: str) -> dict[str, Any]:
        """Return a record."""
        return self.ok(self.robot.get(f"/records/{external_id}"))

    def change(self, external_id: str, **values: Any) -> None:
        """Change a record's metadata."""
        self.ok(self.robot.patch(f"/records/{external_id}", json=values))

    def file(self, external_id: str, part: str) -> dict[str, Any]:
        """Return what Kadi says of a file."""
        return self.ok(self.robot.get(f"/records/{external_id}/files/name/{part.removeprefix(FILE)}"))

    def upload(self, external_id: str, name: str, content: bytes) -> None:
        """Put a file there, in the place of one of the same name."""
        made = self.robot.post(f"/records/{external_id}/uploads", json={"name": name, "size": len(content)})
        if made.status_code == 409:
            path = f"/records/{external_id}/files/{made.json()['file']['id']}"
            made = self.robot.put(path, json={"size": len(content)})
        self.ok(self.robot.put(f"/records/{external_id}/uploads/{self.ok(made)['id']}", content=content))

    @staticmethod
    def ok(response: Any) -> Any:
        """Return the body of an answer that has to be a good one."""
        assert response.is_success, response.text
        return response.json() if response.content else None


def text(key: str, value: str) -> dict[str, str]:
    """Return an extra of text."""
    return {"type": "str", "key": key, "value": value}

"""Kadi4Mat by its REST API: one record an experiment, our sections in its description, numbers as typed extras.

The record's identifier is ours (`exp_…`), so that a second create finds the first. Status, results and links are
sections of the description; the numbers stand once more in the extra `Labrelay`, typed and with units; files are files.
Whatever else people write into the description, the extras and the files is left alone.

Kadi has no lock: a record that our account may not change counts as locked. Its bin is seen with the token's scope
`misc.manage_trash`. Tried with Kadi 1.13.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote

from labrelay.model.canonical import digest as canonical_digest
from labrelay.model.problem import Problem
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import kadi_extras as extras
from labrelay.records.eln import sections
from labrelay.records.eln.kadi_news import announcement_of, is_ours
from labrelay.records.eln.port import (
    FILE,
    LINKS,
    RESULTS,
    STATUS,
    Account,
    ChangedThere,
    Entry,
    FilePart,
    Heading,
    LinksPart,
    News,
    Page,
    Part,
    PartThere,
    ResultsPart,
    StatusPart,
)
from labrelay.records.eln.render import markdown
from labrelay.records.eln.rest import Rest, Shape

TITLE_LENGTH, PAGE_SIZE = 150, 100
LIMITS = {STATUS: 15_000, RESULTS: 22_000, LINKS: 6_000}  # characters; a description takes 50,000 with people's text
OVERLAP = timedelta(minutes=1)  # a change that was committed late carries an earlier time
PATH_ID = re.compile(r"[0-9]{1,18}\Z")
WITH_ID = {"id": int}
RECORD = WITH_ID | {
    "identifier": str,
    "title": str,
    "description": str | None,
    "extras": [{"key": str}],
    "creator": dict | None,
    "last_modified": str,
}
FILE_THERE = {"id": str, "name": str, "checksum": str | None}
UPLOAD = {"id": str}
BINNED = {"items": [{"id": int, "type": str, "identifier": str, "deleted_at": str}]}


class KadiNotebook:
    """A Kadi4Mat instance, spoken to with a personal access token.

    Args:
        account: Its options may name `group` (id; its members get `role`, by default `editor`), `collection` (id),
            `visibility` (`private` or `public`), `type` of new records, and `tag`, which marks announcements.
    """

    system = "kadi"
    title = "Kadi4Mat"

    def __init__(self, account: Account) -> None:
        self._url, self._options = account.url.rstrip("/"), account.options
        headers = {"Authorization": f"Bearer {account.token}", "Accept": "application/json"}
        self._rest = Rest(self.title, f"{self._url}/api", headers)

    def check(self) -> list[Problem]:
        """Ask for the version and the account, and for each right with a request that changes nothing."""
        try:
            self._rest.ask("GET", "/info", shape=dict)
            self._rest.ask("GET", "/users/me", shape=WITH_ID)
            return self._check_scopes() + self._check_places()
        except Undeliverable as error:
            return [Problem(code="ELN_ACCOUNT", message=str(error))]

    def _check_scopes(self) -> list[Problem]:
        problems = []
        # A record without a title is refused with 400, after the token's scope was looked at.
        probes: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
            ("GET", "/records", "record.read", {"params": {"per_page": 1}, "shape": {"items": [RECORD]}}),
            ("POST", "/records", "record.create", {"json": {}}),
            ("GET", "/trash", "misc.manage_trash", {"params": {"per_page": 1}, "shape": BINNED}),
        )
        for method, path, scope, more in probes:
            answer = self._rest.ask(method, path, known=(400, 401, 403), **more)
            if answer.status in (401, 403):
                message = f"the token lacks {scope}: make one with this scope in Kadi and put it into eln_token"
                problems.append(Problem(code="ELN_SCOPE", message=message))
        return problems

    def _check_places(self) -> list[Problem]:
        problems = []
        for option, path in (("group", "groups"), ("collection", "collections")):
            wanted = self._options.get(option)
            if wanted is None:
                continue
            answer = self._rest.ask("GET", f"/{path}/{quote(wanted, safe='')}", known=(401, 403, 404))
            if answer.status != 200:
                message = f"there is no {option} {wanted} for our account: mend {option} in eln_options, or join it"
                problems.append(Problem(code="ELN_OPTION", message=message))
        return problems

    def find(self, identifier: str) -> Entry | None:
        """Look for the record of our identifier, and in the bin."""
        answer = self._rest.ask("GET", f"/records/identifier/{quote(identifier)}", known=(404,), shape=RECORD)
        if answer.status == 200:
            return self._entry(answer.body)
        params = {"filter": identifier, "per_page": PAGE_SIZE}
        binned = self._rest.ask("GET", "/trash", params=params, known=(401,), shape=BINNED)
        for item in binned.body["items"] if binned.status == 200 else []:
            if item["type"] == "record" and item["identifier"] == identifier:
                return Entry(external_id=str(item["id"]), state="deleted", why=f"on {item['deleted_at'][:10]}")
        return None

    def create(self, identifier: str, heading: Heading) -> Entry:
        """Make the record, or find it, and let the people of the settings see it."""
        found = self.find(identifier)
        if found is None:
            values = {
                "identifier": identifier,
                "title": heading.title[:TITLE_LENGTH],
                "type": self._options.get("type", "experiment"),
                "visibility": self._options.get("visibility", "private"),
            }
            answer = self._rest.ask("POST", "/records", json=values, known=(400, 409), shape=WITH_ID)
            # Where it is not made, another process was quicker, or nobody may see the one that there is.
            made = answer.status not in (400, 409)
            found = Entry(external_id=str(answer.body["id"])) if made else self.find(identifier)
            if found is None:
                body = answer.body if isinstance(answer.body, dict) else {}
                said = body.get("errors") or body.get("description")
                text = (
                    f"{self.title} makes no record {identifier} ({said}): look for one in its bin or of another account"
                )
                raise Undeliverable(text, retry=False)
        if found.state == "open":
            self._share(found.external_id)
        return found

    def _share(self, external_id: str) -> None:
        """Let the group see the record and put it into the collection; 409 says that this was done before."""
        if (group := self._options.get("group")) is not None:
            role = {"group": {"id": int(group)}, "role": {"name": self._options.get("role", "editor")}}
            self._rest.ask("POST", f"/records/{external_id}/roles/groups", json=role, known=(409,))
        if (collection := self._options.get("collection")) is not None:
            self._rest.ask("POST", f"/records/{external_id}/collections", json={"id": int(collection)}, known=(409,))

    def read(self, external_id: str) -> Page:
        """Look at the record and at its files."""
        record = self._record(external_id)
        if isinstance(record, Entry):
            return Page(entry=record)
        entry = self._entry(record)
        parts = _text_parts(record)
        for file in self._pages(f"/records/{external_id}/files", FILE_THERE):
            there = PartThere(digest=f"md5:{file['checksum']}", external_id=file["id"])
            parts[f"{FILE}{file['name']}"] = there
        return Page(entry=entry, parts=parts)

    def digest(self, part: Part) -> str | None:
        """Return the checksum that Kadi keeps of a file, and of a section the digest of its text and numbers."""
        if isinstance(part, FilePart):
            return f"md5:{part.md5}"
        return _digest(part.name, _body(part), extras.of_results(part) if isinstance(part, ResultsPart) else None)

    def write(self, external_id: str, part: Part, expected: str | None) -> None:
        """Write one section or one file."""
        if isinstance(part, FilePart):
            self._write_file(external_id, part, expected)
            return
        record = self._record(external_id)
        entry = record if isinstance(record, Entry) else self._entry(record)
        if isinstance(record, Entry) or entry.state != "open":
            raise Undeliverable(f"the record {external_id} in {self.title} is {entry.state}", retry=False)
        there = _text_parts(record).get(part.name)
        if not _is_due(there, self.digest(part), expected, part.name):
            return
        values: dict[str, Any] = {
            "description": sections.with_section(record.get("description") or "", part.name, _body(part))
        }
        if isinstance(part, ResultsPart):
            values["extras"] = extras.replaced(record["extras"], extras.of_results(part))
        self._rest.ask("PATCH", f"/records/{external_id}", json=values)

    def _write_file(self, external_id: str, part: FilePart, expected: str | None) -> None:
        path = f"/records/{external_id}"
        answer = self._rest.ask(
            "GET", f"{path}/files/name/{quote(part.file_name, safe='')}", known=(404,), shape=FILE_THERE
        )
        file = answer.body if answer.status == 200 else None
        there = None if file is None else PartThere(digest=f"md5:{file['checksum']}")
        if not _is_due(there, self.digest(part), expected, part.name):
            return
        content = part.path.read_bytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != part.md5:
            raise Undeliverable(f"{part.file_name} has changed while it was delivered; it is tried again", retry=True)
        values = {"size": len(content), "mimetype": part.media_type, "description": part.title}
        if file is None:
            upload = self._rest.ask(
                "POST", f"{path}/uploads", json=values | {"name": part.file_name}, known=(409,), shape=UPLOAD
            )
            if upload.status == 409:
                raise ChangedThere(part.name)
        else:
            upload = self._rest.ask("PUT", f"{path}/files/{file['id']}", json=values, shape=UPLOAD)
        headers = {"Content-Type": "application/octet-stream", "Kadi-MD5-Checksum": part.md5}
        self._rest.ask("PUT", f"{path}/uploads/{upload.body['id']}", content=content, headers=headers)

    def announced_since(self, cursor: str | None) -> News:
        """Look through the records with the tag, the newest change first, back to the cursor."""
        tag = self._options.get("tag", "labrelay")
        since = datetime.fromisoformat(cursor) - OVERLAP if cursor else None
        newest, found = cursor or "", []
        for record in self._pages("/records", RECORD, tag=tag, sort="-last_modified"):
            if since is not None and datetime.fromisoformat(record["last_modified"]) < since:
                break
            newest = max(newest, record["last_modified"], key=_moment)
            if not is_ours(record["identifier"]):
                found.append(announcement_of(record, self._sample_file))
        return News(announcements=tuple(reversed(found)), cursor=newest)

    def _sample_file(self, record_id: int, name: str) -> bytes | None:
        """Return a file of a record by its name, or None."""
        answer = self._rest.ask("GET", f"/records/{record_id}/files/name/{quote(name)}", known=(404,), shape=FILE_THERE)
        if answer.status == 404:
            return None
        return self._rest.fetch(f"/records/{record_id}/files/{answer.body['id']}/download")

    def url(self, external_id: str) -> str:
        """Return the record's page."""
        return f"{self._url}/records/{external_id}"

    def close(self) -> None:
        """Close connections."""
        self._rest.close()

    @cached_property
    def _me(self) -> int:
        return int(self._rest.ask("GET", "/users/me", shape=WITH_ID).body["id"])

    def _record(self, external_id: str) -> dict[str, Any] | Entry:
        """Return the record, or what the entry is when there is nothing to read."""
        if not PATH_ID.match(external_id):
            return Entry(external_id=external_id, state="deleted", why="Kadi's ids are numbers")
        answer = self._rest.ask("GET", f"/records/{external_id}", known=(403, 404), shape=RECORD)
        if answer.status == 404:
            return Entry(external_id=external_id, state="deleted")
        if answer.status == 403:
            return Entry(external_id=external_id, state="locked", why="our account may not read it")
        record: dict[str, Any] = answer.body
        return record

    def _entry(self, record: dict[str, Any]) -> Entry:
        """Return whether we may change a record; one of another account is asked with a change of nothing."""
        external_id = str(record["id"])
        if (record.get("creator") or {}).get("id") != self._me:
            answer = self._rest.ask("PATCH", f"/records/{external_id}", json={}, known=(403,))
            if answer.status == 403:
                return Entry(external_id=external_id, state="locked", why="our account may not change it")
        return Entry(external_id=external_id)

    def _pages(self, path: str, item: Shape, **params: Any) -> Iterator[dict[str, Any]]:
        page, shape = 1, {"items": [item], "_pagination": {"total_pages": int}}
        while True:
            params |= {"page": page, "per_page": PAGE_SIZE}
            body = self._rest.ask("GET", path, params=params, shape=shape).body
            yield from body["items"]
            if page >= body["_pagination"]["total_pages"]:
                return
            page += 1


def _body(part: StatusPart | ResultsPart | LinksPart) -> str:
    return sections.cut(markdown(part), LIMITS[part.name])


def _text_parts(record: dict[str, Any]) -> dict[str, PartThere]:
    """Return our sections of a record; the results are there with their text, their numbers, or both."""
    text, numbers = record.get("description") or "", extras.found(record["extras"])
    parts = {}
    for name in LIMITS:
        body = sections.body_of(text, name)
        typed = numbers if name == RESULTS else None
        if body is not None or typed is not None:
            parts[name] = PartThere(digest=_digest(name, body, typed), text=body or "")
    return parts


def _digest(name: str, body: str | None, numbers: dict[str, Any] | None) -> str:
    text = None if body is None else sections.digest(body)
    return canonical_digest([text, extras.plain(numbers)]) if name == RESULTS else text or ""


def _is_due(there: PartThere | None, wanted: str | None, expected: str | None, name: str) -> bool:
    """Return whether the part has to be written, or raise when somebody changed it."""
    if there is None:
        return True
    if there.digest == wanted:
        return False
    if there.digest != expected:
        raise ChangedThere(name)
    return True


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


open_notebook: Callable[[Account], KadiNotebook] = KadiNotebook

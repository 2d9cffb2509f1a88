"""eLabFTW by its REST API (version 2): one experiment an entry, a table each for status, results and links, uploads.

An experiment of ours carries our identifier in an extra field, set in the very call that makes it, so that a second
create finds the first. People announce an experiment by a tag. Its announcements are polled, newest change first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import elabftw_body as text
from labrelay.records.eln.elabftw_news import IDENTIFIER, announcement, extra_field
from labrelay.records.eln.port import (
    FILE,
    Account,
    ChangedThere,
    Entry,
    FilePart,
    Heading,
    News,
    Notebook,
    Page,
    Part,
    PartThere,
)
from labrelay.records.eln.rest import Rest

TITLE_LENGTH, PAGE_SIZE, SHOWN = 255, 50, 500
NORMAL, ARCHIVED, DELETED = 1, 2, 3  # states of experiments and of uploads
# Times are the server's local ones: when summer time ends an hour comes twice; a late commit carries an earlier time.
OVERLAP = timedelta(hours=2)
ALL_STATES = f"{NORMAL},{ARCHIVED},{DELETED}"
NUMBER = re.compile(r"[0-9]{1,18}")
Entity = Mapping[str, Any]
# Without its text or its fields an experiment of ours would be made, or written, as if they were empty.
LISTED = {"id": int, "metadata": str | dict | None}
CHANGED = LISTED | {"modified_at": str, "body": str | None}
WHOLE = LISTED | {"body": str | None, "uploads": [{"id": int, "real_name": str}]}


def open_notebook(account: Account) -> Notebook:
    """Return eLabFTW; nothing is asked yet.

    Args:
        account: `token` is an API key that may write; `options` may name `tag`, which marks announcements
            (`labrelay`), and `category`, a number, for experiments that we make.

    Raises:
        RefusedInput: There is no such option, or a category is no number.
    """
    problems = [
        Problem(code="OPTION_UNKNOWN", message=f"eln_options: eLabFTW has no {name}; there are tag and category")
        for name in account.options
        if name not in ("tag", "category")
    ]
    category = account.options.get("category")
    if category is not None and not NUMBER.fullmatch(category):
        problems.append(Problem(code="OPTION_VALUE", message=f"eln_options: category is a number, not {category}"))
    if problems:
        raise RefusedInput("the settings of eLabFTW", problems)
    return ELabFTW(account)


class ELabFTW:
    """One eLabFTW by one API key; see `port.Notebook` for what the methods answer."""

    system = "elabftw"
    title = "eLabFTW"

    def __init__(self, account: Account) -> None:
        self._url, self._options = account.url.rstrip("/"), account.options
        headers = {"Authorization": account.token, "Accept": "application/json"}
        self._rest = Rest(self.title, f"{self._url}/api/v2", headers)

    def close(self) -> None:
        """Close connections."""
        self._rest.close()

    def url(self, external_id: str) -> str:
        """Return the page of an experiment."""
        return f"{self._url}/experiments.php?mode=view&id={quote(external_id, safe='')}"

    def check(self) -> list[Problem]:
        """Ask who we are and for one experiment; whether the key may write is seen only by writing."""
        try:
            self._rest.ask("GET", "/users/me", shape=dict)
            self._rest.ask("GET", "/experiments", params={"limit": 1}, shape=[LISTED])
        except Undeliverable as error:
            return [Problem(code="ELN_ACCOUNT", message=str(error))]
        return []

    def find(self, identifier: str) -> Entry | None:
        """Look for the experiment whose extra field holds our identifier, also a deleted one; the oldest counts."""
        query = f'extrafield:"{IDENTIFIER}":"{identifier}"'
        params = {"extended": query, "state": ALL_STATES, "scope": 3, "full": 1, "limit": PAGE_SIZE}
        listed = self._rest.ask("GET", "/experiments", params=params, shape=[LISTED]).body
        # The search also finds words that begin alike.
        found = [one for one in listed if extra_field(one, IDENTIFIER) == identifier]
        found.sort(key=lambda one: (one.get("state") == DELETED, one["id"]))
        return self._entry(found[0]) if found else None

    def create(self, identifier: str, heading: Heading) -> Entry:
        """Make the experiment with its identifier in one call, or return the one that is there."""
        found = self.find(identifier)
        if found is not None:
            return found
        field = {"type": "text", "value": identifier, "readonly": True, "description": "Set by Labrelay"}
        body: dict[str, Any] = {
            "title": " ".join(heading.title.split())[:TITLE_LENGTH] or identifier,
            "metadata": {"extra_fields": {IDENTIFIER: field}},
        }
        if "category" in self._options:
            body["category"] = int(self._options["category"])
        made = self._rest.ask("POST", "/experiments", json=body)
        external_id = made.location.rstrip("/").rsplit("/", 1)[-1]
        if not NUMBER.fullmatch(external_id):
            raise Undeliverable("eLabFTW did not say where the new experiment is; it is looked for again", retry=True)
        return Entry(external_id=external_id)

    def read(self, external_id: str) -> Page:
        """Return the experiment with our tables and files in it."""
        entity = self._entity(external_id)
        if entity is None:
            return Page(entry=_gone(external_id))
        return Page(entry=self._entry(entity), parts=_parts(entity))

    def digest(self, part: Part) -> str | None:
        """Return the digest of a part as `read` shows it."""
        return part.sha256 if isinstance(part, FilePart) else text.digest_of(part)

    def write(self, external_id: str, part: Part, expected: str | None) -> None:
        """Put a table into the text, or a file among the uploads, in the place of what was there."""
        entity = self._entity(external_id)
        entry = _gone(external_id) if entity is None else self._entry(entity)
        if entity is None or entry.state != "open":
            raise Undeliverable(f"experiment {external_id} in eLabFTW is {entry.state}: {entry.why}", retry=False)
        there = _parts(entity).get(part.name)
        if (None if there is None else there.digest) != expected:
            raise ChangedThere(part.name)
        if isinstance(part, FilePart):
            self._upload(external_id, part, None if there is None else there.external_id)
        else:
            body = text.with_part(str(entity.get("body") or ""), part)
            self._rest.ask("PATCH", f"/experiments/{external_id}", json={"body": body})

    def announced_since(self, cursor: str | None) -> News:
        """Return the tagged experiments that were changed since, and those of the overlap again."""
        since, found, newest = _before(cursor), [], cursor or ""
        for entity in self._changed():
            changed = entity["modified_at"]
            if changed < since:
                break
            newest = max(newest, changed)
            if extra_field(entity, IDENTIFIER) is None:
                found.append(announcement(entity))
        return News(announcements=tuple(reversed(found)), cursor=newest)

    def _changed(self) -> Iterator[Entity]:
        """Yield the tagged experiments, newest change first."""
        params: dict[str, Any] = {
            "tags[]": self._options.get("tag", "labrelay"),
            "order": "lastchange",
            "sort": "desc",
            "scope": 3,
            "full": 1,
            "limit": PAGE_SIZE,
        }
        offset = 0
        while True:
            listed = self._rest.ask("GET", "/experiments", params=params | {"offset": offset}, shape=[CHANGED]).body
            yield from listed
            if len(listed) < PAGE_SIZE:
                return
            offset += PAGE_SIZE

    def _upload(self, external_id: str, part: FilePart, replaced: str | None) -> None:
        path = f"/experiments/{external_id}/uploads" + ("" if replaced is None else f"/{replaced}")
        file = (part.file_name, part.path.read_bytes(), part.media_type)
        self._rest.ask("POST", path, files={"file": file}, data={"comment": part.title})

    def _entity(self, external_id: str) -> Entity | None:
        if not NUMBER.fullmatch(external_id):
            return None
        answer = self._rest.ask("GET", f"/experiments/{external_id}", known=(404,), shape=WHOLE)
        return answer.body if answer.status != 404 else None

    def _entry(self, entity: Entity) -> Entry:
        external_id = str(entity["id"])
        if entity.get("state") == DELETED:
            return Entry(external_id=external_id, state="deleted", why=f"changed last {entity.get('modified_at')}")
        if entity.get("state") == ARCHIVED:
            return Entry(external_id=external_id, state="locked", why="it is archived")
        if entity.get("locked"):
            return Entry(
                external_id=external_id, state="locked", why=f"locked {entity.get('locked_at') or 'by somebody'}"
            )
        return Entry(external_id=external_id)


def _before(cursor: str | None) -> str:
    """Return the time from which changes are heard once more; before all times when there is none to reckon from."""
    try:
        return (datetime.fromisoformat(cursor or "") - OVERLAP).isoformat(" ")
    except ValueError:
        return ""


def _parts(entity: Entity) -> dict[str, PartThere]:
    body = str(entity.get("body") or "")
    parts = {}
    for part in text.CAPTIONS:
        digest = text.part_digest(body, part)
        if digest is not None:
            parts[part] = PartThere(digest=digest, text=text.part_text(body, part)[:SHOWN])
    # Of files of one name the newest counts; a replaced one is archived, a removed one deleted.
    for upload in sorted(entity["uploads"], key=lambda one: one["id"]):
        if upload.get("state") == NORMAL:
            found = PartThere(digest=_file_digest(upload), external_id=str(upload["id"]))
            parts[f"{FILE}{upload['real_name']}"] = found
    return parts


def _file_digest(upload: Entity) -> str:
    """Return the sha256 that eLabFTW took of a file; a digest of another kind is equal to none of ours."""
    if upload.get("hash_algorithm") == "sha256":
        return str(upload.get("hash"))
    return f"{upload.get('hash_algorithm')}:{upload.get('hash')}"


def _gone(external_id: str) -> Entry:
    return Entry(external_id=external_id, state="deleted", why="there is no such experiment, or we may not see it")

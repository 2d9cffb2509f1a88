"""The calls of Benchling's API that we need, by its own client: plain values in and out, one kind of error.

Imported only when Benchling is the notebook. Calls are paced to the 300 in 30 seconds that an app has, and are not
repeated here: what failed is told again later by the outbox, which knows when.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import httpx
from benchling_sdk.auth.client_credentials_oauth2 import ClientCredentialsOAuth2
from benchling_sdk.benchling import Benchling
from benchling_sdk.errors import BenchlingError, WaitForTaskExpiredError
from benchling_sdk.helpers.serialization_helpers import custom_fields as as_custom
from benchling_sdk.helpers.serialization_helpers import fields as as_fields
from benchling_sdk.helpers.task_helpers import TaskFailureException
from benchling_sdk.models import (
    AssayResultCreate,
    AssayResultsArchiveReason,
    BlobCreate,
    BlobCreateType,
    BlobMultipartCreate,
    BlobMultipartCreateType,
    BlobPartCreate,
    CustomEntityCreate,
    CustomEntityUpdate,
    EntryCreate,
    ListEntriesSort,
)

from labrelay.model.names import printable
from labrelay.records.delivery import DOWN, LATER, Undeliverable, wait_seconds
from labrelay.records.eln.benchling_content import FieldValue

CALLS, SECONDS = 300, 30.0  # what Benchling grants an app
TIMEOUT = 30.0
AT_ONCE = 100  # results that are made in one call and answered at once; more become a task that is waited for
MOST_RESULTS = 4000  # of one task
MOST_BYTES = 10_000_000  # of a file in one call; a part must not be smaller, but for the last
TASK_POLL = 1  # seconds between looks at a task
TASK_SECONDS = 120  # less than the lease of a message
ANY_STATE = "ANY_ARCHIVED_OR_NOT_ARCHIVED"

Thing = Mapping[str, Any]
SchemaKind = Literal["entity", "entry", "assay result"]


class Pace:
    """Lets so many calls go in so many seconds, and waits longer when Benchling says that none is left."""

    def __init__(
        self,
        calls: int = CALLS,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds, self._clock, self._sleep = seconds, clock, sleep
        self._sent: deque[float] = deque(maxlen=calls)
        self._not_before = 0.0

    def before(self, _request: httpx.Request | None = None) -> None:
        """Wait until a call may go."""
        full = len(self._sent) == self._sent.maxlen
        due = max(self._not_before, self._sent[0] + self._seconds if full else 0.0)
        pause = due - self._clock()
        if pause > 0:
            self._sleep(min(pause, self._seconds))
        self._sent.append(self._clock())

    def after(self, response: httpx.Response) -> None:
        """Note what Benchling says of its limit, which our other processes use as well."""
        if response.headers.get("x-rate-limit-remaining") == "0":
            self._not_before = self._clock() + seconds_of(response.headers)


def seconds_of(headers: Mapping[str, str]) -> float:
    """Return for how many seconds an answer asks to be left alone, 0 when it does not say."""
    return wait_seconds(headers.get("retry-after")) or wait_seconds(headers.get("x-rate-limit-reset"))


class Api:
    """One app's access to one tenant; every method raises `Undeliverable` when Benchling does not do it."""

    def __init__(self, url: str, client_id: str, secret: str, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._pace.before], "response": [self._pace.after]}
        self._http = httpx.Client(timeout=TIMEOUT, event_hooks=hooks, follow_redirects=False)
        login = ClientCredentialsOAuth2(client_id, secret, httpx_client=httpx.Client(timeout=TIMEOUT))
        self._sdk = Benchling(url, login, retry_strategy=None, httpx_client=self._http)

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def schema(self, kind: SchemaKind, schema: str) -> Thing:
        """Return a schema with its field definitions."""
        service = self._sdk.schemas
        by_kind: dict[SchemaKind, Callable[[str], Any]] = {
            "entity": service.get_entity_schema_by_id,
            "entry": service.get_entry_schema_by_id,
            "assay result": service.get_assay_result_schema_by_id,
        }
        with asking(f"the {kind} schema {schema}"):
            return _plain(by_kind[kind](schema))

    def folder(self, folder: str) -> Thing:
        """Return a folder."""
        with asking(f"the folder {folder}"):
            return _plain(self._sdk.folders.get_by_id(folder))

    def project(self, project: str) -> Thing:
        """Return a project."""
        with asking(f"the project {project}"):
            return _plain(self._sdk.projects.get_by_id(project))

    def entry(self, entry: str) -> Thing | None:
        """Return a notebook entry without its text; None when there is none."""
        return _found(f"the entry {entry}", lambda: self._sdk.entries.get_entry_by_id(entry))

    def entity(self, entity: str) -> Thing | None:
        """Return a custom entity; None when there is none."""
        return _found(f"the entity {entity}", lambda: self._sdk.custom_entities.get_by_id(entity))

    def entries_by_id(self, entries: Sequence[str]) -> list[Thing]:
        """Return notebook entries without their text; those that cannot be seen are left out."""
        found: list[Thing] = []
        with asking("the entries"):
            for start in range(0, len(entries), 50):
                some = self._sdk.entries.bulk_get_entries(entry_ids=list(entries[start : start + 50]))
                found += map(_plain, some or [])
        return found

    def entries(self, schema: str, modified_after: str | None) -> list[Thing]:
        """Return the entries of a schema, also archived ones, that were changed after a time; oldest change first."""
        with asking("the entries"):
            pages = self._sdk.entries.list_entries(
                schema_id=schema,
                modified_at=None if modified_after is None else f"> {modified_after}",
                sort=ListEntriesSort.MODIFIEDATASC,
                archive_reason=ANY_STATE,
                page_size=100,
            )
            return [_plain(entry) for page in pages for entry in page]

    def entry_by_name(self, name: str, folder: str) -> Thing | None:
        """Return the oldest entry of this very name in a folder; None for none."""
        with asking(f"the entry {name}"):
            pages = self._sdk.entries.list_entries(
                name=name, sort=ListEntriesSort.CREATEDATASC, archive_reason=ANY_STATE, page_size=100
            )
            found = [_plain(entry) for page in pages for entry in page]
        return next((one for one in found if one.get("name") == name and one.get("folderId") == folder), None)

    def create_entry(self, name: str, folder: str, custom: Mapping[str, str]) -> Thing:
        """Make a notebook entry; its text stays empty, because only people can write it."""
        shown = as_custom({key: {"value": value} for key, value in custom.items()})
        with asking(f"to make the entry {name}"):
            return _plain(self._sdk.entries.create_entry(EntryCreate(name=name, folder_id=folder, custom_fields=shown)))

    def entities(
        self, schema: str, fields: Mapping[str, str] | None = None, modified_after: str | None = None
    ) -> list[Thing]:
        """Return the custom entities of a schema, oldest first, also archived ones, by field values or change."""
        with asking("the entities"):
            pages = self._sdk.custom_entities.list(
                schema_id=schema,
                schema_fields=dict(fields) if fields else None,
                modified_at=None if modified_after is None else f"> {modified_after}",
                archive_reason=ANY_STATE,
                sort="createdAt:asc",
                page_size=100,
            )
            return [_plain(entity) for page in pages for entity in page]

    def create_entity(self, name: str, schema: str, folder: str, fields: Mapping[str, FieldValue]) -> Thing:
        """Make a custom entity."""
        wanted = CustomEntityCreate(name=name, schema_id=schema, folder_id=folder, fields=_fields(fields))
        with asking(f"to make the entity {name}"):
            return _plain(self._sdk.custom_entities.create(wanted))

    def update_entity(self, entity: str, fields: Mapping[str, FieldValue]) -> Thing:
        """Set some fields of a custom entity; the others stay."""
        with asking(f"to change the entity {entity}"):
            return _plain(self._sdk.custom_entities.update(entity, CustomEntityUpdate(fields=_fields(fields))))

    def results(self, schema: str, entity: str) -> dict[str, Thing]:
        """Return the results, not archived, that point to an entity, by their ids."""
        with asking(f"the results of {entity}"):
            pages = self._sdk.assay_results.list(schema_id=schema, entity_ids=[entity], page_size=100)
            found = [_plain(result) for page in pages for result in page]
        return {str(result["id"]): result for result in found}

    def create_results(self, schema: str, project: str | None, wanted: Mapping[str, Mapping[str, FieldValue]]) -> None:
        """Make results under our own ids; up to a hundred at once, more by tasks of 4,000 that are waited for."""
        made = [self._result(schema, project, result, fields) for result, fields in wanted.items()]
        with asking("to make results"):
            if 0 < len(made) <= AT_ONCE:
                self._sdk.assay_results.create(made)
            for start in range(0, len(made) if len(made) > AT_ONCE else 0, MOST_RESULTS):
                task = self._sdk.assay_results.bulk_create(made[start : start + MOST_RESULTS])
                task.wait_for_response(interval_wait_seconds=TASK_POLL, max_wait_seconds=TASK_SECONDS)

    def archive_results(self, results: Sequence[str]) -> None:
        """Archive results that others replace."""
        with asking("to archive results"):
            for start in range(0, len(results), AT_ONCE):
                batch = list(results[start : start + AT_ONCE])
                self._sdk.assay_results.archive(batch, AssayResultsArchiveReason.ARCHIVED)

    def upload(self, name: str, media_type: str, content: bytes) -> str:
        """Store a file and return the id of its blob; over 10 MB it goes in parts.

        Its client's own short ways break the Base64 into lines, which Benchling's document does not allow, and send
        bytes of any size in one call, which Benchling refuses.
        """
        blobs = self._sdk.blobs
        with asking(f"to store {name}"):
            if len(content) <= MOST_BYTES:
                data, md5 = _encoded(content)
                blob = BlobCreate(name=name, type=BlobCreateType.RAW_FILE, data64=data, md5=md5, mime_type=media_type)
                return str(blobs.create(blob, timeout_seconds=TIMEOUT).id)
            kind = BlobMultipartCreateType.RAW_FILE
            begun = blobs.create_multipart_upload(BlobMultipartCreate(name=name, type=kind, mime_type=media_type))
            parts = []
            for number, start in enumerate(range(0, len(content), MOST_BYTES), 1):
                data, md5 = _encoded(content[start : start + MOST_BYTES])
                part = BlobPartCreate(part_number=number, data64=data, md5=md5)
                parts.append(blobs.create_part(begun.id, part, timeout_seconds=TIMEOUT))
            return str(blobs.complete_multipart_upload(begun.id, parts).id)

    def blob_names(self, blobs: Sequence[str]) -> dict[str, str]:
        """Return the names of files by their blobs."""
        with asking("the files"):
            return {str(blob.id): str(blob.name) for blob in self._sdk.blobs.bulk_get(blobs)}

    def _result(
        self, schema: str, project: str | None, result: str, fields: Mapping[str, FieldValue]
    ) -> AssayResultCreate:
        made = AssayResultCreate(schema_id=schema, fields=_fields(fields), id=result)
        if project is not None:
            made.project_id = project
        return made


class Refused(Undeliverable):
    """Benchling answered with an error; `status` is that of HTTP."""

    def __init__(self, message: str, status: int, *, retry: bool, retry_after: float = 0.0) -> None:
        super().__init__(message, retry=retry, retry_after=retry_after, down=status in DOWN)
        self.status = status


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn whatever Benchling's client raises into `Undeliverable`."""
    try:
        yield
    except BenchlingError as error:
        raise judge(error, what) from None
    except TaskFailureException as error:
        said = printable(str(error.message), 300)
        raise Undeliverable(f"Benchling did not do its task {what}: {said}", retry=False) from None
    except WaitForTaskExpiredError:
        raise Undeliverable(f"Benchling still works on {what}; it is looked at again later", retry=True) from None
    except httpx.HTTPError as error:
        reason = type(error).__name__
        raise Undeliverable(
            f"Benchling did not answer ({reason}) when asked for {what}", retry=True, down=True
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Its client trusts every answer of 200 to be JSON of the right shape.
        reason = type(error).__name__
        raise Undeliverable(f"Benchling's answer for {what} made no sense ({reason})", retry=True) from None


def judge(error: BenchlingError, what: str) -> Refused:
    """Return what a refusal means: whether to try again, when, and what a person can do."""
    status = error.status_code
    retry = status in LATER or status >= 500
    hint = {
        401: ": check the client id and eln_token",
        403: ": give the app access to it in Benchling",
        404: ": check the id in eln_options",
    }.get(status, "" if retry else f": {_said(error)}")
    text = f"Benchling answered {status} when asked for {what}{hint}"
    after = seconds_of(dict(error.headers or {})) if retry else 0.0
    return Refused(text, status, retry=retry, retry_after=after)


def _found(what: str, ask: Callable[[], Any]) -> Thing | None:
    try:
        with asking(what):
            return _plain(ask())
    except Refused as refused:
        # 400: "invalid id", which a well-formed id of something that is gone can be as well
        if refused.status in (400, 404):
            return None
        raise


def _encoded(content: bytes) -> tuple[str, str]:
    """Return Base64 and MD5 of bytes, as Benchling takes them."""
    return base64.b64encode(content).decode(), hashlib.md5(content, usedforsecurity=False).hexdigest()


def _said(error: BenchlingError) -> str:
    body: Any = error.json or {}
    inner = body.get("error") if isinstance(body, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else None
    return printable(str(message or "no reason given"), 300)


def _fields(given: Mapping[str, FieldValue]) -> Any:
    return as_fields({name: {"value": value} for name, value in given.items()})


def _plain(model: Any) -> Thing:
    found: Thing = model.to_dict()
    return found

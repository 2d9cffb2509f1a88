"""A small Benchling: entries, custom entities, assay results, blobs and tasks as its API describes them.

What it gets and what it answers is held against the OpenAPI document inside Benchling's own client; what the document
leaves open (unknown fields are refused, an id is used once, results cannot be changed) follows its reference pages.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import benchling_api_client
from openapi_contract import Broken, Contract
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

DOCUMENT = Path(benchling_api_client.__file__).parent / "v2" / "stable" / "openapi.yaml"
APP = {"handle": "labrelay", "id": "app_Labrelay", "name": "Labrelay"}
PERSON = {"handle": "ada", "id": "ent_Ada", "name": "Ada Lovelace"}
CLIENT_ID, SECRET = "client-1", "s3cret-of-the-app"
Json = dict[str, Any]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


class FakeBenchling:
    """The tenant; call it as an ASGI application.

    Attributes:
        calls: Method and path of each call that was answered, tokens left out.
        faults: What the next calls get in place of an answer: a status, `html`, or `lost` (done, then no answer).
        lose: Method and beginning of the path of a call that is done, and whose answer is lost.
        limit: Calls that are granted in the current window of 30 seconds; None for no limit.
        served: Method and path, as the document spells it, of what was asked.
        broken: Everything that was not as the document says; empty at the end of a good test.
    """

    def __init__(self) -> None:
        self.contract = Contract.load(DOCUMENT)
        self.calls: list[str] = []
        self.faults: list[int | str] = []
        self.lose: str | None = None
        self.limit: int | None = None
        self.reset_seconds = 7
        self.broken: list[str] = []
        self.served: set[tuple[str, str]] = set()
        self.schemas: dict[str, Json] = {}
        self.entries: dict[str, Json] = {}
        self.entities: dict[str, Json] = {}
        self.results: dict[str, Json] = {}
        self.blobs: dict[str, tuple[Json, bytes]] = {}
        self.tasks: dict[str, list[Json]] = {}
        self.folders = {"lib_Records": {"id": "lib_Records", "name": "Records", "projectId": "src_Lab"}}
        self.projects = {"src_Lab": {"id": "src_Lab", "name": "Lab"}}
        self.tokens: set[str] = set()
        self.token_seconds = 900
        self.slow_tasks = 1  # times that a task says RUNNING before it is done
        self._clock = datetime.now(UTC)
        self._count = 0

    # --- as a person or a test sees it

    def tick(self, seconds: float = 1.0) -> str:
        """Let time pass; return the new one."""
        self._clock += timedelta(seconds=seconds)
        return self._clock.isoformat(timespec="microseconds")

    def add_schema(self, kind: str, schema: str, fields: Mapping[str, str], multi: tuple[str, ...] = ()) -> None:
        """Make a schema of a kind (`custom_entity`, `entry`, `assay_result`) with fields and their types."""
        definitions = [
            {"id": f"tsf_{i}", "name": n, "type": t, "isMulti": n in multi, "isRequired": False, "archiveRecord": None}
            for i, (n, t) in enumerate(fields.items())
        ]
        made = {"id": schema, "name": schema.partition("_")[2], "type": kind, "fieldDefinitions": definitions}
        self.schemas[schema] = made

    def add_entry(self, schema: str | None, name: str, fields: Mapping[str, Any] | None = None) -> str:
        """Write an entry as a person does."""
        return str(self._make_entry(name, "lib_Records", schema, fields or {}, PERSON)["id"])

    def add_entity(self, schema: str, name: str, fields: Mapping[str, Any]) -> str:
        """Register an entity as a person does."""
        made = self._make_entity({"name": name, "schemaId": schema, "fields": _as_fields(fields)}, PERSON)
        return str(made["id"])

    def set_fields(self, thing: str, **fields: Any) -> None:
        """Change fields of an entry or entity as a person does."""
        found = self.entries.get(thing) or self.entities[thing]
        self._set(found, _as_fields(fields))

    def archive(self, thing: str, reason: str = "Made in error") -> None:
        """Archive anything as a person does."""
        for things in (self.entries, self.entities, self.results):
            if thing in things:
                things[thing]["archiveRecord"] = {"reason": reason}
                things[thing]["modifiedAt"] = self.tick()

    def live_results(self) -> list[Json]:
        """Return the results that are not archived."""
        return [result for result in self.results.values() if result["archiveRecord"] is None]

    # --- on the wire

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        raw = await request.body()
        response = self._respond(request, raw)
        if response is None:
            raise ConnectionResetError("the answer is lost, as the test asked for")
        await response(scope, receive, send)

    def _respond(self, request: Request, raw: bytes) -> Response | None:
        path = request.url.path
        if path == "/api/v2/token":
            return self._token(request, raw)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return JSONResponse({"error": {"type": "invalid_request_error", "message": "Invalid token"}}, 401)
        self.calls.append(f"{request.method} {path.removeprefix('/api/v2')}")
        limit = self._limited()
        if self.limit is not None and self.limit < 0:
            return JSONResponse(_error("Rate limit exceeded."), 429, limit)
        fault = self.faults.pop(0) if self.faults else None
        if fault == "html":
            return HTMLResponse("<!doctype html><p>We will be back soon</p>", 200, limit)
        if isinstance(fault, int):
            return JSONResponse(_error("as the test asked for"), fault, limit)
        answer = self._answer(request, raw, limit)
        if self.lose is not None and self.calls[-1].startswith(self.lose):
            self.lose, fault = None, "lost"
        return None if fault == "lost" else answer

    def _limited(self) -> dict[str, str]:
        if self.limit is None:
            return {}
        self.limit -= 1
        left = max(self.limit, 0)
        return {"x-rate-limit-remaining": str(left), "x-rate-limit-reset": str(self.reset_seconds)}

    def _token(self, request: Request, raw: bytes) -> Response:
        wanted = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {wanted}" or b"client_credentials" not in raw:
            body = {"error": {"message": "Client authentication failed", "type": "invalid_client"}}
            self._hold(lambda: self.contract.answer("/token", "POST", 401, body))
            return JSONResponse(body, 401)
        token = uuid.uuid4().hex
        self.tokens.add(token)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds}
        self._hold(lambda: self.contract.answer("/token", "POST", 200, body))
        return JSONResponse(body)

    def _answer(self, request: Request, raw: bytes, headers: dict[str, str]) -> Response:
        path = request.url.path.removeprefix("/api/v2")
        query = dict(parse_qsl(request.url.query, keep_blank_values=True))
        body = json.loads(raw) if raw else None
        for method, template, handler in (*ROUTES, *UPLOADS):
            match = re.fullmatch(re.sub(r"\{\w+\}", r"([^/:]+)", template), path)
            if method == request.method and match:
                self.served.add((method, template))
                self._hold(lambda m=method, t=template: self.contract.request(t, m, query, body))
                try:
                    status, answer = getattr(self, handler)(query, body, *match.groups())
                except Refused as refused:
                    status, answer = refused.status, _error(refused.message)
                # What the document does not name at all for an operation (404 of a run …) is not held against it.
                self._hold(lambda m=method, t=template, s=status, a=answer: self.contract.answer(t, m, s, a))
                return JSONResponse(answer, status, headers)
        self.broken.append(f"nobody answers {request.method} {path}")
        return JSONResponse(_error("no such path"), 404)

    def _hold(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Broken as broken:
            self.broken.append(str(broken))

    # --- operations: query, body, parts of the path -> status, answer

    def get_schema(self, _query: Json, _body: Any, schema: str) -> tuple[int, Json]:
        return 200, _found(self.schemas, schema)

    def get_folder(self, _query: Json, _body: Any, folder: str) -> tuple[int, Json]:
        return 200, _found(self.folders, folder)

    def get_project(self, _query: Json, _body: Any, project: str) -> tuple[int, Json]:
        return 200, _found(self.projects, project)

    def get_entry(self, _query: Json, _body: Any, entry: str) -> tuple[int, Json]:
        return 200, {"entry": _found(self.entries, entry)}

    def list_entries(self, query: Json, _body: Any) -> tuple[int, Json]:
        return 200, self._page("entries", list(self.entries.values()), query)

    def bulk_get_entries(self, query: Json, _body: Any) -> tuple[int, Json]:
        wanted = query["entryIds"].split(",")
        return 200, {"entries": [self.entries[entry] for entry in wanted if entry in self.entries]}

    def create_entry(self, _query: Json, body: Json) -> tuple[int, Json]:
        _found(self.folders, body["folderId"], 400)
        made = self._make_entry(body["name"], body["folderId"], body.get("schemaId"), body.get("fields") or {}, APP)
        made["customFields"] = body.get("customFields") or {}
        return 201, made

    def get_entity(self, _query: Json, _body: Any, entity: str) -> tuple[int, Json]:
        return 200, _found(self.entities, entity)

    def list_entities(self, query: Json, _body: Any) -> tuple[int, Json]:
        found = list(self.entities.values())
        for name, value in query.items():
            if name.startswith("schemaField."):
                field = name.removeprefix("schemaField.")
                found = [one for one in found if one["fields"].get(field, {}).get("value") == value]
        return 200, self._page("customEntities", found, query)

    def create_entity(self, _query: Json, body: Json) -> tuple[int, Json]:
        _found(self.folders, body["folderId"], 400)
        return 201, self._make_entity(body, APP)

    def update_entity(self, _query: Json, body: Json, entity: str) -> tuple[int, Json]:
        found = _found(self.entities, entity)
        if found["archiveRecord"]:
            raise Refused(400, "Cannot update an archived item")
        self._set(found, body.get("fields") or {})
        return 200, found

    def list_results(self, query: Json, _body: Any) -> tuple[int, Json]:
        found = list(self.results.values())
        if "entityIds" in query:
            linked = set(query["entityIds"].split(","))
            found = [r for r in found if linked & {str(f["value"]) for f in r["fields"].values()}]
        return 200, self._page("assayResults", found, query)

    def create_results(self, _query: Json, body: Json) -> tuple[int, Json]:
        return 200, {"assayResults": self._make_results(body["assayResults"]), "errors": None}

    def bulk_create_results(self, _query: Json, body: Json) -> tuple[int, Json]:
        wanted = body["assayResults"]
        if len(wanted) > 4000:
            raise Refused(400, "Limit of 4000 results per request")
        task = str(uuid.uuid4())
        try:
            done = {"status": "SUCCEEDED", "response": {"assayResults": self._make_results(wanted)}}
        except Refused as refused:
            done = {"status": "FAILED", "message": refused.message, "errors": [{"message": refused.message}]}
        self.tasks[task] = [{"status": "RUNNING"}] * self.slow_tasks + [done]
        return 202, {"taskId": task}

    def get_task(self, _query: Json, _body: Any, task: str) -> tuple[int, Json]:
        states = _found(self.tasks, task)
        return 200, states.pop(0) if len(states) > 1 else states[0]

    def archive_results(self, _query: Json, body: Json) -> tuple[int, Json]:
        for result in body["assayResultIds"]:
            if _found(self.results, result, 400)["archiveRecord"]:
                raise Refused(400, f"{result} is archived")
        for result in body["assayResultIds"]:
            self.archive(result, body.get("reason", "Other"))
        return 200, {"assayResultIds": body["assayResultIds"]}

    def create_blob(self, _query: Json, body: Json) -> tuple[int, Json]:
        content = base64.b64decode(body["data64"], validate=True)
        if len(content) > 10 << 20:
            raise Refused(400, "more than 10 MB: use a multi-part upload")
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != body["md5"]:
            raise Refused(400, "the MD5 is another")
        return 200, self.add_blob(body["name"], content, body.get("mimeType", "application/octet-stream"))

    def start_upload(self, _query: Json, body: Json) -> tuple[int, Json]:
        made = self.add_blob(body["name"], b"", body.get("mimeType", "application/octet-stream"))
        made["uploadStatus"] = "IN_PROGRESS"
        return 200, made

    def add_part(self, _query: Json, body: Json, blob: str) -> tuple[int, Json]:
        made, content = _found(self.blobs, blob)
        part = base64.b64decode(body["data64"], validate=True)
        self.blobs[blob] = (made, content + part)
        return 200, {"partNumber": body["partNumber"], "eTag": hashlib.md5(part, usedforsecurity=False).hexdigest()}

    def complete_upload(self, _query: Json, body: Json, blob: str) -> tuple[int, Json]:
        made, _content = _found(self.blobs, blob)
        assert [part["partNumber"] for part in body["parts"]] == list(range(1, len(body["parts"]) + 1))
        made["uploadStatus"] = "COMPLETE"
        return 200, made

    def add_blob(self, name: str, content: bytes, media_type: str = "text/html") -> Json:
        """Store a file, as a call or a person does."""
        blob = str(uuid.uuid4())
        made = {"id": blob, "name": name, "mimeType": media_type, "type": "RAW_FILE", "uploadStatus": "COMPLETE"}
        self.blobs[blob] = (made, content)
        return made

    def bulk_get_blobs(self, query: Json, _body: Any) -> tuple[int, Json]:
        return 200, {"blobs": [_found(self.blobs, blob, 400)[0] for blob in query["blobIds"].split(",")]}

    # --- how things are made

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count:08d}"

    def _make_entry(self, name: str, folder: str, schema: str | None, fields: Mapping[str, Any], by: Json) -> Json:
        entry = self._id("etr")
        now = self.tick()
        made = {
            "id": entry,
            "displayId": f"EXP{entry[-4:]}",
            "name": name,
            "folderId": folder,
            "createdAt": now,
            "modifiedAt": now,
            "creator": by,
            "authors": [by],
            "schema": None if schema is None else {"id": schema, "name": self.schemas[schema]["name"]},
            "fields": {},
            "customFields": {},
            "days": [],
            "archiveRecord": None,
            "reviewRecord": None,
            "webURL": f"https://tenant.test/lab/f/{folder}/{entry}/edit",
        }
        self.entries[entry] = made
        self._set(made, _as_fields(fields))
        return made

    def _make_entity(self, body: Json, by: Json) -> Json:
        schema = _found(self.schemas, body["schemaId"], 400)
        now = self.tick()
        made = {
            "id": self._id("bfi"),
            "name": body["name"],
            "aliases": [],
            "authors": [by],
            "creator": by,
            "createdAt": now,
            "modifiedAt": now,
            "schema": {"id": schema["id"], "name": schema["name"]},
            "fields": {},
            "customFields": {},
            "entityRegistryId": None,
            "registryId": None,
            "folderId": body.get("folderId"),
            "archiveRecord": None,
        }
        made["webURL"] = f"https://tenant.test/lab/f/{made['id']}/edit"
        self._set(made, body.get("fields") or {})
        self.entities[made["id"]] = made
        return made

    def _make_results(self, wanted: list[Json]) -> list[str]:
        """Make all or none."""
        for one in wanted:
            if one["id"] in self.results:
                raise Refused(400, f"a result {one['id']} is there already")
            self._known_fields(_found(self.schemas, one["schemaId"], 400), one["fields"])
        for one in wanted:
            schema, now = self.schemas[one["schemaId"]], self.tick(0.001)
            made = {
                "id": one["id"],
                "schema": {"id": schema["id"], "name": schema["name"]},
                "createdAt": now,
                "modifiedAt": now,
                "creator": APP,
                "projectId": one.get("projectId"),
                "entryId": None,
                "isReviewed": False,
                "archiveRecord": None,
                "fields": self._fields(schema, one["fields"]),
            }
            self.results[one["id"]] = made
        return [one["id"] for one in wanted]

    def _set(self, thing: Json, fields: Json) -> None:
        schema = self.schemas[thing["schema"]["id"]] if thing["schema"] else {"fieldDefinitions": []}
        self._known_fields(schema, fields)
        given = {name: field["value"] for name, field in thing["fields"].items()}
        given |= {name: field["value"] for name, field in fields.items()}
        thing["fields"] = self._fields(schema, _as_fields(given))
        thing["modifiedAt"] = self.tick()

    def _known_fields(self, schema: Json, fields: Json) -> None:
        strange = set(fields) - {field["name"] for field in schema["fieldDefinitions"]}
        if strange:
            raise Refused(400, f"the schema has no field {', '.join(sorted(strange))}")

    def _fields(self, schema: Json, given: Json) -> Json:
        """Return all fields of a schema as answers show them."""
        return {
            field["name"]: {
                "value": (value := given.get(field["name"], {}).get("value")),
                "isMulti": field["isMulti"],
                "type": field["type"],
                "textValue": None if value is None else str(value),
                "displayValue": None if value is None else str(value),
            }
            for field in schema["fieldDefinitions"]
        }

    def _page(self, name: str, found: list[Json], query: Json) -> Json:
        wanted = query.get("archiveReason", "NOT_ARCHIVED")
        if wanted == "NOT_ARCHIVED":
            found = [one for one in found if one["archiveRecord"] is None]
        if "schemaId" in query:
            found = [one for one in found if (one["schema"] or {}).get("id") == query["schemaId"]]
        if "name" in query:
            found = [one for one in found if one["name"] == query["name"]]
        if "modifiedAt" in query:
            sign, _, moment = query["modifiedAt"].partition(" ")
            assert sign == ">"
            since = datetime.fromisoformat(moment)
            found = [one for one in found if datetime.fromisoformat(one["modifiedAt"]) > since]
        key, _, way = query.get("sort", "modifiedAt:desc").partition(":")
        found = sorted(found, key=lambda one: one[key], reverse=way == "desc")
        start, size = int(query.get("nextToken") or 0), int(query.get("pageSize", 50))
        end = start + size
        return {name: found[start:end], "nextToken": str(end) if end < len(found) else ""}


ROUTES = (
    ("GET", "/entity-schemas/{schema_id}", "get_schema"),
    ("GET", "/entry-schemas/{schema_id}", "get_schema"),
    ("GET", "/assay-result-schemas/{schema_id}", "get_schema"),
    ("GET", "/folders/{folder_id}", "get_folder"),
    ("GET", "/projects/{project_id}", "get_project"),
    ("GET", "/entries", "list_entries"),
    ("POST", "/entries", "create_entry"),
    ("GET", "/entries:bulk-get", "bulk_get_entries"),
    ("GET", "/entries/{entry_id}", "get_entry"),
    ("GET", "/custom-entities", "list_entities"),
    ("POST", "/custom-entities", "create_entity"),
    ("GET", "/custom-entities/{custom_entity_id}", "get_entity"),
    ("PATCH", "/custom-entities/{custom_entity_id}", "update_entity"),
    ("GET", "/assay-results", "list_results"),
    ("POST", "/assay-results", "create_results"),
    ("POST", "/assay-results:bulk-create", "bulk_create_results"),
    ("POST", "/assay-results:archive", "archive_results"),
    ("GET", "/tasks/{task_id}", "get_task"),
    ("POST", "/blobs", "create_blob"),
    ("GET", "/blobs:bulk-get", "bulk_get_blobs"),
)
UPLOADS = (  # of large files, by Benchling's client
    ("POST", "/blobs:start-multipart-upload", "start_upload"),
    ("POST", "/blobs/{blob_id}/parts", "add_part"),
    ("POST", "/blobs/{blob_id}:complete-upload", "complete_upload"),
)


def _as_fields(values: Mapping[str, Any]) -> Json:
    return {name: value if isinstance(value, dict) else {"value": value} for name, value in values.items()}


def _found(things: Mapping[str, Any], wanted: str, status: int = 404) -> Any:
    if wanted not in things:
        raise Refused(status, f"there is no {wanted}")
    return things[wanted]


def _error(message: str) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "userMessage": message}}

"""A small eLabFTW: experiments and uploads of its REST API version 2, as its own client's models describe them.

Like the real one it cleans the text that it is given and writes its markup anew, answers a creation with 201 and the
address in `Location`, keeps metadata as JSON in a text, and tells times of its own clock without a zone.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from html import escape
from html.parser import HTMLParser
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

KEY = "3-a-key-of-the-lab"
NORMAL, ARCHIVED, DELETED = 1, 2, 3
Json = dict[str, Any]

# Fields and types of `Experiment` (an entity and what of it can be edited) and `Upload` in elabapi-python 6.0.1, as far
# as they are answered here; None may stand for a text or number that is not set.
EXPERIMENT: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "userid", "team", "locked", "state", "content_type", "timestamped", "lastchangeby"), int),
    **dict.fromkeys(("title", "created_at", "modified_at", "elabid", "type", "page", "fullname"), str),
    **dict.fromkeys(("body", "body_html", "metadata", "tags", "tags_id", "locked_at"), (str, type(None))),
    **dict.fromkeys(("category", "status", "custom_id", "lockedby"), (int, type(None))),
    **dict.fromkeys(("uploads", "steps", "comments", "experiments_links", "items_links"), list),
}
UPLOAD: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "item_id", "userid", "storage", "filesize", "state", "immutable"), int),
    **dict.fromkeys(("real_name", "long_name", "type", "created_at", "hash", "hash_algorithm", "fullname"), str),
    "comment": (str, type(None)),
}


class FakeELabFTW:
    """The instance; call it as an ASGI application.

    Attributes:
        faults: What the next calls get in place of an answer: a status, `html`, or `lost` (done, then a 502).
        calls: Method and path of each call.
    """

    def __init__(self) -> None:
        self.experiments: dict[int, Json] = {}
        self.files: dict[int, bytes] = {}
        self.faults: list[int | str] = []
        self.calls: list[str] = []
        self._clock, self._count = datetime(2026, 11, 28, 9, 0), 0
        routes = [
            Route("/users/me", self.me, methods=["GET"]),
            Route("/experiments", self.listed, methods=["GET"]),
            Route("/experiments", self.created, methods=["POST"]),
            Route("/experiments/{id:int}", self.one, methods=["GET"]),
            Route("/experiments/{id:int}", self.patched, methods=["PATCH"]),
            Route("/experiments/{id:int}/uploads", self.uploaded, methods=["POST"]),
            Route("/experiments/{id:int}/uploads/{subid:int}", self.replaced, methods=["POST"]),
        ]
        self._app = Starlette(routes=[Route(f"/api/v2{r.path}", r.endpoint, methods=r.methods) for r in routes])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope)
        self.calls.append(f"{request.method} {request.url.path.removeprefix('/api/v2')}")
        fault = self.faults.pop(0) if self.faults else None
        response: Response | None = None
        if request.headers.get("authorization") != KEY:
            response = problem(401, "No corresponding API key found!")
        elif fault == "html":
            response = HTMLResponse("<html>Please log in</html>")
        elif isinstance(fault, int):
            response = JSONResponse(
                {"code": fault, "message": "x", "description": "as asked"}, fault, {"Retry-After": "5"}
            )
        elif fault == "lost":
            await self._app(scope, receive, _nowhere)
            response = problem(502, "the answer is lost")
        await (response or self._app)(scope, receive, send)

    # --- as a person or a test sees it

    def tick(self, seconds: int = 1) -> str:
        """Let time pass; return the new one as eLabFTW writes it."""
        self._clock += timedelta(seconds=seconds)
        return self._clock.strftime("%Y-%m-%d %H:%M:%S")

    def add(self, title: str, body: str = "", tags: str | None = None, metadata: Any = None) -> int:
        """Make an experiment as a person does."""
        self._count += 1
        now = self.tick()
        self.experiments[self._count] = {
            "id": self._count,
            "title": title[:255],
            "body": clean(body),
            "tags": tags,
            "tags_id": None if tags is None else "1",
            "metadata": None if metadata is None else json.dumps(metadata),
            "state": NORMAL,
            "locked": 0,
            "lockedby": None,
            "locked_at": None,
            "userid": 1,
            "team": 1,
            "fullname": "Ada Lovelace",
            "content_type": 1,
            "category": None,
            "status": None,
            "custom_id": None,
            "created_at": now,
            "modified_at": now,
            "lastchangeby": 1,
            "elabid": f"20261128-{self._count:040x}",
            "type": "experiments",
            "page": "experiments",
            "timestamped": 0,
            "uploads": [],
            "steps": [],
            "comments": [],
            "experiments_links": [],
            "items_links": [],
        }
        return self._count

    def change(self, experiment: int, **values: Any) -> None:
        """Change an experiment as a person does."""
        if "body" in values:
            values["body"] = clean(values["body"])
        self.experiments[experiment].update(values, modified_at=self.tick())

    def add_file(self, experiment: int, name: str, content: bytes, comment: str | None = None) -> int:
        """Upload a file as a person does."""
        self._count += 1
        upload = {
            "id": self._count,
            "real_name": name,
            "long_name": f"{self._count:x}/{self._count:064x}",
            "comment": comment,
            "item_id": experiment,
            "userid": 1,
            "type": "experiments",
            "created_at": self.tick(),
            "hash": hashlib.sha256(content).hexdigest(),
            "hash_algorithm": "sha256",
            "storage": 1,
            "filesize": len(content),
            "state": NORMAL,
            "immutable": 0,
            "fullname": "Ada Lovelace",
        }
        self.experiments[experiment]["uploads"].append(upload)
        self.files[self._count] = content
        return self._count

    # --- on the wire

    async def me(self, request: Request) -> Response:
        return JSONResponse({"userid": 1, "fullname": "Ada Lovelace", "email": "ada@lab.test", "team": 1})

    async def listed(self, request: Request) -> Response:
        query = request.query_params
        states = {int(state) for state in query.get("state", "1").split(",")}
        found = [e for e in self.experiments.values() if e["state"] in states]
        if "tags[]" in query:
            wanted = set(query.getlist("tags[]"))
            found = [e for e in found if wanted <= set((e["tags"] or "").split("|"))]
        if "extended" in query:
            match = re.fullmatch(r'extrafield:"([^"]+)":"([^"]+)"', query["extended"])
            assert match, query["extended"]
            found = [e for e in found if match[2] in json.dumps(extra(e, match[1]))]  # as LIKE '%…%' does
        key = {"lastchange": "modified_at"}.get(query.get("order", ""), "id")
        found.sort(key=lambda e: (e[key], e["id"]), reverse=query.get("sort", "desc") == "desc")
        start, size = int(query.get("offset", 0)), int(query.get("limit", 15))
        answered = [self.shown(e) for e in found[start : start + size]]
        if query.get("full") != "1":
            answered = [{k: v for k, v in e.items() if k not in ("body", "body_html")} for e in answered]
        return JSONResponse([{k: v for k, v in e.items() if k != "uploads"} for e in answered])

    async def created(self, request: Request) -> Response:
        given = await request.json()
        made = self.add(given.get("title") or "Untitled", given.get("body") or "", metadata=given.get("metadata"))
        self.experiments[made]["category"] = given.get("category")
        return Response(status_code=201, headers={"Location": f"{request.base_url}api/v2/experiments/{made}"})

    async def one(self, request: Request) -> Response:
        found = self.experiments.get(request.path_params["id"])
        return problem(404, "Nothing to show with this id") if found is None else JSONResponse(self.shown(found))

    async def patched(self, request: Request) -> Response:
        found = self.experiments.get(request.path_params["id"])
        if found is None:
            return problem(404, "Nothing to show with this id")
        if found["locked"] or found["state"] != NORMAL:
            return problem(403, "This entry is locked and cannot be edited.")
        given = await request.json()
        if set(given) - {"title", "body", "metadata", "tags", "category", "status"}:
            return problem(400, "Invalid update target.")
        self.change(found["id"], **given)
        return JSONResponse(self.shown(found))

    async def uploaded(self, request: Request) -> Response:
        experiment = request.path_params["id"]
        if self.experiments[experiment]["locked"]:
            return problem(403, "This entry is locked and cannot be edited.")
        name, content, comment = uploaded_file(request.headers["content-type"], await request.body())
        made = self.add_file(experiment, name, content, comment)
        self.change(experiment)
        return Response(status_code=201, headers={"Location": f"{request.url}/{made}"})

    async def replaced(self, request: Request) -> Response:
        uploads = self.experiments[request.path_params["id"]]["uploads"]
        (old,) = (upload for upload in uploads if upload["id"] == request.path_params["subid"])
        answer = await self.uploaded(request)
        if answer.status_code == 201:
            old["state"] = ARCHIVED
        return answer

    def shown(self, experiment: Json) -> Json:
        """Return an experiment as it is answered, held against the client's models."""
        shown = {**experiment, "body_html": experiment["body"]}
        hold(shown, EXPERIMENT)
        for upload in shown["uploads"]:
            hold(upload, UPLOAD)
        return shown


def uploaded_file(content_type: str, body: bytes) -> tuple[str, bytes, str | None]:
    """Return name, bytes and comment of a form with a file."""
    form = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields = {str(part.get_param("name", header="content-disposition")): part for part in form.iter_parts()}
    comment = fields["comment"].get_content().strip() if "comment" in fields else None
    return str(fields["file"].get_filename()), fields["file"].get_payload(decode=True), comment


def extra(experiment: Json, name: str) -> Any:
    """Return the value of an extra field."""
    fields = json.loads(experiment["metadata"] or "{}").get("extra_fields", {})
    return fields.get(name, {}).get("value")


def hold(shown: Json, model: dict[str, type | tuple[type, ...]]) -> None:
    """Raise if an answer has another field or type than the client's model."""
    assert set(shown) == set(model), set(shown) ^ set(model)
    for name, kind in model.items():
        assert isinstance(shown[name], kind), (name, shown[name])


def problem(status: int, description: str) -> Response:
    """Return an error as eLabFTW words it."""
    return JSONResponse({"code": status, "message": "Error", "description": description}, status)


async def _nowhere(message: Any) -> None:
    """Take an answer that nobody gets."""


ALLOWED = {
    *("div", "p", "a", "b", "em", "strong", "span", "ul", "ol", "li", "h1", "h2", "h3", "hr", "br", "pre", "code"),
    *("table", "caption", "tr", "th", "td"),
}


class _Cleaner(HTMLParser):
    """Keeps the allowed elements and attributes, and writes everything in its own way."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.dropped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self.dropped += 1
        elif tag in ("hr", "br"):
            self.out.append(f"<{tag} />")
        elif tag in ALLOWED:
            href = dict(attrs).get("href") if tag == "a" else None
            kept = f' href="{escape(href)}" target="_blank" rel="noreferrer noopener"' if href else ""
            self.out.append(f"<{tag}{kept}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.dropped -= 1
        elif tag in ALLOWED and tag not in ("hr", "br"):
            self.out.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self.dropped:
            self.out.append(escape(data, quote=False).replace("\xa0", "&nbsp;"))


def clean(body: str) -> str:
    """Return a text as eLabFTW stores it: only some elements, no ids, classes or comments."""
    cleaner = _Cleaner()
    cleaner.feed(body)
    cleaner.close()
    return "".join(cleaner.out)

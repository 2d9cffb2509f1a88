"""The routes by which others tell us something: committed to the inbox, then answered, then worked off by `collect`."""

from __future__ import annotations

import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from labrelay.api.access import holder, home_of, known_parameters, needs
from labrelay.api.body import JSON, MIB, body_of, parse, shaped
from labrelay.api.problems import responses
from labrelay.api.shapes import Accepted, MessageState
from labrelay.api.signatures import SCHEMES, Signed
from labrelay.model.announcement import ANNOUNCED, EVENT, EXPERIMENT, KIND_PATTERN, Announcement, Event
from labrelay.model.errors import Denied
from labrelay.model.names import printable
from labrelay.records import inbox
from labrelay.records.inbox import InboxMessage
from labrelay.records.schema import InboxRow
from labrelay.records.tokens import Token
from labrelay.steps.home import Home
from labrelay.steps.messages import HANDLERS

log = logging.getLogger(__name__)
router = APIRouter(dependencies=[Depends(known_parameters)])
LIMIT, LARGE = MIB, 5 * MIB  # of messages; of announcements, which hold thousands of samples
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="the message's id, your own: the same message again, under the same id, is taken once",
    ),
]


def _body(shape: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI of a body that we read ourselves."""
    schema = {"$ref": f"#/components/schemas/{shape.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


# What becomes of it can be read: a program that reads the OpenAPI finds the way.
TAKEN: dict[int | str, dict[str, Any]] = {
    202: {"links": {"outcome": {"operationId": "message", "parameters": {"id": "$response.body#/id"}}}}
}
REFUSALS = (400, 408, 409, 413, 415, 422, 503)


@router.post(
    "/experiments", status_code=202, responses=TAKEN | responses(401, 403, *REFUSALS), openapi_extra=_body(Announcement)
)
async def announce(
    request: Request,
    response: Response,
    token: Annotated[Token, Depends(needs("announce"))],
    key: Key,
    raw: Annotated[bytes, Depends(body_of(LARGE))],
) -> Accepted:
    """Announce an experiment with its samples, before the instrument runs."""
    value = await run_in_threadpool(parse, raw)
    await run_in_threadpool(shaped, Announcement, value)
    payload = {"scheme": ANNOUNCED, "kind": EXPERIMENT, "data": value}
    return await _take(request, response, InboxMessage(source=_source(token), message_id=key, payload=payload))


@router.post("/events", status_code=202, responses=TAKEN | responses(401, 403, *REFUSALS), openapi_extra=_body(Event))
async def tell(
    request: Request,
    response: Response,
    token: Annotated[Token, Depends(needs("event"))],
    key: Key,
    raw: Annotated[bytes, Depends(body_of(LIMIT))],
) -> Accepted:
    """Tell that something happened, such as that a run folder is complete."""
    event = await run_in_threadpool(_event, raw)
    payload = {"scheme": EVENT, "kind": event.kind, "data": dict(event.data)}
    return await _take(request, response, InboxMessage(source=_source(token), message_id=key, payload=payload))


@router.post(
    "/hooks/{source}", status_code=202, responses=TAKEN | responses(401, 404, *REFUSALS), openapi_extra=_body(Event)
)
async def hook(
    request: Request,
    response: Response,
    source: Annotated[str, Path(pattern=KIND_PATTERN)],
) -> Accepted:
    """Take a signed webhook; who may send which is in the settings (`hooks`), and how each is signed."""
    scheme, secrets = _signing(home_of(request), source)
    raw = await body_of(LIMIT)(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        message_id = await run_in_threadpool(SCHEMES[scheme], Signed(headers, raw), secrets, time.time())
    except Denied as error:
        log.warning("a webhook for %s was refused: %s", source, error)
        raise HTTPException(
            401,
            f"this is not a message that {source} has signed within the last five minutes",
            {"WWW-Authenticate": "Signature"},
        ) from None
    if (scheme, None) not in HANDLERS:  # its bodies are events
        event = await run_in_threadpool(_event, raw)
        payload: dict[str, Any] = {"scheme": scheme, "kind": event.kind, "data": dict(event.data)}
    else:
        payload = {"scheme": scheme, "kind": None, "data": await run_in_threadpool(parse, raw)}
    message = InboxMessage(source=f"{inbox.HOOK}{source}", message_id=message_id, payload=payload)
    return await _take(request, response, message)


@router.get("/messages/{id}", operation_id="message", responses=responses(401, 404, 422, 503))
def message(
    request: Request,
    token: Annotated[Token, Depends(holder)],
    id: Annotated[str, Path(pattern=r"^msg_[1-9][0-9]{0,15}$", description="as the 202 said it")],
) -> MessageState:
    """Say what has become of a message: a token sees those that it sent, with the scope `read` all."""
    with home_of(request).records.read() as session:
        row = session.get(InboxRow, int(id.removeprefix("msg_")))
        seen = row is not None and ("read" in token.scopes or row.source == _source(token))
        if row is None or not seen:
            raise HTTPException(404, f"there is no message {id} that this token may see")
        return MessageState.of(row)


def _event(raw: bytes) -> Event:
    return shaped(Event, parse(raw))


def _source(token: Token) -> str:
    return f"{inbox.TOKEN}{token.name}"


def _signing(home: Home, source: str) -> tuple[str, list[bytes]]:
    hook = home.settings.hooks.get(source)
    if hook is None:
        raise HTTPException(
            404, f"no webhook called {printable(source, 60)} is set up here: docs/front-door.md says how"
        )
    return hook.scheme, hook.signers


async def _take(request: Request, response: Response, message: InboxMessage) -> Accepted:
    home = home_of(request)
    posted = await run_in_threadpool(request.app.state.inlet.post, message)
    id = f"msg_{posted.number}"
    url = f"{(home.settings.base_url or '').rstrip('/')}{request.url_for('message', id=id).path}"
    response.headers["Location"] = url
    return Accepted(id=id, url=url, new=posted.new)

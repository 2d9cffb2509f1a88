"""What is answered instead of a result: RFC 9457 problems, one sentence each, never a word of the request's secrets."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from labrelay.model.announcement import LINE_PATTERN, LINE_WORDS
from labrelay.model.errors import Conflict, LabrelayError, NotFound, UsageError
from labrelay.model.names import on_one_line

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
UNAVAILABLE = "the metadata store cannot be reached or is busy, and nothing was taken: send the same again later"
KINDS = {"missing": "is missing", "extra_forbidden": "is no field that is known here", "json_invalid": "is no JSON"}
BROKEN = "an unexpected error stopped this request, and the log of the server says which"


class ProblemDetails(BaseModel):
    """A problem as RFC 9457 has it."""

    type: str = Field("about:blank", description="always `about:blank`: the status says the kind")
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="one sentence: what is wrong and what to do")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of these statuses."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that tells of a problem."""
    body = ProblemDetails(title=HTTPStatus(status).phrase, status=status, detail=on_one_line(detail))
    return JSONResponse(body.model_dump(), status, dict(headers or {}), MEDIA_TYPE)


def unavailable() -> Response:
    """Return the answer when the metadata store does not answer."""
    return problem(503, UNAVAILABLE, {"Retry-After": str(RETRY_SECONDS)})


def status_of(error: LabrelayError) -> int:
    """Return the HTTP status for an error that a step raised."""
    if error.retryable:
        return 503
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, Conflict):
        return 409
    return 422 if isinstance(error, UsageError) else 500


def sentence_of(errors: Sequence[Any]) -> str:
    """Return what is wrong with a request's parameters or body, without the values that came."""
    if not errors:
        return "the request is not as it has to be"
    place, *inner = (str(part) for part in errors[0]["loc"])
    where = ".".join(inner) or f"the {place}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    words = LINE_WORDS if LINE_PATTERN in errors[0]["msg"] else str(errors[0]["msg"])
    told = KINDS.get(errors[0]["type"]) or f"is not as it has to be: {words[:1].lower()}{words[1:]}"
    return f"{where} {told}{more}; /api/openapi.json says what is taken"


def install(app: FastAPI) -> None:
    """Let an app answer every kind of error with a problem."""

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        return problem(422, sentence_of(error.errors()))

    @app.exception_handler(LabrelayError)
    async def _expected(_request: Request, error: LabrelayError) -> Response:
        status = 503 if isinstance(error.__cause__, DBAPIError) else status_of(error)
        if status == 503:
            return unavailable()
        if status == 500:
            return broken(error)
        return problem(status, str(error))

    for kind in (OperationalError, InterfaceError, PoolTimeout):

        @app.exception_handler(kind)
        async def _database(_request: Request, error: DBAPIError) -> Response:
            # Its own text holds the statement's parameters.
            log.error("the metadata store does not answer: %s", type(error).__name__)
            return unavailable()


def broken(error: BaseException) -> Response:
    """Log where an unexpected error came from, without its text, which may quote what was sent, and answer."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("a request failed with %s at\n%s", type(error).__name__, where)
    return problem(500, BROKEN)

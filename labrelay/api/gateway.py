"""The front door behind Amazon API Gateway: one AWS Lambda event in, one answer out."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlalchemy.exc import OperationalError

from labrelay.api.app import make_app
from labrelay.api.guard import HEADERS
from labrelay.api.problems import MEDIA_TYPE, RETRY_SECONDS, UNAVAILABLE, ProblemDetails
from labrelay.model.errors import LabrelayError, MissingTool
from labrelay.steps.home import open_home
from labrelay.steps.settings import find_home


def answer(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an event of payload format 1.0 or 2.0; one that is neither is answered as a bad request."""
    try:
        handler = _handler()
    except (LabrelayError, OperationalError) as error:
        if isinstance(error, LabrelayError) and not error.retryable:
            raise
        return _told(503, "Service Unavailable", UNAVAILABLE)
    try:
        found: dict[str, Any] = handler(event, context)
    except (ValueError, RuntimeError, KeyError):  # what Mangum says of events that are no requests, or of false base64
        return _told(400, "Bad Request", "this event is no request of an API Gateway")
    return found


def _told(status: int, title: str, detail: str) -> dict[str, Any]:
    body = json.dumps(ProblemDetails(title=title, status=status, detail=detail).model_dump())
    headers = {**HEADERS, "Content-Type": MEDIA_TYPE}
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}


@cache
def _handler() -> Any:
    """Return the handler of the home that LABRELAY_HOME names; a process serves one home as long as it lives."""
    try:
        from mangum import Mangum
    except ImportError:
        raise MissingTool("the Lambda handler needs mangum: pip install 'labrelay[serve]'") from None
    return Mangum(make_app(open_home(find_home())), lifespan="off")

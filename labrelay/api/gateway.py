"""The front door behind Amazon API Gateway: one AWS Lambda event in, one answer out."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from labrelay.api.app import make_app
from labrelay.api.guard import HEADERS
from labrelay.api.problems import MEDIA_TYPE, ProblemDetails
from labrelay.model.errors import MissingTool
from labrelay.steps.home import open_home
from labrelay.steps.settings import find_home


def answer(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an event of payload format 1.0 or 2.0; one that is neither is answered as a bad request."""
    try:
        found: dict[str, Any] = _handler()(event, context)
    except (ValueError, RuntimeError, KeyError):  # what Mangum says of events that are no requests, or of false base64
        told = ProblemDetails(title="Bad Request", status=400, detail="this event is no request of an API Gateway")
        headers = {**HEADERS, "Content-Type": MEDIA_TYPE}
        return {"statusCode": 400, "headers": headers, "body": json.dumps(told.model_dump()), "isBase64Encoded": False}
    return found


@cache
def _handler() -> Any:
    """Return the handler of the home that LABRELAY_HOME names; a process serves one home as long as it lives."""
    try:
        from mangum import Mangum
    except ImportError:
        raise MissingTool("the Lambda handler needs mangum: pip install 'labrelay[serve]'") from None
    return Mangum(make_app(open_home(find_home())), lifespan="off")

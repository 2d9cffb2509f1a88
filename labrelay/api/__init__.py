"""How does lab software talk to us? What the door is told is durable before it answers; the work comes later."""

from __future__ import annotations

from typing import Any


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a request that Amazon API Gateway (payload format 1.0 or 2.0) hands to AWS Lambda.

    The home is that of LABRELAY_HOME; it is opened by the first request and kept.
    """
    from labrelay.api.gateway import answer

    return answer(event, context)

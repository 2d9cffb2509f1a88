"""The front door as an ASGI app around one open home."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from labrelay.api import problems, reading, telling
from labrelay.api.guard import Guard
from labrelay.api.inlet import Inlet
from labrelay.api.signatures import SCHEMES
from labrelay.model.announcement import Announcement, Event
from labrelay.model.errors import UsageError
from labrelay.model.names import printable
from labrelay.steps.home import Home
from labrelay.steps.messages import HANDLERS

BUSY_SECONDS = 5  # somebody waits for an answer: after these it is 503, try again
REFERENCE = "#/components/schemas/{model}"


def make_app(home: Home) -> FastAPI:
    """Return the app; it serves this home, which the caller closes in the end.

    Raises:
        UsageError: The settings name a scheme of webhooks that there is not, or with whose messages nothing is done.
    """
    for name, hook in home.settings.hooks.items():
        if hook.scheme not in SCHEMES:
            there = ", ".join(sorted(SCHEMES))
            raise UsageError(f"the webhook {name} has no scheme {printable(hook.scheme, 60)} to be signed by: {there}")
        if not any(scheme == hook.scheme for scheme, _kind in HANDLERS):
            raise UsageError(
                f"the webhook {name} has the scheme {hook.scheme}, with whose messages nothing is done here: "
                "give it another, or give the scheme a line in labrelay/steps/messages.py"
            )
    home.records.hurry(BUSY_SECONDS)
    app = _Door(
        title="Labrelay",
        version=version("labrelay"),
        summary="The front door for lab software: announce experiments, tell of runs, read results.",
        openapi_url="/api/openapi.json",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.home, app.state.inlet = home, Inlet(home.records)
    problems.install(app)
    for router in (telling.router, reading.router):
        app.include_router(router, prefix="/api")
    app.add_middleware(Guard)
    return app


class _Door(FastAPI):
    """An app whose OpenAPI knows the bodies that it reads by itself, and the form of its problems."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, more = models_json_schema(
                [(Announcement, "validation"), (Event, "validation"), (problems.ProblemDetails, "serialization")],
                ref_template=REFERENCE,
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(more["$defs"])
        assert self.openapi_schema is not None  # noqa: S101 (FastAPI keeps what it returned)
        return self.openapi_schema

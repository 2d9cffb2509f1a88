"""Who may come in: machines with a token, each for the scopes it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from labrelay.model.names import printable
from labrelay.records import tokens
from labrelay.records.tokens import Scope, Token
from labrelay.steps.home import Home

_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="a machine's token: `labrelay token add`")
Given = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


def known_parameters(request: Request) -> None:
    """Refuse what a program asks by a name that the route does not know: it would be left out in silence.

    Raises:
        HTTPException: 422; the sentence has the names that there are.
    """
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    if unknown := sorted(set(request.query_params) - known):
        there = f"the parameters are {', '.join(sorted(known))}" if known else "it takes none"
        raise HTTPException(422, f"{printable(unknown[0], 60)} is no parameter of this route: {there}")


def home_of(request: Request) -> Home:
    """Return the home that the app serves."""
    home = request.app.state.home
    assert isinstance(home, Home)  # noqa: S101 (make_app has put it there)
    return home


def holder(request: Request, given: Given) -> Token:
    """Return the token that a request brings.

    Raises:
        HTTPException: 401; it brings none that is live.
    """
    with home_of(request).records.read() as session:
        token = tokens.holder_of(session, given.credentials if given is not None else "")
    if token is None:
        raise HTTPException(
            401,
            "a live token has to come in the header Authorization, after Bearer: `labrelay token add` makes one",
            {"WWW-Authenticate": "Bearer"},
        )
    return token


def needs(scope: Scope) -> Callable[[Request, Given], Token]:
    """Return the dependency that lets in only those whose token has this scope."""

    def check(request: Request, given: Given) -> Token:
        token = holder(request, given)
        if scope not in token.scopes:
            raise HTTPException(403, f"the token {token.name} has not the scope {scope}: make one that has")
        return token

    return check

"""Ids, revisions, pages and refusals of DataZone, in the words of its API reference where that shows them."""

from __future__ import annotations

import uuid
from functools import partial

from labrelay.emulator.dialects import DATAZONE
from labrelay.emulator.operation import Failure, Params, operation
from labrelay.emulator.service import timestamp
from labrelay.emulator.state import Body, Snapshot

# Kinds of things in the state; all but domains have their domain as parent.
DOMAIN, PROJECT, FORM, ASSET_TYPE, ASSET = "dzDomain", "dzProject", "dzFormType", "dzAssetType", "dzAsset"
LISTING, GLOSSARY, TERM, EVENT, NODE = "dzListing", "dzGlossary", "dzTerm", "dzLineageEvent", "dzLineageNode"
USER = "emulator"
COMMON_FORM, COMMON_TYPE, COMMON_REVISION = "AssetCommonDetailsForm", "amazon.datazone.AssetCommonDetailsFormType", "6"
PAGE = 25

datazone_operation = partial(operation, service=DATAZONE)


def new_id() -> str:
    """Return the id of a new thing: 14 lower-case letters and digits, as those of DataZone look."""
    return uuid.uuid4().hex[:14]


def missing(what: str) -> Failure:
    """Return the failure for a thing that is not there, as DataZone words it."""
    return Failure(
        "ResourceNotFoundException", f"The given {what} doesn't exist. Try creating {what} before accessing it."
    )


def invalid(message: str) -> Failure:
    """Return the failure for what the model allows and the service does not."""
    return Failure("ValidationException", message)


def conflicts(what: str, key: str) -> Failure:
    """Return the failure for something that is there already, as DataZone words it."""
    return Failure("ConflictException", f"Conflict with {what} {key}")


def domain_of(state: Snapshot, asked: Params) -> str:
    """Return the id of the domain that a request names.

    Raises:
        Failure: `ResourceNotFoundException`.
    """
    key: str = asked["domainIdentifier"]
    if state.get(DOMAIN, key) is None:
        raise missing("Domain")
    return key


def project_of(state: Snapshot, domain: str, asked: Params) -> str:
    """Return the id of the owning project that a request names.

    Raises:
        Failure: `ResourceNotFoundException`.
    """
    key: str = asked["owningProjectIdentifier"]
    if state.get(PROJECT, key, domain) is None:
        raise missing("Project")
    return key


def thing(state: Snapshot, kind: str, key: str, domain: str, what: str) -> Body:
    """Return a thing's body.

    Raises:
        Failure: `ResourceNotFoundException`.
    """
    body = state.get(kind, key, domain)
    if body is None:
        raise missing(what)
    return body


def made_now() -> Params:
    """Return the members that say who made a thing, and when."""
    return {"createdAt": timestamp(), "createdBy": USER}


def place(asked: Params) -> str | None:
    """Return where a page begins.

    Raises:
        Failure: `ValidationException`, the token is none of ours.
    """
    token: str | None = asked.get("nextToken")
    if token is not None and not (token.isascii() and token.isdigit()):
        raise invalid("The nextToken is not one that this operation returned.")
    return token


def numbered(found: list[Params], asked: Params) -> tuple[list[Params], str | None]:
    """Return a page of a list that is made anew for each request, and the token of the next."""
    begin, size = int(place(asked) or 0), asked.get("maxResults", PAGE)
    rest = found[begin : begin + size]
    return rest, str(begin + size) if begin + size < len(found) else None

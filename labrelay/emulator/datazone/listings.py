"""Listings, what an asset is published as: CreateListingChangeSet, GetListing."""

from __future__ import annotations

import json

from labrelay.emulator.asking import idempotent
from labrelay.emulator.datazone.naming import (
    ASSET,
    LISTING,
    TERM,
    USER,
    datazone_operation,
    domain_of,
    invalid,
    missing,
    new_id,
    thing,
)
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Transaction


@datazone_operation("CreateListingChangeSet")
def create_listing_change_set(service: Service, asked: Params) -> Params:
    """Publish a revision of an asset, or take its listing out of the catalogue."""
    if asked["entityType"] != "ASSET":
        raise invalid("Data products are not emulated; publish an ASSET.")

    def make(state: Transaction) -> Params:
        domain = domain_of(state, asked)
        index = thing(state, ASSET, asked["entityIdentifier"], domain, "Asset")
        wanted = asked.get("entityRevision", index["revisions"][-1]["revision"])
        asset = next((each for each in index["revisions"] if each["revision"] == wanted), None)
        if asset is None:
            raise missing("Asset")
        known = index.get("listing")
        if asked["action"] == "UNPUBLISH" and known is None:
            raise missing("Listing")
        key = known["listingId"] if known else new_id()
        before = state.get(LISTING, key, domain)
        status = "ACTIVE" if asked["action"] == "PUBLISH" else "INACTIVE"
        body = _listing(key, domain, asset, before) | {"status": status}
        index["listing"] = {"listingId": key, "listingStatus": status}
        state.put(ASSET, asset["id"], index, domain)
        state.put(LISTING, key, body, domain)
        # On AWS a listing is made after the answer; whoever asks again finds it made.
        told = "CREATING" if status == "ACTIVE" and before is None else status
        return {"listingId": key, "listingRevision": body["listingRevision"], "status": told}

    return idempotent(service, "datazone:CreateListingChangeSet", asked, make)


@datazone_operation("GetListing")
def get_listing(service: Service, asked: Params) -> Params:
    """Return a listing with the asset as it was published."""
    with service.state.read() as state:
        domain = domain_of(state, asked)
        body = thing(state, LISTING, asked["identifier"], domain, "Listing")
        if asked.get("listingRevision", body["listingRevision"]) != body["listingRevision"]:
            raise missing("Listing")
        asset = body["asset"]
        forms = {form["formName"]: form["content"] for form in asset["formsOutput"]}
        terms = [state.get(TERM, term, domain) or {} for term in asset.get("glossaryTerms", [])]
    item = {
        "assetId": asset["id"],
        "assetRevision": asset["revision"],
        "assetType": asset["typeIdentifier"],
        "createdAt": asset["createdAt"],
        "forms": json.dumps(forms),
        "glossaryTerms": [{"name": term["name"]} for term in terms if term],
        "owningProjectId": asset["owningProjectId"],
    }
    return body | {"item": {"assetListing": item}}


def _listing(key: str, domain: str, asset: Body, before: Body | None) -> Body:
    revision = str(int(before["listingRevision"]) + 1) if before else "1"
    body: Body = {"id": key, "domainId": domain, "listingRevision": revision, "name": asset["name"][:64]}
    body |= {"createdAt": before["createdAt"] if before else timestamp(), "createdBy": USER}
    body |= {"updatedAt": timestamp(), "updatedBy": USER, "asset": asset}
    return body | ({"description": asset["description"]} if "description" in asset else {})

"""Finding what a domain holds: Search (inventory), SearchListings (what is published), SearchTypes.

Words are looked for in names, descriptions, external identifiers and the fields of forms that their type calls
searchable. On AWS much of this is by meaning; here every word has to be there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from labrelay.emulator.datazone.filters import fits
from labrelay.emulator.datazone.naming import (
    ASSET,
    ASSET_TYPE,
    FORM,
    GLOSSARY,
    LISTING,
    TERM,
    datazone_operation,
    domain_of,
    invalid,
    numbered,
)
from labrelay.emulator.datazone.smithy import read_form
from labrelay.emulator.datazone.types import newest
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot

Item = tuple[dict[str, Any], Params]  # the attributes that are searched and filtered by, and what is shown


@datazone_operation("Search")
def search(service: Service, asked: Params) -> Params:
    """Return a page of a domain's assets, glossaries or terms."""
    scopes: dict[str, Callable[[Snapshot, str, bool], Iterator[Item]]] = {
        "ASSET": _assets,
        "GLOSSARY": lambda state, domain, _forms: _plain(state, GLOSSARY, domain, "glossaryItem"),
        "GLOSSARY_TERM": lambda state, domain, _forms: _plain(state, TERM, domain, "glossaryTermItem"),
    }
    scope = asked["searchScope"]
    if scope not in scopes:
        raise invalid(f"The search scope {scope} is not emulated.")
    with service.state.read() as state:
        found = list(scopes[scope](state, domain_of(state, asked), "FORMS" in asked.get("additionalAttributes", [])))
    project = asked.get("owningProjectIdentifier")
    owned = [item for item in found if project is None or item[0].get("owningProjectId") == project]
    return _page(owned, asked)


@datazone_operation("SearchListings")
def search_listings(service: Service, asked: Params) -> Params:
    """Return a page of what is published."""
    with service.state.read() as state:
        domain = domain_of(state, asked)
        found = list(_listings(state, domain, "FORMS" in asked.get("additionalAttributes", [])))
    page = _page(found, asked)
    counted = [_aggregate(found, each["attribute"]) for each in asked.get("aggregations", [])]
    return page | ({"aggregates": counted} if counted else {})


@datazone_operation("SearchTypes")
def search_types(service: Service, asked: Params) -> Params:
    """Return a page of a domain's own form types or asset types; what AWS manages is not listed."""
    kinds = {"FORM_TYPE": (FORM, "formTypeItem"), "ASSET_TYPE": (ASSET_TYPE, "assetTypeItem")}
    if asked["searchScope"] not in kinds:
        raise invalid(f"The search scope {asked['searchScope']} is not emulated.")
    kind, member = kinds[asked["searchScope"]]
    with service.state.read() as state:
        domain = domain_of(state, asked)
        bodies = [] if asked["managed"] else [index["revisions"][-1] for index in state.each(kind, domain)]
    return _page([(body, {member: body}) for body in bodies], asked)


def _assets(state: Snapshot, domain: str, with_forms: bool) -> Iterator[Item]:
    for index in state.each(ASSET, domain):
        body = index["revisions"][-1]
        item = {name: value for name, value in body.items() if name not in ("id", "revision", "readOnlyFormsOutput")}
        forms = item.pop("formsOutput")
        item["identifier"] = body["id"]
        if with_forms:
            item["additionalAttributes"] = {"formsOutput": forms}
        yield body | {"identifier": body["id"]} | _fields(state, domain, body), {"assetItem": item}


def _listings(state: Snapshot, domain: str, with_forms: bool) -> Iterator[Item]:
    for body in state.each(LISTING, domain, status="ACTIVE"):
        asset: Body = body["asset"]
        terms = [state.get(TERM, term, domain) or {} for term in asset.get("glossaryTerms", [])]
        item: Params = {
            "listingId": body["id"],
            "listingRevision": body["listingRevision"],
            "name": asset["name"],
            "entityId": asset["id"],
            "entityRevision": asset["revision"],
            "entityType": asset["typeIdentifier"],
            "description": asset.get("description"),
            "createdAt": body["createdAt"],
            "listingCreatedBy": body["createdBy"],
            "listingUpdatedBy": body["updatedBy"],
            "glossaryTerms": [{"name": term["name"]} for term in terms if term],
            "owningProjectId": asset["owningProjectId"],
        }
        if with_forms:
            forms = {form["formName"]: json.loads(form["content"]) for form in asset["formsOutput"]}
            item["additionalAttributes"] = {"forms": json.dumps(forms)}
        yield asset | item | _fields(state, domain, asset), {"assetListing": item}


def _plain(state: Snapshot, kind: str, domain: str, member: str) -> Iterator[Item]:
    for body in state.each(kind, domain):
        yield body, {member: body}


def _fields(state: Snapshot, domain: str, asset: Body) -> dict[str, Any]:
    """Return the fields of an asset's forms as `Form.field`, those that are searched under `searchable` too."""
    found: dict[str, Any] = {}
    searched = [asset["name"], asset.get("description", ""), asset.get("externalIdentifier", "")]
    for form in asset["formsOutput"]:
        kind = newest(state, FORM, domain, form["typeName"], form["typeRevision"])
        content = json.loads(form["content"])
        found |= {f"{form['formName']}.{name}": value for name, value in content.items()}
        if kind is not None:
            members = read_form(kind["model"]["smithy"], kind["name"].rpartition(".")[2]).members
            searched += [str(value) for name, value in content.items() if members[name].searchable]
    return found | {"searchable": " ".join(searched)}


def _page(found: list[Item], asked: Params) -> Params:
    wanted = asked.get("searchText", "").casefold().split()
    attributes = [each["attribute"] for each in asked.get("searchIn", [])]
    kept = [
        shown
        for item, shown in found
        if all(word in _text(item, attributes) for word in wanted) and fits(item, asked.get("filters"))
    ]
    items, token = numbered(kept, asked)
    return {"items": items, "nextToken": token, "totalMatchCount": len(kept)}


def _text(item: dict[str, Any], attributes: list[str]) -> str:
    plain = " ".join(str(item.get(name, "")) for name in ("name", "description", "shortDescription"))
    text = " ".join(str(item.get(name, "")) for name in attributes) if attributes else item.get("searchable", plain)
    return text.casefold()


def _aggregate(found: list[Item], attribute: str) -> Params:
    counts: dict[str, int] = {}
    for item, _shown in found:
        if (value := item.get(attribute)) is not None:
            counts[str(value)] = counts.get(str(value), 0) + 1
    return {"attribute": attribute, "items": [{"value": value, "count": n} for value, n in sorted(counts.items())]}

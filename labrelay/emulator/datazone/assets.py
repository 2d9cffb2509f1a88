"""Assets and their revisions: CreateAsset, CreateAssetRevision, GetAsset, ListAssetRevisions."""

from __future__ import annotations

import json

from labrelay.emulator.asking import idempotent
from labrelay.emulator.datazone.naming import (
    ASSET,
    ASSET_TYPE,
    COMMON_FORM,
    FORM,
    TERM,
    USER,
    datazone_operation,
    domain_of,
    invalid,
    made_now,
    missing,
    new_id,
    numbered,
    project_of,
    thing,
)
from labrelay.emulator.datazone.smithy import read_form
from labrelay.emulator.datazone.types import newest
from labrelay.emulator.operation import Failure, Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot, Transaction

NO_INPUT = "The given Asset's input resource doesn't exist. Try creating Asset's input resource before accessing it."
KEPT = ("name", "description", "glossaryTerms", "predictionConfiguration")


@datazone_operation("CreateAsset")
def create_asset(service: Service, asked: Params) -> Params:
    """Make an asset, its first revision."""

    def make(state: Transaction) -> Params:
        domain = domain_of(state, asked)
        project = project_of(state, domain, asked)
        kind = newest(state, ASSET_TYPE, domain, asked["typeIdentifier"], asked.get("typeRevision"))
        if kind is None:
            raise Failure("ResourceNotFoundException", NO_INPUT)
        first = made_now()
        body: Body = {"id": new_id(), "domainId": domain, "owningProjectId": project, "typeIdentifier": kind["name"]}
        body |= {"firstRevisionCreatedAt": first["createdAt"], "firstRevisionCreatedBy": USER}
        body |= {"externalIdentifier": asked["externalIdentifier"]} if "externalIdentifier" in asked else {}
        body |= _revision(state, domain, kind, asked) | first | {"revision": "1"}
        state.put(ASSET, body["id"], {"id": body["id"], "revisions": [body]}, domain)
        return body

    return idempotent(service, "datazone:CreateAsset", asked, make)


@datazone_operation("CreateAssetRevision")
def create_asset_revision(service: Service, asked: Params) -> Params:
    """Make an asset's next revision, which holds what is given and nothing of the one before."""

    def make(state: Transaction) -> Params:
        domain = domain_of(state, asked)
        index = thing(state, ASSET, asked["identifier"], domain, "Asset")
        last: Body = index["revisions"][-1]
        kind = newest(state, ASSET_TYPE, domain, last["typeIdentifier"], asked.get("typeRevision"))
        if kind is None:
            raise Failure("ResourceNotFoundException", NO_INPUT)
        body = {name: value for name, value in last.items() if name not in (*KEPT, "formsOutput")}
        body |= _revision(state, domain, kind, asked) | made_now() | {"revision": str(int(last["revision"]) + 1)}
        index["revisions"].append(body)
        state.put(ASSET, body["id"], index, domain)
        return _shown(index, body)

    return idempotent(service, "datazone:CreateAssetRevision", asked, make)


@datazone_operation("GetAsset")
def get_asset(service: Service, asked: Params) -> Params:
    """Return an asset at a revision, or the newest."""
    with service.state.read() as state:
        index = thing(state, ASSET, asked["identifier"], domain_of(state, asked), "Asset")
    wanted = asked.get("revision", index["revisions"][-1]["revision"])
    body = next((each for each in index["revisions"] if each["revision"] == wanted), None)
    if body is None:
        raise missing("Asset")
    return _shown(index, body)


@datazone_operation("ListAssetRevisions")
def list_asset_revisions(service: Service, asked: Params) -> Params:
    """Return a page of an asset's revisions, the newest first."""
    with service.state.read() as state:
        index = thing(state, ASSET, asked["identifier"], domain_of(state, asked), "Asset")
    members = ("domainId", "id", "revision", "createdBy", "createdAt")
    found = [{name: each[name] for name in members} for each in reversed(index["revisions"])]
    items, token = numbered(found, asked)
    return {"items": items, "nextToken": token}


def _shown(index: Body, body: Body) -> Params:
    return body | ({"listing": index["listing"]} if "listing" in index else {})


def source_identifier(body: Body) -> str | None:
    """Return what an asset is called in lineage, if its common form says so.

    The user guide has it that an asset made by CreateAsset is joined to lineage by a revision that names it.
    """
    if body["revision"] == "1":
        return None
    for form in body["formsOutput"]:
        if form["formName"] == COMMON_FORM:
            found: str | None = json.loads(form["content"]).get("sourceIdentifier")
            return found
    return None


def _revision(state: Snapshot, domain: str, kind: Body, asked: Params) -> Body:
    for term in asked.get("glossaryTerms", []):
        thing(state, TERM, term, domain, "GlossaryTerm")
    body = {name: asked[name] for name in KEPT if name in asked}
    forms = _forms(state, domain, kind, asked.get("formsInput", []))
    return body | {"typeRevision": kind["revision"], "formsOutput": forms, "readOnlyFormsOutput": []}


def _forms(state: Snapshot, domain: str, kind: Body, given: list[Params]) -> list[Params]:
    """Return the forms of a revision.

    Raises:
        Failure: `ValidationException`; one is missing, is of another type, or is not filled in as its type says.
    """
    allowed, made = kind["formsOutput"], []
    for form in given:
        name, entry = form["formName"], allowed.get(form["formName"])
        if entry is None:
            raise invalid(f"Form {name} is not part of asset type {kind['name']}@{kind['revision']}")
        expected = f"{entry['typeName']}@{entry['typeRevision']}"
        plain = form.get("typeIdentifier", entry["typeName"]).removeprefix(f"{domain}.")
        provided = f"{plain}@{form.get('typeRevision', entry['typeRevision'])}"
        if provided != expected:
            raise invalid(f"Form {name} expected form {expected} but was provided {provided}")
        made.append(
            {
                "formName": name,
                "typeName": entry["typeName"],
                "typeRevision": entry["typeRevision"],
                "content": _content(state, domain, entry, form),
            }
        )
    for name, entry in allowed.items():
        if entry["required"] and name not in {form["formName"] for form in given}:
            raise invalid(f"Form {name} is required by asset type {kind['name']}@{kind['revision']}")
    return made


def _content(state: Snapshot, domain: str, entry: Params, form: Params) -> str:
    text: str = form.get("content", "{}")
    try:
        content = json.loads(text)
    except ValueError:
        raise invalid(f"The content of form {form['formName']} is not JSON") from None
    found = newest(state, FORM, domain, entry["typeName"], entry["typeRevision"])
    if found is not None:
        problems = list(read_form(found["model"]["smithy"], found["name"].rpartition(".")[2]).problems(content))
        if problems:
            raise invalid("; ".join(problems))
    return text

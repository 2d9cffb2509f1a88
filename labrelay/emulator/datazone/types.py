"""Form types and asset types, with their revisions: CreateFormType, GetFormType, CreateAssetType, GetAssetType.

A name that its project has already gets the next revision. (The API reference asks for a unique name and shows
revisions all the same; that another project's name is a conflict is what both agree on.)
"""

from __future__ import annotations

from labrelay.emulator.datazone.naming import (
    ASSET_TYPE,
    COMMON_FORM,
    COMMON_REVISION,
    COMMON_TYPE,
    FORM,
    conflicts,
    datazone_operation,
    domain_of,
    invalid,
    made_now,
    missing,
    project_of,
)
from labrelay.emulator.datazone.smithy import NotSmithy, read_form
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Snapshot, Transaction

COMMON_MODEL = (
    "list Properties { member: String }\n"
    "structure AssetCommonDetailsFormType {\n sourceIdentifier: String\n readMe: String\n summary: String\n"
    " realmId: String\n}"
)


def newest(state: Snapshot, kind: str, domain: str, name: str, revision: str | None = None) -> Body | None:
    """Return a type by its name, with or without the domain before it, at a revision or the newest one."""
    plain = name.removeprefix(f"{domain}.")
    if kind == FORM and plain == COMMON_TYPE:
        common = {"domainId": domain, "name": COMMON_TYPE, "revision": COMMON_REVISION, "status": "ENABLED"}
        return common | {"model": {"smithy": COMMON_MODEL}} if revision in (None, COMMON_REVISION) else None
    index = state.get(kind, plain, domain)
    if index is None:
        return None
    revisions: list[Body] = index["revisions"]
    return next((each for each in reversed(revisions) if revision in (None, each["revision"])), None)


@datazone_operation("CreateFormType")
def create_form_type(service: Service, asked: Params) -> Params:
    """Make a form type, or its next revision; the model's structure has the form's name."""
    try:
        read_form(asked["model"]["smithy"], asked["name"])
    except NotSmithy as error:
        raise invalid(f"Invalid smithy model for form type {asked['name']}: {error}") from None
    with service.state.write() as state:
        body = {"model": asked["model"], "status": asked.get("status", "DISABLED")}
        return _add(state, FORM, "form type", asked, body)


@datazone_operation("GetFormType")
def get_form_type(service: Service, asked: Params) -> Params:
    """Return a form type."""
    with service.state.read() as state:
        domain = domain_of(state, asked)
        body = newest(state, FORM, domain, asked["formTypeIdentifier"], asked.get("revision"))
    if body is None:
        raise missing("FormType")
    return body


@datazone_operation("CreateAssetType")
def create_asset_type(service: Service, asked: Params) -> Params:
    """Make an asset type of forms that are there, or its next revision; the common form comes by itself."""
    with service.state.write() as state:
        domain = domain_of(state, asked)
        forms = {COMMON_FORM: {"typeName": COMMON_TYPE, "typeRevision": COMMON_REVISION, "required": False}}
        for name, entry in asked["formsInput"].items():
            found = newest(state, FORM, domain, entry["typeIdentifier"], entry["typeRevision"])
            if found is None:
                what = f"Form#{domain}#{entry['typeIdentifier']} with version {entry['typeRevision']}"
                raise invalid(f"Object type {what} not found")
            required = entry.get("required", False)
            forms[name] = {"typeName": found["name"], "typeRevision": found["revision"], "required": required}
        return _add(state, ASSET_TYPE, "asset type", asked, {"formsOutput": forms})


@datazone_operation("GetAssetType")
def get_asset_type(service: Service, asked: Params) -> Params:
    """Return an asset type."""
    with service.state.read() as state:
        domain = domain_of(state, asked)
        body = newest(state, ASSET_TYPE, domain, asked["identifier"], asked.get("revision"))
    if body is None:
        raise missing("AssetType")
    return body


def _add(state: Transaction, kind: str, what: str, asked: Params, own: Params) -> Params:
    domain = domain_of(state, asked)
    project = project_of(state, domain, asked)
    index = state.get(kind, asked["name"], domain) or {"name": asked["name"], "revisions": []}
    revisions: list[Body] = index["revisions"]
    if revisions and revisions[-1]["owningProjectId"] != project:
        raise conflicts(what, asked["name"])
    body: Body = {name: asked[name] for name in ("name", "description") if name in asked}
    origin = {"domainId": domain, "originDomainId": domain, "owningProjectId": project, "originProjectId": project}
    body |= origin | own | made_now() | {"revision": str(len(revisions) + 1)}
    revisions.append(body)
    state.put(kind, asked["name"], index, domain)
    return body

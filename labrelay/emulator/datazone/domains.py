"""Domains and projects, which own what is published: CreateDomain, GetDomain, CreateProject, GetProject."""

from __future__ import annotations

from labrelay.emulator.asking import idempotent
from labrelay.emulator.datazone.naming import (
    DOMAIN,
    PROJECT,
    USER,
    conflicts,
    datazone_operation,
    domain_of,
    made_now,
    missing,
    new_id,
    thing,
)
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Transaction

KEPT = ("name", "description", "singleSignOn", "domainExecutionRole", "kmsKeyIdentifier", "tags", "serviceRole")


@datazone_operation("CreateDomain")
def create_domain(service: Service, asked: Params) -> Params:
    """Make a domain, which is AVAILABLE at once."""

    def make(state: Transaction) -> Params:
        key = f"dzd_{new_id()}"
        body = {name: asked[name] for name in KEPT if name in asked}
        body |= {
            "id": key,
            "arn": f"arn:aws:datazone:{service.region}:{service.account}:domain/{key}",
            "status": "AVAILABLE",
            "domainVersion": asked.get("domainVersion", "V1"),
            "rootDomainUnitId": new_id(),
            "portalUrl": f"https://{key}.datazone.{service.region}.on.aws",
            "createdAt": timestamp(),
        }
        state.put(DOMAIN, key, body)
        return body

    return idempotent(service, "datazone:CreateDomain", asked, make)


@datazone_operation("GetDomain")
def get_domain(service: Service, asked: Params) -> Params:
    """Return one domain."""
    with service.state.read() as state:
        body = state.get(DOMAIN, asked["identifier"])
    if body is None:
        raise missing("Domain")
    return body


@datazone_operation("CreateProject")
def create_project(service: Service, asked: Params) -> Params:
    """Make a project; its name is its own in the domain."""
    with service.state.write() as state:
        domain = domain_of(state, asked)
        same = next((each for each in state.each(PROJECT, domain) if each["name"] == asked["name"]), None)
        if same is not None:
            raise conflicts("project", same["id"])
        body: Body = {name: asked[name] for name in ("name", "description") if name in asked}
        body |= {"id": new_id(), "domainId": domain, "projectStatus": "ACTIVE", "createdBy": USER}
        body |= {"createdAt": made_now()["createdAt"], "lastUpdatedAt": timestamp()}
        state.put(PROJECT, body["id"], body, domain)
    return body


@datazone_operation("GetProject")
def get_project(service: Service, asked: Params) -> Params:
    """Return one project."""
    with service.state.read() as state:
        return thing(state, PROJECT, asked["identifier"], domain_of(state, asked), "Project")

"""Business glossaries and their terms: CreateGlossary, GetGlossary, CreateGlossaryTerm, GetGlossaryTerm."""

from __future__ import annotations

from labrelay.emulator.asking import idempotent
from labrelay.emulator.datazone.naming import (
    GLOSSARY,
    TERM,
    conflicts,
    datazone_operation,
    domain_of,
    made_now,
    new_id,
    project_of,
    thing,
)
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Body, Transaction


@datazone_operation("CreateGlossary")
def create_glossary(service: Service, asked: Params) -> Params:
    """Make a glossary; a project has one of a name."""

    def make(state: Transaction) -> Params:
        domain = domain_of(state, asked)
        project = project_of(state, domain, asked)
        for other in state.each(GLOSSARY, domain):
            if (other["name"], other["owningProjectId"]) == (asked["name"], project):
                raise conflicts("businessGlossary", other["id"])
        body: Body = {name: asked[name] for name in ("name", "description", "usageRestrictions") if name in asked}
        body |= {"id": new_id(), "domainId": domain, "owningProjectId": project}
        body |= {"status": asked.get("status", "DISABLED")} | made_now()
        state.put(GLOSSARY, body["id"], body, domain)
        return body

    return idempotent(service, "datazone:CreateGlossary", asked, make)


@datazone_operation("GetGlossary")
def get_glossary(service: Service, asked: Params) -> Params:
    """Return a glossary."""
    with service.state.read() as state:
        return thing(state, GLOSSARY, asked["identifier"], domain_of(state, asked), "Glossary")


@datazone_operation("CreateGlossaryTerm")
def create_glossary_term(service: Service, asked: Params) -> Params:
    """Make a term; a glossary has one of a name."""

    def make(state: Transaction) -> Params:
        domain = domain_of(state, asked)
        glossary = thing(state, GLOSSARY, asked["glossaryIdentifier"], domain, "Glossary")
        for other in state.each(TERM, domain):
            if (other["name"], other["glossaryId"]) == (asked["name"], glossary["id"]):
                raise conflicts("businessGlossaryTerm", other["id"])
        kept = ("name", "shortDescription", "longDescription", "termRelations")
        body = {name: asked[name] for name in kept if name in asked}
        body |= {"id": new_id(), "domainId": domain, "glossaryId": glossary["id"]}
        body |= {"status": asked.get("status", "DISABLED")} | made_now()
        state.put(TERM, body["id"], body, domain)
        return body

    return idempotent(service, "datazone:CreateGlossaryTerm", asked, make)


@datazone_operation("GetGlossaryTerm")
def get_glossary_term(service: Service, asked: Params) -> Params:
    """Return a term."""
    with service.state.read() as state:
        return thing(state, TERM, asked["identifier"], domain_of(state, asked), "GlossaryTerm")

"""What has to be in a DataZone project before anything is published: form type, asset types, glossary and terms.

Each is looked for first and made where it is missing; two processes that do so at once meet a conflict, and look again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from labrelay.model.errors import Conflict, NotFound
from labrelay.records.catalog import datazone_forms as told
from labrelay.records.delivery import Undeliverable
from labrelay.stores.aws import aws_errors

PAGE = 50


@dataclass
class Ready:
    """What is there: the form's revision, the ids of terms by name, and in words what was made."""

    form_revision: str
    terms: dict[str, str]
    made: list[str] = field(default_factory=list)


class Setup:
    """One project of one domain.

    Args:
        client: boto3's `datazone`.
        domain: `dzd_…`.
        project: The project that owns what is published.
    """

    def __init__(self, client: Any, domain: str, project: str) -> None:
        self._client, self._domain, self._project = client, domain, project
        self._made: list[str] = []

    def ensure(self) -> Ready:
        """Return what is there, after making what is missing."""
        revision = self._form_type()
        for kind in told.ASSET_TYPES.values():
            self._asset_type(kind, revision)
        return Ready(revision, self._terms(), self._made)

    def _form_type(self) -> str:
        try:
            with aws_errors(f"look up the form type {told.FORM} in DataZone", Undelivered):
                found = self._client.get_form_type(domainIdentifier=self._domain, formTypeIdentifier=told.FORM)
            if found.get("description") == told.description():
                return str(found["revision"])
        except NotFound:
            pass
        with aws_errors(f"make the form type {told.FORM} in DataZone", Undelivered):
            made = self._client.create_form_type(
                domainIdentifier=self._domain,
                name=told.FORM,
                model={"smithy": told.smithy()},
                owningProjectIdentifier=self._project,
                status="ENABLED",
                description=told.description(),
            )
        self._made.append(f"form type {told.FORM} revision {made['revision']}")
        return str(made["revision"])

    def _asset_type(self, name: str, form_revision: str) -> None:
        try:
            with aws_errors(f"look up the asset type {name} in DataZone", Undelivered):
                found = self._client.get_asset_type(domainIdentifier=self._domain, identifier=name)
            if found["formsOutput"].get(told.FORM, {}).get("typeRevision") == form_revision:
                return
        except NotFound:
            pass
        form = {"typeIdentifier": told.FORM, "typeRevision": form_revision, "required": True}
        with aws_errors(f"make the asset type {name} in DataZone", Undelivered):
            made = self._client.create_asset_type(
                domainIdentifier=self._domain,
                name=name,
                formsInput={told.FORM: form},
                owningProjectIdentifier=self._project,
                description=f"A {name.removeprefix('Labrelay').lower()} that Labrelay has recorded.",
            )
        self._made.append(f"asset type {name} revision {made['revision']}")

    def _terms(self) -> dict[str, str]:
        glossary = self._glossary() or self._make_glossary()
        found = self._known_terms(glossary)
        missing = [name for name in told.all_terms() if name not in found]
        for name in missing:
            self._make_term(glossary, name)
        return self._known_terms(glossary) if missing else found

    def _glossary(self) -> str | None:
        for item in self._found("GLOSSARY", told.GLOSSARY):
            each = item["glossaryItem"]
            if (each["name"], each["owningProjectId"]) == (told.GLOSSARY, self._project):
                return str(each["id"])
        return None

    def _known_terms(self, glossary: str) -> dict[str, str]:
        items = (item["glossaryTermItem"] for item in self._found("GLOSSARY_TERM", None))
        return {each["name"]: each["id"] for each in items if each["glossaryId"] == glossary}

    def _found(self, scope: str, text: str | None) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"domainIdentifier": self._domain, "searchScope": scope, "maxResults": PAGE}
        if text is not None:
            asked["searchText"] = text
        while True:
            with aws_errors("search the glossaries in DataZone", Undelivered):
                page = self._client.search(**asked)
            yield from page.get("items", [])
            if not page.get("nextToken"):
                return
            asked["nextToken"] = page["nextToken"]

    def _make_glossary(self) -> str:
        try:
            with aws_errors(f"make the glossary {told.GLOSSARY} in DataZone", Undelivered):
                made = self._client.create_glossary(
                    domainIdentifier=self._domain,
                    name=told.GLOSSARY,
                    owningProjectIdentifier=self._project,
                    description="How sensitive what Labrelay published is, and how it was judged.",
                    status="ENABLED",
                    clientToken=f"labrelay-glossary-{self._project}",
                )
        except Conflict:
            if (found := self._glossary()) is None:
                raise
            return found
        self._made.append(f"glossary {told.GLOSSARY}")
        return str(made["id"])

    def _make_term(self, glossary: str, name: str) -> None:
        try:
            with aws_errors(f"make the glossary term {name} in DataZone", Undelivered):
                self._client.create_glossary_term(
                    domainIdentifier=self._domain,
                    glossaryIdentifier=glossary,
                    name=name,
                    status="ENABLED",
                    clientToken=f"labrelay-term-{glossary}-{name.replace(': ', '-')}",
                )
        except Conflict:
            return  # somebody else has made it since we looked
        self._made.append(f"glossary term {name}")


class Undelivered(Undeliverable):
    """DataZone did not take it; trying again may help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=True)

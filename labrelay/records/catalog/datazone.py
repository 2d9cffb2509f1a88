"""The catalogue on Amazon DataZone: results and datasets as assets with revisions, listed, with lineage between them.

An asset is known by our id as its external identifier. A revision is made only when its content changed, and names in
the common form what lineage calls it: DataZone takes that from a revision, not from the asset's creation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from labrelay.model.errors import NotFound
from labrelay.records.catalog import datazone_forms as told
from labrelay.records.catalog.datazone_setup import PAGE, Ready, Setup, Undelivered
from labrelay.records.catalog.port import Entry, Listed, Published
from labrelay.stores.aws import Aws, aws_errors

MAX_EVENT = 300_000  # bytes of an event


class DataZone:
    """One project of one domain.

    Args:
        aws: Region, account and endpoint.
        domain: `dzd_…`.
        project: The project that owns what is published.
    """

    system = "datazone"

    def __init__(self, aws: Aws, domain: str, project: str) -> None:
        self._aws, self._domain, self._project = aws, domain, project
        self._ready: Ready | None = None

    @property
    def _client(self) -> Any:
        return self._aws.client("datazone")

    def check(self) -> Sequence[str]:
        """Return what it works with, making types and terms where they are missing.

        Raises:
            NotFound: There is no such domain or project.
            Denied: A permission is missing; the text names it.
        """
        with aws_errors(f"look up the domain {self._domain} in DataZone", Undelivered):
            domain = self._client.get_domain(identifier=self._domain)
        with aws_errors(f"look up the project {self._project} in DataZone", Undelivered):
            project = self._client.get_project(domainIdentifier=self._domain, identifier=self._project)
        ready = self._prepared()
        return [
            f"domain {self._domain} ({domain.get('name') or 'no name'}) is {domain['status']}",
            f"project {self._project} ({project['name']}) owns what is published",
            f"form type {told.FORM} revision {ready.form_revision}, {len(ready.terms)} glossary terms",
            *(f"made the {each}" for each in ready.made),
        ]

    def publish(self, entry: Entry, known: str | None) -> Published:
        """Publish an entry, or its new content. Cost: three calls when nothing changed, up to five when it did.

        Raises:
            Undelivered: DataZone did not take it, which may pass.
            LabrelayError: It refused it.
        """
        ready = self._prepared()
        asset = self._asset(known) if known else None
        asset = asset or self._search_asset(entry)
        changed = asset is None
        if asset is None:
            asset = self._create(entry, ready, gone=known or "")
        if told.digest_of(asset) != entry.digest or not told.is_linked(asset, entry):
            asset, changed = self._revise(asset, entry, ready), True
        listing = asset.get("listing") or {}
        if changed or listing.get("listingStatus") == "INACTIVE" or not self._is_listed(asset, listing):
            listing, changed = self._list(asset), True
        return Published(
            asset_id=asset["id"], revision=asset["revision"], listing_id=listing["listingId"], changed=changed
        )

    def lineage(self, event: Mapping[str, Any]) -> str:
        """Tell a run event; DataZone joins its datasets to the assets of the same source identifier."""
        body = json.dumps(event, ensure_ascii=False, sort_keys=True).encode()
        if len(body) > MAX_EVENT:
            body = json.dumps({**event, "inputs": [], "outputs": event.get("outputs", [])[:1]}).encode()
        with aws_errors("tell DataZone of a run", Undelivered):
            answer = self._client.post_lineage_event(
                domainIdentifier=self._domain, event=body, clientToken=_token("event", body.decode())
            )
        return str(answer.get("id", ""))

    def search(self, text: str, limit: int) -> Sequence[Listed]:
        """Return what is published and found by these words, at most so many."""
        found: list[Listed] = []
        for item in self._listings(text[:512]):
            listing = item.get("assetListing")
            if listing is not None and len(found) < limit:
                found.append(_listed(listing))
        return found

    def _prepared(self) -> Ready:
        if self._ready is None:
            self._ready = Setup(self._client, self._domain, self._project).ensure()
        return self._ready

    def _asset(self, asset_id: str) -> dict[str, Any] | None:
        try:
            with aws_errors("look up an asset in DataZone", Undelivered):
                return dict(self._client.get_asset(domainIdentifier=self._domain, identifier=asset_id))
        except NotFound:
            return None  # deleted over there: it is published anew

    def _search_asset(self, entry: Entry) -> dict[str, Any] | None:
        """Return the asset of an entry whose id was lost, as when the answer to its creation did not arrive."""
        with aws_errors("search DataZone for an asset", Undelivered):
            page = self._client.search(
                domainIdentifier=self._domain,
                searchScope="ASSET",
                owningProjectIdentifier=self._project,
                searchText=entry.id,
                maxResults=PAGE,
            )
        for item in page.get("items", []):
            if item.get("assetItem", {}).get("externalIdentifier") == entry.id:
                return self._asset(item["assetItem"]["identifier"])
        return None

    def _create(self, entry: Entry, ready: Ready, gone: str) -> dict[str, Any]:
        with aws_errors(f"publish {entry.id} to DataZone", Undelivered):
            made = self._client.create_asset(
                **self._said(entry, ready, linked=False),
                externalIdentifier=entry.id,
                typeIdentifier=told.ASSET_TYPES[entry.kind],
                owningProjectIdentifier=self._project,
                # One that was deleted over there must not be taken for the answer to this.
                clientToken=_token("asset", entry.id, entry.digest, gone),
            )
        return dict(made)

    def _revise(self, asset: Mapping[str, Any], entry: Entry, ready: Ready) -> dict[str, Any]:
        with aws_errors(f"publish a revision of {entry.id} to DataZone", Undelivered):
            made = self._client.create_asset_revision(
                **self._said(entry, ready, linked=True),
                identifier=asset["id"],
                clientToken=_token("revision", asset["id"], asset["revision"], entry.digest),
            )
        # The listing is shown with the asset, not always with the answer to its revision.
        return {**made, "listing": made.get("listing") or asset.get("listing")}

    def _said(self, entry: Entry, ready: Ready, *, linked: bool) -> dict[str, Any]:
        named = [ready.terms[name] for name in told.terms(entry) if name in ready.terms]
        return {
            "domainIdentifier": self._domain,
            "name": entry.name[:256],
            "description": entry.description[:2048],
            "formsInput": told.forms(entry, ready.form_revision, linked=linked),
            **({"glossaryTerms": named} if named else {}),
        }

    def _is_listed(self, asset: Mapping[str, Any], listing: Mapping[str, Any]) -> bool:
        """Tell whether the newest revision is the one that is published: the call after a revision may have failed."""
        if not listing:
            return False
        try:
            with aws_errors("look up a listing in DataZone", Undelivered):
                found = self._client.get_listing(domainIdentifier=self._domain, identifier=listing["listingId"])
        except NotFound:
            return False
        return bool(found.get("item", {}).get("assetListing", {}).get("assetRevision") == asset["revision"])

    def _list(self, asset: Mapping[str, Any]) -> dict[str, Any]:
        with aws_errors("list an asset in DataZone", Undelivered):
            return dict(
                self._client.create_listing_change_set(
                    domainIdentifier=self._domain,
                    entityIdentifier=asset["id"],
                    entityType="ASSET",
                    entityRevision=asset["revision"],
                    action="PUBLISH",
                    clientToken=_token("listing", asset["id"], asset["revision"]),
                )
            )

    def _listings(self, text: str) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"domainIdentifier": self._domain, "maxResults": PAGE, "searchText": text}
        asked["additionalAttributes"] = ["FORMS"]
        while True:
            with aws_errors("search the listings in DataZone", Undelivered):
                page = self._client.search_listings(**asked)
            yield from page.get("items", [])
            if not page.get("nextToken"):
                return
            asked["nextToken"] = page["nextToken"]


def _listed(listing: Mapping[str, Any]) -> Listed:
    text = listing.get("additionalAttributes", {}).get("forms") or "{}"
    own = json.loads(text).get(told.FORM) or {}
    # Observed both ways: the content of a form as an object, and as text.
    fields = json.loads(own) if isinstance(own, str) else own
    return Listed(
        asset_id=listing["entityId"],
        name=listing["name"],
        kind=fields.get("kind") or listing["entityType"],
        entity_id=fields.get("entityId"),
        description=listing.get("description") or "",
    )


def _token(*parts: str) -> str:
    """Return what makes a repeated request the same request: the answer to it may have been lost."""
    return sha256("\n".join(parts).encode()).hexdigest()

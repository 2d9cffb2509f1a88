"""What a catalogue has to do, and what an entry of it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from labrelay.model.canonical import digest
from labrelay.model.problem import Frozen

Sensitivity = Literal["public", "internal", "confidential", "restricted"]


class Entry(Frozen):
    """One thing as a catalogue shows it: a result, or a dataset of the instrument.

    It holds what is needed to find and to govern it, and no personal field: no subject, no alias, no attribute of a
    sample. `owner` is what the experiment's announcement calls so.

    Attributes:
        id: `run_…` or `dat_…`.
        name: A line for lists.
        samples: The lab's ids of its samples, at most 50.
        source: What events of lineage call it.
        superseded_by: The result that has taken its place.
    """

    id: str
    kind: Literal["result", "dataset"]
    name: str
    description: str
    project: str | None = None
    owner: str | None = None
    sensitivity: Sensitivity
    experiment: str
    samples: tuple[str, ...] = ()
    assay: str | None = None
    platform: str | None = None
    workflow: str | None = None
    workflow_version: str | None = None
    reference: str | None = None
    verdict: str | None = None
    crate_uri: str | None = None
    recorded_at: str | None = None
    superseded_by: str | None = None
    source: str

    @property
    def digest(self) -> str:
        """A digest of all that it says; the same content is never published twice."""
        return digest(self.model_dump(mode="json"))


class Published(Frozen):
    """What became of an entry.

    Attributes:
        asset_id: Its id in the catalogue.
        revision: The revision that is published.
        listing_id: What people find it as.
        changed: Whether anything was written.
    """

    asset_id: str
    revision: str
    listing_id: str
    changed: bool


class Listed(Frozen):
    """Something that a search of the catalogue found."""

    asset_id: str
    name: str
    kind: str
    entity_id: str | None
    description: str = ""


class Catalog(Protocol):
    """A catalogue outside."""

    system: str

    def check(self) -> Sequence[str]:
        """Return in sentences what it would work with, making what is missing."""

    def publish(self, entry: Entry, known: str | None) -> Published:
        """Publish an entry, or its new content; the same content again changes nothing.

        Args:
            entry: What.
            known: Its id in the catalogue, when it was published before.
        """

    def lineage(self, event: Mapping[str, Any]) -> str:
        """Tell a run event of OpenLineage; the same event again is the same. Return the catalogue's id of it."""

    def search(self, text: str, limit: int) -> Sequence[Listed]:
        """Return what is published and has the words."""

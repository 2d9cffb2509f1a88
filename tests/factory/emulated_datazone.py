"""DataZone on a real port of this process, with a domain and a project."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from served import Served, served

from labrelay.emulator.faults import Plan

ROLE = "arn:aws:iam::123456789012:role/DataZone"
FORM = "structure Sequenced {\n  @required\n  @amazon.datazone#searchable\n  code: String\n  reads: Integer\n}"


@dataclass
class Zone:
    """A domain of an emulated DataZone and a project in it."""

    front: Served
    domain: str
    project: str

    def __post_init__(self) -> None:
        self.client: Any = self.front.client("datazone")

    def furnish(self) -> None:
        """Make the form type `Sequenced` and an asset type of the same name."""
        self.do("create_form_type", name="Sequenced", model={"smithy": FORM}, status="ENABLED", **self.owned)
        form = {"typeIdentifier": "Sequenced", "typeRevision": "1", "required": True}
        self.do("create_asset_type", name="Sequenced", formsInput={"Sequenced": form}, **self.owned)

    @property
    def owned(self) -> dict[str, str]:
        return {"owningProjectIdentifier": self.project}

    def do(self, operation: str, **asked: Any) -> Any:
        """Call an operation in the domain."""
        return getattr(self.client, operation)(domainIdentifier=self.domain, **asked)

    def asset(self, code: str, **asked: Any) -> Any:
        """Create an asset with the form filled in."""
        form = {"formName": "Sequenced", "content": json.dumps({"code": code, "reads": 7})}
        usual = {"name": code, "typeIdentifier": "Sequenced", "formsInput": [form], **self.owned}
        return self.do("create_asset", **{**usual, **asked})

    def revise(self, asset: str, code: str, source: str | None = None, **asked: Any) -> Any:
        """Create a revision, with what lineage calls it."""
        forms = [{"formName": "Sequenced", "content": json.dumps({"code": code})}]
        if source is not None:
            content = json.dumps({"sourceIdentifier": source})
            forms.append({"formName": "AssetCommonDetailsForm", "content": content})
        return self.do("create_asset_revision", identifier=asset, name=code, formsInput=forms, **asked)

    def publish(self, asset: str, **asked: Any) -> Any:
        return self.do(
            "create_listing_change_set", entityIdentifier=asset, entityType="ASSET", **{"action": "PUBLISH", **asked}
        )

    def listed(self, text: str) -> list[str]:
        """Return the names of the listings that are found by words."""
        return [item["assetListing"]["name"] for item in self.do("search_listings", searchText=text)["items"]]

    def tell(self, event: dict[str, Any]) -> Any:
        return self.do("post_lineage_event", event=json.dumps(event).encode())


def run_event(inputs: list[str], outputs: list[str], **values: Any) -> dict[str, Any]:
    """Return a run event with datasets of the namespace `ns`."""
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-01T10:00:00+00:00",
        "producer": "https://example.org/lab",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "ns", "name": "align"},
        "inputs": [{"namespace": "ns", "name": name} for name in inputs],
        "outputs": [{"namespace": "ns", "name": name} for name in outputs],
        **values,
    }


@contextmanager
def zone(folder: Path, plan: Plan | None = None) -> Iterator[Zone]:
    """Serve a data folder, with a new domain and project, while the block lasts."""
    with served(folder, plan) as front:
        client = front.client("datazone")
        domain = client.create_domain(name="lab", domainExecutionRole=ROLE)["id"]
        project = client.create_project(domainIdentifier=domain, name="sequencing")["id"]
        yield Zone(front, domain, project)

"""What DataZone is told of an entry: the form type as Smithy, the two asset types, and the forms' contents. Pure."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from labrelay.records.catalog.port import Entry

FORM, COMMON_FORM, COMMON_TYPE = (
    "LabrelayEntryForm",
    "AssetCommonDetailsForm",
    "amazon.datazone.AssetCommonDetailsFormType",
)
ASSET_TYPES = {"result": "LabrelayResult", "dataset": "LabrelayDataset"}
GLOSSARY = "Labrelay"
SENSITIVITIES = ("public", "internal", "confidential", "restricted")
VERDICTS = ("pass", "warn", "fail")
# The fields of the form: name, heading, whether it is required, and whether people search by it.
FIELDS: tuple[tuple[str, str, bool, bool], ...] = (
    ("entityId", "Labrelay id", True, True),
    ("kind", "Kind", True, False),
    ("project", "Project", False, True),
    ("owner", "Owner", False, True),
    ("sensitivity", "Sensitivity", True, True),
    ("experiment", "Experiment", True, True),
    ("samples", "Samples", False, True),
    ("assay", "Assay", False, True),
    ("platform", "Platform", False, True),
    ("workflow", "Workflow", False, True),
    ("workflowVersion", "Workflow version", False, False),
    ("reference", "Reference", False, True),
    ("verdict", "Verdict", False, True),
    ("crateUri", "Provenance crate", False, False),
    ("recordedAt", "Recorded at", False, False),
    ("supersededBy", "Superseded by", False, False),
    ("contentDigest", "Digest of the content", True, False),
)


def smithy() -> str:
    """Return the model of the form type."""
    lines = ['@amazon.datazone#displayname(defaultName: "Labrelay")', f"structure {FORM} {{"]
    for name, heading, required, searched in FIELDS:
        lines.append(f'  @amazon.datazone#displayname(defaultName: "{heading}")')
        lines += ["  @required"] if required else []
        lines += ["  @amazon.datazone#searchable"] if searched else []
        lines.append(f"  {name}: String")
    return "\n".join([*lines, "}"])


def description() -> str:
    """Return the form type's description; it tells our models apart, since the service may write Smithy its own way."""
    return f"What Labrelay publishes of a result or a dataset. Model {sha256(smithy().encode()).hexdigest()[:12]}."


def content(entry: Entry) -> dict[str, str]:
    """Return the fields of the form that an entry fills in."""
    values: dict[str, str | None] = {
        "entityId": entry.id,
        "kind": entry.kind,
        "project": entry.project,
        "owner": entry.owner,
        "sensitivity": entry.sensitivity,
        "experiment": entry.experiment,
        "samples": " ".join(entry.samples) or None,
        "assay": entry.assay,
        "platform": entry.platform,
        "workflow": entry.workflow,
        "workflowVersion": entry.workflow_version,
        "reference": entry.reference,
        "verdict": entry.verdict,
        "crateUri": entry.crate_uri,
        "recordedAt": entry.recorded_at,
        "supersededBy": entry.superseded_by,
        "contentDigest": entry.digest,
    }
    return {name: value for name, value in values.items() if value}


def forms(entry: Entry, revision: str, *, linked: bool) -> list[dict[str, str]]:
    """Return the forms of an asset's revision.

    Args:
        entry: What is published.
        revision: Of the form type.
        linked: Whether the common form names what lineage calls it.
    """
    own = {"formName": FORM, "typeIdentifier": FORM, "typeRevision": revision, "content": json.dumps(content(entry))}
    if not linked:
        return [own]
    source = json.dumps({"sourceIdentifier": entry.source})
    return [own, {"formName": COMMON_FORM, "typeIdentifier": COMMON_TYPE, "content": source}]


def terms(entry: Entry) -> tuple[str, ...]:
    """Return the glossary terms of an entry by name."""
    judged = (f"verdict: {entry.verdict}",) if entry.verdict in VERDICTS else ()
    return (f"sensitivity: {entry.sensitivity}", *judged)


def all_terms() -> tuple[str, ...]:
    """Return all glossary terms that entries have."""
    return (*(f"sensitivity: {each}" for each in SENSITIVITIES), *(f"verdict: {each}" for each in VERDICTS))


def digest_of(asset: dict[str, Any]) -> str | None:
    """Return the digest of the content that an asset has, as its form says."""
    for form in asset.get("formsOutput", []):
        if form["formName"] == FORM:
            found: str | None = json.loads(form.get("content") or "{}").get("contentDigest")
            return found
    return None


def is_linked(asset: dict[str, Any], entry: Entry) -> bool:
    """Return whether the asset's common form names what lineage calls it."""
    for form in asset.get("formsOutput", []):
        if form["formName"] == COMMON_FORM:
            return bool(json.loads(form.get("content") or "{}").get("sourceIdentifier") == entry.source)
    return False

"""The graph that lineage events make: GetLineageNode, ListLineageNodeHistory.

A node is known by its id and by its source identifier: `<namespace>/<name>` of a dataset, `<namespace>.<name>` of a
job, that and `/<run id>` of a run. An asset whose common form names a source identifier is the dataset of that name,
also under `amazon.datazone.asset/<id>`; this is how lineage and catalogue meet.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from labrelay.emulator.datazone.assets import source_identifier
from labrelay.emulator.datazone.naming import (
    ASSET,
    NODE,
    USER,
    datazone_operation,
    domain_of,
    missing,
    numbered,
)
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service, timestamp
from labrelay.emulator.state import Body, Snapshot, Transaction

OF_ASSET = "amazon.datazone.asset/"
# What AWS calls the types of nodes is not in its reference; these names are ours.
DATASET, JOB, JOB_RUN = (f"amazon.datazone.{name}NodeType" for name in ("Dataset", "Job", "JobRun"))
SUMMARY = ("domainId", "name", "id", "typeName", "sourceIdentifier", "createdAt", "createdBy", "updatedAt", "updatedBy")


def add_event(state: Transaction, domain: str, event: Params, at: str) -> None:
    """Add what an event says to the graph: inputs lead to the run, the run to outputs, and to its job."""
    job = f"{event['job']['namespace']}.{event['job']['name']}"
    run = f"{job}/{event['run']['runId']}"
    sides = {side: [f"{d['namespace']}/{d['name']}" for d in event.get(side) or []] for side in ("inputs", "outputs")}
    _touch(state, domain, job, JOB, event["job"]["name"], at, {})
    upstream = sides["inputs"]
    _touch(state, domain, run, JOB_RUN, event["eventType"], at, {"up": upstream, "down": sides["outputs"]})
    for name in sides["inputs"]:
        _touch(state, domain, name, DATASET, name, at, {"down": [run]})
    for name in sides["outputs"]:
        _touch(state, domain, name, DATASET, name, at, {"up": [run]})


def _touch(
    state: Transaction, domain: str, source: str, kind: str, name: str, at: str, edges: dict[str, list[str]]
) -> None:
    key = node_id(domain, source)
    made: Body = {"id": key, "domainId": domain, "sourceIdentifier": source, "typeName": kind, "typeRevision": "1"}
    made |= {"createdAt": timestamp(), "createdBy": USER, "up": [], "down": [], "versions": []}
    body: Body = state.get(NODE, key, domain) or made
    body |= {"name": name, "updatedAt": timestamp(), "updatedBy": USER}
    for side, others in edges.items():
        known = {pair[0] for pair in body[side]}
        body[side] += [[node_id(domain, other), at] for other in others if node_id(domain, other) not in known]
    body["versions"] = sorted({*body["versions"], at})
    state.put(NODE, key, body, domain)


def node_id(domain: str, source: str) -> str:
    """Return the id of the node with this source identifier."""
    return sha256(f"{domain} {source}".encode()).hexdigest()[:14]


@datazone_operation("GetLineageNode")
def get_lineage_node(service: Service, asked: Params) -> Params:
    """Return a node by its id or its source identifier, as of a time or now."""
    with service.state.read() as state:
        domain = domain_of(state, asked)
        body = _node(state, domain, asked["identifier"])
        asset = _asset_of(state, domain, body["sourceIdentifier"])
    until = asked.get("eventTimestamp") or body["versions"][-1]
    versions = [at for at in body["versions"] if at <= until]
    if not versions:
        raise missing("LineageNode")
    sides = {
        member: [{"id": key, "eventTimestamp": at} for key, at in body[side] if at <= until][:100]
        for member, side in (("upstreamNodes", "up"), ("downstreamNodes", "down"))
    }
    forms = [_asset_form(asset)] if asset else []
    return {name: body[name] for name in SUMMARY} | sides | {"eventTimestamp": versions[-1], "formsOutput": forms}


@datazone_operation("ListLineageNodeHistory")
def list_lineage_node_history(service: Service, asked: Params) -> Params:
    """Return a page of a node's versions, one for each time at which an event told of it; the newest first."""
    with service.state.read() as state:
        body = _node(state, domain_of(state, asked), asked["identifier"])
    after, before = asked.get("eventTimestampGTE", ""), asked.get("eventTimestampLTE", "9")
    times = [at for at in body["versions"] if after <= at <= before]
    times.sort(reverse=asked.get("sortOrder") != "ASCENDING")
    shown = {name: body[name] for name in SUMMARY}
    nodes, token = numbered([shown | {"eventTimestamp": at} for at in times], asked)
    return {"nodes": nodes, "nextToken": token}


def _node(state: Snapshot, domain: str, identifier: str) -> Body:
    source = identifier
    if identifier.startswith(OF_ASSET):
        index = state.get(ASSET, identifier.removeprefix(OF_ASSET), domain)
        source = (source_identifier(index["revisions"][-1]) if index else None) or identifier
    body = state.get(NODE, identifier, domain) or state.get(NODE, node_id(domain, source), domain)
    if body is None:
        raise missing("LineageNode")
    return body


def _asset_of(state: Snapshot, domain: str, source: str) -> Body | None:
    for index in state.each(ASSET, domain):
        if source_identifier(index["revisions"][-1]) == source:
            found: Body = index["revisions"][-1]
            return found
    return None


def _asset_form(asset: Body) -> dict[str, Any]:
    content = json.dumps({"assetId": asset["id"], "assetRevision": asset["revision"]})
    return {"formName": "AssetReferenceForm", "typeName": "amazon.datazone.AssetReferenceFormType", "content": content}

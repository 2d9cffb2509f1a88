"""What StartRun asks for, checked against what there is: the workflow, its parameters, the group, the cache, places."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from labrelay.emulator.operation import Params, conflict, invalid, not_found
from labrelay.emulator.run_caches import existing_cache
from labrelay.emulator.run_groups import existing_group
from labrelay.emulator.run_states import existing_run
from labrelay.emulator.state import Body, Snapshot
from labrelay.emulator.workflow_versions import existing_version
from labrelay.emulator.workflows import existing_workflow
from labrelay.workflows.healthomics.pricing import static_gib

MAX_PARAMETER_BYTES = 256_000
ROLE = re.compile(r"arn:aws(-[a-z]+)*:iam::\d{12}:role/.+")
OUTPUT = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?", re.DOTALL)
# What a run that duplicates another takes over from it.
DUPLICATED = (
    "workflowId",
    "workflowType",
    "workflowVersionName",
    "name",
    "cacheId",
    "cacheBehavior",
    "runGroupId",
    "priority",
    "parameters",
    "storageCapacity",
    "storageType",
    "logLevel",
    "retentionMode",
    "networkingMode",
    "scratchStorageMode",
    "outputUriPrefixMode",
)
KEPT = (*DUPLICATED, "roleArn", "sessionPolicy", "tags", "batchId")


def run_body(state: Snapshot, asked: Params) -> tuple[Body, Body]:
    """Return the members of a new run that follow from the request, and the definition that it runs.

    Raises:
        Failure: What the request names is not there or not ready, or the request contradicts it.
    """
    wanted = _with_duplicated(state, asked)
    definition = _definition(state, wanted)
    if not ROLE.fullmatch(wanted["roleArn"]):
        raise invalid(f"roleArn {wanted['roleArn']} is no ARN of an IAM role.")
    if not OUTPUT.fullmatch(wanted["outputUri"]):
        raise invalid(f"outputUri {wanted['outputUri']} is no s3:// URI.")
    if wanted.get("networkingMode") == "VPC":
        raise invalid("The emulator has no VPC networking; leave networkingMode out.")
    if "configurationName" in wanted:
        raise not_found("configuration", wanted["configurationName"])
    if "runGroupId" in wanted:
        existing_group(state, wanted["runGroupId"])
    parameters = wanted.get("parameters") or {}
    check_parameters(definition.get("parameterTemplate") or {}, parameters, definition.get("_workflow", ""))
    body = {name: wanted[name] for name in KEPT if wanted.get(name) is not None}
    body |= _defaults(wanted, definition) | _cache(state, wanted) | {"parameters": parameters}
    return body, definition


def check_parameters(template: Mapping[str, Any], parameters: Any, workflow: str) -> None:
    """Refuse parameters that are missing, unknown, named twice or too many bytes; no template allows every name.

    Args:
        template: The workflow's parameter template; its keys may have the workflow's name before them, or not.
        parameters: The run's; likewise.
        workflow: The name in the WDL.

    Raises:
        Failure: ValidationException with everything that is wrong.
    """
    if not isinstance(parameters, dict):
        raise invalid("parameters is no object of names and values.")
    size = len(json.dumps(parameters).encode())
    if size > MAX_PARAMETER_BYTES:
        raise invalid(f"parameters has {size:,} bytes; {MAX_PARAMETER_BYTES:,} are allowed.")
    if not template:
        return
    known = {unqualified(name, workflow): bool(spec.get("optional")) for name, spec in template.items()}
    given = [unqualified(name, workflow) for name in parameters]
    missing = sorted(name for name, optional in known.items() if not optional and name not in given)
    unknown = sorted(set(given) - set(known))
    twice = sorted({name for name in given if given.count(name) > 1})
    found = (("missing", missing), ("unknown", unknown), ("given twice", twice))
    problems = [f"{what}: {', '.join(names)}" for what, names in found if names]
    if problems:
        raise invalid(f"The parameters do not fit the workflow's parameter template; {'; '.join(problems)}.")


def unqualified(name: str, workflow: str) -> str:
    """Return a parameter's name without the workflow's before it."""
    return name.removeprefix(f"{workflow}.") if workflow else name


def _with_duplicated(state: Snapshot, asked: Params) -> Params:
    if "runId" not in asked:
        return asked
    other = existing_run(state, asked["runId"])
    taken = {name: other[name] for name in DUPLICATED if name in other}
    return taken | asked


def _definition(state: Snapshot, asked: Params) -> Body:
    if "workflowId" not in asked:
        raise invalid("Name a workflowId, or a runId to duplicate.")
    if asked.get("workflowType") == "READY2RUN":
        raise not_found("Ready2Run workflow", asked["workflowId"])
    workflow = existing_workflow(state, asked["workflowId"])
    definition = workflow
    if "workflowVersionName" in asked:
        definition = existing_version(state, asked["workflowId"], asked["workflowVersionName"])
    if definition["status"] != "ACTIVE":
        raise conflict(f"{definition['arn']} is {definition['status']}; only an ACTIVE one can be run.")
    return definition | {"_name": workflow.get("name", "")}


def _defaults(asked: Params, definition: Body) -> Body:
    storage = asked.get("storageType") or definition.get("storageType", "STATIC")
    capacity = asked.get("storageCapacity") or definition.get("storageCapacity") or 0
    return {
        "workflowType": "PRIVATE",
        "workflowUuid": definition["uuid"],
        "storageType": storage,
        "logLevel": asked.get("logLevel", "ALL"),
        "retentionMode": asked.get("retentionMode", "RETAIN"),
        "networkingMode": "RESTRICTED",
        "priority": asked.get("priority", 0),
        "tags": asked.get("tags", {}),
        "outputUri": asked["outputUri"].rstrip("/"),
        "digest": definition["digest"],
        **({"storageCapacity": static_gib(capacity)} if storage == "STATIC" else {}),
        "_definition": {key: definition.get(key) for key in ("engine", "main", "digest", "_workflow", "_cpus")},
        "_workflow_name": definition["_name"],
    }


def _cache(state: Snapshot, asked: Params) -> Body:
    if "cacheId" not in asked:
        if "cacheBehavior" in asked:
            raise invalid("cacheBehavior is of a run cache; name a cacheId.")
        return {}
    cache = existing_cache(state, asked["cacheId"])
    return {"cacheId": asked["cacheId"], "cacheBehavior": asked.get("cacheBehavior", cache["cacheBehavior"])}

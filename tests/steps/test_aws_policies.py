"""The policies hold exactly what our code asks of AWS, and are filled in from the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aws_calls
import pytest

from labrelay.model.errors import UsageError
from labrelay.steps import aws_policies, cloud
from labrelay.steps.aws_policies import ROLES, documents, placeholders, render, values_of
from labrelay.steps.settings import Settings

# Permissions that AWS asks for beside the operation's own.
BESIDE = {
    "iam:PassRole": "StartRun and the import jobs hand the service role to HealthOmics",
    "omics:TagResource": "whatever is made with tags needs it",
    "batch:TagResource": "so does what is made on Batch",
}
# What only `labrelay init` asks.
SETUP_MODULES = {
    *("steps/cloud.py", "stores/healthomics_setup.py", "stores/s3_bucket.py", "workflows/healthomics/setup.py")
}
SETUP_FUNCTIONS = {"ensure_bucket", "_has_bucket"}
READS = ("Get", "List", "Describe", "Head")
MANAGED_POLICY_LIMIT = 6_144  # characters without white space, of an IAM managed policy
SETTINGS = Settings(
    aws_region="eu-central-1",
    objects_url="s3://lab-data/labrelay",
    outputs_url="s3://lab-data/labrelay-runs",
    sequence_store_id="1111111111",
    reference_store_id="2222222222",
    service_role_arn="arn:aws:iam::111122223333:role/labrelay-healthomics",
    run_group_id="1234567",
    run_cache_id="7654321",
    batch_queue="arn:aws:batch:eu-central-1:111122223333:job-queue/labrelay",
    batch_queue_high="urgent",
    batch_role_arn="arn:aws:iam::111122223333:role/labrelay-jobs",
    event_queue_url="https://sqs.eu-central-1.amazonaws.com/111122223333/labrelay-events",
)
FREE = {"repositories": "quay/*", "kms_key_id": "0a1b2c3d-0000-4000-8000-000000000000"}


def filled() -> dict[str, str]:
    return values_of(SETTINGS) | FREE


def statements(role: str, document: str = "permissions", effect: str = "Allow") -> Iterator[dict[str, Any]]:
    for statement in render(role, filled())[document]["Statement"]:
        if statement["Effect"] == effect:
            yield statement


def actions(role: str) -> set[str]:
    return {action for statement in statements(role) for action in statement["Action"]}


def asked() -> tuple[set[str], set[str]]:
    """Return the permissions that our code needs: those of `init` alone, and all the others."""
    for_setup: set[str] = set()
    for_work: set[str] = set()
    for module in aws_calls.modules():
        path = str(module.relative_to(aws_calls.ROOT))
        for name, own in aws_calls.calls(module):
            wanted = for_setup if path in SETUP_MODULES or own in SETUP_FUNCTIONS else for_work
            wanted |= aws_calls.permissions([name], module)
    return for_setup, for_work


def test_the_worker_may_do_what_our_code_asks_and_nothing_else() -> None:
    _for_setup, for_work = asked()
    assert len(for_work) > 20
    assert actions("worker") - BESIDE.keys() == {action for action in for_work if not action.startswith("batch:")}
    assert {"iam:PassRole", "omics:TagResource"} <= actions("worker")


def test_who_uses_batch_may_do_what_our_code_asks_of_it_besides() -> None:
    _for_setup, for_work = asked()
    of_batch = {action for action in for_work if action.startswith("batch:")}
    assert len(of_batch) > 5
    assert actions("batch") - BESIDE.keys() - {"logs:GetLogEvents"} == of_batch
    assert {"iam:PassRole", "batch:TagResource"} <= actions("batch")


def test_jobs_may_write_nothing_but_what_comes_of_runs_on_batch() -> None:
    [write] = [s for s in statements("job") if "s3:PutObject" in s["Action"]]
    assert write["Resource"] == ["arn:aws:s3:::lab-data/labrelay-runs/batch/*"]
    [trust] = statements("job", "trust")
    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    [submit] = [s for s in statements("batch") if "batch:SubmitJob" in s["Action"]]
    queues = [each.rpartition("/")[2] for each in submit["Resource"] if ":job-queue/" in each]
    assert queues == ["labrelay", "urgent"], "a queue that is not named is the usual one"
    [give] = [s for s in statements("batch") if "iam:PassRole" in s["Action"]]
    assert give["Resource"] == ["arn:aws:iam::111122223333:role/labrelay-jobs"]
    assert give["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


def test_who_sets_up_may_do_what_init_asks_and_nothing_else() -> None:
    for_setup, _for_work = asked()
    assert len(for_setup) > 5
    assert actions("setup") - BESIDE.keys() == for_setup


def test_the_search_for_calls_finds_a_method_a_paginators_name_and_a_helper() -> None:
    found = aws_calls.permissions(["head_object", "list_run_groups", "upload_file", "delete_message_batch", "append"])
    assert found == {
        *("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"),
        *("omics:ListRunGroups", "sqs:DeleteMessage"),
    }


def test_the_uploader_may_do_a_part_of_what_the_worker_may_and_only_below_its_prefix() -> None:
    assert actions("uploader") <= {action for action in actions("worker") if action.startswith("s3:")}
    for statement in statements("uploader"):
        for resource in statement["Resource"]:
            assert resource == "arn:aws:s3:::lab-data" or resource.startswith("arn:aws:s3:::lab-data/labrelay/")


@pytest.mark.parametrize("role", ["worker", "uploader"])
def test_instrument_data_can_be_written_only_where_nothing_is_and_never_be_deleted(role: str) -> None:
    writes = [s for s in statements(role) if "s3:PutObject" in s["Action"]]
    raw = [s["Condition"] for s in writes if "arn:aws:s3:::lab-data/labrelay/*" in s["Resource"]]
    assert raw == [{"Null": {"s3:if-none-match": "false"}}, {"Bool": {"s3:ObjectCreationOperation": "false"}}]
    assert not [action for action in actions(role) if action.startswith("s3:Delete") or "Bypass" in action]


def test_the_service_role_cannot_write_instrument_data() -> None:
    [write] = [s for s in statements("service") if "s3:PutObject" in s["Action"]]
    assert write["Resource"] == ["arn:aws:s3:::lab-data/labrelay-runs/*", "arn:aws:s3:::lab-data/labrelay-cache/*"]


def test_the_service_role_is_for_healthomics_acting_for_this_account() -> None:
    [trust] = statements("service", "trust")
    assert trust["Principal"] == {"Service": "omics.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111122223333"},
        "ArnLike": {"aws:SourceArn": "arn:aws:omics:eu-central-1:111122223333:*"},
    }


def test_the_role_is_given_to_healthomics_only() -> None:
    [give] = [s for s in statements("worker") if "iam:PassRole" in s["Action"]]
    assert give["Resource"] == ["arn:aws:iam::111122223333:role/labrelay-healthomics"]
    assert give["Condition"] == {"StringEquals": {"iam:PassedToService": "omics.amazonaws.com"}}


@pytest.mark.parametrize("role", ["setup", "service", "worker", "batch", "job", "uploader", "key"])
def test_no_action_is_a_wildcard_and_every_statement_has_its_name(role: str) -> None:
    named = [statement["Sid"] for statement in statements(role)]
    assert len(set(named)) == len(named)
    assert not [action for action in actions(role) if "*" in action]


def test_the_guard_rails_forbid_nothing_that_a_role_needs_and_deny_only() -> None:
    assert not list(statements("guardrails", "deny"))
    denied = {a for s in statements("guardrails", "deny", "Deny") if "Condition" not in s for a in s["Action"]}
    assert {"s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "omics:DeleteSequenceStore"} <= denied
    for role in ("service", "worker", "batch", "job", "uploader"):
        for action in actions(role):
            assert not [d for d in denied if action == d or (d.endswith("*") and action.startswith(d[:-1]))], action


def test_a_role_fits_into_one_managed_policy() -> None:
    sizes = {role: len(json.dumps(d, separators=(",", ":"))) for role in ROLES for d in render(role, filled()).values()}
    assert max(sizes.values()) < MANAGED_POLICY_LIMIT, sizes


@pytest.mark.parametrize("role", ROLES)
def test_with_settings_and_two_more_names_nothing_is_left_open(role: str) -> None:
    assert placeholders(role) <= filled().keys()
    assert "${" not in json.dumps(render(role, filled()))


def test_a_place_without_a_value_stays_and_iams_own_variables_do_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "role/${event_rule}" not in json.dumps(render("events", {"event_rule": "mine"}))
    assert "arn:aws:sqs:${region}:${account}:" in json.dumps(render("events", {"event_rule": "mine"}))
    own = {"about": "", "documents": {"permissions": {"Resource": "home/${aws:username}/${bucket}"}}}
    monkeypatch.setattr(aws_policies, "_read", lambda _role: own)
    assert render("any", {"bucket": "b"}) == {"permissions": {"Resource": "home/${aws:username}/b"}}


def test_the_usual_names_are_those_of_init() -> None:
    values = values_of(None)
    wanted = (cloud.RAW, cloud.RUNS, cloud.CACHE)
    assert (values["objects_prefix"], values["runs_prefix"], values["cache_prefix"]) == wanted


def test_names_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert values_of(None)["region"] == "us-west-2"
    values = values_of(SETTINGS)
    assert values["region"] == "eu-central-1"
    assert values["account"] == "111122223333"
    assert values["queue"] == "labrelay-events"
    two = values_of(Settings(objects_url="s3://raw", outputs_url="s3://runs/a/b/"))
    assert (two["bucket"], two["objects_prefix"], two["runs_bucket"], two["runs_prefix"]) == ("raw", "*", "runs", "a/b")


@pytest.mark.parametrize("value", ['x"', "a b", "", "${region}", "a\n"])
def test_a_value_that_is_no_name_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="cannot stand in a policy"):
        render("events", {"region": value})


def test_a_role_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="setup, service, worker"):
        render("root", {})
    assert documents("service") == ("trust", "permissions")

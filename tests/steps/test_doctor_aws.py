"""`doctor --aws` looks at each piece by reading, names the permission that is missing, and goes on with the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import aws_calls
import pytest
from botocore.stub import Stubber

from labrelay.steps.doctor import Finding, Health
from labrelay.steps.doctor_aws import examine_aws
from labrelay.steps.settings import Settings
from labrelay.stores.aws import Aws

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lab/labrelay-healthomics"
QUEUE = f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/labrelay-events"
WHEN = datetime(2026, 11, 23, tzinfo=UTC)
SETTINGS: dict[str, Any] = {
    "profile": "healthomics",
    "aws_region": "eu-central-1",
    "objects_url": "s3://lab-data/labrelay",
    "outputs_url": "s3://lab-data/labrelay-runs",
    "sequence_store_id": "1111111111",
    "reference_store_id": "2222222222",
    "service_role_arn": ROLE,
    "run_group_id": "1234567",
    "run_cache_id": "7654321",
    "event_queue_url": QUEUE,
}
TRUST = '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "omics.amazonaws.com"}}]}'
ANSWERS: dict[str, dict[str, Any]] = {
    "get_caller_identity": {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/ada", "UserId": "AIDA"},
    "head_bucket": {"BucketRegion": "eu-central-1"},
    "get_bucket_versioning": {"Status": "Enabled"},
    "get_object_lock_configuration": {
        "ObjectLockConfiguration": {
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 10}},
        }
    },
    "get_sequence_store": {"id": "1111111111", "arn": "arn:aws:omics:s", "creationTime": WHEN, "status": "ACTIVE"},
    "get_reference_store": {"id": "2222222222", "arn": "arn:aws:omics:r", "creationTime": WHEN},
    "get_run_group": {"id": "1234567", "name": "labrelay", "maxRuns": 10},
    "get_run_cache": {"id": "7654321", "name": "labrelay", "status": "ACTIVE", "cacheS3Uri": "s3://lab-data/c"},
    "list_runs": {"items": []},
    "get_role": {
        "Role": {
            **{"Path": "/lab/", "RoleName": "labrelay-healthomics", "RoleId": "AROAAAAAAAAAAAAAAAAA"},
            **{"Arn": ROLE, "CreateDate": WHEN, "AssumeRolePolicyDocument": TRUST},
        }
    },
    "get_queue_attributes": {"Attributes": {"ApproximateNumberOfMessages": "3", "RedrivePolicy": "{}"}},
}
SERVICE_OF = {
    "get_caller_identity": "sts",
    "head_bucket": "s3",
    "get_bucket_versioning": "s3",
    "get_object_lock_configuration": "s3",
    "get_role": "iam",
    "get_queue_attributes": "sqs",
}
SERVICES = ("sts", "s3", "omics", "iam", "sqs")
Examine = Callable[..., dict[str, Finding]]


@pytest.fixture(scope="module")
def account() -> Iterator[Aws]:
    """Return a way to AWS with clients; making them takes longer than all that the tests do with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_CONFIG_FILE", "/nowhere")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        aws = Aws(region="eu-central-1", attempts=1)
        for service in SERVICES:
            aws.client(service)
        yield aws


@pytest.fixture
def examine(account: Aws) -> Iterator[Examine]:
    """Return a function that examines an account whose answers are `ANSWERS` but for those that are given."""
    active: list[Stubber] = []

    def run(settings: dict[str, Any] | None = None, **answers: Any) -> dict[str, Finding]:
        while active:
            active.pop().deactivate()
        stubbers = {service: Stubber(account.client(service)) for service in SERVICES}
        for name, usual in ANSWERS.items():
            answer = deepcopy(answers.get(name, usual))  # botocore changes what it is given
            stubber = stubbers[SERVICE_OF.get(name, "omics")]
            if answer is None:
                continue  # this one is not asked
            if "code" in answer:
                stubber.add_client_error(name, answer["code"], answer["message"], answer["status"])
            else:
                stubber.add_response(name, answer)
        for stubber in stubbers.values():
            stubber.activate()
            active.append(stubber)
        chosen = {name: value for name, value in {**SETTINGS, **(settings or {})}.items() if value is not None}
        found = examine_aws(Settings(**chosen), account)
        for stubber in stubbers.values():
            stubber.assert_no_pending_responses()
        return {each.what: each for each in found}

    yield run
    for stubber in active:
        stubber.deactivate()


def denied(action: str) -> dict[str, Any]:
    who = f"User: arn:aws:iam::{ACCOUNT}:user/ada is not authorized to perform: {action} on resource: arn:aws:x"
    return {"code": "AccessDeniedException", "message": who, "status": 403}


def test_an_account_in_which_all_is_well(examine: Examine) -> None:
    found = examine()
    assert {name for name, each in found.items() if each.health is not Health.OK} == {"pass role", "batch"}
    assert f"arn:aws:iam::{ACCOUNT}:user/ada of account {ACCOUNT}, region eu-central-1" in found["identity"].text
    assert "maxRuns 10" in found["run group"].text
    assert "about 3 messages wait" in found["events"].text


def test_that_pass_role_cannot_be_tried_is_said(examine: Examine) -> None:
    told = examine()["pass role"]
    assert told.health is Health.NOTE
    assert "shows only when a run or an import is started" in told.text
    assert "iam:PassRole" in str(told.fix)


@pytest.mark.parametrize(
    ("operation", "action", "what"),
    [
        ("get_sequence_store", "omics:GetSequenceStore", "sequences"),
        ("get_reference_store", "omics:GetReferenceStore", "references"),
        ("get_run_group", "omics:GetRunGroup", "run group"),
        ("get_run_cache", "omics:GetRunCache", "run cache"),
        ("list_runs", "omics:ListRuns", "runs"),
        ("get_queue_attributes", "sqs:GetQueueAttributes", "events"),
        ("get_bucket_versioning", "s3:GetBucketVersioning", "versions"),
        ("get_object_lock_configuration", "s3:GetBucketObjectLockConfiguration", "lock"),
    ],
)
def test_a_missing_permission_is_named_and_the_others_are_looked_at(
    examine: Examine, operation: str, action: str, what: str
) -> None:
    found = examine(**{operation: denied(action)})
    assert {name for name, each in found.items() if each.health is Health.BROKEN} == {what}
    assert f"lacks permission {action}" in found[what].text
    assert found[what].fix == "labrelay aws policies worker"


def test_a_bucket_that_says_only_403_is_told_with_the_permission(examine: Examine) -> None:
    found = examine(head_bucket={"code": "403", "message": "Forbidden", "status": 403})
    assert found["bucket"].health is Health.BROKEN
    assert "s3:ListBucket" in found["bucket"].text
    assert found["versions"].health is Health.OK


def test_a_bucket_of_another_region_or_without_versions_is_seen(examine: Examine) -> None:
    found = examine(head_bucket={"BucketRegion": "us-east-1"}, get_bucket_versioning={})
    assert found["bucket"].health is Health.BROKEN
    assert "is in us-east-1, HealthOmics is asked in eu-central-1" in found["bucket"].text
    assert found["versions"].health is Health.NOTE


def test_a_bucket_that_locks_nothing_is_worth_knowing_and_one_that_does_says_how(examine: Examine) -> None:
    assert examine()["lock"].text == "lab-data locks new objects: COMPLIANCE for 10 years"
    never = {"code": "ObjectLockConfigurationNotFoundError", "message": "there is none", "status": 404}
    enabled_only = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    for answer in (never, enabled_only):
        told = examine(get_object_lock_configuration=answer)["lock"]
        assert (told.health, told.text[:24]) == (Health.NOTE, "lab-data locks nothing: ")


def test_a_role_that_is_gone_is_another_or_is_not_for_healthomics_is_broken(examine: Examine) -> None:
    gone = examine(get_role={"code": "NoSuchEntity", "message": "not found", "status": 404})["role"]
    assert (gone.health, gone.text) == (Health.BROKEN, f"there is no role {ROLE}")
    role = ANSWERS["get_role"]["Role"]
    other = examine(get_role={"Role": {**role, "AssumeRolePolicyDocument": TRUST.replace("omics", "ec2")}})["role"]
    assert "does not let omics.amazonaws.com take it" in other.text
    moved = examine(get_role={"Role": {**role, "Arn": ROLE.replace("/lab/", "/other/")}})["role"]
    assert moved.health is Health.BROKEN


def test_a_role_that_we_may_not_look_at_is_no_fault(examine: Examine) -> None:
    assert examine(get_role=denied("iam:GetRole"))["role"].health is Health.NOTE


def test_what_is_no_role_is_not_asked_for(examine: Examine) -> None:
    found = examine({"service_role_arn": "labrelay-healthomics"}, get_role=None)
    assert "is not the ARN of a role" in found["role"].text


def test_without_credentials_that_is_told_and_nothing_else(examine: Examine) -> None:
    refused = {"code": "ExpiredToken", "message": "The security token is expired", "status": 403}
    others = dict.fromkeys(ANSWERS, None) | {"get_caller_identity": refused}
    found = examine(**others)
    assert set(found) == {"profile", "endpoint", "identity"}
    assert found["identity"].health is Health.BROKEN
    assert "log in again" in found["identity"].text


def test_what_is_not_set_is_named(examine: Examine) -> None:
    names = [name for name in SETTINGS if name.endswith(("_id", "_url", "_arn"))]
    left = {"get_caller_identity", "list_runs"}
    found = examine(dict.fromkeys(names), **{name: None for name in ANSWERS if name not in left})
    broken = {name for name, each in found.items() if each.health is Health.BROKEN}
    assert broken == {"bucket", "sequences", "references", "role"}
    assert "is not set" in found["sequences"].text
    assert {found[name].health for name in ("run group", "run cache", "events")} == {Health.NOTE}


def test_a_store_that_is_being_deleted_is_broken(examine: Examine) -> None:
    store = {**ANSWERS["get_sequence_store"], "status": "DELETING"}
    assert examine(get_sequence_store=store)["sequences"].health is Health.BROKEN


def test_only_reading_calls_are_made() -> None:
    modules = (aws_calls.ROOT / "steps" / "doctor_aws.py", aws_calls.ROOT / "stores" / "s3_lock.py")
    named = {name for module in modules for name, _own in aws_calls.calls(module)}
    asked = named & set(aws_calls.operations())
    assert asked == set(ANSWERS)
    assert all(name.startswith(("get_", "list_", "head_")) for name in asked)

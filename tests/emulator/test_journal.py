"""What is configured is kept once and in order; what is of the moment is not; a torn line is forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labrelay.emulator.journal import Journal, action_of, changes_configuration

HEADERS = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.CreateQueue"}


def kept(file: Path) -> list[str]:
    return [json.loads(line)["body"] for line in file.read_text().splitlines()]


def add(journal: Journal, action: str, body: str) -> None:
    journal.add("POST", "/", {**HEADERS, "x-amz-target": f"AmazonSQS.{action}"}, body.encode())


@pytest.mark.parametrize(
    ("service", "action", "changes"),
    [
        ("sqs", "CreateQueue", True),
        ("sqs", "SetQueueAttributes", True),
        ("sqs", "DeleteQueue", True),
        ("sqs", "DeleteMessage", False),
        ("sqs", "SendMessage", False),
        ("events", "PutRule", True),
        ("events", "PutEvents", False),
        ("iam", "PutRolePolicy", True),
        ("iam", "GetRole", False),
        ("sts", "AssumeRole", False),
    ],
)
def test_only_configuration_is_kept(service: str, action: str, changes: bool) -> None:
    assert changes_configuration(service, action) is changes


def test_the_action_is_in_the_header_or_in_the_form() -> None:
    assert action_of(HEADERS, b"{}") == "CreateQueue"
    assert action_of({}, b"Version=2010-05-08&Action=CreateRole&RoleName=x") == "CreateRole"
    assert action_of({}, b"\xff") == ""


def test_what_was_asked_twice_is_kept_once_unless_something_was_removed_between(tmp_path: Path) -> None:
    file = tmp_path / "configured.jsonl"
    for action in ("CreateQueue", "CreateQueue"):
        add(Journal(file), action, "q")
    assert kept(file) == ["q"]
    journal = Journal(file)
    add(journal, "DeleteQueue", "q")
    add(journal, "CreateQueue", "q")
    add(journal, "CreateQueue", "q")
    assert kept(file) == ["q", "q", "q"]


def test_a_line_that_a_kill_cut_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "configured.jsonl"
    add(Journal(file), "CreateQueue", "one")
    with file.open("a") as handle:
        handle.write('{"method": "PO')
    add(Journal(file), "CreateQueue", "two")
    assert kept(file) == ["one", "two"]


def test_a_secret_signature_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "configured.jsonl"
    signed = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=5ec2e7"
    Journal(file).add("POST", "/", {**HEADERS, "authorization": signed}, b"{}")
    assert "5ec2e7" not in file.read_text()
    assert "us-east-1/sqs/aws4_request" in file.read_text()

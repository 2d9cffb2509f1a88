"""`labrelay aws policies` prints what IAM takes, with the home's own names, and says what it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Said, shell
from tiny_run import TinyLab

Command = Callable[..., Said]
SETTINGS = """\
aws_region = "eu-central-1"
objects_url = "s3://lab-data/labrelay"
outputs_url = "s3://lab-data/labrelay-runs"
sequence_store_id = "1111111111"
reference_store_id = "2222222222"
service_role_arn = "arn:aws:iam::111122223333:role/labrelay-healthomics"
run_group_id = "1234567"
run_cache_id = "7654321"
"""


@pytest.fixture(autouse=True)
def _no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


@pytest.fixture
def labrelay(fresh: TinyLab, fresh_labrelay: Command) -> Command:
    (fresh.home / "labrelay.toml").write_text(SETTINGS)
    return fresh_labrelay


def test_without_a_role_the_roles_are_listed(labrelay: Command) -> None:
    said = labrelay("aws", "policies")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()[:9]] == [
        *("setup", "service", "worker", "batch", "job", "uploader", "events", "key", "guardrails")
    ]
    assert labrelay("aws", "policies", "--json").json["worker"]["permissions"]["Version"] == "2012-10-17"


def test_a_role_is_printed_as_iam_takes_it_with_the_names_of_the_home(labrelay: Command) -> None:
    said = labrelay("aws", "policies", "worker")
    assert (said.code, said.err) == (0, "")
    assert said.json["Version"] == "2012-10-17"
    assert "arn:aws:omics:eu-central-1:111122223333:sequenceStore/1111111111" in said.out
    assert "${" not in said.out


def test_one_document_of_a_role_with_two(labrelay: Command) -> None:
    both = labrelay("aws", "policies", "service").json
    assert labrelay("aws", "policies", "service", "--document", "trust").json == both["trust"]
    assert (
        "has no document queue: trust, permissions"
        in labrelay("aws", "policies", "service", "--document", "queue").sentence
    )


def test_what_is_not_known_stays_and_is_said(labrelay: Command) -> None:
    said = labrelay("aws", "policies", "service")
    assert said.err == "not known yet: --set repositories=…\n"
    assert "${repositories}" in said.out
    filled = labrelay("aws", "policies", "service", "--set", "repositories=quay/*")
    assert (filled.err, "repository/quay/*" in filled.out) == ("", True)


def test_without_a_home_names_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labrelay = shell(monkeypatch, tmp_path / "none")
    given = ("--set", "account=111122223333", "--set", "region=eu-central-1", "--set", "bucket=lab")
    said = labrelay("aws", "policies", "uploader", *given)
    assert said.err == ""
    assert "arn:aws:s3:::lab/labrelay/*" in said.out
    assert not (tmp_path / "none").exists()


def test_all_documents_are_written_as_files(labrelay: Command, tmp_path: Path) -> None:
    said = labrelay("aws", "policies", "--to", tmp_path / "iam")
    written = sorted(path.name for path in (tmp_path / "iam").iterdir())
    assert "service.trust.json" in written
    assert len(written) == 11
    assert [Path(line).name for line in said.out.splitlines()] != []
    assert json.loads((tmp_path / "iam" / "worker.permissions.json").read_text())["Statement"]


def test_mistakes_are_told_in_a_sentence(labrelay: Command) -> None:
    assert "there is no role 'root'" in labrelay("aws", "policies", "root").sentence
    assert "give NAME=VALUE" in labrelay("aws", "policies", "worker", "--set", "acount=1").sentence
    assert "give NAME=VALUE" in labrelay("aws", "policies", "worker", "--set", "account").sentence
    assert "cannot stand in a policy" in labrelay("aws", "policies", "worker", "--set", "account=a b").sentence

"""A bundle is published once, whoever asks; what HealthOmics refuses is told in its own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY

from labrelay.model.errors import Conflict, RefusedInput
from labrelay.model.runs import WorkflowVersion
from labrelay.workflows.healthomics import publish
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings
from labrelay.workflows.healthomics.publish import Publisher
from labrelay.workflows.healthomics.template import parameter_template

from .conftest import BEGAN, WDL, Account, request_of, uuid_of

ROLE = "arn:aws:iam::123456789012:role/LabRuns"
Bundle = Callable[..., tuple[WorkflowVersion, Path]]
OURS = {"labrelay:workflow": "tiny"}
GONE = ("ResourceNotFoundException", 404)


def publisher_of(account: Account, folder: Path, pauses: list[float] | None = None, **more: Any) -> Publisher:
    sleep = (lambda _: None) if pauses is None else pauses.append
    return Publisher(account, folder / "published.json", "s3://bucket/runs/bundles", ROLE, sleep=sleep, **more)  # type: ignore[arg-type]


def finds(account: Account, *ids: str) -> None:
    """Let the listing tell these ACTIVE workflows, the oldest of them ours."""
    items = [{"id": each, "name": "tiny", "status": "ACTIVE", "creationTime": BEGAN} for each in ids]
    account.says("omics", "list_workflows", {"items": [*items, {"id": "9", "name": "tiny2", "status": "ACTIVE"}]})
    if ids:
        account.says("omics", "get_workflow", {"tags": OURS}, {"id": ids[0]})


def is_active(account: Account, workflow_id: str) -> None:
    account.says("omics", "get_workflow", {"status": "ACTIVE", "tags": OURS}, {"id": workflow_id})


def makes_version(account: Account, digest: str, *statuses: str) -> None:
    asked = {"workflowId": "1", "versionName": digest[:16]}
    account.fails("omics", "get_workflow_version", *GONE)
    common = dict.fromkeys(("engine", "main", "description", "definitionZip", "parameterTemplate", "tags"), ANY)
    account.says("omics", "create_workflow_version", {}, {**common, **asked, "requestId": ANY})
    for status in statuses:
        account.says("omics", "get_workflow_version", {"status": status}, asked)


def test_the_first_bundle_of_a_name_makes_the_workflow_and_a_version(
    account: Account, bundle: Bundle, tmp_path: Path
) -> None:
    version, archive = bundle()
    finds(account)
    template = {
        "tiny.reads": {"description": "the reads", "optional": False},
        "tiny.depth": {"optional": True},
        "tiny.note": {"optional": True},
    }
    asked = {
        "name": "tiny",
        "engine": "WDL",
        "main": "main.wdl",
        "description": f"tiny 1.0, by Labrelay, sha256 {version.digest}",
        "parameterTemplate": template,
        "definitionZip": archive.read_bytes(),
        "tags": {"labrelay:digest": version.digest, "labrelay:workflow": "tiny"},
        "requestId": ANY,
    }
    account.says("omics", "create_workflow", {"id": "1"}, asked)
    account.says("omics", "get_workflow", {"status": "CREATING"})
    is_active(account, "1")
    finds(account, "1")
    makes_version(account, version.digest, "CREATING", "CREATING", "ACTIVE", "ACTIVE")
    pauses: list[float] = []
    publisher = publisher_of(account, tmp_path, pauses)
    published = publisher.publish(version, archive)
    assert (published.workflow_id, published.version) == ("1", version.digest[:16])
    assert pauses == [0.2, 0.2, pytest.approx(0.3)]
    account.all_asked()
    # Known from here on, in this process and in the next: no call.
    assert publisher.publish(version, archive) == published
    assert publisher_of(account, tmp_path).publish(version, archive) == published


def test_of_two_machines_that_make_the_workflow_at_once_the_older_ones_counts(
    account: Account, bundle: Bundle, tmp_path: Path
) -> None:
    version, archive = bundle()
    finds(account)
    account.says("omics", "create_workflow", {"id": "2"})
    is_active(account, "2")
    finds(account, "1", "2")
    account.says("omics", "delete_workflow", {}, {"id": "2"})
    account.fails("omics", "get_workflow_version", *GONE)
    account.fails("omics", "create_workflow_version", "ConflictException", 409)  # the other machine's version, too
    for _ in range(2):
        account.says("omics", "get_workflow_version", {"status": "ACTIVE", "tags": {"labrelay:digest": version.digest}})
    assert publisher_of(account, tmp_path).publish(version, archive).workflow_id == "1"


def test_somebody_elses_workflow_of_the_same_name_is_left_alone(
    account: Account, bundle: Bundle, tmp_path: Path
) -> None:
    version, archive = bundle()
    items = [{"id": "5", "name": "tiny", "status": "ACTIVE", "creationTime": BEGAN}]
    account.says("omics", "list_workflows", {"items": items}, {"type": "PRIVATE", "name": "tiny"})
    account.says("omics", "get_workflow", {"tags": {}}, {"id": "5"})
    account.says("omics", "create_workflow", {"id": "1"})
    is_active(account, "1")
    finds(account, "1")
    makes_version(account, version.digest, "ACTIVE", "ACTIVE")
    assert publisher_of(account, tmp_path).publish(version, archive).workflow_id == "1"


def test_what_the_service_refuses_is_told_in_its_words_and_nothing_is_left(
    account: Account, bundle: Bundle, tmp_path: Path
) -> None:
    version, archive = bundle()
    finds(account)
    account.says("omics", "create_workflow", {"id": "1"})
    account.says(
        "omics", "get_workflow", {"status": "FAILED", "statusMessage": "(main.wdl Ln 4 Col 1) No such task\nx"}
    )
    account.says("omics", "delete_workflow", {}, {"id": "1"})
    publisher = publisher_of(account, tmp_path)
    with pytest.raises(RefusedInput, match="Ln 4 Col 1") as refused:
        publisher.publish(version, archive)
    assert len(refused.value.problems) == 2
    assert not (tmp_path / "published.json").exists()


def test_a_failed_version_that_an_earlier_try_left_is_made_once_more(
    account: Account, bundle: Bundle, tmp_path: Path
) -> None:
    version, archive = bundle()
    finds(account, "1")
    is_active(account, "1")
    for _ in range(2):
        account.says("omics", "get_workflow_version", {"status": "FAILED", "statusMessage": "internal"})
    account.says("omics", "delete_workflow_version", {}, {"workflowId": "1", "versionName": version.digest[:16]})
    makes_version(account, version.digest, "FAILED")
    with pytest.raises(RefusedInput, match="its status is FAILED"):
        publisher_of(account, tmp_path).publish(version, archive)


def test_a_version_from_another_bundle_is_never_taken(account: Account, bundle: Bundle, tmp_path: Path) -> None:
    version, archive = bundle()
    finds(account, "1")
    is_active(account, "1")
    for _ in range(3):
        account.says("omics", "get_workflow_version", {"status": "ACTIVE", "tags": {"labrelay:digest": "f" * 64}})
    with pytest.raises(Conflict, match="another bundle"):
        publisher_of(account, tmp_path).publish(version, archive)


def test_a_large_bundle_goes_through_s3(
    account: Account, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "ZIP_BYTES", 10)
    version, archive = bundle()
    key = f"runs/bundles/{version.digest}.zip"
    account.says("s3", "put_object", {}, {"Bucket": "bucket", "Key": key, "Body": ANY, "ChecksumAlgorithm": ANY})
    finds(account)
    common = dict.fromkeys(("name", "engine", "main", "description", "parameterTemplate", "tags", "requestId"), ANY)
    registries = {"registryMappings": [{"upstreamRegistryUrl": "quay.io", "ecrRepositoryPrefix": "quay"}]}
    asked = {**common, "definitionUri": f"s3://bucket/{key}", "containerRegistryMap": registries}
    account.says("omics", "create_workflow", {"id": "1"}, asked)
    is_active(account, "1")
    finds(account, "1")
    for _ in range(3):
        account.says("omics", "get_workflow_version", {"status": "ACTIVE"})
    publisher_of(account, tmp_path, registry_map=registries).publish(version, archive)


def test_a_bundle_that_healthomics_cannot_run_costs_no_call(account: Account, bundle: Bundle, tmp_path: Path) -> None:
    version, archive = bundle(WDL.replace('container: "quay.io/example/count:1"', ""))
    with pytest.raises(RefusedInput, match="names no container"):
        publisher_of(account, tmp_path).publish(version, archive)


def test_descriptions_lose_what_the_service_refuses() -> None:
    shape = {"type": "string", "description": "tab\there\x1b[31m\n" + "x" * 400}
    words = parameter_template({"properties": {"w.a": shape}, "required": ["w.a"]})["w.a"]["description"]
    assert words.startswith("tab here [31m x")
    assert len(words) == 256
    assert words.isprintable()


def test_a_run_is_started_with_the_token_and_asked_again_is_the_same(
    account: Account, bundle: Bundle, tmp_path: Path
) -> None:
    version, archive = bundle()
    request = request_of(version, archive)
    asked = {
        "workflowId": "1",
        "workflowVersionName": version.digest[:16],
        "workflowType": "PRIVATE",
        "requestId": request.token,
        "name": request.token,
        "roleArn": "arn:aws:iam::1:role/r",
        "outputUri": "s3://bucket/runs",
        "parameters": {"tiny.reads": "s3://bucket/reads.fastq.gz"},
        "storageType": "DYNAMIC",
        "retentionMode": "RETAIN",
        "logLevel": "ALL",
        "runGroupId": "33",
        "tags": {"labrelay:experiment": "exp_1", "labrelay:run": request.run_id, "labrelay:token": request.token},
    }
    finds(account, "1")
    is_active(account, "1")
    makes_version(account, version.digest, "ACTIVE", "ACTIVE")
    for _ in range(2):
        account.says("omics", "start_run", {"id": "77", "uuid": uuid_of(77), "status": "PENDING"}, asked)
    settings = HealthOmicsSettings(
        role_arn="arn:aws:iam::1:role/r", output_uri="s3://bucket/runs", download=tmp_path, run_group_id="33"
    )
    engine = HealthOmicsEngine(account, settings)  # type: ignore[arg-type]
    assert engine.submit(request) == engine.submit(request) == f"77/{uuid_of(77)}"


def test_a_service_that_lost_the_workflow_gets_it_again(account: Account, bundle: Bundle, tmp_path: Path) -> None:
    version, archive = bundle()
    known = publish.Published(workflow_id="8", version=version.digest[:16], inputs={})
    publisher = publisher_of(account, tmp_path)
    publisher._known[version.digest] = known
    settings = HealthOmicsSettings(role_arn="arn:x", output_uri="s3://bucket/runs", download=tmp_path)
    engine = HealthOmicsEngine(account, settings, publisher)  # type: ignore[arg-type]
    account.fails("omics", "start_run", *GONE)
    finds(account, "1")
    is_active(account, "1")
    makes_version(account, version.digest, "ACTIVE", "ACTIVE")
    account.says("omics", "start_run", {"id": "77", "uuid": uuid_of(77)})
    assert engine.submit(request_of(version, archive)).startswith("77/")


@pytest.mark.parametrize("value", ["/data/reads.fastq.gz", "https://example.org/r.fastq.gz", "s3://bucket-without-key"])
def test_inputs_that_healthomics_cannot_read_are_refused_before_the_run(
    account: Account, bundle: Bundle, tmp_path: Path, value: str
) -> None:
    version, archive = bundle()
    finds(account, "1")
    is_active(account, "1")
    makes_version(account, version.digest, "ACTIVE", "ACTIVE")
    settings = HealthOmicsSettings(role_arn="arn:x", output_uri="s3://bucket/runs", download=tmp_path)
    engine = HealthOmicsEngine(account, settings)  # type: ignore[arg-type]
    with pytest.raises(RefusedInput, match=r"tiny\.reads is .* s3:// and omics:// only"):
        engine.submit(request_of(version, archive, {"tiny.reads": value}))


@pytest.mark.parametrize("moved", ["another endpoint", "another account"])
def test_what_was_published_in_another_place_is_not_believed(
    account: Account, bundle: Bundle, tmp_path: Path, moved: str
) -> None:
    version, archive = bundle()
    finds(account, "1")
    is_active(account, "1")
    makes_version(account, version.digest, "ACTIVE", "ACTIVE")
    publisher_of(account, tmp_path).publish(version, archive)
    account.all_asked()
    role = ROLE
    if moved == "another endpoint":
        account.url = "http://127.0.0.1:9000"
    else:
        role = ROLE.replace("123456789012", "210987654321")
    finds(account, "1")
    is_active(account, "1")
    makes_version(account, version.digest, "ACTIVE", "ACTIVE")
    publisher = Publisher(account, tmp_path / "published.json", "s3://bucket/runs/bundles", role)  # type: ignore[arg-type]
    publisher.publish(version, archive)
    account.all_asked()

"""References on HealthOmics: imported once, reused by every machine, tried again after a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from emulated import Emulated
from read_stores import ROLE, HealthOmicsLab

from labrelay.model.errors import RefusedInput
from labrelay.model.reads import Reference
from labrelay.stores.healthomics_references import MOST_JOBS

ADD = """
import sys
from pathlib import Path
from labrelay.stores.aws import Aws
from labrelay.stores.healthomics_reads import HealthOmicsReadStore
from labrelay.stores.healthomics_setup import Stores
from labrelay.stores.s3 import S3ObjectStore
endpoint, prefix, root, sequence, reference, role, source, name = sys.argv[1:]
aws = Aws(region="us-east-1", endpoint_url=endpoint)
objects = S3ObjectStore(aws, "reads-lab", prefix)
HealthOmicsReadStore(aws, objects, Path(root), Stores(sequence, reference), role).add_reference(Path(source), name)
"""


@pytest.fixture
def name() -> str:
    return f"toy {uuid.uuid4().hex[:12]}"


@pytest.fixture
def fasta(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "toy.fa"
    path.write_text(f">chr1 {name}\n{'ACGTA' * 30}\n")
    return path


def there(cloud: HealthOmicsLab, name: str) -> list[dict[str, Any]]:
    listed = cloud.aws.client("omics").list_references(
        referenceStoreId=cloud.stores.reference_store_id, filter={"name": name}
    )
    found: list[dict[str, Any]] = listed["references"]
    return found


def test_an_engine_reads_it_from_the_reference_store(
    cloud: HealthOmicsLab, fasta: Path, name: str, emulator: Emulated
) -> None:
    made = cloud.reads.add_reference(fasta, name)
    [one] = there(cloud, name)
    base = (
        f"omics://123456789012.storage.us-east-1.amazonaws.com/{cloud.stores.reference_store_id}/reference/{one['id']}"
    )
    before = emulator.counts()
    assert cloud.reads.reference_location(made) == f"{base}/source"
    assert cloud.reads.reference_location(made, "fai") == f"{base}/index"
    assert emulator.counts() == before
    tags = cloud.aws.client("omics").list_tags_for_resource(resourceArn=one["arn"])["tags"]
    assert tags == {"labrelay:reference": made.id, "labrelay:sha256": made.fasta.sha256}


def test_it_is_imported_once_for_all_machines(cloud: HealthOmicsLab, fasta: Path, name: str) -> None:
    made = cloud.reads.add_reference(fasta, name)
    other = cloud.other_machine()
    again = other.reads.add_reference(fasta, name)
    assert other.reads.reference_location(again) == cloud.reads.reference_location(made)
    assert len(there(cloud, name)) == 1


def test_another_content_of_the_name_is_another_reference(cloud: HealthOmicsLab, fasta: Path, name: str) -> None:
    cloud.reads.add_reference(fasta, name)
    fasta.write_text(">chr1\nACGTACGT\n")
    cloud.reads.add_reference(fasta, name)
    assert len(there(cloud, name)) == 2


def test_a_name_too_short_for_the_service_is_no_problem(cloud: HealthOmicsLab, fasta: Path) -> None:
    made = cloud.reads.add_reference(fasta, "hg")
    assert cloud.reads.reference("hg") == made
    assert len(there(cloud, f"hg ({made.id})")) == 1


def test_the_arn_is_for_aligned_reads(cloud: HealthOmicsLab, fasta: Path, name: str) -> None:
    made = cloud.reads.add_reference(fasta, name)
    assert cloud.reads.references_store.arn(made.id) == there(cloud, name)[0]["arn"]


@pytest.mark.parametrize(
    "point",
    ["reference.files_stored", "omics.reference_sent", "omics.reference_started", "omics.reference_noted"],
)
def test_a_killed_import_of_a_reference_is_finished_by_the_next(
    cloud: HealthOmicsLab, fasta: Path, name: str, point: str
) -> None:
    place = (cloud.aws.endpoint_url or "", cloud.prefix, str(cloud.reads.state.root))
    stores = (cloud.stores.sequence_store_id, cloud.stores.reference_store_id)
    child = subprocess.run(
        [sys.executable, "-c", ADD, *place, *stores, ROLE, fasta, name],
        env={**os.environ, "LABRELAY_FAULT": f"{point}:1:kill"},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    # What asks for the place of a reference need not know that its import was cut off.
    known = cloud.reads.reference(name) or cloud.reads.add_reference(fasta, name)
    assert cloud.reads.reference_location(known).endswith("/source")
    assert len(there(cloud, name)) == 1


class Failing:
    """A service whose jobs fail: those of before by their age, and one of now."""

    def __init__(self, old: int) -> None:
        self.old, self.tokens = old, []
        self.meta: Any = None

    def get_paginator(self, _name: str) -> Any:
        class Pages:
            def paginate(self, **_asked: Any) -> list[dict[str, Any]]:
                return [{"references": []}]

        return Pages()

    def start_reference_import_job(self, clientToken: str, **_asked: Any) -> dict[str, Any]:  # noqa: N803
        self.tokens.append(clientToken)
        now = datetime.now(UTC)
        made = now - timedelta(days=1 if len(self.tokens) <= self.old else 0)
        headers = {"date": format_datetime(now, usegmt=True)}
        return {"id": "1", "creationTime": made, "ResponseMetadata": {"HTTPHeaders": headers}}

    def get_reference_import_job(self, **_asked: Any) -> dict[str, Any]:
        return {"status": "FAILED", "sources": [{"status": "FAILED", "statusMessage": "the role cannot read it"}]}


def test_a_failure_of_before_does_not_stand_for_now_and_one_of_now_is_told(
    cloud: HealthOmicsLab, fasta: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cloud.reads.references_store
    made: Reference = store.folder.add_reference(fasta, name)
    service = Failing(old=3)
    service.meta = cloud.aws.client("omics").meta
    monkeypatch.setitem(cloud.aws._clients, "omics", service)
    with pytest.raises(RefusedInput, match="the role cannot read it"):
        store.location(made)
    assert len(set(service.tokens)) == len(service.tokens) == 4
    assert MOST_JOBS > 4

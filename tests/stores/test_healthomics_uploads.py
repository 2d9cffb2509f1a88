"""Local files straight into a sequence store: in parts, compared, taken up after a kill, never twice."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from read_stores import ROLE, HealthOmicsLab

from labrelay.model.errors import RefusedInput, StorageFailed
from labrelay.model.files import FileRef
from labrelay.model.reads import ReadSource
from labrelay.stores import healthomics_uploads
from labrelay.stores.healthomics_uploads import LARGEST_PART, MAX_PARTS, MIB, PART, parts_of

SMALL_PART = 64 * 1024
UPLOAD = """
import sys
from pathlib import Path
from labrelay.model.reads import ReadSource
from labrelay.stores import healthomics_uploads
from labrelay.stores.aws import Aws
from labrelay.stores.healthomics_reads import HealthOmicsReadStore
from labrelay.stores.healthomics_setup import Stores
from labrelay.stores.s3 import S3ObjectStore
healthomics_uploads.PART = 64 * 1024
endpoint, root, sequence, reference, role, source, *paths = sys.argv[1:]
aws = Aws(region="us-east-1", endpoint_url=endpoint, rates={"UploadReadSetPart": 1000})
store = HealthOmicsReadStore(aws, S3ObjectStore(aws, "reads-lab"), Path(root), Stores(sequence, reference), role)
store.upload([Path(path) for path in paths], ReadSource.model_validate_json(source))
"""


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Make a pair of FASTQ files of several small parts each."""
    made = []
    for mate in (1, 2):
        draw = random.Random(mate)
        lines = (f"@r{n}/{mate}\n{''.join(draw.choices('ACGT', k=100))}\n+\n{'I' * 100}\n" for n in range(6000))
        path = tmp_path / f"S1_R{mate}.fastq.gz"
        path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
        made.append(path)
    assert all(path.stat().st_size > 2 * SMALL_PART for path in made)
    return made


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthomics_uploads, "PART", SMALL_PART)


def source_of(cloud: HealthOmicsLab, paths: list[Path]) -> ReadSource:
    files = []
    for path in paths:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(FileRef(storage="landing", key=path.name, version=sha256, sha256=sha256, size=path.stat().st_size))
    return ReadSource(sample_id=f"smp_{cloud.prefix[:20]}", name="S1", file_type="FASTQ", files=tuple(files))


class Calls:
    """Counts the parts that are sent, and lets a test break one."""

    def __init__(self, cloud: HealthOmicsLab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[str, int]] = []
        self.instead: Any = None
        omics = cloud.aws.client("omics")
        real = omics.upload_read_set_part

        def send(**asked: Any) -> Any:
            self.sent.append((asked["partSource"], asked["partNumber"]))
            return self.instead(real, asked) if self.instead else real(**asked)

        monkeypatch.setattr(omics, "upload_read_set_part", send)


def read_sets(cloud: HealthOmicsLab, source: ReadSource) -> list[dict[str, Any]]:
    listed = cloud.aws.client("omics").list_read_sets(
        sequenceStoreId=cloud.stores.sequence_store_id, filter={"sampleId": source.sample_id}
    )
    found: list[dict[str, Any]] = listed["readSets"]
    return found


def test_a_pair_becomes_an_active_read_set_of_the_same_bytes(cloud: HealthOmicsLab, paths: list[Path]) -> None:
    source, told = source_of(cloud, paths), []
    made = cloud.reads.upload(paths, source, told.append)
    assert (made.id, made.status) == (source.id, "ACTIVE")
    assert sum(told) == sum(path.stat().st_size for path in paths)
    assert len(cloud.reads.locations(source.id)) == 2
    for uri, path in zip(cloud.reads.s3_uris(source.id), paths, strict=True):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert cloud.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == path.read_bytes()
    [there] = read_sets(cloud, source)
    assert (there["creationType"], there["subjectId"]) == ("UPLOAD", source.sample_id)


def test_what_is_there_is_not_sent_again(
    cloud: HealthOmicsLab, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(cloud, paths)
    cloud.reads.upload(paths, source)
    calls = Calls(cloud, monkeypatch)
    cloud.other_machine().reads.upload(paths, source)
    assert calls.sent == []
    assert len(read_sets(cloud, source)) == 1


def test_a_read_set_whose_processing_ends_between_two_looks_is_not_uploaded_again(
    cloud: HealthOmicsLab, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(cloud, paths)
    cloud.reads.upload(paths, source)
    whole, looks = healthomics_uploads.HealthOmicsUploads._listed, list[dict[str, str]]()

    def listed(store: healthomics_uploads.HealthOmicsUploads, **wanted: str) -> Iterator[dict[str, Any]]:
        # Until the first look is over, it is as if it were still being processed.
        looks.append(wanted)
        return whole(store, **wanted) if len(looks) > 1 else iter(())

    monkeypatch.setattr(healthomics_uploads.HealthOmicsUploads, "_listed", listed)
    calls = Calls(cloud, monkeypatch)
    cloud.reads.upload(paths, source)
    assert calls.sent == []
    assert len(looks) == 2


@pytest.mark.parametrize(
    "point",
    [
        "omics.upload_begun:1",
        "omics.upload_noted:1",
        "omics.part_sent:3",
        "omics.parts_sent:1",
        "omics.upload_completed:1",
    ],
)
def test_a_killed_upload_is_taken_up(
    cloud: HealthOmicsLab, paths: list[Path], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    source = source_of(cloud, paths)
    stores = (cloud.stores.sequence_store_id, cloud.stores.reference_store_id)
    place = (cloud.aws.endpoint_url or "", str(cloud.reads.state.root), *stores, ROLE)
    child = subprocess.run(
        [sys.executable, "-c", UPLOAD, *place, source.model_dump_json(), *paths],
        env={**os.environ, "LABRELAY_FAULT": f"{point}:kill"},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    calls = Calls(cloud, monkeypatch)
    cloud.reads.upload(paths, source)
    total = sum(-(-path.stat().st_size // SMALL_PART) for path in paths)
    sent = {"begun": total, "noted": total, "part_sent": total - 3, "parts_sent": 0, "completed": 0}
    most = next(count for name, count in sent.items() if point.split(":")[0].endswith(name))
    assert len(calls.sent) <= most
    assert len(read_sets(cloud, source)) == 1
    assert list((cloud.reads.state.path / "uploads").iterdir()) == []


def test_a_part_that_was_damaged_on_its_way_is_noticed_and_mended_by_the_next_try(
    cloud: HealthOmicsLab, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(real: Any, asked: dict[str, Any]) -> Any:
        return real(**{**asked, "payload": b"\0" + asked["payload"][1:]})

    source, calls = source_of(cloud, paths), Calls(cloud, monkeypatch)
    calls.instead = damage
    with pytest.raises(StorageFailed, match="damaged on its way"):
        cloud.reads.upload(paths, source)
    calls.instead = None
    cloud.reads.upload(paths, source)
    assert len(read_sets(cloud, source)) == 1


def test_a_checksum_of_another_kind_is_taken_as_it_is(
    cloud: HealthOmicsLab, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = next(parts_of(paths, [path.stat().st_size for path in paths]))
    store = cloud.reads._uploads._store
    sending = healthomics_uploads._Sending(store, "1", {}, None)
    omics = cloud.aws.client("omics")
    monkeypatch.setattr(omics, "upload_read_set_part", lambda **_asked: {"checksum": "crc32:1234"})
    assert sending.send([part])[0]["checksum"] == "crc32:1234"
    hashed = hashlib.sha256(part.path.read_bytes()[:SMALL_PART])
    for spelt in (hashed.hexdigest(), base64.b64encode(hashed.digest()).decode()):
        monkeypatch.setattr(omics, "upload_read_set_part", lambda spelt=spelt, **_asked: {"checksum": spelt})
        assert sending.send([part]) == [{"partNumber": 1, "partSource": "SOURCE1", "checksum": spelt}]


def test_a_file_that_changes_meanwhile_is_not_completed(
    cloud: HealthOmicsLab, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(real: Any, asked: dict[str, Any]) -> Any:
        with paths[0].open("ab") as out:
            out.write(b"late")
        return real(**asked)

    source, calls = source_of(cloud, paths), Calls(cloud, monkeypatch)
    calls.instead = grow
    with pytest.raises(StorageFailed, match="changed while it was sent"):
        cloud.reads.upload(paths, source)
    assert read_sets(cloud, source) == []


def test_files_that_the_service_refuses_are_told_with_its_words(cloud: HealthOmicsLab, tmp_path: Path) -> None:
    wrong = tmp_path / "S1_R1.fastq.gz"
    wrong.write_bytes(b"this is no gzip")
    with pytest.raises(RefusedInput, match="HealthOmics did not take the files"):
        cloud.reads.upload([wrong], source_of(cloud, [wrong]))


def test_what_cannot_be_a_read_set_is_refused_before_anything_is_sent(
    cloud: HealthOmicsLab, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(cloud, monkeypatch)
    pair = source_of(cloud, paths)
    with pytest.raises(RefusedInput, match="1 files were given for 2"):
        cloud.reads.upload(paths[:1], pair)
    with pytest.raises(RefusedInput, match="needs the reference"):
        cloud.reads.upload(paths[:1], pair.model_copy(update={"file_type": "CRAM", "files": pair.files[:1]}))
    link = tmp_path / "link"
    link.symlink_to(paths[0])
    with pytest.raises(StorageFailed, match="symbolic link"):
        cloud.reads.upload([link], pair.model_copy(update={"files": pair.files[:1]}))
    empty = tmp_path / "empty.fastq.gz"
    empty.touch()
    with pytest.raises(RefusedInput, match="is empty"):
        cloud.reads.upload([empty], source_of(cloud, [empty]))
    assert calls.sent == []


def test_parts_cover_each_byte_once_and_grow_only_where_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthomics_uploads, "PART", PART)
    for size in (1, PART, PART + 1, MAX_PARTS * PART, MAX_PARTS * PART + 1, MAX_PARTS * LARGEST_PART):
        parts = list(parts_of([Path("a")], [size]))
        assert [part.number for part in parts] == list(range(1, len(parts) + 1))
        assert len(parts) <= MAX_PARTS
        assert sum(part.size for part in parts) == size
        assert all(part.start == sum(earlier.size for earlier in parts[: part.number - 1]) for part in parts[:5])
        assert max(part.size for part in parts) <= (PART if size <= MAX_PARTS * PART else LARGEST_PART)
    with pytest.raises(RefusedInput, match="more than"):
        list(parts_of([Path("a")], [MAX_PARTS * LARGEST_PART + MIB]))

"""What a run wrote comes here whole: hostile names become no paths, broken streams go on, objects do not mix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

from labrelay.model.errors import LabrelayError, NotFound, StorageFailed
from labrelay.stores.download import fetch
from labrelay.workflows.healthomics.outputs import bring, read_outputs, split_outputs

BASE = "s3://bucket/runs/7"


class Body:
    """A stream that may break off."""

    def __init__(self, content: bytes, breaks_after: int | None) -> None:
        self._content, self._breaks = content, breaks_after

    def read(self) -> bytes:
        return self._content

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        yield self._content[: self._breaks]
        if self._breaks is not None:
            raise ResponseStreamingError(error="the connection was closed")


class Bucket:
    """An S3 with one bucket, that breaks off the first `breaks` streams after three bytes."""

    def __init__(self, objects: dict[str, bytes], breaks: int = 0) -> None:
        self.objects, self.breaks = objects, breaks
        self.ranges: list[str | None] = []

    def client(self, service: str) -> Bucket:
        assert service == "s3"
        return self

    def _object(self, key: str, operation: str) -> bytes:
        if key not in self.objects:
            answer: Any = {"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, operation)
        return self.objects[key]

    def head_object(self, **asked: str) -> dict[str, Any]:
        content = self._object(asked["Key"], "HeadObject")
        return {"ETag": f'"{hash(content)}"', "ContentLength": len(content)}

    def get_object(self, **asked: str) -> dict[str, Any]:
        content = self._object(asked["Key"], "GetObject")
        self.ranges.append(asked.get("Range"))
        if asked.get("IfMatch", f'"{hash(content)}"') != f'"{hash(content)}"':
            answer: Any = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
            raise ClientError(answer, "GetObject")
        rest = content[int(asked.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")) :]
        self.breaks -= 1
        return {"ContentLength": len(rest), "Body": Body(rest, 3 if self.breaks >= 0 else None)}

    def get_paginator(self, operation: str) -> Bucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": key}]} for key in sorted(self.objects) if key.startswith(asked["Prefix"])]


def told(**outputs: Any) -> Bucket:
    return Bucket({"runs/7/logs/outputs.json": json.dumps({f"w.{k}": v for k, v in outputs.items()}).encode()})


def test_files_are_what_lies_below_the_runs_own_folder() -> None:
    outputs = split_outputs(
        {
            "w.vcf": f"{BASE}/out/vcf/a.vcf",
            "w.lanes": [[f"{BASE}/out/lanes/0/a"], [f"{BASE}/out/lanes/1/a", None]],
            "w.named": {"bam": f"{BASE}/out/named/x.bam", "reads": 7},
            "w.folder": f"{BASE}/out/folder/",
            "w.cwl": {"class": "File", "location": f"{BASE}/out/c.txt", "size": 3},
            "w.elsewhere": "s3://bucket/runs/77/out/vcf/a.vcf",
            "w.passed_on": "s3://bucket/reads/a.fastq.gz",
            "w.count": 0,
            "w.nothing": None,
        },
        BASE,
        lambda folder: [f"{folder}1", f"{folder}2"],
    )
    assert outputs.files == [
        ("vcf", f"{BASE}/out/vcf/a.vcf"),
        ("lanes", f"{BASE}/out/lanes/0/a"),
        ("lanes", f"{BASE}/out/lanes/1/a"),
        ("named.bam", f"{BASE}/out/named/x.bam"),
        ("folder", f"{BASE}/out/folder/1"),
        ("folder", f"{BASE}/out/folder/2"),
        ("cwl", f"{BASE}/out/c.txt"),
    ]
    assert outputs.values.keys() == {"elsewhere", "passed_on", "count"}


def test_a_run_without_a_list_has_what_it_published() -> None:
    bucket = Bucket({"runs/7/pubdir/a/b.txt": b"", "runs/7/pubdir/": b"", "runs/77/pubdir/no": b"", "runs/7/x": b""})
    assert read_outputs(bucket, BASE).files == [("a/b.txt", f"{BASE}/pubdir/a/b.txt")]  # type: ignore[arg-type]
    assert not read_outputs(Bucket({}), BASE)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_list_that_makes_no_sense_is_not_taken_for_no_outputs(content: bytes) -> None:
    with pytest.raises(StorageFailed, match="no JSON object"):
        read_outputs(Bucket({"runs/7/logs/outputs.json": content}), BASE)  # type: ignore[arg-type]


def test_outputs_that_are_all_null_are_no_outputs() -> None:
    assert not read_outputs(told(a=None), BASE)  # type: ignore[arg-type]
    assert read_outputs(told(a=0), BASE)  # type: ignore[arg-type]


def test_names_from_s3_never_become_paths(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "..", "a b.txt", "con", "\x1b[31m.txt", "x" * 300]
    bucket = told(**{"../up": [f"{BASE}/out/{name}" for name in names]})
    bucket.objects |= {f"runs/7/out/{name}": name.encode() for name in names}
    found = bring(bucket, read_outputs(bucket, BASE), tmp_path / "here")  # type: ignore[arg-type]
    assert [Path(file.path).read_text() for file in found] == names
    for file in found:
        assert Path(file.path).resolve().is_relative_to(tmp_path / "here" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_stream_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    bucket = Bucket({"k": b"0123456789"}, breaks=2)
    fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert (tmp_path / "k").read_bytes() == b"0123456789"
    assert bucket.ranges == ["bytes=0-", "bytes=3-", "bytes=6-"]


def test_a_download_that_was_given_up_goes_on_the_next_time_and_then_costs_nothing(tmp_path: Path) -> None:
    bucket = Bucket({"k": b"x" * 100}, breaks=5)
    with pytest.raises(StorageFailed, match="broke off at 15 of 100 bytes"):
        fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert not (tmp_path / "k").exists()
    fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert (tmp_path / "k").read_bytes() == b"x" * 100
    assert bucket.ranges[5:] == ["bytes=15-"]


def test_bytes_of_two_objects_never_make_one_file(tmp_path: Path) -> None:
    bucket = Bucket({"k": b"old" * 10}, breaks=5)
    with pytest.raises(StorageFailed):
        fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert len(list(tmp_path.glob(".k.*.part"))) == 1
    bucket.objects["k"] = b"new" * 10
    fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert (tmp_path / "k").read_bytes() == b"new" * 10
    assert list(tmp_path.glob(".k.*.part")) == []


def test_an_object_that_is_replaced_under_the_download_is_told(tmp_path: Path) -> None:
    class Replaced(Bucket):
        def get_object(self, **asked: str) -> dict[str, Any]:
            self.objects["k"] = b"another"
            return super().get_object(**asked)

    with pytest.raises(LabrelayError, match="PreconditionFailed"):
        fetch(Replaced({"k": b"0123456789"}), "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert not (tmp_path / "k").exists()


def test_a_file_that_was_changed_here_is_fetched_again(tmp_path: Path) -> None:
    bucket = Bucket({"k": b"0123456789"})
    fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    (tmp_path / "k").write_bytes(b"short")
    fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert (tmp_path / "k").read_bytes() == b"0123456789"


def test_an_output_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="s3://bucket/k"):
        fetch(Bucket({}), "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]


def test_an_empty_output_is_an_empty_file(tmp_path: Path) -> None:
    bucket = Bucket({"k": b""})
    fetch(bucket, "s3://bucket/k", tmp_path / "k")  # type: ignore[arg-type]
    assert (tmp_path / "k").read_bytes() == b""
    assert bucket.ranges == []

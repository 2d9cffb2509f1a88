"""Mates are stored together or not at all, and all their problems are told at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from labrelay.model.errors import Conflict, RefusedInput, StorageFailed
from labrelay.model.files import FileRef
from labrelay.model.problem import Problem, Severity
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.upload import Upload, put_group


class Scan:
    """A watcher that refuses a file that says `bad`, and counts what it read."""

    def __init__(self, name: str) -> None:
        self.name, self.size, self.closed = name, 0, 0

    def feed(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if b"bad" in chunk:
            raise RefusedInput(self.name, [Problem(code="BAD", message="says bad", path=self.name)])

    def finish(self, read: FileRef) -> list[Problem]:
        assert read.size == self.size, "the store has read other bytes than it showed"
        assert not self.closed, "a closed scan knows nothing any more"
        return [Problem(code="EMPTY", message="is empty", path=self.name)] if not self.size else []

    def close(self) -> None:
        self.closed += 1


class Pair:
    """Two sources and what is needed to store them."""

    def __init__(self, root: Path, r1: bytes, r2: bytes) -> None:
        self.store = FolderObjectStore(root / "objects")
        self.paths = [root / "R1", root / "R2"]
        for path, content in zip(self.paths, (r1, r2), strict=True):
            path.write_bytes(content)

    def uploads(self) -> list[Upload]:
        self.scans = [Scan(path.name) for path in self.paths]
        return [
            Upload(path, f"runs/1/{path.name}", [scan], scan.finish)
            for path, scan in zip(self.paths, self.scans, strict=True)
        ]

    def assert_nothing_stored(self) -> None:
        assert list(self.store.list("")) == []
        assert list(self.store.root.rglob(".tmp-*")) == []
        assert [scan.closed for scan in self.scans] == [1, 1]


def test_a_good_pair_is_stored_in_the_order_it_was_given(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    counts: list[int] = []
    refs = put_group(pair.store, pair.uploads(), lambda: [], what="sample S1", on_bytes=counts.append)
    assert [ref.key for ref in refs] == ["runs/1/R1", "runs/1/R2"]
    assert list(pair.store.list("")) == refs
    assert sum(counts) == 6
    assert [scan.closed for scan in pair.scans] == [1, 1]


def test_the_problems_of_all_files_are_told_and_nothing_is_stored(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"bad", b"")
    with pytest.raises(RefusedInput, match="sample S1") as caught:
        put_group(pair.store, pair.uploads(), lambda: pytest.fail("nothing to judge"), what="sample S1")
    assert {(p.code, p.path) for p in caught.value.problems} == {("BAD", "R1"), ("EMPTY", "R2")}
    pair.assert_nothing_stored()


def test_the_judge_of_the_pair_can_refuse_it(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    mismatch = Problem(code="MATES_DIFFER", message="R1 and R2 are no mates")
    with pytest.raises(RefusedInput, match="MATES_DIFFER"):
        put_group(pair.store, pair.uploads(), lambda: [mismatch], what="sample S1")
    pair.assert_nothing_stored()


def test_a_warning_refuses_nothing(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    warning = Problem(code="ODD", message="odd", severity=Severity.WARNING)
    assert len(put_group(pair.store, pair.uploads(), lambda: [warning], what="sample S1")) == 2


def test_nothing_is_visible_while_the_judge_looks(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    seen: list[list[object]] = []

    def judge() -> list[Problem]:
        seen.append(list(pair.store.list("")))
        return []

    put_group(pair.store, pair.uploads(), judge, what="sample S1")
    assert seen == [[]]


def test_a_missing_mate_stores_nothing_of_the_other(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    pair.paths[1].unlink()
    with pytest.raises(StorageFailed, match="R2 is not there"):
        put_group(pair.store, pair.uploads(), what="sample S1")
    pair.assert_nothing_stored()


def test_all_missing_files_are_named_at_once(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    for path in pair.paths:
        path.unlink()
    with pytest.raises(StorageFailed, match=r"(?s)R1 is not there.*R2 is not there"):
        put_group(pair.store, pair.uploads(), what="sample S1")


def test_a_failure_stops_the_reading_of_the_other_file(tmp_path: Path) -> None:
    pair = Pair(tmp_path, os.urandom(20 << 20), b"two")
    pair.paths[1].unlink()
    read: list[int] = []
    failed = threading.Event()
    uploads = pair.uploads()

    class Slow(Scan):
        def feed(self, chunk: bytes) -> None:
            failed.wait(timeout=10)
            super().feed(chunk)

    class Late(Scan):
        def close(self) -> None:
            super().close()
            failed.set()

    slow, late = Slow("R1"), Late("R2")
    uploads = [Upload(uploads[0].source, "R1", [slow]), Upload(uploads[1].source, "R2", [late])]
    with pytest.raises(StorageFailed, match="R2 is not there"):
        put_group(pair.store, uploads, what="sample S1", on_bytes=read.append)
    assert sum(read) < 20 << 20


def test_a_conflict_of_one_mate_is_found_before_the_other_is_visible(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    there = pair.store.put_bytes("runs/1/R2", b"other")
    with pytest.raises(Conflict, match="runs/1/R2"):
        put_group(pair.store, pair.uploads(), what="sample S1")
    assert list(pair.store.list("")) == [there]


def test_what_the_records_and_the_store_know_is_not_read_again(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    refs = put_group(pair.store, pair.uploads(), what="sample S1")
    known = {ref.key: ref for ref in refs}
    again = put_group(pair.store, pair.uploads(), lambda: pytest.fail("judged again"), what="sample S1", known=known)
    assert again == refs
    assert [(scan.size, scan.closed) for scan in pair.scans] == [(0, 1), (0, 1)]


@pytest.mark.parametrize("lost", ["record", "object", "size"])
def test_a_pair_that_is_known_by_half_is_read_as_a_pair(tmp_path: Path, lost: str) -> None:
    pair = Pair(tmp_path, b"one", b"two")
    refs = put_group(pair.store, pair.uploads(), what="sample S1")
    known = {ref.key: ref for ref in refs}
    if lost == "record":
        del known["runs/1/R1"]
    elif lost == "object":
        (pair.store.root / "runs/1/R2").unlink()
    else:
        pair.paths[0].write_bytes(b"grown")
    uploads = pair.uploads()
    if lost == "size":
        with pytest.raises(Conflict, match="runs/1/R1"):
            put_group(pair.store, uploads, what="sample S1", known=known)
    else:
        assert put_group(pair.store, uploads, what="sample S1", known=known) == refs
    assert all(scan.size for scan in pair.scans)


def test_a_defect_in_a_scan_is_not_dressed_up(tmp_path: Path) -> None:
    pair = Pair(tmp_path, b"one", b"two")

    def broken(_read: FileRef) -> list[Problem]:
        raise ZeroDivisionError

    uploads = [Upload(upload.source, upload.key, upload.watchers, broken) for upload in pair.uploads()]
    with pytest.raises(ZeroDivisionError):
        put_group(pair.store, uploads, what="sample S1")
    pair.assert_nothing_stored()

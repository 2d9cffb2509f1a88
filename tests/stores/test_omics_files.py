"""A reference comes whole however many want it at once, and what its service says of it is compared."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labrelay.model.errors import StorageFailed
from labrelay.stores.aws import Aws
from labrelay.stores.omics_files import fetch_reference

URI = "omics://123456789012.storage.eu-central-1.amazonaws.com/1234567890/reference/1234567890/source"
FASTA = b"A" * 1000 + b"C" * 1000


class Service:
    """A reference in one part; `reading` says which bytes one reading of it gives."""

    def __init__(self, reading: Callable[[int], Iterator[bytes]], md5: str = "") -> None:
        self._reading, self._md5, self.readings = reading, md5, 0

    def client(self, _service: str) -> Any:
        return self

    def get_reference_metadata(self, **_asked: str) -> dict[str, Any]:
        return {"md5": self._md5, "files": {"source": {"totalParts": 1, "contentLength": len(FASTA)}}}

    def get_reference(self, **_asked: Any) -> dict[str, Any]:
        self.readings += 1
        return {"payload": self}

    def iter_chunks(self, _size: int) -> Iterator[bytes]:
        return self._reading(self.readings)


def fetch(service: Service, target: Path) -> None:
    aws: Any = service
    assert not isinstance(aws, Aws)
    fetch_reference(aws, URI, target)


def halves(_reading: int) -> Iterator[bytes]:
    yield FASTA[:1000]
    yield FASTA[1000:]


def test_two_who_bring_one_reference_at_once_both_find_it_whole(tmp_path: Path) -> None:
    target, half, other_is_there = tmp_path / "r" / "reference.fasta", threading.Event(), threading.Event()

    def slowly(_reading: int) -> Iterator[bytes]:
        yield FASTA[:1000]
        half.set()
        other_is_there.wait(1)
        yield FASTA[1000:]

    def at_once(_reading: int) -> Iterator[bytes]:
        other_is_there.set()
        return halves(1)

    first, second, seen = Service(slowly), Service(at_once), list[bytes]()

    def bring_too() -> None:
        half.wait()
        fetch(second, target)
        seen.append(target.read_bytes())

    thread = threading.Thread(target=bring_too)
    thread.start()
    fetch(first, target)
    seen.append(target.read_bytes())
    thread.join()
    assert seen == [FASTA, FASTA]
    assert (first.readings, second.readings) == (1, 0)


def test_bytes_that_changed_on_their_way_are_read_again(tmp_path: Path) -> None:
    md5 = hashlib.md5(FASTA, usedforsecurity=False).hexdigest()
    service = Service(lambda reading: iter([FASTA if reading == 2 else FASTA.replace(b"AC", b"CC")]), md5)
    fetch(service, tmp_path / "reference.fasta")
    assert (tmp_path / "reference.fasta").read_bytes() == FASTA
    assert service.readings == 2


def test_a_reference_that_is_different_at_each_reading_is_not_kept(tmp_path: Path) -> None:
    service = Service(lambda reading: iter([FASTA[:-1] + bytes([64 + reading])]), "0" * 32)
    with pytest.raises(StorageFailed, match="read twice with different bytes"):
        fetch(service, tmp_path / "reference.fasta")
    assert not (tmp_path / "reference.fasta").exists()


def test_an_md5_that_is_not_of_the_files_bytes_costs_a_second_reading_and_no_run(tmp_path: Path) -> None:
    service = Service(halves, "0" * 32)
    fetch(service, tmp_path / "reference.fasta")
    assert (tmp_path / "reference.fasta").read_bytes() == FASTA
    assert service.readings == 2


def test_a_reference_with_another_number_of_bytes_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="another number of bytes"):
        fetch(Service(lambda _reading: iter([FASTA[:-1]])), tmp_path / "reference.fasta")
    assert not (tmp_path / "reference.fasta").exists()

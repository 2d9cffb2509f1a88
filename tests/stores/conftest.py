"""Every object store and read store runs through the same contract tests: a new one adds its factory here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from emulated import Emulated
from read_stores import FolderLab, HealthOmicsLab, Lab
from seaweed import make_bucket, seaweed

from labrelay.stores.aws import Aws
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.pacing import RATES
from labrelay.stores.ports import ObjectStore
from labrelay.stores.s3 import S3ObjectStore

OBJECT_STORES: dict[str, Callable[[pytest.FixtureRequest], ObjectStore]] = {
    "folder": lambda request: FolderObjectStore(request.getfixturevalue("tmp_path") / "objects"),
    "s3": lambda request: request.getfixturevalue("s3_store"),
}


@pytest.fixture(params=sorted(OBJECT_STORES))
def store(request: pytest.FixtureRequest) -> ObjectStore:
    return OBJECT_STORES[request.param](request)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """Serve a versioned bucket `lab` of an S3 that keeps its bytes on disk."""
    with pytest.MonkeyPatch.context() as patch, seaweed(tmp_path_factory.mktemp("seaweed")) as url:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_CONFIG_FILE", "/nowhere")
        aws = Aws(region="us-east-1", endpoint_url=url, attempts=3)
        make_bucket(aws.client("s3"), "lab")
        yield aws


@pytest.fixture
def s3_store(s3_server: Aws) -> S3ObjectStore:
    """Return a store below a prefix that no other test has."""
    return S3ObjectStore(s3_server, "lab", f"tests/{uuid.uuid4().hex}")


@pytest.fixture(params=["folder", "healthomics"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    """Return a home on each of what homes run on."""
    if request.param == "folder":
        return FolderLab(tmp_path)
    cloud: HealthOmicsLab = request.getfixturevalue("cloud")
    return cloud


@pytest.fixture
def cloud(emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HealthOmicsLab:
    """Return a home on the emulator."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    rates = dict.fromkeys(RATES, 1000.0)
    return HealthOmicsLab(Aws(region="us-east-1", endpoint_url=emulator.endpoint, rates=rates, attempts=3), tmp_path)


class Recorder:
    """A watcher that keeps what it saw, and can do something at its first chunk."""

    def __init__(self, at_first: Callable[[], None] | None = None) -> None:
        self.seen = b""
        self.closed = 0
        self._at_first = at_first

    def feed(self, chunk: bytes) -> None:
        if self._at_first is not None and not self.seen:
            self._at_first()
        self.seen += chunk

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder

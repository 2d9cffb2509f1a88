"""Background workers: woken together, called again when they break, stopped at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.emulator import background
from labrelay.emulator.background import Background
from labrelay.emulator.service import Service, Work
from labrelay.emulator.state import State


class Counted:
    """A worker that counts its calls."""

    def __init__(self, pause: float | None = None, breaks: int = 0) -> None:
        self.calls, self._pause, self._breaks = 0, pause, breaks
        self._changed = threading.Condition()

    def __call__(self, _service: Service) -> float | None:
        with self._changed:
            self.calls += 1
            self._changed.notify_all()
        if self.calls <= self._breaks:
            raise RuntimeError("broken on purpose")
        return self._pause

    def reaches(self, calls: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.calls >= calls, 5)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Service, Background]]:
    service = Service(tmp_path, State(tmp_path / "state.sqlite"))

    def start(**workers: Work) -> tuple[Service, Background]:
        monkeypatch.setattr(background, "WORKERS", workers)
        going = Background(service)
        going.start()
        return service, going

    return start


def test_every_worker_is_called_at_the_start_and_at_each_bell(work: Callable[..., tuple[Service, Background]]) -> None:
    workers = {f"w{n}": Counted() for n in range(8)}
    service, going = work(**workers)
    for calls in (1, 2, 3):
        assert all(worker.reaches(calls) for worker in workers.values())
        service.wake()
    going.stop()


def test_a_bell_that_rings_while_a_worker_is_busy_is_not_missed(
    work: Callable[..., tuple[Service, Background]],
) -> None:
    busy, go_on, calls = threading.Event(), threading.Event(), Counted()

    def slow(service: Service) -> float | None:
        busy.set()
        go_on.wait(5)
        return calls(service)

    service, going = work(slow=slow)
    assert busy.wait(5)
    service.wake()
    go_on.set()
    assert calls.reaches(2)
    going.stop()


def test_a_worker_that_breaks_is_called_again(
    work: Callable[..., tuple[Service, Background]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "PAUSE_SECONDS", 0.01)
    broken = Counted(breaks=2)
    _service, going = work(broken=broken)
    assert broken.reaches(3)
    going.stop()
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_a_worker_comes_back_after_as_long_as_it_says(work: Callable[..., tuple[Service, Background]]) -> None:
    soon, never = Counted(pause=0.02), Counted()
    _service, going = work(soon=soon, never=never)
    assert soon.reaches(5)
    assert never.calls == 1
    going.stop()


def test_workers_stop_at_once(work: Callable[..., tuple[Service, Background]]) -> None:
    workers = {f"w{n}": Counted(pause=60) for n in range(8)}
    service, going = work(**workers)
    begun = time.monotonic()
    going.stop(seconds=4)
    assert time.monotonic() - begun < 2
    before = [worker.calls for worker in workers.values()]
    service.wake()
    time.sleep(0.05)
    assert [worker.calls for worker in workers.values()] == before

"""The real command is killed at each durable boundary that it passes, and repeated: nothing lost or twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nursery import Nursery

from labrelay.workflows.local import lock

from .commands import IN_RUNNER, Shop, runners, starts, witnessed
from .trials import DONE, share

ROOT = Path(__file__).parents[2]
POINT = re.compile(r'faultpoint\(\s*"([a-z_.]+)"')


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Shop]:
    nursery.start()
    made = Shop(tmp_path_factory.mktemp("command"))
    yield made
    made.stop()


def killed_at(shop: Shop, point: str) -> list[str]:
    """Kill the first process of the command that passes the point, repeat the command, return what is wrong."""
    folder = shop.fresh(point)
    once = folder / "acted"
    armed = {"LABRELAY_FAULT": f"{point}:1:kill", "LABRELAY_FAULT_ONCE": str(once)}
    code = shop.process(folder, armed)
    # A kill of the runner is healed by the command itself: it makes a second attempt.
    healed = point.startswith(IN_RUNNER) and code == DONE
    expected = DONE if healed else -signal.SIGKILL
    found = (
        [] if code == expected else [f"the killed command ended with {code}: {(folder / 'log').read_text()[-1500:]}"]
    )
    if not once.exists():
        found.append("nobody passed the point")
    again = shop.process(folder)
    if again != DONE:
        found.append(f"the clean repetition ended with {again}: {(folder / 'log').read_text()[-1500:]}")
    return [f"{point}: {line}" for line in found + shop.wrong(folder)]


def test_a_kill_at_each_named_point_of_the_command_is_healed_by_repeating_it(shop: Shop) -> None:
    wrong = share(sorted(shop.points), lambda point: killed_at(shop, point), shop.root)
    assert len(shop.points) >= 40, sorted(shop.points)
    assert wrong == []


def test_every_point_in_the_code_is_explained_to_users() -> None:
    code = {name for path in (ROOT / "labrelay").rglob("*.py") for name in POINT.findall(path.read_text())}
    told = set(re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE))
    assert code == told


def test_two_commands_on_the_same_run_at_the_same_time_do_it_once(shop: Shop) -> None:
    folder = shop.fresh("two-at-once")
    argv = [sys.executable, "-m", "labrelay.cli", "--home", str(folder / "home"), "process", str(shop.lab.run)]
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: subprocess.run(argv, env=environment, capture_output=True, text=True), range(2)))
    # The one that met the other's lease says so and can be repeated; none may fail in another way.
    for each in done:
        assert each.returncode == DONE or "is being worked on by" in each.stderr, each.stderr
    assert DONE in [each.returncode for each in done]
    assert shop.process(folder) == DONE
    assert shop.wrong(folder) == []
    assert sum(witnessed(folder).values()) == 1


def test_control_without_the_runners_lock_two_runners_start_the_same_attempt(shop: Shop) -> None:
    folder = shop.fresh("no-lock")
    environment = {lock.CONTROL: "1"}
    # Each look at the queue starts a runner now; a runner that does not see the others starts what it finds.
    shop.process(folder, environment)
    assert max(starts(folder).values()) > 1
    assert len(runners(folder)) > 1
    assert any(line.startswith("I2: ") for line in shop.wrong(folder))

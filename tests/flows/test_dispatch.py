"""Without a server a command does the step itself, says so once, and never loads Prefect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from labrelay.flows.dispatch import DIRECTLY, run_as_flow, server_of
from labrelay.model.errors import Busy
from labrelay.steps.home import Home, init_home, open_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    init_home(tmp_path / "home")
    return open_home(tmp_path / "home")


def test_the_step_is_done_directly_and_only_a_log_says_so(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    with caplog.at_level("DEBUG", "labrelay"):
        assert run_as_flow(home, "sweep", lambda: 42, said.append) == 42
    assert (said, [record.message for record in caplog.records]) == ([], [DIRECTLY])


def test_the_steps_error_comes_through(home: Home) -> None:
    def busy() -> None:
        raise Busy("another process is at it")

    with pytest.raises(Busy, match="another process"):
        run_as_flow(home, "sweep", busy, lambda _line: None)


def test_a_shared_server_that_does_not_answer_is_none(tmp_path: Path) -> None:
    init_home(tmp_path / "home")
    (tmp_path / "home" / "labrelay.toml").write_text('prefect_api_url = "http://127.0.0.1:1/api"\n')
    home, said = open_home(tmp_path / "home"), list[str]()
    assert server_of(home) == (None, False)
    assert run_as_flow(home, "sweep", lambda: 42, said.append) == 42
    assert said == ["the Prefect server http://127.0.0.1:1/api does not answer: running directly"]


def test_direct_work_does_not_load_prefect(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from labrelay.steps.home import init_home, open_home\n"
        "from labrelay.steps.collect import collect\n"
        "from labrelay.flows.dispatch import run_as_flow\n"
        f"path = Path({str(tmp_path / 'h')!r}); init_home(path); home = open_home(path)\n"
        "run_as_flow(home, 'collect', lambda: collect(home), lambda line: None)\n"
        "print('prefect' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

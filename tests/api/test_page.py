"""The examples of docs/front-door.md run, one after another, against a front door that is a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from door_process import ENVIRONMENT, serving

from labrelay.api.signatures import SCHEMES
from labrelay.steps.home import init_home
from labrelay.steps.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "front-door.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^<!-- run: (\w+) -->\n```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
[SETTINGS] = re.findall(r"^<!-- settings -->\n```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent


def answers(text: str) -> list[Any]:
    """Return the JSON values that stand one after another in a text."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="curl or openssl is not here")
def test_the_examples_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    home = tmp_path / "home"
    init_home(home)
    (home / "labrelay.toml").write_text(SETTINGS)
    (secret,) = tomllib.loads(SETTINGS)["hooks"]["notebook"]["secrets"]
    environment = {**ENVIRONMENT, "LABRELAY_HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}", "no_proxy": "*"}

    def run(name: str) -> str:
        argv = ["bash", "-euo", "pipefail", "-c", EXAMPLES[name]]
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    environment["TOKEN"] = run("token").strip()
    with serving(home) as (_process, environment["DOOR"]):
        environment["SECRET"] = secret
        assert run("config") == ""
        assert (tmp_path / "lims.curl").stat().st_mode & 0o077 == 0
        for new in (True, False):
            assert answers(run("announce")) == [{"id": "msg_1", "url": "/api/messages/msg_1", "new": new}]
        [state] = answers(run("outcome").partition("\n")[2])
        assert (state["state"], state["source"]) == ("done", "token:lims")
        assert "2 samples added" in state["outcome"]
        assert answers(run("event"))[0]["new"] is True
        assert answers(run("hook"))[0]["new"] is True
        runs, results, lineage, search, health = answers(run("read"))
    assert runs == results == {"items": [], "next": None}
    assert lineage["nodes"][0]["name"] == "alpha"
    assert search["hits"][0]["name"] == "alpha"
    assert health["status"] == "ok"


def test_what_the_page_says_of_settings_and_schemes_is_so() -> None:
    assert set(Settings(**tomllib.loads(SETTINGS)).hooks) == {"notebook"}
    assert all(f"`{scheme}`" in PAGE for scheme in SCHEMES)

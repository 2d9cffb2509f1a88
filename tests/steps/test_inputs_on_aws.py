"""A home with its files in folders runs what lies on AWS here, if its settings say where AWS is."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated import Emulated

from labrelay.model.runs import RunRequest, WorkflowVersion, attempt_token, run_id_of, run_key
from labrelay.model.states import RunState
from labrelay.steps.home import Home
from labrelay.workflows.bundle import write_bundle

COPY = """
name = "copy"
version = "1"
title = "Copy"
command = ["cp", "{given}", "made.txt"]
[inputs.given]
from = "parameter"
type = "File"
[outputs.made]
path = "made.txt"
"""


def request(folder: Path, uri: str) -> RunRequest:
    (folder / "copy").mkdir()
    (folder / "copy" / "definition.toml").write_text(COPY)
    digest = write_bundle(folder / "copy", folder / "copy.zip")
    key = run_key("local", digest, {"given": uri}, ())
    version = WorkflowVersion(name="copy", version="1", digest=digest, language="COMMAND", main="definition.toml")
    return RunRequest(
        token=attempt_token(key, 1),
        key=key,
        run_id=run_id_of(key),
        workflow=version,
        bundle=str(folder / "copy.zip"),
        inputs={"given": uri},
    )


def ended(home: Home, token: str) -> RunState:
    engine, until = home.engine_of("local"), time.monotonic() + 60
    while not (status := engine.poll([token])[token]).state.terminal:
        assert time.monotonic() < until, status
        time.sleep(0.1)
    return status.state


@pytest.mark.parametrize(("setting", "state"), [(True, RunState.COMPLETE), (False, RunState.EXECUTOR_ERROR)])
def test_an_object_in_s3_is_brought_where_the_settings_name_aws(
    make_home: Callable[[str], Home],
    emulator: Emulated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: bool,
    state: RunState,
) -> None:
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"lab-{secrets.token_hex(4)}"
    emulator.client("s3").create_bucket(Bucket=bucket)
    emulator.client("s3").put_object(Bucket=bucket, Key="words.txt", Body=b"from afar\n")
    home = make_home(f'outputs_url = "s3://{bucket}/runs"\n' if setting else "concurrency = 2\n")
    token = home.engine_of("local").submit(request(tmp_path, f"s3://{bucket}/words.txt"))
    assert ended(home, token) is state
    report = home.engine_of("local").report(token)
    assert [Path(file.path).read_bytes() for file in report.files] == ([b"from afar\n"] if setting else [])
    assert [task.inputs for task in report.tasks] == ([{"given": f"s3://{bucket}/words.txt"}] if setting else [])
    assert (home.path / "brought").is_dir() == setting

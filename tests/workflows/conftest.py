from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from labrelay.model.runs import EngineStatus, RunReport, RunRequest, WorkflowVersion, attempt_token, run_id_of, run_key
from labrelay.workflows.bundle import write_bundle
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.home import EngineHome
from labrelay.workflows.local.processes import started_at, stop_recorded
from labrelay.workflows.local.sandbox import bubblewrap

HEAD = "version 1.1\n"
ECHO = (
    HEAD
    + """
workflow tiny {
  input { String word  File? given }
  call say { input: word, given }
  output { File said = say.said  Int length = say.length  Array[File] parts = say.parts }
}
task say {
  input { String word  File? given }
  command <<<
    set -eu
    echo "~{word}" > said.txt
    ~{if defined(given) then "cat '" + given + "' >> said.txt" else "true"}
    echo one > part_1.txt; echo two > part_2.txt
  >>>
  output { File said = "said.txt"  Int length = length(read_lines("said.txt"))  Array[File] parts = glob("part_*.txt") }
  runtime { container: "quay.io/example/say:1"  cpu: 1  memory: "100 MB" }
}
"""
)


def one_task(command: str, outputs: str = 'File made = "made.txt"', name: str = "tiny") -> str:
    """Return a workflow with one task `work` that runs `command`."""
    keep = outputs.split("=")[0].split()
    result = f"output {{ {keep[0]} made = work.{keep[1]} }}" if keep else ""
    return (
        f"{HEAD}workflow {name} {{\n  call work\n  {result}\n}}\n"
        f"task work {{\n  command <<<\n{command}\n  >>>\n  output {{ {outputs} }}\n}}\n"
    )


@dataclass
class Lab:
    """A home folder with a local engine, and short ways to use it."""

    home: Path
    engine: LocalEngine
    made: list[str] = field(default_factory=list)

    def request(
        self, source: str | dict[str, str], inputs: dict[str, Any] | None = None, number: int = 1, salt: str = ""
    ) -> RunRequest:
        """Return a request for a workflow in WDL, or for a pipeline in Nextflow or a command given as its files."""
        folder = self.home / f"src-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        files = {"main.wdl": source} if isinstance(source, str) else source
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name.startswith("bin/") else 0o644)
        mains = {"main.wdl": "WDL", "main.nf": "NEXTFLOW", "definition.toml": "COMMAND"}
        main, language = next((name, mains[name]) for name in mains if name in files)
        archive = self.home / f"{folder.name}.zip"
        digest = write_bundle(folder, archive)
        key = run_key("local", digest, {"inputs": inputs or {}, "salt": salt}, ())
        return RunRequest(
            token=attempt_token(key, number),
            key=key,
            run_id=run_id_of(key),
            workflow=WorkflowVersion(name="tiny", version="1", digest=digest, language=language, main=main),
            bundle=str(archive),
            inputs=inputs or {},
        )

    def again(self, request: RunRequest, number: int) -> RunRequest:
        return request.model_copy(update={"token": attempt_token(request.key, number)})

    def wait(self, token: str, seconds: float = 40) -> EngineStatus:
        return self.until(token, lambda status: status.state.terminal, seconds)

    def until(self, token: str, wanted: Callable[[EngineStatus], bool], seconds: float = 40) -> EngineStatus:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.engine.poll([token]).get(token)
            if status is not None and wanted(status):
                return status
            time.sleep(0.05)
        raise AssertionError(f"{token} is {status} after {seconds} s: {self.log(token)}")

    def run(self, source: str | dict[str, str], inputs: dict[str, Any] | None = None) -> tuple[EngineStatus, RunReport]:
        token = self.engine.submit(self.request(source, inputs))
        status = self.wait(token)
        return status, self.engine.report(token)

    def starts(self, token: str) -> int:
        path = self.home / "runs" / token / "starts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def runner_pid(self) -> int | None:
        """Return the living runner's process id."""
        try:
            pid = int((self.home / "engine" / "runner.lock").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if started_at(pid) is not None else None

    def log(self, token: str) -> str:
        paths = [self.home / "engine" / "runner.log", self.home / "runs" / token / "engine.log"]
        return "\n".join(path.read_text()[-2000:] for path in paths if path.exists())


def processes_with(words: str) -> list[int]:
    """Return the living processes whose command line holds `words`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if words in line and started_at(int(entry.name)) is not None:
                found.append(int(entry.name))
    return found


def eventually(check: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.05)
    return check()


@pytest.fixture(params=["host", "bwrap"])
def sandbox(request: pytest.FixtureRequest) -> str:
    if request.param == "bwrap" and bubblewrap() is None:
        pytest.skip("bubblewrap does not work on this machine")
    return str(request.param)


@pytest.fixture(params=[1, 99], ids=["forked", "alone"])
def fork_from(request: pytest.FixtureRequest) -> int:
    """Return a setting with which the first engine already is forked by the warm process, or never one is."""
    return int(request.param)


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(sandbox: str = "host", concurrency: int = 2, idle_seconds: float = 2.0, fork_from: int = 2) -> Lab:
        home = tmp_path / f"home {len(labs)}"  # a space: paths are quoted everywhere or this fails
        home.mkdir()
        engine = LocalEngine(home, concurrency, sandbox, idle_seconds=idle_seconds)  # type: ignore[arg-type]
        engine._settings = engine._settings.model_copy(update={"fork_from": fork_from})
        labs.append(Lab(home, engine))
        return labs[-1]

    yield make
    for lab in labs:
        for attempt in EngineHome(lab.home).queued():
            state = attempt.state()
            attempt.queued_file.unlink(missing_ok=True)
            if state is not None:
                stop_recorded(state.pid, state.pid_started, state.boot_id, 1.0)
        pid = lab.runner_pid()
        if pid is not None:
            from labrelay.workflows.local.processes import boot_id

            stop_recorded(pid, started_at(pid), boot_id(), 1.0)


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()

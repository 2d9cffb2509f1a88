"""The emulator's workflows and runs in this process, or in one that can be killed; an S3 in memory behind."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulated_storage import open_service, s3_client

from labrelay.emulator.background import Background
from labrelay.emulator.service import WORKERS, Service
from labrelay.emulator.wire import call
from labrelay.workflows.local.processes import boot_id, started_at, stop_recorded

ROLE = "arn:aws:iam::123456789012:role/LabRuns"
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
SETTINGS = 'sandbox = "host"\nconcurrency = 2\n'

# One task of shell; `script` makes it slow or broken on demand.
SAY = """version 1.1
workflow tiny {
  input { String script = "true"  File? given }
  parameter_meta { script: "What the task does." }
  call say { input: script, given }
  output { File said = say.said  Array[File] parts = say.parts  Int number = 3 }
}
task say {
  input { String script  File? given }
  command <<<
    set -e
    echo "on standard output"
    ~{script}
    echo said > said.txt
    ~{if defined(given) then "cat '" + given + "' >> said.txt" else "true"}
    echo one > part_1.txt; echo two > part_2.txt
  >>>
  output { File said = "said.txt"  Array[File] parts = glob("part_*.txt") }
  runtime { container: "quay.io/example/say:1"  cpu: 2  memory: "6 GB" }
}
"""
TWO = """version 1.1
workflow pair {
  input { File given  String word = "x" }
  call first { input: given }
  call second { input: made = first.made, word }
  output { File result = second.result }
}
task first {
  input { File given }
  command <<< tr a-z A-Z < '~{given}' > made.txt >>>
  output { File made = "made.txt" }
  runtime { container: "quay.io/example/say:1"  cpu: 1  memory: "1 GB" }
}
task second {
  input { File made  String word }
  command <<< (cat '~{made}'; echo '~{word}') > result.txt >>>
  output { File result = "result.txt" }
  runtime { container: "quay.io/example/say:1"  cpu: 1  memory: "1 GB" }
}
"""

KILLABLE = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from emulated_storage import open_service
from labrelay.emulator.background import Background
Background(open_service(Path(sys.argv[1]), sys.argv[2])).start()
time.sleep(600)
"""


def archive(wdl: str, name: str = "main.wdl", **more: str) -> bytes:
    """Return a definition as a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for entry, text in {name: wdl, **more}.items():
            opened.writestr(entry, text)
    return out.getvalue()


@dataclass
class RunLab:
    """One emulated account with a bucket `lab`; background work is done while `working` or a `server` is on."""

    folder: Path
    url: str
    events: list[Any] = field(default_factory=list)
    settings: str = SETTINGS
    works: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "runs.toml").write_text(self.settings)
        self.service: Service = open_service(self.folder, self.url, self.events)
        self.s3 = s3_client(self.url)
        self.s3.create_bucket(Bucket="lab")

    def call(self, operation: str, **asked: Any) -> Any:
        """Call an operation; its parameters and its answer are held against the service model."""
        return call(self.service, operation, asked)

    @contextmanager
    def working(self) -> Iterator[RunLab]:
        """Do background work in this process for the block."""
        background = Background(self.service)
        background.start()
        self.works = True
        try:
            yield self
        finally:
            background.stop()
            self.stop_engine()

    def server(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a process that does the background work, to be killed."""
        argv = [sys.executable, "-c", KILLABLE, str(self.folder), self.url, str(Path(__file__).parent)]
        return subprocess.Popen(argv, env=os.environ | environment)

    def stop_engine(self) -> None:
        """Stop the engine's runner with all that it runs."""
        lock = self.folder / "engine" / "engine" / "runner.lock"
        if lock.exists() and (signed := lock.read_text().strip()).isdigit():
            stop_recorded(int(signed), started_at(int(signed)), boot_id(), 3.0)

    def put(self, key: str, content: bytes) -> str:
        """Put an object into the bucket `lab` and return its URI."""
        self.s3.put_object(Bucket="lab", Key=key, Body=content)
        return f"s3://lab/{key}"

    def read(self, uri: str) -> bytes:
        """Return an object's bytes."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str = "out/") -> list[str]:
        """Return the keys of the bucket `lab` below a prefix."""
        found = self.s3.list_objects_v2(Bucket="lab", Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def workflow(self, wdl: str = SAY, **asked: Any) -> str:
        """Make a workflow, wait until it is ACTIVE, and return its id."""
        key = str(self.call("CreateWorkflow", **{"definitionZip": archive(wdl), "name": "tiny", **asked})["id"])
        if not self.works:
            WORKERS["definitions"](self.service)
        found = until(lambda: self.call("GetWorkflow", id=key), lambda body: body["status"] != "CREATING")
        assert found["status"] == "ACTIVE", found
        return key

    def start(self, workflow: str, parameters: dict[str, Any] | None = None, **asked: Any) -> str:
        """Start a run and return its id."""
        usual = {"workflowId": workflow, "roleArn": ROLE, "outputUri": "s3://lab/out", "parameters": parameters or {}}
        return str(self.call("StartRun", **{**usual, **asked})["id"])

    def wait(self, run: str, *wanted: str, seconds: float = 60) -> Any:
        """Wait until a run has one of the wanted states, or has ended, and return it."""
        stop = (*wanted, *ENDED)
        return until(lambda: self.call("GetRun", id=run), lambda body: body["status"] in stop, seconds)

    def run(self, workflow: str, parameters: dict[str, Any] | None = None, **asked: Any) -> Any:
        """Start a run, wait for its end, and return it."""
        return self.wait(self.start(workflow, parameters, **asked))

    def tasks(self, run: str, **asked: Any) -> list[Any]:
        """Return a run's tasks as GetRunTask shows them."""
        found = self.call("ListRunTasks", id=run, **asked)["items"]
        return [self.call("GetRunTask", id=run, taskId=task["taskId"]) for task in found]

    def statuses(self, run: str) -> list[str]:
        """Return the states that events told of a run, in their order."""
        arn = self.service.arn("run", run)
        return [detail["status"] for kind, [about], detail in self.events if kind.startswith("Run ") and about == arn]

    def log(self, stream: str) -> list[str]:
        """Return the messages of a log stream."""
        path = self.folder / "logs" / "aws/omics/WorkflowLog" / f"{stream}.jsonl"
        return [json.loads(line)["m"] for line in path.read_text().splitlines()]


def until(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 60) -> Any:
    """Look until what is seen is good, and return it."""
    end = time.monotonic() + seconds
    seen = look()
    while not good(seen):
        assert time.monotonic() < end, f"after {seconds} s it is {seen}"
        time.sleep(0.03)
        seen = look()
    return seen

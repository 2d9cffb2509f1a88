"""What a run costs in the emulator beyond the same workflow by a bare `miniwdl run`.

    .venv/bin/python -m benchmarks.emulated_run [--runs 5]

A WDL of one task that writes a line. The emulator's time is from StartRun to COMPLETED with the outputs in S3, as a
client sees it that asks ten times a second; the bare engine runs the same file with the same sandbox in a new process.
The first run of each is not counted.
"""

from __future__ import annotations

import argparse
import configparser
import io
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks import measure
from labrelay.emulator.launch import read_running, running
from labrelay.stores.aws import Aws
from labrelay.workflows.local.sandbox import bubblewrap, choose, python_folders
from labrelay.workflows.local.tools import readable_folders

WDL = """version 1.0
task hello {
  input { String name }
  command { echo "hello ~{name}" > greeting.txt }
  output { File greeting = "greeting.txt" }
  runtime { container: "debian:12" cpu: 1 memory: "1 GB" }
}
workflow main {
  input { String name }
  call hello { input: name = name }
  output { File greeting = hello.greeting }
}
"""
ROLE = "arn:aws:iam::123456789012:role/labrelay-runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        root = Path(folder)
        (root / "main.wdl").write_text(WDL)
        bare = [bare_run(root, number) for number in range(asked.runs + 1)][1:]
        with running(root / "emulator") as endpoint:
            found = read_running(root / "emulator")
            assert found is not None
            os.environ.update(found.environment())
            emulated = emulated_runs(Aws(endpoint_url=endpoint, rates={"StartRun": 100}), asked.runs + 1)[1:]
    one, other = statistics.median(bare), statistics.median(emulated)
    print(f"{asked.runs} runs each, {os.cpu_count()} cores, medians in s (range)")
    print(f"  bare miniwdl run        {one:.2f} ({min(bare):.2f}-{max(bare):.2f})")
    print(f"  StartRun to COMPLETED   {other:.2f} ({min(emulated):.2f}-{max(emulated):.2f})")
    print(f"  over                    {other - one:.2f}")


def bare_run(root: Path, number: int) -> float:
    made = root / f"bare-{number}"
    command = [sys.executable, "-m", "WDL", "run", str(root / "main.wdl"), f"name=n{number}", "--dir", str(made)]
    return measure.run(command, root / "bare.log", {**os.environ, "MINIWDL_CFG": str(bare_config(root))}).wall


def bare_config(root: Path) -> Path:
    """Write miniwdl's settings: the backend that the emulator's engine would choose, and no call cache."""
    path = [str(Path(sys.executable).parent), *os.environ["PATH"].split(os.pathsep)]
    config = configparser.ConfigParser(interpolation=None)
    config["scheduler"] = {"container_backend": choose("auto")}
    config["file_io"] = {"root": "/"}
    config["labrelay"] = {
        "bwrap": bubblewrap() or "",
        "tool_path": os.pathsep.join(path),
        "read_only": json.dumps([*python_folders(), *readable_folders(path)]),
    }
    file = root / "miniwdl.cfg"
    with file.open("w") as out:
        config.write(out)
    return file


def emulated_runs(aws: Aws, number: int) -> list[float]:
    omics = aws.client("omics")
    aws.client("s3").create_bucket(Bucket="bench")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.wdl", WDL)
    workflow = omics.create_workflow(name="hello", engine="WDL", definitionZip=packed.getvalue(), main="main.wdl")
    wait(lambda: omics.get_workflow(id=workflow["id"])["status"], {"ACTIVE"})
    return [one_run(omics, workflow["id"], n) for n in range(number)]


def one_run(omics: Any, workflow: str, number: int) -> float:
    began = time.perf_counter()
    started = omics.start_run(
        workflowId=workflow, roleArn=ROLE, name=f"hello-{number}", outputUri="s3://bench/out",
        parameters={"name": f"n{number}"}, storageType="DYNAMIC", requestId=f"bench-{number}",
    )  # fmt: skip
    wait(lambda: omics.get_run(id=started["id"])["status"], {"COMPLETED"})
    return time.perf_counter() - began


def wait(ask: Any, wanted: set[str]) -> None:
    while (status := ask()) not in wanted:
        if status in ("FAILED", "CANCELLED"):
            raise SystemExit(f"it ended as {status}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()

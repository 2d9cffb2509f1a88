"""What a pipeline of many tasks costs through Labrelay's engine beyond the same pipeline by bare Nextflow.

    .venv/bin/python -m benchmarks.nextflow_overhead [--tasks 50] [--runs 3]

Each task works for half a second of a processor and publishes one file. Ours is from `submit` to the end with the
report read: tasks traced, timeline, report and dag written, files found with the tasks that made them. The bare runs
are `nextflow run` of the same Nextflow in a new folder, without and with the same reports. They take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measure
from labrelay.model.runs import RunRequest, WorkflowVersion, attempt_token, run_id_of, run_key
from labrelay.model.states import RunState
from labrelay.workflows.bundle import write_bundle
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.nextflow import runtime
from labrelay.workflows.nextflow.command import environment

PIPELINE = """\
params.tasks = 50

process WORK {
    tag "$number"
    publishDir params.outdir, mode: 'copy'
    input: val number
    output: path "${number}.txt"
    script: "timeout 0.5 sh -c 'while :; do :; done' || true; echo $number > ${number}.txt"
}

workflow { WORK(Channel.of(1..params.tasks)) }
"""
DEFINITION = 'name = "work"\nversion = "1"\ntitle = "Work"\nmain = "main.nf"\n[outputs.files]\npath = "*.txt"\n'
REPORTS = ("-with-trace", "-with-report", "-with-timeline", "-with-dag")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    seconds: dict[str, list[float]] = {"bare nextflow run": [], "with its reports": [], "labrelay": []}
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        root = Path(folder)
        (root / "pipeline").mkdir()
        (root / "pipeline" / "main.nf").write_text(PIPELINE)
        (root / "pipeline" / "definition.toml").write_text(DEFINITION)
        for number in range(asked.runs + 1):
            seconds["bare nextflow run"].append(bare_run(root, number, asked.tasks, ()))
            seconds["with its reports"].append(bare_run(root, number, asked.tasks, REPORTS))
            seconds["labrelay"].append(our_run(root, number, asked.tasks))
    base = statistics.median(seconds["bare nextflow run"][1:])
    print(f"{asked.tasks} tasks, {asked.runs} runs each, {os.cpu_count()} cores, {runtime.find().name}")
    for what, (_, *times) in seconds.items():
        middle = statistics.median(times)
        print(f"  {what:20} {middle:6.2f} s ({min(times):.2f}-{max(times):.2f})   {middle / base:.3f} x bare")


def bare_run(root: Path, number: int, tasks: int, reports: tuple[str, ...]) -> float:
    found, folder = runtime.find(), root / f"bare-{number}-{len(reports)}"
    folder.mkdir()
    env = environment(found, root / "nextflow", os.environ["PATH"].split(os.pathsep))
    argv = [*found.argv, "-log", str(folder / "log"), "run", str(root / "pipeline" / "main.nf"), "-ansi-log", "false"]
    argv += ["-work-dir", str(folder / "work"), "--outdir", str(folder / "out"), "--tasks", str(tasks), *reports]
    started = time.perf_counter()
    here = Path.cwd()
    os.chdir(folder)
    try:
        measure.run(argv, folder / "said", env)
    finally:
        os.chdir(here)
    return time.perf_counter() - started


def our_run(root: Path, number: int, tasks: int) -> float:
    archive = root / "work.zip"
    digest = write_bundle(root / "pipeline", archive)
    inputs = {"tasks": tasks}
    key = run_key("local", digest, {"inputs": inputs, "number": number}, ())
    request = RunRequest(
        token=attempt_token(key, 1),
        key=key,
        run_id=run_id_of(key),
        workflow=WorkflowVersion(name="work", version="1", digest=digest, language="NEXTFLOW", main="main.nf"),
        bundle=str(archive),
        inputs=inputs,
    )
    engine = LocalEngine(root / "home")
    started = time.perf_counter()
    token = engine.submit(request)
    while not (status := engine.poll([token])[token]).state.terminal:
        time.sleep(0.1)
    report = engine.report(token)
    taken = time.perf_counter() - started
    if status.state is not RunState.COMPLETE or len(report.files) != tasks:
        sys.exit(f"it ended as {status}")
    return taken


if __name__ == "__main__":
    main()

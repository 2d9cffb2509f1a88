"""Nextflow runs of the emulator: they execute, publish to S3, log, fail and go on as HealthOmics' do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated_runs import RunLab, archive, until
from emulated_storage import forget_objects

from labrelay.model.errors import MissingTool
from labrelay.workflows.nextflow import runtime

PUBDIR = "/mnt/workflow/pubdir"
PIPELINE = """\
params.given = null
params.sheet = null
params.outdir = 'results'
params.script = 'true'

process COUNT {
    container 'quay.io/example/count:1'
    cpus 2
    memory '3 GB'
    publishDir "${params.outdir}/counts", mode: 'copy'
    input: path given
    output: path 'lines.txt'
    script: "echo on standard output; wc -l < $given > lines.txt; $params.script"
}

process ROWS {
    publishDir params.outdir
    input: path given
    output: path 'rows.txt'
    script: "cat $given > rows.txt"
}

workflow {
    COUNT(file(params.given))
    if (params.sheet) {
        ROWS(Channel.fromPath(params.sheet).splitCsv(header: true).map { row -> file(row.fastq_1) })
    }
}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, s3_url: str) -> Iterator[RunLab]:
    """An account that works; the tests of this module share it."""
    try:
        runtime.find()
    except MissingTool as missing:
        pytest.skip(str(missing))
    forget_objects(s3_url)
    with RunLab(tmp_path_factory.mktemp("emulated pipelines"), s3_url).working() as working:
        yield working


@pytest.fixture(scope="module")
def pipeline(lab: RunLab) -> str:
    return lab.workflow(definitionZip=archive(PIPELINE, "main.nf"))


def given(lab: RunLab, **more: Any) -> dict[str, Any]:
    return {"given": lab.put("in/given.txt", b"one\ntwo\n"), "outdir": PUBDIR, **more}


def test_a_pipeline_really_runs_and_what_it_publishes_is_in_s3(lab: RunLab, pipeline: str) -> None:
    lab.put("in/reads.fastq", b"@r\nA\n+\nI\n")
    sheet = lab.put("in/sheet.csv", b"sample,fastq_1\na,s3://lab/in/reads.fastq\n")
    run = lab.run(pipeline, given(lab, sheet=sheet))
    assert run["status"] == "COMPLETED", run
    base = run["runOutputUri"]
    assert lab.keys(f"out/{run['id']}/") == [
        f"out/{run['id']}/{name}" for name in ("logs/engine.log", "pubdir/counts/lines.txt", "pubdir/rows.txt")
    ]
    assert lab.read(f"{base}/pubdir/counts/lines.txt").strip() == b"2"
    assert lab.read(f"{base}/pubdir/rows.txt") == b"@r\nA\n+\nI\n"
    assert b"Submitted process > COUNT" in lab.read(f"{base}/logs/engine.log")
    assert set(run["resourceDigests"]) == {"s3://lab/in/given.txt", sheet, "s3://lab/in/reads.fastq"}
    tasks = {task["name"]: task for task in lab.tasks(run["id"])}
    assert set(tasks) == {"COUNT", "ROWS (1)"}
    assert (tasks["COUNT"]["status"], tasks["COUNT"]["cpus"], tasks["COUNT"]["memory"]) == ("COMPLETED", 2, 3)
    assert tasks["COUNT"]["imageDetails"]["image"] == "quay.io/example/count:1"
    assert "on standard output" in lab.log(f"run/{run['id']}/task/{tasks['COUNT']['taskId']}")
    about, *_ = map(json.loads, lab.log(f"manifest/run/{run['id']}/{run['uuid']}"))
    assert (about["status"], about["engine"]) == ("COMPLETED", "NEXTFLOW")
    assert lab.statuses(run["id"]) == ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"]


def test_what_is_published_elsewhere_is_not_exported(lab: RunLab, pipeline: str, tmp_path: Path) -> None:
    run = lab.run(pipeline, given(lab, outdir=str(tmp_path / "elsewhere")))
    assert run["status"] == "COMPLETED", run
    assert lab.keys(f"out/{run['id']}/") == [f"out/{run['id']}/logs/engine.log"]


def test_a_task_that_fails_fails_its_run_and_says_why(lab: RunLab, pipeline: str) -> None:
    run = lab.run(pipeline, given(lab, script="echo the lid is stuck >&2; exit 3"))
    assert (run["status"], run["failureReason"]) == ("FAILED", "RUN_TASK_FAILED")
    (task,) = lab.tasks(run["id"])
    assert task["taskId"] in run["statusMessage"]
    assert (task["status"], "the lid is stuck" in task["statusMessage"]) == ("FAILED", True)
    assert "the lid is stuck" in lab.log(f"run/{run['id']}/task/{task['taskId']}")


def test_a_pipeline_that_does_not_parse_fails_as_a_workflow(lab: RunLab) -> None:
    run = lab.run(lab.workflow(definitionZip=archive("workflow { FOO(1) }", "main.nf")), {"outdir": PUBDIR})
    assert (run["status"], run["failureReason"]) == ("FAILED", "WORKFLOW_RUN_FAILED")
    assert "FOO" in run["statusMessage"]


def test_an_input_that_is_not_there_fails_the_run_before_the_pipeline_starts(lab: RunLab, pipeline: str) -> None:
    run = lab.run(pipeline, {"given": "s3://lab/in/nowhere.txt", "outdir": PUBDIR})
    assert (run["status"], run["failureReason"]) == ("FAILED", "INPUT_URI_NOT_FOUND")
    assert lab.tasks(run["id"]) == []


def test_a_cancelled_pipeline_stops_and_exports_nothing(lab: RunLab, pipeline: str) -> None:
    run = lab.start(pipeline, given(lab, script="sleep 97.532"))
    until(lambda: lab.tasks(run, status="RUNNING"), bool)
    lab.call("CancelRun", id=run)
    assert lab.wait(run)["status"] == "CANCELLED"
    assert [task["status"] for task in lab.tasks(run)] == ["CANCELLED"]
    assert lab.keys(f"out/{run}/") == []


def test_a_run_cache_saves_the_tasks_of_an_equal_run(lab: RunLab, pipeline: str) -> None:
    cache = lab.call("CreateRunCache", cacheS3Location="s3://lab/cache/", cacheBehavior="CACHE_ALWAYS", requestId="nf")
    first = lab.run(pipeline, given(lab), cacheId=cache["id"])
    second = lab.run(pipeline, given(lab), cacheId=cache["id"])
    assert (first["status"], second["status"]) == ("COMPLETED", "COMPLETED")
    assert [task["cacheHit"] for task in lab.tasks(first["id"])] == [False]
    assert [task["cacheHit"] for task in lab.tasks(second["id"])] == [True]
    assert lab.read(f"{second['runOutputUri']}/pubdir/counts/lines.txt").strip() == b"2"

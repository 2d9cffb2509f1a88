"""Nextflow pipelines through the HealthOmics engine, against a HealthOmics that really runs them."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from labrelay.model.errors import MissingTool, RefusedInput
from labrelay.model.runs import RunRequest, WorkflowVersion, attempt_token, run_key
from labrelay.model.states import RunState
from labrelay.workflows.bundle import write_bundle
from labrelay.workflows.definition import load
from labrelay.workflows.healthomics.lint import lint_for_healthomics
from labrelay.workflows.nextflow import runtime
from labrelay.workflows.nextflow.outputs import named_report

from .cloud import Cloud

MAIN = """\
params.input = null

process COUNT {
    tag "$name"
    container 'quay.io/example/count:1'
    publishDir "${params.outdir}/counts", mode: 'copy'
    input: tuple val(name), path(reads)
    output: path "${name}.txt"
    script: "wc -l < $reads > ${name}.txt"
}

process VERSIONS {
    container 'quay.io/example/count:1'
    publishDir params.outdir
    output: path 'tool_versions.json'
    script: "echo '{\\"wc\\": \\"9.1\\"}' > tool_versions.json"
}

workflow {
    COUNT(Channel.fromPath(params.input).splitCsv(header: true).map { row -> [row.sample, file(row.fastq_1)] })
    VERSIONS()
}
"""
DEFINITION = """\
name = "{name}"
version = "1"
title = "Lines of reads"
main = "main.nf"

[samplesheet]
parameter = "input"
columns = {{ sample = "sample.name", fastq_1 = "reads.r1" }}

[outputs.counts]
path = "counts/*.txt"

[outputs.tool_versions]
path = "tool_versions.json"
"""


def written(cloud: Cloud, main: str = MAIN, more: str = "") -> Path:
    folder = cloud.home / f"pipeline-{secrets.token_hex(4)}"
    folder.mkdir()
    (folder / "main.nf").write_text(main)
    (folder / "definition.toml").write_text(DEFINITION.format(name=cloud.name) + more)
    return folder


def request_for(cloud: Cloud, folder: Path) -> RunRequest:
    archive = folder.with_suffix(".zip")
    digest = write_bundle(folder, archive)
    key = run_key("healthomics", digest, secrets.token_hex(8), ())
    rows = []
    for name, text in (("a", b"1\n"), ("b", b"1\n2\n")):
        cloud.aws.client("s3").put_object(Bucket=cloud.bucket, Key=f"in/{name}.fastq", Body=text)
        rows.append({"fastq_1": f"s3://{cloud.bucket}/in/{name}.fastq", "sample": name})
    return RunRequest(
        token=attempt_token(key, 1),
        key=key,
        run_id=f"run_{key[:20]}",
        workflow=WorkflowVersion(name=cloud.name, version="1", digest=digest, language="NEXTFLOW", main="main.nf"),
        bundle=str(archive),
        inputs={"input": {"samplesheet": rows}},
    )


def test_a_pipeline_gets_its_sheet_and_its_publish_folder_and_comes_back_with_named_files(cloud: Cloud) -> None:
    try:
        runtime.find()
    except MissingTool as missing:
        pytest.skip(str(missing))
    folder = written(cloud)
    run = cloud.engine.submit(request_for(cloud, folder))
    status, raw = cloud.until(run, lambda status: status.state.terminal, 90), cloud.engine.report(run)
    assert status.state is RunState.COMPLETE, status
    assert {file.output for file in raw.files} == {"counts/a.txt", "counts/b.txt", "tool_versions.json"}
    report = named_report(raw, load(folder).outputs)
    files = {(file.output, file.index): Path(file.path).read_text().strip() for file in report.files}
    assert files == {("counts", 0): "1", ("counts", 1): "2"}
    assert report.values == {"tool_versions": {"wc": "9.1"}}
    assert report.tools == {"wc": "9.1"}
    assert named_report(report, load(folder).outputs) == report
    assert {task.name for task in report.tasks} == {"COUNT (a)", "COUNT (b)", "VERSIONS"}
    assert report.costs
    details = cloud.aws.client("omics").get_run(id=run.partition("/")[0])
    assert details["parameters"]["outdir"] == "/mnt/workflow/pubdir"
    body = (
        cloud.aws.client("s3")
        .get_object(Bucket=cloud.bucket, Key=details["parameters"]["input"].removeprefix(f"s3://{cloud.bucket}/"))[
            "Body"
        ]
        .read()
    )
    assert body.decode().splitlines()[0] == "sample,fastq_1"


def test_what_healthomics_cannot_take_of_a_pipeline_is_said_before_anything_is_published(cloud: Cloud) -> None:
    bare = MAIN.replace("    container 'quay.io/example/count:1'\n", "")
    folder = written(cloud, bare, '\n[nextflow]\nprofile = ["test"]\noutdir = ""\n')
    found = {problem.code for problem in lint_for_healthomics(folder)}
    assert {"HEALTHOMICS_NO_PROFILE", "HEALTHOMICS_NO_IMAGE", "HEALTHOMICS_NO_OUTDIR"} <= found
    with pytest.raises(RefusedInput, match="takes no profiles"):
        cloud.engine.submit(request_for(cloud, folder))
    assert cloud.aws.client("omics").list_workflows(name=cloud.name)["items"] == []

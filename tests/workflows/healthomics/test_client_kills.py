"""A client that is killed at any point leaves one workflow, one version, one run, and outputs that come whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labrelay.model.runs import RunRequest
from labrelay.model.states import RunState

from .cloud import Cloud

CLIENT = """
import sys
from pathlib import Path
from labrelay.model.runs import RunRequest
from labrelay.stores.aws import Aws
from labrelay.workflows.healthomics.engine import HealthOmicsEngine, HealthOmicsSettings
verb, asked, endpoint, role, output, download = sys.argv[1:]
settings = HealthOmicsSettings(role_arn=role, output_uri=output, download=Path(download))
engine = HealthOmicsEngine(Aws(region="us-east-1", endpoint_url=endpoint), settings)
if verb == "submit":
    engine.submit(RunRequest.model_validate_json(asked))
else:
    engine.report(asked)
"""


def killed_at(cloud: Cloud, point: str, verb: str, asked: str) -> None:
    """Let another process do it and see it die at the point."""
    settings = cloud.settings
    words = (verb, asked, str(cloud.aws.endpoint_url), settings.role_arn, settings.output_uri, str(settings.download))
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *words], env={**os.environ, "LABRELAY_FAULT": f"{point}:1:kill"}, timeout=120
    )
    assert done.returncode == -signal.SIGKILL


def same_of(cloud: Cloud, request: RunRequest) -> tuple[list[str], list[str], list[str]]:
    """Return what there is of a request: workflows, versions and runs."""
    omics = cloud.aws.client("omics")
    workflows = [item["id"] for item in omics.list_workflows(name=cloud.name)["items"]]
    versions = [item for each in workflows for item in omics.list_workflow_versions(workflowId=each)["items"]]
    runs = omics.list_runs(name=request.token)["items"]
    return workflows, [item["versionName"] for item in versions], [item["id"] for item in runs]


@pytest.mark.parametrize(
    "point",
    [
        "healthomics.workflow_made",
        "healthomics.version_made",
        "healthomics.published",
        "healthomics.started",
    ],
)
def test_a_submit_that_is_killed_and_asked_again_is_one_run(cloud: Cloud, point: str) -> None:
    request = cloud.request()
    killed_at(cloud, point, "submit", request.model_dump_json())
    run = cloud.engine.submit(request)
    workflows, versions, runs = same_of(cloud, request)
    assert (len(workflows), versions, runs) == (1, [request.workflow.digest[:16]], [run.partition("/")[0]])


@pytest.mark.parametrize("point", ["download.chunk", "download.filled"])
def test_a_download_that_is_killed_is_whole_the_next_time(cloud: Cloud, point: str) -> None:
    run = cloud.engine.submit(cloud.request())
    assert cloud.until(run, lambda status: status.state.terminal).state is RunState.COMPLETE
    killed_at(cloud, point, "report", run)
    files = cloud.engine.report(run).files
    assert {Path(file.path).read_text() for file in files} == {"nothing\n", "one\n", "two\n"}

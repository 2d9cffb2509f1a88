"""The engine against a HealthOmics that really runs: publish, run, fail, cancel, cache, bring back what was made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from emulated import Emulated

from labrelay.model.errors import EngineFailed, NotFound, RefusedInput, UsageError
from labrelay.model.states import RunState
from labrelay.workflows.healthomics.engine import HealthOmicsSettings
from labrelay.workflows.healthomics.setup import ensure_run_cache, ensure_run_group

from .cloud import ROLE, WDL, Cloud


def test_a_run_comes_back_with_its_files_tasks_costs_and_advice(cloud: Cloud) -> None:
    cloud.aws.client("s3").put_object(Bucket=cloud.bucket, Key="in/a b.txt", Body=b"from the bucket\n")
    status, report = cloud.run({"given": f"s3://{cloud.bucket}/in/a b.txt"})
    assert (status.state, status.message, status.tasks_done) == (RunState.COMPLETE, None, 1)
    files = {(file.output, file.index): Path(file.path) for file in report.files}
    assert {place: path.name for place, path in files.items()} == {
        ("said", 0): "said.txt",
        ("parts", 0): "part_1.txt",
        ("parts", 1): "part_2.txt",
    }
    said = files["said", 0]
    assert said.read_text() == "from the bucket\n"
    assert said.is_relative_to(cloud.settings.download)
    assert report.values == {"number": 3}
    (task,) = report.tasks
    assert (task.name, task.state, task.cached) == ("say", RunState.COMPLETE, False)
    assert (task.cpus, task.memory_bytes, task.instance_type) == (2, 6 << 30, "omics.m.large")
    assert task.declared_image == "quay.io/example/say:1"
    assert task.peak_memory_bytes
    assert task.cpu_seconds is not None
    storage = "run storage (DYNAMIC)"
    assert [(item.what, item.unit) for item in report.costs] == [("task say (omics.m.large)", "h"), (storage, "GiB h")]
    assert report.costs[0].usd == pytest.approx(0.1296 / 60)
    assert {item.resource for item in report.advice} == {"cpu", "memory"}
    assert [Path(path).name for path in report.logs] == ["engine.log"]


def test_a_run_that_completes_and_leaves_nothing_has_failed_and_says_so(cloud: Cloud) -> None:
    wdl = WDL[: WDL.index("  output {{ File said")] + "  output {{ }}\n}}\n" + WDL[WDL.index("task say") :]
    run = cloud.engine.submit(cloud.request(wdl=wdl))
    status, report = cloud.until(run, lambda status: status.state.terminal), cloud.engine.report(run)
    assert (status.state, report.state) == (RunState.EXECUTOR_ERROR, RunState.EXECUTOR_ERROR)
    assert "wrote no output" in str(report.failure)
    assert [task.name for task in report.tasks] == ["say"]
    assert report.costs


def test_a_report_that_is_asked_for_again_downloads_nothing(cloud: Cloud, emulator: Emulated) -> None:
    run = cloud.engine.submit(cloud.request())
    cloud.until(run, lambda status: status.state.terminal)
    first = cloud.engine.report(run)
    inode = Path(first.files[0].path).stat().st_ino
    assert cloud.engine.report(run) == first
    assert Path(first.files[0].path).stat().st_ino == inode


def test_the_same_token_from_two_machines_is_one_run(cloud: Cloud, emulator: Emulated, tmp_path: Path) -> None:
    request = cloud.request()
    before = emulator.counts().get("CreateWorkflow", 0)
    run = cloud.engine.submit(request)
    cloud.settings = HealthOmicsSettings(
        role_arn=ROLE, output_uri=cloud.settings.output_uri, download=tmp_path / "another machine"
    )
    assert cloud.engine.submit(request) == run
    assert emulator.counts()["CreateWorkflow"] == before + 1


def test_a_run_whose_answer_was_lost_is_found_by_its_name_after_the_settings_changed(cloud: Cloud) -> None:
    request = cloud.request()
    run = cloud.engine.submit(request)
    cloud.settings = replace(cloud.settings, log_level="ERROR")
    assert cloud.engine.submit(request) == run
    assert len(cloud.aws.client("omics").list_runs(name=request.token)["items"]) == 1


def test_a_changed_registry_map_is_another_version(cloud: Cloud) -> None:
    requests = [cloud.request(number=number) for number in (1, 2)]
    cloud.engine.submit(requests[0])
    registries = {"registryMappings": [{"upstreamRegistryUrl": "quay.io", "ecrRepositoryPrefix": "quay"}]}
    cloud.settings = replace(cloud.settings, registry_map=registries)
    again = requests[1].model_copy(update={"workflow": requests[0].workflow, "bundle": requests[0].bundle})
    run = cloud.aws.client("omics").get_run(id=cloud.engine.submit(again).partition("/")[0])
    assert run["workflowVersionName"] != requests[0].workflow.digest[:16]
    version = cloud.aws.client("omics").get_workflow_version(
        workflowId=run["workflowId"], versionName=run["workflowVersionName"]
    )
    assert version["containerRegistryMap"] == registries


def test_a_run_group_and_a_cache_that_were_deleted_are_made_anew(cloud: Cloud) -> None:
    omics, name, place = cloud.aws.client("omics"), f"lab-{cloud.name}", f"s3://{cloud.bucket}/cache/"
    (group, new), (cache, _) = ensure_run_group(cloud.aws, name), ensure_run_cache(cloud.aws, name, place)
    assert new
    assert ensure_run_group(cloud.aws, name) == (group, False)
    assert ensure_run_cache(cloud.aws, name, place) == (cache, False)
    omics.delete_run_group(id=group)
    omics.delete_run_cache(id=cache)
    for made, new in (ensure_run_group(cloud.aws, name), ensure_run_cache(cloud.aws, name, place)):
        assert new
        assert made not in (group, cache)
    assert ensure_run_group(cloud.aws, name)[0] != group


def test_another_version_of_a_definition_is_a_version_of_the_same_workflow(cloud: Cloud) -> None:
    engine = cloud.engine
    runs = [engine.submit(cloud.request(wdl=wdl)) for wdl in (WDL, WDL.replace("echo one", "echo ONE"))]
    omics = cloud.aws.client("omics")
    found = [omics.get_run(id=run.partition("/")[0]) for run in runs]
    assert found[0]["workflowId"] == found[1]["workflowId"]
    assert found[0]["workflowVersionName"] != found[1]["workflowVersionName"]


def test_a_task_that_fails_is_told_with_its_name_and_last_words(cloud: Cloud) -> None:
    status, report = cloud.run({"script": "echo the lid is stuck >&2; exit 3"})
    assert (status.state, report.state) == (RunState.EXECUTOR_ERROR, RunState.EXECUTOR_ERROR)
    assert str(report.failure).startswith("the task say failed (RUN_TASK_FAILED)")
    assert "the lid is stuck" in str(report.failure)
    assert report.files == ()
    assert "the lid is stuck" in str(report.tasks[0].stderr_tail)
    assert "the lid is stuck" in Path(report.logs[0]).read_text()


def test_an_input_that_is_not_there_fails_with_the_hint_and_no_retry(cloud: Cloud) -> None:
    status, report = cloud.run({"given": f"s3://{cloud.bucket}/no/such.txt"})
    assert status.state is RunState.EXECUTOR_ERROR
    assert "no/such.txt" in str(report.failure)


def test_a_cancelled_run_says_so_and_exports_nothing(cloud: Cloud) -> None:
    run = cloud.engine.submit(cloud.request({"script": "sleep 600"}))
    cloud.until(run, lambda status: status.tasks_started == 1)
    with pytest.raises(EngineFailed, match="has not ended"):
        cloud.engine.report(run)
    cloud.engine.cancel(run)
    assert cloud.until(run, lambda status: status.state.terminal).state is RunState.CANCELED
    cloud.engine.cancel(run)
    report = cloud.engine.report(run)
    assert (report.state, report.files) == (RunState.CANCELED, ())


def test_a_run_that_was_deleted_is_not_known_any_more(cloud: Cloud) -> None:
    run = cloud.engine.submit(cloud.request())
    cloud.until(run, lambda status: status.state.terminal)
    cloud.aws.client("omics").delete_run(id=run.partition("/")[0])
    assert cloud.engine.poll([run]) == {}
    with pytest.raises(NotFound):
        cloud.engine.report(run)


def test_parameters_that_do_not_fit_are_refused_in_one_sentence(cloud: Cloud) -> None:
    with pytest.raises((UsageError, RefusedInput), match="nonsense"):
        cloud.engine.submit(cloud.request({"nonsense": 1}))


def test_tasks_from_the_cache_cost_nothing(cloud: Cloud) -> None:
    omics = cloud.aws.client("omics")
    cache = omics.create_run_cache(cacheS3Location=f"s3://{cloud.bucket}/cache/", cacheBehavior="CACHE_ALWAYS")["id"]
    cloud.settings = HealthOmicsSettings(
        role_arn=ROLE, output_uri=cloud.settings.output_uri, download=cloud.settings.download, cache_id=cache
    )
    for cached in (False, True):
        _, report = cloud.run({"script": "echo once"})
        assert [task.cached for task in report.tasks] == [cached]
        assert any(item.what.startswith("task ") for item in report.costs) is not cached
        assert {Path(file.path).read_text() for file in report.files} == {"nothing\n", "one\n", "two\n"}

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated_runs import SAY, SETTINGS, TWO, RunLab, archive, until
from emulated_storage import forget_objects

from labrelay.emulator.run_states import change_run


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, s3_url: str) -> Iterator[RunLab]:
    """An account that works; the tests of this module share it, as runs share a real one."""
    forget_objects(s3_url)
    with RunLab(tmp_path_factory.mktemp("emulated runs"), s3_url).working() as working:
        yield working


@pytest.fixture(scope="module")
def say(lab: RunLab) -> str:
    return lab.workflow(SAY)


def test_a_run_really_runs_and_its_outputs_are_where_healthomics_puts_them(lab: RunLab, say: str) -> None:
    given = lab.put("in/given file.txt", b"from the bucket\n")
    run = lab.run(say, {"given": given}, name="first")
    assert run["status"] == "COMPLETED", run
    base = run["runOutputUri"]
    assert base == f"s3://lab/out/{run['id']}"
    assert lab.read(f"{base}/out/said/said.txt") == b"said\nfrom the bucket\n"
    assert lab.read(f"{base}/out/parts/1/part_2.txt") == b"two\n"
    assert json.loads(lab.read(f"{base}/logs/outputs.json")) == {
        "tiny.said": f"{base}/out/said/said.txt",
        "tiny.parts": [f"{base}/out/parts/0/part_1.txt", f"{base}/out/parts/1/part_2.txt"],
        "tiny.number": 3,
    }
    assert b"workflow start" in lab.read(f"{base}/logs/engine.log")
    etag = lab.s3.head_object(Bucket="lab", Key="in/given file.txt")["ETag"].strip('"')
    assert run["resourceDigests"] == {given: f"etag:{etag}"}
    assert run["creationTime"] <= run["startTime"] <= run["stopTime"]
    assert lab.statuses(run["id"]) == ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"]


def test_a_run_that_has_ended_never_goes_back(lab: RunLab, say: str) -> None:
    run = lab.run(say)
    body = change_run(lab.service, run["id"], run["uuid"], lambda _body: {"status": "RUNNING"})
    assert body is not None
    assert body["status"] == lab.call("GetRun", id=run["id"])["status"] == "COMPLETED"


def test_a_task_is_listed_with_what_it_asked_for_and_the_smallest_instance_that_has_it(lab: RunLab, say: str) -> None:
    run = lab.run(say)
    (task,) = lab.tasks(run["id"])
    assert (task["name"], task["status"], task["cacheHit"]) == ("say", "COMPLETED", False)
    assert (task["cpus"], task["memory"], task["gpus"]) == (2, 6, 0)
    assert task["instanceType"] == "omics.m.large"
    assert task["imageDetails"]["image"] == "quay.io/example/say:1"
    assert task["logStream"].endswith(f"run/{run['id']}/task/{task['taskId']}")
    assert task["creationTime"] <= task["startTime"] <= task["stopTime"] <= run["stopTime"]
    assert "on standard output" in lab.log(f"run/{run['id']}/task/{task['taskId']}")


def test_the_manifest_has_the_run_and_its_tasks_with_what_was_measured(lab: RunLab, say: str) -> None:
    run = lab.run(say, {"script": "python3 -c 'sum(range(10_000_000))'"})
    about, task = map(json.loads, lab.log(f"manifest/run/{run['id']}/{run['uuid']}"))
    assert (about["arn"], about["status"], about["engine"]) == (run["arn"], "COMPLETED", "WDL")
    assert about["metrics"]["runningSeconds"] > task["metrics"]["runningSeconds"] > 0
    assert task["run"] == run["arn"]
    assert 0 < task["metrics"]["cpusAverage"] <= task["metrics"]["cpusReserved"] == 2
    assert 0 < task["metrics"]["memoryMaximumGiB"] < task["metrics"]["memoryReservedGiB"] == 6


def test_a_task_that_fails_fails_its_run_and_says_why(lab: RunLab, say: str) -> None:
    run = lab.run(say, {"script": "echo the lid is stuck >&2; exit 3"})
    assert (run["status"], run["failureReason"]) == ("FAILED", "RUN_TASK_FAILED")
    (task,) = lab.tasks(run["id"])
    assert task["taskId"] in run["statusMessage"]
    assert task["status"] == "FAILED"
    assert "exit status 3" in task["statusMessage"]
    assert "the lid is stuck" in task["statusMessage"]
    assert "the lid is stuck" in lab.log(f"run/{run['id']}/task/{task['taskId']}")
    assert lab.keys(f"out/{run['id']}/") == [f"out/{run['id']}/logs/engine.log"]


def test_a_killed_task_ran_out_of_memory(lab: RunLab, say: str) -> None:
    run = lab.run(say, {"script": "kill -9 $$"})
    assert (run["status"], run["failureReason"]) == ("FAILED", "OUT_OF_MEMORY_ERROR")
    assert lab.tasks(run["id"])[0]["failureReason"] == "OUT_OF_MEMORY_ERROR"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("s3://lab/in/is-not-there.txt", "INPUT_URI_NOT_FOUND"),
        ("s3://no-such-bucket-here/a.txt", "INPUT_URI_NOT_FOUND"),
        ("/etc/passwd", "INVALID_URI_INPUT"),
        ("file:///etc/passwd", "INVALID_URI_INPUT"),
        ("https://example.com/a.txt", "INVALID_URI_INPUT"),
        ("omics://123456789012.storage.us-east-1.amazonaws.com/1234567890/readSet/1234567890", "INPUT_URI_NOT_FOUND"),
    ],
)
def test_an_input_that_cannot_be_had_fails_the_run_before_any_task(
    lab: RunLab, say: str, given: str, reason: str
) -> None:
    run = lab.run(say, {"given": given})
    assert (run["status"], run["failureReason"]) == ("FAILED", reason)
    assert given in run["statusMessage"]
    assert lab.tasks(run["id"]) == []


def test_a_value_of_the_wrong_type_fails_the_workflow(lab: RunLab, say: str) -> None:
    run = lab.run(say, {"script": {"not": "a text"}})
    assert (run["status"], run["failureReason"]) == ("FAILED", "WORKFLOW_RUN_FAILED")


def test_a_bucket_that_is_not_there_fails_the_export(lab: RunLab, say: str) -> None:
    run = lab.run(say, outputUri="s3://bucket-that-is-gone/out")
    assert (run["status"], run["failureReason"]) == ("FAILED", "EXPORT_FAILED")
    assert lab.tasks(run["id"])[0]["status"] == "COMPLETED"


def test_a_task_without_a_container_is_not_started(lab: RunLab) -> None:
    bare = lab.workflow(SAY.replace('container: "quay.io/example/say:1"', ""))
    run = lab.run(bare)
    assert (run["status"], run["failureReason"]) == ("FAILED", "RUN_TASK_FAILED")
    (task,) = lab.tasks(run["id"])
    assert task["failureReason"] == "CANNOT_START_CONTAINER_ERROR"
    assert "no container image" in task["statusMessage"]


def test_a_cwl_workflow_is_kept_and_its_runs_say_that_they_cannot_run(lab: RunLab) -> None:
    zipped = archive("cwlVersion: v1.2\nclass: Workflow\n", "main.cwl")
    run = lab.run(lab.workflow(definitionZip=zipped), {"anything": 1})
    assert (run["status"], run["failureReason"]) == ("FAILED", "WORKFLOW_RUN_FAILED")
    assert "CWL" in run["statusMessage"]


def test_a_cancelled_run_stops_what_it_runs_and_exports_nothing(lab: RunLab, say: str) -> None:
    run = lab.start(say, {"script": "sleep 97.531"})
    until(lambda: lab.tasks(run, status="RUNNING"), bool)
    lab.call("CancelRun", id=run)
    assert lab.call("GetRun", id=run)["status"] in ("STOPPING", "CANCELLED")
    assert lab.wait(run)["status"] == "CANCELLED"
    assert [task["status"] for task in lab.tasks(run)] == ["CANCELLED"]
    assert lab.keys(f"out/{run}/") == []
    assert lab.statuses(run)[-2:] == ["STOPPING", "CANCELLED"]


def test_a_run_that_is_cancelled_in_the_middle_of_its_export_leaves_nothing(
    lab: RunLab, say: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = lab.service.s3.upload_file
    uploaded = []

    def upload_and_cancel(path: str, bucket: str, key: str) -> None:
        upload(path, bucket, key)
        uploaded.append(key)
        lab.call("CancelRun", id=key.split("/")[1])

    monkeypatch.setattr(lab.service.s3, "upload_file", upload_and_cancel)
    run = lab.run(say)
    assert run["status"] == "CANCELLED"
    assert len(uploaded) == 1
    assert lab.keys(f"out/{run['id']}/") == []


def test_a_run_cache_saves_the_work_that_was_done_before(lab: RunLab) -> None:
    pair, given = lab.workflow(TWO), lab.put("in/word.txt", b"abc\n")
    cache = lab.call("CreateRunCache", cacheS3Location="s3://lab/cache", cacheBehavior="CACHE_ALWAYS")["id"]
    first = lab.run(pair, {"given": given, "word": "one"}, cacheId=cache)
    assert first["status"] == "COMPLETED", first
    other = lab.run(pair, {"given": given, "word": "two"}, cacheId=cache)
    assert [(task["name"], task["cacheHit"]) for task in lab.tasks(other["id"])] == [("first", True), ("second", False)]
    same = lab.run(pair, {"given": given, "word": "one"}, cacheId=cache)
    assert {task["cacheHit"] for task in lab.tasks(same["id"])} == {True}
    assert lab.read(f"{same['runOutputUri']}/out/result/result.txt") == b"ABC\none\n"
    lab.put("in/word.txt", b"changed\n")
    anew = lab.run(pair, {"given": given, "word": "one"}, cacheId=cache)
    assert {task["cacheHit"] for task in lab.tasks(anew["id"])} == {False}
    assert lab.read(f"{anew['runOutputUri']}/out/result/result.txt") == b"CHANGED\none\n"


def test_a_run_cache_knows_inputs_again_that_were_removed_meanwhile(tmp_path: Path, s3_url: str) -> None:
    with RunLab(tmp_path, s3_url, settings=f"{SETTINGS}staged_gib = 0\n").working() as lab:
        pair, given = lab.workflow(TWO), lab.put("in/word.txt", b"abc\n")
        cache = lab.call("CreateRunCache", cacheS3Location="s3://lab/cache", cacheBehavior="CACHE_ALWAYS")["id"]
        for cached in (False, True):
            run = lab.run(pair, {"given": given}, cacheId=cache)
            assert run["status"] == "COMPLETED", run
            assert {task["cacheHit"] for task in lab.tasks(run["id"])} == {cached}
            until(lambda: list((tmp_path / "staged").iterdir()), lambda left: not left, 10)


def test_a_cache_on_failure_keeps_what_a_failed_run_may_go_on_from(lab: RunLab) -> None:
    pair, given = lab.workflow(TWO.replace("echo '~{word}'", "~{word}")), lab.put("in/other.txt", b"abc\n")
    cache = lab.call("CreateRunCache", cacheS3Location="s3://lab/cache", cacheBehavior="CACHE_ON_FAILURE")["id"]
    hits = []
    for word, status in (
        ("exit 3", "FAILED"),
        ("echo a", "COMPLETED"),
        ("echo b", "COMPLETED"),
        ("echo a", "COMPLETED"),
    ):
        run = lab.run(pair, {"given": given, "word": word}, cacheId=cache)
        assert run["status"] == status, run
        hits.append([task["cacheHit"] for task in lab.tasks(run["id"])])
    assert hits == [[False, False], [True, False], [True, False], [True, False]]
    lab.call("DeleteRunCache", id=cache)
    assert list((lab.folder / "engine" / "work").glob(f"cache{cache}.*")) == []


def test_a_run_of_dynamic_storage_says_afterwards_what_it_took(lab: RunLab, say: str) -> None:
    assert lab.run(say, storageType="DYNAMIC")["storageCapacity"] == 1


def test_a_folder_of_objects_is_an_input_too(lab: RunLab) -> None:
    wdl = """version development
workflow many { input { Directory given } call count { input: given } output { File listed = count.listed } }
task count {
  input { Directory given }
  command <<< (cd '~{given}'; find . -type f | sort; cat sub/b.txt) > listed.txt >>>
  output { File listed = "listed.txt" }
  runtime { container: "quay.io/example/say:1"  cpu: 1  memory: "1 GB" }
}
"""
    for key in ("folder/a.txt", "folder/sub/b.txt", "folder-not/c.txt"):
        lab.put(f"in/{key}", key.encode())
    run = lab.run(lab.workflow(wdl), {"given": "s3://lab/in/folder/"})
    assert run["status"] == "COMPLETED", run
    assert lab.read(f"{run['runOutputUri']}/out/listed/listed.txt") == b"./a.txt\n./sub/b.txt\nfolder/sub/b.txt"
    assert set(run["resourceDigests"]) == {"s3://lab/in/folder/a.txt", "s3://lab/in/folder/sub/b.txt"}


def test_a_run_group_holds_runs_back_and_lets_the_most_urgent_in_first(lab: RunLab, say: str) -> None:
    group = lab.call("CreateRunGroup", name="one at a time", maxRuns=1)["id"]
    held = lab.start(say, {"script": "sleep 2"}, runGroupId=group)
    lab.wait(held, "RUNNING")
    later = lab.start(say, runGroupId=group, priority=1)
    urgent = lab.start(say, runGroupId=group, priority=5)
    free = lab.run(say)
    assert lab.call("GetRun", id=later)["status"] == "PENDING"
    assert free["status"] == "COMPLETED"
    ended = {run: lab.wait(run) for run in (held, urgent, later)}
    assert {run["status"] for run in ended.values()} == {"COMPLETED"}
    assert ended[held]["stopTime"] <= ended[urgent]["startTime"]
    assert ended[urgent]["stopTime"] <= ended[later]["startTime"]

"""Jobs of AWS Batch really run, and go the way that Batch says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from emulated_batch import CONTAINED, RESOURCES, BatchLab, processes_of, serving, times
from emulated_runs import until


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchLab]:
    with serving(tmp_path_factory.mktemp("batch") / "data") as made:
        made.furnish()
        yield made


def test_a_job_runs_and_says_how_it_ended(lab: BatchLab) -> None:
    job = lab.run("echo on standard output; echo and error >&2; printf 'no end of line'")
    assert (job["status"], job["statusReason"]) == ("SUCCEEDED", "Essential container in task exited")
    assert job["container"]["exitCode"] == 0
    assert lab.said(job) == ["on standard output", "and error", "no end of line"]
    [attempt] = job["attempts"]
    assert attempt["container"]["logStreamName"] == job["container"]["logStreamName"]
    assert job["container"]["logStreamName"].startswith("shell/default/")
    now = time.time() * 1000
    assert now - 60_000 < job["createdAt"] <= job["startedAt"] <= job["stoppedAt"] <= now


def test_every_change_of_state_is_told_with_the_job_as_it_is_described(lab: BatchLab) -> None:
    job = lab.run("exit 3")
    states = ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "FAILED"]
    until(lambda: lab.told(job["jobId"]), lambda told: told == states)
    kind, about, detail, source = [event for event in lab.events if event[2]["jobId"] == job["jobId"]][-1]
    assert (kind, about, source) == ("Batch Job State Change", [job["jobArn"]], "aws.batch")
    assert detail == job
    assert job["container"]["exitCode"] == 3


def test_what_a_job_says_can_be_read_while_it_runs(lab: BatchLab) -> None:
    key = lab.submit("echo begun; sleep 30")
    job = lab.wait(key, "RUNNING")
    until(lambda: lab.said(lab.job(key)), lambda said: said == ["begun"]) if "logStreamName" in job[
        "container"
    ] else None
    lab.batch.terminate_job(jobId=key, reason="enough")
    assert lab.wait(key)["statusReason"] == "enough"


def test_a_line_that_is_longer_than_an_event_is_told_in_parts_and_no_byte_breaks_the_log(lab: BatchLab) -> None:
    lab.define("long", ["python", "-c", "import os; os.write(1, b'x' * 300_000); os.write(2, b'\\xff\\n\\nend')"])
    said = lab.said(lab.wait(lab.submit(jobDefinition="long")))
    assert [len(line) for line in said] == [1 << 18, 300_000 - (1 << 18) + 1, 0, 3]
    assert said[1].endswith("x\ufffd")


def test_a_failure_goes_along_a_chain_of_a_thousand_at_once(lab: BatchLab) -> None:
    begun = time.monotonic()
    key = lab.submit("exit 1", arrayProperties={"size": 1000}, dependsOn=[{"type": "SEQUENTIAL"}])
    summary = lab.wait(key)["arrayProperties"]["statusSummary"]
    assert summary["FAILED"] == 1000
    assert time.monotonic() - begun < 10


def test_a_hundred_jobs_are_described_at_once(lab: BatchLab) -> None:
    key = lab.submit(arrayProperties={"size": 100}, dependsOn=[{"jobId": lab.submit("sleep 2")}])
    lab.wait(key, "PENDING")
    ids = [f"{key}:{index}" for index in range(100)]
    until(lambda: len(lab.batch.describe_jobs(jobs=ids)["jobs"]), lambda count: count == 100)
    begun = time.monotonic()
    lab.batch.describe_jobs(jobs=ids)
    assert time.monotonic() - begun < 1  # some 30 ms on a quiet machine
    lab.batch.terminate_job(jobId=key, reason="enough")


def test_a_job_sees_its_own_variables_and_nothing_of_the_emulators(
    lab: BatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_EMULATOR", "1")
    lab.define("vars", ["env"], environment=[{"name": "A", "value": "of the definition"}, {"name": "B", "value": "b"}])
    override = {"environment": [{"name": "A", "value": "of the job"}]}
    job = lab.wait(lab.submit(jobDefinition="vars", containerOverrides=override))
    found = dict(line.partition("=")[::2] for line in lab.said(job))
    assert (found["A"], found["B"]) == ("of the job", "b")
    assert found["AWS_BATCH_JOB_ID"] == job["jobId"]
    assert (found["AWS_BATCH_JOB_ATTEMPT"], found["AWS_BATCH_JQ_NAME"], found["AWS_BATCH_CE_NAME"]) == (
        "1",
        "main",
        "all",
    )
    assert found["AWS_ENDPOINT_URL"] == lab.endpoint
    assert not {"AWS_BATCH_JOB_ARRAY_INDEX", "SECRET_OF_THE_EMULATOR"} & found.keys()


def test_a_jobs_python_is_that_of_the_emulator_and_finds_its_packages(lab: BatchLab) -> None:
    lab.define("python", ["python", "-c", "import labrelay, boto3; print('there')"])
    assert lab.said(lab.wait(lab.submit(jobDefinition="python"))) == ["there"]


def test_a_terminated_job_leaves_no_process_even_if_it_does_not_listen(lab: BatchLab) -> None:
    key = lab.submit("trap '' TERM; (trap '' TERM; sleep 100)& setsid sleep 100 & sleep 100; sleep 100")
    until(lambda: processes_of(key), lambda found: len(found) >= 3)
    lab.batch.terminate_job(jobId=key, reason="not needed any more")
    job = lab.wait(key)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "not needed any more", True)
    assert processes_of(key) == []


def test_a_terminated_job_may_clear_up_first(lab: BatchLab) -> None:
    key = lab.submit("trap 'echo clearing up; exit 4' TERM; echo ready; while :; do sleep 0.05; done")
    lab.wait(key, "RUNNING")
    until(lambda: any("ready" in path.read_text() for path in lab.folder.rglob("shell/default/*.jsonl")), bool)
    time.sleep(0.1)
    lab.batch.terminate_job(jobId=key, reason="stop")
    job = lab.wait(key)
    assert (job["container"]["exitCode"], lab.said(job)[-1]) == (4, "clearing up")


def test_a_job_that_waits_is_cancelled_and_one_that_runs_is_not(lab: BatchLab) -> None:
    running = lab.submit("sleep 1")
    waiting = lab.submit("true", dependsOn=[{"jobId": running}])
    lab.wait(running, "RUNNING")
    assert lab.wait(waiting, "PENDING")["status"] == "PENDING"
    for key in (waiting, running):
        lab.batch.cancel_job(jobId=key, reason="changed my mind")
    job = lab.wait(waiting)
    assert (job["status"], job["statusReason"], job["isCancelled"]) == ("FAILED", "changed my mind", True)
    assert "startedAt" not in job
    assert lab.wait(running)["status"] == "SUCCEEDED"


def test_a_failed_dependency_fails_what_waits_for_it_and_what_waits_for_that(lab: BatchLab) -> None:
    first = lab.submit("exit 1")
    second = lab.submit("true", dependsOn=[{"jobId": first}])
    third = lab.submit("true", dependsOn=[{"jobId": second}])
    job = lab.wait(third)
    assert (job["status"], job["statusReason"], job["attempts"]) == ("FAILED", "Dependent Job failed", [])


def test_a_job_starts_when_all_that_it_waits_for_has_succeeded(lab: BatchLab) -> None:
    first, second = lab.submit("sleep 0.3"), lab.submit("true")
    third = lab.wait(lab.submit("true", dependsOn=[{"jobId": first}, {"jobId": second}]))
    assert third["status"] == "SUCCEEDED"
    assert third["startedAt"] >= max(lab.job(key)["stoppedAt"] for key in (first, second))


def test_an_array_job_ends_with_its_children_each_with_its_index(lab: BatchLab) -> None:
    key = lab.submit("echo $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE", arrayProperties={"size": 3})
    parent = lab.wait(key)
    assert (parent["status"], parent["arrayProperties"]["statusSummary"]["SUCCEEDED"]) == ("SUCCEEDED", 3)
    children = lab.batch.describe_jobs(jobs=[f"{key}:{n}" for n in range(3)])["jobs"]
    assert [lab.said(child) for child in children] == [["0 of 3"], ["1 of 3"], ["2 of 3"]]
    assert [child["arrayProperties"]["index"] for child in children] == [0, 1, 2]
    assert lab.told(f"{key}:2") == ["RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED"]
    assert lab.told(key) == ["SUBMITTED", "PENDING", "SUCCEEDED"]


def test_an_array_job_with_a_failed_child_is_failed_when_the_others_have_ended(lab: BatchLab) -> None:
    key = lab.submit("test $AWS_BATCH_JOB_ARRAY_INDEX != 1", arrayProperties={"size": 3})
    parent = lab.wait(key)
    summary = parent["arrayProperties"]["statusSummary"]
    assert (parent["status"], summary["SUCCEEDED"], summary["FAILED"]) == ("FAILED", 2, 1)


def test_children_of_a_sequential_array_run_one_after_the_other(lab: BatchLab) -> None:
    key = lab.submit("sleep 0.05", arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}])
    lab.wait(key)
    spans = [times(lab.job(f"{key}:{n}")) for n in range(3)]
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_children_n_to_n_wait_for_their_own_counterpart_alone(lab: BatchLab) -> None:
    first = lab.submit("test $AWS_BATCH_JOB_ARRAY_INDEX != 0", arrayProperties={"size": 2})
    second = lab.submit("true", arrayProperties={"size": 2}, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    assert lab.wait(second)["status"] == "FAILED"
    assert [lab.job(f"{second}:{n}")["status"] for n in range(2)] == ["FAILED", "SUCCEEDED"]


def test_terminating_an_array_job_ends_all_its_children(lab: BatchLab) -> None:
    key = lab.submit("sleep 100", arrayProperties={"size": 4})
    lab.wait(f"{key}:0", "RUNNING")
    lab.batch.terminate_job(jobId=key, reason="enough")
    parent = lab.wait(key)
    assert (parent["status"], parent["statusReason"]) == ("FAILED", "enough")
    assert {lab.job(f"{key}:{n}")["statusReason"] for n in range(4)} == {"enough"}
    assert [processes_of(f"{key}:{n}") for n in range(4)] == [[], [], [], []]


def test_a_failed_attempt_is_followed_by_another_and_each_is_told_of(lab: BatchLab) -> None:
    job = lab.run("test $AWS_BATCH_JOB_ATTEMPT = 3", retryStrategy={"attempts": 5})
    assert job["status"] == "SUCCEEDED"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [1, 1, 0]
    assert len({attempt["container"]["logStreamName"] for attempt in job["attempts"]}) == 3


def test_a_condition_of_the_retry_strategy_decides_by_the_exit_code(lab: BatchLab) -> None:
    conditions = [{"onExitCode": "7*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    strategy = {"attempts": 3, "evaluateOnExit": conditions}
    assert len(lab.run("exit 75", retryStrategy=strategy)["attempts"]) == 3
    assert len(lab.run("exit 1", retryStrategy=strategy)["attempts"]) == 1


def test_an_image_that_nothing_starts_fails_its_job_with_the_reason(tmp_path: Path) -> None:
    settings = '[images]\n"quay.io/*" = "local"\n[batch]\nsandbox = "host"\n'
    with serving(tmp_path / "data", settings) as lab:
        lab.furnish()
        job = lab.run("true")
        assert job["status"] == "FAILED"
        assert job["statusReason"].startswith("CannotPullContainerError: busybox:")


def test_a_job_that_changes_more_of_its_definition_than_ecs_takes_fails_with_the_reason(lab: BatchLab) -> None:
    lab.define("taken", ["sh", "-c", f"echo {'x' * 9000}"])
    assert lab.wait(lab.submit(jobDefinition="taken"))["status"] == "SUCCEEDED"
    job = lab.run(f"echo {'x' * 8192}")
    assert (job["status"], job["statusReason"]) == ("FAILED", "Container Overrides length must be at most 8192")
    assert lab.run(f"echo {'x' * 7000}")["status"] == "SUCCEEDED"


def test_a_program_that_is_not_there_fails_its_job_with_the_reason(lab: BatchLab) -> None:
    lab.define("none", ["no-such-program"])
    job = lab.wait(lab.submit(jobDefinition="none"))
    assert job["statusReason"].startswith('CannotStartContainerError: exec: "no-such-program"')


def test_a_higher_priority_goes_first_and_vcpus_limit_what_runs(lab: BatchLab) -> None:
    lab.queue("urgent", priority=10)
    wide = {"resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "4096"}]}
    blocking = lab.submit("sleep 0.7", containerOverrides=wide)
    lab.wait(blocking, "RUNNING")
    later = lab.submit("sleep 0.1", containerOverrides=wide)
    urgent = lab.submit("sleep 0.1", containerOverrides=wide, jobQueue="urgent")
    spans = [times(lab.wait(key)) for key in (blocking, urgent, later)]
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_a_compute_environment_bounds_its_own_vcpus_and_the_next_of_the_queue_takes_the_rest(lab: BatchLab) -> None:
    for name in ("narrow", "second"):
        resources = {**RESOURCES, "maxvCpus": 1}
        lab.batch.create_compute_environment(computeEnvironmentName=name, type="MANAGED", computeResources=resources)
    order = [{"order": 2, "computeEnvironment": "second"}, {"order": 1, "computeEnvironment": "narrow"}]
    lab.queue("narrow", priority=5, computeEnvironmentOrder=order[1:])
    lab.queue("both", priority=5, computeEnvironmentOrder=order)
    one, two = (lab.submit("sleep 0.2", jobQueue="narrow") for _ in range(2))
    assert times(lab.wait(one))[1] <= times(lab.wait(two))[0]
    jobs = [lab.submit("echo $AWS_BATCH_CE_NAME; sleep 0.5", jobQueue="both") for _ in range(2)]
    assert [lab.said(lab.wait(key)) for key in jobs] == [["narrow"], ["second"]]


def test_cancelling_an_array_job_ends_what_has_not_started_and_leaves_what_runs(lab: BatchLab, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    key = lab.submit(f"until [ -e {go_on} ]; do sleep 0.05; done", arrayProperties={"size": 4})
    for index in (0, 1):
        lab.wait(f"{key}:{index}", "RUNNING")
    lab.batch.cancel_job(jobId=key, reason="no more")
    go_on.touch()
    assert lab.wait(key)["statusReason"] == "no more"
    assert [lab.job(f"{key}:{n}")["status"] for n in range(4)] == ["SUCCEEDED", "SUCCEEDED", "FAILED", "FAILED"]


def test_a_job_that_can_never_fit_stays_runnable_with_the_reason_and_holds_up_nobody(lab: BatchLab) -> None:
    huge = {"resourceRequirements": [{"type": "VCPU", "value": "64"}]}
    key = lab.submit("true", containerOverrides=huge)
    assert lab.run("true")["status"] == "SUCCEEDED"
    job = lab.job(key)
    assert job["status"] == "RUNNABLE"
    assert job["statusReason"].startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    lab.batch.terminate_job(jobId=key, reason="too large")


@pytest.mark.skipif(not CONTAINED, reason="bubblewrap does not work here")
def test_a_contained_job_sees_file_systems_that_are_kept_and_a_folder_of_its_own(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    volumes = [
        {"name": "efs", "efsVolumeConfiguration": {"fileSystemId": "fs-12ab", "rootDirectory": "/runs"}},
        {"name": "host", "host": {"sourcePath": str(given)}},
    ]
    mounts = [
        {"sourceVolume": "efs", "containerPath": "/mnt/efs"},
        {"sourceVolume": "host", "containerPath": "/given", "readOnly": True},
    ]
    script = "cat /mnt/efs/kept; echo kept > /mnt/efs/kept; touch /given/x || echo read-only; ls -A .; touch here"
    with serving(tmp_path / "data", SETTINGS_CONTAINED) as lab:
        lab.furnish()
        lab.define("mounts", ["sh", "-c", script], volumes=volumes, mountPoints=mounts)
        lab.wait(lab.submit(jobDefinition="mounts"))
        said = lab.said(lab.wait(lab.submit(jobDefinition="mounts")))
    assert said[0] == "kept"
    assert said[-1] == "read-only"  # and nothing after it: the folder of the first job went with it
    assert (tmp_path / "data" / "efs" / "fs-12ab" / "runs" / "kept").read_text() == "kept\n"


@pytest.mark.skipif(not CONTAINED, reason="bubblewrap does not work here")
def test_a_contained_job_reaches_the_emulator_and_is_stopped_with_its_grace(tmp_path: Path) -> None:
    # On EC2 Batch tells a job no region, and so does the emulator.
    ask = "import boto3; print(len(boto3.client('batch', 'us-east-1').describe_job_queues()['jobQueues']))"
    with serving(tmp_path / "data", SETTINGS_CONTAINED) as lab:
        lab.furnish()
        lab.define("ask", ["python", "-c", ask])
        assert lab.said(lab.wait(lab.submit(jobDefinition="ask"))) == ["1"]
        key = lab.submit("trap 'echo clearing up; exit 4' TERM; echo ready; while :; do sleep 0.05; done")
        until(lambda: any("ready" in path.read_text() for path in lab.folder.rglob("shell/default/*.jsonl")), bool)
        time.sleep(0.1)
        lab.batch.terminate_job(jobId=key, reason="stop")
        job = lab.wait(key)
        assert (job["container"]["exitCode"], lab.said(job)[-1]) == (4, "clearing up")


def test_without_a_sandbox_a_mount_that_cannot_be_had_fails_its_job(lab: BatchLab) -> None:
    volumes = [{"name": "efs", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]
    mounts = [{"sourceVolume": "efs", "containerPath": "/mnt/efs"}]
    lab.define("mounts", ["true"], volumes=volumes, mountPoints=mounts)
    job = lab.wait(lab.submit(jobDefinition="mounts"))
    assert job["status"] == "FAILED"
    assert "cannot be seen at /mnt/efs" in job["statusReason"]


def test_a_job_that_takes_too_long_is_stopped_and_not_tried_again(
    lab: BatchLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labrelay.emulator.batch.retries.LEAST_TIMEOUT", 1)
    job = lab.run("sleep 100", timeout={"attemptDurationSeconds": 1}, retryStrategy={"attempts": 3})
    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert len(job["attempts"]) == 1
    assert processes_of(job["jobId"]) == []


SETTINGS_CONTAINED = '[batch]\nvcpus = 2\nsandbox = "bwrap"\ngrace_seconds = 3\n'

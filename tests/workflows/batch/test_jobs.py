"""Runs as jobs that really run: a command, WDL and Nextflow, arrays, lost hosts, cancelled and failed ones."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import pytest
from emulated import Emulated

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.runs import RunReport
from labrelay.model.states import RunState
from tests.workflows.conftest import ECHO, eventually, processes_with

from .fleet import Fleet


def texts(report: RunReport) -> list[str]:
    return [Path(file.path).read_text() for file in report.files]


def test_a_command_runs_as_a_job_and_its_outputs_come_home(fleet: Fleet) -> None:
    request = fleet.say("hello")
    run = fleet.engine.submit(request)
    status, report = fleet.end_of(run)
    assert status.state is RunState.COMPLETE, status.message
    assert texts(report) == ["hello"]
    assert all(Path(file.path).is_relative_to(fleet.settings.download) for file in report.files)
    assert report.sandbox is not None
    assert "container labrelay:test" in report.sandbox
    (task,) = report.tasks
    assert task.inputs["given"] == request.inputs["given"], "the record names an input as it was asked for"
    assert [cost.unit for cost in report.costs] == ["vCPU h", "GiB h"]
    job = fleet.job(run)
    assert job["jobName"] == fleet.name_of(request)
    assert job["tags"]["labrelay:run"] == request.run_id
    assert fleet.engine.report(run) == report, "asking again tells the same"


def test_wdl_runs_inside_its_job(fleet: Fleet) -> None:
    run = fleet.engine.submit(fleet.request({"main.wdl": ECHO}, {"tiny.word": "a"}, "WDL"))
    status, report = fleet.end_of(run)
    assert status.state is RunState.COMPLETE, status.message
    assert sorted(texts(report)) == ["a\n", "one\n", "two\n"]
    assert report.values == {"length": 1}
    assert report.engine.startswith("miniwdl ")


def test_many_runs_are_one_array_job_each_with_its_own_outcome(fleet: Fleet, emulator: Emulated) -> None:
    first = fleet.say("one")
    requests = [
        first,
        *(
            request.model_copy(update={"workflow": first.workflow, "bundle": first.bundle})
            for request in (fleet.say("two"), fleet.say("three"))
        ),
    ]
    before = emulator.counts().get("batch:SubmitJob", 0)
    runs = [str(run) for run in fleet.engine.submit_all(requests)]
    assert emulator.counts()["batch:SubmitJob"] == before + 1
    assert [run.partition("/")[0].partition(":")[2] for run in runs] == ["0", "1", "2"]
    assert [texts(fleet.end_of(run)[1]) for run in runs] == [["one"], ["two"], ["three"]]
    assert fleet.engine.submit_all(requests) == runs, "the same tokens are the same jobs"


def test_a_run_that_fails_says_why_and_is_not_tried_again(fleet: Fleet) -> None:
    run = fleet.engine.submit(fleet.say(script="echo the disk is on fire >&2; exit 3"))
    status, report = fleet.end_of(run)
    assert status.state is RunState.EXECUTOR_ERROR
    assert "the disk is on fire" in str(report.failure)
    assert any("fire" in Path(path).read_text() for path in report.logs)
    assert len(fleet.job(run)["attempts"]) == 1


def test_a_lost_host_costs_an_attempt_of_the_job_and_no_finished_task(fleet: Fleet, emulator: Emulated) -> None:
    system = f"fs-{secrets.token_hex(8)}"
    fleet.with_settings(file_system=system)
    wdl = """version 1.0
workflow tiny { call first  call second { input: after = first.made }  output { File made = second.made } }
task first { command <<< date +%s%N > made.txt >>>  output { File made = "made.txt" } }
task second {
  input { File after }
  command <<< cp "~{after}" made.txt; until [ -e /labrelay-work/gate ]; do sleep 0.1; done >>>
  output { File made = "made.txt" }
}
"""
    request = fleet.request({"main.wdl": wdl}, {}, "WDL")
    run = fleet.engine.submit(request)
    fleet.until(run, lambda status: status.tasks_started == 2)
    assert emulator.lose_host(run.partition("/")[0])
    (emulator.folder / "efs" / system / "gate").touch()
    status, report = fleet.end_of(run)
    assert status.state is RunState.COMPLETE, status.message
    assert [attempt["statusReason"].partition(" (")[0] for attempt in fleet.job(run)["attempts"]][:1] == ["Host EC2"]
    assert len(fleet.job(run)["attempts"]) == 2
    assert {task.name: task.cached for task in report.tasks} == {"first": True, "second": False}


def test_a_cancelled_job_stops_and_leaves_nothing_running(fleet: Fleet) -> None:
    run = fleet.engine.submit(fleet.say(script="sleep 987"))
    fleet.until(run, lambda status: status.state is RunState.RUNNING)
    assert eventually(lambda: bool(processes_with("sleep 987")), 60)
    fleet.engine.cancel(run)
    status, report = fleet.end_of(run)
    assert (status.state, report.state) == (RunState.CANCELED, RunState.CANCELED)
    assert eventually(lambda: not processes_with("sleep 987"))


def test_a_disabled_queue_is_told_as_that_and_takes_the_run_when_it_is_enabled(fleet: Fleet) -> None:
    queue = fleet.settings.queues["normal"]
    fleet.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    request = fleet.say()
    with pytest.raises(UsageError, match=rf"job queue {queue} takes no jobs \(DISABLED, VALID\): enable it"):
        fleet.engine.submit(request)
    fleet.batch.update_job_queue(jobQueue=queue, state="ENABLED")
    assert fleet.end_of(fleet.engine.submit(request))[0].state is RunState.COMPLETE


def test_a_job_definition_is_registered_once_and_anew_when_it_is_gone(fleet: Fleet) -> None:
    engine = fleet.engine
    first = engine.submit(fleet.say())
    arn = fleet.job(first)["jobDefinition"]
    assert fleet.job(fleet.engine.submit(fleet.say()))["jobDefinition"] == arn
    fleet.batch.deregister_job_definition(jobDefinition=arn)
    again = engine.submit(fleet.say())
    assert fleet.job(again)["jobDefinition"] not in ("", arn)
    assert fleet.end_of(again)[0].state is RunState.COMPLETE


def test_an_image_without_labrelay_is_told_as_that(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.workflows.batch.job_definition.PROGRAM", ["true", "Ref::order"])
    status, report = fleet.end_of(fleet.engine.submit(fleet.say()))
    assert status.state is RunState.EXECUTOR_ERROR
    assert "none with Labrelay in it" in str(status.message)
    assert report.state is RunState.EXECUTOR_ERROR


def test_an_input_that_is_not_there_fails_the_run_with_its_name(fleet: Fleet) -> None:
    request = fleet.say()
    missing = f"s3://{fleet.bucket}/no/such/file.txt"
    run = fleet.engine.submit(request.model_copy(update={"inputs": {"given": missing}}))
    status, report = fleet.end_of(run)
    assert status.state is RunState.EXECUTOR_ERROR
    assert "file.txt" in str(report.failure)


def test_a_job_that_batch_has_forgotten_is_known_by_its_report(fleet: Fleet) -> None:
    request = fleet.say("kept")
    run = fleet.engine.submit(request)
    assert fleet.end_of(run)[0].state is RunState.COMPLETE
    aged = f"00000000-0000-0000-0000-000000000000/{request.token}"
    assert fleet.engine.poll([aged])[aged].state is RunState.COMPLETE
    assert texts(fleet.engine.report(aged)) == ["kept"]
    unknown = f"00000000-0000-0000-0000-000000000000/{'0' * 40}-1"
    assert fleet.engine.poll([unknown]) == {}
    with pytest.raises(NotFound, match="does not know the job"):
        fleet.engine.report(unknown)


def test_a_run_whose_queue_was_a_wrong_one_starts_when_that_is_mended(fleet: Fleet) -> None:
    request, right = fleet.say("late"), fleet.settings.queues
    fleet.with_settings(queues=dict.fromkeys(right, "nowhere"))
    with pytest.raises(NotFound, match="no job queue nowhere"):
        fleet.engine.submit(request)
    fleet.with_settings(queues=right)
    assert fleet.end_of(fleet.engine.submit(request))[0].state is RunState.COMPLETE


def test_a_run_that_batch_has_not_taken_is_cancelled_for_all_jobs_that_may_come(fleet: Fleet) -> None:
    request = fleet.say("never")
    with pytest.raises(NotFound, match="none will"):
        fleet.engine.cancel(request.token)
    run = fleet.engine.submit(request)  # as a process that did not hear of it
    fleet.until(run, lambda status: status.state.terminal)
    assert fleet.left(request) == []


def test_an_output_that_is_a_link_comes_home(fleet: Fleet) -> None:
    run = fleet.engine.submit(fleet.say("real", script="mv said.txt real.txt; ln -s real.txt said.txt"))
    status, report = fleet.end_of(run)
    assert status.state is RunState.COMPLETE, status.message
    assert texts(report) == ["real"]


def test_progress_that_cannot_be_written_harms_no_run(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys
from labrelay.model.errors import StorageFailed
from labrelay.workflows.batch import job
from labrelay.workflows.batch.orders import Orders
def refuse(self, token, progress):
    raise StorageFailed("slow down")
Orders.write_progress = refuse
sys.exit(job.main(sys.argv[1:]))
"""
    program = ["python", "-c", code, "Ref::order"]
    monkeypatch.setattr("labrelay.workflows.batch.job_definition.PROGRAM", program)
    assert fleet.end_of(fleet.engine.submit(fleet.say()))[0].state is RunState.COMPLETE


def test_an_error_of_our_own_in_a_job_is_not_the_workflows_fault(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys
from labrelay.workflows.batch import job
job.Doing.do = lambda self: 1 / 0
sys.exit(job.main(sys.argv[1:]))
"""
    program = ["python", "-c", code, "Ref::order"]
    monkeypatch.setattr("labrelay.workflows.batch.job_definition.PROGRAM", program)
    assert fleet.end_of(fleet.engine.submit(fleet.say()))[0].state is RunState.SYSTEM_ERROR


def test_a_run_is_settled_by_the_place_that_its_job_was_given_whatever_the_settings_say_now(fleet: Fleet) -> None:
    run = fleet.engine.submit(fleet.say("kept"))
    fleet.with_settings(work_uri=f"s3://{fleet.bucket}/other/batch", image="labrelay:other")
    status, report = fleet.end_of(run)
    assert status.state is RunState.COMPLETE, status.message
    assert texts(report) == ["kept"]
    assert "container labrelay:test" in str(report.sandbox), "the image is that of the job, not of the settings"


def test_two_homes_with_one_queue_and_other_places_do_not_take_each_others_jobs(fleet: Fleet) -> None:
    request = fleet.say("mine")
    run = fleet.engine.submit(request)
    fleet.with_settings(work_uri=f"s3://{fleet.bucket}/other/batch")
    assert fleet.engine.submit(request) != run


def test_what_cannot_ever_start_says_why_it_waits(fleet: Fleet) -> None:
    run = fleet.engine.submit(fleet.say(cpus=64))  # the compute environment has sixteen
    status = fleet.until(run, lambda status: status.message is not None)
    assert status.state is RunState.QUEUED
    assert "MISCONFIGURATION" in str(status.message)
    fleet.engine.cancel(run)


def test_one_input_that_cannot_be_read_stops_no_other_run(fleet: Fleet) -> None:
    bad, good = fleet.say("bad"), fleet.say("good")
    gone = bad.model_copy(update={"inputs": {"given": str(fleet.home / "nowhere.txt")}})
    answers = fleet.engine.submit_all([gone, good])
    assert "nowhere.txt is not there" in str(answers[0])
    assert fleet.end_of(str(answers[1]))[0].state is RunState.COMPLETE


def test_a_job_that_is_told_to_end_while_it_brings_its_inputs_ends_at_once(fleet: Fleet, emulator: Emulated) -> None:
    code = """
import sys, time
from labrelay.workflows.batch import job
job.Bringer.bring = lambda *_: time.sleep(300)
sys.exit(job.main(sys.argv[1:]))
"""
    program = ["python", "-c", code, "Ref::order"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labrelay.workflows.batch.job_definition.PROGRAM", program)
        run = fleet.engine.submit(fleet.say())
    assert eventually(lambda: "owner.json" in " ".join(fleet.keys()), 60)
    began = time.monotonic()
    fleet.engine.cancel(run)
    assert fleet.end_of(run)[0].state is RunState.CANCELED
    assert time.monotonic() - began < 10
    assert [attempt["container"]["exitCode"] for attempt in fleet.job(run)["attempts"]] == [143]

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from labrelay.model.errors import EngineFailed, NotFound
from labrelay.model.states import RunState
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.home import EngineHome

from .conftest import ECHO, HEAD, Lab, eventually, one_task


def test_a_small_workflow_runs_in_each_sandbox_and_its_report_says_what_happened(
    make_lab: Callable[..., Lab], sandbox: str, fork_from: int, tmp_path: Path
) -> None:
    lab = make_lab(sandbox, fork_from=fork_from)
    given = tmp_path / "given.txt"
    given.write_text("from outside\n")
    status, report = lab.run(ECHO, {"tiny.word": "hello", "tiny.given": str(given)})
    assert status.state is RunState.COMPLETE, status
    assert (status.tasks_started, status.tasks_done) == (1, 1)
    files = {(f.output, f.index): f for f in report.files}
    assert Path(files["said", 0].path).read_text() == "hello\nfrom outside\n"
    assert [Path(files["parts", n].path).name for n in (0, 1)] == ["part_1.txt", "part_2.txt"]
    assert files["said", 0].task == "say"
    assert report.values == {"length": 2}
    assert report.engine.startswith("miniwdl 1.")
    name = {"host": "host processes", "bwrap": "bubblewrap"}[sandbox]
    assert report.sandbox == name
    (task,) = report.tasks
    assert (task.name, task.state, task.exit_code, task.cached) == ("say", RunState.COMPLETE, 0, False)
    assert (task.declared_image, task.ran_in, task.cpus) == ("quay.io/example/say:1", name, 1)
    assert task.memory_bytes == 100_000_000
    assert task.started is not None
    assert task.ended is not None
    assert task.started <= task.ended
    assert task.cpu_seconds is not None
    assert task.cpu_seconds < 5
    assert task.peak_memory_bytes is not None
    assert task.peak_memory_bytes > 500_000
    assert task.outputs["length"] == 2
    assert 'echo "hello"' in (task.command or "")


def test_a_task_cannot_change_its_input(make_lab: Callable[..., Lab], sandbox: str, tmp_path: Path) -> None:
    given = tmp_path / "given.txt"
    given.write_text("precious\n")
    wdl = HEAD + (
        "workflow tiny { input { File given } call work { input: given } output { File made = work.made } }\n"
        "task work { input { File given } command <<<\n"
        "    chmod u+w '~{given}' || true; (echo spoilt > '~{given}') 2> /dev/null || true; rm -f '~{given}' || true\n"
        '    echo done > made.txt >>> output { File made = "made.txt" } }\n'
    )
    status, _ = make_lab(sandbox).run(wdl, {"tiny.given": str(given)})
    assert status.state is RunState.COMPLETE, status
    assert given.read_text() == "precious\n"


def test_a_task_sees_no_credentials_and_not_our_environment(
    make_lab: Callable[..., Lab], sandbox: str, fork_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-one")
    monkeypatch.setenv("PRIVATE_THING", "canary-two")
    status, report = make_lab(sandbox, fork_from=fork_from).run(one_task("env > made.txt"))
    assert status.state is RunState.COMPLETE, status
    seen = Path(report.files[0].path).read_text()
    assert "PATH=" in seen
    assert "canary" not in seen


def test_bubblewrap_shows_no_home_no_passwords_and_no_network(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    lab = make_lab("auto")
    if lab.engine.sandbox != "bubblewrap":
        pytest.skip("bubblewrap does not work on this machine")
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    status, report = lab.run(
        one_task(
            f"for path in '{secret}' /etc/shadow /root/.ssh /home; do\n"
            '  test -e "$path" && echo "$path"\ndone > made.txt\n'
            "grep -v -e lo: -e face -e Inter /proc/net/dev >> made.txt\n"
            "grep CapEff /proc/self/status >> made.txt; id -u >> made.txt"
        )
    )
    assert status.state is RunState.COMPLETE, status
    lines = Path(report.files[0].path).read_text().split()
    assert lines[:2] == ["CapEff:", "0000000000000000"]
    assert lines[2] != "0"


def test_a_failing_task_is_named_with_its_status_and_last_words(lab: Lab) -> None:
    status, report = lab.run(one_task("echo 'cannot open the lid' >&2; exit 3"))
    assert status.state is RunState.EXECUTOR_ERROR
    assert status.message == report.failure
    assert "Task work failed with exit status 3" in str(report.failure)
    assert "cannot open the lid" in str(report.failure)
    assert report.files == ()
    assert report.tasks[0].state is RunState.EXECUTOR_ERROR
    assert report.tasks[0].exit_code == 3
    assert report.tasks[0].stderr_tail == "cannot open the lid"
    assert report.logs[0].endswith("stderr.txt")


def test_a_program_that_is_not_installed_is_named(lab: Lab) -> None:
    _, report = lab.run(one_task("nosuchprogram --help"))
    assert "nosuchprogram: command not found" in str(report.failure)
    assert "to PATH" in str(report.failure)


def test_a_killed_task_is_explained_as_out_of_memory(lab: Lab) -> None:
    status, report = lab.run(one_task("kill -9 $$"))
    assert status.state is RunState.EXECUTOR_ERROR
    assert "exit status 137" in str(report.failure)
    assert "memory" in str(report.failure)


def test_a_workflow_without_outputs_is_a_failure(lab: Lab) -> None:
    status, report = lab.run(one_task("true", ""))
    assert status.state is RunState.EXECUTOR_ERROR
    assert "made no outputs" in str(report.failure)


def test_an_output_that_was_not_made_is_a_failure_of_the_workflow(lab: Lab) -> None:
    status, report = lab.run(one_task("true"))
    assert status.state is RunState.EXECUTOR_ERROR
    assert "made" in str(report.failure)


@pytest.mark.parametrize(
    ("wdl", "words"),
    [
        (HEAD + "workflow tiny { call }", "line 2"),
        (ECHO, "word"),
    ],
    ids=["syntax error", "missing input"],
)
def test_what_the_engine_refuses_at_once_is_the_workflows_fault(
    make_lab: Callable[..., Lab], fork_from: int, wdl: str, words: str
) -> None:
    status, report = make_lab(fork_from=fork_from).run(wdl)
    assert status.state is RunState.EXECUTOR_ERROR, status
    assert words in str(report.failure)


def test_a_bundle_that_changed_since_it_was_asked_for_is_refused(lab: Lab) -> None:
    request = lab.request(ECHO, {"tiny.word": "x"})
    with Path(request.bundle).open("ab") as handle:
        handle.write(b"more")
    lab.engine.submit(request)
    status = lab.wait(request.token)
    assert status.state is RunState.EXECUTOR_ERROR
    assert "BUNDLE_CHANGED" in str(status.message)


def test_the_same_token_twice_starts_nothing_more(lab: Lab) -> None:
    request = lab.request(ECHO, {"tiny.word": "once"})
    assert lab.engine.submit(request) == lab.engine.submit(request) == request.token
    first = lab.wait(request.token)
    assert lab.engine.submit(request) == request.token
    assert lab.engine.poll([request.token])[request.token] == first
    assert lab.starts(request.token) == 1


def test_a_second_attempt_goes_on_from_the_finished_tasks(lab: Lab, tmp_path: Path) -> None:
    switch = tmp_path / "switch.txt"
    wdl = HEAD + (
        "workflow tiny { call first call second { input: before = first.made } output { File made = second.made } }\n"
        'task first { command <<< echo $RANDOM > made.txt >>> output { File made = "made.txt" } }\n'
        "task second { input { File before } command <<<\n"
        f"    test -e '{switch}' || exit 9\n    cat '~{{before}}' > made.txt\n"
        '  >>> output { File made = "made.txt" } }\n'
    )
    request = lab.request(wdl)
    lab.engine.submit(request)
    assert lab.wait(request.token).state is RunState.EXECUTOR_ERROR
    switch.write_text("")
    retry = lab.again(request, 2)
    lab.engine.submit(retry)
    assert lab.wait(retry.token).state is RunState.COMPLETE
    tasks = {task.name: task for task in lab.engine.report(retry.token).tasks}
    assert tasks["first"].cached
    assert not tasks["second"].cached
    assert tasks["first"].ran_in == "host processes", "a cached task tells how it ran the first time"
    assert tasks["first"].exit_code == 0


def test_two_submits_have_one_runner_which_ends_when_idle(lab: Lab) -> None:
    requests = [lab.request(ECHO, {"tiny.word": str(n)}) for n in range(2)]
    for request in requests:
        lab.engine.submit(request)
    assert eventually(lambda: lab.runner_pid() is not None)
    pid = lab.runner_pid()
    assert [lab.wait(request.token).state for request in requests] == [RunState.COMPLETE] * 2
    runners = {(lab.home / "runs" / r.token / "starts").read_text().partition('"runner": ')[2][:-2] for r in requests}
    assert runners == {str(pid)}
    assert eventually(lambda: lab.runner_pid() is None)
    assert EngineHome(lab.home).queued() == []


def test_no_more_than_the_asked_number_run_at_one_time(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(concurrency=1)
    requests = [lab.request(one_task("sleep 0.3; date > made.txt"), salt=str(n)) for n in range(3)]
    for request in requests:
        lab.engine.submit(request)
    for request in requests:
        assert lab.wait(request.token).state is RunState.COMPLETE
    spans = sorted((report.started, report.ended) for report in (lab.engine.report(r.token) for r in requests))  # type: ignore[type-var]
    for (_, earlier_end), (later_start, _) in pairwise(spans):
        assert earlier_end <= later_start  # type: ignore[operator]


def test_a_request_that_no_runner_took_up_gets_one_when_somebody_polls(lab: Lab) -> None:
    request = lab.request(ECHO, {"tiny.word": "left"})
    lab.engine.ensure_runner = lambda: False  # type: ignore[method-assign]  # killed before it started one
    lab.engine.submit(request)
    del lab.engine.ensure_runner
    assert lab.engine.poll([request.token])[request.token].state is RunState.QUEUED
    assert lab.wait(request.token).state is RunState.COMPLETE


def test_unknown_and_unfinished_attempts_are_told_apart(lab: Lab) -> None:
    unknown = "0" * 40 + "-1"
    assert lab.engine.poll([unknown]) == {}
    with pytest.raises(NotFound, match="No attempt"):
        lab.engine.report(unknown)
    with pytest.raises(NotFound, match="No attempt"):
        lab.engine.cancel(unknown)
    request = lab.request(one_task("sleep 30"))
    lab.engine.submit(request)
    with pytest.raises(EngineFailed, match="has not ended"):
        lab.engine.report(request.token)
    lab.engine.cancel(request.token)
    lab.wait(request.token)


@pytest.mark.parametrize("token", ["../etc-1", "a/b-1", "", "-1", "nodash"])
def test_a_token_never_becomes_a_path_outside(lab: Lab, token: str) -> None:
    with pytest.raises(ValueError, match="no token"):
        lab.engine.poll([token])


def test_polling_a_thousand_ended_attempts_is_quick_and_starts_no_runner(lab: Lab) -> None:
    _, _ = lab.run(ECHO, {"tiny.word": "x"})
    token = next((lab.home / "runs").iterdir()).name
    assert eventually(lambda: lab.runner_pid() is None)
    before = time.monotonic()
    lab.engine.poll([token] * 1000)
    assert time.monotonic() - before < 2
    assert lab.runner_pid() is None


def test_tasks_share_out_no_more_than_the_part_of_the_machine_that_is_ours(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.engine = LocalEngine(lab.home, 1, "host", idle_seconds=2.0, cpus=1, memory_gib=0.5)
    status, report = lab.run(ECHO.replace('cpu: 1  memory: "100 MB"', 'cpu: 8  memory: "64 GiB"'), {"tiny.word": "a"})
    assert status.state is RunState.COMPLETE, status.message
    (task,) = report.tasks
    assert (task.cpus, task.memory_bytes) == (1, 1 << 29)

from __future__ import annotations

from pathlib import Path

from labrelay.model.states import RunState
from labrelay.workflows.local.engine import LocalEngine

from .conftest import ECHO, HEAD, Lab, eventually, one_task


def limited(lab: Lab, *images: str) -> Lab:
    lab.engine = LocalEngine(lab.home, 2, "host", idle_seconds=2.0, images=images)
    return lab


def test_the_tasks_of_a_running_attempt_are_told_before_it_ends(lab: Lab, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wdl = HEAD + (
        "workflow two { call first call second { input: made = first.made } output { File made = second.out } }\n"
        'task first { command <<< echo 1 > made.txt >>> output { File made = "made.txt" } }\n'
        "task second { input { File made } command <<<\n"
        f"    while test ! -e '{go}'; do sleep 0.05; done; cp '~{{made}}' out.txt >>>\n"
        '    output { File out = "out.txt" } runtime { cpu: 1 memory: "50 MB" } }\n'
    )
    token = lab.engine.submit(lab.request(wdl))
    assert eventually(lambda: [task.state for task in lab.engine.tasks(token)] == [RunState.COMPLETE, RunState.RUNNING])
    first, second = lab.engine.tasks(token)
    assert (first.name, second.name) == ("first", "second")
    assert second.started is not None
    assert second.ended is None
    assert second.memory_bytes == 50_000_000
    go.touch()
    lab.wait(token)
    assert lab.engine.tasks(token) == lab.engine.report(token).tasks


def test_an_ended_attempt_is_forgotten_and_a_running_one_is_not(lab: Lab) -> None:
    token = lab.engine.submit(lab.request(one_task("sleep 60")))
    assert eventually(lambda: bool(lab.engine.tasks(token)))
    lab.engine.forget([token])
    assert token in lab.engine.poll([token])
    lab.engine.cancel(token)
    lab.wait(token)
    lab.engine.forget([token])
    assert lab.engine.poll([token]) == {}
    assert list((lab.home / "work").iterdir()) == []
    assert list((lab.home / "runs").iterdir()) == []


def test_only_images_that_may_be_named_are_taken(lab: Lab) -> None:
    limited(lab, "quay.io/example/*")
    good, _ = lab.run(ECHO, {"tiny.word": "hello"})
    assert good.state is RunState.COMPLETE, good
    other, report = lab.run(ECHO.replace("quay.io/example/say:1", "docker.io/library/say:1"), {"tiny.word": "hello"})
    assert other.state is RunState.EXECUTOR_ERROR
    assert "docker.io/library/say:1" in str(report.failure)
    assert [task.state for task in report.tasks] == [RunState.EXECUTOR_ERROR]


def test_where_images_are_limited_a_task_has_to_name_one(lab: Lab) -> None:
    status, report = limited(lab, "*").run(one_task("echo > made.txt"))
    assert status.state is RunState.EXECUTOR_ERROR
    assert "declares no container image" in str(report.failure)

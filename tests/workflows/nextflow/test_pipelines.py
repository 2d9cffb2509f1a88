"""Real pipelines through the local engine: states, tasks, outputs, resuming, and each kind of failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.model.errors import MissingTool
from labrelay.model.runs import EngineStatus, RunReport
from labrelay.model.states import RunState
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.local.processes import started_at
from tests.workflows.conftest import Lab, eventually, processes_with
from tests.workflows.nextflow.conftest import DEFINITION, TINY

pytestmark = pytest.mark.usefixtures("nextflow")
SECONDS = 90


def run(lab: Lab, files: dict[str, str], inputs: dict[str, object] | None = None) -> tuple[EngineStatus, RunReport]:
    token = lab.engine.submit(lab.request(files, inputs))
    status = lab.wait(token, SECONDS)
    return status, lab.engine.report(token)


def failing(lab: Lab, script: str) -> str:
    """Run a pipeline that has to fail, and return the sentence."""
    status, report = run(lab, {"main.nf": script, "definition.toml": DEFINITION})
    assert status.state is RunState.EXECUTOR_ERROR, status
    assert report.failure == status.message
    assert str(lab.home) not in (status.message or "")
    return status.message or ""


def test_a_pipeline_runs_and_its_report_says_what_happened(lab: Lab, tiny: dict[str, str]) -> None:
    status, report = run(lab, tiny, {"words": ["a", "b", "c"]})
    assert status.state is RunState.COMPLETE, status
    assert (status.tasks_started, status.tasks_done) == (4, 4)
    files = {(file.output, file.index): file for file in report.files}
    assert list(files) == [("all", 0), ("loud", 0), ("loud", 1), ("loud", 2)]
    assert Path(files["all", 0].path).read_text() == "A\nB\nC\n"
    assert (files["all", 0].task, files["loud", 1].task) == ("JOIN", "UPPER (b), try 2")
    assert report.engine.startswith("Nextflow 2")
    tasks = {task.name: task for task in report.tasks}
    assert set(tasks) == {"UPPER (a)", "UPPER (b)", "UPPER (b), try 2", "UPPER (c)", "JOIN"}
    assert (tasks["UPPER (b)"].state, tasks["UPPER (b)"].exit_code) == (RunState.EXECUTOR_ERROR, 3)
    assert tasks["UPPER (b)"].stderr_tail == "not yet"
    assert (tasks["UPPER (b), try 2"].state, tasks["UPPER (b), try 2"].exit_code) == (RunState.COMPLETE, 0)
    assert "tr a-z A-Z" in (tasks["UPPER (a)"].command or "")
    assert tasks["JOIN"].started is not None
    assert tasks["JOIN"].ended is not None
    assert tasks["JOIN"].started <= tasks["JOIN"].ended
    # They were published as copies, and each is one file to the task that made it and to the one that read it.
    loud = [files["loud", index].path for index in range(3)]
    assert tasks["UPPER (b), try 2"].outputs == {"made": [files["loud", 1].path]}
    assert tasks["UPPER (b)"].outputs == {}
    assert tasks["JOIN"].inputs == {"staged": sorted(loud)}
    assert tasks["JOIN"].outputs == {"made": [files["all", 0].path]}
    names = {Path(log).name for log in report.logs}
    assert {"engine.log", "nextflow.log", "trace.tsv", "report.html", "timeline.html", "dag.html"} <= names


def test_a_failed_task_is_named_with_its_last_words_and_the_next_attempt_takes_the_finished_ones(
    lab: Lab, tiny: dict[str, str]
) -> None:
    broken = dict(tiny, **{"main.nf": TINY.replace("cat ${files}", "echo no such luck >&2; exit 5; cat ${files}")})
    bad = lab.request(broken, {"words": ["a", "b"]})
    status = lab.wait(lab.engine.submit(bad), SECONDS)
    assert status.state is RunState.EXECUTOR_ERROR
    assert status.message == "Task JOIN failed with exit status 5; it last said: no such luck"
    report = lab.engine.report(bad.token)
    assert report.files == ()
    assert any(Path(log).read_text() == "no such luck\n" for log in report.logs if log.endswith(".command.err"))
    again = lab.again(bad, 2)
    assert lab.wait(lab.engine.submit(again), SECONDS).state is RunState.EXECUTOR_ERROR
    cached = {task.name: task.cached for task in lab.engine.report(again.token).tasks}
    assert cached == {"UPPER (a)": True, "UPPER (b), try 2": True, "JOIN": False}


def test_tasks_are_seen_while_they_run_and_a_cancel_leaves_no_process(lab: Lab, tiny: dict[str, str]) -> None:
    token = lab.engine.submit(lab.request(tiny, {"seconds": 301.25}))
    lab.until(token, lambda status: status.tasks_started == 3, SECONDS)
    assert eventually(lambda: any(task.name == "JOIN" for task in lab.engine.tasks(token)))
    assert eventually(lambda: {t.name: t.state for t in lab.engine.tasks(token)}["JOIN"] is RunState.RUNNING)
    assert {t.name: t.state for t in lab.engine.tasks(token)}["UPPER (a)"] is RunState.COMPLETE
    assert eventually(lambda: bool(processes_with("sleep 301.25")))
    lab.engine.cancel(token)
    assert lab.wait(token, 30).state is RunState.CANCELED
    assert not processes_with("sleep 301.25")
    assert not processes_with(str(lab.home / "work"))


def test_a_killed_pipeline_goes_on_from_its_finished_tasks_and_publishes_anew(lab: Lab, tiny: dict[str, str]) -> None:
    request = lab.request(tiny, {"seconds": 5})
    token = lab.engine.submit(request)
    lab.until(token, lambda status: status.tasks_started == 3, SECONDS)
    published = lab.home / "work" / token.rpartition("-")[0] / "nextflow" / "published"
    (published / "loud" / "b.txt").write_text("half a fi")
    started = [pid for pid in processes_with("nextflow.cli.Launcher") if str(lab.home) in command_of(pid)]
    # A process that Java is just starting has its command line for a moment.
    java = min((pid for pid in started if is_java(pid)), key=lambda pid: started_at(pid) or 0)
    os.kill(java, signal.SIGKILL)
    lost = lab.wait(token, 30)
    assert lost.state is RunState.SYSTEM_ERROR, lost
    assert "killed by signal 9" in (lost.message or "")
    assert not processes_with(str(lab.home / "work"))
    again = lab.again(request, 2)
    status = lab.wait(lab.engine.submit(again), SECONDS)
    assert status.state is RunState.COMPLETE, status
    report = lab.engine.report(again.token)
    assert {task.name: task.cached for task in report.tasks} == {
        "UPPER (a)": True,
        "UPPER (b), try 2": True,
        "JOIN": False,
    }
    assert [Path(file.path).read_text() for file in report.files] == ["A\nB\n", "A\n", "B\n"]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def is_java(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").readlink().name == "java"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("workflow { FOO(1) }\n", "Missing process or function FOO()"),
        ('process X {\n  script: "touch a.txt\n}\nworkflow { X() }\n', "main.nf | - cause: Unexpected character"),
        (
            "process X { cpus 200\n output: path 'a'\n script: 'touch a' }\nworkflow { X() }\n",
            "Process X failed: Process requirement exceeds available CPUs",
        ),
        (
            "process X { output: path 'b'\n script: 'touch a' }\nworkflow { X() }\n",
            "Process X failed: Missing output file(s) `b` expected by process `X`.",
        ),
        ("process X { script: 'no-such-tool' }\nworkflow { X() }\n", "no-such-tool: command not found"),
        ("process X { script: 'true' }\nworkflow { X() }\n", "published no file; give its processes a publishDir"),
    ],
    ids=["unknown process", "syntax", "too many cpus", "missing output", "missing tool", "nothing published"],
)
def test_each_kind_of_failure_is_one_sentence(lab: Lab, script: str, sentence: str) -> None:
    said = failing(lab, script)
    assert sentence in said
    assert "\n" not in said
    assert len(said) < 700


def test_a_pipeline_that_means_to_publish_nothing_has_what_it_printed(lab: Lab) -> None:
    script = "process HELLO { output: stdout\n script: 'echo hello there' }\nworkflow { HELLO().view() }\n"
    status, report = run(lab, {"main.nf": script})
    assert status.state is RunState.COMPLETE, status
    assert [file.output for file in report.files] == ["console"]
    assert "hello there" in Path(report.files[0].path).read_text()


def test_a_plugin_that_is_not_there_is_named_with_the_way_out(lab: Lab, tiny: dict[str, str]) -> None:
    files = tiny | {"nextflow.config": "plugins { id 'nf-no-such@1.0.0' }\n"}
    status, _ = run(lab, files)
    assert status.state is RunState.EXECUTOR_ERROR
    assert "nf-no-such" in (status.message or "")
    assert "NXF_PLUGINS_DIR" in (status.message or "")


def test_a_jvm_without_memory_is_told_apart_and_another_attempt_may_succeed(
    lab: Lab, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NXF_OPTS", "-Xmx24m")
    request = lab.request(tiny)
    status = lab.wait(lab.engine.submit(request), SECONDS)
    assert status.state is RunState.SYSTEM_ERROR, status
    assert "NXF_OPTS=-Xmx" in (status.message or "")


def test_two_submits_of_one_run_make_one_session_work_at_a_time(lab: Lab, tiny: dict[str, str]) -> None:
    request = lab.request(tiny, {"seconds": 2})
    tokens = [lab.engine.submit(request), lab.engine.submit(request), lab.engine.submit(lab.again(request, 2))]
    assert [lab.wait(token, SECONDS).state for token in tokens] == [RunState.COMPLETE] * 3
    assert [lab.starts(token) for token in set(tokens)] == [1, 1]
    cached = sorted((sum(task.cached for task in lab.engine.report(token).tasks)) for token in set(tokens))
    assert cached == [0, 3]


def test_a_task_sees_no_credentials(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-one")
    monkeypatch.setenv("NXF_GITHUB_ACCESS_TOKEN", "canary-two")
    script = "process X { publishDir params.outdir\n output: path 'e'\n script: 'env > e' }\nworkflow { X() }\n"
    status, report = run(lab, {"main.nf": script, "definition.toml": DEFINITION})
    assert status.state is RunState.COMPLETE, status
    seen = Path(report.files[0].path).read_text()
    assert (report.files[0].output, "PATH=" in seen, "canary" in seen) == ("e", True, False)


def test_a_setting_that_names_no_nextflow_is_refused_before_anything_is_queued(
    tmp_path: Path, make_lab: Callable[..., Lab], tiny: dict[str, str]
) -> None:
    lab = make_lab()
    lab.engine = LocalEngine(lab.home, nextflow=tmp_path / "nowhere")
    with pytest.raises(MissingTool, match=r"names .*nowhere"):
        lab.engine.submit(lab.request(tiny))
    assert not (lab.home / "runs").exists()

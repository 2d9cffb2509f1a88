"""Real commands through the local engine: states, outputs, what is measured, and each kind of failure."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.model.errors import MissingTool
from labrelay.model.states import RunState
from labrelay.workflows.local import keeper
from labrelay.workflows.local.command import Command
from labrelay.workflows.local.home import RunnerSettings
from tests.workflows.command.conftest import HEAD, MADE, command, shell
from tests.workflows.conftest import Lab, eventually, processes_with

ENDLESS = "sleep 3000.{0} & setsid sleep 3000.{0}; echo x > made.txt"


def failure(lab: Lab, toml: str, state: RunState = RunState.EXECUTOR_ERROR, **inputs: object) -> str:
    """Run a command that has to fail, and return the sentence."""
    status, report = lab.run({"definition.toml": toml}, inputs)
    assert status.state is state, status
    assert report.files == ()
    assert report.failure == status.message
    return status.message or ""


def test_a_command_runs_in_each_sandbox_and_its_report_says_what_happened(
    make_lab: Callable[..., Lab], sandbox: str, tmp_path: Path
) -> None:
    given = tmp_path / "given in.txt"
    given.write_text("from outside\n")
    toml = command(
        '["cat", "--", "{given}"]',
        "given: File",
        '[outputs.made]\npath = "out/*.txt"\n',
        'stdout = "out/made.txt"\nimage = "quay.io/example/cat:1"\nresources = {cpus = 1, memory_gib = 0.5}\n',
    )
    lab = make_lab(sandbox)
    status, report = lab.run({"definition.toml": toml}, {"given": str(given)})
    assert status.state is RunState.COMPLETE, lab.log(status.message or "")
    assert (status.tasks_started, status.tasks_done) == (1, 1)
    (file,) = report.files
    assert (file.output, file.index, file.task) == ("made", 0, "tiny")
    assert Path(file.path).read_text() == "from outside\n"
    assert report.engine.startswith("labrelay ")
    assert report.sandbox == {"host": "host processes", "bwrap": "bubblewrap"}[sandbox]
    (task,) = report.tasks
    assert (task.name, task.state, task.exit_code, task.cached) == ("tiny", RunState.COMPLETE, 0, False)
    assert (task.declared_image, task.ran_in, task.cpus) == ("quay.io/example/cat:1", report.sandbox, 1)
    assert task.memory_bytes == 1 << 29
    assert task.started is not None
    assert task.ended is not None
    assert task.started <= task.ended
    assert task.cpu_seconds is not None
    assert task.cpu_seconds < 5
    assert (task.peak_memory_bytes or 0) > 500_000
    assert (task.command or "").endswith("/inputs/0/given in.txt'")
    assert (task.command or "").startswith("cat -- '/task/" if sandbox == "bwrap" else f"cat -- '{lab.home}/work/")
    assert task.inputs == {"given": str(given)}
    assert task.outputs == {"made": file.path}
    assert not (Path(file.path).parents[2] / "inputs").exists()


def test_a_command_cannot_change_its_input_and_sees_nothing_of_ours(
    make_lab: Callable[..., Lab], sandbox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("DOCKER_HOST", "tcp://canary")  # the engine has it, a task has not
    given = tmp_path / "given.txt"
    given.write_text("precious\n")
    script = 'chmod u+w "$1"; echo spoilt > "$1"; rm -f "$1"; env > made.txt; exit 0'
    toml = command(f"['sh', '-c', '{script}', 'sh', '{{given}}']", "given: File")
    status, report = make_lab(sandbox).run({"definition.toml": toml}, {"given": str(given)})
    assert status.state is RunState.COMPLETE, status
    assert given.read_text() == "precious\n"
    seen = Path(report.files[0].path).read_text()
    assert "PATH=" in seen
    assert "canary" not in seen


def test_in_the_sandbox_a_command_sees_no_other_file_and_no_network(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = make_lab("auto")
    if lab.engine.sandbox != "bubblewrap":
        pytest.skip("bubblewrap does not work on this machine")
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    script = (
        f'for path in "{secret}" /etc/shadow /home ../task.json; do if test -e "$path"; then echo "$path"; fi; done '
        "> made.txt; grep -v -e lo: -e face -e Inter /proc/net/dev >> made.txt; true"
    )
    status, report = lab.run({"definition.toml": shell(script)})
    assert status.state is RunState.COMPLETE, status
    assert Path(report.files[0].path).read_text() == ""


def test_files_of_the_definition_are_there_and_its_programs_are_on_path(
    make_lab: Callable[..., Lab], sandbox: str
) -> None:
    files = {
        "definition.toml": command('["summarise.sh", "{bundle}/words.txt"]', top='stdout = "made.txt"\n'),
        "bin/summarise.sh": '#!/bin/sh\nwc -l < "$1"\n',
        "words.txt": "one\ntwo\n",
    }
    status, report = make_lab(sandbox).run(files)
    assert status.state is RunState.COMPLETE, status
    assert Path(report.files[0].path).read_text().split() == ["2"]


def test_files_of_one_folder_stay_together_and_a_list_becomes_arguments(
    make_lab: Callable[..., Lab], sandbox: str, tmp_path: Path
) -> None:
    for name in ("-a.bam", "-a.bam.bai"):
        (tmp_path / name).write_text(name + "\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "-a.bam").write_text("other\n")
    script = 'ls "$(dirname "$1")" > made.txt; cat "$@" >> made.txt; shift 2; echo $# >> made.txt'
    toml = command(f"['sh', '-c', '''{script}''', 'sh', '{{all}}']", "all: Array[File]")
    given = [str(tmp_path / "-a.bam"), str(tmp_path / "-a.bam.bai"), str(tmp_path / "other" / "-a.bam")]
    status, report = make_lab(sandbox).run({"definition.toml": toml}, {"all": given})
    assert status.state is RunState.COMPLETE, status
    lines = Path(report.files[0].path).read_text().split()
    assert lines == ["-a.bam", "-a.bam.bai", "-a.bam", "-a.bam.bai", "other", "1"]


def test_a_value_reaches_the_program_as_it_is(make_lab: Callable[..., Lab], sandbox: str) -> None:
    hostile = "$(touch spoilt) `id`; rm -rf ~ | 'x' \"y\" {cpus} {{ \\ \n* Größe"
    toml = command('["printf", "%s", "{word}"]', "word: String", top='stdout = "made.txt"\n')
    status, report = make_lab(sandbox).run({"definition.toml": toml}, {"word": hostile})
    assert status.state is RunState.COMPLETE, status
    assert Path(report.files[0].path).read_text() == hostile
    assert [path.name for path in Path(report.files[0].path).parent.iterdir()] == ["made.txt"]


def test_a_value_that_would_be_an_option_starts_nothing(lab: Lab) -> None:
    toml = command('["sort", "{word}"]', "word: String", top='stdout = "made.txt"\n')
    said = failure(lab, toml, word="--output=/tmp/x")
    assert "{word} would become '--output=/tmp/x', which programs take for an option" in said


def test_inputs_that_do_not_fit_start_nothing_and_are_told_at_once(lab: Lab) -> None:
    toml = command('["cat", "{one}", "{two}"]', "one: File, two: Int")
    said = failure(lab, toml, one="s3://bucket/key", two="2", three=3)
    for part in ("there is no file s3://bucket/key on this machine", "two is '2', which is no Int", "three"):
        assert part in said


def test_a_failing_command_is_named_with_its_status_and_last_words(make_lab: Callable[..., Lab], sandbox: str) -> None:
    lab = make_lab(sandbox)
    status, report = lab.run({"definition.toml": shell("echo cannot open the lid >&2; echo so far; exit 3")})
    assert status.state is RunState.EXECUTOR_ERROR
    assert "Task tiny failed with exit status 3" in str(report.failure)
    assert "cannot open the lid" in str(report.failure)
    (task,) = report.tasks
    assert (task.state, task.exit_code, task.stderr_tail) == (RunState.EXECUTOR_ERROR, 3, "cannot open the lid")
    assert report.logs[0].endswith("stderr.txt")
    token = next((lab.home / "runs").iterdir()).name
    assert [path.read_text() for path in lab.engine.said(token, "tiny")] == ["so far\n", "cannot open the lid\n"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "exit status 137: the task was killed, most often because it ran out of memory"),
        ("kill -SEGV $$", "crashed"),
    ],
)
def test_a_killed_command_is_explained(make_lab: Callable[..., Lab], sandbox: str, script: str, words: str) -> None:
    assert words in failure(make_lab(sandbox), shell(script))


def test_a_program_that_is_not_installed_is_named(make_lab: Callable[..., Lab], sandbox: str) -> None:
    said = failure(make_lab(sandbox), command('["nosuchprogram", "--help"]'))
    assert "a command was not found" in said
    assert "nosuchprogram" in said
    assert "to PATH" in said


def test_a_program_without_rights_is_told_apart(make_lab: Callable[..., Lab], sandbox: str) -> None:
    assert "may not be executed" in failure(make_lab(sandbox), command('["/etc/ld.so.conf"]', more=MADE))


def test_a_full_disk_is_not_the_commands_fault(lab: Lab) -> None:
    said = failure(lab, shell("echo made.txt: No space left on device >&2; exit 1"), RunState.SYSTEM_ERROR)
    assert "found the disk full" in said
    assert lab.engine.report(next((lab.home / "runs").iterdir()).name).tasks[0].state is RunState.EXECUTOR_ERROR


def test_an_output_that_was_not_made_is_named(lab: Lab) -> None:
    more = MADE + '[outputs.maybe]\npath = "maybe.txt"\noptional = true\n[outputs.index]\npath = "*.bai"\n'
    said = failure(lab, shell("echo x > made.txt", more))
    assert "made no *.bai for its output index;" in said
    assert "maybe" not in said


def test_a_command_that_makes_nothing_at_all_has_failed(lab: Lab) -> None:
    more = '[outputs.maybe]\npath = "maybe.txt"\noptional = true\n'
    assert "made none of its outputs" in failure(lab, shell("echo x > other.txt", more))


def test_a_link_out_of_the_work_folder_is_no_output(make_lab: Callable[..., Lab], sandbox: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    assert "made no made.txt" in failure(make_lab(sandbox), shell(f'ln -s "{secret}" made.txt'))
    linked = shell("echo x > real.txt; ln -s real.txt made.txt")
    status, report = make_lab(sandbox).run({"definition.toml": linked})
    assert status.state is RunState.COMPLETE, status
    assert [file.output for file in report.files] == ["made"]


def test_only_what_an_output_names_is_kept_and_the_first_that_fits_has_it(lab: Lab) -> None:
    more = '[outputs.one]\npath = "a/*.txt"\n[outputs.rest]\npath = "**/*.txt"\n'
    script = "mkdir -p a b/c; for f in a/2 a/1 b/c/3 top; do echo $f > $f.txt; done; echo x > b/left.log"
    _, report = lab.run({"definition.toml": shell(script, more)})
    named = [(file.output, file.index, Path(file.path).name) for file in report.files]
    assert named == [("one", 0, "1.txt"), ("one", 1, "2.txt"), ("rest", 0, "3.txt"), ("rest", 1, "top.txt")]


def test_a_file_whose_name_is_no_text_is_no_output_and_harms_nobody(lab: Lab) -> None:
    script = 'echo x > "$(printf "a\\377.txt")"'
    said = failure(lab, shell(script, '[outputs.made]\npath = "*.txt"\n'))
    assert "made no *.txt for its output made" in said


def test_a_json_of_tool_versions_says_what_ran(lab: Lab) -> None:
    more = '[outputs.made]\npath = "*.txt"\n[outputs.tool_versions]\npath = "versions.json"\n'
    toml = command('["cp", "{bundle}/versions.json", "{bundle}/made.txt", "."]', more=more)
    _, report = lab.run({"definition.toml": toml, "made.txt": "x", "versions.json": json.dumps({"cp": "9.4"})})
    assert report.tools == {"cp": "9.4"}
    assert [file.output for file in report.files] == ["made"]
    assert report.values == {"tool_versions": {"cp": "9.4"}}


@pytest.mark.parametrize("trap", ["", 'trap "" TERM; '], ids=["obeys", "ignores"])
def test_the_time_limit_ends_a_command_and_all_that_it_started(
    make_lab: Callable[..., Lab], sandbox: str, trap: str
) -> None:
    lab, words = make_lab(sandbox), f"1{os.getpid()}{len(trap)}{len(sandbox)}"
    toml = shell(trap + "echo half > made.txt; " + ENDLESS.format(words), resources="resources = {minutes = 0.01}\n")
    said = failure(lab, toml)
    assert said.startswith("Task tiny was ended after its time limit of 0.01 minutes")
    assert eventually(lambda: not processes_with(f"sleep 3000.{words}"))


def test_what_ends_well_only_because_it_was_asked_to_stop_is_not_taken(lab: Lab) -> None:
    script = 'trap "exit 0" TERM; echo half > made.txt; while true; do sleep 0.05; done'
    assert "time limit" in failure(lab, shell(script, resources="resources = {minutes = 0.01}\n"))


def test_cancel_ends_all_processes_and_says_so(make_lab: Callable[..., Lab], sandbox: str) -> None:
    lab, words = make_lab(sandbox), f"2{os.getpid()}{len(sandbox)}"
    token = lab.engine.submit(lab.request({"definition.toml": shell("echo half > made.txt; " + ENDLESS.format(words))}))
    assert eventually(lambda: len(processes_with(f"sleep 3000.{words}")) >= 2), lab.log(token)
    (task,) = lab.engine.tasks(token)
    assert (task.state, task.name, task.ended) == (RunState.RUNNING, "tiny", None)
    lab.engine.cancel(token)
    assert lab.wait(token).state is RunState.CANCELED
    assert eventually(lambda: not processes_with(f"sleep 3000.{words}"))
    report = lab.engine.report(token)
    assert (report.files, report.tasks[0].state) == ((), RunState.CANCELED)


def test_a_cancelled_command_is_asked_before_it_is_killed(lab: Lab, tmp_path: Path) -> None:
    asked, begun = tmp_path / "asked", tmp_path / "begun"
    script = f'trap "touch \\"{asked}\\"; exit 0" TERM; touch "{begun}"; while true; do sleep 0.05; done'
    token = lab.engine.submit(lab.request({"definition.toml": shell(script)}))
    assert eventually(begun.exists), lab.log(token)
    lab.engine.cancel(token)
    assert lab.wait(token, 8).state is RunState.CANCELED  # the engine's keeper would lose its patience after 10 s
    assert asked.exists()


def test_a_new_attempt_does_not_begin_while_the_command_of_the_old_one_lives(lab: Lab, tmp_path: Path) -> None:
    first, overlap = tmp_path / "first", tmp_path / "overlap"
    script = (
        f'if test -e "{first}"; then kill -0 $(cat "{first}") 2> made.txt && touch "{overlap}"; exit 0; fi; '
        f'trap "" TERM; echo $$ > "{first}"; while true; do sleep 0.05; done'
    )
    request = lab.request({"definition.toml": shell(script)})
    token = lab.engine.submit(request)
    assert eventually(first.exists), lab.log(token)
    (pid,) = [pid for pid in processes_with(f"runs/{token}/usage.json") if is_keeper(pid)]
    os.kill(pid, signal.SIGKILL)
    assert lab.wait(token).state is RunState.SYSTEM_ERROR
    second = lab.engine.submit(lab.again(request, 2))
    assert lab.wait(second).state is RunState.COMPLETE
    assert not overlap.exists()


def is_keeper(pid: int) -> bool:
    return keeper.__file__.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


@pytest.mark.parametrize("victim", ["engine's keeper", "beginner", "task's keeper", "runner"])
def test_whatever_is_killed_leaves_nothing_and_a_new_attempt_begins_anew(
    make_lab: Callable[..., Lab], sandbox: str, victim: str
) -> None:
    lab, words = make_lab(sandbox), f"3{os.getpid()}{len(sandbox)}{len(victim)}"
    script = f"test -e made.txt && exit 9; echo half > made.txt; test -e /tmp/never; {ENDLESS.format(words)}"
    request = lab.request({"definition.toml": shell(script)})
    token = lab.engine.submit(request)
    assert eventually(lambda: len(processes_with(f"sleep 3000.{words}")) >= 2), lab.log(token)
    engines = [pid for pid in processes_with(f"runs/{token}/usage.json") if is_keeper(pid)]
    tasks = [pid for pid in processes_with(f"{token}/usage.json") if is_keeper(pid) and pid not in engines]
    begun = [pid for pid in processes_with(f"runs/{token}/begin.json") if not is_keeper(pid)]
    victims = {"engine's keeper": engines, "beginner": begun, "task's keeper": tasks, "runner": [lab.runner_pid()]}
    (pid,) = victims[victim]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    status = lab.wait(token)
    assert status.state is RunState.SYSTEM_ERROR, status
    assert eventually(lambda: not processes_with(f"sleep 3000.{words}"))
    report = lab.engine.report(token)
    assert (report.files, report.tasks[0].state) == ((), RunState.CANCELED)
    second = lab.engine.submit(lab.again(request, 2))
    assert eventually(lambda: len(processes_with(f"sleep 3000.{words}")) >= 2), lab.log(second)
    assert lab.starts(token) == 1
    lab.engine.cancel(second)
    assert lab.wait(second).state is RunState.CANCELED


def test_a_sandbox_of_containers_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(MissingTool, match="The sandbox podman holds tasks of WDL only"):
        Command().check(RunnerSettings(sandbox="podman"))


def test_where_images_are_asked_for_only_those_start(tmp_path: Path, lab: Lab) -> None:
    lab.engine._settings = lab.engine._settings.model_copy(update={"images": ("quay.io/good/*",)})
    assert "names no container image" in failure(lab, shell("true"))
    assert "quay.io/bad/x:1 is none" in failure(lab, shell("true", resources='image = "quay.io/bad/x:1"\n'))
    good = shell("echo x > made.txt", resources='image = "quay.io/good/x:1"\n')
    assert lab.run({"definition.toml": good})[0].state is RunState.COMPLETE


def test_a_definition_that_does_not_load_is_the_workflows_fault(lab: Lab) -> None:
    assert "COMMAND_UNKNOWN_NAME" in failure(lab, f'{HEAD}command = ["cat", "{{gone}}"]\n{MADE}')


def test_a_command_that_is_too_long_with_all_around_it_fails_for_good_and_says_why(lab: Lab) -> None:
    # As much as fits by itself: environment, sandbox and keeper are what is too much. Nine bytes go with each argument.
    room, most = 100_000, min(os.sysconf("SC_ARG_MAX"), 6 << 20)
    count, rest = divmod(most - 10 - 9, room)
    values = [*("n" * (room - 9) for _ in range(count)), "n" * rest]
    message = failure(lab, command('["x", "{all}"]', "all: Array[String]"), all=values)
    assert "Task tiny was not started: its command is longer than this machine lets one be" in message
    assert "write them to a file" in message

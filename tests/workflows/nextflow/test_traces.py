"""Nextflow's log and trace as a run leaves them, whole and cut off, and what is published beside them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from labrelay.model.runs import OutputFile
from labrelay.model.states import RunState
from labrelay.workflows.definition import NextflowSpec
from labrelay.workflows.nextflow import command
from labrelay.workflows.nextflow.failure import judge
from labrelay.workflows.nextflow.folders import Folders, session_of
from labrelay.workflows.nextflow.log import Follower
from labrelay.workflows.nextflow.outputs import fits, read_outputs
from labrelay.workflows.nextflow.runtime import Nextflow
from labrelay.workflows.nextflow.task_files import with_files
from labrelay.workflows.nextflow.trace import read_trace, task_reports

# Lines as Nextflow 24.10 writes them.
SUBMITTED = "Nov-24 11:56:03.262 [Task submitter] INFO  nextflow.Session - [28/0bfc99] Submitted process > UPPER (a)\n"
COMPLETED = (
    "Nov-24 11:56:03.510 [Task monitor] DEBUG n.processor.TaskPollingMonitor - Task completed > TaskHandler[id: 1; "
    "name: UPPER (a); status: COMPLETED; exit: {}; error: -; workDir: /w/28/0bfc99c2b5762b6ade8feec101206a]\n"
)
AGAIN = "Nov-24 11:56:03.593 [Task submitter] INFO  nextflow.Session - [4e/c1d961] Re-submitted process > UPPER (a)\n"
CACHED = (
    "Nov-24 11:56:08.887 [Actor Thread 2] INFO  n.processor.TaskProcessor - [b7/6f230d] Cached process > UPPER (b)\n"
)
HEADER = (
    "task_id\thash\tname\tstatus\texit\tcpus\tmemory\tattempt\tstart\tcomplete\trealtime\t%cpu\tpeak_rss\tworkdir\n"
)


def row(name: str, status: str, folder: Path, code: str = "0", attempt: int = 1, start: int = 1000) -> str:
    numbers = f"{start}\t{start + 2000}\t1500\t50.0\t1048576"
    return f"1\taa/bbbbbb\t{name}\t{status}\t{code}\t2\t104857600\t{attempt}\t{numbers}\t{folder}\n"


def test_the_log_is_followed_across_pieces_and_a_task_tried_again_counts_once(tmp_path: Path) -> None:
    log = tmp_path / "nextflow.log"
    follower = Follower(log)
    assert not follower.update()
    log.write_text(SUBMITTED + COMPLETED.format(3)[:40])
    assert follower.update()
    assert (follower.started, follower.done) == (1, 0)
    with log.open("a") as out:
        out.write(COMPLETED.format(3)[40:] + AGAIN + CACHED)
    assert follower.update()
    assert (follower.started, follower.done) == (2, 1)
    assert {place: task.exit_code for place, task in follower.tasks.items()} == {
        "28/0bfc99": 3,
        "4e/c1d961": None,
        "b7/6f230d": None,
    }
    assert not follower.update()


def test_a_pipelines_own_words_in_the_log_count_for_nothing(tmp_path: Path) -> None:
    log = tmp_path / "nextflow.log"
    log.write_text(
        "Nov-24 11:56:03.262 [main] INFO  nextflow.Script - [zz/nothex] Submitted process > X\nSubmitted process > Y\n"
    )
    follower = Follower(log)
    assert not follower.update()
    assert follower.tasks == {}


def test_a_trace_gives_each_try_a_name_of_its_own_and_its_numbers(tmp_path: Path) -> None:
    one, two = tmp_path / "aa" / "bbbbbb11", tmp_path / "cc" / "dddddd22"
    for folder in (one, two):
        folder.mkdir(parents=True)
    (one / ".command.err").write_text("what a pity\n")
    (two / ".command.sh").write_text("true\n")
    trace = tmp_path / "trace.tsv"
    text = row("A (x)", "FAILED", one, "3") + row("A (x)", "COMPLETED", two, attempt=2, start=5000)
    text += row("A (x)", "ABORTED", one, "-", start=9000)
    trace.write_text(HEADER + text)
    reports = task_reports(read_trace(trace), "somewhere")
    assert [(task.name, task.state, task.exit_code) for task in reports] == [
        ("A (x)", RunState.EXECUTOR_ERROR, 3),
        ("A (x), try 2", RunState.COMPLETE, 0),
        ("A (x) [aa/bbbbbb]", RunState.CANCELED, None),
    ]
    assert reports[0].stderr_tail == "what a pity"
    assert reports[1].command == "true\n"
    assert (reports[1].cpus, reports[1].memory_bytes, reports[1].peak_memory_bytes) == (2, 104857600, 1048576)
    assert reports[1].cpu_seconds == 0.75
    assert reports[1].started is not None
    assert reports[1].started.timestamp() == 5


def test_a_trace_that_a_kill_cut_off_gives_the_whole_lines(tmp_path: Path) -> None:
    trace = tmp_path / "trace.tsv"
    whole = row("A", "COMPLETED", tmp_path)
    trace.write_text(HEADER + whole + whole[: whole.rindex("\t")])
    assert [found.name for found in read_trace(trace)] == ["A"]
    assert read_trace(tmp_path / "none.tsv") == []


def test_published_files_are_named_by_the_first_pattern_that_fits_and_else_by_their_path(tmp_path: Path) -> None:
    from labrelay.workflows.definition import OutputSpec

    published, folder = tmp_path / "published", tmp_path / "work" / "aa" / "bbbbbb11"
    (published / "deep" / "er").mkdir(parents=True)
    folder.mkdir(parents=True)
    (folder / "x.vcf").write_text("made by A")
    (published / "x.vcf").symlink_to(folder / "x.vcf")
    (published / "deep" / "er" / "y.txt").write_text("who knows")
    (published / "tool_versions.json").write_text('{"samtools": "1.20"}')
    trace = tmp_path / "trace.tsv"
    trace.write_text(HEADER + row("A (x)", "COMPLETED", folder))
    specs = {"vcf": OutputSpec(path="*.vcf"), "tool_versions": OutputSpec(path="tool_versions.json")}
    files, values = read_outputs(published, specs, read_trace(trace))
    assert [(file.output, file.index, file.task) for file in files] == [("deep/er/y.txt", 0, None), ("vcf", 0, "A (x)")]
    assert values == {"tool_versions": {"samtools": "1.20"}}


def test_folders_published_by_links_are_gone_through_and_what_lies_outside_becomes_a_copy(tmp_path: Path) -> None:
    launch, outside = tmp_path / "run" / "nextflow", tmp_path / "input.txt"
    made = launch / "work" / "aa" / "bbbbbb11" / "quant"
    made.mkdir(parents=True)
    (made / "quant.sf").write_text("numbers")
    (made / "loop").symlink_to(made)
    (launch / "published").mkdir()
    (launch / "published" / "sample_quant").symlink_to(made)
    outside.write_text("handed on")
    (launch / "published" / "same.txt").symlink_to(outside)
    (launch / "published" / "gone.txt").symlink_to(tmp_path / "nowhere")
    files, _ = read_outputs(launch / "published", {}, [])
    assert [file.output for file in files] == ["same.txt", "sample_quant/quant.sf"]
    assert Path(files[1].path) == made / "quant.sf"
    copy = Path(files[0].path)
    assert copy.is_relative_to(launch)
    assert not copy.is_symlink()
    assert copy.read_text() == "handed on"
    assert read_outputs(launch / "published", {}, [])[0] == files


@pytest.mark.parametrize(
    ("path", "pattern", "fitting"),
    [
        ("a.txt", "*.txt", True),
        ("deep/a.txt", "*.txt", False),
        ("deep/a.txt", "**/*.txt", True),
        ("a.txt", "**/*.txt", True),
        ("deep/er/a.txt", "deep/**", True),
        ("deep/er/a.txt", "deep/*/b.txt", False),
    ],
)
def test_patterns_go_part_by_part_from_the_beginning(path: str, pattern: str, fitting: bool) -> None:
    assert fits(PurePosixPath(path), pattern) is fitting


def test_what_nextflow_reads_holds_the_parameters_the_sheet_and_our_folders(tmp_path: Path) -> None:
    work = tmp_path / "it's a home"
    folders = Folders(work / "bundle", work / "nextflow", work / "one")
    stale = folders.published / "half.txt"
    stale.parent.mkdir(parents=True)
    stale.touch()
    sheet = {"samplesheet": [{"sample": 'a,"b"', "fastq_1": "/reads/1.fq"}]}
    spec = NextflowSpec(profile=("test", "docker"), outdir="results")
    command.prepare(folders, {"input": sheet, "depth": 10}, spec, session_of("key"))
    params = command.parameters(folders.params)
    assert (params["depth"], params["results"]) == (10, str(folders.published))
    assert Path(params["input"]).read_text() == 'sample,fastq_1\n"a,""b""",/reads/1.fq\n'
    written = Path(params["input"]).stat().st_mtime_ns
    command.prepare(folders, {"input": sheet}, spec, session_of("key"))
    assert Path(params["input"]).stat().st_mtime_ns == written
    assert not stale.exists()
    assert session_of("key") in folders.history.read_text()
    assert "it\\'s a home" in folders.config.read_text()
    argv = command.command_line(Nextflow(("nf",), "24", "", bundled=True), folders, "main.nf", spec, session_of("key"))
    assert argv[0] == "nf"
    assert argv[argv.index("-profile") + 1] == "test,docker"
    assert argv[-2:] == ["-c", str(folders.config)]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("ERROR ~ Java heap space\n", RunState.SYSTEM_ERROR),
        ('Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n', RunState.SYSTEM_ERROR),
        ("ERROR ~ Unable to acquire lock on session with ID 7\n", RunState.SYSTEM_ERROR),
        (
            "ERROR ~ Error executing process > 'A'\n\nCaused by:\n  Process `A` terminated\n\nCommand error:\n"
            "  java.lang.OutOfMemoryError: Java heap space\n",
            RunState.EXECUTOR_ERROR,
        ),
    ],
)
def test_the_jvm_of_nextflow_is_told_apart_from_that_of_a_task(tmp_path: Path, said: str, state: RunState) -> None:
    log = tmp_path / "said"
    log.write_text(said)
    folders = Folders(tmp_path / "bundle", tmp_path / "launch", tmp_path / "reports")
    assert judge(folders, log, 1, cancelled=False, definition=None).state is state


def test_the_executor_of_this_machine_shares_out_the_part_that_is_ours(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "bundle", tmp_path / "launch", tmp_path / "reports")
    told = command.configuration(folders, 2, 1.5).splitlines()
    assert told[-2:] == ["executor.$local.cpus = 2", "executor.$local.memory = '1536 MB'"]
    assert "executor.$local" not in command.configuration(folders)


def test_what_a_task_read_is_where_its_links_lead_and_what_it_gave_is_published_or_taken(tmp_path: Path) -> None:
    one, two = tmp_path / "work" / "aa" / "bbbbbb11", tmp_path / "work" / "cc" / "dddddd22"
    (two / "deep").mkdir(parents=True)
    one.mkdir(parents=True)
    reads = tmp_path / "reads [1]*.fq"
    for path in (reads, one / "x.bam", one / "scratch.tmp", one / ".command.sh", two / "x.vcf"):
        path.write_text(path.name)
    (one / "reads.fq").symlink_to(reads)
    (two / "deep" / "x.bam").symlink_to(one / "x.bam")
    published = tmp_path / "published" / "x.vcf"
    published.parent.mkdir()
    published.write_text("x.vcf")
    trace = tmp_path / "trace.tsv"
    trace.write_text(HEADER + row("A (x)", "COMPLETED", one) + row("B", "COMPLETED", two, start=9000))
    rows = read_trace(trace)
    first, second = with_files(
        task_reports(rows, None), rows, [OutputFile(output="vcf", path=str(published), task="B")]
    )
    assert (first.inputs, first.outputs) == ({"staged": [str(reads)]}, {"made": [str(one / "x.bam")]})
    assert (second.inputs, second.outputs) == ({"staged": [str(one / "x.bam")]}, {"made": [str(published)]})


def test_tasks_whose_folders_are_gone_have_no_files(tmp_path: Path) -> None:
    trace = tmp_path / "trace.tsv"
    trace.write_text(HEADER + row("A", "COMPLETED", tmp_path / "gone"))
    rows = read_trace(trace)
    (task,) = with_files(task_reports(rows, None), rows, [OutputFile(output="x", path="/nowhere/x", task="A")])
    assert (task.inputs, task.outputs) == ({}, {"made": ["/nowhere/x"]})


LAUNCHES = {
    "docker run -i --cpu-shares 1024 -v /w:/w quay.io/a/b:1 /bin/bash -ue /w/x": "container quay.io/a/b:1, docker",
    'set +u; env - PATH="$PATH" singularity exec --no-home b.img /bin/bash': "container quay.io/a/b:1, singularity",
    "/bin/bash -ue /data/docker/w/.command.sh": "somewhere",
}


@pytest.mark.parametrize("launch", LAUNCHES)
def test_a_container_held_a_task_only_when_its_launcher_started_one(tmp_path: Path, launch: str) -> None:
    folder = tmp_path / "aa" / "bbbbbb11"
    folder.mkdir(parents=True)
    text = (
        f"nxf_trace() {{\n    docker run x\n}}\n\nnxf_launch() {{\n    {launch}\n}}\n\nnxf_stage() {{\n    true\n}}\n"
    )
    (folder / ".command.run").write_text(text)
    trace = tmp_path / "trace.tsv"
    trace.write_text(HEADER.replace("workdir", "container\tworkdir") + row("A", "COMPLETED", Path("quay.io/a/b:1")))
    trace.write_text(trace.read_text().replace("quay.io/a/b:1\n", f"quay.io/a/b:1\t{folder}\n"))
    (task,) = task_reports(read_trace(trace), "somewhere")
    assert (task.declared_image, task.ran_in) == ("quay.io/a/b:1", LAUNCHES[launch])

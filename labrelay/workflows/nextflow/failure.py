"""What the end of a pipeline means: the state, and the sentence that helps."""

from __future__ import annotations

import re
from pathlib import Path

from labrelay.model.states import RunState
from labrelay.workflows.definition import Definition
from labrelay.workflows.nextflow.folders import Folders
from labrelay.workflows.nextflow.lint import publishes
from labrelay.workflows.nextflow.outputs import published_files
from labrelay.workflows.nextflow.trace import Traced, read_trace
from labrelay.workflows.verdict import Verdict, died, task_failure

TAIL_BYTES = 65_536
ERROR = re.compile(r"^ERROR ~ (.*?)(?=^ERROR ~ |\Z)", re.MULTILINE | re.DOTALL)
FAILED_PROCESS = re.compile(r"Error executing process > '(.+?)'$", re.MULTILINE)
CAUSE = re.compile(r"^Caused by:\n\s*(.+)$", re.MULTILINE)
NOISE = re.compile(r"^(N E X T F L O W|Launching |WARN:|\[|\s*-- Check |executor > |$)")
# Of the JVM itself; a task's own Java says it in that task's words, which are indented.
NO_MEMORY = re.compile(
    r"^(ERROR ~ |Exception in thread .*|java\.lang\.\w*: ?|)"
    r"(java\.lang\.OutOfMemoryError|Java heap space|GC overhead limit exceeded)",
    re.MULTILINE,
)
NO_LOCK = re.compile(r"^(ERROR ~ )?Unable to acquire lock on session", re.MULTILINE)
NOTHING = (
    "The pipeline ended well but published no file; give its processes a publishDir below params.{outdir}, or name "
    "the parameter for that folder as `outdir` in the table [nextflow] of its definition."
)
OUT_OF_MEMORY = (
    "Nextflow itself ran out of memory; give its JVM more, for example with NXF_OPTS=-Xmx4g in the environment."
)
LOCKED = (
    "Another Nextflow holds this run's session; wait until it has ended, or stop it, and try again from where it is."
)
NO_PLUGIN = "; install it where a network is, and name its folder in NXF_PLUGINS_DIR"
TOO_BIG = "; lower the process's request, or set `process.resourceLimits` in a config of the definition"


def judge(folders: Folders, said: Path, code: int, cancelled: bool, definition: Definition | None) -> Verdict:
    """Return what the end means.

    Args:
        folders: Of the attempt.
        said: What Nextflow printed.
        code: Its exit code, or 128 + the signal that ended it.
        cancelled: Somebody had asked for the end.
        definition: Of the pipeline, None when it does not load any more. One that means to publish nothing has ended
            well without files: what it printed is its output.
    """
    if code == 0:
        if next(published_files(folders.published), None) is not None:
            return Verdict(RunState.COMPLETE)
        if definition is not None and not publishes(definition):
            return Verdict(RunState.COMPLETE)
        outdir = definition.nextflow.outdir if definition is not None else None
        return Verdict(RunState.EXECUTOR_ERROR, NOTHING.format(outdir=outdir or "outdir"))
    if cancelled:
        return Verdict(RunState.CANCELED, "Cancelled on request; finished tasks are kept for the next attempt.")
    text = _tail(said)
    for sign, sentence in ((NO_MEMORY, OUT_OF_MEMORY), (NO_LOCK, LOCKED)):
        if sign.search(text):
            return Verdict(RunState.SYSTEM_ERROR, sentence)
    if code > 128:
        return Verdict(RunState.SYSTEM_ERROR, died(said, code))
    return Verdict(RunState.EXECUTOR_ERROR, _sentence(folders, text) or died(said, code))


def _sentence(folders: Folders, text: str) -> str | None:
    errors = [found[1].strip() for found in ERROR.finditer(text)]
    first = errors[0] if errors else ""
    failed = _failed_of(read_trace(folders.trace), FAILED_PROCESS.search(first))
    if failed is not None and failed.exit_code:
        said = task_failure(failed.name, failed.exit_code, failed.folder / ".command.err")
        return said.replace(f"{failed.folder}/", "")
    process, cause = FAILED_PROCESS.search(first), CAUSE.search(first)
    if process is not None and cause is not None:
        hint = TOO_BIG if "requirement exceeds available" in cause[1] else ""
        return f"Process {process[1]} failed: {cause[1].strip().rstrip('.')}{hint}."
    # The pipeline's files are named as its author knows them.
    plain = (first or text).replace(f"{folders.bundle}/", "")
    lines = [line.strip() for line in plain.splitlines() if not NOISE.match(line)]
    said = " | ".join(line for line in lines[:4] if line)
    hint = NO_PLUGIN if said.startswith("Plugin with id") else ""
    return f"Nextflow refused the pipeline: {said[:600].rstrip('.')}{hint}." if said else None


def failed_task(folders: Folders, said: Path) -> Traced | None:
    """Return the task that ended the pipeline, None when none did."""
    return _failed_of(read_trace(folders.trace), FAILED_PROCESS.search(_tail(said)))


def _failed_of(rows: list[Traced], named: re.Match[str] | None) -> Traced | None:
    """Return the one that Nextflow names, else the last that failed."""
    failed = [row for row in rows if row.state is RunState.EXECUTOR_ERROR]
    those = [row for row in failed if named is not None and row.name == named[1]]
    found = those or failed
    return found[-1] if found else None


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return handle.read().decode(errors="replace")
    except OSError:
        return ""

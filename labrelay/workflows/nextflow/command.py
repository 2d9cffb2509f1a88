"""How a pipeline is started: what Nextflow reads, its command line, and its environment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labrelay.model.errors import MissingTool
from labrelay.model.names import slug
from labrelay.stores.durable import make_dirs, storage_errors, write_atomic, write_json_atomic
from labrelay.workflows.definition import NextflowSpec
from labrelay.workflows.nextflow.folders import Folders
from labrelay.workflows.nextflow.runtime import Nextflow
from labrelay.workflows.nextflow.samplesheet import SHEET, is_sheet, sheet_csv

# What Nextflow, Java and container programs need of our environment; no credentials.
PASSED_ON = (
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "JAVA_HOME",
)
# Settings of Nextflow that people make in their environment; those that hold tokens are not among them.
PASSED_ON_OF_NEXTFLOW = (
    *("NXF_JAVA_HOME", "NXF_OPTS", "NXF_PLUGINS_DIR", "NXF_OFFLINE", "NXF_VER", "NXF_TEMP", "NXF_ASSETS"),
    *("NXF_SINGULARITY_CACHEDIR", "NXF_APPTAINER_CACHEDIR", "NXF_CONDA_CACHEDIR", "NXF_SYNTAX_PARSER"),
)
# `raw` gives milliseconds and bytes; the columns are named, so their order does not matter.
TRACE_FIELDS = (
    *("task_id", "hash", "process", "tag", "name", "status", "exit", "container", "cpus", "memory", "attempt"),
    *("submit", "start", "complete", "realtime", "%cpu", "peak_rss", "workdir"),
)
SEEDED = "1970-01-01 00:00:00\t-\tlabrelay\t-\t-\t{}\tlabrelay\n"


def check_tools() -> None:
    """Raise `MissingTool` if this machine lacks what Nextflow's tasks use to measure themselves."""
    missing = [program for program in ("bash", "ps") if shutil.which(program) is None]
    if missing:
        raise MissingTool(f"Nextflow's tasks need {' and '.join(missing)} on PATH; install bash and procps.")


def prepare(
    folders: Folders,
    inputs: Mapping[str, Any],
    spec: NextflowSpec,
    session: str,
    columns: Sequence[str] = (),
    part: tuple[int | None, float | None] = (None, None),
) -> None:
    """Write what Nextflow reads, and empty the folder that it publishes to.

    Args:
        folders: Of the attempt; no other attempt of the same run is under way.
        inputs: Parameters; one that holds `{"samplesheet": rows}` becomes a CSV file, and its path the value.
        spec: What the definition says of Nextflow.
        session: From `session_of`.
        columns: Of a sample sheet, in their order.
        part: Processors and GiB of this machine that are ours; None: all of them.

    Raises:
        StorageFailed: The disk did not take it.
    """
    with storage_errors("prepare the pipeline", folders.launch):
        for stale in (folders.published, folders.launch / "copied"):
            shutil.rmtree(stale, ignore_errors=True)
        for folder in (folders.work, folders.published, folders.reports, folders.history.parent):
            make_dirs(folder)
        if not folders.history.exists():
            # Nextflow resumes no session that it does not know, and the first attempt is to have this id as well.
            write_atomic(folders.history, SEEDED.format(session).encode())
        params = {name: _sheet(folders, name, value, columns) for name, value in inputs.items()}
        if spec.outdir:
            params[spec.outdir] = str(folders.published)
        write_json_atomic(folders.params, params)
        write_atomic(folders.config, configuration(folders, *part).encode())


def _sheet(folders: Folders, name: str, value: Any, columns: Sequence[str]) -> Any:
    if not is_sheet(value):
        return value
    path, text = folders.sheets / f"{slug(name)}.csv", sheet_csv(value[SHEET], columns).encode()
    if not path.is_file() or path.read_bytes() != text:
        make_dirs(path.parent)
        write_atomic(path, text)
        os.utime(path, (0, 0))
    return str(path)


def configuration(folders: Folders, cpus: int | None = None, memory_gib: float | None = None) -> str:
    """Return our configuration: where things go and which reports are made. Executors and resources stay theirs.

    Args:
        folders: Of the attempt.
        cpus, memory_gib: What the executor of this machine shares out among tasks; None: all of it.
    """
    reports = {"trace": "trace.tsv", "timeline": "timeline.html", "report": "report.html", "dag": "dag.html"}
    lines = [f"workDir = {_quoted(folders.work)}", f"outputDir = {_quoted(folders.published)}"]
    for scope, file in reports.items():
        path = _quoted(folders.reports / file)
        lines += [f"{scope}.enabled = true", f"{scope}.overwrite = true", f"{scope}.file = {path}"]
    lines += ["trace.raw = true", f"trace.fields = '{','.join(TRACE_FIELDS)}'"]
    lines += [f"executor.$local.cpus = {cpus}"] if cpus is not None else []
    lines += [f"executor.$local.memory = '{int(memory_gib * 1024)} MB'"] if memory_gib is not None else []
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """Return a Groovy string in single quotes, in which nothing is evaluated."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{text}'"


def command_line(nextflow: Nextflow, folders: Folders, main: str, spec: NextflowSpec, session: str) -> list[str]:
    """Return the arguments that run the pipeline, or go on with it; nothing of it passes a shell."""
    argv = [*nextflow.argv, "-log", str(folders.log), "run", str(folders.bundle / main)]
    argv += ["-ansi-log", "false", "-params-file", str(folders.params), "-resume", session]
    if spec.profile:
        argv += ["-profile", ",".join(spec.profile)]
    for config in (*(folders.bundle / name for name in spec.config), folders.config):
        argv += ["-c", str(config)]
    return argv


def environment(nextflow: Nextflow, home: Path, tool_path: Sequence[str]) -> dict[str, str]:
    """Return the environment of Nextflow: a short list, so that no credential reaches a task.

    Args:
        nextflow: From `runtime.find`. One that is a folder of jars has no plugins, and fetches nothing.
        home: Where it keeps what it has fetched, such as plugins.
        tool_path: Folders that tasks search for programs.
    """
    kept = {name: os.environ[name] for name in (*PASSED_ON, *PASSED_ON_OF_NEXTFLOW) if name in os.environ}
    kept |= {"PATH": os.pathsep.join(tool_path), "NXF_HOME": str(home), "NXF_DISABLE_CHECK_LATEST": "true"}
    if nextflow.bundled:
        # With this our tests need no network; a pipeline that names plugins needs a folder of them.
        kept["NXF_OFFLINE"] = "true"
        if "NXF_PLUGINS_DIR" not in kept:
            kept["NXF_PLUGINS_DEFAULT"] = "false"
    return kept


def parameters(path: Path) -> dict[str, Any]:
    """Return the parameters as they were written for Nextflow, or none if they cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""What an engine left in a job's container, on its way to S3: the files first, then the report that names them."""

from __future__ import annotations

from pathlib import Path

from labrelay.model.names import slug
from labrelay.model.runs import RunReport
from labrelay.stores.s3 import S3ObjectStore
from labrelay.workflows.report_paths import with_paths

LOGS = 20  # of an attempt's logs, the most useful first


def leave(store: S3ObjectStore, where: str, report: RunReport, origins: dict[str, str], image: str) -> RunReport:
    """Send outputs and logs to S3 and return the report with their URIs.

    Args:
        store: The work folder in S3.
        where: The key below which they go; an attempt of a job has one of its own, since a file is never replaced.
        report: With paths of the container.
        origins: By such a path, what an input is called outside.
        image: What the container was made of.

    Raises:
        StorageFailed: S3 did not take them.
    """
    names = dict(origins)
    for file in report.files:
        # An output may be a link to what it is; the engine has seen to it that this is the run's own.
        key = f"{where}/out/{slug(file.output)}/{file.index}/{slug(Path(file.path).name)}"
        names[file.path] = store.uri(store.stage(Path(file.path).resolve(), key).commit())
    logs = [path for path in report.logs if Path(path).is_file()][:LOGS]
    for number, path in enumerate(logs):
        names[path] = store.uri(store.stage(Path(path), f"{where}/log/{number}/{slug(Path(path).name)}").commit())
    tasks = tuple(task.model_copy(update={"ran_in": _held(image, task.ran_in)}) for task in report.tasks)
    told = report.model_copy(update={"logs": tuple(logs), "sandbox": _held(image, report.sandbox), "tasks": tasks})
    return with_paths(told, names)


def _held(image: str, inside: str | None) -> str:
    """Return what held something: the job's container, and what held it in there."""
    return f"container {image}" + (f", {inside}" if inside else "")

"""Outputs of runs: from the engine's output folder to S3, laid out as HealthOmics does.

<runOutputUri>/out/<output>/[<index>/]<file>
<runOutputUri>/pubdir/<path>                  what a pipeline has published, in place of `out/` and of the list
<runOutputUri>/logs/outputs.json              URIs and values by output
<runOutputUri>/logs/engine.log
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from labrelay.emulator.run_faults import export_failed
from labrelay.emulator.service import Service
from labrelay.workflows.local.home import Attempt
from labrelay.workflows.local.pipeline import folders_of
from labrelay.workflows.nextflow.outputs import published_files
from labrelay.workflows.verdict import read_json

log = logging.getLogger(__name__)

TRIES = 4
FIRST_WAIT_SECONDS = 0.5
# boto3's transfers tell S3's error code only in their text.
FINAL_ERROR = re.compile(r"\((NoSuchBucket|AccessDenied|InvalidBucketName|InvalidAccessKeyId|403|404)\)")
Failed = (Boto3Error, BotoCoreError, ClientError)


@dataclass
class Export:
    """What is to be uploaded.

    Attributes:
        files: (local path, key relative to the run's output URI).
        values: The content of `outputs.json`; None of a pipeline, which has no list.
    """

    files: list[tuple[Path, str]] = field(default_factory=list)
    values: dict[str, Any] | None = None


def plan_export(attempt: Attempt, uri: str) -> Export:
    """Return what of an attempt's outputs goes where.

    Args:
        attempt: One that has ended well.
        uri: The run's output URI, without a slash at its end.
    """
    if (attempt.work / "nextflow").is_dir():
        folder = folders_of(attempt).published
        return Export([(path.resolve(), f"pubdir/{path.relative_to(folder)}") for path in published_files(folder)])
    # miniwdl names each output file by a link below `out/`: an earlier attempt's when its results were taken whole.
    link = re.compile(re.escape(f"{attempt.work}/") + r"[^/]+/(out/.+)", re.DOTALL)
    export = Export()

    def located(value: Any) -> Any:
        if isinstance(value, list):
            return [located(item) for item in value]
        if isinstance(value, dict):
            return {key: located(item) for key, item in value.items()}
        match = link.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            return value
        key = match[1].rstrip("/")
        files = list(_files(Path(value), key))
        export.files += files
        return f"{uri}/{key}/" if Path(value).is_dir() else f"{uri}/{key}"

    outputs = read_json(attempt.engine_folder / "outputs.json")
    export.values = {name: located(value) for name, value in (outputs or {}).items()}
    return export


def _files(path: Path, key: str) -> Iterator[tuple[Path, str]]:
    real = path.resolve()
    if real.is_file():
        yield real, key
    elif real.is_dir():
        for found in sorted(real.rglob("*")):
            if found.is_file() and not found.is_symlink():
                yield found, f"{key}/{found.relative_to(real)}"


class Exporter:
    """Uploads one run's outputs; doing it again replaces each object by the same."""

    def __init__(self, service: Service, uri: str, check: Callable[[], None]) -> None:
        """Take where to.

        Args:
            service: Its S3.
            uri: The run's output URI.
            check: Called between files; raises to stop.
        """
        self._s3, self._uri, self._check = service.s3, uri, check
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def upload(self, attempt: Attempt, engine_log: bytes) -> None:
        """Upload outputs, the log, and `outputs.json` where there is one.

        Raises:
            RunFault: EXPORT_FAILED.
        """
        export = plan_export(attempt, self._uri)
        try:
            for path, key in export.files:
                self._check()
                self._again(self._s3.upload_file, str(path), self._bucket, self._prefix + key)
            self._put("logs/engine.log", engine_log, "text/plain")
            if export.values is not None:
                content = json.dumps(export.values, indent=2, ensure_ascii=False).encode()
                # Last, so that whoever sees it finds everything that it names.
                self._put("logs/outputs.json", content, "application/json")
        except (*Failed, OSError) as error:
            raise export_failed(self._uri, error) from error

    def upload_log(self, engine_log: bytes) -> None:
        """Upload the log of a run that failed; what cannot be uploaded is only noted."""
        try:
            self._put("logs/engine.log", engine_log, "text/plain")
        except Failed as error:
            log.warning("the engine's log was not exported to %s: %s", self._uri, error)

    def remove(self, attempt: Attempt) -> None:
        """Remove what an export that was stopped has uploaded; what cannot be removed is only noted."""
        keys = [key for _, key in plan_export(attempt, self._uri).files]
        try:
            for key in [*keys, "logs/outputs.json", "logs/engine.log"]:
                self._again(self._s3.delete_object, Bucket=self._bucket, Key=self._prefix + key)
        except Failed as error:
            log.warning("outputs of a cancelled run stay at %s: %s", self._uri, error)

    def _put(self, key: str, content: bytes, kind: str) -> None:
        where = {"Bucket": self._bucket, "Key": self._prefix + key}
        self._again(self._s3.put_object, **where, Body=content, ContentType=kind)

    def _again(self, action: Callable[..., object], *values: Any, **named: Any) -> None:
        """Do it, and do it again while that may help."""
        for number in range(TRIES):
            try:
                action(*values, **named)
            except Failed as error:
                if number + 1 == TRIES or FINAL_ERROR.search(str(error)):
                    raise
                time.sleep(FIRST_WAIT_SECONDS * 2**number)
            else:
                return

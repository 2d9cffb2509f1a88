"""How runs go on AWS Batch, and where in S3 the engine and its jobs meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.runs import Priority


@dataclass(frozen=True)
class BatchSettings:
    """How jobs are started.

    Attributes:
        queues: The job queue, by name or ARN, for each priority of a run.
        image: The container image of all jobs; Labrelay and the workflows' tools are in it.
        role_arn: The role that jobs take to read and write S3.
        work_uri: `s3://bucket/prefix` where orders, bundles and what comes of them lie; see `places`.
        download: A local folder: outputs are brought here.
        file_system: An EFS file system that outlives a job's host, so that the next attempt goes on from finished
            tasks. None: it begins anew.
        cpus, memory_gib, minutes: Of a job whose definition says nothing else.
        host_losses: How often a job begins again on another host; whatever else ends it is not tried again by Batch.
    """

    queues: Mapping[Priority, str]
    image: str
    role_arn: str
    work_uri: str
    download: Path
    file_system: str | None = None
    cpus: int = 2
    memory_gib: float = 4
    minutes: int = 1440
    host_losses: int = 2

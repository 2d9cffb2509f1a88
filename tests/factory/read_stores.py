"""Homes with objects and a read store, each on what it really runs on: a folder, or S3 and HealthOmics (emulated)."""

from __future__ import annotations

import gzip
import time
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from labrelay.model.files import FileRef
from labrelay.model.reads import ReadSource
from labrelay.stores.aws import Aws
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_reads import FolderReadStore
from labrelay.stores.healthomics_reads import HealthOmicsReadStore
from labrelay.stores.healthomics_setup import ensure_stores
from labrelay.stores.ports import ImportJob, ObjectStore, ReadStore
from labrelay.stores.s3 import S3ObjectStore
from labrelay.stores.s3_bucket import ensure_bucket

ROLE = "arn:aws:iam::123456789012:role/LabImport"
BUCKET = "reads-lab"
FASTQ = b"@r%d/%d\nACGT\n+\nIIII\n"
ENDED = ("COMPLETED", "COMPLETED_WITH_FAILURES", "FAILED")
SECONDS = 60.0


class Lab(ABC):
    """A home with objects and a read store."""

    objects: ObjectStore
    reads: ReadStore

    def source(self, sample: str, *contents: bytes, file_type: str = "FASTQ", **more: Any) -> ReadSource:
        """Store files of a sample and return what is asked of the read store for them."""
        files = tuple(
            self.objects.put_bytes(f"raw/{sample}_R{n}.fastq.gz", content) for n, content in enumerate(contents, 1)
        )
        return ReadSource(sample_id=f"smp_{sample}", name=sample, file_type=file_type, files=files, **more)

    def pair(self, sample: str, **more: Any) -> ReadSource:
        """Store a pair of FASTQ files that no other sample has."""
        number = sum(sample.encode())
        mates = (gzip.compress(FASTQ % (number, mate) + FASTQ % (number + 1, mate), mtime=0) for mate in (1, 2))
        return self.source(sample, *mates, **more)

    def finish(self, job_id: str) -> ImportJob:
        """Return the job when it has ended."""
        until = time.monotonic() + SECONDS
        while (job := self.reads.job(job_id)).status not in ENDED:
            assert time.monotonic() < until, f"{job.status} after {SECONDS:.0f} s"
            time.sleep(0.05)
        return job

    def imported(self, sources: list[ReadSource], token: str) -> ImportJob:
        """Import and wait."""
        return self.finish(self.reads.import_reads(sources, token))

    @abstractmethod
    def lose(self, ref: FileRef) -> bytes:
        """Remove an object behind the store's back and return what it held."""

    @abstractmethod
    def other_machine(self) -> Lab:
        """Return the same home as another process of it sees it."""


class FolderLab(Lab):
    """Everything in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = FolderObjectStore(root / "objects")
        self.reads = FolderReadStore(root / "reads", self.objects)

    def lose(self, ref: FileRef) -> bytes:
        """Unlink the file."""
        path = self.objects.local_path(ref)
        assert path is not None
        content = path.read_bytes()
        path.unlink()
        return content

    def other_machine(self) -> FolderLab:
        """Return the same folder."""
        return FolderLab(self.root)


class HealthOmicsLab(Lab):
    """Objects below a prefix of a bucket, read sets in the stores of an account."""

    def __init__(self, aws: Aws, root: Path, prefix: str | None = None) -> None:
        self.aws, self.root = aws, root
        self.prefix = prefix or f"lab-{uuid.uuid4().hex}"
        ensure_bucket(aws, BUCKET)
        self.objects = S3ObjectStore(aws, BUCKET, self.prefix)
        self.stores = ensure_stores(aws, "lab")
        self.reads: HealthOmicsReadStore = HealthOmicsReadStore(
            aws, self.objects, root / f"state-{uuid.uuid4().hex}", self.stores, ROLE
        )

    def lose(self, ref: FileRef) -> bytes:
        """Delete the object."""
        with self.objects.open(ref) as opened:
            content = opened.read()
        self.aws.client("s3").delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{ref.key}")
        return content

    def other_machine(self) -> HealthOmicsLab:
        """Return the same stores, seen from an empty state folder."""
        return HealthOmicsLab(self.aws, self.root, self.prefix)

"""The two ports of this room: what a place for bytes and a place for reads have to do.

Every implementation passes the same contract tests (`tests/stores/`): the folder now, S3 and HealthOmics later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from labrelay.model.files import FileRef
from labrelay.model.problem import Frozen
from labrelay.model.reads import ReadSet, ReadSource, Reference


class Watcher(Protocol):
    """Sees each byte of a file once, in order, while the store takes it (a content gate, a checksum)."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file as they are on disk."""

    def close(self) -> None:
        """Release threads and buffers; called once, also after an error."""


class Staged(Protocol):
    """Bytes that the store has taken and made durable but nobody can see yet."""

    ref: FileRef

    def commit(self) -> FileRef:
        """Make the file visible under its key. The same bytes there already: nothing is written.

        Raises:
            Conflict: Other bytes are there; stored files are never replaced.
        """

    def abort(self) -> None:
        """Drop the bytes; after `commit` it does nothing."""


class StagedMany(Protocol):
    """Several files that the store has taken and made durable but nobody can see yet."""

    @property
    def refs(self) -> list[FileRef]:
        """What the files will be, in order."""

    def commit(self) -> list[FileRef]:
        """Make the files visible; all of them are durable when this returns. The same bytes there already stay.

        Raises:
            Conflict: Other bytes are under one of the keys; told before any of the files is visible.
        """

    def abort(self) -> None:
        """Drop the bytes; after `commit` it does nothing."""


class ObjectStore(Protocol):
    """Bytes under keys, put once, each with SHA-256 and size computed in the pass that read them.

    Attributes:
        bundle_bytes: The most that small files of a bundle should have together; several bundles are under way at once.
    """

    name: str
    bundle_bytes: int

    def stage(
        self,
        source: Path,
        key: str,
        watchers: Sequence[Watcher] = (),
        on_bytes: Callable[[int], None] | None = None,
    ) -> Staged:
        """Read `source` once, give each chunk to the watchers, and hold the bytes durably and unseen.

        Raises:
            StorageFailed: The file changed, vanished or is no regular file, or the store is full.
        """

    def stage_many(
        self, files: Sequence[tuple[Path, str]], on_bytes: Callable[[int], None] | None = None
    ) -> StagedMany:
        """Read small files (source and key) once each, and hold their bytes durably and unseen: all or none.

        `on_bytes` may be called from several threads. Memory is bounded by the bytes of the files together.

        Raises:
            StorageFailed: A file changed, vanished or is no regular file, or the store is full.
        """

    def put_bytes(self, key: str, content: bytes) -> FileRef:
        """Store a small object; the same content again changes nothing, other content raises `Conflict`."""

    def head(self, key: str) -> FileRef | None:
        """Return what is stored under `key`, or None. Cost: constant, without reading the bytes."""

    def open(self, ref: FileRef) -> BinaryIO:
        """Open exactly this version for reading."""

    def local_path(self, ref: FileRef) -> Path | None:
        """Return a path that a local tool may read, when this store has one."""

    def uri(self, ref: FileRef) -> str:
        """Return the URI that engines and people use for it."""

    def list(self, prefix: str) -> Iterator[FileRef]:
        """Yield what lies below `prefix`, which ends at a separator: `runs/fc-1` never means `runs/fc-10`."""


class ImportJob(Frozen):
    """An import job with one outcome a source, so that one bad source does not sink the others."""

    id: str
    status: str
    done: tuple[ReadSet, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()  # (read set id, reason)


class ExportJob(Frozen):
    """Read sets on their way out of the store.

    Attributes:
        id: What the store calls it.
        destination: Where they go; each has a place of its own below it.
        read_sets: Those that are exported.
        status: `SUBMITTED`, … until it has ended: `COMPLETED`, `COMPLETED_WITH_FAILURES`, `FAILED`, `CANCELLED`.
        failed: (read set id, reason) of those that were not.
        names: The read sets by what the store calls them, where that is something else.
    """

    id: str
    destination: str
    read_sets: tuple[str, ...]
    status: str = "SUBMITTED"
    failed: tuple[tuple[str, str], ...] = ()
    names: Mapping[str, str] = {}


class ReadStore(Protocol):
    """Read sets and references."""

    name: str

    def import_reads(self, sources: Sequence[ReadSource], token: str) -> str:
        """Start importing and return the job's id; the same token is the same job, however often it is asked."""

    def job(self, job_id: str) -> ImportJob:
        """Return how the job stands, source by source."""

    def describe(self, read_set_id: str) -> ReadSet | None:
        """Return the read set, or None."""

    def locations(self, read_set_id: str) -> tuple[str, ...]:
        """Return what an engine may read: local paths here, `omics://` or S3 URIs on AWS; R1 before R2."""

    def add_reference(self, source: Path, name: str) -> Reference:
        """Normalise, index and store a reference (FASTA or GenBank); the same content again is the same reference."""

    def reference(self, name_or_id: str) -> Reference | None:
        """Return the newest reference of this name, or the one with this id."""

    def references(self) -> tuple[Reference, ...]:
        """Return all references, by name and then age."""

    def reference_location(self, reference: Reference, part: str = "fasta") -> str:
        """Return what an engine may read for `fasta`, `fai` or `annotation`."""

    def reference_path(self, reference: Reference, part: str = "fasta") -> Path:
        """Return a local file of that part, for documents and tools of this machine."""

    def activate(self, read_set_ids: Sequence[str]) -> tuple[str, ...]:
        """Ask for what is archived among the read sets and return those that cannot be read yet; ask until none is."""

    def s3_uris(self, read_set_id: str) -> tuple[str, ...]:
        """Return the `s3://` URIs of the read set's files, for other programs; none where they do not lie in S3."""

    def export(self, read_set_ids: Sequence[str], destination: str) -> tuple[ExportJob, ...]:
        """Copy read sets to a place outside the store, or start to; ask `export_job` until each job has ended.

        Raises:
            UsageError: The store cannot export to such a place.
        """

    def export_job(self, job: ExportJob) -> ExportJob:
        """Return how an export stands now."""

    def upload(
        self, paths: Sequence[Path], source: ReadSource, on_bytes: Callable[[int], None] | None = None
    ) -> ReadSet:
        """Take local files that lie in no object store as one read set; done before, it is found.

        Args:
            paths: One file, or R1 and R2.
            source: What they are; the SHA-256 of its `files` is that of the bytes that are meant.
            on_bytes: Told bytes as they are sent.

        Raises:
            RefusedInput: The store cannot take the files.
            StorageFailed: A file changed meanwhile, or the store failed.
        """

"""Read sets and import jobs as files in a folder, beside the objects that they are made of.

    jobs/<imp_…>.json                 what was asked, and how each source that failed did
    readsets/<rds_…>/source1.fastq.gz [source2.fastq.gz]   the objects under another name (hard links), no second copy
    readsets/<rds_…>/metadata.json    written last: a folder without it is no read set yet

A job that was killed is finished by asking again with its token: a finished read set is found by its metadata and not
touched, and only what has none is imported. Imports of one store wait for each other; they are links, so not for long.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from labrelay.model.errors import Conflict, LabrelayError, NotFound, RefusedInput, StorageFailed, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.model.ids import derived_id
from labrelay.model.problem import Frozen, Problem
from labrelay.model.reads import ReadSet, ReadSource
from labrelay.stores.durable import (
    GRACE_SECONDS,
    file_lock,
    fsync_dir,
    make_dirs,
    open_temp,
    remove_stale_temps,
    storage_errors,
    write_all,
    write_json_atomic,
)
from labrelay.stores.folder_copies import READ_ONLY, copy_file
from labrelay.stores.joining import files_to_read, join
from labrelay.stores.jsonfile import checked_id, read_model, utc_now
from labrelay.stores.ports import ImportJob, ObjectStore
from labrelay.stores.read_types import wrong_files
from labrelay.stores.source import open_source

CHUNK = 2 << 20
LOCK_SECONDS = 60.0
GZIP_MAGIC = b"\x1f\x8b"
SUFFIX = {"BAM": ".bam", "UBAM": ".bam", "CRAM": ".cram"}
NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


class _JobFile(Frozen):
    """`jobs/<id>.json`: the intent is written first, the outcome when every source has one."""

    id: str
    token: str
    sources: tuple[str, ...]
    status: str
    failed: tuple[tuple[str, str], ...] = ()


class ReadSetFolder:
    """The read-set half of `ReadStore` on a folder; `FolderReadStore` adds the references.

    Args:
        root: Made at the first write.
        objects: Where the files of the sources lie.
    """

    def __init__(self, root: Path, objects: ObjectStore) -> None:
        self.root = root.absolute()
        self._objects = objects

    def import_reads(self, sources: Sequence[ReadSource], token: str) -> str:
        """Import the sources now and return the job's id; see `ReadStore.import_reads`.

        Costs a link a file and two flushes a source, nothing for a source that is imported already.

        Raises:
            Conflict: The token was used for other sources.
            UsageError: There is no source, or one stands there twice.
            Busy: Another process has been importing for a minute.
        """
        ids = tuple(source.id for source in sources)
        if not ids or len(set(ids)) != len(ids):
            raise UsageError("An import needs at least one source, and each only once.")
        job_id = derived_id("imp", token)
        with file_lock(self.root / ".lock", f"the read store {self.root}", timeout=LOCK_SECONDS):
            self._run_job(_JobFile(id=job_id, token=token, sources=ids, status="IN_PROGRESS"), sources)
        return job_id

    def job(self, job_id: str) -> ImportJob:
        """Return how the job stands; `IN_PROGRESS` with nobody at it is finished by asking again with its token.

        Raises:
            NotFound: No such job.
        """
        job = self._read_job(job_id)
        if job is None:
            raise NotFound(f"There is no import job {job_id} in {self.root}.")
        done = tuple(found for each in job.sources if (found := self.describe(each)) is not None)
        return ImportJob(id=job.id, status=job.status, done=done, failed=job.failed)

    def describe(self, read_set_id: str) -> ReadSet | None:
        """Return the read set, or None while it is not complete."""
        return read_model(self._folder(read_set_id) / "metadata.json", ReadSet)

    def locations(self, read_set_id: str) -> tuple[str, ...]:
        """Return the paths of the read set's files, R1 before R2.

        Raises:
            NotFound: No such read set.
            StorageFailed: Its files are gone from the disk.
        """
        found = self.describe(read_set_id)
        if found is None:
            raise NotFound(f"There is no read set {read_set_id} in {self.root}; import its reads first.")
        folder, paths = self._folder(read_set_id), []
        for number, ref in enumerate(self._files(found.source), start=1):
            path = next(iter(sorted(folder.glob(f"source{number}.*"))), None)
            if path is None or path.stat().st_size != ref.size:
                raise StorageFailed(
                    f"File {number} of read set {read_set_id} is not whole in {folder}; import it again."
                )
            paths.append(str(path))
        return tuple(paths)

    def upload(
        self, paths: Sequence[Path], source: ReadSource, on_bytes: Callable[[int], None] | None = None
    ) -> ReadSet:
        """Copy local files that lie in no object store as one read set; see `ReadStore.upload`.

        Raises:
            RefusedInput: The files make no read set.
            StorageFailed: A file holds other bytes than meant, or the disk failed.
            Busy: Another process has been importing for a minute.
        """
        if (wrong := wrong_files(source)) is not None or len(paths) != len(source.files):
            message = wrong or f"{len(paths)} files were given for {len(source.files)}."
            raise RefusedInput(source.name, [Problem(code="READS_REFUSED", message=message)])
        with file_lock(self.root / ".lock", f"the read store {self.root}", timeout=LOCK_SECONDS):
            found = self.describe(source.id) if self._is_whole(source) else None
            if found is not None:
                return found
            folder = self._folder(source.id)
            for number, (path, ref) in enumerate(zip(paths, source.files, strict=True), start=1):
                with open_source(path) as opened:
                    suffix = _suffix(source, os.pread(opened.handle, 2, 0))
                copy_file(path, folder / f"source{number}{suffix}", ref.sha256, READ_ONLY, on_bytes)
                faultpoint("reads.file_linked")
            return self._finish(source)

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed imports left; return how many files."""
        return sum(remove_stale_temps(self.root / part, older_than) for part in ("jobs", "readsets"))

    def _run_job(self, asked: _JobFile, sources: Sequence[ReadSource]) -> None:
        before = self._read_job(asked.id)
        if before is not None and set(before.sources) != set(asked.sources):
            raise Conflict(f"Import job {asked.id} was asked for other sources; use a token made from what is asked.")
        if before is not None and before.status == "COMPLETED" and all(map(self._is_whole, sources)):
            return
        self._write_job(asked)
        faultpoint("reads.job_written")
        failed = tuple((source.id, reason) for source in sources if (reason := self._try_import(source)) is not None)
        faultpoint("reads.imported")
        status = _job_status(len(asked.sources), len(failed))
        self._write_job(asked.model_copy(update={"status": status, "failed": failed}))

    def _files(self, source: ReadSource) -> tuple[FileRef, ...]:
        """Return the files that a read set's own are other names of.

        Raises:
            StorageFailed: They are not there.
        """
        found = files_to_read(self._objects, source)
        if found is None:
            raise StorageFailed(f"The joined reads of {source.name} are gone; import its reads again.")
        return found

    def _folder(self, read_set_id: str) -> Path:
        return self.root / "readsets" / checked_id(read_set_id, "rds_")

    def _try_import(self, source: ReadSource) -> str | None:
        """Import one source; return None, or the sentence why it could not be done."""
        try:
            if self._is_whole(source):
                return None
            if (wrong := wrong_files(source)) is not None:
                return wrong
            self._import(source)
        except LabrelayError as error:
            return str(error)
        return None

    def _is_whole(self, source: ReadSource) -> bool:
        try:
            return bool(self.locations(source.id))
        except (NotFound, StorageFailed):
            return False

    def _import(self, source: ReadSource) -> None:
        folder = self._folder(source.id)
        with storage_errors(f"import {source.name}", folder):
            make_dirs(folder)
            for number, ref in enumerate(join(self._objects, source, self.root / "jobs"), start=1):
                with self._objects.open(ref) as opened:
                    suffix = _suffix(source, opened.read(2))
                self._bring(ref, folder / f"source{number}{suffix}")
                faultpoint("reads.file_linked")
            fsync_dir(folder)
        self._finish(source)

    def _finish(self, source: ReadSource) -> ReadSet:
        made = ReadSet(id=source.id, source=source, status="ACTIVE", created=utc_now())
        write_json_atomic(self._folder(source.id) / "metadata.json", made.model_dump(mode="json"))
        faultpoint("reads.metadata_written")
        return made

    def _bring(self, ref: FileRef, target: Path) -> None:
        path = self._objects.local_path(ref)
        # What is left of a killed import is not looked into: making it again is cheap and surely right.
        target.unlink(missing_ok=True)
        try:
            if path is not None:
                target.hardlink_to(path)
                return
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
        self._copy(ref, target)

    def _copy(self, ref: FileRef, target: Path) -> None:
        temp, handle = open_temp(target.parent)
        hasher = hashlib.sha256()
        try:
            with handle, self._objects.open(ref) as opened:
                while chunk := opened.read(CHUNK):
                    hasher.update(chunk)
                    write_all(handle, chunk)
                os.fchmod(handle.fileno(), 0o444)
                os.fsync(handle.fileno())
            if hasher.hexdigest() != ref.sha256:
                raise StorageFailed(
                    f"{ref.key} did not read back as it was stored; verify the store, then import again."
                )
            temp.replace(target)
        finally:
            temp.unlink(missing_ok=True)

    def _job_path(self, job_id: str) -> Path:
        return self.root / "jobs" / f"{checked_id(job_id, 'imp_')}.json"

    def _read_job(self, job_id: str) -> _JobFile | None:
        return read_model(self._job_path(job_id), _JobFile)

    def _write_job(self, job: _JobFile) -> None:
        write_json_atomic(self._job_path(job.id), job.model_dump(mode="json"))


def _suffix(source: ReadSource, head: bytes) -> str:
    """Return the ending of a file by its first bytes: a name may promise a compression that is not there."""
    if source.file_type != "FASTQ":
        return SUFFIX[source.file_type]
    return ".fastq.gz" if head[:2] == GZIP_MAGIC else ".fastq"


def _job_status(asked: int, failed: int) -> str:
    if not failed:
        return "COMPLETED"
    return "FAILED" if failed == asked else "COMPLETED_WITH_FAILURES"

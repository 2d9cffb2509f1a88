"""The content gate of a group of files: what watches the bytes while they are stored, and the verdict on the group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labrelay.model.files import FileRef, FileRole
from labrelay.model.instrument import RunFile
from labrelay.model.problem import Problem
from labrelay.model.reads import BamStats, FastqStats
from labrelay.parsers.bam import scan_bam
from labrelay.parsers.fastq import FastqScan
from labrelay.parsers.mates import check_mates
from labrelay.stores.upload import Upload

FASTQ_ROLES = (FileRole.READS, FileRole.UNDETERMINED, FileRole.INDEX_READS)
FASTQ_ENDINGS = (".fastq", ".fq", ".fastq.gz", ".fq.gz")
BAM_ENDINGS = (".bam", ".cram")


class Md5:
    """Watches a file's bytes and compares them with the supplier's checksum."""

    def __init__(self, file: RunFile) -> None:
        self._file, self._hash = file, hashlib.md5(usedforsecurity=False)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(chunk)

    def close(self) -> None:
        """Hold nothing."""

    def problems(self) -> list[Problem]:
        """Return one problem when the supplier's MD5 is another one."""
        found = self._hash.hexdigest()
        if found == self._file.md5:
            return []
        message = f"the supplier's MD5 is {self._file.md5}, these bytes have {found}: copy the file again"
        return [Problem(code="MD5_MISMATCH", message=message, path=self._file.path)]


def is_judged(file: RunFile) -> bool:
    """Return whether a gate looks at what is in the file; the bytes of any other are stored as they are."""
    return file.md5 is not None or _is_fastq(file) or _is_bam(file)


class Gate:
    """The gate of files that are stored together (R1 and R2 of a lane, or one file).

    Args:
        group: The files; mates in order.
        folder: The run's folder.
        alive: Called now and then while a file is read once more, which tells nobody of bytes.
    """

    def __init__(self, group: Sequence[RunFile], folder: Path, alive: Callable[[], object] | None = None) -> None:
        self._group, self._folder, self._alive = group, folder, alive
        self._stats: dict[str, FastqStats | BamStats] = {}

    @property
    def name(self) -> str:
        """What the group is called in messages."""
        return " and ".join(file.path for file in self._group)

    def upload(self, file: RunFile, key: str) -> Upload:
        """Return what the store has to do for one file, with the scans that look at its bytes."""
        md5 = [Md5(file)] if file.md5 else []
        # The store hashes what it reads: doing that twice would cost a processor a second a gigabyte.
        scan = FastqScan(file.path, hash_bytes=False) if _is_fastq(file) else None
        source = self._folder / file.path

        def finish(read: FileRef) -> list[Problem]:
            problems = [problem for watcher in md5 for problem in watcher.problems()]
            if scan is not None:
                self._stats[file.path] = scan.finish(read.sha256, read.size)
                problems += scan.warnings
            elif _is_bam(file):
                self._stats[file.path], found = scan_bam(
                    source, file.path, known=(read.sha256, read.size), alive=self._alive
                )
                problems += found
            return problems

        return Upload(source, key, [*md5, *([scan] if scan else [])], finish)

    def judge(self) -> list[Problem]:
        """Return what is wrong with the group as a whole: mates that do not belong together."""
        scanned = [(self._stats[f.path], f.path) for f in self._group if f.path in self._stats]
        if len(self._group) != 2 or len(scanned) != 2:
            return []
        (first, first_path), (second, second_path) = scanned
        if not isinstance(first, FastqStats) or not isinstance(second, FastqStats):
            return []
        paths = (self._folder / first_path, self._folder / second_path)
        return check_mates(first, second, *paths, names=(first_path, second_path), alive=self._alive)

    def stats(self, file: RunFile) -> dict[str, Any] | None:
        """Return what the gate learned of a file of reads, and where an image belongs, as JSON; None for others."""
        found = self._stats.get(file.path)
        if found is not None:
            return found.model_dump(mode="json")
        return None if file.image is None else {"image": file.image.model_dump(mode="json", exclude_none=True)}


def _is_fastq(file: RunFile) -> bool:
    return file.role in FASTQ_ROLES and file.path.lower().endswith(FASTQ_ENDINGS)


def _is_bam(file: RunFile) -> bool:
    return file.role is FileRole.ALIGNMENT and file.path.lower().endswith(BAM_ENDINGS)

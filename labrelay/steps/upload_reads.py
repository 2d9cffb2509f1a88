"""Reads of a sample from files of one's own straight into the read store, judged first and on record afterwards.

Nothing is kept in the object store: the read store has the only copy. An upload is an instrument run by itself on
record (platform `upload`), so that lineage, routing and submitting know its reads as they know any others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import RefusedInput, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef, FileRole
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.model.names import slug
from labrelay.model.problem import Problem, errors_of
from labrelay.model.reads import ReadSet, ReadSource
from labrelay.records import intake
from labrelay.records.schema import SampleRow
from labrelay.steps.assign import find_sample
from labrelay.steps.gate import BAM_ENDINGS, FASTQ_ENDINGS, Gate
from labrelay.steps.home import Home
from labrelay.stores.source import open_source, read_through

STORAGE = "upload"  # of files that only the read store has; their key is their name, their version the SHA-256
PLATFORM = "upload"
LONGEST_NAME = 100
Judged = tuple[FileRef, dict[str, Any] | None]


def upload(home: Home, paths: Sequence[Path], sample: str, reference: str | None = None) -> ReadSet:
    """Judge one sample's reads and take them into the read store; the same files again are found there.

    Cost: each file is read twice, once by the gate and once on its way. Memory does not grow with the files.

    Args:
        home: Where.
        paths: One FASTQ, BAM or CRAM, or R1 and R2.
        sample: An announced sample, by name or id.
        reference: By name or id: what a CRAM or an aligned BAM was aligned to.

    Raises:
        NotFound: There is no such sample or reference.
        UsageError: The files are none that a read set is made of.
        RefusedInput: The reads are not acceptable, or the store did not take them; carries every problem.
        StorageFailed: A file changed meanwhile, or the store failed.
    """
    with home.records.read() as session:
        row = find_sample(session, sample)
        whose, name, subject = row.id, row.name, row.subject
    known = None if reference is None else home.reads.reference(reference)
    if reference is not None and known is None:
        raise UsageError(f"there is no reference {reference}: `labrelay reference list` shows those that there are")
    folder, group = _group(paths, name)
    judged = _judged(home, Gate(group, folder), group, folder)
    source = ReadSource(
        sample_id=whose,
        subject=subject,
        name=name,
        file_type=_file_type(group[0], judged[0][1]),
        files=tuple(ref for ref, _stats in judged),
        reference_id=known.id if known is not None else None,
    )
    sent, total = 0, sum(ref.size for ref in source.files)

    def tell(count: int) -> None:
        nonlocal sent
        sent += count
        home.progress.advance("bytes sent", sent, total)

    made = home.reads.upload([folder / file.path for file in group], source, tell)
    faultpoint("upload.stored")
    _record(home, group, folder, judged, made)
    return made


def _group(paths: Sequence[Path], sample: str) -> tuple[Path, list[RunFile]]:
    """Return the folder that the files share and what each of them is, R1 before R2."""
    if len(paths) not in (1, 2):
        raise UsageError(f"a read set is made of one file or of R1 and R2, and {len(paths)} files were given")
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
        if not path.name.lower().endswith((*FASTQ_ENDINGS, *BAM_ENDINGS)):
            endings = ", ".join((*FASTQ_ENDINGS, *BAM_ENDINGS))
            raise UsageError(f"{path.name} holds no reads by its name: it has to end in one of {endings}")
    whole = [path.parent.resolve() / path.name for path in paths]
    if len(set(whole)) < len(whole):
        raise UsageError(f"{paths[0]} was given twice: R2 is another file")
    folder = Path(os.path.commonpath([path.parent for path in whole]))
    mates = len(whole) == 2
    return folder, [
        RunFile(
            path=path.relative_to(folder).as_posix(),
            size=path.stat().st_size,
            role=FileRole.ALIGNMENT if path.name.lower().endswith(BAM_ENDINGS) else FileRole.READS,
            sample=sample,
            read=number if mates else None,
        )
        for number, path in enumerate(whole, start=1)
    ]


def _judged(home: Home, gate: Gate, group: Sequence[RunFile], folder: Path) -> list[Judged]:
    """Return each file's identity and statistics, from one pass over its bytes."""
    problems: list[Problem] = []
    refs: list[FileRef] = []
    seen, total = 0, sum(file.size for file in group)

    def tell(count: int) -> None:
        nonlocal seen
        seen += count
        home.progress.advance("bytes judged", seen, total)

    for file in group:
        asked = gate.upload(file, slug(Path(file.path).name)[-LONGEST_NAME:])
        try:
            with open_source(folder / file.path) as opened:
                sha256, size = read_through(opened, lambda _chunk: None, asked.watchers, tell)
            refs.append(FileRef(storage=STORAGE, key=asked.key, version=sha256, sha256=sha256, size=size))
            problems += asked.finish(refs[-1]) if asked.finish is not None else []
        except RefusedInput as refused:
            problems += refused.problems
        finally:
            for watcher in asked.watchers:
                watcher.close()
    problems += [] if errors_of(problems) else gate.judge()
    if errors := errors_of(problems):
        raise RefusedInput(gate.name, errors)
    return [(ref, gate.stats(file)) for ref, file in zip(refs, group, strict=True)]


def _file_type(file: RunFile, stats: dict[str, Any] | None) -> str:
    if file.role is not FileRole.ALIGNMENT:
        return "FASTQ"
    if file.path.lower().endswith(".cram"):
        return "CRAM"
    return "BAM" if (stats or {}).get("aligned") else "UBAM"


def _record(home: Home, group: Sequence[RunFile], folder: Path, judged: Sequence[Judged], made: ReadSet) -> None:
    """Write the read set and where it came from, in one transaction; done before, it changes nothing."""
    run = InstrumentRun(
        run_id=f"upload-{made.id.partition('_')[2]}",
        folder_name=folder.name,
        platform=PLATFORM,
        files=tuple(group),
    )
    with home.records.write() as session:
        intake.see(session, run, str(folder))
        intake.add_files(
            session, [(ref, file.role.value, stats) for file, (ref, stats) in zip(group, judged, strict=True)]
        )
        sample = session.get_one(SampleRow, made.source.sample_id)
        dataset = intake.add_dataset(session, run.id, sample.name, "assigned", sample.id, "upload")
        intake.link_files(
            session, dataset.id, [(ref.id, None, file.read) for file, (ref, _s) in zip(group, judged, strict=True)]
        )
        intake.add_read_set(session, dataset, made.source, home.reads.name, None)
        intake.settle_read_sets(session, "upload", [(made.id, "ACTIVE", None)])
        intake.mark_stored(session, run.id, digest([[ref.sha256, ref.size] for ref, _stats in judged]), None)
    faultpoint("upload.recorded")

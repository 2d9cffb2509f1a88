"""Step 5, ingest: the files of an instrument run are stored once, judged in the pass that reads them.

Mates are stored as a group: both are held unseen, the gate judges them, and only then are they committed. Small files
that nobody judges, such as a plate's images, go in bundles. The manifest is written last; only with it do datasets
exist. A killed ingest goes on with the files that are not stored yet.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from labrelay.model.canonical import digest
from labrelay.model.errors import Busy, Conflict, RefusedInput
from labrelay.model.faults import faultpoint
from labrelay.model.files import PRIMARY, FileRef, FileRole
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.model.names import slug, slugs
from labrelay.model.problem import Problem, refusal_of
from labrelay.model.qc import QCMetric
from labrelay.model.reads import FastqStats
from labrelay.parsers.fastq_names import pair_reads
from labrelay.records import intake, lease
from labrelay.records.database import now
from labrelay.records.lease import Lease
from labrelay.records.schema import FileRow, InstrumentRunRow
from labrelay.steps.again import added_files, check_same_file, copy_of, same_as, taken_before
from labrelay.steps.eln_signs import sign_sheet
from labrelay.steps.gate import Gate, is_judged
from labrelay.steps.home import Home
from labrelay.steps.trends import follow_instrument_run
from labrelay.stores.manifest import Manifest, ManifestFile, write_manifest
from labrelay.stores.many import ahead, in_bundles
from labrelay.stores.upload import put_group

ORDER = {
    FileRole.READS: 1,
    FileRole.ALIGNMENT: 1,
    FileRole.UNDETERMINED: 2,
}  # control files first: they are small and say most

EDITIONS = 10  # of one file: an instrument's folder that is corrected more often is somebody's workbench
NEW_OBJECTS = 20_000  # are some MB, and some hundred files
_SEARCHES = Lock()
_usual: list[tuple[int, int, int]] = []  # how often Python searches for garbage, once for each ingest of this process


@dataclass
class Ingested:
    """What an ingest did: files stored now and before, the datasets by label, and the other folder that was stored."""

    instrument_run_id: str
    stored: int = 0
    bytes_stored: int = 0
    already: int = 0
    datasets: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    same_as: str | None = None


@contextmanager
def _kept_from_the_collector() -> Iterator[None]:
    """Let Python's search for circular garbage leave out what is there already, and begin less often.

    A run of a hundred thousand files is a million objects that stay. Searching them again and again takes longer than
    writing their rows.
    """
    with _SEARCHES:
        if not _usual:
            _usual.append(gc.get_threshold())
            often, *rest = _usual[0]
            gc.set_threshold(often and max(often, NEW_OBJECTS), *rest)  # nought is never
        else:
            _usual.append(_usual[0])
        gc.freeze()
    try:
        yield
    finally:
        with _SEARCHES:
            before = _usual.pop()
            if not _usual:  # the last one of several at once
                gc.set_threshold(*before)
                gc.unfreeze()


def _modified(source: Path) -> int | None:
    try:
        return os.lstat(source).st_mtime_ns
    except OSError:
        return None  # gone: the store says so in a sentence


class _Kept(NamedTuple):
    """A stored file, its id (made from it, which takes longer than to keep it), and what a gate learned of it."""

    ref: FileRef
    id: str
    stats: Mapping[str, object] | None


def fingerprint(run: InstrumentRun) -> str:
    """Return a digest of all file paths and sizes, to see whether a folder has changed."""
    return digest([[file.path, file.size] for file in run.files])


def ingest(home: Home, run: InstrumentRun, folder: Path) -> Ingested:
    """Store an instrument run's files, judge its reads and write its datasets.

    `folder` is a file where the run is one, whose other files lie beside it. Doing it again stores nothing twice and
    ends the same; a stored run gains files that were missing. Cost: each new file is read exactly once; a transaction
    a group of mates or a bundle of small files.

    Raises:
        RefusedInput: The run, or files in it, are not acceptable; carries every problem. Groups that passed stay
            stored, unseen without a manifest, and are not read again by the next try.
        Conflict: A stored file of the folder is another now, parts of it are stored with another run, or a file of this
            name was another one.
        Busy: Another process ingests this run.
    """
    with home.records.read() as session:
        taken = taken_before(session, run, folder)
    if taken is not None:
        raise Conflict(taken.sentence)
    with home.records.write() as session:
        row = intake.see(session, run, str(folder))
    added = None
    if row.state == "stored":
        if folder.is_file():
            check_same_file(home, run, row, folder)
        if row.fingerprint == fingerprint(run):
            return Ingested(run.id, already=len(run.files), same_as=same_as(row, folder))
        added = _added(home, run, row, folder)
    _refuse(home, run, refusal_of(run.problems), folder)
    with lease.held(home.records, f"the ingest of {run.run_id}") as held, _kept_from_the_collector():
        if added is not None:
            _refuse_if_more_came(home, row)
        return _Ingest(home, run, folder, held, added).run_all()


def _refuse_if_more_came(home: Home, before: InstrumentRunRow) -> None:
    """See, under the lease, that what a stored run gains was found beside what is stored of it still."""
    with home.records.read() as session:
        row = session.get_one(InstrumentRunRow, before.id)
    if row.fingerprint != before.fingerprint:
        raise Busy(f"{row.run_id}: another process has stored more of it meanwhile; repeat the command")


def _added(home: Home, run: InstrumentRun, row: InstrumentRunRow, folder: Path) -> list[str]:
    """Return the files that a stored run gains; a reason why it does not is on record, so that nobody asks again."""
    try:
        return added_files(home, run, row, folder.parent if folder.is_file() else folder)
    except Conflict as changed:
        with home.records.write() as session:
            intake.refuse(session, run.id, str(changed))
        raise


def _refuse(home: Home, run: InstrumentRun, problems: Sequence[Problem], folder: Path) -> None:
    if problems:
        with home.records.write() as session:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            if intake.refuse(session, run.id, f"{problems[0]}{more}"):
                sign_sheet(home, session, "refused", intake.content_of(run), run.id, now())
        raise RefusedInput(f"the instrument run {run.name} in {folder}", problems)


class _Ingest:
    """One ingest under its lease."""

    def __init__(
        self, home: Home, run: InstrumentRun, place: Path, held: Lease, added: Sequence[str] | None = None
    ) -> None:
        self.home, self.run, self.place, self.lease = home, run, place, held
        self.folder = place.parent if place.is_file() else place
        self.added = added  # to a run that is stored; None of a new one
        self.before: frozenset[str] = frozenset()
        self.prefix = intake.raw_prefix(run.platform, run.run_id)
        self.outcome = Ingested(run.id)
        self.refs: dict[str, _Kept] = {}
        self.total = sum(file.size for file in run.files)
        self.read_bytes, self.lock = 0, Lock()
        self.kept = time.monotonic()

    def run_all(self) -> Ingested:
        with self.home.records.read() as session:
            known = intake.files_under(session, self.home.objects.name, self.prefix)
        self.before = frozenset(row.id for row in known.values())
        problems: list[Problem] = []
        judged = [file for file in self.run.files if is_judged(file)]
        self._store_unjudged([file for file in self.run.files if not is_judged(file)], known)
        for group in groups(judged):
            problems += self._store(group, known)
        print_ = fingerprint(self.run)
        if not problems and self.added is None:
            sha256s = {path: kept.ref.sha256 for path, kept in self.refs.items()}
            if (copied := copy_of(self.home, self.run, print_, sha256s)) is not None:
                problems.append(copied)
        _refuse(self.home, self.run, problems, self.folder)
        self._finish(print_)
        return self.outcome

    def _store_unjudged(self, files: Sequence[RunFile], known: Mapping[str, FileRow]) -> None:
        """Store files of which only the bytes count, small ones in bundles; some are read while one is recorded."""
        ordered = sorted(files, key=_first_control_files)
        missing = (file for file in ordered if not self._on_record([file], known))
        wanted = in_bundles(missing, lambda file: file.size, self.home.objects.bundle_bytes)
        with closing(ahead(self._store_bundle, wanted)) as bundles:
            for bundle, stored in bundles:
                if stored is not None:
                    faultpoint("ingest.group_stored")
                    self._write(bundle, stored[0], Gate(bundle, self.folder), stored[1])
                    continue
                for file in bundle:
                    self._store([file], known)

    def _store_bundle(self, bundle: Sequence[RunFile]) -> tuple[list[FileRef], list[int | None]] | None:
        """Store a bundle, and return what it is with the times that its files had before.

        None when nothing of it was stored: a lone file is no bundle, and one of several may be stored with other bytes.
        """
        if len(bundle) == 1:
            return None
        files = [(self.folder / file.path, self.key(file)) for file in bundle]
        modified = [_modified(source) for source, _key in files]
        staged = self.home.objects.stage_many(files, self._advance)
        try:
            return staged.commit(), modified
        except Conflict:
            self._advance(-sum(ref.size for ref in staged.refs))  # they are read once more, each alone
            return None
        finally:
            staged.abort()

    def key(self, file: RunFile, edition: int = 0) -> str:
        """Return the file's key: unsafe path parts get slugs; a later edition lies below `~1/`, `~2/` … ."""
        return self.prefix + (f"~{edition}/" if edition else "") + slugs(file.path)

    def _known(self, file: RunFile, known: Mapping[str, FileRow]) -> FileRow | None:
        """Return the row of these very bytes, stored before: of the size and the time that the file has now."""
        if not known:
            return None
        rows = [row for edition in range(EDITIONS) if (row := known.get(self.key(file, edition)))]
        modified = self._modified(file)
        return next((r for r in rows if r.size == file.size and modified and r.source_mtime_ns == modified), None)

    def _modified(self, file: RunFile) -> int | None:
        return _modified(self.folder / file.path)

    def _on_record(self, group: Sequence[RunFile], known: Mapping[str, FileRow]) -> bool:
        """Tell whether all files of a group were stored before, and count them if so."""
        rows = [row for file in group if (row := self._known(file, known)) is not None]
        if len(rows) < len(group):
            return False
        for file, row in zip(group, rows, strict=True):
            self.refs[file.path] = _Kept(intake.ref_of(row), row.id, row.stats if is_judged(file) else None)
            self.outcome.already += 1
            self._advance(file.size)
        return True

    def _store(self, group: Sequence[RunFile], known: Mapping[str, FileRow]) -> list[Problem]:
        """Store one group, unless it is there, and write its rows; return what is wrong with it."""
        if self._on_record(group, known):
            return []
        modified = [self._modified(file) for file in group]
        gate = Gate(group, self.folder, lambda: self._advance(0))
        try:
            refs = self._put(group, gate)
        except RefusedInput as refused:
            return list(refused.problems)
        faultpoint("ingest.group_stored")
        self._write(group, refs, gate, modified)
        return []

    def _put(self, group: Sequence[RunFile], gate: Gate) -> list[FileRef]:
        """Store a group; a file that was corrected after a refused try is the next edition, as nothing is replaced."""
        for edition in range(EDITIONS):
            uploads = [gate.upload(file, self.key(file, edition)) for file in group]
            try:
                return put_group(self.home.objects, uploads, gate.judge, what=gate.name, on_bytes=self._advance)
            except Conflict:
                if edition == EDITIONS - 1:
                    raise
        raise AssertionError("the last edition returns or raises")

    def _write(
        self, group: Sequence[RunFile], refs: Sequence[FileRef], gate: Gate, modified: Sequence[int | None]
    ) -> None:
        rows = [(ref, file.role.value, gate.stats(file)) for ref, file in zip(refs, group, strict=True)]
        with self.home.records.write() as session:
            lease.confirm(session, self.lease)
            ids = intake.add_files(session, rows, modified)
        for file, id, (ref, _role, stats) in zip(group, ids, rows, strict=True):
            self.refs[file.path] = _Kept(ref, id, stats if is_judged(file) else None)
            if id in self.before:  # read once more, since its mate has come
                self.outcome.already += 1
                continue
            self.outcome.stored += 1
            self.outcome.bytes_stored += ref.size
        faultpoint("ingest.group_recorded")

    def _advance(self, count: int) -> None:
        with self.lock:
            self.read_bytes += count
            self._keep_lease()
            self.home.progress.advance("bytes", self.read_bytes, self.total)

    def _keep_lease(self) -> None:
        """Prolong the lease while a file is read: a large one takes longer than it lasts."""
        if time.monotonic() - self.kept > lease.SECONDS / 3:
            self.kept = time.monotonic()
            with self.home.records.write() as session:
                lease.confirm(session, self.lease)

    def _finish(self, print_: str) -> None:
        entries = tuple(ManifestFile(path=f.path, role=f.role, ref=self.refs[f.path].ref) for f in self.run.files)
        manifest = Manifest(run_id=self.run.id, files=entries, created=datetime.now(UTC))
        # A manifest is never replaced: that of a run which gained files lies beside the first.
        name = slug(self.run.run_id) + ("" if self.added is None else f"~{print_[:12]}")
        stored = write_manifest(self.home.objects, f"manifests/{slug(self.run.platform)}/{name}.json", manifest)
        faultpoint("ingest.manifest_written")
        with self.home.records.write() as session:
            lease.confirm(session, self.lease)
            intake.add_files(session, [(stored, FileRole.RUN_METADATA.value, None)])
            labels = self._by_label()
            for label, files in labels.items():
                state = "unassigned" if self._reads(files) else "no_reads"
                dataset = intake.add_dataset(session, self.run.id, label, state, None, None)
                if self.added is not None:
                    intake.drop_metrics(session, dataset.id)
                    if dataset.state == "no_reads" and state == "unassigned":
                        dataset.state = "assigned" if dataset.sample_id else state
                links = [(self.refs[f.path].id, f.lane, f.read) for f in files]
                intake.link_files(session, dataset.id, links)
                intake.add_metrics(session, dataset.id, _metrics(self.refs[f.path] for f in files))
                self.outcome.datasets[label] = dataset.id
            measured = [*self.run.qc, *_metrics(self.refs[f.path] for files in labels.values() for f in files)]
            if self.added is not None:
                intake.drop_metrics(session, self.run.id)
            intake.add_metrics(session, self.run.id, measured)
            follow_instrument_run(self.home, session, self.run, measured)
            if self.added is None:
                intake.mark_stored(session, self.run.id, print_, stored.key)
            else:
                intake.mark_completed(session, self.run, str(self.place), print_, stored.key, self.added)
        faultpoint("ingest.recorded")

    def _by_label(self) -> dict[str, list[RunFile]]:
        """Return the primary files by sample label; a sheet's sample without files is there with none."""
        labels: dict[str, list[RunFile]] = {sample.sample_id: [] for sample in self.run.samples}
        for file in self.run.files:
            if file.role in PRIMARY and file.sample is not None:
                labels.setdefault(file.sample, []).append(file)
        return labels

    def _reads(self, files: Sequence[RunFile]) -> int:
        counts = [(self.refs[f.path].stats or {}).get("reads") for f in files]
        return sum(int(str(n)) if n is not None else 1 for n in counts)  # a BAM that was not counted has reads


def groups(files: Sequence[RunFile]) -> list[list[RunFile]]:
    """Return the files as they have to be judged: mates together, each other file alone; control files first."""
    pairs = [[pair.first, pair.second] for pair in pair_reads(files).pairs]
    paired = {file.path for pair in pairs for file in pair}
    alone = [[file] for file in files if file.path not in paired]
    return sorted(alone + pairs, key=lambda g: _first_control_files(g[0]))


def _first_control_files(file: RunFile) -> tuple[int, str]:
    return ORDER.get(file.role, 0), file.path


def _metrics(files: Iterable[_Kept]) -> list[QCMetric]:
    """Return the reads' quality over all files of a dataset, from what the gate counted."""
    counted = [FastqStats.model_validate(stats) for kept in files if (stats := kept.stats) and "quality_sum" in stats]
    bases = sum(s.bases for s in counted)
    metrics = [QCMetric(name="reads", value=sum(s.reads for s in counted), unit="count", scope="reads")]
    if bases:
        q30, quality = sum(s.q30_bases for s in counted), sum(s.quality_sum for s in counted)
        called = bases - sum(s.n_bases for s in counted)
        gc = sum(s.gc_bases for s in counted)
        metrics += [
            QCMetric(name="bases", value=bases, unit="bp", scope="reads"),
            QCMetric(name="q30_percent", value=100 * q30 / bases, unit="percent", scope="reads"),
            QCMetric(name="mean_quality", value=quality / bases, unit="phred", scope="reads"),
            QCMetric(name="gc_percent", value=100 * gc / called if called else None, unit="percent", scope="reads"),
        ]
    return metrics if counted else []

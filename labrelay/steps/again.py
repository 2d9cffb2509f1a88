"""Was this taken before? What is stored is run once, whether it is named whole, by its parts, or by a file.

A run of which files were missing when it was stored is taken again whole: it may gain files, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from labrelay.model.errors import Conflict, StorageFailed
from labrelay.model.files import PRIMARY
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.model.names import printable, slugs
from labrelay.model.problem import Frozen, Problem
from labrelay.model.words import first_of
from labrelay.parsers.registry import PLAIN
from labrelay.records import intake
from labrelay.records.arrivals import name_of
from labrelay.records.schema import DatasetFileRow, DatasetRow, FileRow, InstrumentRunRow
from labrelay.steps.home import Home
from labrelay.stores.digests import hash_open_file
from labrelay.stores.manifest import ManifestFile, read_manifest
from labrelay.stores.source import open_source

CELLS = "cell"  # of PacBio, a part of a run whose name is its own alone in all the world
SHOWN = 3
_EDITION = re.compile(r"\A~\d+/")  # before the path of a file that was corrected after a refused try


class Taken(Frozen):
    """A stored instrument run that holds some of another one.

    Attributes:
        run_id: What the instrument calls it.
        folder: Where it was taken from.
        day: When it was stored.
        parts: What both have: cells, or files.
        whole: Whether the other one has nothing but these.
    """

    run_id: str
    folder: str
    day: str
    parts: tuple[str, ...]
    whole: bool

    @property
    def sentence(self) -> str:
        """What was taken, and what there is to do."""
        names = first_of(self.parts, SHOWN)
        was = "was" if len(self.parts) == 1 else "were"
        told = f"{names} {was} stored on {self.day} with the run {printable(self.run_id, 80)} from {self.folder}"
        rest = "nothing is left to take" if self.whole else "name the other parts of this one each by itself"
        return f"{told}, and nothing is stored or run twice: {rest}"


def taken_before(session: Session, run: InstrumentRun, place: Path) -> Taken | None:
    """Return the stored run that holds cells or files of this one under another id, or None.

    A run of this platform may lie below, above, or anywhere by its cells. One of another platform counts where this one
    is plain files inside of its folder, for so a part of any run looks.

    Cost: one query that looks at each stored run. Neither folders nor the names of cells lie in an index; of 20,000
    runs with 4 kB of content each, 40 ms by their folders and 0.4 s by their cells.

    Args:
        session: Of the records.
        run: As parsed.
        place: Its folder or file, which is looked at.
    """
    row = InstrumentRunRow
    columns = (row.platform, row.run_id, row.folder, row.stored_at, row.content["units"].label("units"))
    cells = {unit.name for unit in run.units if unit.kind == CELLS}
    alike = row.platform == run.platform
    if not cells:
        alike = and_(alike, row.folder.startswith(f"{place}/", autoescape=True))
    above = row.folder.in_([str(above) for above in place.parents])
    inside = above if run.platform in PLAIN else and_(row.platform == run.platform, above)
    stored = select(*columns).where(or_(alike, inside), row.id != run.id, row.state == "stored")
    for platform, run_id, folder, stored_at, units in session.execute(stored.order_by(row.stored_at)):
        same = bool(cells) and platform == run.platform
        prefix = intake.raw_prefix(platform, run_id)
        both = sorted(cells & _cells(units)) if same else _files(session, run, place, prefix, Path(folder))
        if both:
            whole = len(both) == (len(cells) or len(_primary(run)))
            return Taken(run_id=run_id, folder=folder, day=(stored_at or "")[:10], parts=tuple(both), whole=whole)
    return None


def _cells(units: object) -> set[str]:
    found = units if isinstance(units, list) else []
    return {str(unit.get("name")) for unit in found if isinstance(unit, dict) and unit.get("kind") == CELLS}


def _primary(run: InstrumentRun) -> list[RunFile]:
    return [file for file in run.files if file.role in PRIMARY]


def _files(session: Session, run: InstrumentRun, place: Path, prefix: str, taken: Path) -> list[str]:
    """Return the files of this run that the other one has stored, below this prefix, from the same path."""
    root, above = (each.parent if each.is_file() else each for each in (place, taken))
    rows = session.scalars(select(FileRow).where(FileRow.key.startswith(prefix, autoescape=True)))
    known = {row.key: row for row in rows}
    found = []
    for file in _primary(run):
        path = root / file.path
        if path.is_relative_to(above):
            inner = path.relative_to(above).parts
            row = known.get(prefix + slugs("/".join(inner)))
            if row is not None and row.size == file.size and row.source_mtime_ns in (None, path.lstat().st_mtime_ns):
                found.append(file.path)
    return found


def check_same_file(home: Home, run: InstrumentRun, stored: InstrumentRunRow, place: Path) -> None:
    """See that a file of the name of one that is stored has its bytes; cameras write files of one size all day.

    Cost: a read of each of the run's files, none where it has the time of the stored one.

    Raises:
        Conflict: It is another one.
    """
    prefix = intake.raw_prefix(run.platform, run.run_id)
    with home.records.read() as session:
        rows = session.scalars(select(FileRow).where(FileRow.key.startswith(prefix, autoescape=True))).all()
    for file in run.files:
        path = slugs(file.path)
        mine = [row for row in rows if _EDITION.sub("", row.key[len(prefix) :]) == path and row.size == file.size]
        if not _is_one_of(place.parent / file.path, mine):
            raise Conflict(
                f"this {printable(file.path)} is not the one that was stored on {(stored.stored_at or '')[:16]} from "
                f"{stored.folder}: a run of one file is known by its name, so give this one another, or name its folder"
            )


def same_as(stored: InstrumentRunRow, place: Path) -> str | None:
    """Return which run, when and from where, a place holds again; None where it was stored from this very place."""
    return None if stored.folder == str(place) else _stored_as(stored)


def _stored_as(stored: InstrumentRunRow) -> str:
    return f"the run {name_of(stored)}, stored on {(stored.stored_at or '')[:10]} from {stored.folder}"


def copy_of(home: Home, run: InstrumentRun, print_: str, sha256s: Mapping[str, str]) -> Problem | None:
    """Return what refuses a run of which each file is that of a stored one, which was copied under another name.

    Images of one camera are often alike in name and size, so it is the bytes that tell. Cost: one query that looks at
    each stored run of the platform, and the manifests of those with the same names and sizes.

    Args:
        home: Where.
        run: As parsed.
        print_: Its fingerprint, of names and sizes.
        sha256s: Of each of its files, by path.
    """
    row = InstrumentRunRow
    alike = select(row).where(row.platform == run.platform, row.fingerprint == print_, row.state == "stored")
    with home.records.read() as session:
        others = session.scalars(alike.where(row.id != run.id).order_by(row.stored_at)).all()
    for other in others:
        if other.manifest_key is None:
            continue
        there = {file.path: file.ref.sha256 for file in read_manifest(home.objects, other.manifest_key).files}
        if there == sha256s:
            what = f"each of its files is byte for byte that of {_stored_as(other)}"
            return Problem(code="COPY_OF_RUN", message=f"{what}: nothing is run twice, so go on with that one")
    return None


def _is_one_of(path: Path, rows: Sequence[FileRow]) -> bool:
    try:
        time = path.lstat().st_mtime_ns
    except OSError as error:
        raise StorageFailed(f"{path} cannot be read: {error.strerror}") from error
    if any(row.source_mtime_ns == time for row in rows):
        return True
    if not rows:
        return False
    with open_source(path) as opened:
        found = hash_open_file(opened.handle)
    return any(row.sha256 == found for row in rows)


def added_files(
    home: Home, run: InstrumentRun, stored: InstrumentRunRow, root: Path, *, read: bool = True
) -> list[str]:
    """Return the files that a folder has beside those that were stored of it, of which each is as it was.

    Cost: the manifest, a row a stored file, and a read of each file that has another time than the stored one.

    Args:
        home: Where.
        run: As parsed now.
        stored: Its row.
        root: Its folder.
        read: Compare bytes; else sizes only.

    Raises:
        Conflict: A stored file has other bytes, is gone, or would be another sample's.
    """
    if stored.manifest_key is None:
        raise Conflict(_changed(run, stored, ["it was stored without a manifest, so nothing can be added to it"]))
    with home.records.read() as session:
        rows = intake.files_under(session, home.objects.name, intake.raw_prefix(run.platform, run.run_id))
        labels = _labels(session, run.id)
    now = {file.path: file for file in run.files}
    before = read_manifest(home.objects, stored.manifest_key).files
    found = [why for file in before if (why := _differs(file, now.get(file.path), rows, labels, root, read=read))]
    if found:
        raise Conflict(_changed(run, stored, found))
    return sorted(now.keys() - {file.path for file in before})


def _differs(
    before: ManifestFile,
    now: RunFile | None,
    rows: Mapping[str, FileRow],
    labels: Mapping[str, str],
    root: Path,
    *,
    read: bool,
) -> str | None:
    """Return what is other than it was of a stored file, or None."""
    name, row = printable(before.path), rows.get(before.ref.key)
    if now is None:
        return f"{name} was stored and is no file of the run now"
    label = None if row is None else labels.get(row.id)
    if label is not None and now.sample != label:
        return f"{name} was stored as reads of {printable(label, 80)} and is now {printable(str(now.sample), 80)}'s"
    same = now.size == before.ref.size
    if same and read and row is not None:
        same = _is_one_of(root / now.path, [row])
    return None if same else f"{name} has other bytes than were stored"


def _labels(session: Session, run_id: str) -> dict[str, str]:
    query = select(DatasetFileRow.file_id, DatasetRow.label).join(
        DatasetRow, DatasetRow.id == DatasetFileRow.dataset_id
    )
    return {row.file_id: row.label for row in session.execute(query.where(DatasetRow.instrument_run_id == run_id))}


def _changed(run: InstrumentRun, stored: InstrumentRunRow, found: Sequence[str]) -> str:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"the folder of {printable(run.run_id)} has changed since it was stored on {(stored.stored_at or '')[:16]}: "
        f"{found[0]}{more}; files may be added to a stored run and are never replaced in it, so put back what was "
        "there, and take what is right now in by itself: reads by `labrelay reads upload`, else as another folder "
        f"(`labrelay lineage --down {run.id}` shows what was taken)"
    )

"""Ultima Genomics UG 100: a folder a run (`433681-20260205_1327`), single-end CRAM of each sample.

From documents and public programs: no real folder with a free licence was at hand, and the warning FROM_DOCUMENTS says
so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.text import warning
from labrelay.parsers.xml import attribute, find_all, parse_xml

NAME = "ultima"
LOOKED_FOR = "433681_LibraryInfo.xml"
_LIBRARY = re.compile(r"(?:.*_)?LibraryInfo\.xml\Z", re.IGNORECASE)
_DONE = re.compile(r"(?:\w+_)?UploadCompleted\.json\Z", re.IGNORECASE)
_READS = re.compile(
    r"(?P<run>\d{5,7})-(?P<sample>.+?)(?:-(?P<label>Z\d{4}))?(?:-(?P<barcode>[ACGT]{6,24}))?\.cram\Z", re.IGNORECASE
)
_RUN_FOLDER = re.compile(r"(?P<run>\d{5,7})-\d{8}_\d{4}\Z")
_MOST_SAMPLES = 10_000


def detect(listing: Listing) -> Detection | None:
    """Say whether this is a run's folder of Ultima."""
    library = _first(listing, _LIBRARY)
    if library is None:
        return None
    reads = next((entry.path for entry in listing.files if _READS.match(entry.name)), None)
    evidence = (library.path, reads) if reads else (library.path,)
    return Detection(platform=NAME, confidence=0.95 if reads else 0.8, evidence=evidence)


def _first(listing: Listing, pattern: re.Pattern[str]) -> Entry | None:
    return next((entry for entry in listing.files if pattern.match(entry.name) and entry.path.count("/") < 2), None)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the run as its folder describes it.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder.
    """
    name = folder.resolve().name
    problems = [*listing.problems]
    run_id, pool, samples = _library(listing, problems)
    problems += _unlike(run_id, name)
    files = [_file(entry) for entry in listing.files]
    what = "folders of this instrument are read as documents describe them; look whether what is said here is right"
    problems.append(warning("FROM_DOCUMENTS", what))
    reads = next((file.path for file in files if file.role is FileRole.ALIGNMENT), None)
    done = _first(listing, _DONE)
    if done is None:
        what = "there is no UploadCompleted.json, which is the last file that comes: is the run still going?"
        problems.append(warning("MARKER_MISSING", what))
    ended = Fact(value=Known.YES, evidence=done.path) if done else Fact()
    return InstrumentRun(
        run_id=run_id or name,
        folder_name=name,
        platform=NAME,
        instrument_model="UG 100",
        samples=samples,
        files=tuple(files),
        completion=Completion(
            acquired=ended, copied=ended, converted=Fact(value=Known.YES, evidence=reads) if reads else Fact()
        ),
        problems=tuple(problems),
        raw={"LibraryInfo.xml": {"Library_Pool": pool[:500]}} if pool else {},
    )


def _library(listing: Listing, problems: list[Problem]) -> tuple[str | None, str | None, tuple[SheetSample, ...]]:
    entry = _first(listing, _LIBRARY)
    data = read_small(listing.root, entry.path) if entry else None
    if entry is None or data is None:
        return None, None, ()
    if isinstance(data, Problem):
        problems.append(warning(data.code, data.message, data.path))
        return None, None, ()
    root, found = parse_xml(data, entry.path)
    problems += [warning(each.code, each.message, each.path, each.line) for each in found]
    if root is None:
        return None, None, ()
    samples = [
        # `L13064@L13064`: the part before the sign is what the files are called by.
        SheetSample(sample_id=told.partition("@")[0], name=told, barcode=attribute(each, "Index_Sequence"))
        for each in list(find_all(root, "Sample"))[:_MOST_SAMPLES]
        if (told := attribute(each, "Id"))
    ]
    return attribute(root, "RunId"), attribute(root, "Library_Pool"), tuple(samples)


def _unlike(run_id: str | None, name: str) -> Iterator[Problem]:
    match = _RUN_FOLDER.match(name)
    if run_id is None:
        what = "no file says the run's id, so the folder's name is used; keep that name"
        yield warning("RUN_ID_FROM_FOLDER", what)
    elif match is not None and match["run"] != run_id:
        what = f"the folder is called {printable(name, 80)} and holds run {printable(run_id, 80)}; the run's id is used"
        yield warning("ID_MISMATCH", what, "LibraryInfo.xml")


def _file(entry: Entry) -> RunFile:
    match = _READS.match(entry.name)
    if match is None:
        metadata = entry.name.lower().endswith((".xml", ".json", ".csv", ".txt", ".metric"))
        role = FileRole.RUN_METADATA if metadata else FileRole.OTHER
        return RunFile(path=entry.path, size=entry.size, role=role)
    lost = match["sample"].lower() in ("unmatched", "unassigned", "tt")
    return RunFile(
        path=entry.path,
        size=entry.size,
        role=FileRole.UNDETERMINED if lost else FileRole.ALIGNMENT,
        sample=None if lost else match["sample"],
    )

"""Files and folders that only a vendor's program reads: kept whole, each as one dataset, and said to be opaque.

Recognised are the names, and the first bytes where a name alone proves little. Nothing of the content is read but what
stands in clear text beside it: ThermoRawFileParser's notes on a .raw file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Detection, InstrumentRun, RunFile, Unit
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.listing import Entry, Listing, read_head, read_small
from labrelay.parsers.moments import in_order
from labrelay.parsers.mrc import is_mrc_name
from labrelay.parsers.opaque_formats import FORMATS, Item, folders_in, item_of, may_be
from labrelay.parsers.text import error, warning
from labrelay.parsers.thermo_sidecar import Sidecar, parse_sidecar

NAME = "opaque"
LOOKED_FOR = "Thermo or Waters .raw, Bruker or Agilent .d, Sciex .wiff, .oir, .oib, .ims, .dm3, .dm4, .emd, .imzML"
MAX_SIDECARS = 200
_SHOWN = 3
_MAGIC = 16


@dataclass(frozen=True)
class _Found:
    """The acquisitions of one folder and which file belongs to which."""

    items: dict[str, Item]
    owner: dict[str, Item]


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds files that nobody but their maker reads; any other platform is a better guess."""
    found = _found(listing)
    # An ending such as .raw is used for many things: the first bytes of a few files have to agree.
    sure = [path for path, item in list(found.items.items())[:20] if _agrees(listing, item) is not False]
    paths = tuple(path or listing.root.name for path in sure[:3])
    return Detection(platform=NAME, confidence=0.6, evidence=paths) if paths else None


def beside(listing: Listing) -> Iterator[str]:
    """Give the names that the side files of one file may have."""
    for entry in listing.files:
        item = item_of(entry.path)
        if item is not None and not item.format.folder:
            base = entry.path.rpartition(".")[0]
            yield from (start + side for side in item.format.sides for start in (entry.path, base))


def _found(listing: Listing) -> _Found:
    paths = tuple(entry.path for entry in listing.files)
    if not any(may_be(path) for path in paths) and not may_be(listing.root.name + "/"):
        return _Found({}, {})
    items: dict[str, Item] = {}
    for kind, folder in folders_in(paths, listing.root.name):
        name = folder.rpartition("/")[2] or listing.root.name
        items[folder] = Item(kind, folder, name[: -len(kind.folder)])
    alone = {path: item for path in paths if (item := item_of(path)) is not None and not item.format.folder}
    items |= {path: item for path, item in alone.items() if not any(up in items for up in _parents(path))}
    items = _told_apart(items)
    owner: dict[str, Item] = {}
    for path in paths:
        mine = next((items[up] for up in (*_parents(path), path) if up in items), None)
        if mine is not None:
            owner[path] = mine
    owner |= _sides(paths, items, owner)
    return _Found(items, owner)


def _told_apart(items: dict[str, Item]) -> dict[str, Item]:
    """Return the items with samples that differ: two files of one name in two folders are two datasets."""
    times = Counter(item.sample.lower() for item in items.values())
    return {
        path: item if times[item.sample.lower()] == 1 else item._replace(sample=path.replace("/", "_") or item.sample)
        for path, item in items.items()
    }


def _parents(path: str) -> Iterator[str]:
    """Give the folders above a file, from the outermost, which is the root."""
    yield ""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth])


def _sides(paths: tuple[str, ...], items: dict[str, Item], owner: dict[str, Item]) -> dict[str, Item]:
    """Return the side files of single files: of like name beside them."""
    by_name: dict[str, Item] = {}
    for path, item in items.items():
        if not item.format.folder:
            base = path.rpartition(".")[0]
            for side in item.format.sides:
                by_name[(path + side).lower()] = by_name[(base + side).lower()] = item
    return {path: by_name[path.lower()] for path in paths if path not in owner and path.lower() in by_name}


def _agrees(listing: Listing, item: Item) -> bool | None:
    """Return whether a file's first bytes are those of its format; None when the format has no mark that is known."""
    if not item.format.magic:
        return None
    return read_head(listing.root, item.path, _MAGIC + 8).startswith(item.format.magic)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the acquisitions as a run, each a sample of its own with all of its files.

    Args:
        folder: As the caller named it; its name is the run's id, because none can be read.
        listing: Of that folder.
    """
    name = folder.resolve().name
    found = _found(listing)
    sidecars, problems = _sidecars(listing, found)
    problems = [*listing.problems, *_opaque(found), *_wrong(listing, found), *problems]
    first = next(iter(sidecars.values()), None)
    times = in_order((each.started, each.started_text) for each in sidecars.values())
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=NAME,
        instrument_model=first.model if first else None,
        instrument_serial=first.serial if first else None,
        software=first.software if first else None,
        started=times[0][0] if times else None,
        started_text=times[0][1] if times else None,
        files=tuple(_file(entry, found.owner.get(entry.path)) for entry in listing.files),
        units=tuple(_units(found, sidecars, name)),
        qc=tuple(_metrics(found, sidecars)),
        raw={each.path: each.raw for each in list(sidecars.values())[:20]},
        personal=_personal(sidecars),
        problems=tuple(problems),
    )


def _sidecars(listing: Listing, found: _Found) -> tuple[dict[str, Sidecar], list[Problem]]:
    """Return the notes on Thermo files, by the path of the raw file."""
    told: dict[str, Sidecar] = {}
    problems: list[Problem] = []
    thermo = [item for item in found.items.values() if item.format.key == "thermo_raw"]
    for item in thermo[:MAX_SIDECARS]:
        base = item.path.rpartition(".")[0]
        for entry in filter(None, (listing.find(f"{base}-metadata.{end}") for end in ("json", "txt"))):
            data = read_small(listing.root, entry.path)
            sidecar, wrong = (None, (data,)) if isinstance(data, Problem) else parse_sidecar(data, entry.path)
            problems += wrong
            if sidecar is not None:
                told[item.path] = sidecar
                break
    return told, problems


def _opaque(found: _Found) -> list[Problem]:
    """Return one warning a format: what it is, and which program reads it."""
    problems = []
    for kind in FORMATS:
        mine = [path for path, item in found.items.items() if item.format is kind]
        if mine:
            more = f" (and {len(mine) - 1} more)" if len(mine) > 1 else ""
            text = f"it is {kind.what}, which is kept whole and not read here{more}; {kind.reader} reads it"
            problems.append(warning("OPAQUE", text, mine[0] or None))
    return problems


def _wrong(listing: Listing, found: _Found) -> Iterator[Problem]:
    """Yield what can be told without reading: empty files, other first bytes, and side files that are missing."""
    sizes = {entry.path: entry.size for entry in listing.files}
    for path, item in list(found.items.items())[:MAX_SIDECARS]:
        if not item.format.folder and sizes[path] == 0:
            yield error("ZERO_BYTE_FILE", "it has no bytes; copy it again", path)
        elif _agrees(listing, item) is False:
            text = f"its first bytes are not those of {item.format.what}; is it another kind of file, or cut?"
            yield warning("UNUSUAL_CONTENT", text, path)
        yield from _lonely(item, found)


def _lonely(item: Item, found: _Found) -> Iterator[Problem]:
    """Yield the error that a file came without the files that hold its data."""
    mine = [path.lower() for path, owner in found.owner.items() if owner == item]
    if item.format.key == "imzml" and len(mine) == 1:
        yield error("MISSING_REFERENCE", "its .ibd with the spectra is not here; bring it, too", item.path)
    if item.path.lower().endswith(".wiff") and f"{item.path.lower()}.scan" not in mine:
        yield error("MISSING_REFERENCE", "its .wiff.scan with the spectra is not here; bring it, too", item.path)


def _file(entry: Entry, item: Item | None) -> RunFile:
    if item is None:
        # Plain images between them are what was taken, too.
        plain = entry.name.lower().endswith((".tif", ".tiff")) or is_mrc_name(entry.name)
        role, stem = (FileRole.IMAGE, entry.name.partition(".")[0]) if plain else (FileRole.OTHER, None)
        return RunFile(path=entry.path, size=entry.size, role=role, sample=stem)
    if entry.name.lower().endswith(("-metadata.json", "-metadata.txt")):
        return RunFile(path=entry.path, size=entry.size, role=FileRole.RUN_METADATA)
    return RunFile(path=entry.path, size=entry.size, role=item.format.role, sample=item.sample)


def _units(found: _Found, sidecars: dict[str, Sidecar], root: str) -> Iterator[Unit]:
    files = Counter(owner.path for owner in found.owner.values())
    for path, item in found.items.items():
        facts = {"format": item.format.what, "files": str(files[path])}
        sidecar = sidecars.get(path)
        if sidecar is not None and sidecar.started_text:
            facts["started"] = sidecar.started_text
        name = item.path.rpartition("/")[2] or root
        yield Unit(name=name, kind="acquisition", sample=item.sample, facts=facts)


def _metrics(found: _Found, sidecars: dict[str, Sidecar]) -> Iterator[QCMetric]:
    for path, sidecar in sidecars.items():
        for name, value in sidecar.counts.items():
            key = "_".join(name.removeprefix("number of ").split())[:60]
            yield QCMetric(name=key, value=value, unit="count", scope=found.items[path].sample, source=sidecar.path)


def _personal(sidecars: dict[str, Sidecar]) -> dict[str, str]:
    return {f"{key} {each.path}"[:200]: text for each in sidecars.values() for key, text in each.personal.items()}

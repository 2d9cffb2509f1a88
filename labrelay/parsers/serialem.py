"""SerialEM: movies, tilt series and montages with their `.mdoc` files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, Unit
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.mdoc import Mdoc, mdoc_time, parse_mdoc, windows_folder, windows_name
from labrelay.parsers.mdoc_images import describe, tilts_of
from labrelay.parsers.moments import in_order
from labrelay.parsers.mrc import ENDINGS as MRC_ENDINGS
from labrelay.parsers.mrc import cut_in_session, headers_of, is_mrc_name
from labrelay.parsers.mrc_header import MrcHeader
from labrelay.parsers.text import warning

NAME = "serialem"
LOOKED_FOR = "*.mdoc of SerialEM"
MAX_MDOCS = 2000
_CAP = 8 * 1024 * 1024  # of all together; a movie's mdoc has a kilobyte
_LONGEST_SESSION = timedelta(days=60)
_MOVIES = (".tif", ".tiff", ".eer")
_NOTES = {
    **dict.fromkeys(
        (".mdoc", ".nav", ".adoc", ".xml", ".dm4", ".gain", ".rawtlt", ".txt", ".idoc"), FileRole.RUN_METADATA
    ),
    **dict.fromkeys((".jpg", ".jpeg", ".png"), FileRole.THUMBNAIL),
    ".log": FileRole.LOG,
}


@dataclass
class _Reading:
    """What the mdoc files of one folder say."""

    mdocs: list[Mdoc] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    times: list[tuple[datetime, str]] = field(default_factory=list)
    named: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    gains: set[str] = field(default_factory=set)


def detect(listing: Listing) -> Detection | None:
    """Say whether SerialEM wrote here: its mdoc files lie beside what they describe."""
    found = tuple(entry.path for entry in listing.files if entry.name.lower().endswith(".mdoc"))[:3]
    return Detection(platform=NAME, confidence=0.9, evidence=found) if found else None


def beside(listing: Listing) -> Iterator[str]:
    """Give the names that the mdoc of one stack or movie may have, and those of what one mdoc describes."""
    for entry in listing.files:
        name, base = entry.name, entry.name.rpartition(".")[0]
        if name.lower().endswith(".mdoc"):
            yield from (base, *(base + ending for ending in MRC_ENDINGS))
        elif is_mrc_name(name) or name.lower().endswith(_MOVIES):
            yield from (f"{name}.mdoc", f"{base}.mdoc")


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the session in a folder; its sample is the folder's name, because SerialEM knows none.

    Args:
        folder: As the caller named it; its name is the run's id. A single mdoc is a run of its own.
        listing: Of that folder.
    """
    name = folder.resolve().name
    sample = name.partition(".")[0] if folder.is_file() else name
    reading = _read_mdocs(listing)
    files = tuple(_file(entry, sample, reading.gains) for entry in listing.files)
    stacks = [e for e, f in zip(listing.files, files, strict=True) if f.role is FileRole.IMAGE and is_mrc_name(e.name)]
    headers, found = headers_of(listing, stacks)
    wrong, copied = cut_in_session(files, found)
    present = {file.path.rpartition("/")[2].lower(): file.path for file in files}
    held = {mdoc.path: stack for mdoc in reading.mdocs if (stack := _stack(mdoc, present, headers)) is not None}
    times = in_order(reading.times)
    first = reading.mdocs[0] if reading.mdocs else None
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=NAME,
        instrument_model=_microscope(first),
        software=_software(first),
        started=times[0][0] if times else None,
        started_text=times[0][1] if times else None,
        ended=times[-1][0] if times else None,
        files=files,
        units=tuple(unit for mdoc in reading.mdocs if (unit := _unit(mdoc, held.get(mdoc.path))) is not None),
        images=tuple(image for mdoc in reading.mdocs for image in describe(mdoc, present)),
        problems=(
            *listing.problems,
            *reading.problems,
            *wrong,
            *_counts(reading.mdocs, held),
            *_years_apart(times),
            *_absent(reading, present),
        ),
        completion=Completion(copied=copied),
        raw={mdoc.path: _raw(mdoc) for mdoc in reading.mdocs[:5]},
        personal=_personal(reading.mdocs),
    )


def _read_mdocs(listing: Listing) -> _Reading:
    reading = _Reading()
    entries = [entry for entry in listing.files if entry.name.lower().endswith(".mdoc")]
    room = _CAP
    for place, entry in enumerate(entries):
        if place >= MAX_MDOCS or entry.size > room:
            told = f"{place:,} of {len(entries):,} mdoc files were read; those from here on were not looked at"
            reading.problems.append(warning("NOT_ALL_READ", told, entry.path))
            break
        data = read_small(listing.root, entry.path, room)
        if isinstance(data, Problem):
            reading.problems.append(data)
            continue
        room -= len(data)
        mdoc, problems = parse_mdoc(data, entry.path)
        reading.problems += problems
        _take(reading, mdoc)
    return reading


def _take(reading: _Reading, mdoc: Mdoc) -> None:
    """Keep what a file says; remember where it names files, and when its images were taken."""
    reading.mdocs.append(mdoc)
    stack = mdoc.fields.get("ImageFile")
    if stack:
        reading.named.setdefault(windows_name(stack).lower(), (windows_name(stack), mdoc.path, 1))
    unclear = 0
    for section in mdoc.sections:
        movie, gain, told = (section.fields.get(key) for key in ("SubFramePath", "GainReference", "DateTime"))
        if movie:
            reading.named.setdefault(windows_name(movie).lower(), (windows_name(movie), mdoc.path, section.line))
        if gain:
            reading.gains.add(windows_name(gain).lower())
        when = mdoc_time(told)
        if when is not None and told is not None:
            reading.times.append((when, told))
        elif told and not unclear:
            unclear = section.line
    if unclear:
        text = "DateTime from this section on is in no form that SerialEM is known to write; such times are left out"
        reading.problems.append(warning("UNKNOWN_DATE", text, mdoc.path, unclear))


def _absent(reading: _Reading, present: dict[str, str]) -> list[Problem]:
    """Return the warning that stacks and movies which the mdoc files name lie elsewhere."""
    gone = [told for key, told in reading.named.items() if key not in present]
    if not gone:
        return []
    name, path, line = gone[0]
    text = (
        f"{len(gone):,} of {counted(len(reading.named), 'stack or movie', 'stacks and movies')} that mdoc files name "
        f"are not in this folder, such as {printable(name, 80)}; bring them, if they lie on another disk"
    )
    return [warning("MISSING_REFERENCE", text, path, line)]


def _stack(mdoc: Mdoc, present: dict[str, str], headers: dict[str, MrcHeader]) -> tuple[str, int] | None:
    """Return the stack that a file describes, where it is here, and how many images its header says."""
    path = present.get(windows_name(mdoc.fields.get("ImageFile", "")).lower())
    header = headers.get(path) if path is not None else None
    return (path, header.nz) if path is not None and header is not None else None


def _counts(mdocs: list[Mdoc], held: dict[str, tuple[str, int]]) -> Iterator[Problem]:
    """Yield where a stack holds more or fewer images than its mdoc describes, as after a crash of SerialEM."""
    for mdoc in mdocs:
        told = len(mdoc.of_kind("ZValue"))
        path, found = held.get(mdoc.path, ("", told))
        if found != told:
            text = f"it describes {counted(told, 'image')} and {printable(path, 80)} holds {found:,}; was it stopped?"
            yield warning("COUNT_MISMATCH", text, mdoc.path)


def _years_apart(times: list[tuple[datetime, str | None]]) -> list[Problem]:
    """Return the warning that sections were not taken in one session, or by a clock that was wrong."""
    if not times:
        return []
    first, last = (each[0].replace(tzinfo=None) for each in (times[0], times[-1]))
    if last - first <= _LONGEST_SESSION:
        return []
    text = (
        f"its sections are dated from {first.date().isoformat()} to {last.date().isoformat()}, no single session: "
        "are these several, or was a clock or a preset's date wrong? start and end are the first and last date"
    )
    return [warning("DATES_APART", text)]


def _file(entry: Entry, sample: str, gains: set[str]) -> RunFile:
    lower = entry.name.lower()
    ending = lower[lower.rfind(".") :] if "." in lower else ""
    role = FileRole.IMAGE if ending in _MOVIES or is_mrc_name(lower) else _NOTES.get(ending, FileRole.OTHER)
    # A gain reference may be an MRC file, too; it is no image of the sample.
    if lower in gains:
        role = FileRole.RUN_METADATA
    return RunFile(path=entry.path, size=entry.size, role=role, sample=sample if role is FileRole.IMAGE else None)


def _software(mdoc: Mdoc | None) -> str | None:
    """Return who wrote the file by its title; other programs for tomography write the same form."""
    return "SerialEM" if mdoc is not None and any("SerialEM" in title for title in mdoc.titles) else None


def _microscope(mdoc: Mdoc | None) -> str | None:
    """Return the microscope as its owners call it in the title, such as `Titan Krios D3692`."""
    for title in mdoc.titles if mdoc else ():
        if title.startswith("SerialEM:"):
            told = title.removeprefix("SerialEM:").strip().removeprefix("Digitized on").strip()
            return printable(told, 100) or None
    return None


def _unit(mdoc: Mdoc, stack: tuple[str, int] | None) -> Unit | None:
    """Return a tilt series or a montage, which ends by itself; a movie is one image and no part."""
    tilts = tilts_of(mdoc)
    pieces = [section for section in mdoc.sections if "PieceCoordinates" in section.fields]
    facts = {key: value for key, name in _FACTS if (value := mdoc.get(name))}
    stem = mdoc.path.rpartition("/")[2].removesuffix(".mdoc")
    if tilts:
        facts = {"tilts": str(len(tilts)), "degrees": f"{min(tilts):.1f} to {max(tilts):.1f}", **facts}
        whole = stack is not None and stack[1] == len(tilts)
        copied = Fact(value=Known.YES, evidence=stack[0]) if stack is not None and whole else Fact()
        return Unit(name=stem, kind="tilt series", completion=Completion(copied=copied), facts=facts)
    if pieces:
        return Unit(name=stem, kind="montage", facts={"pieces": str(len(pieces)), **facts})
    return None


_FACTS = (("magnification", "Magnification"), ("kV", "Voltage"), ("defocus µm", "TargetDefocus"))


def _raw(mdoc: Mdoc) -> dict[str, str]:
    """Return the file's own fields and those of its first section, without folders, which people name."""
    kinds = sorted({section.kind for section in mdoc.sections})
    told = {f"{kind} sections": str(len(mdoc.of_kind(kind))) for kind in kinds}
    first = mdoc.sections[0].fields if mdoc.sections else {}
    fields = {key: value for key, value in (mdoc.fields | first).items() if "\\" not in value}
    return told | {key[:80]: value[:500] for key, value in list(fields.items())[:45]}


def _personal(mdocs: list[Mdoc]) -> dict[str, str]:
    """Return the folders that frames were written to: they are named by the people who worked there."""
    paths = [path for mdoc in mdocs if (path := mdoc.get("SubFramePath"))]
    folders = dict.fromkeys(windows_folder(path) for path in paths)
    return {f"frames {place}": folder[:500] for place, folder in enumerate(list(folders)[:10], 1)}

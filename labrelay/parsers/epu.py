"""Sessions of Thermo Fisher's EPU: grid squares with foil holes, each exposure an XML beside a movie.

EPU puts descriptions and small pictures on one disk and movies on another, so a session without its movies is usual
and is told, not refused. Nothing in a session says for certain that it has ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageSet
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, Unit
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.epu_session import EpuImage, EpuSession, parse_image, parse_session
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.moments import in_order
from labrelay.parsers.mrc import cut_in_session, headers_of, is_mrc_name
from labrelay.parsers.text import warning

NAME = "epu"
LOOKED_FOR = "EpuSession.dm, or GridSquare_*/Data/FoilHole_*.xml"
MAX_READ = 200
_CAP = 256 * 1024  # of one description, which has some 16 kB
_SQUARE = re.compile(r"(?:.*/)?(GridSquare_\d+)/(?:(Data|FoilHoles)/)?[^/]+\Z", re.IGNORECASE)
_EXPOSURE = re.compile(r"(FoilHole_\d+_Data_\d+.*?_\d{8}_\d{6})(?:_.*)?\.[^.]+\Z", re.IGNORECASE)
_IMAGES = (".mrc", ".tif", ".tiff", ".eer")
_FRACTIONS = re.compile(r"_(?:Fractions|EER)\.|\.eer\Z", re.IGNORECASE)
_PICTURES = (".jpg", ".jpeg", ".png")
_NOTES = (".dm", ".xml", ".mdoc", ".gain", ".raw")


@dataclass
class _Square:
    """One grid square as the folder shows it."""

    holes: int = 0
    exposures: set[str] = field(default_factory=set)
    movies: set[str] = field(default_factory=set)


def detect(listing: Listing) -> Detection | None:
    """Say whether this is a session of EPU: by its own file, or by the names of grid squares and foil holes."""
    session = _session_entry(listing)
    exposures = (entry.path for entry in listing.files if _EXPOSURE.match(entry.name) and _SQUARE.match(entry.path))
    seen = next(exposures, None)
    if session is not None:
        return Detection(platform=NAME, confidence=1.0, evidence=tuple(filter(None, (session.path, seen))))
    return Detection(platform=NAME, confidence=0.95, evidence=(seen,)) if seen is not None else None


def _session_entry(listing: Listing) -> Entry | None:
    """Return the session's own file, the one nearest to the root when a folder holds several."""
    return min(listing.named("epusession.dm"), key=lambda entry: (entry.path.count("/"), entry.path), default=None)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the session; its name is the sample of its images.

    Args:
        folder: As the caller named it; its name is kept beside the session's.
        listing: Of that folder.
    """
    name = folder.resolve().name
    problems = list(listing.problems)
    session, evidence = _session(listing, problems)
    squares = _squares(listing)
    described = _described(listing, problems)
    first, told = next(iter(described.items()), (None, None))
    run_id = _run_id(session, evidence, name, problems, alone=folder.is_file())
    files = tuple(_file(entry, run_id) for entry in listing.files)
    _headers, found = headers_of(listing, (entry for entry in listing.files if is_mrc_name(entry.name)))
    wrong, copied = cut_in_session(files, found)
    problems += [*_absent(squares, session), *_half_copied(listing, session, evidence), *wrong]
    times = in_order((each.acquired, each.acquired_text) for each in described.values())
    ended = session.ended if session else None
    return InstrumentRun(
        run_id=run_id,
        folder_name=name,
        platform=NAME,
        instrument_model=told.model if told else None,
        instrument_serial=told.serial if told else None,
        software=(told.software if told else None)
        or (f"EPU {session.version}" if session and session.version else None),
        grid=session.grid if session else None,
        started=(session.started if session else None) or (times[0][0] if times else None),
        started_text=(session.started_text if session else None) or (times[0][1] if times else None),
        ended=ended or (times[-1][0] if times else None),
        files=files,
        units=tuple(_unit(square, found, told) for square, found in sorted(squares.items())),
        images=tuple(_image(path, each, listing) for path, each in described.items()),
        completion=Completion(acquired=Fact(value=Known.YES, evidence=evidence) if ended else Fact(), copied=copied),
        problems=tuple(problems),
        raw=_raw(session, evidence, told, first),
        personal=_personal(session, told),
    )


def _session(listing: Listing, problems: list[Problem]) -> tuple[EpuSession | None, str | None]:
    entry = _session_entry(listing)
    if entry is None:
        text = "there is no EpuSession.dm, so the session's name and settings are not known; copy it, too"
        problems.append(warning("NO_SESSION", text))
        return None, None
    data = read_small(listing.root, entry.path)
    if isinstance(data, Problem):
        problems.append(data)
        return None, entry.path
    session, found = parse_session(data, entry.path)
    problems += found
    return session, entry.path


def _run_id(
    session: EpuSession | None, evidence: str | None, name: str, problems: list[Problem], *, alone: bool
) -> str:
    told = session.name if session else None
    if told is None or not told.isprintable() or len(told) > 200:
        return name
    beside = evidence.rpartition("/")[0].rpartition("/")[2] if evidence and "/" in evidence else name
    if told not in (beside, name) and not alone:
        text = (
            f"the folder is called {printable(beside, 80)} and holds the session {printable(told, 80)}, which is used"
        )
        problems.append(warning("ID_MISMATCH", text, evidence))
    return told


def _squares(listing: Listing) -> dict[str, _Square]:
    """Return the grid squares that hold files, by name."""
    found: dict[str, _Square] = {}
    for entry in listing.files:
        match = _SQUARE.match(entry.path)
        if match is None:
            continue
        square = found.setdefault(match[1], _Square())
        exposure = _EXPOSURE.match(entry.name)
        lower = entry.name.lower()
        if exposure is not None and lower.endswith(".xml"):
            square.exposures.add(exposure[1])
        elif exposure is not None and _FRACTIONS.search(entry.name):
            square.movies.add(exposure[1])
        elif (match[2] or "").lower() == "foilholes" and lower.endswith(".xml"):
            square.holes += 1
    return found


def _described(listing: Listing, problems: list[Problem]) -> dict[str, EpuImage]:
    """Return the descriptions of exposures by path: the first and the last ones where there are very many."""
    entries = [e for e in listing.files if e.name.lower().endswith(".xml") and _EXPOSURE.match(e.name)]
    entries.sort(key=lambda entry: (_EXPOSURE.sub(r"\1", entry.name)[-15:], entry.path))
    chosen = entries
    if len(entries) > MAX_READ:
        chosen = [*entries[: MAX_READ // 2], *entries[-MAX_READ // 2 :]]
        text = f"of {len(entries):,} descriptions of exposures the first and last {MAX_READ // 2} were read"
        problems.append(warning("NOT_ALL_READ", text))
    found: dict[str, EpuImage] = {}
    for entry in chosen:
        data = read_small(listing.root, entry.path, _CAP)
        if isinstance(data, Problem):
            problems.append(warning(data.code, data.message, data.path))
            continue
        image, wrong = parse_image(data, entry.path)
        problems += wrong
        if image is not None:
            found[entry.path] = image
    return found


def _absent(squares: dict[str, _Square], session: EpuSession | None) -> list[Problem]:
    """Return the warning that exposures have no movie here."""
    taken = {exposure for square in squares.values() for exposure in square.exposures}
    gone = sorted(taken - {movie for square in squares.values() for movie in square.movies})
    if not gone:
        return []
    written = session.options.get("DoseFractionsOutputFormat") if session else None
    form = f" ({printable(written, 60)})" if written else ""
    have = counted(len(taken), "exposure has", "exposures have")
    text = (
        f"{len(gone):,} of {have} no movie{form} in this folder, such as {gone[0]}; EPU writes movies to another disk, "
        "so bring them into the same folders or as a run of their own"
    )
    return [warning("MISSING_REFERENCE", text)]


def _half_copied(listing: Listing, session: EpuSession | None, evidence: str | None) -> list[Problem]:
    """Return the warning that some descriptions of grid squares came along and others did not."""
    if session is None or evidence is None:
        return []
    base = evidence[: -len("EpuSession.dm")]
    gone = [name for name in session.squares if listing.find(f"{base}Metadata/{name}") is None]
    if not gone or len(gone) == len(session.squares):
        return []
    many = counted(len(session.squares), "grid square has", "grid squares have")
    text = f"{len(gone):,} of {many} no file in Metadata, such as {printable(gone[0], 80)}; is the copy going on?"
    return [warning("MISSING_REFERENCE", text, evidence)]


def _file(entry: Entry, sample: str) -> RunFile:
    lower = entry.name.lower()
    role = FileRole.OTHER
    if lower.endswith(_PICTURES):
        role = FileRole.THUMBNAIL
    elif lower.endswith(_NOTES):
        role = FileRole.RUN_METADATA
    elif lower.endswith(_IMAGES):
        # Pictures of whole squares and holes are for finding the way; exposures are what was measured.
        role = FileRole.IMAGE if _EXPOSURE.match(entry.name) or not _SQUARE.match(entry.path) else FileRole.OTHER
    return RunFile(path=entry.path, size=entry.size, role=role, sample=sample if role is FileRole.IMAGE else None)


def _unit(name: str, square: _Square, told: EpuImage | None) -> Unit:
    facts = {"exposures": str(len(square.exposures)), "movies": str(len(square.movies)), "holes": str(square.holes)}
    if told is not None and square.exposures:
        optics = {"magnification": told.magnification, "kV": told.volts / 1000 if told.volts else None}
        facts |= {key: f"{value:g}" for key, value in optics.items() if value}
    return Unit(name=name, kind="grid square", facts=facts)


def _image(path: str, told: EpuImage, listing: Listing) -> ImageSet:
    """Return one exposure; its path is the movie's where that is here, else the description's."""
    match = _EXPOSURE.match(path.rpartition("/")[2])
    stem = match[1] if match else path
    base = path[: -len(".xml")]
    ways = [
        f"{base}{end}" for end in ("_Fractions.mrc", "_Fractions.tiff", "_Fractions.tif", "_EER.eer", ".eer", ".mrc")
    ]
    there = next((entry.path for way in ways if (entry := listing.find(way))), path)
    return ImageSet(
        name=stem,
        path=there,
        size_x=told.width,
        size_y=told.height,
        size_z=1,
        size_c=1,
        pixel_um=round(told.pixel_m * 1e6, 10) if told.pixel_m else None,
        acquired=told.acquired_text,
    )


def _raw(
    session: EpuSession | None, evidence: str | None, told: EpuImage | None, first: str | None
) -> dict[str, dict[str, str]]:
    """Return the session's options, and what the first exposure was taken with."""
    found: dict[str, dict[str, str]] = {}
    if session is not None and evidence is not None:
        found[evidence] = {"grid squares on the atlas": str(len(session.squares)), **session.options}
    if told is not None and first is not None:
        values = {
            "kV": f"{told.volts / 1000:g}" if told.volts else None,
            "magnification": f"{told.magnification:g}" if told.magnification else None,
            "pixel size Å": f"{told.pixel_m * 1e10:.4g}" if told.pixel_m else None,
            "exposure s": f"{told.exposure_s:g}" if told.exposure_s else None,
            "detector": told.detector,
        }
        found[first] = {key: value[:500] for key, value in values.items() if value}
    return found


def _personal(session: EpuSession | None, told: EpuImage | None) -> dict[str, str]:
    found = dict(session.personal) if session else {}
    if told is not None and told.computer:
        found["computer"] = told.computer[:500]
    return found

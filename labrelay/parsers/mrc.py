"""Files of electron microscopes in MRC form, with nothing that explains them but their own headers."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterable
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageSet
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile
from labrelay.model.problem import Problem, Severity
from labrelay.parsers.listing import Entry, Listing, read_head
from labrelay.parsers.mrc_header import HEAD, MrcHeader, is_mrc, parse_mrc_header
from labrelay.parsers.text import warning

NAME = "mrc"
LOOKED_FOR = "*.mrc, *.mrcs, *.st, *.rec or *.map of an electron microscope"
ENDINGS = (".mrc", ".mrcs", ".st", ".rec", ".ali", ".preali")
MAX_HEADERS = 2000
_PACKED = (".bz2", ".gz")
# A map of a web page or of genes is called `.map`, too, so that name alone says nothing.
_UNSURE = ".map"


def bare(name: str) -> str:
    """Return a file's name in lower case without the ending of a compression."""
    lower = name.lower()
    return next((lower[: -len(ending)] for ending in _PACKED if lower.endswith(ending)), lower)


def is_mrc_name(name: str) -> bool:
    """Return whether a file is called like an MRC file, compressed or not."""
    return bare(name).endswith(ENDINGS)


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds MRC files; a `.map` counts when its first bytes say so."""
    found = [entry.path for entry in listing.files if is_mrc_name(entry.name)][:3]
    if not found:
        unsure = [entry for entry in listing.files if bare(entry.name).endswith(_UNSURE)][:3]
        found = [entry.path for entry in unsure if is_mrc(head_of(listing, entry))]
    return Detection(platform=NAME, confidence=0.5, evidence=tuple(found)) if found else None


def head_of(listing: Listing, entry: Entry) -> bytes:
    """Return the first bytes of an MRC file, through gzip or bzip2 where its name says so."""
    if not entry.name.lower().endswith(_PACKED):
        return read_head(listing.root, entry.path, HEAD)
    # A block of bzip2 holds up to 900 kB and gives nothing before it is whole.
    packed = read_head(listing.root, entry.path, 1_000_000)
    try:
        if entry.name.lower().endswith(".bz2"):
            return bz2.BZ2Decompressor().decompress(packed, HEAD)
        return zlib.decompressobj(31).decompress(packed, HEAD)
    except (OSError, EOFError, ValueError, zlib.error):
        return b""


def headers_of(listing: Listing, entries: Iterable[Entry]) -> tuple[dict[str, MrcHeader], tuple[Problem, ...]]:
    """Return the headers of MRC files by path, of the first `MAX_HEADERS`, and what is wrong with them."""
    found: dict[str, MrcHeader] = {}
    problems: list[Problem] = []
    for place, entry in enumerate(entries):
        if place == MAX_HEADERS:
            told = f"the headers of the first {MAX_HEADERS} MRC files were read; those from here on were not looked at"
            problems.append(warning("NOT_ALL_READ", told, entry.path))
            break
        packed = entry.name.lower().endswith(_PACKED)
        header, wrong = parse_mrc_header(head_of(listing, entry), None if packed else entry.size, entry.path)
        problems += wrong
        if header is not None:
            found[entry.path] = header
    return found, tuple(problems)


def image_set(path: str, header: MrcHeader) -> ImageSet:
    """Return what a header says of its image: sections are planes of a volume, else images one after another."""
    stack = header.ispg == 0 or path.lower().endswith((".mrcs", ".st"))
    name = path.rpartition("/")[2]
    step = header.voxel[2]
    return ImageSet(
        name=name,
        path=path,
        size_x=header.nx,
        size_y=header.ny,
        size_z=1 if stack else header.nz // header.volumes,
        size_t=header.nz if stack else header.volumes,
        size_c=1,
        pixel_type=header.pixel_type,
        pixel_um=header.pixel_um,
        step_um=None if stack or step is None else round(step * 1e-4, 10),
        acquired=header.fei.acquired.isoformat() if header.fei and header.fei.acquired else None,
    )


def pixel_size_unknown(headers: dict[str, MrcHeader]) -> list[Problem]:
    """Return the warning that files do not say how large their pixels are."""
    blind = [path for path, header in headers.items() if header.pixel_um is None]
    if not blind:
        return []
    more = f" (and {len(blind) - 1} more)" if len(blind) > 1 else ""
    text = f"its header gives the pixel size as 0, so it is not known{more}; note it from the microscope"
    return [warning("NO_PIXEL_SIZE", text, blind[0])]


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the files as a run whose sample is the folder, because no header names one.

    Args:
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
    """
    name = folder.resolve().name
    sample = name.partition(".")[0] if folder.is_file() else name
    mine = [entry for entry in listing.files if is_mrc_name(entry.name) or bare(entry.name).endswith(_UNSURE)]
    headers, problems = headers_of(listing, mine)
    paths = {entry.path for entry in mine if is_mrc_name(entry.name)} | set(headers)
    fei = next((header.fei for header in headers.values() if header.fei), None)
    times = sorted(header.fei.acquired for header in headers.values() if header.fei and header.fei.acquired)
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=NAME,
        instrument_model=fei.microscope if fei else None,
        instrument_serial=fei.serial if fei else None,
        software=fei.software if fei else None,
        started=times[0] if times else None,
        started_text=times[0].isoformat() if times else None,
        ended=times[-1] if times else None,
        files=tuple(_file(entry, entry.path in paths, sample) for entry in listing.files),
        images=tuple(image_set(path, header) for path, header in headers.items()),
        completion=Completion(copied=whole(headers, problems, listing)),
        raw={path: _labels(header) for path, header in list(headers.items())[:10]},
        problems=(*listing.problems, *problems, *pixel_size_unknown(headers)),
    )


def whole(headers: dict[str, MrcHeader], problems: Iterable[Problem], listing: Listing) -> Fact:
    """Return whether all pixels are there: every file is as long as its header says, or one is not."""
    cut = next((p.path for p in problems if p.code == "TRUNCATED" and p.severity is Severity.ERROR), None)
    if cut is not None:
        return Fact(value=Known.NO, evidence=cut)
    sizes = {entry.path: entry.size for entry in listing.files}
    exact = [path for path, header in headers.items() if sizes[path] == header.expected]
    if exact and len(exact) == len(headers):
        more = f" and {len(exact) - 1} more" if len(exact) > 1 else ""
        return Fact(value=Known.YES, evidence=f"length of {exact[0]}{more}")
    return Fact()


def cut_in_session(files: Iterable[RunFile], problems: Iterable[Problem]) -> tuple[list[Problem], Fact]:
    """Return what is wrong with images of a session of thousands, as warnings, and that not all has arrived.

    A camera that crashed leaves one movie that is cut, and that refuses no night's work; but while a copy goes on, its
    last file looks the same, so that somebody has to say that nothing more comes.
    """
    found = [warning(each.code, each.message, each.path, each.line) for each in problems]
    empty = [
        file.path for file in files if file.role is FileRole.IMAGE and not file.size and not is_mrc_name(file.path)
    ]
    if empty:
        more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        found.append(warning("ZERO_BYTE_FILE", f"it has no bytes; copy it again{more}", empty[0]))
    cut = next((each.path for each in found if each.code in ("TRUNCATED", "ZERO_BYTE_FILE")), None)
    return found, Fact(value=Known.NO, evidence=cut) if cut is not None else Fact()


def _file(entry: Entry, mine: bool, sample: str) -> RunFile:
    role = FileRole.IMAGE if mine else FileRole.OTHER
    return RunFile(path=entry.path, size=entry.size, role=role, sample=sample if mine else None)


def _labels(header: MrcHeader) -> dict[str, str]:
    told = {"mode": str(header.mode), "space group": str(header.ispg), "byte order": header.order}
    return told | {f"label {place}": label for place, label in enumerate(header.labels, 1)}

"""Formats whose every file is an image by itself: from what each file tells to the run of a folder.

What a platform of that kind adds is how one file is recognised and read; which files are kept, how their samples are
called and what the run says follows here, alike for all of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageSet
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile
from labrelay.model.problem import Problem
from labrelay.parsers.image_names import is_image
from labrelay.parsers.listing import Entry, Listing, open_regular, read_head
from labrelay.parsers.mrc import is_mrc_name
from labrelay.parsers.opaque_formats import item_of
from labrelay.parsers.planes import cut
from labrelay.parsers.text import error, to_datetime, warning

# Each of a platform of this kind; a folder that holds several kinds is read as one of them, and all are kept as images.
ENDINGS = (".nd2", ".czi", ".lif", ".svs", ".ndpi", ".scn", ".bif", ".mrxs", ".eer")
MOST_OPENED = 500
MOST_IMAGES = 50_000  # of a run
MOST_RAW = 50


@dataclass(frozen=True)
class Told:
    """What one file says of itself.

    Attributes:
        images: One entry an image of five dimensions, in the file's order.
        model, serial, software: Of what wrote it.
        raw: Texts that nothing here models.
        personal: Names of people and machines, and where they are shown, by field.
        problems: What is wrong with it.
        whole: Whether it is as long as it says of itself; None when it says nothing of that.
        ended: Whether its writer has closed it; None when that cannot be told.
    """

    images: tuple[ImageSet, ...] = ()
    model: str | None = None
    serial: str | None = None
    software: str | None = None
    raw: Mapping[str, str] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    whole: bool | None = None
    ended: bool | None = None


Look = Callable[[Listing, Entry], Told]
Read = TypeVar("Read")


def by_heads(platform: str, listing: Listing, ending: str, fits: Callable[[bytes], bool]) -> Detection | None:
    """Say whether some of the first files of an ending are of the platform, by their first 16 bytes."""
    named = [entry for entry in listing.files if entry.name.lower().endswith(ending)]
    found = tuple(entry.path for entry in named[:8] if fits(read_head(listing.root, entry.path, 16)))[:3]
    return Detection(platform=platform, confidence=0.9, evidence=found) if found else None


def opened(
    listing: Listing,
    entry: Entry,
    read: Callable[[BinaryIO], Read],
    wrong: tuple[type[Exception], type[Exception]],
    code: str,
    *,
    whole: bool | None = None,
) -> Read | Told:
    """Return what `read` makes of a file, or what is to be said of one that it cannot read.

    Args:
        listing: That has the file.
        entry: The file.
        read: Raises one of `wrong`.
        wrong: The exception of a file that is cut, an error, and the one of which that is a kind: it is none at all.
        code: Of the latter.
        whole: What is known of the length of such a file.
    """
    cut_short, bad = wrong
    try:
        with os.fdopen(open_regular(listing.root, entry.path), "rb") as source:
            return read(source)
    except cut_short as why:
        return Told(problems=(error("TRUNCATED", f"{why}; copy it again", entry.path),), whole=False)
    except bad as why:
        return Told(problems=(warning(code, f"{why}; copy it again", entry.path),), whole=whole)
    except OSError:
        return Told(problems=(warning("UNREADABLE", "it cannot be read; check its rights", entry.path),))


def run_of_files(
    platform: str,
    folder: Path,
    listing: Listing,
    endings: tuple[str, ...],
    look: Look,
    sides: Mapping[str, str] | None = None,
) -> InstrumentRun:
    """Return the images of a folder as a run, each file a sample of its own.

    Args:
        platform: Its name.
        folder: As the caller named it; its name is the run's id.
        listing: Of that folder.
        endings: Of the files that are images of this platform, in lower case.
        look: How one of them is read; it raises nothing.
        sides: Files that belong to an image, by path, with that image's path.
    """
    name = folder.resolve().name
    mine = [entry for entry in listing.files if entry.name.lower().endswith(endings)]
    told = _told(listing, mine, look)
    problems = [*listing.problems, *_empty(mine), *_many(mine)]
    problems += [problem for each in told.values() for problem in each.problems]
    images = tuple(image for each in told.values() for image in each.images)
    acquired = min((image.acquired for image in images if image.acquired), default=None)
    samples = samples_of([entry.path for entry in mine])
    files = tuple(_file(entry, samples, sides or {}) for entry in listing.files)
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=platform,
        instrument_model=_first(each.model for each in told.values()),
        instrument_serial=_first(each.serial for each in told.values()),
        software=_first(each.software for each in told.values()),
        started=to_datetime(acquired) if acquired else None,
        started_text=acquired,
        files=files,
        images=images,
        completion=_completion(told, len(mine)),
        problems=(*problems, *_others(listing, samples, sides or {})),
        raw={path: raw for path, each in list(told.items())[:MOST_RAW] if (raw := cut(each.raw))},
        personal={f"{path}: {key}": value[:500] for path, each in told.items() for key, value in each.personal.items()},
    )


def _told(listing: Listing, mine: list[Entry], look: Look) -> dict[str, Told]:
    """Return what the files tell, with no more images of all together than a run may have."""
    found: dict[str, Told] = {}
    left, said = MOST_IMAGES, False
    for entry in mine[:MOST_OPENED]:
        if not entry.size:
            continue
        told = look(listing, entry)
        if len(told.images) > left:
            text = f"the run's images beyond the first {MOST_IMAGES:,} are kept and not listed; give a part of it"
            problems = told.problems if said else (*told.problems, warning("TOO_MANY_IMAGES", text, entry.path))
            told, said = replace(told, images=told.images[:left], problems=problems), True
        left -= len(told.images)
        found[entry.path] = told
    return found


def from_documents(run: InstrumentRun, endings: tuple[str, ...]) -> InstrumentRun:
    """Return the run with a warning for each ending of which no real file was at hand to try the reader on."""
    firsts = ((end, next((f.path for f in run.files if f.path.lower().endswith(end)), None)) for end in endings)
    text = "files are read as documents describe them; look whether what is said here is right"
    told = tuple(warning("FROM_DOCUMENTS", f"{end} {text}", path) for end, path in firsts if path)
    return run.model_copy(update={"problems": (*run.problems, *told)})


def samples_of(paths: list[str]) -> dict[str, str]:
    """Return the sample of each image by its path: the name without its ending, or the path where names are alike."""
    stems = {path: path.rpartition("/")[2].rpartition(".")[0] or path.rpartition("/")[2] for path in paths}
    times = Counter(stem.lower() for stem in stems.values())
    return {path: stem if times[stem.lower()] == 1 else path.replace("/", "_") for path, stem in stems.items()}


def _file(entry: Entry, samples: Mapping[str, str], sides: Mapping[str, str]) -> RunFile:
    sample = samples.get(sides.get(entry.path, entry.path))
    if sample is not None:
        return RunFile(path=entry.path, size=entry.size, role=FileRole.IMAGE, sample=sample)
    item = item_of(entry.path)
    if item is not None and not item.format.folder:
        return RunFile(path=entry.path, size=entry.size, role=item.format.role, sample=item.sample)
    if entry.name.lower().endswith(ENDINGS):
        return RunFile(path=entry.path, size=entry.size, role=FileRole.IMAGE, sample=entry.name.rpartition(".")[0])
    if is_image(entry.name) or is_mrc_name(entry.name):
        return RunFile(path=entry.path, size=entry.size, role=FileRole.IMAGE, sample=entry.name.partition(".")[0])
    return RunFile(path=entry.path, size=entry.size, role=FileRole.OTHER)


def _first(values: Iterator[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _empty(mine: list[Entry]) -> Iterator[Problem]:
    return (error("ZERO_BYTE_FILE", "it has no bytes; copy it again", entry.path) for entry in mine if not entry.size)


def _many(mine: list[Entry]) -> Iterator[Problem]:
    if len(mine) > MOST_OPENED:
        text = f"more than {MOST_OPENED} files are not looked into; they are kept all the same"
        yield warning("TOO_MANY_IMAGES", text, mine[MOST_OPENED].path)


def _others(listing: Listing, samples: Mapping[str, str], sides: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a warning for each format between the images that nobody here reads."""
    known: set[str] = set()
    for entry in listing.files:
        if entry.path in samples or entry.path in sides:
            continue
        end = entry.name[entry.name.rfind(".") :].lower()
        if end in ENDINGS and end not in known:
            known.add(end)
            text = f"{end} files lie here, too, and are kept unread; in a folder of their own they are read"
            yield warning("NOT_READ", text, entry.path)
        item = item_of(entry.path)
        if item is None or item.format.folder or item.format.key in known:
            continue
        known.add(item.format.key)
        text = f"it is {item.format.what}, which is kept whole and not read here; {item.format.reader} reads it"
        yield warning("OPAQUE", text, entry.path)


def _completion(told: Mapping[str, Told], files: int) -> Completion:
    """All files are as long as they say, or one is not; and none is being written, or one is."""
    cut_off = next((path for path, each in told.items() if each.whole is False), None)
    open_still = next((path for path, each in told.items() if each.ended is False), None)
    all_told = len(told) == files and bool(told)
    whole = all_told and all(each.whole for each in told.values())
    copied = Fact(value=Known.NO, evidence=cut_off) if cut_off else Fact()
    if whole:
        copied = Fact(value=Known.YES, evidence=next(iter(told)))
    acquired = Fact(value=Known.NO, evidence=open_still) if open_still else Fact()
    return Completion(acquired=acquired, copied=copied)

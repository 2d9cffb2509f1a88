"""Which platform wrote a folder, and the run that it holds.

Each platform is a module with `NAME`, `LOOKED_FOR`, `detect(listing)` and `read(folder, listing)`. A platform of
somebody else's package joins by the entry-point group `labrelay.parsers` (an object with these four).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from labrelay.model.errors import RefusedInput
from labrelay.model.files import FileRole
from labrelay.model.instrument import CycleQuality, Detection, InstrumentRun
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers import (
    allotropy,
    bench,
    cellvoyager,
    czi,
    delivery,
    eer,
    element,
    epu,
    gen5,
    harmony,
    illumina,
    images,
    lif,
    metaxpress,
    mgi,
    mrc,
    mzml,
    nd2,
    ome_tiff,
    ome_zarr,
    ont,
    opaque,
    pacbio,
    reads,
    sanger,
    serialem,
    slide,
    ultima,
)
from labrelay.parsers.listing import MAX_FILES, Listing, copy_going_on, links_in, single, walk, with_beside
from labrelay.parsers.misplaced import inner_runs, part_of_run, without_run_info
from labrelay.parsers.text import error, warning
from labrelay.parsers.zero_yield import half_empty, without_header, zero_yield

GROUP = "labrelay.parsers"
ONE_FILE = frozenset(
    {"bench", "czi", "eer", "gen5", "lif", "mrc", "mzml", "nd2", "ome_tiff", "opaque", "sanger", "serialem", "slide"}
)
"""Platforms of which one file is a run: one that lies directly in a landing folder is taken by itself."""
FILES_OF_A_RUN = frozenset({"sanger"})  # of those the platforms whose files say a run that they are some of
PLAIN = ("delivery", "reads", "images")  # guesses that many folders of instruments allow as well
ROUNDS = 3
SHOWN = 5
_EMPTY = (
    "it has no bytes: its copy broke off, or the instrument has not written it yet; copy it again, and look whether "
    "the original is whole"
)
# What a platform says of its folder; "the folder holds no reads" is true beside a single file, too.
_THE_FOLDER = re.compile(r"\bthe folder\b(?! (?:has|holds) no\b)")
_log = logging.getLogger(__name__)


@runtime_checkable
class Platform(Protocol):
    """What a platform module offers.

    Attributes:
        NAME: The platform's word in `InstrumentRun.platform`.
        LOOKED_FOR: The files that would have been recognised, for the message when nothing was.
    """

    NAME: str
    LOOKED_FOR: str

    def detect(self, listing: Listing, /) -> Detection | None:
        """Say what the folder seems to be, from the listing and the heads of a few small files."""

    def read(self, folder: Path, listing: Listing, /) -> InstrumentRun:
        """Return the run; what is wrong with it stands in its problems and is not raised."""


class Look(NamedTuple):
    """What one look at a folder gives: the run, all that it seems to be (the likeliest first), and its files."""

    run: InstrumentRun
    seen: list[Detection]
    listing: Listing


@cache
def platforms() -> tuple[Platform, ...]:
    """Return the platforms, ours first; one of another package that cannot be loaded is logged and left out."""
    found: list[Platform] = [
        illumina,
        ont,
        pacbio,
        element,
        mgi,
        ultima,
        harmony,
        cellvoyager,
        metaxpress,
        ome_zarr,
        ome_tiff,
        nd2,
        czi,
        lif,
        slide,
        epu,
        serialem,
        mrc,
        eer,
        mzml,
        gen5,
        bench,
        sanger,
        delivery,
        reads,
        opaque,
        images,
    ]
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            loaded = point.load()
        except Exception:
            # Whatever another package raises must not take our own platforms away.
            _log.exception("the platform %s could not be loaded and is left out", point.name)
            continue
        if isinstance(loaded, Platform):
            found.append(loaded)
        else:
            _log.error("the platform %s lacks NAME, LOOKED_FOR, detect or read and is left out", point.name)
    return tuple(found)


def detect(folder: Path, limit: int = MAX_FILES) -> list[Detection]:
    """Return what a folder, or one file, seems to be, the likeliest first; nothing when no platform knows it.

    Args:
        folder: The run's root, or a file.
        limit: Most files that are listed.

    Raises:
        RefusedInput: It cannot be read.
    """
    return [found for _, found in _ranked(listed(folder, limit))]


def listed(place: Path, limit: int = MAX_FILES) -> Listing:
    """Return the files of a folder, or the one file that is named with those beside it that belong to it.

    A platform knows those by a function `beside(listing)` beside its four, which gives their names.

    Raises:
        RefusedInput: It cannot be read.
    """
    if not place.is_file():
        return walk(place, limit)
    return _with_its_own(single(place))


def _with_its_own(listing: Listing) -> Listing:
    asked = [told for platform in platforms() if (told := getattr(platform, "beside", None)) is not None]
    for _ in range(ROUNDS):  # what belongs to the file may name more: a companion names all images
        found = with_beside(listing, (name for told in asked for name in told(listing)))
        if len(found.files) == len(listing.files):
            break
        listing = found
    return listing


def whole(place: Path) -> Path:
    """Return the place by which a run is called: of files that belong together the first, whichever was named.

    Raises:
        RefusedInput: It cannot be read.
    """
    return named_by(place, listed(place)) if place.is_file() else place


def named_by(place: Path, listing: Listing) -> Path:
    """Return the place by which the run of this listing is called; a folder is its own."""
    if place.is_file():
        for entry in listing.files:
            if entry.path == place.name or _with_its_own(single(listing.root / entry.path)).files == listing.files:
                return listing.root / entry.path
    return place


def _ranked(listing: Listing) -> list[tuple[Platform, Detection]]:
    found = [(platform, seen) for platform in platforms() if (seen := platform.detect(listing)) is not None]
    return sorted(found, key=lambda pair: -pair[1].confidence)


def run_roots(listing: Listing) -> list[str]:
    """Return the folders below the listing's root that are runs by themselves; the empty text is the root.

    A platform whose folders hold several runs that end hours or days apart says so by a function `roots(listing)`
    beside its four; whoever waits for runs to end takes each of them. Nothing when no platform knows the folder.
    """
    ranked = _ranked(listing)
    if not ranked:
        return []
    told = getattr(ranked[0][0], "roots", None)
    return list(told(listing)) or [""] if callable(told) else [""]


def is_one_file(listing: Listing) -> bool:
    """Return whether the one file of a listing, with what belongs to it, is a run by itself."""
    return likeliest(listing) in ONE_FILE


def likeliest(listing: Listing) -> str | None:
    """Return the platform that a listing most seems to be of, or None when none knows it."""
    ranked = _ranked(listing)
    return ranked[0][1].platform if ranked else None


def cycles_of(run: InstrumentRun, listing: Listing) -> tuple[CycleQuality, ...]:
    """Return how good each cycle of a sequencing run was; nothing where its platform does not tell that.

    A platform whose files count quality by cycle says so by a function `cycles(listing, run)` beside its four. It is
    asked for a run's page only, since the files are large.
    """
    platform = next((each for each in platforms() if run.platform == each.NAME), None)
    told = getattr(platform, "cycles", None)
    return tuple(told(listing, run)) if callable(told) else ()


def read_run(folder: Path, platform: str | None = None, limit: int = MAX_FILES) -> InstrumentRun:
    """Return the instrument run in a folder, or in one file, read as the likeliest platform.

    Whatever is wrong inside the folder stands in the run's problems; an error among them means that the folder cannot
    be taken.

    Args:
        folder: The run's root, or a file.
        platform: Read it as this one instead.
        limit: Most files that are listed.

    Raises:
        RefusedInput: `folder` cannot be read, or no platform knows it.
    """
    return look(folder, platform, limit).run


def look(folder: Path, platform: str | None = None, limit: int = MAX_FILES) -> Look:
    """Return the instrument run in a folder, or in one file, with what else it could be; the folder is listed once.

    Args:
        folder: The run's root, or a file.
        platform: Read it as this one instead of the likeliest.
        limit: Most files that are listed.

    Raises:
        RefusedInput: `folder` cannot be read, or no platform knows it.
    """
    listing = listed(folder, limit)
    if platform is not None and platform.startswith(allotropy.PREFIX):
        name = folder.resolve().stem if folder.is_file() else folder.resolve().name
        return Look(allotropy.look_as(listing, name, platform.removeprefix(allotropy.PREFIX)), [], listing)
    ranked = _ranked(listing)
    wanted = [found for found, seen in ranked if platform in (None, seen.platform)]
    if not wanted:
        raise RefusedInput(str(folder), _why_unknown(listing, platform, alone=folder.is_file()))
    place = named_by(folder, listing)
    run = wanted[0].read(place, listing)
    if folder.is_file() and run.platform in FILES_OF_A_RUN and run.run_id != place.name:
        # Traces of one run of the instrument, each named by itself, are as many runs.
        run = run.model_copy(update={"run_id": f"{run.run_id}_{place.name}"})
    others = _others(run, [seen for _, seen in ranked]) if platform is None else []
    copying = [going] if (going := copy_going_on(listing)) is not None else []
    misplaced = [*inner_runs(run.platform, listing), *part_of_run(run.platform, place)]
    misplaced += [*copying, *others, *without_run_info(run.platform, listing)]
    nothing = zero_yield(run, listing.root)
    told = (
        *([nothing] if nothing is not None else []),
        *run.problems,
        *misplaced,
        *without_header(run),
        *half_empty(run.files, listing.root),
    )
    run = run.model_copy(update={"problems": told}) if len(told) > len(run.problems) else run
    return Look(_of_a_file(run) if folder.is_file() else run, [seen for _, seen in ranked], listing)


def _of_a_file(run: InstrumentRun) -> InstrumentRun:
    """Return the run with sentences that speak of the file which was read, for platforms speak of folders."""
    told = [p.model_copy(update={"message": _THE_FOLDER.sub("the file", p.message)}) for p in run.problems]
    return run.model_copy(update={"problems": tuple(told)})


def _others(run: InstrumentRun, seen: Sequence[Detection]) -> list[Problem]:
    """Return a warning for each other instrument whose telling files this run only keeps."""
    known = {file.path for file in run.files if file.role is not FileRole.OTHER}
    told = []
    for other in seen:
        rest = [path for path in other.evidence if path not in known]
        if other.platform not in (run.platform, *PLAIN) and rest == list(other.evidence):
            said = (
                f"the folder holds files of {other.platform} as well, which are not read: give each run its own folder"
            )
            told.append(warning("OTHER_INSTRUMENT", f"{said}, or read it by --as {other.platform}", rest[0]))
    return told


def _why_unknown(listing: Listing, platform: str | None, *, alone: bool) -> list[Problem]:
    """Return why nothing known was found; links first, since what they lead to may be all that is missing."""
    links = links_in(listing)
    if links is None:
        return [*_unknown(listing, platform, alone=alone), *listing.problems]
    unknown = _unknown(listing, platform, alone=alone) if listing.files or platform is not None else []
    return [links, *unknown, *(problem for problem in listing.problems if problem.code != links.code)]


def _unknown(listing: Listing, platform: str | None, *, alone: bool) -> list[Problem]:
    """Return why nothing known was found: where the run is instead, what is empty, or what was looked for."""
    if platform is not None and platform not in {each.NAME for each in platforms()}:
        return [error("UNKNOWN_FOLDER", _looked_for(platform))]
    empty = [entry for entry in listing.files if not entry.size]
    inner = list(dict.fromkeys(entry.folder for entry in listing.named("runinfo.xml")))
    if inner:
        one = f"{inner[0]}, which looks like one; give that folder"
        many = f"{len(inner):,} folders that look like runs, such as {', '.join(inner[:3])}; give one of them"
        said = f"it is no run itself, and holds {one if len(inner) == 1 else many}"
        return [error("UNKNOWN_FOLDER", said)]
    told = [error("ZERO_BYTE_FILE", _EMPTY, entry.path) for entry in empty[:SHOWN]]
    if empty and len(empty) == len(listing.files):
        return told
    if not listing.files and platform is None and not alone:
        # What it holds instead is told by the listing, where it is something.
        return [error("UNKNOWN_FOLDER", "no file lies in it: bring the run, or name the folder that holds it")]
    return [error("UNKNOWN_FOLDER", f"{_held(listing, alone)}: {_looked_for(platform)}"), *told]


def _looked_for(platform: str | None) -> str:
    known = {each.NAME: each.LOOKED_FOR for each in platforms()}
    if platform is None:
        return f"it is none of {', '.join(known)}: docs/instruments.md says by what each is known"
    if platform in known:
        return f"{platform} is known by {known[platform]}"
    return f"no platform is called {printable(platform)}; there are {', '.join(known)}"


def _held(listing: Listing, alone: bool) -> str:
    """Return what there is instead of a run."""
    if alone:
        return "the file is of no known instrument"
    kinds = Counter(
        entry.name.rpartition(".")[2].lower() if "." in entry.name else "no ending" for entry in listing.files
    )
    most = ", ".join(f"{count:,} {printable(kind, 20)}" for kind, count in kinds.most_common(4))
    held = f"{counted(len(listing.files), 'file')} ({most})" if most else "0 files"
    return f"among its {held} is no sign of a run"

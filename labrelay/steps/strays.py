"""What lies in a landing folder and is no run's own folder: files beside the folders, and runs too deep in it.

No scan takes either, because nothing says where such a run begins and ends; so it is said what to do.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from labrelay.model.words import counted, first_of
from labrelay.parsers import images
from labrelay.parsers.image_names import parse_image_name
from labrelay.parsers.images import of_an_instrument
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.registry import likeliest, run_roots

MOST_FILES, MOST_FOLDERS = 500, 200
SHOWN = 3
_PARTS = re.compile(
    r"(?:(?:^|/)(?:(?:time ?point|z ?step|field|site|well|channel|pos(?:ition)?|ch|[tzfs])[ _-]?\d+|[a-p]\d\d))+\Z",
    re.IGNORECASE,
)
LINK = "it is a link, and links are not followed: move what it leads to here, or name that folder's parent in `landing`"


def loose_files(landing: Path, names: Sequence[str]) -> str | None:
    """Return what to do about the files directly in a landing folder, or None where none looks like a run's.

    Args:
        landing: The folder.
        names: The files in it that nobody takes, in order; of more than 500 the first are looked at.
    """
    entries = [entry for name in names[:MOST_FILES] if (entry := _entry(landing, name)) is not None]
    found = [entry.path for entry in entries if run_roots(Listing(landing, (entry,)))]
    if not found:
        return None
    many = f"{counted(len(found), 'file')}{' or more' if len(names) > MOST_FILES else ''}"
    one = f"{many} of instruments in no folder of their own, such as {first_of(found, SHOWN)}"
    return f"it holds {one}: make a folder for each run and move its files there, then they are looked at"


def sets_below(listing: Listing) -> list[str]:
    """Return the folders of plain images, two levels down or more, of a folder that is no run itself; else nothing.

    A year's folder of plates would be a run that grows with each of them. Folders of times, planes or wells are parts
    of the plate above them, and images that all name one plate are of it.

    Args:
        listing: Of a child of a landing folder.
    """
    shown = [entry for entry in listing.files if of_an_instrument(entry.name)]
    folders = dict.fromkeys(entry.folder for entry in shown)
    sets = list(dict.fromkeys(_PARTS.sub("", folder) for folder in folders))
    if len(sets) < 2 or any("/" not in each for each in sets) or likeliest(listing) != images.NAME:
        return []
    plates = {told.plate if (told := parse_image_name(entry.name)) else None for entry in shown}
    return [] if len(plates) == 1 and None not in plates else sets


def too_deep(listing: Listing) -> str | None:
    """Return what to do about the runs inside a folder that is none itself, or None where it holds none.

    Args:
        listing: Of a child of a landing folder that no platform knows, or of one with `sets_below`.
    """
    sets = sets_below(listing)
    if sets:
        above = list(dict.fromkeys(each.rpartition("/")[0] for each in sets))
        what = f"{first_of(sets, SHOWN)} in it look like runs: move each run up into the landing folder"
        return f"it is no run itself, but {what}, or add what holds them ({first_of(above, SHOWN)}) to `landing`"
    below: dict[str, list[Entry]] = {}
    for entry in listing.files:
        top, _, rest = entry.path.partition("/")
        if rest:
            below.setdefault(top, []).append(entry._replace(path=rest))
    runs = [top for top in list(below)[:MOST_FOLDERS] if run_roots(Listing(listing.root / top, tuple(below[top])))]
    if not runs:
        return None
    what = (
        f"{first_of(runs, SHOWN)} in it looks like a run"
        if len(runs) == 1
        else f"{first_of(runs, SHOWN)} in it look like runs"
    )
    return f"it is no run itself, but {what}: move each run up into the landing folder, or add this one to `landing`"


def _entry(landing: Path, name: str) -> Entry | None:
    """Return a regular file with a name that can be kept, else nothing; no link is followed."""
    try:
        status = (landing / name).lstat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or not name.isprintable() or "\\" in name:
        return None
    return Entry(name, status.st_size, status.st_mtime_ns, name)

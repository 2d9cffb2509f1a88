"""The page of what came in: instrument runs, the newest first, each with what it looks like and a link to its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from labrelay.records.arrivals import Arrival
from labrelay.records.documents import Document, document
from labrelay.records.report.png import data_uri
from labrelay.records.report.render import render
from labrelay.stores.durable import make_dirs, storage_errors, write_atomic

LARGEST = 120_000  # bytes of a thumbnail that is shown: the page holds them all
CSS = """
.arrivals td { vertical-align: middle; }
.arrivals td:nth-child(2), .arrivals td:last-child { white-space: normal; overflow-wrap: anywhere; }
.arrivals td:first-child { width: 1%; }
.arrivals img { display: block; height: 64px; max-width: 160px; object-fit: contain; image-rendering: pixelated;
 border-radius: 4px; background: #000; }
"""


@dataclass(frozen=True)
class Listed:
    """An instrument run with its page and a picture of its first dataset, None where it has none."""

    run: Arrival
    page: Path | None
    thumbnail: Path | None


def write_runs_page(runs: Sequence[Listed], total: int, path: Path) -> Document:
    """Write the page of what came in.

    Args:
        runs: In the order shown.
        total: How many there are in all.
        path: Where the page goes; links are relative to its folder.

    Raises:
        StorageFailed: The disk did not take the page.
    """
    rows = [(each.run, _href(each.page, path.parent), _picture(each.thumbnail)) for each in runs]
    with storage_errors("write the page of what came in", path.parent):
        make_dirs(path.parent)
        page = render("runs.html.j2", CSS, pictures=True, title="Instrument runs", rows=rows, total=total)
        write_atomic(path, page, durable=False)
    return document(path, "Instrument runs")


def _href(page: Path | None, folder: Path) -> str | None:
    return None if page is None else quote(page.relative_to(folder).as_posix())


def _picture(path: Path | None) -> str | None:
    if path is None or path.stat().st_size > LARGEST:
        return None
    return data_uri(path.read_bytes())

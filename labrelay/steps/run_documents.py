"""The documents of an instrument run: its page and a thumbnail for each dataset, made while its folder is at hand.

They are views, as a result's report is: nothing in the records hangs on them, and what is missing is made again when
the run's folder is taken once more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from labrelay.model.errors import LabrelayError
from labrelay.model.files import FileRole
from labrelay.model.instrument import InstrumentRun
from labrelay.model.names import slug
from labrelay.model.run_facts import run_facts
from labrelay.records import arrivals
from labrelay.records.documents import Document, document
from labrelay.steps.home import Home
from labrelay.stores.durable import make_dirs, storage_errors, write_atomic

if TYPE_CHECKING:
    from labrelay.parsers.registry import Look
    from labrelay.records.report.run_choice import Row
    from labrelay.records.report.run_pictures import Gallery
    from labrelay.records.report.run_views import Load

_log = logging.getLogger(__name__)
FOLDER, PAGE, THUMBNAILS = "instrument-runs", "index.html", "thumbnails"
MOST_LISTED = 200


def run_folder(home: Home, platform: str, run_id: str) -> Path:
    """Return the folder of an instrument run's documents."""
    return home.path / FOLDER / slug(platform) / slug(run_id)


def page_of(home: Home, platform: str, run_id: str) -> Document | None:
    """Return the page of an instrument run, or None when there is none (yet)."""
    path = run_folder(home, platform, run_id) / PAGE
    return document(path, f"Instrument run {run_id}") if path.is_file() else None


def is_published(home: Home, platform: str, run_id: str) -> bool:
    """Tell whether an instrument run has its page, and what came in was listed after that."""
    page, listed = run_folder(home, platform, run_id) / PAGE, home.path / FOLDER / PAGE
    return page.is_file() and listed.is_file() and listed.stat().st_mtime_ns >= page.stat().st_mtime_ns


def thumbnail_of(home: Home, platform: str, run_id: str, label: str) -> Document | None:
    """Return the thumbnail of a dataset, or None when it has none, as one of reads."""
    path = run_folder(home, platform, run_id) / THUMBNAILS / f"{slug(label)}.png"
    return document(path, f"{label} on {run_id}") if path.is_file() else None


def publish(home: Home, look: Look) -> None:
    """Write what people see of a stored run: its page, its thumbnails, and the page of what came in.

    Raises:
        StorageFailed: The disk did not take a file; the next try of the run writes it.
    """
    try:
        publish_run(home, look)
        publish_arrivals(home)
    except LabrelayError:
        raise
    except Exception:
        # A picture is drawn of files that nobody has judged: whatever they make of it, the run itself goes on.
        _log.exception("no page of the instrument run %s could be made", look.run.run_id)


def publish_run(home: Home, look: Look) -> Path:
    """Write the page of an instrument run and a thumbnail for each of its datasets of images; return the page.

    Cost: as many planes are read as the page shows, each once, and at most 96 others a dataset; the page is written
    last, so that where it is, all is.

    Raises:
        StorageFailed: The disk did not take a file.
    """
    run = look.run
    folder = run_folder(home, run.platform, run.run_id)
    seen = _views(look)
    if seen is not None:
        from labrelay.records.report.run_thumbnails import thumbnails

        with storage_errors("write thumbnails", folder):
            make_dirs(folder / THUMBNAILS)
            for label, picture in thumbnails(run, seen[1]):
                write_atomic(folder / THUMBNAILS / f"{slug(label)}.png", picture, durable=False)
    return _write_page(look, seen, folder / PAGE).path


def publish_arrivals(home: Home) -> Path:
    """Write the page of what came in, from the records: the newest 200 instrument runs.

    Cost: three queries. Two processes may write it at once; so it is written again when more came meanwhile.

    Raises:
        StorageFailed: The disk did not take the page.
    """
    from labrelay.records.report.runs_page import Listed, write_runs_page

    path = home.path / FOLDER / PAGE
    written: list[arrivals.Arrival] | None = None
    while written != (found := _newest(home))[0]:
        written, total = found
        write_runs_page([Listed(run, *_shown(home, run)) for run in written], total, path)
    return path


def _newest(home: Home) -> tuple[list[arrivals.Arrival], int]:
    with home.records.read() as session:
        return arrivals.newest(session, MOST_LISTED)


def _shown(home: Home, run: arrivals.Arrival) -> tuple[Path | None, Path | None]:
    page = page_of(home, run.platform, run.run_id)
    thumbnail = thumbnail_of(home, run.platform, run.run_id, run.label) if run.label is not None else None
    return page.path if page else None, thumbnail.path if thumbnail else None


def write_page(look: Look, path: Path) -> Document:
    """Write an instrument run as a page of its own, with pictures out of its files.

    Raises:
        StorageFailed: The disk did not take the page.
    """
    return _write_page(look, _views(look), path)


def _write_page(look: Look, seen: tuple[Sequence[Row], Load] | None, path: Path) -> Document:
    from labrelay.parsers.registry import cycles_of
    from labrelay.records.report.run_page import write_run_page

    galleries: Sequence[Gallery] = []
    if seen is not None:
        from labrelay.records.report.run_pictures import draw

        galleries = draw(*seen)
    facts = run_facts(look.run, look.seen)
    return write_run_page(look.run, facts, galleries, path, cycles_of(look.run, look.listing))


def _has_images(run: InstrumentRun) -> bool:
    return any(file.role in (FileRole.IMAGE, FileRole.THUMBNAIL) for file in run.files)


def _views(look: Look) -> tuple[Sequence[Row], Load] | None:
    """Return the rows of pictures of a run's page and how planes are viewed, or None where there is no image."""
    if not _has_images(look.run):
        return None
    from labrelay.records.report.run_choice import choose
    from labrelay.records.report.run_pictures import read_once
    from labrelay.records.report.run_views import load_from

    rows = choose(look.run)
    return rows, read_once(rows, load_from(look.run, look.listing.root))

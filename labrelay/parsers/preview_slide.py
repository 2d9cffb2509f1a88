"""A small view of a slide, out of the level of its pyramid that is just large enough; never of its label."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from labrelay.model.names import printable
from labrelay.parsers.listing import open_regular
from labrelay.parsers.preview import EDGE, Preview, Where, preview_tiff
from labrelay.parsers.slide import MRXS, open_slide
from labrelay.parsers.slide_facts import Slide
from labrelay.parsers.tiff_pages import BadTiff, TiffPage


def preview_slide(root: Path, path: str, where: Where, edge: int = EDGE) -> Preview | str:
    """Return a small view of one region of a slide, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        path: Below it.
        where: Its series is the region's place in the file; of planes and channels the one that the file shows first.
        edge: Most pixels a side.
    """
    name = printable(path.rpartition("/")[2], 80)
    if path.lower().endswith(MRXS):
        return f"no picture of {name}: the pixels of MRXS are not read here; OpenSlide or QuPath shows them"
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            pages, slide, _whole = open_slide(source, path)
    except (BadTiff, OSError) as bad:
        return f"no picture of {name}: {bad if isinstance(bad, BadTiff) else 'it cannot be read'}"
    page = _page(pages, slide, where.series, edge)
    if page is None:
        return f"no picture of {name}: it holds no such region"
    view = preview_tiff(root, path, page, edge)
    base = pages[slide.regions[where.series].levels[0]]
    return view if isinstance(view, str) else Preview(view.values, base.width, base.height, view.colour)


def _page(pages: Sequence[TiffPage], slide: Slide, region: int, edge: int) -> int | None:
    """Return the smallest level of a region that is still as large as the view."""
    if region >= len(slide.regions):
        return None
    levels = slide.regions[region].levels
    return next((n for n in reversed(levels) if max(pages[n].width, pages[n].height) >= edge), levels[0])

"""A small view of a plane of a Nikon ND2, by the reader of the extra `nikon`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from labrelay.model.names import printable
from labrelay.parsers.listing import open_regular
from labrelay.parsers.preview import EDGE, WHOLE, Preview, Where, averaged


def preview_nd2(root: Path, path: str, where: Where, edge: int = EDGE) -> Preview | str:
    """Return a small view of one plane of a file, or the sentence that says why there is none.

    Args:
        root: The folder that was listed.
        path: Below it.
        where: The plane.
        edge: Most pixels a side.
    """
    name = printable(path.rpartition("/")[2], 80)
    try:
        import nd2
    except ImportError:
        return f"no picture of {name}: ND2 needs the extra: pip install 'labrelay[nikon]'"
    try:
        with os.fdopen(open_regular(root, path), "rb") as source, nd2.ND2File(source) as file:
            facts, sizes = file.attributes, dict(file.sizes)
            z = sizes.get("Z", 1) // 2 if where.z is None else where.z
            wanted = {"Z": z, "T": where.t}
            width, height = int(facts.widthPx or 0), int(facts.heightPx)
            if width * height * facts.componentCount * 4 > 4 * WHOLE:
                return f"no picture of {name}: one frame of it is too large to be read for it"
            loops = list(file.loop_indices)
            frame = next((n for n, at in enumerate(loops) if all(at.get(k, v) == v for k, v in wanted.items())), 0)
            pixels = file.read_frame(frame)
            plane = pixels[min(where.c, len(pixels) - 1)] if pixels.ndim == 3 else pixels
            values = averaged(plane[:, :, np.newaxis], edge)[:, :, 0]
            return Preview(values, width, height)
    except Exception as bad:
        # As when its facts are read: what a damaged file makes of the reader takes nothing else away.
        return f"no picture of {name}: it cannot be read ({printable(str(bad) or type(bad).__name__, 120)})"

"""Draws the pictures of runs' pages in docs/images again, from tests/data: `python tests/tools/draw_pages.py`.

Needs chromium on PATH. `demo-screen.svg` is written by `make demo` into its home; the others were taken by hand.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
from pathlib import Path

from labrelay.parsers.registry import look
from labrelay.steps.run_documents import write_page

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "data" / "instruments"
INTEROP = ROOT / "tests" / "data" / "interop"
MISEQ = CASES / "illumina-miseq-2014-single-read-interop" / "140211_M00612_0148_000000000-A7M8N"
PLATE = CASES / "hcs-imagexpress-htd-mixed" / "9987_Plate_3435"


def main() -> None:
    """Write the pictures, each as wide and high as it is in docs."""
    with tempfile.TemporaryDirectory() as temp:
        draw(with_interop(Path(temp)), "run-report.png", (1200, 1180))
        draw(PLATE, "plate.png", (900, 1960))


def with_interop(folder: Path) -> Path:
    """Return a copy of the MiSeq's run folder with its InterOp files unpacked in it."""
    run = folder / MISEQ.name
    shutil.copytree(MISEQ, run)
    (run / "InterOp").mkdir(exist_ok=True)
    for packed in INTEROP.glob("miseq-2014.*.gz"):
        (run / "InterOp" / packed.name.removeprefix("miseq-2014.").removesuffix(".gz")).write_bytes(
            gzip.decompress(packed.read_bytes())
        )
    return run


def draw(run: Path, name: str, size: tuple[int, int]) -> None:
    """Take a picture of the upper part of a run's page."""
    with tempfile.TemporaryDirectory() as temp:
        page = Path(temp) / "page.html"
        write_page(look(run), page)
        target, (width, height) = ROOT / "docs" / "images" / name, size
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size={width},{height}",
        ]
        subprocess.run(["chromium", *options, f"--screenshot={target}", page.as_uri()], check=True, timeout=60)


if __name__ == "__main__":
    main()

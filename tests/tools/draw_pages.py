"""Draws the pictures of pages in docs/images again: `python tests/tools/draw_pages.py`, after `make demo`.

The pages of instrument runs are drawn from tests/data, that of a plate from one that is generated here, and the first
screen's from the home of the demo. `kadi-record.png` and `lineage.png` are taken by hand. Needs chromium on PATH.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tifffile

from labrelay.model.imaging import well_name
from labrelay.parsers.registry import look
from labrelay.steps.run_documents import write_page
from tests.workflows.cells import apart, discs

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
DEMO = ROOT / "demo-home"
CASES = ROOT / "tests" / "data" / "instruments"
INTEROP = ROOT / "tests" / "data" / "interop"
MISEQ = CASES / "illumina-miseq-2014-single-read-interop" / "140211_M00612_0148_000000000-A7M8N"
PLATE = CASES / "hcs-imagexpress-htd-mixed" / "9987_Plate_3435"
CAME_IN = (
    CASES / "cryoem-epu-session-2025",
    CASES / "sanger-ab1",
    CASES / "cryoem-mrc-emd3197",
    PLATE,
    ROOT / "demo" / "plate" / "AS_09125_050116030001",
    ROOT / "demo" / "run" / "231108_M04586_0992_000000000-L7342",
)
RULES = """
[[rule]]
name = "nuclei of plates"
workflow = "cell_count"
[rule.when]
platform = "images"
assay = "nuclei"
[rule.parameters]
positive_channel = 2
"""


def main() -> None:
    """Write the pictures, each as wide and high as it is in docs."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        draw_page(with_interop(folder), folder, "run-report.png", (1200, 1180))
        draw_page(PLATE, folder, "plate.png", (900, 1960))
        draw_what_came_in(folder / "came-in")
        draw_generated_plate(folder / "generated")
    shutil.copyfile(DEMO / "demo-screen.svg", IMAGES / "demo-screen.svg")
    report = min((DEMO / "results").glob("measles-2018/**/report.html"))
    draw(report, "report.png", (1100, 1000))


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


def draw_what_came_in(home: Path) -> None:
    """Store runs of several instruments, and take pictures of the list of them and of a page."""
    labrelay(home, "init")
    nikon = home.parent / "nd2-nikon-a1plus"
    nikon.mkdir()
    packed = CASES / nikon.name / "cluster.nd2.gz"
    (nikon / "cluster.nd2").write_bytes(gzip.decompress(packed.read_bytes()))
    for run in (nikon, *CAME_IN):
        labrelay(home, "ingest", str(run))
    draw(home / "instrument-runs" / "index.html", "instrument-runs.png", (1100, 800))
    draw(next(home.glob("instrument-runs/mrc/*/index.html")), "micrographs.png", (900, 800))


def draw_generated_plate(home: Path) -> None:
    """Count the cells of a plate of discs, of which one image is cut and a column is empty, and draw its result."""
    plate = home.parent / "GENERATED-96"
    plate.mkdir()
    for row in range(8):
        for column in range(12):
            if (row, column) not in ((0, 0), (4, 6), (7, 11)):
                _write_well(plate, row, column)
    cut = plate / "GENERATED-96_C05f00d0.tif"
    cut.write_bytes(cut.read_bytes()[:20_000])
    labrelay(home, "init")
    (home / "rules.toml").write_text(RULES)
    sheet = home.parent / "plates.csv"
    sheet.write_text("sample,experiment,assay,project\nGENERATED-96,generated,nuclei,pictures\n")
    labrelay(home, "announce", str(sheet))
    labrelay(home, "process", str(plate))
    draw(next(home.glob("results/*/**/report.html")), "plate-report.png", (1100, 1500))


def _write_well(plate: Path, row: int, column: int) -> None:
    """Write a field of nuclei (channel 1), of which every third is bright in channel 2, too."""
    number = 0 if column == 5 else 6 + 4 * min(column, 11 - column) + row // 2
    seed = 100 * row + column
    circles = apart(number, 384, seed=seed, radius=6 + row / 2)
    name = f"GENERATED-96_{well_name(row + 1, column + 1)}f00"
    tifffile.imwrite(plate / f"{name}d0.tif", discs(circles, 384, seed=seed))
    tifffile.imwrite(plate / f"{name}d1.tif", discs(circles[::3], 384, seed=seed + 1))


def labrelay(home: Path, *argv: str) -> None:
    """Run a command on a home; what it says goes to the screen, and a verdict is no failure."""
    done = subprocess.run([sys.executable, "-m", "labrelay.cli", "--home", str(home), *argv], check=False)
    if done.returncode > 1:
        raise SystemExit(f"labrelay {' '.join(argv)} ended with {done.returncode}")


def draw_page(run: Path, folder: Path, name: str, size: tuple[int, int]) -> None:
    """Take a picture of the upper part of a run's page as `inspect` writes it."""
    page = folder / "page.html"
    write_page(look(run), page)
    draw(page, name, size)


def draw(page: Path, name: str, size: tuple[int, int]) -> None:
    """Take a picture of the upper part of a page."""
    width, height = size
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    target = f"--screenshot={IMAGES / name}"
    subprocess.run(
        ["chromium", *options, target, page.absolute().as_uri()], check=True, timeout=60, capture_output=True
    )


if __name__ == "__main__":
    main()

"""Running the bundled `cell_count`: on real images, and on plates drawn here, whose counts are exact."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labrelay.parsers.image_names import parse_image_name
from labrelay.steps.image_folders import COLUMNS

DEFINITION = Path(__file__).parents[2] / "labrelay" / "workflows" / "definitions" / "cell_count"
REAL = Path(__file__).parents[1] / "data" / "imaging"
NUMBERS = ("channel", "min_diameter", "max_diameter", "smoothing", "positive_channel", "positive_above", "pixel_um")
USUAL = {"channel": 1, "min_diameter": 7.0, "max_diameter": 0.0, "smoothing": 1.5, "overlays": 0, "cpus": 2}
Disc = tuple[float, float, float]


def programs() -> list[str]:
    """Return the two programs inside `main.wdl`: what segments, and what sums up."""
    found = re.findall(r"<<'PYTHON'\n(.*?)\n    PYTHON\n", (DEFINITION / "main.wdl").read_text(), re.DOTALL)
    return ["\n".join(line.removeprefix("    ") for line in text.split("\n")) for text in found]


def count(
    folder: Path, images: Sequence[Path], places: Sequence[dict[str, str]] | None = None, **asked: float
) -> tuple[subprocess.CompletedProcess[str], dict[str, list[dict[str, str]]], str]:
    """Run both programs in `folder`; return the first one's end, the rows of its tables by name, and the metrics."""
    told = [_told(image) for image in images] if places is None else places
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overlays").mkdir(exist_ok=True)
    (folder / "folders.txt").write_text("/\n")
    with (folder / "table.tsv").open("w", newline="") as handle:
        table = csv.writer(handle, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        for image, place in zip(images, told, strict=True):
            where = [place.get(name, "") for name in ("well", "field", "channel", "z", "t", "pixel_um")]
            table.writerow([0, str(image.absolute()).removeprefix("/"), *where])
    values = [str({**USUAL, **asked}.get(name, 0)) for name in (*NUMBERS, "overlays", "cpus")]
    first, second = programs()
    done = _run(folder, first, [str(folder / "folders.txt"), str(folder / "table.tsv"), *values])
    if done.returncode == 0:
        summed = _run(folder, second, ["objects.csv", "fields.csv"])
        assert summed.returncode == 0, summed.stderr
    tables = {}
    for name in ("objects", "fields", "wells"):
        if (folder / f"{name}.csv").exists():
            with (folder / f"{name}.csv").open(newline="") as handle:
                tables[name] = list(csv.DictReader(handle))
    metrics = folder / "metrics.json"
    return done, tables, metrics.read_text() if metrics.exists() else ""


def discs(
    circles: Sequence[Disc], size: int = 256, *, bits: int = 8, seed: int = 1, light: float = 0.5
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Draw bright discs (x, y, radius in px) on a dark ground with a little noise, as one field of a made-up plate."""
    rng, top = np.random.default_rng(seed), 2**bits - 1
    image = rng.normal(0.04, 0.008, (size, size))
    y, x = np.mgrid[:size, :size]
    for at_x, at_y, radius in circles:
        image[np.hypot(x - at_x, y - at_y) <= radius] += light * rng.uniform(0.8, 1.2)
    return (np.clip(image, 0, 1) * top).astype(np.uint8 if bits == 8 else np.uint16)


def apart(number: int, size: int = 256, *, seed: int = 1, radius: float = 8.0) -> list[Disc]:
    """Return so many discs that lie wholly inside the field and do not touch each other."""
    rng, placed = np.random.default_rng(seed), list[Disc]()
    for _ in range(200_000):
        if len(placed) == number:
            return placed
        r = radius * float(rng.uniform(0.8, 1.2))
        x, y = (float(v) for v in rng.uniform(r + 3, size - r - 3, 2))
        if all(np.hypot(x - a, y - b) > r + q + 4 for a, b, q in placed):
            placed.append((x, y, r))
    raise AssertionError(f"{number} discs of radius {radius} do not fit into {size} px")


def pairs(number: int, size: int = 256, *, seed: int = 1, radius: float = 8.0) -> list[Disc]:
    """Return so many pairs of discs whose edges just touch, in all directions; pairs lie apart from each other."""
    rng, made = np.random.default_rng(seed), list[Disc]()
    for x, y, _r in apart(number, size, seed=seed, radius=2 * radius / 0.8):
        turn = float(rng.uniform(0, np.pi))
        for side in (-1, 1):
            made.append((x + side * radius * float(np.cos(turn)), y + side * radius * float(np.sin(turn)), radius))
    return made


def _told(image: Path) -> dict[str, str]:
    name = parse_image_name(image.name)
    at = name.at.model_dump() if name is not None else {}
    return {key: "" if value is None else str(value) for key, value in at.items()}


def _run(folder: Path, program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-", *arguments]
    return subprocess.run(command, cwd=folder, input=program, capture_output=True, text=True, timeout=120, check=False)

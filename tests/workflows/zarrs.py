"""Running the bundled `to_ome_zarr` without an engine, and unpacking what it makes."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

DEFINITION = Path(__file__).parents[2] / "labrelay" / "workflows" / "definitions" / "to_ome_zarr"
LISTS = ("images", "wells", "fields", "channels", "planes", "times")


class Converted(NamedTuple):
    """The end of the program, the zip, what lies in it on disk, its table and its numbers."""

    done: subprocess.CompletedProcess[str]
    packed: Path
    folder: Path
    rows: list[dict[str, str]]
    metrics: dict[str, int | None]


def convert(
    folder: Path,
    images: Sequence[Path],
    places: Sequence[Mapping[str, str]],
    *,
    name: str = "plate 1",
    pixel: float = 0,
    step: float = 0,
    channel_names: str = "",
) -> Converted:
    """Run the program inside `main.wdl` in `folder`; `places` tell wells, fields, channels, planes and times."""
    (text,) = re.findall(r"<<'PYTHON'\n(.*?)\n    PYTHON\n", (DEFINITION / "main.wdl").read_text(), re.DOTALL)
    program = "\n".join(line.removeprefix("    ") for line in text.split("\n"))
    (folder / "made").mkdir(parents=True)
    lists = {"images": [str(image) for image in images]}
    lists |= {each: [place.get(each, "") for place in places] for each in LISTS[1:]}
    for each, lines in lists.items():
        (folder / f"{each}.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "words.txt").write_text(f"{name}\n{channel_names}\n")
    paths = [str(folder / f"{each}.txt") for each in (*LISTS, "words")]
    command = [sys.executable, "-", *paths, str(pixel), str(step), "2"]
    done = subprocess.run(command, cwd=folder, input=program, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        return Converted(done, folder, folder, [], {})
    (packed,) = folder.glob("*.ozx")
    target = folder / "unpacked" / f"{packed.stem}.ome.zarr"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(target)
    with (folder / "images.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return Converted(done, packed, target, rows, json.loads((folder / "metrics.json").read_text()))

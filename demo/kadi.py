"""The demo with a real notebook: the same run, told to a Kadi4Mat server that is started for it, and read there again.

Run by `make demo-kadi`. Kadi, PostgreSQL and Redis run while it lasts (`--stay`: until Ctrl-C, to look at the record);
the home lies in `demo-home/kadi` and is new each time, because a new server knows nothing of an older one. Where
chromium is there, a picture of the record's page is left in the home.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "factory"))
sys.path.insert(0, str(Path(__file__).parent))

from kadi_server import PYTHON, ROOT, Kadi, NotHere, kadi_server
from run import run

from labrelay.model.experiment import Experiment

EXPERIMENT = "measles-2018"
READER = ROOT / "tests" / "tools" / "kadi_reader.py"
PICTURE = "kadi-record.png"
SIZE = "1100,1250"


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, default=Path("demo-home"))
    parser.add_argument("--stay", action="store_true", help="leave Kadi running until Ctrl-C")
    chosen = parser.parse_args()
    home, console = (chosen.home / "kadi").resolve(), Console(highlight=False)
    try:
        with kadi_server() as kadi:
            console.print(f"[green]✓[/] kadi      Kadi4Mat answers at {kadi.url}")
            return told(kadi, home, console, stay=chosen.stay)
    except NotHere as lacking:
        console.print(f"demo: {lacking}")
        return 2


def told(kadi: Kadi, home: Path, console: Console, *, stay: bool) -> int:
    """Do the main job with the notebook set, then look at the record as others see it."""
    shutil.rmtree(home, ignore_errors=True)
    os.environ |= {
        "LABRELAY_ELN": "kadi",
        "LABRELAY_ELN_URL": kadi.url,
        "LABRELAY_ELN_TOKEN": kadi.tokens["robot"],
        "LABRELAY_ELN_OPTIONS": json.dumps({"visibility": "open"}),  # so that the picture needs no login
        "LABRELAY_BASE_URL": "https://labrelay.example.org",
    }
    outcome, rows, _api = run(home, console, prefect=False)
    found = read(kadi)
    verdicts = [field["value"] for extra in found["extras"] for each in extra["value"] for field in each["value"]]
    right = len(rows) == 2 and all(row.verdict.value in verdicts for row in rows) and len(found["files"]) > 2
    page = f"{kadi.url}/records/{found['id']}"
    console.print(f"[green]✓[/] read      by Kadi's own client: {found['title']}, {len(found['files'])} files")
    if picture(page, home / PICTURE):
        console.print(f"[green]✓[/] picture   {home / PICTURE}")
    if stay:
        console.print(f"look at {page}; Ctrl-C ends Kadi")
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()
    return 0 if right and not outcome.failed else 1


def read(kadi: Kadi) -> dict[str, Any]:
    """Return what Kadi's own client reads of the experiment's record."""
    identifier = Experiment(name=EXPERIMENT).id
    command = [PYTHON, READER, kadi.url, kadi.tokens["robot"], identifier]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def picture(page: str, target: Path) -> bool:
    """Take a picture of a page; return whether there is a browser for it."""
    browser = shutil.which("chromium")
    if browser is None:
        return False
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
    wait = ["--virtual-time-budget=15000", f"--screenshot={target}", page]
    subprocess.run([*command, *wait], check=True, capture_output=True, timeout=120)
    return target.is_file()


if __name__ == "__main__":
    sys.exit(main())

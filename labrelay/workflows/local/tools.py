"""Which programs a task finds: those of the settings, those on PATH, those of this Python, then our stand-ins."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from labrelay.stores.durable import make_dirs, write_atomic
from labrelay.workflows.local import picard

SHIMS = ("samtools", "bcftools", "minimap2")
PYTHON = "labrelay-python"  # this Python with its libraries, whatever python3 on PATH is
SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


def write_launchers(folder: Path) -> None:
    """Write one small script for each stand-in tool, this Python, and the checkout's Picard into `folder`."""
    make_dirs(folder)
    for name, text in _launchers():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text:
            write_atomic(path, text, durable=False)
        if not os.access(path, os.X_OK):  # also after a kill between the two
            path.chmod(0o755)


def _launchers() -> Iterator[tuple[str, bytes]]:
    for name in (*SHIMS, PYTHON):
        run = f" -m labrelay.workflows.shims.{name}" if name in SHIMS else ""
        yield name, f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P{run} "$@"\n'.encode()
    brought = picard.launcher()
    if brought is not None:
        yield picard.NAME, brought


def search_path(first: Sequence[str], launchers: Path) -> tuple[str, ...]:
    """Return the folders that a task searches for programs, first to last.

    Args:
        first: Folders of the settings.
        launchers: Where `write_launchers` wrote.
    """
    own = str(Path(sys.executable).parent)
    inherited = [path for path in os.environ.get("PATH", "").split(os.pathsep) if path != own]
    wanted = [*first, *inherited, *SYSTEM_PATH, own, str(launchers)]
    # os.path, because Path.is_dir raises for a folder below one that this user may not enter
    found = [path for path in wanted if Path(path).is_absolute() and os.path.isdir(path)]  # noqa: PTH112
    return tuple(dict.fromkeys(found))


def readable_folders(path: Sequence[str]) -> tuple[str, ...]:
    """Return what a sandbox has to show so that the programs on `path` work: their folders and their libraries.

    A conda environment is shown whole; of another `bin` folder also the `lib` and `libexec` beside it; and the
    checkout's Picard. The system's own folders are there anyhow.
    """
    shown: list[str] = [*picard.picard_folders()]
    for entry in path:
        folder = Path(entry)
        if entry.startswith(("/usr/", "/bin", "/sbin")):
            continue
        if (folder.parent / "conda-meta").is_dir():
            shown.append(str(folder.parent))
            continue
        shown.append(entry)
        if folder.name == "bin":
            beside = (folder.parent / name for name in ("lib", "lib64", "libexec"))
            shown += [str(found) for found in beside if found.is_dir()]
    return tuple(dict.fromkeys(shown))

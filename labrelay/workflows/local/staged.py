"""Inputs of a task put where it finds them so that it cannot change the originals: in a folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

Mount = tuple[str, str, bool]


def stage(source: Path, target: Path) -> None:
    """Put an input where the task finds it, so that the task cannot change the original."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=False, dirs_exist_ok=True)
        return
    if os.geteuid() != 0 and not source.stat().st_mode & 0o222:
        # Nobody may write to the original, so a second name for it is as good as a copy.
        try:
            os.link(source.resolve(), target)
        except OSError:
            pass
        else:
            return
    shutil.copyfile(source, target)
    target.chmod(0o444)


def gather(mounts: Sequence[Mount], inside: str, folder: Path) -> list[Mount]:
    """Return the mounts of a sandbox with one in place of those of all its input files.

    A command line has an end, and bubblewrap takes 9,000 arguments: a plate of images is more files than that.

    Args:
        mounts: (path inside, path outside, writable).
        inside: Below which path inside the inputs lie.
        folder: Gets a second name of each file, or its copy where the file system has no such names. It has to be
            mounted read-only, for a second name leads to the original, and to be removed afterwards.
    """
    inputs = [mount for mount in mounts if mount[0].startswith(f"{inside}/")]
    folders: list[Mount] = []
    for path, outside, writable in inputs:
        target = folder / path.removeprefix(f"{inside}/")
        if Path(outside).is_dir():
            target.mkdir(parents=True, exist_ok=True)
            folders.append((path, outside, writable))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(Path(outside).resolve(), target)
        except OSError:
            shutil.copyfile(outside, target)
    return [*(each for each in mounts if not each[0].startswith(f"{inside}/")), (inside, str(folder), False), *folders]

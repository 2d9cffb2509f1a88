"""Inputs of a task that nothing isolates, put where it finds them so that it cannot change the originals."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


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

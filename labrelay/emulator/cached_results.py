"""Where the results lie that runs take over by a run cache: one work folder of the engine for cache and definition."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from labrelay.model.canonical import digest
from labrelay.workflows.local.home import Attempt


def shared_work(cache: str, definition: str) -> str:
    """Return the name of the work folder.

    Args:
        cache: The run cache's id.
        definition: The digest of the workflow's definition.
    """
    return f"cache{cache}.{digest(definition)[:32]}"


def forget_results(attempt: Attempt, since: float) -> None:
    """Remove what a run has added to its cache; CACHE_ON_FAILURE keeps only what a failed run may go on from.

    Args:
        attempt: It has ended, and no other attempt of the folder runs.
        since: When it began, in seconds since 1970.
    """
    for entry in (attempt.work / "cache").rglob("*"):
        with suppress(FileNotFoundError):
            if entry.is_file() and entry.stat().st_mtime >= since:
                entry.unlink()
    shutil.rmtree(attempt.engine_folder, ignore_errors=True)
    # A pipeline's cache has no such times; all of it goes.
    shutil.rmtree(attempt.work / "nextflow", ignore_errors=True)


def drop_cache(engine: Path, cache: str) -> None:
    """Remove the results of a run cache that was deleted.

    Args:
        engine: The engine's home.
        cache: The run cache's id.
    """
    for folder in (engine / "work").glob(f"cache{cache}.*"):
        shutil.rmtree(folder, ignore_errors=True)

"""Labrelay carries a lab's instrument run to a result that the notebook knows.

    import labrelay

    labrelay.announce("samples.csv")
    labrelay.process("/data/runs/231108_M04586_0992_000000000-L7342")
    for row in labrelay.results():
        print(row.sample, row.mean_depth, row.verdict)

Importing this is free: what a function needs is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labrelay.face import (
        announce,
        collect,
        ingest,
        lineage,
        process,
        read_sets,
        read_uris,
        results,
        runs,
        search,
        submit,
        upload_reads,
    )
    from labrelay.face_reruns import reprocess, reprocess_plan, stale, trends

__all__ = [
    "announce",
    "collect",
    "ingest",
    "lineage",
    "process",
    "read_sets",
    "read_uris",
    "reprocess",
    "reprocess_plan",
    "results",
    "runs",
    "search",
    "stale",
    "submit",
    "trends",
    "upload_reads",
]

_RERUNS = ("reprocess", "reprocess_plan", "stale", "trends")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module("labrelay.face_reruns" if name in _RERUNS else "labrelay.face")
    found: object = getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

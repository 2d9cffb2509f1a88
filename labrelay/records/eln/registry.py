"""Which notebooks can be spoken to: entry points of the group `labrelay.eln`, ours and those of other packages."""

from __future__ import annotations

from importlib.metadata import entry_points

from labrelay.model.errors import UsageError
from labrelay.records.eln.port import Account, Notebook, Opener

GROUP = "labrelay.eln"
ARCHIVE = "archive"  # no notebook is asked: `.eln` files are written in any case


def names() -> list[str]:
    """Return what the setting `eln` may say."""
    return [ARCHIVE, *sorted(point.name for point in entry_points(group=GROUP))]


def open_notebook(kind: str, account: Account) -> Notebook:
    """Return the adapter of this kind; asks nothing yet.

    Raises:
        UsageError: There is none of this kind, or what it needs is not installed.
    """
    found = [point for point in entry_points(group=GROUP) if point.name == kind]
    if not found:
        raise UsageError(f"there is no notebook {kind}: eln in the settings is one of {', '.join(names())}")
    try:
        opener: Opener = found[0].load()
    except ImportError as error:
        raise UsageError(f"the notebook {kind} needs a package that is not there ({error}): install it") from None
    return opener(account)

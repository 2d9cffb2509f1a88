"""How long work tells what it does; the terminal, Prefect and tests each listen in their own way."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to long work; every call is cheap and may come from any thread."""

    def stage(self, name: str, text: str) -> None:
        """Say in one line what is being done now, such as ("ingest", "12 files, 6.1 MB")."""

    def advance(self, what: str, done: int, total: int | None) -> None:
        """Report absolute progress of `what` (`bytes` or `tasks`); `total` is None while it is not known."""

    def now(self, text: str) -> None:
        """Say what is under way just now within the stage, in place of what was said before."""

    def done(self, name: str, text: str, *, ok: bool = True) -> None:
        """Say that a stage has ended, with what, and whether all of it went well."""


class Silent:
    """Listens to nothing."""

    def stage(self, name: str, text: str) -> None:
        """Do nothing."""

    def advance(self, what: str, done: int, total: int | None) -> None:
        """Do nothing."""

    def now(self, text: str) -> None:
        """Do nothing."""

    def done(self, name: str, text: str, *, ok: bool = True) -> None:
        """Do nothing."""

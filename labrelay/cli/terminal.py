"""Progress on a terminal: one line a stage, a bar for bytes and tasks; plain lines when it is no terminal."""

from __future__ import annotations

import sys
from threading import Lock
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from labrelay.cli.show import size_text


class TerminalProgress:
    """Shows stages as they end, with a bar below while one works; use it as a context manager.

    Args:
        console: Where to; standard error by default, so that output can be piped.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self._bars = Progress(
            TextColumn("  [cyan]{task.description}[/]"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}[/]"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._bar: TaskID | None = None
        self._started: dict[str, float] = {}
        self._lock = Lock()

    def __enter__(self) -> TerminalProgress:
        """Start showing."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._bars.stop()

    def stage(self, name: str, text: str) -> None:
        """Begin a stage: a bar below the lines of those that have ended."""
        with self._lock:
            self._started[name] = monotonic()
            self._drop()
            self._bar = self._bars.add_task(_plain(f"{name}: {text}"), total=None, amount="", now="")

    def advance(self, what: str, done: int, total: int | None) -> None:
        """Move the bar of the running stage."""
        with self._lock:
            if self._bar is None:
                return
            show = size_text if what == "bytes" else str
            amount = show(done) if total is None else f"{show(done)} of {show(total)}"
            self._bars.update(
                self._bar, completed=done, total=total, amount=amount if what == "bytes" else f"{amount} {what}"
            )

    def now(self, text: str) -> None:
        """Show beside the bar what is under way."""
        with self._lock:
            if self._bar is not None:
                self._bars.update(self._bar, now=_plain(text))

    def done(self, name: str, text: str, *, ok: bool = True) -> None:
        """End a stage with its line: a tick, or a cross when something in it failed."""
        with self._lock:
            self._drop()
            seconds = monotonic() - self._started.pop(name, monotonic())
            took = f"  [dim]{seconds:.1f} s[/]" if seconds >= 0.1 else ""
            mark = "[green]✓[/]" if ok else "[red]✗[/]"
            self.console.print(f"{mark} [bold]{name:<9}[/] {_plain(text)}{took}", soft_wrap=True)

    def _drop(self) -> None:
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None


def _plain(text: str) -> str:
    """Return text that Rich does not read as markup."""
    return text.replace("[", "\\[")

"""One finding about something from outside: a stable code, a sentence, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from labrelay.model.names import printable


class Frozen(BaseModel):
    """A value object: immutable, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Severity(StrEnum):
    """`ERROR` refuses the thing; `WARNING` takes it and says so."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Frozen):
    """A finding with a stable code (UPPER_SNAKE), so that rules and tests can name it.

    Attributes:
        code: The stable name, such as `SAMPLE_WITHOUT_READS`.
        message: One sentence for a person: what is wrong and what to do.
        path: The file it is about, relative to the folder that was read, when it is about one.
        line: The line in that file, from 1, when known.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    path: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Return `path:line: message [CODE]` on one line."""
        where = "" if self.path is None else printable(self.path)
        where += "" if self.line is None else f":{self.line}" if where else f"line {self.line}"
        return f"{where + ': ' if where else ''}{printable(self.message, 400)} [{self.code}]"


OF_FORM = frozenset({"RUN_ID_FROM_FOLDER", "NO_SAMPLE_SHEET", "ID_MISMATCH"})
"""Codes of how a run and its samples are called: they come after what it lacks."""


def worst_first(problems: Sequence[Problem]) -> list[Problem]:
    """Return that nothing came, then errors, then warnings, then those of names; else their order stays."""
    return sorted(problems, key=lambda p: (p.code != "ZERO_YIELD", p.severity is not Severity.ERROR, p.code in OF_FORM))


def errors_of(problems: tuple[Problem, ...] | list[Problem]) -> list[Problem]:
    """Return those problems that refuse the thing."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def refusal_of(problems: tuple[Problem, ...] | list[Problem]) -> list[Problem]:
    """Return what a person who is refused is told: the errors, and before them that nothing came, if that is so."""
    errors = errors_of(problems)
    return [problem for problem in problems if problem.code == "ZERO_YIELD"] + errors if errors else []

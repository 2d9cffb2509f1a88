"""What can go wrong, each with the sentence that a tired person needs.

A `LabrelayError` says what happened, where, and what to do next. `exit_code` is 2 when the caller made a mistake and 1
when the work failed; `retryable` says whether the same call can succeed later without anybody changing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labrelay.model.problem import Problem
from labrelay.model.words import counted


class LabrelayError(Exception):
    """The base of all errors that a person may see; its text is one sentence and what to do next."""

    exit_code = 1
    retryable = False


class UsageError(LabrelayError):
    """The caller asked for something that cannot be done as asked (a wrong id, option or setting)."""

    exit_code = 2


class RefusedInput(LabrelayError):
    """Files, sheets or values from outside are not acceptable; carries every problem found, not only the first.

    Args:
        what: What was refused, as a person names it (a folder, a sheet, a workflow).
        problems: At least one problem, each with its path and line where known.
    """

    exit_code = 2

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        self.what, self.problems = what, tuple(problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        count = counted(len(self.problems), "problem")
        shown = what[:1].lower() + what[1:] if what.startswith("The ") else what
        super().__init__(f"nothing was taken, {count} in {shown}:{lines}")


class NotFound(UsageError):
    """No such thing in this home."""


class Conflict(LabrelayError):
    """Something of the same name is there already and is not the same thing."""

    exit_code = 2


class Busy(LabrelayError):
    """Another process holds what this one needs; the same command works when that one is done."""

    retryable = True


class Denied(LabrelayError):
    """A service refused the one who asks; the text names the permission or the credentials that are missing."""

    exit_code = 2


class StorageFailed(LabrelayError):
    """The disk or the object store did not take or give the bytes (full, read-only, changed while it was read)."""

    retryable = True


class EngineFailed(LabrelayError):
    """An engine could not be reached or started; the workflow itself was not judged."""

    retryable = True


class RunFailed(LabrelayError):
    """A workflow run ended without a result.

    Args:
        message: The sentence for the person.
        run_id: The workflow run, `run_…`.
        log: Where its log lies, if there is one.
    """

    def __init__(self, message: str, run_id: str, log: Path | None = None) -> None:
        self.run_id, self.log = run_id, log
        super().__init__(message)


class MissingTool(LabrelayError):
    """A program or library that this step needs is not installed; the text says how to get it."""

    exit_code = 2

"""The `labrelay` command in this process: what it printed, and its exit code."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labrelay.cli import main as command


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line that a mistake is answered with."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        assert self.out == ""
        return lines[0]


def shell(monkeypatch: pytest.MonkeyPatch, home: Path | None = None) -> Callable[..., Said]:
    """Return a function that runs one command line, as `main` does, with this home."""

    def run(*arguments: object) -> Said:
        words = ["labrelay", *(["--home", str(home)] if home else []), *(str(each) for each in arguments)]
        monkeypatch.setattr("sys.argv", words)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stopped:
            command.main()
        code = stopped.value.code
        return Said(out.getvalue(), err.getvalue(), code if isinstance(code, int) else 0)

    return run

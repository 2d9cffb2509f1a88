"""Loading WDL for forms and checks: from one folder only, with every error as a finding with file, line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import WDL

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem


def load_document(folder: Path, main: str) -> Any:
    """Parse and type-check the WDL file `main` of `folder` with its imports; return miniwdl's document.

    Raises:
        RefusedInput: A syntax or type error, no workflow, or an import from outside `folder`.
    """
    root = folder.resolve()
    try:
        document = WDL.load(str(root / main), read_source=_reader(root))
    except Exception as error:
        problems = _problems_of(error, root, main)
        if not problems:
            raise
        raise RefusedInput(f"The WDL of {folder}", problems) from None
    if document.workflow is None:
        message = "It has no workflow block, only tasks; add a workflow that calls them."
        raise RefusedInput(
            f"The WDL of {folder}", [Problem(code="WDL_WITHOUT_WORKFLOW", message=message, path=main, line=1)]
        )
    return document


def _reader(root: Path) -> Any:
    async def read(uri: str, path: list[str], importer: Any) -> Any:
        if "://" in uri:
            raise PermissionError(f"the import {uri} is from the network; put the file into the definition's folder")
        found = await WDL.read_source_default(uri, path, importer)
        if not Path(found.abspath).resolve().is_relative_to(root):
            raise PermissionError(f"the import {uri} is outside of the definition's folder; put the file into it")
        return found

    return read


def _problems_of(error: BaseException, root: Path, main: str) -> list[Problem]:
    if isinstance(error, WDL.Error.MultipleValidationErrors):
        return [problem for one in error.exceptions for problem in _problems_of(one, root, main)]
    if isinstance(error, WDL.Error.ImportError):
        cause = error.__cause__
        inner = _problems_of(cause, root, main) if cause is not None and not isinstance(cause, OSError) else []
        return inner or [at(error.pos, root, "WDL_IMPORT", _why(cause) or str(error))]
    if isinstance(error, WDL.Error.SyntaxError):
        return [at(error.pos, root, "WDL_SYNTAX", str(error))]
    if isinstance(error, WDL.Error.ValidationError):
        return [at(error.pos, root, "WDL_INVALID", str(error))]
    if isinstance(error, FileNotFoundError):
        return [Problem(code="WDL_FILE_MISSING", message=f"The file {error.filename or main} is not there.", path=main)]
    if isinstance(error, (UnicodeDecodeError, RecursionError)):
        return [
            Problem(code="WDL_SYNTAX", message="It is no WDL text that can be read (UTF-8, not too deep).", path=main)
        ]
    return []


def _why(cause: BaseException | None) -> str | None:
    return str(cause) if isinstance(cause, PermissionError) else None


def at(position: Any, root: Path, code: str, message: str, **more: Any) -> Problem:
    """Return a problem at a position of miniwdl: the path relative to the folder, the line, the column in words."""
    path = Path(position.abspath)
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else path.name
    words = " ".join(message.split()).rstrip(".")
    return Problem(code=code, message=f"Column {position.column}: {words}.", path=shown, line=position.line, **more)

"""Prism as a proxy in front of a fake: every request and every answer is held against an OpenAPI document.

with prism(document, operations, upstream) as url: ...
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openapi_contract import cut

ROOT = Path(__file__).parent.parent.parent
PROGRAM = ROOT / ".venv-prism" / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"


def need_prism() -> None:
    """Skip with the reason where there is no Prism."""
    if shutil.which("node") is None or not PROGRAM.exists():
        pytest.skip("needs Prism: make .venv-prism (with Node.js and npm)")


@contextmanager
def prism(
    document: Mapping[str, Any], operations: Iterable[tuple[str, str]], upstream: str, prefix: str
) -> Iterator[str]:
    """Start Prism for some operations of a document, wait until it listens, and give its address.

    A request or an answer that breaks the document gets an error (422, 500) in place of the upstream's answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "openapi.json"
        file.write_text(json.dumps(cut(document, operations, prefix), default=str))
        command = ["node", str(PROGRAM), "proxy", "--errors", "--port", "0", str(file), upstream]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                yield _address(process)
            finally:
                process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Prism is listening on " in line:
            return line.rsplit("Prism is listening on ", 1)[1].strip().split("\x1b")[0]
    raise AssertionError("Prism ended: " + "".join(said)[-2000:])

"""Reads a record with Kadi's own client: `.venv-kadi/bin/python tests/tools/kadi_reader.py URL TOKEN IDENTIFIER`.

Runs in Kadi's environment, and prints as JSON what somebody who is not us finds there.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from kadi_apy import KadiManager


def read(url: str, token: str, identifier: str) -> dict[str, Any]:
    """Return a record's metadata and, by name, the checksum of each of its files as it was downloaded."""
    record = KadiManager(host=url, pat=token, verify=False).record(identifier=identifier)
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for item in record.get_filelist(per_page=100).json()["items"]:
            target = Path(folder) / item["id"]
            record.download_file(item["id"], str(target))
            files[item["name"]] = hashlib.sha256(target.read_bytes()).hexdigest()
    meta = record.meta
    return {name: meta[name] for name in ("id", "title", "description", "extras", "type")} | {"files": files}


if __name__ == "__main__":
    json.dump(read(*sys.argv[1:4]), sys.stdout)

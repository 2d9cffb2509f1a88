"""The emulator's process: `python -m labrelay.emulator.main FOLDER PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from labrelay.emulator.server import Front
from labrelay.emulator.service import Service
from labrelay.emulator.state import State
from labrelay.emulator.wire import load_operations


def main(folder: Path, port: int) -> None:
    """Serve until told to stop."""
    folder.mkdir(parents=True, exist_ok=True)
    load_operations()
    service = Service(folder, State(folder / "state.sqlite"))
    uvicorn.run(Front(service), host="127.0.0.1", port=port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

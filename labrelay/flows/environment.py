"""Where a home's Prefect lives, and the environment that each of its processes gets. Prefect is not imported here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

POOL = "labrelay"
# Prefect reads settings once, at its import; an empty variable cannot say None, JSON of the section can.
# With heartbeats each flow run ends with up to a second of waiting for the heartbeat's thread.
NO_HEARTBEAT = '{"heartbeat_frequency": null}'
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_FLOWS": NO_HEARTBEAT,
    "PREFECT_CLI_PROMPT": "false",
}
# Few runs are scheduled ahead, so that a server that was down for a night does not catch up on a hundred sweeps.
SCHEDULER = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "2",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "20",
}


def prefect_folder(home: Path) -> Path:
    """Return the folder of a home's Prefect server: its database, logs and `server.json`."""
    return home / "prefect"


def local_environment(home: Path, api: str) -> dict[str, str]:
    """Return the whole environment of a process that belongs to the home's own server.

    Settings of another Prefect (a cloud account, a profile) in the caller's environment are left out, so that nothing
    of this home is told to a server that the home does not own.

    Args:
        home: The home folder.
        api: The server's address, `http://127.0.0.1:<port>/api`.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    origin = api.removesuffix("/api")
    return {
        **kept,
        **QUIET,
        **SCHEDULER,
        "PREFECT_HOME": str(prefect_folder(home)),
        "PREFECT_API_URL": api,
        # The default lets every web page that somebody opens on this machine talk to the server.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        "LABRELAY_HOME": str(home),
    }


def use_server(home: Path, api: str, *, local: bool) -> None:
    """Make this process a client of a server; best before Prefect is imported.

    Args:
        home: The home folder.
        api: The server's address.
        local: Whether it is the home's own server; a shared one keeps the caller's PREFECT_* (its credentials).
    """
    if local:
        wanted = local_environment(home, api)
        # How loud Prefect is on the terminal stays the caller's choice.
        others = [n for n in os.environ if n.startswith("PREFECT_") and not n.startswith("PREFECT_LOGGING_")]
        for name in [n for n in others if n not in wanted]:
            del os.environ[name]
        os.environ.update(wanted)
    else:
        os.environ.update({"PREFECT_API_URL": api, **QUIET})
    if "prefect" in sys.modules:  # it has read its settings already, and would start a server of its own
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()

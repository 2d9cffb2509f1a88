"""Working commands run as flows when a Prefect server answers, else the same steps directly.

Prefect is imported only when there is a server to tell: it costs seconds, and a lab without one should not pay them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from labrelay.flows.environment import use_server
from labrelay.flows.running import healthy, running
from labrelay.steps.home import Home
from labrelay.steps.settings import Settings

T = TypeVar("T")
DIRECTLY = "no Prefect server: running directly (labrelay up starts one)"
_log = logging.getLogger(__name__)
FLOWS = {
    "process_run": "process",
    "ingest_run": "intake",
    "import_reads": "intake",
    "submit_runs": "intake",
    "submit_workflow": "by_hand",
    "collect": "upkeep",
    "sweep": "upkeep",
    "deliver": "upkeep",
    "watch_folders": "upkeep",
    "reprocess": "reprocess",
}


def run_as_flow(
    home: Home, flow: str, directly: Callable[[], T], say: Callable[[str], object], /, **parameters: object
) -> T:
    """Run a flow in this process if a server answers, else the same step without Prefect.

    Args:
        home: Where; its progress hears what happens either way.
        flow: A name of `FLOWS`.
        directly: The step that does the same.
        say: Is told in one line how it is done, where that is news: a lab without a server knows it.
        parameters: The flow's, without `home`.

    Returns:
        What the step returns.

    Raises:
        LabrelayError: The step's own, either way.
    """
    api, local = server_of(home)
    if api is None:
        named = home.settings.prefect_api_url
        if named is not None:
            say(f"the Prefect server {named} does not answer: running directly")
        _log.debug(DIRECTLY)
        return directly()
    use_server(home.path, api, local=local)
    # The run's log goes to the server; on the terminal our own progress is enough.
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    say(f"running as a flow: {api.removesuffix('/api')}")
    outcome: T = _in_process(home, flow, parameters)
    return outcome


def server_of(home: Home) -> tuple[str | None, bool]:
    """Return the address of the server that flows of this home run on, and whether it is the home's own."""
    return server_at(home.path, home.settings)


def server_at(home: Path, settings: Settings) -> tuple[str | None, bool]:
    """Return the same of a home that is not open."""
    api = running(home)
    if api is not None:
        return api, True
    shared = settings.prefect_api_url
    return (shared, False) if shared is not None and _answers(shared) else (None, False)


def _answers(api: str) -> bool:
    if api.startswith("http://"):
        return healthy(api)
    import httpx

    try:
        # A server that wants a credential is there: Prefect itself brings that.
        return httpx.get(f"{api}/health", timeout=5.0).status_code < 500
    except httpx.HTTPError:
        return False


def _in_process(home: Home, name: str, parameters: dict[str, object]) -> Any:
    function = getattr(import_module(f"labrelay.flows.{FLOWS[name]}"), name)
    from labrelay.flows.progress import also_told

    with also_told(home.progress):
        state = function(home=str(home.path), **parameters, return_state=True)
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome

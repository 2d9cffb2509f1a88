"""The front door on a port of this machine, until it is told to stop."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from labrelay.api.app import make_app
from labrelay.model.errors import MissingTool, UsageError
from labrelay.steps.home import Home

PORT = 8470
GRACE_SECONDS = 5  # for requests that are under way when it is stopped


def serve(home: Home, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve a home until SIGTERM or SIGINT; requests under way are answered first.

    Args:
        home: An open one.
        host: The address to listen on.
        port: 0 for any free one.
        ready: Is told the address when requests are answered.

    Raises:
        MissingTool: uvicorn is not installed.
        UsageError: The address or port cannot be used.
    """
    try:
        import uvicorn
    except ImportError:
        raise MissingTool("the front door needs uvicorn: pip install 'labrelay[serve]'") from None
    config = uvicorn.Config(
        make_app(home),
        http="h11",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with listening(host, port) as listener:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        # Uvicorn raises the signal that stopped it once more.
        with suppress(KeyboardInterrupt):
            ready(_address(listener))
            uvicorn.Server(config).run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; connections wait in it until somebody serves.

    Raises:
        UsageError: The address or port cannot be used.
    """
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"{host} is no address of this machine ({error.strerror}): choose another --host") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UsageError(f"port {port} of {host} {why}: choose another with --port, or stop what uses it") from None
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt

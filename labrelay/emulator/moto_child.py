"""moto in a process of its own: `python -m labrelay.emulator.moto_child PORT`."""

from __future__ import annotations

import logging
import sys


def main(port: int) -> None:
    """Serve moto's services on a port of this machine until killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    # One connection serves many requests only in HTTP/1.1.
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    make_server("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), threaded=True).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))

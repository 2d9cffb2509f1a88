"""moto in a process of its own: `python -m labrelay.emulator.moto_child PORT`."""

from __future__ import annotations

import logging
import sys
from typing import Any


def main(port: int) -> None:
    """Serve moto's services on a port of this machine until killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    _pass_events_on_whole()
    # One connection serves many requests only in HTTP/1.1.
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    make_server("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), threaded=True).serve_forever()


def _pass_events_on_whole() -> None:
    """Give a target without a template the event itself: moto's own template for it leaves out the account."""
    from moto.events.utils import EventTemplateParser

    filled_in = EventTemplateParser.parse

    def parse(input_template: str, input_paths_map: dict[str, Any], event: Any) -> Any:
        if input_template:
            return filled_in(input_template, input_paths_map, event)
        return {name: value for name, value in event.items() if name != "ingestion-time"}

    EventTemplateParser.parse = staticmethod(parse)  # type: ignore[method-assign]


if __name__ == "__main__":
    main(int(sys.argv[1]))

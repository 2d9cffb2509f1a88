"""Deliveries a second from the outbox to a server on this machine, with one worker and with four.

    .venv/bin/python -m benchmarks.outbox_deliveries [--messages 1000] [--workers 1 4] [--postgres]

Each message is a webhook notice of a run of its own: it is claimed, its lease is prolonged before it is told, it is
posted, and its confirmation is written. The server counts what comes, so that none was lost and none came twice. With
`--postgres` the same on a PostgreSQL that is started for it with its durability on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "factory"))

from postgres import Cluster

from benchmarks.measure import between, team
from labrelay.records import outbox
from labrelay.steps.deliver import deliver
from labrelay.steps.home import init_home, open_home
from labrelay.steps.notices import notify


class Counting(BaseHTTPRequestHandler):
    """Takes every notice and remembers its text."""

    protocol_version = "HTTP/1.1"
    texts: list[str] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.texts.append(body["text"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--postgres", action="store_true")
    asked = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    cluster = Cluster(durable=True) if asked.postgres else None
    try:
        for workers in asked.workers:
            measure("SQLite", None, url, asked.messages, workers)
            if cluster is not None:
                measure("PostgreSQL", cluster, url, asked.messages, workers)
    finally:
        server.shutdown()
        if cluster is not None:
            cluster.stop()


def measure(name: str, cluster: Cluster | None, url: str, count: int, workers: int) -> None:
    """Print how many messages a second so many workers told."""
    Counting.texts.clear()
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        path = Path(folder) / "home"
        fill(path, cluster, url, count)
        took = between(team(work, [(path,)] * workers))
        assert (len(Counting.texts), len(set(Counting.texts))) == (count, count)
    sys.stdout.write(f"{name}, {workers} worker(s): {count} messages in {took:.1f} s, {count / took:.0f} a second\n")
    sys.stdout.flush()


def fill(path: Path, cluster: Cluster | None, url: str, count: int) -> None:
    """Make a home whose outbox has so many messages."""
    init_home(path)
    if cluster is not None:
        cluster.give(path)
    with (path / "labrelay.toml").open("a") as settings:
        settings.write(f'webhook_url = "{url}"\n')
    home = open_home(path)
    with home.records.write() as session:
        for number in range(count):
            run = f"run_{number:016x}"
            notify(home, session, run, "done", run, run=run, samples=f"S{number}", verdict="pass")
    with home.records.read() as session:
        assert outbox.waiting(session) == {"pending": count}
    home.close()


def work(path: Path, start: Any, times: Any) -> None:
    """Deliver until nothing is due."""
    home = open_home(path)
    start.wait()
    began = time.monotonic()
    deliver(home)
    times.put((began, time.monotonic()))
    home.close()


if __name__ == "__main__":
    main()

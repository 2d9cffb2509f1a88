"""Signed webhooks that the front door takes in a second, and how long each waits for its answer.

    .venv/bin/python -m benchmarks.front_door [--seconds 20] [--clients 8] [--database URL]

`labrelay serve` is a process on loopback; clients in processes of their own keep their connections, sign each message
and send the next one when the last is answered, one in twenty of them a second time. In the end the rows of the inbox
are counted: a message that was accepted and is not there, or is there twice, fails the benchmark.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from labrelay.api.signatures import sign

SECRET = "benchmark-0123456789abcdef0123456789"
REPLAYED = 20  # one in so many is sent again
SAMPLES = [{"name": f"sample-{n}", "assay": "wgs"} for n in range(10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--database", help="postgresql://…; an empty one. Else SQLite in the home")
    asked = parser.parse_args()
    from labrelay.steps.home import init_home  # not at the top: each client would load all of it

    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder:
        home = Path(folder) / "home"
        init_home(home)
        database = f'database_url = "{asked.database}"\n' if asked.database else ""
        (home / "labrelay.toml").write_text(f'{database}[hooks.bench]\nsecrets = ["{SECRET}"]\n')
        argv = [sys.executable, "-m", "labrelay.cli", "--home", str(home), "serve", "--port", "0", "--json"]
        server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = json.loads("".join(server.stdout.readline() for _line in range(3)))["url"]
            sent, waits, seconds = storm(int(url.rpartition(":")[2]), asked.clients, asked.seconds)
        finally:
            server.terminate()
            server.wait()
        rows = count(home)
    kind = "PostgreSQL" if asked.database else "SQLite"
    waits.sort()
    print(f"{asked.clients} clients, {seconds:.0f} s, {kind}, {os.cpu_count()} cores:")
    print(f"  {len(waits):,} answers of 202, {sent:,} different messages, {rows:,} rows")
    print(f"  {len(waits) / seconds:,.0f} a second")
    print(f"  answered in ms: median {statistics.median(waits):.1f}, p99 {waits[int(len(waits) * 0.99)]:.1f}, ", end="")
    print(f"longest {waits[-1]:.1f}")
    if rows != sent:
        raise SystemExit("accepted messages are missing, or there twice")


def storm(port: int, clients: int, seconds: float) -> tuple[int, list[float], float]:
    """Return the different messages that were accepted, the wait for each answer in ms, and the seconds of it all."""
    spawn = multiprocessing.get_context("spawn")
    told: Queue[Any] = spawn.Queue()
    ready = spawn.Barrier(clients)
    senders = [spawn.Process(target=send, args=(port, n, seconds, ready, told)) for n in range(clients)]
    for sender in senders:
        sender.start()
    results = [told.get() for _sender in senders]
    for sender in senders:
        sender.join()
    return sum(result[0] for result in results), [wait for result in results for wait in result[1]], seconds


def send(port: int, client: int, seconds: float, ready: Barrier, told: Queue[Any]) -> None:
    """Send messages one after another until the time is over; all clients begin together."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    ready.wait()
    until = time.monotonic() + seconds
    number, waits = 0, list[float]()
    while time.monotonic() < until:
        body = json.dumps({"kind": "experiment", "data": {"experiment": f"e-{client}-{number}", "samples": SAMPLES}})
        times = 2 if number % REPLAYED == 0 else 1
        waits += [post(connection, f"m-{client}-{number}", body.encode()) for _time in range(times)]
        number += 1
    told.put((number, waits))


def post(connection: http.client.HTTPConnection, message_id: str, body: bytes) -> float:
    """Send one message and return the milliseconds until its answer was read."""
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "Labrelay-Id": message_id,
        "Labrelay-Timestamp": str(timestamp),
        "Labrelay-Signature": sign(SECRET.encode(), message_id, timestamp, body),
    }
    began = time.perf_counter()
    connection.request("POST", "/api/hooks/bench", body, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 202:
        raise SystemExit(f"the front door answered {answer.status}")
    return (time.perf_counter() - began) * 1000


def count(path: Path) -> int:
    """Return how many messages are in the inbox."""
    from sqlalchemy import func, select

    from labrelay.records.schema import InboxRow
    from labrelay.steps.home import open_home

    home = open_home(path)
    with home.records.read() as session:
        return session.scalar(select(func.count()).select_from(InboxRow)) or 0


if __name__ == "__main__":
    main()

"""The emulator's process: `python -m labrelay.emulator.main FOLDER [options]`."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from botocore.config import Config

from labrelay.emulator.aliases import let_use_aliases
from labrelay.emulator.announcements import Announcer
from labrelay.emulator.background import Background
from labrelay.emulator.children import Child, answers, filer_url, free_ports, start_moto, start_s3
from labrelay.emulator.faults import Plan, read_plan
from labrelay.emulator.guard import Guard
from labrelay.emulator.journal import Journal
from labrelay.emulator.launch import Running, read_running, write_running
from labrelay.emulator.probe import gives_bytes
from labrelay.emulator.server import Front
from labrelay.emulator.service import Service
from labrelay.emulator.state import State
from labrelay.emulator.wire import load_operations
from labrelay.model.errors import Busy, EngineFailed, LabrelayError, UsageError
from labrelay.stores.durable import make_dirs, storage_errors
from labrelay.workflows.local.processes import boot_id, started_at

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
STOPPED_EARLY = 130  # as a shell says of SIGINT


@dataclass(frozen=True)
class Options:
    """How the emulator is started.

    Attributes:
        data: The data folder.
        host: The address that it listens on.
        port: 0 for the one that this folder had before, if it is free, or else any.
        region: As it stands in ARNs.
        faults: A fault plan, see `faults`.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    region: str = "us-east-1"
    faults: Path | None = None


def serve(options: Options, ready: Callable[[Running], None] = lambda _running: None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        options: How.
        ready: Called when every part answers.

    Raises:
        UsageError: The port is taken, another emulator has the folder, or the fault plan is none.
        EngineFailed: A program beside did not start, or ended.
    """
    data = options.data.absolute()
    with storage_errors("make the folder", data):
        make_dirs(data)
    plan = read_plan(options.faults) if options.faults is not None else Plan()
    with _only_one(data), ExitStack() as stack:
        port = _listen(options, data)
        stack.callback(port.close)
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, _interrupt))
        _serve(options, data, port, plan, stack, ready)


def _serve(
    options: Options, data: Path, port: socket.socket, plan: Plan, stack: ExitStack, ready: Callable[[Running], None]
) -> None:
    children = [start_s3(data)]
    stack.callback(children[0].stop)
    children.append(start_moto(data))
    stack.callback(children[1].stop)
    s3, moto = children
    load_operations()
    objects = _s3_client(s3.url, options.region)
    service = Service(data, State(data / "state.sqlite"), options.region, s3=objects)
    journal = Journal(data / "configured.jsonl")
    moto.wait_until(lambda: answers(f"{moto.url}/moto-api/data.json", (200,)))
    journal.replay(moto.url)
    s3.wait_until(lambda: answers(f"{s3.url}/labrelay-is-there-no-such-bucket", (404,)))
    s3.wait_until(lambda: gives_bytes(objects))
    announcer = Announcer(moto.url, options.region, plan.on_event)
    service.announce, service.loses_host = announcer.announce, plan.on_job
    announcer.start()
    stack.callback(announcer.stop)
    number: int = port.getsockname()[1]
    running = Running(
        f"http://{options.host}:{number}", number, os.getpid(), started_at(os.getpid()), boot_id(), options.region
    )
    service.environment = running.environment()
    # Before the background starts Batch jobs, which ask us: they wait a moment instead of being turned away.
    port.listen(1024)
    background = Background(service)
    background.start()
    stack.callback(background.stop)
    front = Front(service, s3.url, filer_url(data), moto.url, journal, plan)
    server = _server(Guard(front, options.host))
    write_running(data, running)
    stack.callback(write_running, data, running.stopped())
    _until_stopped(server, port, children, lambda: ready(running))


def _until_stopped(
    server: uvicorn.Server, port: socket.socket, children: list[Child], ready: Callable[[], None]
) -> None:
    ended: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_SECONDS):
            for child in children:
                if child.process.poll() is not None:
                    ended.append(child.name)
                    server.should_exit = True
                    return

    threading.Thread(target=watch, name="watch", daemon=True).start()

    def stop(*_signal: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        # Until Uvicorn takes them, and when it raises the one that stopped it again: an exception would break its loop.
        signal.signal(number, stop)
    try:
        ready()
        server.run(sockets=[port])
    finally:
        done.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # an impatient second one would cut the clearing up short
    if ended:
        raise EngineFailed(f"{ended[0]} ended by itself, so the emulator stopped; start it again, nothing is lost")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _server(front: Guard) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            front,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=3,
        )
    )


def _s3_client(url: str, region: str) -> Any:
    config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 5}, proxies={})
    keys = {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator"}
    client: Any = let_use_aliases(boto3.client("s3", endpoint_url=url, region_name=region, config=config, **keys))
    return client


def _listen(options: Options, data: Path) -> socket.socket:
    """Return a socket on the wanted port, or for port 0 on the one of before, or any."""
    before = read_running(data)
    kept = [before.port] if before is not None else []
    wanted = [options.port] if options.port else [*kept, *free_ports(1)]
    for number in wanted:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((options.host, number))
        except OSError as error:
            listener.close()
            if number == wanted[-1]:
                text = f"port {number} of {options.host} cannot be used: {error.strerror}; choose another with --port"
                raise UsageError(text) from error
        else:
            return listener
    raise AssertionError("the last one returns or raises")


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    with (data / "emulator.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"another emulator runs on {data}: use it, stop it with `labrelay emulator --stop`, or name another"
                " folder with --data"
            ) from None
        yield


class InUse(Busy):
    """Another emulator has the folder."""

    exit_code = 2


def main(arguments: list[str]) -> int:
    """Serve as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="labrelay.emulator.main")
    parser.add_argument("data", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--faults", type=Path)
    parser.add_argument("--leashed", action="store_true", help="stop when standard input is closed")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("httpx", "botocore", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if given.leashed:
        threading.Thread(target=_stop_with_input, name="leash", daemon=True).start()
    try:
        serve(Options(given.data, given.host, given.port, given.region, given.faults))
    except LabrelayError as error:
        sys.stderr.write(f"{json.dumps({'failed': str(error), 'exit_code': error.exit_code})}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return STOPPED_EARLY
    return 0


def _stop_with_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

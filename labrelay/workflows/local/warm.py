"""A process that has imported miniwdl once and forks an engine whenever it is asked, instead of a fresh Python each.

    python -P -m labrelay.workflows.local.warm CHANNEL RUNNER ROOM

CHANNEL is the descriptor of a socket to the runner, RUNNER the runner's process id, and ROOM a long argument that
makes room for the command lines of what is forked. An order is one message: JSON with `guard` (the command line of the
keeper, up to `--`), `engine` (miniwdl's, as it would be started alone), `env` and `main` (the workflow's file), and
the descriptor of the log. The answer is the process id of the keeper, or 0 if there is none.

The keeper becomes the runner's own child, as if the runner had started it: the process between the two ends, and the
runner adopts orphans. So nothing that runs depends on this process. A keeper goes on only when its number was given to
the runner: what the runner does not know of never runs.

This process has one thread, and of miniwdl it runs nothing but the parser, so that each engine starts clean.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from WDL import CLI, parse_document
from WDL.runtime import config

from labrelay.workflows.local import keeper
from labrelay.workflows.local.starter import MESSAGE_BYTES

HEAD_BYTES = 1 << 12
MODULE = "WDL"
LATER = ("coloredlogs", "pythonjsonlogger.json", "ruamel.yaml", "html.parser", "encodings.unicode_escape")


def serve(channel: socket.socket, runner: int) -> int:
    """Answer orders until the runner closes the channel. In a forked keeper, return its exit code instead."""
    ctypes.CDLL(None).prctl(keeper.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != runner:
        return keeper.PARENT_IS_GONE
    show(sys.orig_argv[:-1])
    import_ahead()
    while True:
        content, handles, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 1)
        if not content:
            return 0
        order = json.loads(content)
        know_version(Path(order["main"]))
        if fork_away(channel):
            return keep(order, handles[0])
        os.close(handles[0])


def import_ahead() -> None:
    """Import what a run of miniwdl imports when it comes to it, and look up once which plugins there are."""
    for name in LATER:
        with suppress(ImportError):
            importlib.import_module(name)
    # miniwdl asks ten times a run which plugins are installed, and each answer reads a file of every package.
    installed = metadata.entry_points()
    setattr(metadata, "entry_points", installed.select)  # noqa: B010 (an assignment would need its overloads)
    settings = config.Loader(logging.getLogger(__name__), filenames=[])
    for group in config.default_plugins():
        for _, plugin in config.load_all_plugins(settings, group):
            # A plugin that cannot be imported is the run's to complain of, if it is asked for.
            with suppress(Exception):
                plugin.load()


def know_version(main: Path) -> None:
    """Build the parser of the WDL version that the file declares, once: it takes as long as all imports."""
    with suppress(Exception):  # whatever is wrong with the file, the run says it
        with main.open(encoding="utf-8") as file:
            lines = (line.strip() for line in file.read(HEAD_BYTES).splitlines())
            first = next(line for line in lines if line and not line.startswith("#"))
        if first.startswith("version "):
            parse_document(f"{first}\n")
    # What is there by now stays in the memory that all engines share: no collection of theirs walks over it.
    gc.collect()
    gc.freeze()


def fork_away(channel: socket.socket) -> bool:
    """Fork a grandchild that the runner adopts, and tell the runner its number; return True in the grandchild."""
    try:
        middle = os.fork()
    except OSError:
        channel.send(b"0")
        return False
    if middle:
        os.waitpid(middle, 0)
        return False
    between = os.getpid()
    allowed, allow = os.pipe()
    try:
        kept = os.fork()
    except OSError:
        kept = -1
    if kept:
        with suppress(OSError):
            channel.send(str(max(kept, 0)).encode())
            os.write(allow, b"1")
        os._exit(0)
    os.close(allow)
    channel.close()
    if not os.read(allowed, 1):
        os._exit(keeper.PARENT_IS_GONE)
    os.close(allowed)
    # The one between is about to end; only then the runner is the parent, whose death the keeper watches.
    while os.getppid() == between:
        time.sleep(0.0005)
    return True


def keep(order: dict[str, Any], log: int) -> int:
    """Be the keeper of a run of miniwdl, and return the keeper's exit code; the engine's process does not return."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["env"])
    show([*order["guard"], "--", *order["engine"]])
    guard = order["guard"]
    options = guard[guard.index("--parent") :]
    return keeper.main([*options, "--", *order["engine"]], run=be_miniwdl)


def be_miniwdl(command: list[str]) -> None:
    """Run miniwdl in this process as the command line says; its SystemExit ends the process as it always does."""
    show(command)
    arguments = command[command.index(MODULE) + 1 :]
    sys.argv = [str(Path(CLI.__file__).with_name("__main__.py")), *arguments]
    CLI.main(arguments)


def show(command: list[str]) -> None:
    """Let `ps` and /proc show this command line, cut off where there is no more room."""
    fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, the 48th and 49th of proc(5)
    if not start:
        return
    text = b"\0".join(os.fsencode(word) for word in command)[: end - start - 1]
    # The last byte has to be zero: otherwise the kernel takes what follows for a part of the line.
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))


if __name__ == "__main__":
    code = serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    sys.stderr.flush()
    # A keeper has nothing to tidy in the memory that it shares.
    os._exit(code)

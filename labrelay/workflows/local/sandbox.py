"""What holds a task on this machine: bubblewrap where it works, plain host processes where it does not.

Both contain mistakes, not a determined attacker; hostile workflows belong on a cloud engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from labrelay.model.errors import MissingTool
from labrelay.parsers.child import bubblewraps

Setting = Literal["auto", "bwrap", "host", "docker", "podman", "apptainer", "udocker"]

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs need to find libraries, names and times; nothing with secrets in it.
NETWORK_ETC = (
    "resolv.conf",
    "hosts",
    "host.conf",
    "gai.conf",
    "services",
    "protocols",
    "ssl",
    "pki",
    "ca-certificates",
)
ETC = (
    "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf", "fonts", "magic",
    "java-17-openjdk", "java-21-openjdk",  # which Debian's Java leads to by links
)  # fmt: skip
NOBODY = 65534
# Settings of ours and the container backend of miniwdl that each means.
BACKENDS = {
    "bwrap": "labrelay_bwrap",
    "host": "labrelay_host",
    "docker": "docker_swarm",
    "podman": "podman",
    "apptainer": "singularity",
    "udocker": "udocker",
}
NAMES = {
    "labrelay_bwrap": "bubblewrap",
    "labrelay_host": "host processes",
    "docker_swarm": "docker",
    "singularity": "apptainer",
}
PROGRAMS = {"docker": "docker", "podman": "podman", "apptainer": "apptainer", "udocker": "udocker"}


def choose(setting: Setting) -> str:
    """Return miniwdl's container backend for a setting; `auto` is bubblewrap if it really works here, else the host.

    Raises:
        MissingTool: The sandbox asked for is not there or does not work.
    """
    if setting == "auto":
        return BACKENDS["bwrap" if bubblewrap() is not None else "host"]
    if setting == "bwrap" and bubblewrap() is None:
        raise MissingTool(
            "The sandbox bwrap does not work here: no bwrap program, or the kernel forbids user namespaces; "
            "install bubblewrap (or pip install 'labrelay[tools]'), or set the sandbox to host."
        )
    program = PROGRAMS.get(setting)
    if program is not None and shutil.which(program) is None:
        raise MissingTool(f"The sandbox {setting} needs the program {program} on PATH; install it or set another one.")
    return BACKENDS[setting]


def display_name(backend: str) -> str:
    """Return what people call a container backend of miniwdl."""
    return NAMES.get(backend, backend)


@lru_cache(maxsize=1)
def bubblewrap() -> str | None:
    """Return a bubblewrap program that works here, or None; each candidate is tried by running it."""
    for program in bubblewraps():
        argv = [program, *_namespaces(), *_system_binds(), "--proc", "/proc", "--dev", "/dev", "true"]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return program
    return None


def bubblewrap_argv(
    program: str,
    mounts: Iterable[tuple[str, str, bool]],
    read_only: Sequence[str],
    environment: dict[str, str] | None,
    folder: str,
    *,
    network: bool = False,
    tmp: str | None = None,
) -> list[str]:
    """Return the command line before the task's own command.

    Args:
        program: The bubblewrap program.
        mounts: (path inside, path outside, writable) of inputs and of the task's own folder.
        read_only: Further folders that tasks may read at the same path, such as tools.
        environment: All that the task sees of an environment; None: that of the caller.
        folder: Where the task runs, as a path inside.
        network: Whether it may use the network.
        tmp: The folder outside that is its `/tmp`; None: it is in memory.
    """
    # /tmp first: what is bound below it later stays visible.
    argv = [program, *_namespaces(), *(["--share-net"] if network else []), *_system_binds()]
    for name in NETWORK_ETC if network else ():
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    argv += ["--tmpfs", "/tmp"] if tmp is None else ["--bind", tmp, "/tmp"]  # noqa: S108 (its own)
    for path in read_only:
        argv += ["--ro-bind-try", path, path]
    argv += ["--proc", "/proc", "--dev", "/dev", "--dir", str(Path(folder).parent)]
    for inside, outside, writable in mounts:
        argv += ["--bind" if writable else "--ro-bind", outside, inside]
    if environment is not None:
        argv += ["--clearenv"]
    for name, value in (environment or {}).items():
        argv += ["--setenv", name, value]
    return [*argv, "--chdir", folder, "--"]


def python_folders() -> tuple[str, ...]:
    """Return the folders that this Python needs at run time: its prefix, the virtual environment, and this package."""
    package = Path(__file__).resolve().parents[2]
    found = (sys.base_prefix, sys.prefix, str(package))
    return tuple(dict.fromkeys(path for path in found if not path.startswith("/usr/") and path != "/usr"))


def _namespaces() -> list[str]:
    argv = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        argv += ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    return argv


def _system_binds() -> list[str]:
    argv: list[str] = []
    for path in SYSTEM:
        if Path(path).is_symlink():
            argv += ["--symlink", os.readlink(path), path]  # noqa: PTH115 (the text of the link as it is)
        elif Path(path).is_dir():
            argv += ["--ro-bind", path, path]
    for name in ETC:
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return argv

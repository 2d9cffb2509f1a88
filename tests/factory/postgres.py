"""A real PostgreSQL for tests: a cluster in a folder of its own, on a socket there, as an account that is not root.

Durability is off: the tests that need it start their own with `durable=True`.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@functools.cache
def binaries() -> Path | None:
    """Return the folder with initdb and pg_ctl, or None where PostgreSQL's server is not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    places = [*reversed(debian), *([Path(found).parent] if found else [])]
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


def missing() -> str | None:
    """Return why there can be no PostgreSQL here, or None."""
    if binaries() is None:
        return "no PostgreSQL server is installed (Debian: postgresql)"
    if os.getuid() == 0 and _account() is None:
        return "PostgreSQL does not run as root, and there is no account postgres"
    return None


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


class Cluster:
    """A running PostgreSQL with one superuser, `lab`; `stop` removes it."""

    def __init__(self, *, durable: bool = False) -> None:
        # short, because the path of a socket has 107 bytes at most
        self.folder = Path(tempfile.mkdtemp(prefix="lab-pg-", dir="/tmp"))
        self._before: list[str] = []
        if os.getuid() == 0:
            account = _account()
            assert account is not None, missing()
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._before = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._run("initdb", "-D", self.data, "-U", "lab", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}"]
        settings += ["max_connections=200", "shared_buffers=64MB", *(() if durable else FAST)]
        with open(self.data / "postgresql.conf", "a") as file:  # noqa: PTH123 - the folder is another account's
            pairs = (setting.partition("=") for setting in settings)
            file.writelines(f"{name} = '{value}'\n" for name, _, value in pairs)
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "start")

    def halt(self, mode: str = "immediate") -> None:
        """Stop the server; `immediate` is what a power cut is to its clients."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def stop(self) -> None:
        """Stop the server and have everything removed, which goes on after the tests."""
        if (self.data / "postmaster.pid").exists():
            self.halt()
        # A database has 300 files: those of a worker's tests keep the disk busy for several seconds.
        subprocess.run(["setsid", "--fork", "rm", "-rf", str(self.folder)], check=True)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, over the socket."""
        return f"postgresql://lab@/{database}?host={quote(str(self.folder), safe='')}&port={self.port}"

    def tcp_url(self, database: str, port: int | None = None) -> str:
        """Return the URL of a database over TCP, by another port when a proxy stands between."""
        return f"postgresql://lab@127.0.0.1:{port or self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """Make a new database and return its name."""
        name = f"lab_{uuid4().hex}"  # several processes of a test make their own
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def give(self, home: Path, template: str = "template0") -> str:
        """Have the settings of a home name a new database; a copied home gets a copy of the one that it names."""
        file = home / "labrelay.toml"
        lines = file.read_text().splitlines()
        named = [line for line in lines if line.startswith("database_url")]
        if named:
            template = named[0].partition("@/")[2].partition("?")[0]
        name = self.create(template)
        rest = [line for line in lines if line not in named]
        file.write_text("\n".join([f'database_url = "{self.url(name)}"', *rest]) + "\n")
        return name

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside of any transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: object) -> None:
        place = binaries()
        assert place is not None, missing()
        command = [*self._before, str(place / program), *map(str, arguments)]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, **output)
        assert done.returncode == 0, done.stdout.decode(errors="replace")

"""PostgreSQL as the metadata store of a team: several machines, the same promises as the file of one home.

One writer at a time here too: a writing transaction takes an advisory lock first. Each of them ends in the audit trail,
whose rows hash their predecessors, so writers would have to queue there in any case; queueing at the beginning means
that no transaction ever meets a deadlock or another one's half-done work (docs/decisions/0016). Readers never wait, and
see one consistent state. A writer that was stopped in mid-transaction loses its connection after a minute, and with it
the lock; what it then tries to commit is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError

from labrelay.model.errors import Busy, LabrelayError, MissingTool, StorageFailed, UsageError

IDLE_SECONDS = 60  # a transaction in which nothing happens for so long is ended by the server
WRITERS = 0x6C6162  # the number of the lock that writers take, "lab"
URL_FORMS = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
SERVER_GONE = ("08", "57P", "25P03")  # classes and codes: the connection broke, the server stops, we were idle too long
ACCESS_REFUSED = ("28", "3D000", "42501")  # authentication, no such database, no right to do it
REFUSED_WORDS = ("authentication failed", "does not exist", "no pg_hba.conf", "no password supplied")
NO_ROOM = ("53100", "53200", "25006", "58030")  # disk full, memory, read only, input or output error


def driver_url(url: str) -> URL:
    """Return the URL with the driver that we use: `postgres://…` and `postgresql://…` mean the same."""
    return make_url(URL_FORMS.sub("postgresql+psycopg://", url, count=1))


def open_engine(url: str, busy_seconds: int) -> Engine:
    """Return the engine of a database; no connection is made yet.

    Args:
        url: `postgresql://USER:PASSWORD@HOST/DATABASE`; what is left out comes from libpq's own files and variables.
        busy_seconds: How long a writer waits for another one.

    Raises:
        MissingTool: The client is not installed.
    """
    options = {
        "lock_timeout": f"{max(1, busy_seconds * 1000)}",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS * 1000}",
        # The driver prepares what is asked often, and a plan for any word is the wrong one for a common word.
        "plan_cache_mode": "force_custom_plan",
        "synchronous_commit": "on",  # an answer "committed" means on disk, whatever the server's own default is
    }
    arguments = {"connect_timeout": 10, "options": " ".join(f"-c {name}={value}" for name, value in options.items())}
    try:
        engine = create_engine(driver_url(url), connect_args=arguments, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise MissingTool(
            f"a metadata store on PostgreSQL needs {error.name}: pip install 'labrelay[postgres]'"
        ) from None

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        if connection.get_execution_options().get("labrelay_write"):
            # Each statement sees what was committed before it: a snapshot would be taken before the lock was had.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    return engine


def collate(connection: Connection, tables: Collection[str]) -> None:
    """Have all texts of these tables compared byte by byte, as SQLite does, whatever the database's own language is.

    Times and ids are compared as text; a language's own order would skip signs in them. Done after every migration,
    for what it added.
    """
    columns = text(
        "SELECT table_name, column_name, data_type, character_maximum_length FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = ANY(:ours) "
        "AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C' "
        "ORDER BY table_name, ordinal_position"
    )
    wanted: dict[str, list[str]] = {}
    for table, column, kind, length in connection.execute(columns, {"ours": list(tables)}):
        size = f"({length})" if length else ""
        wanted.setdefault(table, []).append(f'ALTER COLUMN "{column}" TYPE {kind}{size} COLLATE "C"')
    for table, changes in wanted.items():
        connection.execute(text(f'ALTER TABLE "{table}" {", ".join(changes)}'))


def explain(error: DBAPIError, busy_seconds: int) -> LabrelayError | None:
    """Return the error that a person can act on, for what PostgreSQL said; None when it is none of those."""
    code = getattr(error.orig, "sqlstate", None) or ""
    lines = str(error.orig).strip().splitlines()
    said = lines[0] if lines else type(error.orig).__name__
    if code in ("55P03", "53300", "40001", "40P01"):
        return Busy(
            f"the metadata store was busy for {busy_seconds} s, or takes no more connections ({said}): "
            "run the command again later"
        )
    if code.startswith(ACCESS_REFUSED) or _refused_at_the_door(code, said):
        return UsageError(
            f"the metadata store refuses us ({said}): mend its URL, our password (PGPASSWORD, ~/.pgpass), "
            "or the account's rights: it has to own the database"
        )
    if code in NO_ROOM:
        return StorageFailed(
            f"the metadata store could not be written ({said}): free space there, then repeat the command"
        )
    if isinstance(error, DataError):
        return UsageError(f"the metadata store does not take a value ({said}): correct it where it comes from")
    unanswered = not code and isinstance(error, OperationalError | InterfaceError)
    if unanswered or code.startswith(SERVER_GONE) or error.connection_invalidated:
        return StorageFailed(
            f"the metadata store does not answer or broke off ({said}): see that its server runs and repeat the "
            "command; what was under way is either there whole or not at all"
        )
    return None


def _refused_at_the_door(code: str, said: str) -> bool:
    """Tell whether a connection that never came to be failed for who or what we asked for; libpq gives no code then."""
    return not code and any(words in said for words in REFUSED_WORDS)

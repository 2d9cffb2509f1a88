"""Writes the metadata store of a small, real run of the main job to tests/data/databases/<revision>.sqlite.gz.

Run once for each revision of the tables, at the release that brings it: later releases have to open these files.
"""

import gzip
import sys
import tempfile
from pathlib import Path

from sqlalchemy import text

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "factory"))

from tiny_run import TinyLab  # noqa: E402

from labrelay.records.database import HEAD  # noqa: E402
from labrelay.steps.announce import announce  # noqa: E402
from labrelay.steps.home import DATABASE  # noqa: E402
from labrelay.steps.process import process  # noqa: E402


def main() -> None:
    """Make the lab, run it, and pack its database."""
    with tempfile.TemporaryDirectory() as folder:
        lab = TinyLab(Path(folder))
        home = lab.open()
        announce(home, lab.table)
        process(home, lab.run)
        with home.records.write() as session:
            session.execute(text("UPDATE instrument_run SET folder = '/data/runs/tiny'"))
        with home.records.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        home.close()
        packed = ROOT / "tests" / "data" / "databases" / f"{HEAD}.sqlite.gz"
        packed.write_bytes(gzip.compress((lab.home / DATABASE).read_bytes(), mtime=0))
        sys.stdout.write(f"{packed.relative_to(ROOT)}: {packed.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()

"""A home: one folder with settings, records, bytes and results; `open_home` wires the adapters of its profile."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from labrelay.model.errors import UsageError
from labrelay.model.progress import Progress, Silent
from labrelay.parsers.allotropy import VARIABLE
from labrelay.records.database import Database
from labrelay.records.eln.port import Notebook
from labrelay.records.sqlite import sqlite_url
from labrelay.steps import rules as rules_file
from labrelay.steps import settings as settings_file
from labrelay.steps.adapters import adapters_of, notebook_of
from labrelay.steps.engines import Engines
from labrelay.steps.settings import Settings, load_settings
from labrelay.stores.durable import write_atomic
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.ports import ObjectStore, ReadStore
from labrelay.workflows.port import Engine

DATABASE = "labrelay.sqlite"
LOCK = ".lock"  # ending of lock files in the scratch folder, which stay there


@dataclass
class Home:
    """What every step works with: the adapters of one home.

    Attributes:
        path: The home folder.
        objects: Raw data, manifests, workflow bundles.
        results: Results in a layout that a person can browse.
        reads: Read sets and references.
        engine: What runs workflows unless something else was said.
        engines: What else can run them.
        progress: Who is told what happens.
    """

    path: Path
    settings: Settings
    records: Database
    objects: ObjectStore
    results: ObjectStore
    reads: ReadStore
    engine: Engine
    engines: Engines
    progress: Progress = field(default_factory=Silent)

    @property
    def definitions(self) -> Path:
        """The folder of workflow definitions that were added to this home."""
        return self.path / "definitions"

    @property
    def scratch(self) -> Path:
        """A folder for what is being made; anything in it may be deleted when nothing runs."""
        return self.path / "scratch"

    @property
    def places(self) -> tuple[str, ...]:
        """The kinds of engine that it has, its own first."""
        return tuple(dict.fromkeys((self.engine.kind, *self.engines.kinds)))

    def engine_of(self, kind: str) -> Engine:
        """Return the engine of this kind.

        Raises:
            UsageError: The home has none; the text says what is missing.
        """
        return self.engine if kind == self.engine.kind else self.engines.of(kind)

    @cached_property
    def notebook(self) -> Notebook | None:
        """The notebook of the settings, not asked yet; None when only `.eln` files are written.

        Raises:
            UsageError: The settings name none that there is, or leave something out.
        """
        return notebook_of(self.settings)

    def close(self) -> None:
        """Close the metadata store and what was opened beside it."""
        opened = self.__dict__.pop("notebook", None)
        if opened is not None:
            opened.close()
        self.records.close()


def open_home(path: Path, progress: Progress | None = None) -> Home:
    """Open a home and bring its metadata store to this program's revision.

    Raises:
        UsageError: There is no home there; the text says how to make one.
        RefusedInput: Its settings are wrong.
    """
    settings = load_settings(path)
    if settings.allotropy is not None:
        # Parsers know no home; for the rest of this process it is as if the environment had said it.
        os.environ.setdefault(VARIABLE, settings.allotropy)
    adapters = adapters_of(path, settings)
    records = Database(database_url(path, settings))
    records.ensure()
    return Home(
        path=path,
        settings=settings,
        records=records,
        objects=adapters.objects,
        results=FolderObjectStore(path / "results", name="results"),
        reads=adapters.reads,
        engine=adapters.engine,
        engines=adapters.engines,
        progress=progress or Silent(),
    )


def database_url(path: Path, settings: Settings) -> str:
    """Return the URL of a home's metadata store: as set, else of the file in the home."""
    return settings.database_url or sqlite_url(path / DATABASE)


def init_home(path: Path) -> bool:
    """Make a home folder with its settings and rules files; return False when it was one already.

    Raises:
        UsageError: The folder holds other things.
    """
    if (path / settings_file.FILE).is_file():
        return False
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} exists and is not empty: name a new folder for the home")
    path.mkdir(parents=True, exist_ok=True)
    (path / "definitions").mkdir(exist_ok=True)
    if not (path / rules_file.FILE).exists():
        write_atomic(path / rules_file.FILE, rules_file.TEMPLATE.encode())
    write_atomic(path / settings_file.FILE, settings_file.TEMPLATE.encode())
    return True

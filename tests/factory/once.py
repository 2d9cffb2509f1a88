"""What is made once in a process of tests and shared, instead of anew in each test; what it says stays the same.

A home's empty tables are a copy of those that the real migrations made once; SQL is compiled once for all databases of
one kind, and what botocore knows of AWS is read once. Tests of these very things have to look elsewhere: the migrations
run by themselves in tests/records/test_upgrade.py and in every command that is a process of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore.session
import pytest
from botocore.loaders import create_loader
from sqlalchemy import Engine

from labrelay.records import migrate, sqlite


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Share all of it for the block; `folder` takes the tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", _Loaders())
        share_sql(patch, sqlite, sqlite.open_engine(sqlite.sqlite_url(folder / "first"), 30))
        patch.setattr(migrate, "upgrade", _Tables(folder / "tables"))
        yield


class _Tables:
    """The migrations; all of them, on an empty file, are a copy of what they have made before."""

    def __init__(self, made: Path) -> None:
        self._upgrade, self._made = migrate.upgrade, made

    def __call__(self, engine: Engine, revision: str = "head") -> None:
        if revision != "head" or engine.dialect.name != "sqlite" or not _is_empty(engine):
            self._upgrade(engine, revision)
            return
        if not self._made.exists():
            template = sqlite.open_engine(sqlite.sqlite_url(self._made), 30)
            self._upgrade(template)
            template.dispose()
        with closing(engine.raw_connection()) as here, closing(sqlite3.connect(self._made)) as there:
            there.backup(here.driver_connection)  # type: ignore[arg-type]


def share_sql(patch: pytest.MonkeyPatch, backend: ModuleType, first: Engine) -> None:
    """Have all engines of a backend use the dialect of `first`, which knows its types, and its compiled SQL."""
    open_engine: Callable[[str, int], Engine] = backend.open_engine
    with first.connect():
        pass

    def opened(url: str, busy_seconds: int) -> Engine:
        made = open_engine(url, busy_seconds)
        made.dialect, made._compiled_cache = first.dialect, first._compiled_cache
        return made

    patch.setattr(backend, "open_engine", opened)


class _Loaders:
    """Loaders of botocore: one for each data path."""

    def __init__(self) -> None:
        self._made: dict[str | None, tuple[Any, list[str]]] = {}

    def __call__(self, path: str | None = None) -> Any:
        if path not in self._made:
            loader = create_loader(path)
            self._made[path] = loader, [*loader.search_paths]
        loader, paths = self._made[path]
        loader._search_paths = [*paths]  # to which boto3 adds its own folder each time
        return loader


def _is_empty(engine: Engine) -> bool:
    with engine.connect() as connection:
        return not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()

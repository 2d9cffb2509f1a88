"""An entry is told from its first sign to its result in Benchling and in eLabFTW, with people and faults in between."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import benchling_tenant
import parts as made
import pytest
from elabftw_bench import Hands
from fake_elabftw import KEY, FakeELabFTW
from listening import listening
from sqlalchemy import select

from labrelay.model.errors import UsageError
from labrelay.records import experiments
from labrelay.records.database import Database
from labrelay.records.delivery import Undeliverable
from labrelay.records.eln import registry
from labrelay.records.eln.port import Account, Notebook
from labrelay.records.eln.telling import tell
from labrelay.records.schema import LinkRow
from labrelay.records.schema_notebook import ElnPartRow

pytestmark = pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")


@contextmanager
def benchling() -> Iterator[tuple[Any, Notebook, Any]]:
    fake = benchling_tenant.tenant()
    with listening(fake) as url:
        yield fake, registry.open_notebook("benchling", benchling_tenant.account(url)), benchling_tenant.Hands(fake)


@contextmanager
def elabftw() -> Iterator[tuple[Any, Notebook, Any]]:
    fake = FakeELabFTW()
    with listening(fake) as url:
        account = Account(url=url, token=KEY)
        yield fake, registry.open_notebook("elabftw", account), Hands(fake)


@pytest.mark.parametrize("service", [benchling, elabftw])
def test_an_entry_follows_the_records_through_faults_and_people(service: Any, db: Database, tmp_path: Path) -> None:
    with db.write() as session:
        experiments.announce(session, made.EXPERIMENT, [], correct=False)
    with service() as (fake, notebook, hands):
        first = tell(db, notebook, made.EXPERIMENT, [made.status("received")])
        assert first.written == ["status"]
        entry = str(first.external_id)
        with db.read() as session:
            link = session.scalars(select(LinkRow)).one()
        assert (link.system, link.external_id) == (notebook.system, entry)
        assert link.url is not None
        assert entry in link.url

        done = [made.status("done"), made.results(), made.links(), made.file(tmp_path)]
        fake.faults = ["", "", "lost"]
        with pytest.raises(Undeliverable) as fault:
            tell(db, notebook, made.EXPERIMENT, done)
        assert fault.value.retryable
        fake.faults = []
        tell(db, notebook, made.EXPERIMENT, done)
        assert tell(db, notebook, made.EXPERIMENT, done).written == []  # confirmed by reading back

        hands.edit(entry, "status")
        later = tell(db, notebook, made.EXPERIMENT, [made.status("superseded"), made.results(9.5), *done[2:]])
        assert (later.conflicts, later.written) == (["status"], ["results"])
        with db.read() as session:
            rows = {row.part: row.state for row in session.scalars(select(ElnPartRow))}
        assert rows["status"] == "conflict"

        hands.close(entry, "locked")
        with pytest.raises(Undeliverable) as closed:
            tell(db, notebook, made.EXPERIMENT, [made.results(1.0)])
        assert not closed.value.retryable


def test_both_are_among_the_notebooks_that_the_settings_can_name() -> None:
    assert {"benchling", "elabftw"} <= set(registry.names())


def test_nothing_of_benchling_is_loaded_for_another_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchling_sdk", None)
    assert registry.open_notebook("elabftw", Account(url="https://x.test", token="t")).system == "elabftw"
    with pytest.raises(UsageError):
        registry.open_notebook("no-such", Account(url="https://x.test", token="t"))

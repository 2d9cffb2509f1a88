"""Runs whose reads are archived wait until they can be read, and are then started; the others do not wait for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select
from tiny_run import TinyLab, announcement

from labrelay.model.states import RunState
from labrelay.records import runs
from labrelay.records.schema import ReadSetRow, SampleRow, WorkflowRunRow
from labrelay.steps.announce import announce
from labrelay.steps.collect import collect, wait_for
from labrelay.steps.home import open_home
from labrelay.steps.process import process
from labrelay.stores.folder_reads import FolderReadStore


def test_a_run_waits_for_its_archived_reads_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived: set[str] = set()
    asked: list[tuple[str, ...]] = []

    def activate(_store: FolderReadStore, read_set_ids: Sequence[str]) -> tuple[str, ...]:
        asked.append(tuple(read_set_ids))
        return tuple(each for each in read_set_ids if each in archived)

    lab = TinyLab(tmp_path)
    home = open_home(lab.home)
    announce(home, announcement(tmp_path / "samples.csv"))
    monkeypatch.setattr(home.engine, "submit", lambda _request: pytest.fail("it was started"))
    monkeypatch.setattr(FolderReadStore, "activate", lambda _store, ids: tuple(ids))
    done = process(home, lab.run, wait=False)
    assert done.failed == []
    with home.records.read() as session:
        read_sets = dict(session.execute(select(SampleRow.name, ReadSetRow.id).join(ReadSetRow)).all())
        waiting = {request.read_sets for request in runs.unattached(session)["local"]}
    assert waiting == {(read_sets["alpha"],), (read_sets["beta"],)}
    assert len(collect(home).waiting) == 2
    monkeypatch.undo()
    monkeypatch.setattr(FolderReadStore, "activate", activate)
    archived.add(read_sets["alpha"])
    looked = collect(home)
    assert (looked.started, len(looked.waiting), looked.stuck) == (1, 1, [])
    archived.clear()
    with home.records.read() as session:
        ids = list(session.scalars(select(WorkflowRunRow.id)))
    assert sorted(wait_for(home, ids).recorded) == sorted(ids)
    with home.records.read() as session:
        states = set(session.scalars(select(WorkflowRunRow.state)))
    assert states == {RunState.COMPLETE.value}
    assert asked.count((read_sets["beta"],)) == 1
    home.close()

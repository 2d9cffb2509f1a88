"""A setting says of a landing folder whose exports lie in it: what nothing recognises is a run all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_run import TinyLab

from labrelay.model.instrument import InstrumentRun
from labrelay.parsers import allotropy
from labrelay.parsers.listing import Listing
from labrelay.steps.process import process
from labrelay.steps.settings import Settings
from labrelay.steps.watch import FolderState, scan


def test_the_innermost_folder_that_is_named_counts(tmp_path: Path) -> None:
    settings = Settings(exports={tmp_path / "a": "READER_1", tmp_path / "a" / "b": "READER_2"})
    assert settings.platform_of(tmp_path / "a" / "run") == "allotropy:READER_1"
    assert settings.platform_of(tmp_path / "a" / "b" / "run") == "allotropy:READER_2"
    assert settings.platform_of(tmp_path / "ab") is None


def test_watch_and_process_read_a_landed_folder_as_the_setting_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = TinyLab(tmp_path)
    landing = tmp_path / "reader"
    (landing / "plate7").mkdir(parents=True)
    (landing / "plate7" / "values.dat").write_text("nothing that is known by itself")
    (landing / "empty").mkdir()
    asked = []

    def look_as(listing: Listing, name: str, vendor: str) -> InstrumentRun:
        asked.append((name, vendor))
        export = allotropy.Export("values.dat", {"values": [], "held": 0})
        return allotropy.run_of(listing, name, f"allotropy:{vendor}", [export], [])

    monkeypatch.setattr(allotropy, "look_as", look_as)
    monkeypatch.setenv("LABRELAY_LANDING", f'["{landing}"]')
    monkeypatch.setenv("LABRELAY_QUIET_MINUTES", "0")
    before = lab.open()
    assert scan(before) == []
    before.close()
    monkeypatch.setenv("LABRELAY_EXPORTS", f'{{"{landing}": "SOME_READER"}}')
    home = lab.open()
    scan(home)
    (seen,) = scan(home)
    assert (seen.folder.name, seen.run_id) == ("plate7", "plate7")
    assert seen.state is not FolderState.REFUSED
    assert process(home, landing / "plate7").failed == []
    assert set(asked) == {("plate7", "SOME_READER")}
    home.close()

"""`init --profile healthomics` done again: what is there is taken, what was deleted is made anew, and that is said."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated import Emulated
from shell import Said, shell

from labrelay.steps.home import open_home
from labrelay.steps.settings import load_settings

ROLE = "arn:aws:iam::123456789012:role/labrelay-healthomics"
IDS = {
    "sequence store": "sequence_store_id",
    "reference store": "reference_store_id",
    "run group": "run_group_id",
    "run cache": "run_cache_id",
}


@pytest.fixture
def init(own_emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Return a function that sets up the home `lab` under a name of its own."""
    for name, value in own_emulator.environment.items():
        monkeypatch.setenv(name, value)
    labrelay, lab = shell(monkeypatch, tmp_path / "lab"), f"lab {secrets.token_hex(4)}"

    def run(name: str = lab) -> Said:
        asked = ("--bucket", "lab-again", "--role-arn", ROLE, "--name", name)
        return labrelay("init", "--profile", "healthomics", *asked)

    return run


def ids(home: Path) -> dict[str, str | None]:
    settings = load_settings(home)
    return {what: getattr(settings, setting) for what, setting in IDS.items()}


def delete(emulator: Emulated, what: str, key: str) -> None:
    """Delete a store with what it holds, or a group or cache."""
    omics = emulator.client("omics")
    if what == "reference store":
        for each in omics.list_references(referenceStoreId=key)["references"]:
            omics.delete_reference(referenceStoreId=key, id=each["id"])
    getattr(omics, f"delete_{what.replace(' ', '_')}")(id=key)


def test_what_was_deleted_is_made_again_under_its_name_and_the_rest_stays(
    own_emulator: Emulated, init: Callable[..., Said], tmp_path: Path
) -> None:
    home = tmp_path / "lab"
    assert init().code == 0
    seen = [ids(home)]
    for what in (*IDS, "sequence store", "reference store"):
        before = ids(home)
        delete(own_emulator, what, str(before[what]))
        said = init()
        assert said.code == 0, said.err
        after = ids(home)
        assert f"made   {what} {after[what]} in place of {before[what]}, which is gone" in said.out
        assert {name for name in IDS if after[name] != before[name]} == {what}
        assert all(after[what] != earlier[what] for earlier in seen)
        seen.append(after)
    again = init()
    assert "  made" not in again.out
    assert ids(home) == seen[-1]


def test_two_homes_that_ask_after_a_deletion_get_one_store(
    own_emulator: Emulated, init: Callable[..., Said], tmp_path: Path
) -> None:
    assert init().code == 0
    home = tmp_path / "lab"
    first = str(ids(home)["sequence store"])
    delete(own_emulator, "sequence store", first)
    assert init().code == 0
    second = ids(home)["sequence store"]
    (home / "labrelay.toml").write_text("")
    said = init()
    assert f"found  sequence store {second}\n" in said.out
    assert ids(home)["sequence store"] == second


def test_stores_that_the_settings_name_are_taken_whatever_they_are_called(
    own_emulator: Emulated, init: Callable[..., Said], tmp_path: Path
) -> None:
    home = tmp_path / "lab"
    assert init().code == 0
    before = ids(home)
    stores = len(own_emulator.client("omics").list_sequence_stores()["sequenceStores"])
    said = init(name="quite another name")
    assert said.code == 0, said.err
    assert "  made" not in said.out
    assert ids(home) == before
    assert len(own_emulator.client("omics").list_sequence_stores()["sequenceStores"]) == stores


def test_a_reference_is_imported_again_into_the_new_store(
    own_emulator: Emulated, init: Callable[..., Said], tmp_path: Path
) -> None:
    path = tmp_path / "lab"
    assert init().code == 0
    fasta = tmp_path / "toy.fa"
    fasta.write_text(f">chr1\n{'ACGTA' * 30}\n")
    home = open_home(path)
    made = home.reads.add_reference(fasta, "toy")
    before = home.reads.reference_location(made)
    home.close()
    delete(own_emulator, "reference store", str(ids(path)["reference store"]))
    assert init().code == 0
    home = open_home(path)
    assert [each.id for each in home.reads.references()] == [made.id]
    after = home.reads.reference_location(made)
    home.close()
    store = ids(path)["reference store"]
    assert after != before
    assert f"/{store}/reference/" in after
    assert len(own_emulator.client("omics").list_references(referenceStoreId=store)["references"]) == 1

"""Every decision of a person or a schedule is in the audit trail, and the trail's head lies outside of the database."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from shell import Said, shell
from sqlalchemy import select
from tiny_run import TinyLab, announcement, make_definition

from labrelay.records import anchors, audit
from labrelay.records.schema import ExperimentRow
from labrelay.steps import trail
from labrelay.steps.announce import announce
from labrelay.steps.deliver import deliver
from labrelay.steps.process import take_in
from labrelay.steps.route import route
from labrelay.steps.sweep import sweep
from labrelay.stores.durable import write_atomic

Command = Callable[..., Said]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lab(tmp_path: Path) -> TinyLab:
    return TinyLab(tmp_path)


@pytest.fixture
def labrelay(lab: TinyLab, monkeypatch: pytest.MonkeyPatch) -> Command:
    return shell(monkeypatch, lab.home)


def test_a_table_adds_samples_of_another_project_and_leaves_the_experiments(lab: TinyLab) -> None:
    table = lab.home / "more.csv"
    with closing(lab.open()) as home:
        for rows in ("a,p1", "b,p2"):
            table.write_text(f"experiment,sample,project\nstudy,{rows}\n")
            announce(home, table)
        table.write_text("experiment,sample\nstudy,c\n")
        announce(home, table)
        with home.records.read() as session:
            assert session.scalars(select(ExperimentRow.project)).all() == ["p1"]


def on_record(labrelay: Command, action: str) -> list[dict[str, Any]]:
    said = labrelay("audit", "list", "--limit", "1000", "--json")
    assert said.code == 0
    return [event for event in said.json if event["action"] == action]


def test_what_people_decide_is_on_record_once_with_who_it_was(
    lab: TinyLab, labrelay: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABRELAY_ACTOR", "token:lims")
    genome = lab.root / "toy.fa"
    genome.write_text(">chr1\nACGTACGTACGT\n")
    (lab.run / "RTAComplete.txt").unlink()
    other = make_definition(lab.root / "other", version="2.0.0")
    (other / "definition.toml").write_text(
        (other / "definition.toml").read_text().replace('"count_reads"', '"recount_reads"', 1)
    )
    steps: list[tuple[tuple[object, ...], str]] = [
        (("announce", lab.table), "sample.announced"),
        (("reference", "add", genome, "--name", "toy"), "reference.added"),
        (("workflow", "add", other), "workflow.added"),
        (("process", lab.run, "--assume-complete"), "instrument_run.said_complete"),
        (("reads", "export", "--sample", "alpha", "--to", lab.root / "out"), "read_set.exported"),
    ]
    for words, action in steps:
        assert on_record(labrelay, action) == []
        said = labrelay(*words)
        assert said.code == 0, said.err
        events = on_record(labrelay, action)
        assert events, action
        assert {event["actor"] for event in events} == {f"token:lims ({audit.account()})"}
        if action in ("sample.announced", "reference.added", "workflow.added"):
            assert labrelay(*words).code == 0
            assert on_record(labrelay, action) == events, f"{action} is on record twice"
    assert len(on_record(labrelay, "workflow_run.intended")) == 2
    (asked, _other) = on_record(labrelay, "workflow_run.intended")
    assert asked["detail"]["version"] == "1.0.0"


def test_the_rules_in_force_are_on_record_whenever_they_change(lab: TinyLab, labrelay: Command) -> None:
    home = lab.open()
    run, _stored = take_in(home, lab.run)
    rules = lab.home / "rules.toml"
    before = rules.read_text()
    for content in (before, before, before.replace("count everything", "count it all"), before):
        rules.write_text(content)
        route(home, run.id)
    home.close()
    assert [event["detail"]["rules"][0]["name"] for event in on_record(labrelay, "rules.in_force")] == [
        "count everything",
        "count it all",
        "count everything",
    ]


def test_what_clean_removed_is_on_record_by_name(lab: TinyLab, labrelay: Command) -> None:
    for name in ("one", "two"):
        (lab.home / "scratch" / name).mkdir(parents=True)
        os.utime(lab.home / "scratch" / name, (0, 0))
    assert labrelay("clean").code == 0
    (cleaned,) = on_record(labrelay, "home.cleaned")
    assert cleaned["detail"] == {"removed": 2, "bytes": 0, "failed": 0, "paths": ["scratch/one", "scratch/two"]}
    assert labrelay("clean").code == 0
    assert len(on_record(labrelay, "home.cleaned")) == 1


def test_deliver_and_sweep_anchor_the_head_when_it_has_moved(lab: TinyLab, labrelay: Command) -> None:
    home = lab.open()
    folder = lab.home / "objects" / anchors.FOLDER
    assert sweep(home).problems == []
    assert not folder.exists(), "an empty trail has no head"
    labrelay("announce", lab.table)
    deliver(home)
    (first,) = folder.iterdir()
    told = json.loads(first.read_bytes())
    with home.records.read() as session:
        head = audit.head(session)
    assert head is not None
    assert told == {"format": "labrelay-audit-anchor/1", **head._asdict()}
    sweep(home)
    deliver(home)
    assert list(folder.iterdir()) == [first]
    with home.records.write() as session:
        audit.record(session, "test.moved", "smp_1")
    assert sweep(home).problems == []
    assert len(list(folder.iterdir())) == 2
    home.close()


def test_a_store_that_takes_no_anchor_holds_up_nothing_and_the_sweep_says_so(lab: TinyLab, labrelay: Command) -> None:
    labrelay("announce", lab.table)
    home = lab.open()
    (lab.home / "objects").mkdir(exist_ok=True)
    (lab.home / "objects" / "audit").write_text("a file where a folder is wanted")
    deliver(home)
    (problem,) = sweep(home).problems
    assert problem.startswith("the audit trail was not anchored: ")
    home.close()


def test_an_older_database_put_in_its_place_is_found(lab: TinyLab, labrelay: Command) -> None:
    labrelay("announce", lab.table)
    database = lab.home / "labrelay.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(database, lab.root / "older.sqlite")
    assert labrelay("announce", announcement(lab.root / "more.csv", ("gamma",), "other")).code == 0
    assert labrelay("deliver").code == 0
    said = labrelay("audit", "verify")
    assert (said.code, "whole; anchored up to row" in said.out) == (0, True)
    assert "the audit trail has the entry that was anchored last" in labrelay("doctor").out
    for file in lab.home.glob("labrelay.sqlite*"):
        file.unlink()
    shutil.copy(lab.root / "older.sqlite", database)
    said = labrelay("audit", "verify", "--json")
    assert (said.code, said.json["whole"]) == (1, False)
    assert "its end was cut off, or an older database was put in its place" in said.json["found"][0]
    (told,) = [each for each in labrelay("doctor", "--json").json["findings"] if each["what"] == "anchors"]
    assert (told["health"], told["fix"]) == ("broken", "labrelay audit verify")


def test_audit_commands_anchor_list_export_and_say_that_a_folder_is_not_locked(lab: TinyLab, labrelay: Command) -> None:
    assert labrelay("audit", "anchor").out == "the trail is empty: there is nothing to anchor\n"
    labrelay("announce", lab.table)
    said = labrelay("audit", "anchor")
    assert said.out.startswith("anchored: head 3:")
    assert said.out.endswith(f"{trail.NOT_LOCKED}\n")
    assert labrelay("audit", "anchor", "--json").json["new"] is False
    lines = labrelay("audit", "export").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]
    listed = labrelay("audit", "list").out
    assert "experiment.announced" in listed
    assert audit.account() in listed
    entity = json.loads(lines[1])["entity_id"]
    assert [event["entity_id"] for event in labrelay("audit", "list", "--entity", entity, "--json").json] == [entity]
    assert labrelay("audit", "list", "--since", "2999-01-01").out == "nothing is on record\n"


def test_many_findings_are_counted_and_only_the_first_are_kept(lab: TinyLab, labrelay: Command) -> None:
    labrelay("announce", lab.table)
    home = lab.open()
    with home.records.write() as session:
        for number in range(300):
            audit.record(session, "test.many", f"smp_{number}")
    home.close()
    with sqlite3.connect(lab.home / "labrelay.sqlite") as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit_event SET actor = 'os:somebody'")
    said = labrelay("audit", "verify")
    assert said.code == 1
    assert len(said.out.splitlines()) == 102
    assert "and 203 more" in said.out
    # One row more, and whole: the command itself found the trigger missing and made it again.
    assert "304 rows, NOT as written: 303 findings" in said.out


def test_an_invented_anchor_in_the_store_is_found(lab: TinyLab, labrelay: Command) -> None:
    labrelay("announce", lab.table)
    labrelay("audit", "anchor")
    write_atomic(lab.home / "objects" / anchors.FOLDER / "000000000099-0123456789abcdef.json", b"{}")
    said = labrelay("audit", "verify")
    assert said.code == 1
    assert "000000000099-0123456789abcdef.json is no anchor" in said.out


def test_every_action_that_the_code_puts_on_record_stands_in_the_documentation() -> None:
    code = "\n".join(path.read_text() for path in sorted((ROOT / "labrelay").rglob("*.py")))
    written = re.findall(r'audit\.record(?:_once)?\(\s*session,\s*"([a-z_]+\.[a-z_]+)"', code)
    assert len(written) > 20
    shown: set[str] = set()
    for line in (ROOT / "docs" / "audit.md").read_text().splitlines():
        prefix = ""
        for word in re.findall(r"`([a-z_]*\.[a-z_]+)`", line):
            prefix = word.partition(".")[0] or prefix
            shown.add(f"{prefix}.{word.partition('.')[2]}")
    assert set(written) - shown == set()

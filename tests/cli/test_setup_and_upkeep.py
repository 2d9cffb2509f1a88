"""A home is made, examined, kept in order, and nothing of that is done by looking."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from shell import Said, shell
from sqlalchemy import select
from tiny_run import TinyLab, make_definition

from labrelay.flows.dispatch import DIRECTLY
from labrelay.records.schema import OutboxRow
from labrelay.steps import doctor

Command = Callable[..., Said]


def findings(said: Said) -> dict[str, dict[str, str]]:
    return {each["what"]: each for each in said.json["findings"]}


def test_init_makes_a_home_once_and_says_what_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABRELAY_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    labrelay = shell(monkeypatch)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    said = labrelay("init", tmp_path / "lab")
    assert "you are root: " in said.out  # here and in doctor, and not with every run
    assert said.code == 0
    assert f"{tmp_path / 'lab'} is ready" in said.out
    assert f"export LABRELAY_HOME={tmp_path / 'lab'}" in said.out
    (tmp_path / "lab" / "rules.toml").write_text("# mine\n")
    assert labrelay("init", tmp_path / "lab", "--json").json["made"] is False
    assert (tmp_path / "lab" / "rules.toml").read_text() == "# mine\n"
    assert labrelay("init", "--json").json["home"] == str(tmp_path / "labrelay-home")


def test_init_refuses_a_folder_that_holds_other_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis.doc").write_text("x")
    said = shell(monkeypatch)("init", tmp_path)
    assert said.code == 2
    assert "is not empty" in said.sentence


def test_doctor_finds_a_working_home_well(labrelay: Command) -> None:
    said = labrelay("doctor", "--json")
    assert said.code == 0, said.out
    found = findings(said)
    assert found["records"]["health"] == found["audit trail"]["health"] == "ok"
    assert found["sandbox"]["text"] == "host processes, as the settings say"
    tools = {"python", "xml parser", "prefect", "cutadapt", "scikit-image"}
    assert {"account", "home", "disk", "workflows", "rules", *tools} <= set(found)
    assert "everything that is needed works" in labrelay("doctor").out


def test_doctor_without_a_home_still_examines_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shell(monkeypatch, tmp_path / "none")("doctor", "--json")
    assert said.code == 1
    found = findings(said)
    assert found["home"]["health"] == "broken"
    assert {"python", "sandbox", "samtools"} <= set(found)
    assert not (tmp_path / "none").exists()


def test_doctor_shows_no_secret_and_where_each_setting_comes_from(
    fresh: TinyLab, fresh_labrelay: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh.home / "labrelay.toml").write_text('webhook_url = "https://hooks.example/s3cr3t"\n')
    monkeypatch.setenv("LABRELAY_RETRIES", "3")
    said = fresh_labrelay("doctor", "--json")
    told = {each["name"]: each for each in said.json["settings"]}
    assert told["webhook_url"]["value"] == "set (not shown)"
    assert told["webhook_url"]["source"] == "labrelay.toml"
    assert (told["retries"]["value"], told["retries"]["source"]) == ("3", "LABRELAY_RETRIES")
    assert all(each["meaning"] for each in told.values())
    assert "s3cr3t" not in said.out + fresh_labrelay("doctor").out


def test_doctor_sees_a_broken_audit_trail(fresh: TinyLab, fresh_labrelay: Command) -> None:
    fresh_labrelay("announce", fresh.table)
    with sqlite3.connect(fresh.home / "labrelay.sqlite") as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit_event SET actor = 'os:somebody' WHERE seq = 2")
    connection.close()
    said = fresh_labrelay("doctor", "--json")
    assert said.code == 1
    assert "row 2 was changed" in findings(said)["audit trail"]["text"]
    assert "audit_no_update were removed" in findings(said)["audit triggers"]["text"]


def test_doctor_sees_a_damaged_database(fresh: TinyLab, fresh_labrelay: Command) -> None:
    (fresh.home / "labrelay.sqlite").write_bytes(b"this is no database" * 400)
    said = fresh_labrelay("doctor", "--json")
    assert said.code == 1
    assert findings(said)["records"]["health"] == "broken"


def test_doctor_sees_rules_that_name_what_is_not_there_and_folders_that_are_gone(
    fresh: TinyLab, fresh_labrelay: Command
) -> None:
    (fresh.home / "rules.toml").write_text('[[rule]]\nname = "a"\nworkflow = "nothing"\nreference = "none"\n')
    (fresh.home / "labrelay.toml").write_text('landing = ["/no/such/folder"]\n')
    said = fresh_labrelay("doctor")
    assert said.code == 1
    for words in ("there is no workflow nothing", "there is no reference none", "/no/such/folder"):
        assert words in said.out


def test_doctor_names_the_notebook_that_is_told_and_what_its_settings_leave_out(
    fresh: TinyLab, fresh_labrelay: Command
) -> None:
    assert findings(fresh_labrelay("doctor", "--json"))["notebook"]["text"] == "none is told; .eln files are written"
    (fresh.home / "labrelay.toml").write_text('eln = "kadi"\neln_url = "http://127.0.0.1:9"\neln_token = "t0ken"\n')
    found = findings(fresh_labrelay("doctor", "--json"))["notebook"]
    assert (found["health"], found["text"]) == (
        "ok",
        "Kadi4Mat at http://127.0.0.1:9; `labrelay eln check` asks it",
    )
    (fresh.home / "labrelay.toml").write_text('eln = "kadii"\neln_url = "http://127.0.0.1:9"\neln_token = "t0ken"\n')
    found = findings(fresh_labrelay("doctor", "--json"))["notebook"]
    assert found["health"] == "broken"
    assert "eln in the settings is one of archive, benchling" in found["text"]


def test_doctor_says_when_the_disk_is_full(fresh_labrelay: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path: SimpleNamespace(free=5_000_000, total=10**12))
    said = fresh_labrelay("doctor", "--json")
    assert said.code == 1
    assert findings(said)["disk"]["health"] == "broken"


def test_upkeep_of_a_home_in_which_all_is_well_does_nothing(labrelay: Command) -> None:
    assert labrelay("sweep").out == "nothing to settle\n"
    assert labrelay("deliver").out == "0 messages delivered, 0 waiting, 0 given up\n"
    assert labrelay("reprocess", "--plan").out == "nothing is out of date\n"
    assert labrelay("clean", "--plan").out == "there is nothing to remove\n"
    typo = labrelay("reprocess", "--plan", "--workflow", "typo")
    assert (typo.code, typo.err.partition("; ")[2]) == (2, "there are results of: count_reads\n")
    for command in (("sweep",), ("deliver",), ("reprocess",), ("clean",)):
        assert labrelay(*command, "--json").code == 0


def test_a_newer_workflow_makes_results_stale_and_reprocess_replaces_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab = TinyLab(tmp_path, samples={"alpha": 20})
    labrelay = shell(monkeypatch, lab.home)
    labrelay("announce", lab.table)
    assert labrelay("process", lab.run).code == 0
    make_definition(lab.home / "definitions", version="2.0.0")
    planned = labrelay("reprocess", "--plan", "--cause", "workflow", "--since", "2020-01-01")
    assert "count_reads 1.0.0" in planned.out
    assert "1 result is out of date, 1 run would replace it" in planned.out
    assert "a new workflow version: 1 result, 1 run, cost not known" in planned.out
    assert re.search(r"go on with: labrelay reprocess --run pln_[0-9a-f]{16}$", planned.out.strip())
    assert "a new workflow version (workflow): 1 result" in labrelay("reprocess", "stale", "--cause", "workflow").out
    assert "(stale)" in labrelay("results", "list").out
    assert "1 result out of date: labrelay reprocess --plan" in labrelay("status").out
    with caplog.at_level("DEBUG", "labrelay.flows"):
        done = labrelay("reprocess", "--wait", "--json")
    assert (done.code, done.json["new"]) == (0, 1)
    assert DIRECTLY in caplog.messages  # as every working command logs when there is no server for its flow
    assert DIRECTLY not in done.err
    (row,) = labrelay("results", "list", "--json").json
    assert (row["workflow"], row["stale"]) == ("count_reads 2.0.0", None)
    both = labrelay("results", "list", "--all", "--json").json
    assert [each["replaced_by"] for each in both] == [row["run"], None]
    assert "(superseded)" in labrelay("results", "list", "--all").out
    why = "count_reads 2.0.0 is asked for, it was made with count_reads 1.0.0"
    assert f"in place of {both[0]['run']}: {why}" in labrelay("results", "show", row["run"]).out
    assert f"superseded by {row['run']}: {why}" in labrelay("results", "show", both[0]["run"]).out
    report = (lab.home / "results" / row["result_path"] / "report.html").read_text()
    assert f"It takes the place of the result of <code>{both[0]['run']}</code>" in report
    assert why in report
    with lab.open().records.read() as session:
        told = session.scalar(select(OutboxRow).where(OutboxRow.kind == "result").order_by(OutboxRow.id.desc()))
    assert told is not None
    assert told.payload == {"run": row["run"], "replaces": [both[0]["run"]], "because": why}
    (line,) = labrelay("reprocess", "status", "--json").json
    assert (line["state"], line["counts"]) == ("done", {"done": 1})
    assert line["id"] in labrelay("reprocess", "status", line["id"]).out
    assert "nothing is marked out of date" in labrelay("reprocess", "stale").out


def test_work_folders_of_old_runs_are_planned_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = TinyLab(tmp_path, samples={"alpha": 20}, settings='sandbox = "host"\nkeep_work_days = 0\n')
    labrelay = shell(monkeypatch, lab.home)
    labrelay("announce", lab.table)
    assert labrelay("process", lab.run).code == 0
    planned = labrelay("clean", "--plan", "--json").json["plan"]
    assert planned
    assert all((lab.home / row["path"]).exists() for row in planned)
    assert "may go" in labrelay("clean", "--plan").out
    assert labrelay("clean", "--json").json["problems"] == []
    assert not any((lab.home / row["path"]).exists() for row in planned)
    assert labrelay("results", "show", "alpha").code == 0

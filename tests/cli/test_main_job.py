"""A tiny instrument run goes through the real commands to results that are listed, shown, copied and found again."""

from __future__ import annotations

import csv
import shutil
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shell import Said, shell
from sqlalchemy import update
from tiny_run import BASECALLS, RUN_ID, TinyLab, make_run

from labrelay.records.schema import AttemptRow, WorkflowRunRow

Command = Callable[..., Said]


def run_of(labrelay: Command, sample: str) -> str:
    (row,) = labrelay("runs", "list", "--sample", sample, "--json").json
    return str(row["run"])


def test_process_ends_with_the_results_and_the_counts(processed: tuple[TinyLab, Said]) -> None:
    _lab, said = processed
    assert said.code == 0, said.err
    table = [line.split() for line in said.out.splitlines()[:3]]
    assert table[0] == ["sample", "reads", "verdict", "workflow", "run"]
    assert [row[:3] for row in table[1:]] == [["alpha", "100", "pass"], ["beta", "60", "warn"]]
    assert said.out.splitlines()[-1] == "stored 7 · imported 2 · submitted 2"


def test_the_stages_are_told_on_standard_error_only(processed: tuple[TinyLab, Said]) -> None:
    _lab, said = processed
    for stage in ("parse", "store", "match", "import", "route", "submit", "run", "deliver"):
        assert f"✓ {stage}" in said.err
    assert "✓" not in said.out


def test_a_second_process_does_nothing(lab: TinyLab, labrelay: Command) -> None:
    said = labrelay("process", lab.run, "--json")
    assert said.code == 0
    counts = {name: said.json[name] for name in ("stored", "imported", "submitted", "delivered", "running")}
    assert set(counts.values()) == {0}
    assert [row["sample"] for row in said.json["results"]] == ["alpha", "beta"]


def test_status_says_that_nothing_needs_anybody(labrelay: Command) -> None:
    said = labrelay("status")
    assert said.code == 0
    assert said.out == "workflow runs: 2 COMPLETE\n\nnothing needs you\n"
    told = labrelay("status", "--json").json
    assert told["states"] == {"COMPLETE": 2}
    assert told["live"] == told["unassigned"] == told["refused"] == []


def test_runs_are_listed_newest_first_and_narrowed(labrelay: Command) -> None:
    rows = labrelay("runs", "list", "--json").json
    assert sorted(row["sample"] for row in rows) == ["alpha", "beta"]
    assert [row["asked"] for row in rows] == sorted((row["asked"] for row in rows), reverse=True)
    assert [row["sample"] for row in labrelay("runs", "list", "--sample", "beta", "--json").json] == ["beta"]
    assert labrelay("runs", "list", "--failed", "--json").json == []
    assert labrelay("runs", "list", "--state", "running", "--json").json == []
    assert labrelay("runs", "list", "--workflow", "other", "--json").json == []
    assert len(labrelay("runs", "list", "--experiment", "tiny-study", "--json").json) == 2
    assert "there are more" in labrelay("runs", "list", "--limit", "1").out


def test_a_run_is_shown_in_full_by_the_beginning_of_its_id(labrelay: Command) -> None:
    run = run_of(labrelay, "alpha")
    told = labrelay("runs", "show", run[:9], "--json").json
    assert told["line"]["run"] == run
    (attempt,) = told["attempts"]
    assert attempt["state"] == "COMPLETE"
    assert [task["name"] for task in attempt["tasks"]] == ["count"]
    assert attempt["tasks"][0]["exit_code"] == 0
    assert all(Path(log).is_file() for log in attempt["logs"])
    assert [file["name"] for file in told["inputs"]] == ["reads.r1", "reads.r2"]
    assert [file["name"] for file in told["outputs"]] == ["lengths", "metrics"]
    shown = labrelay("runs", "show", run.removeprefix("run_"))
    assert shown.code == 0
    assert "attempt 1: COMPLETE" in shown.out


def test_logs_are_readable_and_a_task_has_its_own(labrelay: Command) -> None:
    run = run_of(labrelay, "alpha")
    said = labrelay("runs", "logs", run)
    assert "workflow start" in said.out
    assert "{" not in said.out
    assert labrelay("runs", "logs", run, "--task", "count").out == "the log is empty\n"
    assert "it has count" in labrelay("runs", "logs", run, "--task", "cunt").sentence


def test_results_are_shown_with_numbers_thresholds_and_files(labrelay: Command) -> None:
    said = labrelay("results", "show", "beta")
    assert said.code == 0
    assert "Read pairs  30     warn     fail below 1, warn below 40" in said.out
    told = labrelay("results", "show", run_of(labrelay, "beta"), "--json").json
    assert told["result"]["verdict"] == "warn"
    assert told["stale"] is None
    assert all(Path(document["path"]).is_file() for document in told["documents"])
    assert "Report" in {document["title"] for document in told["documents"]}


def test_a_result_is_copied_once(labrelay: Command, tmp_path: Path) -> None:
    paths = [Path(path) for path in labrelay("results", "get", "alpha", "--to", tmp_path, "--json").json]
    names = {path.name for path in paths}
    assert {"metrics.json", "lengths.txt", "report.html", "ro-crate-metadata.json"} <= names
    assert (tmp_path / "alpha" / "count_reads-1.0.0" / "lengths.txt").read_text() == "36 50\n"
    again = labrelay("results", "get", "alpha", "--to", tmp_path)
    assert again.code == 2
    assert "is there already" in again.sentence


def test_results_leave_as_tables_and_as_a_notebook_archive(labrelay: Command, tmp_path: Path) -> None:
    for name in ("new/r.csv", "r.xlsx", "r.eln"):
        said = labrelay("results", "export", "tiny-study", "--to", tmp_path / name)
        assert said.code == 0, said.err
    with (tmp_path / "new" / "r.csv").open(newline="") as opened:
        assert [row["Sample"] for row in csv.DictReader(opened)] == ["alpha", "beta"]
    assert zipfile.is_zipfile(tmp_path / "r.xlsx")
    assert any(name.endswith("ro-crate-metadata.json") for name in zipfile.ZipFile(tmp_path / "r.eln").namelist())
    wrong = labrelay("results", "export", "tiny-study", "--to", tmp_path / "r.txt")
    assert wrong.code == 2
    assert ".csv, .xlsx, .eln" in wrong.sentence


def test_lineage_leads_from_an_output_to_the_sample_and_back(labrelay: Command) -> None:
    hits = labrelay("search", "alpha metrics.json", "--kind", "file", "--json").json["hits"]
    up = labrelay("lineage", hits[0]["id"], "--json").json
    assert "alpha" in {node["name"] for node in up["nodes"] if node["kind"] == "sample"}
    assert RUN_ID in {node["name"] for node in up["nodes"] if node["kind"] == "instrument run"}
    down = labrelay("lineage", "alpha", "--down")
    assert down.out.startswith("sample alpha")
    assert hits[0]["id"] in down.out


def test_a_result_is_explained_in_sentences_and_as_json(labrelay: Command) -> None:
    said = labrelay("explain", "alpha", "read_pairs").out
    assert said.splitlines()[0].endswith(": count_reads 1.0.0 on alpha, experiment tiny-study")
    assert "\nAsked about\n  Read pairs is 50" in said
    assert "flow cell 000000000-TINY7, lane 1" in said
    told = labrelay("explain", "alpha", "--json").json
    assert (told["verdict"], told["asked"]["rule"]) == ("pass", "count everything")
    refused = labrelay("explain", "alpha", "nonsense")
    assert (refused.code, "has no number nonsense; it has read_pairs" in refused.err) == (2, True)


def test_lineage_is_drawn_as_a_page_and_as_a_picture(labrelay: Command, tmp_path: Path) -> None:
    page, picture = tmp_path / "new" / "alpha.html", tmp_path / "alpha.svg"
    told = labrelay("lineage", "alpha", "--html", str(page), "--svg", str(picture)).out
    assert told.count(" things drawn: ") == 2
    assert all(word in page.read_text() for word in ("Sample <bdi>alpha</bdi>", "instrument run", "Workflow runs"))
    assert picture.read_bytes().startswith(b"<svg")
    assert labrelay("lineage", "alpha", "--svg", str(picture), "--down", "--json").json == [str(picture)]


def test_lineage_names_the_other_direction_and_where_the_documents_are(labrelay: Command) -> None:
    up = labrelay("lineage", "alpha").out
    sample = up.split()[2]
    assert up.endswith(f"what was made of it: labrelay lineage {sample} --down\n")
    down = labrelay("lineage", "alpha", "--down").out.splitlines()
    assert down[-2] == f"where it came from: labrelay lineage {sample}"
    assert down[-1].endswith(f"labrelay results show {run_of(labrelay, 'alpha')}")


def test_a_search_without_hits_says_so_and_that_is_an_answer(labrelay: Command) -> None:
    assert labrelay("search", "beta").code == 0
    nothing = labrelay("search", "nothing", "like", "this")
    assert nothing.code == 0
    assert nothing.out == "nothing fits nothing like this\n"
    assert labrelay("search", "nothing", "--json").json["hits"] == []


def test_a_search_that_is_cut_says_how_many_more_there_are(labrelay: Command) -> None:
    told = labrelay("search", "alpha", "--json").json
    said = labrelay("search", "alpha", "--limit", "1").out.splitlines()
    assert len(said) == 3
    assert said[-1].startswith(f"… and {sum(told['totals'].values()) - 1} more, of 1 sample, 1 workflow run, ")
    assert said[-1].endswith("--limit 2")
    assert "more" not in labrelay("search", "alpha").out


def test_a_misspelt_field_is_a_mistake_and_the_fields_are_named(labrelay: Command) -> None:
    said = labrelay("search", "wrokflow:count_reads")
    assert said.code == 2
    assert "did you mean workflow:count_reads?" in said.sentence
    assert "assay, experiment, month, platform, project, role, stale, state, verdict, workflow" in said.sentence
    assert labrelay("search", "workflow:count_reads", "--json").json["totals"] == {"workflow run": 2}
    for text in ('"wrokflow:count_reads"', "chr1:200", "http://x"):
        assert labrelay("search", text).out == f"nothing fits {text}\n"


def test_submitting_what_the_rules_asked_for_finds_their_run(labrelay: Command) -> None:
    said = labrelay("submit", "count_reads", "--sample", "alpha", "--json")
    assert said.code == 0, said.err
    assert said.json["new"] == 0
    assert [row["run"] for row in said.json["runs"]] == [run_of(labrelay, "alpha")]


def test_rules_are_shown_and_rehearsed_without_storing_anything(fresh: TinyLab, fresh_labrelay: Command) -> None:
    assert fresh_labrelay("rules", "show", "--json").json[0]["workflow"] == "count_reads"
    before = fresh_labrelay("rules", "test", fresh.run)
    assert before.code == 1
    assert "no announced sample is called alpha" in before.out
    fresh_labrelay("announce", fresh.table)
    after = fresh_labrelay("rules", "test", fresh.run, "--json")
    assert after.code == 0
    said = {each["label"]: each for each in after.json["samples"]}
    assert said["alpha"]["matched_by"] == "id"
    assert said["alpha"]["rules"][0]["workflow"] == "count_reads"
    assert fresh_labrelay("search", RUN_ID, "--json").json["hits"] == []
    assert not list((fresh.home / "objects").rglob("*.gz"))


def test_a_run_that_fails_is_told_with_its_log_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = TinyLab(tmp_path, samples={"alpha": 20}, parameters="broken = true")
    labrelay = shell(monkeypatch, lab.home)
    labrelay("announce", lab.table)
    said = labrelay("process", lab.run)
    assert said.code == 1
    assert "the counter is broken" in said.out
    log = next(line.strip().removeprefix("log: ") for line in said.out.splitlines() if "log: " in line)
    assert "the counter is broken" in Path(log).read_text()
    assert "1 workflow run failed: labrelay runs list --failed" in labrelay("status").out
    run = run_of(labrelay, "alpha")
    assert "is there already" not in labrelay("runs", "logs", run, "--task", "count").err
    assert labrelay("runs", "logs", run, "--task", "count").out == "the counter is broken\n"
    assert "✗ run" in said.err
    assert "✓ run" not in said.err
    log_end = labrelay("runs", "logs", run).out.splitlines()[-2:]
    assert log_end[0].startswith("the task count failed; its standard error (")
    assert log_end[0].endswith("/call-count/stderr.txt) ends with:")
    assert log_end[1] == "  the counter is broken"
    again = labrelay("runs", "retry", run, "--json")
    assert again.code == 0
    assert (again.json["state"], again.json["attempts"]) == ("QUEUED", 2)
    assert labrelay("process", lab.run).code == 1


def test_a_submitted_run_that_fails_gets_no_tick_and_a_hint_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = TinyLab(tmp_path, samples={"alpha": 20})
    labrelay = shell(monkeypatch, lab.home)
    labrelay("announce", lab.table)
    labrelay("ingest", lab.run)
    assert labrelay("process", lab.run).code == 0
    ask = ("submit", "count_reads", "--sample", "alpha", "--set", "broken=true", "--wait")
    first = labrelay(*ask)
    run = first.out.split()[0]
    assert first.code == 1
    assert "✗ run       count_reads, 1 failed" in first.err
    assert "✓" not in first.err
    assert first.out.endswith("submitted 1, 0 there before\n")
    again = labrelay(*ask)
    assert again.code == 1
    assert f"labrelay runs retry {run}\n" in again.out
    assert again.out.endswith("submitted 0, 1 there before; --force computes them again\n")


def test_a_second_attempt_has_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = TinyLab(tmp_path, samples={"alpha": 20}, parameters="broken = true")
    labrelay = shell(monkeypatch, lab.home)
    labrelay("announce", lab.table)
    labrelay("process", lab.run)
    run = run_of(labrelay, "alpha")
    with closing(lab.open()) as home, home.records.write() as session:  # an hour ago
        earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="microseconds")
        session.execute(update(AttemptRow).values(created_at=earlier))
        session.execute(update(WorkflowRunRow).values(created_at=earlier))
    labrelay("runs", "retry", run)
    labrelay("process", lab.run)
    told = labrelay("runs", "show", run, "--json").json
    assert [attempt["seconds"] > 3000 for attempt in told["attempts"]] == [True, False]
    assert told["line"]["seconds"] == pytest.approx(told["attempts"][1]["seconds"], abs=5)
    assert "(attempt 2)" in labrelay("runs", "show", run).out


def test_a_run_is_cancelled_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = TinyLab(tmp_path, samples={"alpha": 20}, parameters="pause = 60")
    labrelay = shell(monkeypatch, lab.home)
    labrelay("announce", lab.table)
    said = labrelay("process", lab.run, "--no-wait", "--json")
    assert (said.code, said.json["running"]) == (0, 1)
    (live,) = labrelay("status", "--json").json["live"]
    assert labrelay("runs", "cancel", live["run"], "--json").json["state"] == "CANCELING"
    again = labrelay("process", lab.run)
    assert (again.code, "1 workflow run was cancelled" in again.out) == (0, True), "what a person wanted is no failure"
    assert labrelay("runs", "show", live["run"], "--json").json["line"]["state"] == "CANCELED"
    assert "there is nothing to cancel" in labrelay("runs", "cancel", live["run"]).sentence


def test_reads_without_a_sample_wait_for_a_person(fresh: TinyLab, fresh_labrelay: Command) -> None:
    fresh.table.write_text("sample,experiment\nalpha,tiny-study\n")
    fresh_labrelay("announce", fresh.table)
    said = fresh_labrelay("process", fresh.run)
    assert said.code == 0
    assert "unassigned beta: no announced sample is called beta" in said.out
    (waiting,) = fresh_labrelay("status", "--json").json["unassigned"]
    assert waiting["label"] == "beta"
    assert f"labrelay assign {waiting['dataset']} SAMPLE" in fresh_labrelay("status").out


def test_reads_that_wait_for_a_sample_that_was_announced_meanwhile_are_told_to_be_processed(
    fresh: TinyLab, fresh_labrelay: Command, tmp_path: Path
) -> None:
    (tmp_path / "run with space").mkdir()
    (tmp_path / "run with space" / "beta_R1.fastq").write_text("@r\nACGT\n+\nIIII\n")
    fresh_labrelay("process", tmp_path / "run with space")
    go_on = f"labrelay process '{tmp_path / 'run with space'}'"
    assert go_on not in fresh_labrelay("status").out
    said = fresh_labrelay("announce", fresh.table).out
    assert f"1 dataset that waited has its sample now: {go_on}\n" in said
    told = fresh_labrelay("status").out
    assert f"beta of run with space waits, and beta is announced now: {go_on}" in told
    assert "labrelay assign" not in told
    (waits,) = fresh_labrelay("status", "--json").json["unassigned"]
    assert waits["announced"] == "beta"


def test_status_tells_which_samples_were_not_submitted_until_a_process_has_nothing_to_tell(
    fresh: TinyLab, fresh_labrelay: Command
) -> None:
    fresh_labrelay("announce", fresh.table)
    rules = fresh.home / "rules.toml"
    good = rules.read_text()
    rules.write_text(good.replace("[rule.when]", 'reference = "nowhere"\n[rule.when]'))
    assert fresh_labrelay("process", fresh.run, "--no-wait").code == 1
    told = f"{fresh.run.name}: alpha, beta were not submitted: there is no reference nowhere: add it with "
    said = fresh_labrelay("status").out
    assert told in said
    assert f"mend it, then labrelay process {fresh.run}\n" in said
    assert "nothing needs you" not in said
    rules.write_text(good.replace("illumina", "ont"))
    fresh_labrelay("process", fresh.run, "--no-wait")
    assert "nothing needs you" in fresh_labrelay("status").out


def test_a_run_that_is_not_complete_is_refused_and_taken_later(fresh: TinyLab, fresh_labrelay: Command) -> None:
    (fresh.run / "RTAComplete.txt").unlink()
    said = fresh_labrelay("process", fresh.run)
    assert said.code == 2
    assert "--assume-complete" in said.err
    assert fresh_labrelay("ingest", fresh.run, "--assume-complete").code == 0


def test_a_delivery_without_a_list_is_inspected_by_the_names_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha_1.fastq.gz", "alpha_2.fastq.gz", "gamma_1.fastq.gz"):
        (tmp_path / name).write_bytes(b"")
    said = shell(monkeypatch)("inspect", tmp_path)
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines() if line.startswith(("alpha ", "gamma"))] == [
        ["alpha", "2"],
        ["gamma_1", "1"],
    ]
    assert "gamma_1.fastq.gz: it looks like R1 and its R2 is missing" in said.out
    assert "files of reads were not opened: each is judged when the run is taken in" in said.out
    assert "unassigned" not in said.out


def test_watch_names_its_folders_and_waits_for_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = TinyLab(tmp_path, settings=f'sandbox = "host"\nlanding = ["{tmp_path / "landing"}"]\nquiet_minutes = 0\n')
    labrelay = shell(monkeypatch, lab.home)
    labrelay("announce", lab.table)
    assert [row["state"] for row in labrelay("watch", "--json").json] == ["waiting"]
    assert [row["state"] for row in labrelay("watch", "--json").json] == ["done"]
    shutil.rmtree(lab.run)
    make_run(lab.landing, run_id="231109_M04586_0008_000000000-TINY8")
    assert "has to rest" in labrelay("watch").out


def test_watch_without_landing_folders_is_a_mistake(labrelay: Command) -> None:
    said = labrelay("watch")
    assert said.code == 2
    assert "landing" in said.sentence


def test_a_corrupt_file_of_reads_is_refused_with_its_name(fresh: TinyLab, fresh_labrelay: Command) -> None:
    fresh_labrelay("announce", fresh.table)
    path = fresh.run / BASECALLS / "alpha_S1_L001_R1_001.fastq.gz"
    path.write_bytes(path.read_bytes()[:-20])
    said = fresh_labrelay("process", fresh.run)
    assert said.code == 2
    assert path.name in said.err
    assert "Traceback" not in said.err

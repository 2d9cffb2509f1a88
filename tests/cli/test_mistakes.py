"""A user's mistake gets one sentence on standard error and exit code 2; nothing is printed as if it had worked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Said, shell
from tiny_run import TinyLab

Command = Callable[..., Said]
NEED_A_HOME = (
    ("status",),
    ("process", "x"),
    ("watch",),
    ("submit", "x"),
    ("announce", "x"),
    ("ingest", "x"),
    ("assign", "a", "b"),
    ("runs", "list"),
    ("runs", "show", "x"),
    ("results", "list"),
    ("results", "get", "x", "--to", "y"),
    ("reference", "list"),
    ("workflow", "list"),
    ("rules", "show"),
    ("deliver",),
    ("sweep",),
    ("reprocess", "--plan"),
    ("clean", "--plan"),
    ("lineage", "x"),
    ("search", "x"),
)
WRONG = {
    ("runs", "show", "run_ffff"): "there is no workflow run run_ffff",
    ("runs", "show", "run_"): "there is no workflow run run_",
    ("runs", "show", "%"): "there is no workflow run %",
    ("runs", "logs", "nope"): "there is no workflow run nope",
    ("runs", "cancel", "nope"): "there is no workflow run nope",
    ("runs", "retry", "nope"): "there is no workflow run nope",
    ("runs", "list", "--sample", "nobody"): "there is no sample nobody",
    ("runs", "list", "--experiment", "none"): "no experiment is called none",
    ("results", "list", "--experiment", "none"): "no experiment is called none",
    ("results", "show", "nobody"): "there is no sample nobody",
    ("results", "show", "run_ffff"): "there is no workflow run run_ffff",
    ("results", "export", "none", "--to", "x.csv"): "no experiment is called none",
    ("announce", "-"): "no table is read from standard input: save it as a CSV file, and announce that",
    ("announce", "/dev/null"): "no table is read from /dev/null, which is a pipe or a device: save it as a CSV file",
    ("announce", "/"): "/ is a folder: name the table of samples in it",
    ("announce", "/no/such.csv"): "there is no file /no/such.csv",
    ("process", "/no/such/folder"): "there is no folder or file /no/such/folder",
    ("rules", "test", "/no/such/folder"): "there is no folder or file /no/such/folder",
    ("workflow", "add", "/no/such/folder"): "there is no folder /no/such/folder",
    ("workflow", "lint", "/no/such/folder"): "there is no folder /no/such/folder",
    ("workflow", "inputs", "nothing"): "There is no workflow nothing",
    ("reference", "add", "/no/such/file", "--name", "x"): "there is no file /no/such/file",
    ("submit", "nothing"): "There is no workflow nothing",
    ("submit", "count_reads", "--sample", "nobody"): "nobody",
    ("submit", "count_reads", "--set", "pause"): "--set pause is not NAME=VALUE",
    ("submit", "count_reads", "--inputs", "/no/such/file"): "there is no file /no/such/file",
    ("submit", "count_reads", "--reference", "x"): "--reference goes with --sample",
    ("reprocess", "--resume", "pln_1", "--budget", "5"): "pln_1: there is no such plan",
    ("lineage", "nobody"): "nobody",
    ("assign", "nothing", "alpha"): "there is no dataset nothing",
    ("announce", "/no/such/file.csv"): "/no/such/file.csv",
}


@pytest.mark.parametrize("arguments", NEED_A_HOME, ids=" ".join)
def test_a_missing_home_is_one_sentence(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shell(monkeypatch, tmp_path / "none")(*arguments)
    assert said.code == 2
    assert "there is no Labrelay home" in said.sentence
    assert f"labrelay --home {tmp_path / 'none'} init" in said.sentence
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("arguments", "words"), WRONG.items(), ids=map(" ".join, WRONG))
def test_what_is_not_there_is_one_sentence(arguments: tuple[str, ...], words: str, labrelay: Command) -> None:
    said = labrelay(*arguments)
    assert said.code == 2, said
    assert words in said.sentence


def test_an_id_that_several_runs_share_the_beginning_of_is_not_guessed(labrelay: Command) -> None:
    ids = [row["run"] for row in labrelay("runs", "list", "--json").json]
    shared = next((ids[0][:n] for n in range(len(ids[0]), 4, -1) if ids[1].startswith(ids[0][:n])), None)
    if shared is not None:
        assert "several workflow runs begin with" in labrelay("runs", "show", shared).sentence


def test_settings_that_are_wrong_are_told_all_at_once(fresh: TinyLab, fresh_labrelay: Command) -> None:
    (fresh.home / "labrelay.toml").write_text('concurrency = "many"\nsandbocks = "host"\n')
    said = fresh_labrelay("status")
    assert said.code == 2
    assert "concurrency" in said.err
    assert "sandbocks" in said.err
    assert "Traceback" not in said.err


def test_wrong_inputs_are_told_all_at_once_and_nothing_is_submitted(fresh_labrelay: Command, tmp_path: Path) -> None:
    given = tmp_path / "in.json"
    given.write_text('{"r1": ["/no/such/file"], "pause": "long", "colour": 1}')
    said = fresh_labrelay("submit", "count_reads", "--inputs", given)
    assert said.code == 2
    for words in ("colour", "/no/such/file", "pause", "sample is missing", "r2 is missing"):
        assert words in said.err
    assert fresh_labrelay("runs", "list", "--json").json == []


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"a": ', "\ufffe"])
def test_a_file_of_inputs_that_is_no_json_object_is_refused(
    content: str, fresh_labrelay: Command, tmp_path: Path
) -> None:
    given = tmp_path / "in.json"
    given.write_text(content)
    said = fresh_labrelay("submit", "count_reads", "--inputs", given)
    assert said.code == 2
    assert "in.json" in said.err
    assert "Traceback" not in said.err


TOO_MUCH = {
    ("reprocess", "--run", "pln_1", "--budget", "5", "--at-once", "20"): "--budget, --at-once does not go with --run",
    ("reprocess", "--run", "pln_1", "--cause", "sample"): "--cause does not go with --run",
    ("reprocess", "--resume", "pln_1", "--limit", "1"): "--limit does not go with --resume",
    ("reprocess", "--drop", "pln_1", "--budget", "5"): "--budget does not go with --drop",
    ("reprocess", "--plan", "--wait"): "--wait does not go with --plan: it does not wait",
}


@pytest.mark.parametrize("words", TOO_MUCH, ids=" ".join)
def test_an_option_that_would_hold_nothing_is_refused(labrelay: Command, words: tuple[str, ...]) -> None:
    said = labrelay(*words)
    assert (said.code, said.out) == (2, "")
    assert TOO_MUCH[words] in said.err

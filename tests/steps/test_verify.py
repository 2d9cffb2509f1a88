"""`labrelay verify` finds what was changed, removed or put beside a result, and tells what it cannot see."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import shell
from sqlalchemy import text
from tiny_run import TinyLab

from labrelay.model.errors import NotFound, UsageError
from labrelay.model.qc import Verdict
from labrelay.records import audit
from labrelay.steps.home import Home
from labrelay.steps.looking import State
from labrelay.steps.override import override_verdict
from labrelay.steps.results import results_table
from labrelay.steps.verify import VerifiedRun, one_or_all, verify_all, verify_run


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> TinyLab:
    """A laboratory with two results; the tests work on it and put back what they changed."""
    lab = TinyLab(tmp_path_factory.mktemp("lab"))
    with pytest.MonkeyPatch.context() as patch:
        run = shell(patch, lab.home)
        assert run("announce", lab.table).code == 0
        assert run("process", lab.run).code == 0
    return lab


@pytest.fixture
def home(processed: TinyLab) -> Iterator[Home]:
    kept = {path: path.read_bytes() for path in processed.home.rglob("*") if path.is_file() and of_interest(path)}
    opened = processed.open()
    yield opened
    opened.close()
    for path, content in kept.items():
        if path.is_symlink() or not path.exists() or path.read_bytes() != content:
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def of_interest(path: Path) -> bool:
    return bool({"results", "objects"} & set(path.parts)) and ".meta" not in path.parts


@pytest.fixture
def run_id(home: Home) -> str:
    return next(row.run for row in results_table(home) if row.sample == "alpha")


@pytest.fixture
def folder(home: Home) -> Path:
    return home.path / "results" / "tiny-study" / "alpha" / "count_reads-1.0.0"


def states(found: VerifiedRun) -> dict[str, State]:
    return {each.path.rpartition("/")[2]: each.state for each in found.differing}


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_an_untouched_result_is_as_recorded_file_by_file_and_that_somebody_looked_is_on_record(
    home: Home, run_id: str
) -> None:
    found = verify_run(home, run_id, inputs=True)
    assert found.differing == ()
    assert {each.name for each in found.files} == {
        *("metrics", "lengths", "crate", "document"),
        *("input reads.r1", "input reads.r2"),
    }
    assert {each.path.rpartition("/")[2] for each in found.files if each.name == "document"} == {
        *("report.html", "timeline.svg", "main.wdl", "definition.toml"),
    }
    assert {each.by for each in found.files} == {"bytes"}
    with home.records.read() as session:
        last = audit.history(session)[-1]
    assert (last.action, last.entity_id, last.actor) == ("workflow_run.verified", run_id, audit.account())
    assert last.detail == {"files": len(found.files), "differing": 0, "inputs": True, "deep": False}


@pytest.mark.parametrize("name", ["metrics.json", "report.html", "workflow/main.wdl"])
def test_one_changed_byte_is_found_also_when_size_and_time_are_as_before(
    name: str, home: Home, run_id: str, folder: Path
) -> None:
    path = folder / name
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as opened:
        opened.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states(verify_run(home, run_id)) == {path.name: State.CHANGED}


def test_a_removed_file_and_one_that_nobody_has_told_of_are_found(home: Home, run_id: str, folder: Path) -> None:
    (folder / "lengths.txt").unlink()
    (folder / "figures" / "timeline.svg").unlink()
    (folder / "new.txt").write_text("a person's note")
    (folder / "link").symlink_to(folder)
    assert states(verify_run(home, run_id)) == {
        "lengths.txt": State.MISSING,
        "timeline.svg": State.MISSING,
        "new.txt": State.EXTRA,
        "link": State.EXTRA,
    }
    (folder / "new.txt").unlink()
    (folder / "link").unlink()


def test_a_document_that_became_a_link_is_not_followed(home: Home, run_id: str, folder: Path, tmp_path: Path) -> None:
    moved = shutil.move(folder / "report.html", tmp_path / "report.html")
    (folder / "report.html").symlink_to(moved)
    assert states(verify_run(home, run_id)) == {"report.html": State.UNREADABLE}


def test_a_changed_crate_is_found_and_nothing_that_it_says_is_believed(home: Home, run_id: str, folder: Path) -> None:
    path = folder / "ro-crate-metadata.json"
    told = json.loads(path.read_bytes())
    (report,) = [entity for entity in told["@graph"] if entity["@id"] == "report.html"]
    report["sha256"] = "0" * 64
    overwrite(path, json.dumps(told).encode())
    found = verify_run(home, run_id)
    assert states(found) == {"ro-crate-metadata.json": State.CHANGED}
    assert {each.name for each in found.files} == {"metrics", "lengths", "crate"}
    assert str(found.differing[0].why).endswith("were not looked at, nor what lies beside them")
    assert verify_run(home, "alpha") == verify_run(home, str(folder)) == found


def test_a_crate_that_says_something_else_than_the_records_is_found(home: Home, run_id: str) -> None:
    with home.records.write() as session:
        before = session.execute(text("SELECT id, sha256 FROM file WHERE key LIKE '%alpha%metrics.json'")).one()
        session.execute(text("UPDATE file SET sha256 = :other WHERE id = :id"), {"other": "1" * 64, "id": before.id})
    why = {each.why or "" for each in verify_run(home, run_id).differing}
    assert "the crate tells another hash or size than the records" in why
    assert any(reason.startswith("sha256 ") for reason in why)
    with home.records.write() as session:
        session.execute(text("UPDATE file SET sha256 = :sha WHERE id = :id"), {"sha": before.sha256, "id": before.id})
    assert verify_run(home, run_id).differing == ()


def test_inputs_are_looked_at_only_when_asked(home: Home, run_id: str) -> None:
    (reads,) = (home.path / "objects").rglob("alpha*_R2_001.fastq.gz")
    overwrite(reads, reads.read_bytes() + b"\0")
    assert verify_run(home, run_id).differing == ()
    assert states(verify_run(home, run_id, inputs=True)) == {reads.name: State.CHANGED}


def test_all_results_are_looked_at_and_what_differs_is_on_record(home: Home, run_id: str, folder: Path) -> None:
    overwrite(folder / "metrics.json", b"{}")
    found = verify_all(home)
    assert (found.runs, found.differing, [each.run for each in found.wrong]) == (2, 1, [run_id])
    assert found.sentence.endswith("1 differ")
    with home.records.read() as session:
        assert [event.action for event in audit.history(session, limit=2)] == [
            "workflow_run.verified",
            "results.verified",
        ]
    assert verify_all(home, since="2999-01-01").runs == 0


def test_what_cannot_be_meant_is_a_mistake(home: Home) -> None:
    with pytest.raises(NotFound, match="there is no workflow run run_0000"):
        verify_run(home, "run_0000")
    for run, everything in ((None, False), ("run_1", True)):
        with pytest.raises(UsageError, match="name one workflow run, or ask for --all"):
            one_or_all(run, everything, None)


def test_the_command_says_it_in_a_table_and_as_json_and_exits_with_1_when_something_differs(
    home: Home, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labrelay = shell(monkeypatch, home.path)
    said = labrelay("verify", run_id)
    assert said.code == 0
    assert f"{run_id}: 7 looked at, 0 differ" in said.out
    assert labrelay("verify", "--all").out == "2 results, 14 files: all as recorded\n"
    overwrite(folder / "metrics.json", b"{}")
    said = labrelay("verify", run_id, "--json")
    assert (said.code, said.json["differing"]) == (1, 1)
    assert any("changed" in line and "metrics.json" in line for line in labrelay("verify", "--all").out.splitlines())
    assert labrelay("verify", "--since", "2999-01-01").code == 0
    assert labrelay("verify").sentence.startswith("labrelay: name one workflow run")


# The last one: from here on the records name another crate than the files that `home` puts back.
def test_a_result_whose_verdict_a_person_has_set_is_as_recorded(home: Home, run_id: str) -> None:
    before = {each.path for each in verify_run(home, run_id).files}
    override_verdict(home, run_id, Verdict.WARN, "the library was made twice")
    found = verify_run(home, run_id)
    assert (found.differing, {each.path for each in found.files}) == ((), before)

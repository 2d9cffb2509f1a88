"""A result is found by what a person calls it, and explained."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from tiny_run import TinyLab

from labrelay.model.errors import NotFound, UsageError
from labrelay.records.explanation_text import sentences
from labrelay.records.schema import CrateRow, RunIORow, WorkflowRunRow, WorkflowVersionRow
from labrelay.steps.announce import announce
from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.explain import explain
from labrelay.steps.home import Home
from labrelay.steps.named_result import find_thing
from labrelay.steps.process import process
from labrelay.steps.results import results_table, show_result


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    lab = TinyLab(tmp_path_factory.mktemp("lab"))
    opened = lab.open()
    announce(opened, lab.table)
    process(opened, lab.run)
    yield opened
    opened.close()


def run_of(home: Home, sample: str) -> str:
    return next(row.run for row in results_table(home) if row.sample == sample)


def output_of(home: Home, run_id: str, name: str) -> str:
    with home.records.read() as session:
        wanted = (RunIORow.run_id == run_id) & (RunIORow.name == name)
        return session.scalars(select(RunIORow.file_id).where(wanted)).one()


def test_a_run_its_sample_its_path_its_outputs_and_its_crate_are_explained_alike(home: Home) -> None:
    run_id = run_of(home, "alpha")
    told = explain(home, run_id)
    with home.records.read() as session:
        crate = session.scalars(select(CrateRow.file_id).where(CrateRow.run_id == run_id)).one()
    assert explain(home, "alpha") == told
    assert explain(home, run_id[:14]) == told
    assert explain(home, "tiny-study/alpha/count_reads-1.0.0") == told
    assert explain(home, crate) == told
    folder = home.path / "results" / "tiny-study/alpha/count_reads-1.0.0"
    assert explain(home, f"{folder}/") == explain(home, "results/tiny-study/alpha/count_reads-1.0.0") == told
    by_file = explain(home, str(next(folder.glob("**/metrics.json"))))
    assert (by_file.run_id, by_file.file and by_file.file.name) == (run_id, "metrics")
    assert told.experiment == "tiny-study"
    assert [file.reads for source in told.sources for file in source.files] == [50, 50]


def test_a_file_that_is_asked_about_is_told_with_its_output_task_and_checksum(home: Home) -> None:
    file = output_of(home, run_of(home, "alpha"), "metrics")
    told = explain(home, file)
    assert told.file is not None
    (asked, *_rest) = sentences(told)
    assert (
        f"alpha/count_reads-1.0.0/metrics.json ({file}) is the output metrics, made by task count" in asked.sentences[0]
    )
    assert told.file.sha256 in asked.sentences[0]


def test_a_number_that_is_asked_about_is_told_with_where_it_was_read_and_its_limits(home: Home) -> None:
    (asked, *_rest) = sentences(explain(home, "alpha", "read_pairs"))
    assert asked.sentences == (
        "Read pairs is 50, read from metrics at /read_pairs; pass: fail below 1, warn below 40.",
    )


def test_what_is_no_result_is_refused_with_a_sentence(home: Home) -> None:
    with home.records.read() as session:
        reads = session.scalars(select(RunIORow.file_id).where(RunIORow.direction == "in")).first()
    assert reads is not None
    with pytest.raises(
        UsageError, match=f"no workflow run made {reads}, so it is no result: `labrelay lineage {reads}`"
    ):
        explain(home, reads)
    with pytest.raises(NotFound, match="has no number depth; it has read_pairs"):
        explain(home, "alpha", "depth")
    for nothing in ("gamma", "run_0000", "fil_0000000000000000"):
        with pytest.raises(NotFound):
            explain(home, nothing)


def test_a_run_on_files_of_ones_own_names_them_as_inputs_and_not_as_parameters(home: Home, tmp_path: Path) -> None:
    reads = [tmp_path / f"r{mate}.fastq.gz" for mate in (1, 2)]
    for path in reads:
        path.write_bytes(gzip.compress(b"@r/1\nACGT\n+\nIIII\n"))
    given = {"sample": "mine", "r1": [str(reads[0])], "r2": [str(reads[1])]}
    (run_id,) = submit_direct(home, "count_reads", inputs=given).runs
    wait_for(home, [run_id])
    told = explain(home, run_id)
    assert told.sources == ()
    assert [file.name for file in told.others] == ["r1.fastq.gz", "r2.fastq.gz"]
    assert [parameter.name for parameter in told.parameters] == ["sample"]
    text = [sentence for part in sentences(told) for sentence in part.sentences]
    assert "2 files were given that no instrument run of the records holds." in text


def test_lineage_takes_the_name_of_a_result_that_explain_takes(home: Home) -> None:
    run = run_of(home, "alpha")
    with home.records.read() as session:
        path = session.get_one(WorkflowRunRow, run).result_path
        assert {find_thing(home, session, text) for text in ("alpha/count_reads", path, run)} == {run}
        assert find_thing(home, session, "alpha").startswith("smp_"), "a name of its own comes first"
        with pytest.raises(NotFound, match="nothing here has the id or name nobody/count_reads"):
            find_thing(home, session, "nobody/count_reads")


def test_a_sample_with_several_results_is_asked_which(home: Home) -> None:
    submitted = submit_direct(home, "count_reads", subjects=["beta"], settings=["broken=false"])
    wait_for(home, submitted.runs)
    each = r"count_reads 1\.0\.0 in tiny-study \(run_\w+, [-\d]+ [\d:]+ UTC, warn\)"
    for named in ("beta", "beta/count_reads"):
        with pytest.raises(UsageError, match=f"^{named} has 2 results, name one by its run: {each}, {each}$"):
            explain(home, named)
    with home.records.write() as session:
        (mine,) = submitted.runs
        run = session.get_one(WorkflowRunRow, mine)
        version = session.get_one(WorkflowVersionRow, run.workflow_digest)
        columns = {column.name: getattr(version, column.name) for column in WorkflowVersionRow.__table__.columns}
        session.execute(insert(WorkflowVersionRow).values(columns | {"digest": "0" * 64, "name": "another"}))
        run.workflow_digest = "0" * 64
    with pytest.raises(UsageError, match=f"beta/WORKFLOW or its run: .*another 1.0.0 in tiny-study .{mine}"):
        explain(home, "beta")
    assert explain(home, "beta/another").run_id == mine
    other = explain(home, "beta/count_reads").run_id
    assert mine != other == show_result(home, "beta/count_reads").result.run_id
    with pytest.raises(NotFound, match="the sample beta has no recorded result of nothing, it has "):
        explain(home, "beta/nothing")
    with pytest.raises(NotFound, match="there is no sample gone/count_reads"):
        explain(home, "gone/count_reads")

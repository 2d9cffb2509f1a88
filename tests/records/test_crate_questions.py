"""A stranger who reads the crate as RDF gets an answer to each question that Workflow Run RO-Crate is made for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import factory
import pytest
from tiny_run import TinyLab

from labrelay.model.experiment import Sample
from labrelay.model.runs import TaskReport
from labrelay.model.states import RunState
from labrelay.records.crate import write_crate
from labrelay.records.crate_tools import image_of
from labrelay.records.documents import call_name
from labrelay.records.result import InstrumentSource
from labrelay.steps.announce import announce
from labrelay.steps.documents import result_folder
from labrelay.steps.gather import recorded_result
from labrelay.steps.process import process
from labrelay.steps.results import results_table

HERE = Path(__file__).parents[2]
VALIDATOR = HERE / ".venv-crate" / "bin" / "python"
WDL = factory.WDL + "\ntask align {\n  command <<< minimap2 -ax sr >>>\n}\n\ntask call {\n  command <<< true >>>\n}\n"
Answers = dict[str, list[list[str]]]


def in_validators_environment(tool: str, *argv: str) -> str:
    if not VALIDATOR.exists():
        reason = "the crate validator is not installed: make .venv-crate"
        if os.environ.get("LABRELAY_NO_SKIPS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    command = [str(VALIDATOR), str(HERE / "tests" / "tools" / tool), *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(folder: Path) -> Answers:
    answers: Answers = json.loads(in_validators_environment("ask_crate.py", str(folder)))
    return answers


def entities(folder: Path) -> dict[str, dict[str, Any]]:
    graph = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    return {entity["@id"]: entity for entity in graph}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    root = tmp_path_factory.mktemp("crate")
    result = factory.make_result(root, sample="S1", image=factory.IMAGE, rule="measles genomes")
    (result.definition / "main.wdl").write_text(WDL, encoding="utf-8")
    (result.definition / "environment.yml").write_text("name: mapping\n", encoding="utf-8")
    folder = factory.result_folder(root, "S1")
    write_crate(result, folder)
    in_validators_environment("validate_crate.py", str(folder), "provenance-run-crate-0.5")
    return ask(folder)


def test_which_images_the_run_and_its_tasks_used(answers: Answers) -> None:
    assert answers["CQ1 images of the run"] == [["quay.io", "biocontainers/minimap2", "ab" * 32]]
    assert len(answers["CQ1 images of tasks"]) == 4


def test_what_each_task_took_and_for_how_long(answers: Answers) -> None:
    assert ["call-align", "cpu_seconds", "SEC", "15.52"] in answers["CQ2 resources"]
    assert ["call-align", "2026-11-23T14:05:19.050Z", "2026-11-23T14:05:28.750Z"] in answers["CQ5 time of tasks"]
    assert answers["CQ6 time of the run"] == [["2026-11-23T14:05:12.250Z", "2026-11-23T14:05:43.650Z"]]


def test_which_configuration_and_which_environment_a_step_had(answers: Answers) -> None:
    assert [row[0].rsplit("/", 1)[-1] for row in answers["CQ3 configuration"]] == ["definition.toml"]
    assert answers["CQ4 environments"] == [
        ["align", "environment.yml", "application/yaml"],
        ["call", "environment.yml", "application/yaml"],
    ]


def test_whether_it_worked_and_what_went_in_and_came_out(answers: Answers) -> None:
    assert {status for _, status in answers["CQ7 success"]} == {"http://schema.org/CompletedActionStatus"}
    assert {"measles.fasta", "min_depth"} <= {row[0] for row in answers["CQ8 inputs"]}
    assert {"aligned.bam", "variants.vcf", "mean_depth"} <= {row[0] for row in answers["CQ8 outputs"]}


def test_which_version_each_program_has_and_what_a_step_wraps(answers: Answers) -> None:
    assert {("samtools", "1.21"), ("miniwdl", "1.16.0")} <= {(row[0], row[1]) for row in answers["CQ9 versions"]}
    wrapped = {name: (main.rsplit("/", 2)[-2], version) for name, main, version in answers["CQ10 what a step wraps"]}
    assert wrapped["align"] == ("minimap2", "2.28")
    assert wrapped["call"] == ("bcftools", "1.21")


def test_which_input_of_the_run_is_which_of_a_task_and_which_task_feeds_which(answers: Answers) -> None:
    assert ["reads_1", "trim", "reads_1"] in answers["CQ11 where inputs go"]
    assert answers["between steps"] == [
        ["align", "bam", "call", "bam"],
        ["align", "bam", "measure", "bam"],
        ["trim", "trimmed", "align", "reads"],
    ]


def test_who_started_it_by_which_rule_with_which_commands_on_which_flow_cell(answers: Answers) -> None:
    assert answers["who and by which rule"] == [["m.curie", "measles genomes"]]
    assert ["call-measure", "samtools depth -a aligned.bam"] in answers["commands"]
    assert {tuple(row[:4]) for row in answers["instrument"]} == {
        ("190101_M01234_0056_000000000-C4J7H", "MiSeq", "000000000-C4J7H", "S1")
    }


def test_the_crate_of_a_real_run_answers_too_also_when_it_is_made_again_from_the_records(tmp_path: Path) -> None:
    lab = TinyLab(tmp_path)
    home = lab.open()
    announce(home, lab.table)
    process(home, lab.run)
    row = results_table(home)[0]
    folder = result_folder(home, row.result_path)
    in_validators_environment("validate_crate.py", str(folder), "provenance-run-crate-0.5")
    told = ask(folder)
    tasks = {name for name, _ in told["CQ7 success"]}
    assert tasks
    assert {name for name, *_ in told["CQ5 time of tasks"]} == {name for name, _ in told["commands"]} == tasks
    assert told["CQ11 where inputs go"] == [["reads.r1", "count", "r1"], ["reads.r2", "count", "r2"]]
    made = {each["@id"] for each in entities(folder)["lengths.txt"]["exampleOfWork"]}
    assert made == {"#output/lengths", "#tool/count/output/lengths"}
    with home.records.read() as session:
        again = recorded_result(home, session, row.run)
    home.close()
    write_crate(again, folder)
    assert ask(folder) == told


def test_what_a_task_handed_on_comes_from_the_task_and_not_from_the_runs_input(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    trim, align = result.report.tasks[:2]
    handed = str(result.inputs[0].path)
    tasks = (
        trim.model_copy(update={"outputs": {"trimmed": handed}}),
        align.model_copy(update={"inputs": {"reads": handed}}),
    )
    folder = factory.result_folder(tmp_path, "SRR7517490")
    write_crate(result.model_copy(update={"report": result.report.model_copy(update={"tasks": tasks})}), folder)
    graph = entities(folder)
    (connection,) = (graph[each["@id"]] for each in graph["#step/align"]["connection"])
    assert connection["sourceParameter"] == {"@id": "#tool/trim/output/trimmed"}
    assert connection["targetParameter"] == {"@id": "#tool/align/input/reads"}


def test_each_instrument_run_names_its_own_reads_samples_and_lanes(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    one, two = (file.ref.id for file in result.inputs)
    (first,) = result.samples
    second = Sample(experiment_id=result.experiment.id, name="S2")
    runs = (
        InstrumentSource(run_id="R1", platform="illumina", lanes=(1, 2), files=(one,), samples=(first.id,)),
        InstrumentSource(run_id="R2", platform="illumina", lanes=(4,), files=(two,), samples=(second.id,)),
    )
    folder = factory.result_folder(tmp_path, "SRR7517490")
    write_crate(result.model_copy(update={"instrument_runs": runs, "samples": (first, second)}), folder)
    graph = entities(folder)
    for run, file, sample, lanes in (("R1", one, first, "1, 2"), ("R2", two, second, "4")):
        action = graph[f"#instrument-run/{run}"]
        assert [each["@id"] for each in action["result"]] == [f"urn:labrelay:{file}"]
        assert [each["@id"] for each in action["object"]] == [f"#sample/{sample.id}"]
        assert [graph[each["@id"]]["value"] for each in action["additionalProperty"]] == [lanes]


@pytest.mark.parametrize(
    ("declared", "ran", "image"),
    [
        ("quay.io/a/b:1", "bubblewrap", None),
        ("quay.io/a/b:1", "host processes", None),
        ("quay.io/a/b:1", None, None),
        (None, "docker://quay.io/a/b:1", "quay.io/a/b:1"),
        ("quay.io/a/b:1", "sha256:" + "ab" * 32, "quay.io/a/b:1@sha256:" + "ab" * 32),
        (None, "sha256:" + "ab" * 32, "sha256:" + "ab" * 32),
        ("quay.io/a/b:1", "container lab.example:5000/all:2, bubblewrap", "lab.example:5000/all:2"),
    ],
)
def test_an_image_is_claimed_only_when_it_really_ran_the_task(
    declared: str | None, ran: str | None, image: str | None
) -> None:
    task = TaskReport(name="t", state=RunState.COMPLETE, declared_image=declared, ran_in=ran)
    assert image_of(task) == image


def test_a_digest_of_healthomics_is_described_with_the_image_that_was_declared(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    ran = result.report.tasks[1].model_copy(
        update={"declared_image": "quay.io/a/b:1.0", "ran_in": "sha256:" + "cd" * 32, "command": None}
    )
    (result.definition / "main.wdl").write_text(WDL, encoding="utf-8")
    folder = factory.result_folder(tmp_path, "SRR7517490")
    write_crate(result.model_copy(update={"report": result.report.model_copy(update={"tasks": (ran,)})}), folder)
    graph = entities(folder)
    image = graph[graph["#task/call-align"]["containerImage"]["@id"]]
    assert (image["registry"], image["name"], image["tag"], image["sha256"]) == ("quay.io", "a/b", "1.0", "cd" * 32)
    # The engine does not tell the command: the task's own text in the definition says what it calls.
    assert graph["#tool/align"]["mainEntity"] == {"@id": "#software/minimap2/2.28"}


def test_a_nextflow_process_has_the_environment_that_lies_beside_it(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    (result.definition / "main.wdl").unlink()
    module = result.definition / "modules" / "map"
    module.mkdir(parents=True)
    (result.definition / "main.nf").write_text("include { MAP } from './modules/map'\nworkflow { MAP() }\n")
    (result.definition / "nextflow.config").write_text("docker.enabled = true\n")
    (module / "main.nf").write_text("process MAP {\n  script: 'minimap2 x'\n}\n")
    (module / "environment.yml").write_text("dependencies: [minimap2]\n")
    tasks = tuple(
        result.report.tasks[1].model_copy(update={"name": name, "command": "minimap2 x"})
        for name in ("LAB:MAP (s1)", "LAB:MAP (s2), try 2")
    )
    told = result.workflow.model_copy(update={"language": "NEXTFLOW", "main": "main.nf"})
    changed = {"workflow": told, "report": result.report.model_copy(update={"tasks": tasks})}
    folder = factory.result_folder(tmp_path, "SRR7517490")
    write_crate(result.model_copy(update=changed), folder)
    in_validators_environment("validate_crate.py", str(folder), "provenance-run-crate-0.5")
    graph = entities(folder)
    step = graph["#step/LAB%3AMAP"]
    assert step["buildInstructions"] == [{"@id": "workflow/modules/map/environment.yml"}]
    assert {"@id": "workflow/nextflow.config"} in graph[f"#organize/{result.run_id}"]["actionOption"]
    assert call_name("LAB:MAP (s2), try 2") == call_name("LAB:MAP (s1)") == "LAB:MAP"

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import factory
import pytest
from rocrate.rocrate import ROCrate

from labrelay.model.errors import StorageFailed
from labrelay.model.states import RunState
from labrelay.records.crate import write_crate
from labrelay.records.documents import document

HERE = Path(__file__).parents[2]
VALIDATOR = HERE / ".venv-crate" / "bin" / "python"
HOSTILE = (
    '<script>alert(1)</script>"',
    "=cmd()|' /C calc'!A0",
    "\u202egnp.exe",
    "line\none",
    "../../etc/passwd",
    "Größe µ 試料",
)
Entities = dict[str, dict[str, Any]]


def entities(folder: Path) -> Entities:
    graph = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    return {entity["@id"]: entity for entity in graph}


def of_type(graph: Entities, name: str) -> list[dict[str, Any]]:
    return [e for e in graph.values() if name in (e["@type"] if isinstance(e["@type"], list) else [e["@type"]])]


def refs(value: Any) -> list[str]:
    return [item["@id"] for item in (value if isinstance(value, list) else [value] if value else [])]


def facts(graph: Entities, action: dict[str, Any]) -> dict[str, Any]:
    return {graph[i]["name"]: graph[i]["value"] for i in refs(action["additionalProperty"])}


def written(root: Path, sample: str = "SRR7517490", **changes: Any) -> tuple[Path, Entities]:
    folder = factory.result_folder(root, sample)
    write_crate(factory.make_result(root, sample=sample, **changes), folder)
    return folder, entities(folder)


def validate(folder: Path, profile: str) -> subprocess.CompletedProcess[str]:
    if not VALIDATOR.exists():
        reason = "the crate validator is not installed: make .venv-crate"
        if os.environ.get("LABRELAY_NO_SKIPS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    command = [str(VALIDATOR), str(HERE / "tests/tools/validate_crate.py"), str(folder), profile]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_validator_accepts_a_crate_with_tasks_and_documents(tmp_path: Path) -> None:
    folder = factory.result_folder(tmp_path, "S1")
    report = folder / "report.html"
    result = factory.make_result(tmp_path, sample="S1", image=factory.IMAGE)
    report.write_text("<p>report</p>", encoding="utf-8")
    write_crate(result, folder, [document(report, "Report")])
    outcome = validate(folder, "provenance-run-crate-0.5")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_validator_accepts_a_crate_without_tasks_and_with_hostile_names(tmp_path: Path) -> None:
    folder, _ = written(tmp_path, HOSTILE[0], experiment=HOSTILE[1], tasks=False)
    outcome = validate(folder, "workflow-run-crate-0.5")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_validator_accepts_the_crate_of_one_command_which_says_that_it_is_no_workflow_of_steps(
    tmp_path: Path,
) -> None:
    result = factory.make_result(tmp_path, sample="S1")
    toml = 'name = "one"\ncommand = ["samtools", "stats"]\n'
    (result.definition / "definition.toml").write_text(toml, encoding="utf-8")
    (result.definition / "main.wdl").unlink()
    task = result.report.tasks[3].model_copy(update={"name": "one", "command": "samtools stats /task/inputs/0/a.bam"})
    told = result.workflow.model_copy(update={"language": "COMMAND", "main": "definition.toml"})
    report = result.report.model_copy(update={"tasks": (task,), "engine": "labrelay 0.1.0"})
    folder = factory.result_folder(tmp_path, "S1")
    write_crate(result.model_copy(update={"workflow": told, "report": report}), folder)
    outcome = validate(folder, "provenance-run-crate-0.5")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    graph = entities(folder)
    workflow = graph["workflow/definition.toml"]
    assert workflow["description"].startswith("One command of a command-line tool, and no workflow of several steps")
    assert graph[workflow["programmingLanguage"]["@id"]]["alternateName"] == "COMMAND"
    (tool,) = refs(workflow["hasPart"])
    assert graph[tool]["softwareRequirements"] == [{"@id": "#software/samtools/1.21"}]


def drop_language(graph: Entities) -> None:
    del graph["workflow/main.wdl"]["programmingLanguage"]


def drop_instrument(graph: Entities) -> None:
    del graph["#control/call-align"]["instrument"]


@pytest.mark.parametrize("damage", [drop_language, drop_instrument])
def test_the_validator_refuses_a_damaged_crate(tmp_path: Path, damage: Callable[[Entities], None]) -> None:
    folder, graph = written(tmp_path)
    damage(graph)
    path = folder / "ro-crate-metadata.json"
    document_ = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document_, "@graph": list(graph.values())}), encoding="utf-8")
    outcome = validate(folder, "provenance-run-crate-0.5")
    assert outcome.returncode == 1
    assert "refused" in outcome.stdout


def test_the_validator_refuses_a_crate_whose_output_is_gone(tmp_path: Path) -> None:
    folder, _ = written(tmp_path)
    (folder / "aligned.bam").unlink()
    assert "aligned.bam" in validate(folder, "provenance-run-crate-0.5").stdout


def test_the_same_result_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    one, _ = written(tmp_path / "a")
    two, _ = written(tmp_path / "b")
    assert (one / "ro-crate-metadata.json").read_bytes() == (two / "ro-crate-metadata.json").read_bytes()


def test_every_file_has_size_and_sha256_and_those_in_the_folder_match_the_disk(tmp_path: Path) -> None:
    folder, graph = written(tmp_path)
    files = of_type(graph, "File")
    local = [f for f in files if not f["@id"].startswith("urn:")]
    assert len(local) == 9
    for file in local:
        content = (folder / unquote(file["@id"])).read_bytes()
        assert (file["sha256"], file["contentSize"]) == (hashlib.sha256(content).hexdigest(), str(len(content)))
    away = [f for f in files if f["@id"].startswith("urn:")]
    assert {f["name"] for f in away} == {"measles.fasta", *(f["name"] for f in away if f["name"].endswith("fastq.gz"))}
    assert all(len(f["sha256"]) == 64 and int(f["contentSize"]) > 0 for f in away)


def test_the_crate_tells_how_long_workflow_and_tasks_took(tmp_path: Path) -> None:
    _, graph = written(tmp_path)
    run = next(a for a in of_type(graph, "CreateAction") if a["instrument"]["@id"] == "workflow/main.wdl")
    assert (run["startTime"], run["endTime"]) == ("2026-11-23T14:05:12.250Z", "2026-11-23T14:05:43.650Z")
    align = graph["#task/call-align"]
    assert (align["startTime"], align["endTime"]) == ("2026-11-23T14:05:19.050Z", "2026-11-23T14:05:28.750Z")


def test_the_crate_tells_the_container_that_ran_a_task_with_its_digest(tmp_path: Path) -> None:
    _, graph = written(tmp_path, image=factory.IMAGE)
    image = graph[graph["#task/call-align"]["containerImage"]["@id"]]
    assert (image["registry"], image["name"]) == ("quay.io", "biocontainers/minimap2")
    assert image["sha256"] == "ab" * 32


def test_the_crate_claims_no_container_when_a_sandbox_ran_the_task(tmp_path: Path) -> None:
    _, graph = written(tmp_path)
    align = graph["#task/call-align"]
    assert "containerImage" not in align
    assert facts(graph, align)["ran in"] == "bubblewrap"
    assert facts(graph, align)["declared container image"] == factory.IMAGE


def test_the_crate_tells_command_tool_versions_exit_code_and_use_of_a_task(tmp_path: Path) -> None:
    _, graph = written(tmp_path)
    align = graph["#task/call-align"]
    assert facts(graph, align)["command"].startswith("minimap2 -ax sr")
    assert facts(graph, align)["exit code"] == 0
    tool = graph[align["instrument"]["@id"]]
    needs = {(graph[i]["name"], graph[i]["version"]) for i in refs(tool["softwareRequirements"])}
    assert needs == {("minimap2", "2.28"), ("samtools", "1.21")}
    usage = {graph[i]["propertyID"]: graph[i]["value"] for i in refs(align["resourceUsage"])}
    assert usage == {"cpu_seconds": 15.52, "peak_memory_bytes": 388_000_000}


def test_a_task_reads_what_the_task_before_it_wrote(tmp_path: Path) -> None:
    _, graph = written(tmp_path)
    trimmed = set(refs(graph["#task/call-trim"]["result"]))
    assert trimmed <= set(refs(graph["#task/call-align"]["object"]))
    assert refs(graph["#task/call-align"]["result"]) == ["aligned.bam"]
    assert "aligned.bam" in refs(graph["#task/call-measure"]["object"])


def test_outputs_lead_back_to_reads_sample_and_instrument(tmp_path: Path) -> None:
    _, graph = written(tmp_path)
    run = next(a for a in of_type(graph, "CreateAction") if "variants.vcf" in refs(a["result"]) and "agent" in a)
    reads = {i for i in refs(run["object"]) if graph[i].get("name", "").endswith(".fastq.gz")}
    sequenced = graph["#instrument-run/190101_M01234_0056_000000000-C4J7H"]
    assert reads == set(refs(sequenced["result"]))
    assert [graph[i]["name"] for i in refs(sequenced["object"])] == ["SRR7517490"]
    assert graph[sequenced["instrument"]["@id"]]["serialNumber"] == "M01234"
    assert graph[run["agent"]["@id"]]["name"] == "m.curie"


def test_formal_parameters_carry_what_was_asked(tmp_path: Path) -> None:
    _, graph = written(tmp_path)
    workflow = graph["workflow/main.wdl"]
    names = {graph[i]["name"]: graph[i] for i in refs(workflow["input"])}
    assert set(names) == {"reads_1", "reads_2", "reference", "min_depth", "min_fraction", "steps"}
    assert names["min_depth"]["additionalType"] == "Integer"
    assert [graph[i]["value"] for i in refs(names["min_fraction"]["workExample"])] == [0.75]
    assert graph[workflow["programmingLanguage"]["@id"]]["version"] == "1.0"


def test_metrics_carry_value_unit_and_what_they_were_judged_by(tmp_path: Path) -> None:
    _, graph = written(tmp_path)
    breadth = graph["#metric/sample/breadth_10x_percent"]
    assert (breadth["value"], breadth["unitText"]) == (96.4, "percent")
    assert breadth["description"] == "Verdict warn (fail below 90 %, warn below 98 %)"
    assert graph["#metric/verdict"]["value"] == "warn"


def test_a_failed_task_says_so_with_its_last_words(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    broken = result.report.tasks[1].model_copy(
        update={"state": RunState.EXECUTOR_ERROR, "exit_code": 137, "stderr_tail": "Killed"}
    )
    report = result.report.model_copy(update={"state": RunState.EXECUTOR_ERROR, "tasks": (broken,), "failure": "no"})
    folder = factory.result_folder(tmp_path, "SRR7517490")
    write_crate(result.model_copy(update={"report": report}), folder)
    action = entities(folder)["#task/call-align"]
    assert action["actionStatus"]["@id"].endswith("FailedActionStatus")
    assert action["error"] == "Killed"


def test_shards_of_a_scatter_share_one_tool_and_one_step(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    align = result.report.tasks[1]
    shards = tuple(align.model_copy(update={"name": f"call-align-{n}"}) for n in range(3))
    folder = factory.result_folder(tmp_path, "SRR7517490")
    write_crate(result.model_copy(update={"report": result.report.model_copy(update={"tasks": shards})}), folder)
    graph = entities(folder)
    assert [e["name"] for e in of_type(graph, "HowToStep")] == ["align"]
    assert {graph[i]["instrument"]["@id"] for i in (f"#task/call-align-{n}" for n in range(3))} == {"#tool/align"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_and_survive_a_reader(tmp_path: Path, name: str) -> None:
    folder, graph = written(tmp_path, name, experiment=name)
    sample = of_type(graph, "Sample")[0]
    assert sample["name"] == name
    assert ROCrate(folder).root_dataset["name"].startswith(f"{name}: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["definition", "objects", "references", "results"]


def test_the_subject_of_a_sample_stays_out_of_the_crate(tmp_path: Path) -> None:
    folder, _ = written(tmp_path)
    assert "patient 12" not in (folder / "ro-crate-metadata.json").read_text(encoding="utf-8")


def test_a_licence_url_becomes_an_entity_and_none_is_said_in_words(tmp_path: Path) -> None:
    folder, graph = written(tmp_path)
    assert "ask the owner" in graph["./"]["license"]
    url = "https://creativecommons.org/licenses/by/4.0/"
    write_crate(factory.make_result(tmp_path), folder, licence=url)
    assert entities(folder)["./"]["license"] == {"@id": url}


def test_without_the_main_file_of_the_workflow_nothing_is_written(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    shutil.rmtree(result.definition)
    folder = factory.result_folder(tmp_path, "SRR7517490")
    with pytest.raises(StorageFailed, match=r"lacks main\.wdl"):
        write_crate(result, folder)
    assert not (folder / "ro-crate-metadata.json").exists()


def test_a_document_outside_the_folder_is_refused(tmp_path: Path) -> None:
    stray = tmp_path / "report.html"
    stray.write_text("x", encoding="utf-8")
    folder = factory.result_folder(tmp_path, "SRR7517490")
    with pytest.raises(StorageFailed, match="outside the result's folder"):
        write_crate(factory.make_result(tmp_path), folder, [document(stray, "Report")])

"""The Nextflow twin of viral_variants says, asks and finds what the WDL does."""

from __future__ import annotations

import gzip
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest

from labrelay.model.runs import RunReport
from labrelay.model.states import RunState
from labrelay.workflows.definition import Definition
from labrelay.workflows.document import load_document
from labrelay.workflows.inputs import SampleInputs
from labrelay.workflows.nextflow.runtime import Nextflow
from labrelay.workflows.registry import Registry
from labrelay.workflows.schema import input_schema
from tests.workflows.conftest import Lab
from tests.workflows.viral import BASECALLS, output, run_viral, viral_request

# Blanks, quotes and what a shell would act on; a pipeline that refused wildcards could stage any of it.
ODD = " '\"$(touch owned)`touch owned`;!#%&+<=>@\\^_|~ ü"
HEREDOC = re.compile(r"<<'PYTHON'\n(.*?)\n *PYTHON\n", re.DOTALL)
# What has to be the same byte for byte. VCF and BAM headers hold command lines, so of these the records are compared.
SAME_BYTES = ("variants", "consensus", "depth", "metrics")


@pytest.fixture
def nextflow_lab(nextflow: Nextflow, make_lab: Callable[..., Lab]) -> Lab:
    assert nextflow.version
    return make_lab("host")


@pytest.fixture(scope="module")
def twins() -> tuple[Definition, Definition]:
    registry = Registry(Path())
    return registry.get("viral_variants"), registry.get("viral_variants_nf")


def records(report: RunReport) -> tuple[list[str], list[str]]:
    """Return the lines of the VCF from its column names on, and the alignments as text."""
    with gzip.open(output(report, "vcf"), "rt") as handle:
        variants = [line for line in handle if not line.startswith("##")]
    with pysam.AlignmentFile(str(output(report, "bam")), "rb") as bam:
        return variants, [alignment.to_string() for alignment in bam]


def assert_same(wdl: RunReport, twin: RunReport) -> None:
    assert [output(twin, name).read_bytes() for name in SAME_BYTES] == [
        output(wdl, name).read_bytes() for name in SAME_BYTES
    ]
    assert records(twin) == records(wdl)
    assert twin.tools == wdl.tools
    assert twin.tools
    assert {file.output: file.task for file in twin.files} == {file.output: file.task for file in wdl.files}
    assert [task.name for task in twin.tasks] == [task.name for task in wdl.tasks]


def test_both_find_the_same_in_real_reads(nextflow_lab: Lab) -> None:
    r1, r2 = (str(next(BASECALLS.glob(f"SRR7517490_*_R{mate}_001.fastq.gz"))) for mate in (1, 2))
    sample = SampleInputs(name="SRR7517490", id="smp_1", r1=(r1,), r2=(r2,))
    wdl, twin = run_viral(nextflow_lab, sample), run_viral(nextflow_lab, sample, "viral_variants_nf")
    assert_same(wdl, twin)
    assert len(records(twin)[0]) == 1 + 269


def test_lanes_of_one_name_and_hostile_names_do_nothing_but_give_the_same(nextflow_lab: Lab, tmp_path: Path) -> None:
    lanes: list[tuple[str, ...]] = []
    for mate in (1, 2):
        packed = next(BASECALLS.glob(f"SRR7517490_*_R{mate}_001.fastq.gz")).read_bytes()
        reads = gzip.decompress(packed).splitlines(keepends=True)
        paths = [tmp_path / f"{lane}{ODD}" / f"same{ODD}{mate}.fastq" for lane in range(11)]
        for number, path in enumerate(paths):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(reads[400 * number : 400 * (number + 1)]))
        lanes.append(tuple(map(str, paths)))
    sample = SampleInputs(name="a'; touch owned; $(touch owned) ${HOME} \"b 😀", id="smp_1", r1=lanes[0], r2=lanes[1])
    wdl, twin = run_viral(nextflow_lab, sample), run_viral(nextflow_lab, sample, "viral_variants_nf")
    assert_same(wdl, twin)
    assert json.loads(output(twin, "metrics").read_bytes())["read_pairs"] == 1100
    assert output(twin, "consensus").read_text().startswith(">a___touch_owned____touch_owned____HOME___b__ ")
    assert not list(tmp_path.rglob("owned"))


def test_a_sample_without_reads_gives_the_same(nextflow_lab: Lab, tmp_path: Path) -> None:
    empty = tmp_path / "empty.fastq.gz"
    empty.write_bytes(gzip.compress(b""))
    sample = SampleInputs(name="empty", id="smp_1", r1=(str(empty),), r2=(str(empty),))
    assert_same(run_viral(nextflow_lab, sample), run_viral(nextflow_lab, sample, "viral_variants_nf"))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"min_depth": "5; touch owned"}, "The parameter min_depth is 5; touch owned, which is no whole number"),
        ({"min_allele_fraction": "most"}, "The parameter min_allele_fraction is most, which is no number"),
        ({"reference": "/genomes/*.fasta"}, r"The parameter reference has a path with \* \? \[ \] \{ \} or control"),
        ({"r2": ["/dev/null", "/dev/null"]}, "There are 1 files of first mates and 2 of second mates; each lane needs"),
    ],
)
def test_what_no_schema_has_checked_is_refused_before_a_task_starts(
    nextflow_lab: Lab, tmp_path: Path, changed: dict[str, object], sentence: str
) -> None:
    reads = tmp_path / "reads.fastq"
    reads.write_text("")
    sample = SampleInputs(name="s", id="smp_1", r1=(str(reads),), r2=(str(reads),))
    token = nextflow_lab.engine.submit(viral_request(nextflow_lab, sample, "viral_variants_nf", **changed))
    assert nextflow_lab.wait(token, 60).state is RunState.EXECUTOR_ERROR
    report = nextflow_lab.engine.report(token)
    assert re.search(sentence, str(report.failure)), report.failure
    assert not report.tasks
    assert not list(tmp_path.rglob("owned"))


def test_both_say_the_same_of_inputs_metrics_tables_and_figures(twins: tuple[Definition, Definition]) -> None:
    wdl, twin = twins
    for part in ("inputs", "metrics", "thresholds", "tables", "figures", "scope", "version", "description"):
        assert getattr(twin, part) == getattr(wdl, part), part
    told = {name: spec.model_copy(update={"path": None}) for name, spec in twin.outputs.items()}
    del told["tool_versions"]
    assert told == wdl.outputs


def test_the_schema_and_the_configuration_ask_what_the_wdl_asks(twins: tuple[Definition, Definition]) -> None:
    wdl, twin = twins
    schema = json.loads((twin.folder / "nextflow_schema.json").read_text())
    shapes = {name: shape for group in schema["$defs"].values() for name, shape in group["properties"].items()}
    required = {name for group in schema["$defs"].values() for name in group.get("required", ())}
    theirs = input_schema(load_document(wdl.folder, wdl.main))
    asked = {name.removeprefix("viral_variants."): shape for name, shape in theirs["properties"].items()}
    assert set(shapes) - {"outdir"} == {name for name in asked if "." not in name}
    assert {f"viral_variants.{name}" for name in required} == set(theirs["required"])
    same = ("type", "format", "default", "description")
    for name in set(shapes) - {"outdir"}:
        assert [shapes[name].get(key) for key in same] == [asked[name].get(key) for key in same], name

    params = re.search(r"^params \{\n(.*?)^\}", (twin.folder / "nextflow.config").read_text(), re.DOTALL | re.MULTILINE)
    assert params is not None
    set_there = dict(re.findall(r"^ +(\w+) += (.*)$", params[1], re.MULTILINE))
    wanted = {name: json.dumps(shape.get("default")).replace('"', "'") for name, shape in shapes.items()}
    assert set_there == wanted


def test_the_steps_have_the_same_images_and_the_same_python(twins: tuple[Definition, Definition]) -> None:
    wdl, twin = ((d.folder / d.main).read_text() for d in twins)
    images = re.findall(r"container '(.*)'", twin)
    assert images == re.findall(r'container: "(.*)"', wdl)
    python = [HEREDOC.search(text) for text in (wdl, twin)]
    assert None not in python
    # Nextflow's script is a Groovy string, in which a backslash is written twice.
    ours, theirs = (textwrap.dedent(found[1]) for found in python if found)
    assert theirs.replace("\\\\", "\\") == ours

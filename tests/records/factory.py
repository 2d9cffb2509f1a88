"""A realistic result, small: two samples of one virus-like genome, with the files on disk that it names."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from labrelay.model.experiment import Experiment, Sample
from labrelay.model.files import FileRef, FileRole
from labrelay.model.qc import QCMetric, Threshold, Verdict, judge_all, worst
from labrelay.model.reads import Contig
from labrelay.model.runs import OutputFile, RunReport, TaskReport, WorkflowVersion, run_id_of
from labrelay.model.states import RunState
from labrelay.records.result import InstrumentSource, ReferenceUsed, Result, ResultFile

START = datetime(2026, 11, 23, 14, 5, 12, 250_000, tzinfo=UTC)
GENOME = 15_894
CONTIG = "MH356245.1"
GENES = (
    ("N", 108, 1685),
    ("P", 1807, 3330),
    ("M", 3438, 4445),
    ("F", 5449, 7110),
    ("H", 7271, 9124),
    ("L", 9234, 15785),
)
WDL = "version 1.0\n\nworkflow viral_variants {\n  input { File reads_1 File reads_2 File reference }\n}\n"
IMAGE = "quay.io/biocontainers/minimap2@sha256:" + "ab" * 32


def write_file(path: Path, content: str | bytes, storage: str = "objects", key: str | None = None) -> FileRef:
    """Write a file and return the reference that a folder store would give it."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return FileRef(storage=storage, key=key or path.name, version=sha256, sha256=sha256, size=len(data))


def depth_at(position: int) -> int:
    """A coverage with amplicon waves, a dropout, and thin ends; from 1."""
    if 8_900 <= position < 9_180:
        return 4
    edge = min(position, GENOME - position) / 250
    return int(min(1.0, edge) * (380 + 160 * math.sin(position / 310) + 60 * math.sin(position / 47)))


def variant_rows() -> list[tuple[Any, ...]]:
    """Variants with the columns that the workflow's table has."""
    rows: list[tuple[Any, ...]] = []
    for index, position in enumerate(range(257, GENOME, 391)):
        gene = next((g for g, start, end in GENES if start <= position <= end), "")
        fraction = 0.42 if index % 9 == 4 else 0.998 - 0.002 * (index % 7)
        change = f"p.Ala{(position % 500) + 1}Val" if gene and index % 3 else ""
        rows.append((CONTIG, position, "C", "T", 225.4, depth_at(position), fraction, gene, change))
    return rows


def table(header: str, rows: Sequence[Sequence[Any]]) -> str:
    """Return tab-separated text."""
    return "\n".join([header, *("\t".join(str(cell) for cell in row) for row in rows)]) + "\n"


def make_outputs(folder: Path, work: str) -> tuple[list[ResultFile], list[OutputFile]]:
    """Write the outputs into the result's folder; return them as stored and as the engine named them."""
    gff = "##gff-version 3\n" + "".join(
        f"{CONTIG}\tGenBank\tgene\t{start}\t{end}\t.\t+\t.\tID=gene-{name};Name={name}\n" for name, start, end in GENES
    )
    contents = {
        "alignment": ("aligned.bam", b"BAM\x01" + bytes(4000), "align"),
        "coverage": (
            "coverage.tsv",
            table("chrom\tpos\tdepth", [(CONTIG, p, depth_at(p)) for p in range(1, GENOME + 1)]),
            "measure",
        ),
        "variants": ("variants.vcf", "##fileformat=VCFv4.2\n", "call"),
        "variants_table": (
            "variants.tsv",
            table("chrom\tpos\tref\talt\tqual\tdepth\tallele_fraction\tgene\taa_change", variant_rows()),
            "call",
        ),
        "annotation": ("genes.gff3", gff, "annotate"),
        "consensus": ("consensus.fasta", ">sample\n" + "ACGT" * 200 + "\n", "call"),
        "metrics_json": ("metrics.json", json.dumps({"mapped_percent": 98.73}) + "\n", "measure"),
    }
    stored, named = [], []
    for name, (file_name, content, task) in contents.items():
        path = folder / file_name
        ref = write_file(path, content, key=f"results/{folder.name}/{file_name}")
        stored.append(ResultFile(name=name, role=FileRole.OUTPUT, ref=ref, path=path, task=task))
        named.append(OutputFile(output=name, path=f"{work}/{file_name}", task=task))
    return stored, named


def make_tasks(work: str, reads: list[ResultFile], reference: ResultFile, image: str | None) -> tuple[TaskReport, ...]:
    """Four tasks as an engine reports them: intermediates by path, measured and unmeasured."""
    plan: list[tuple[str, str, float, float, dict[str, Any], dict[str, Any]]] = [
        (
            "call-trim",
            "cutadapt -q 20 -o t_1.fq.gz -p t_2.fq.gz r1 r2",
            0.4,
            6.1,
            {"reads_1": str(reads[0].path), "reads_2": str(reads[1].path), "min_quality": 20},
            {"trimmed": [f"{work}/t_1.fq.gz", f"{work}/t_2.fq.gz"]},
        ),
        (
            "call-align",
            "minimap2 -ax sr ref.fa t_1.fq.gz t_2.fq.gz | samtools sort -o aligned.bam",
            6.8,
            9.7,
            {"reads": [f"{work}/t_1.fq.gz", f"{work}/t_2.fq.gz"], "reference": str(reference.path)},
            {"bam": f"{work}/aligned.bam"},
        ),
        (
            "call-call",
            "bcftools mpileup -f ref.fa aligned.bam | bcftools call -mv",
            16.9,
            12.2,
            {"bam": f"{work}/aligned.bam", "reference": str(reference.path), "min_depth": 10},
            {"vcf": f"{work}/variants.vcf", "table": f"{work}/variants.tsv", "consensus": f"{work}/consensus.fasta"},
        ),
        (
            "call-measure",
            "samtools depth -a aligned.bam",
            17.0,
            3.3,
            {"bam": f"{work}/aligned.bam"},
            {"coverage": f"{work}/coverage.tsv", "mean_depth": 371.2},
        ),
    ]
    return tuple(
        TaskReport(
            name=name,
            state=RunState.COMPLETE,
            started=START + timedelta(seconds=begin),
            ended=START + timedelta(seconds=begin + seconds),
            exit_code=0,
            command=command,
            declared_image=IMAGE,
            ran_in=image or "bubblewrap",
            cpus=2,
            memory_bytes=2 << 30,
            cpu_seconds=round(seconds * 1.6, 2),
            peak_memory_bytes=int(seconds * 40e6),
            inputs=inputs,
            outputs=outputs,
        )
        for name, command, begin, seconds, inputs, outputs in plan
    )


METRICS = (
    ("reads", 40_540.0, "count"),
    ("mapped_percent", 98.73, "percent"),
    ("mean_depth", 371.2, "x"),
    ("breadth_10x_percent", 96.4, "percent"),
    ("variants", 40.0, "count"),
    ("q30_percent", 91.26, "percent"),
)
THRESHOLDS = (
    Threshold(metric="mapped_percent", fail_below=50, warn_below=90),
    Threshold(metric="mean_depth", fail_below=20, warn_below=50),
    Threshold(metric="breadth_10x_percent", fail_below=90, warn_below=98),
)
LABELS = {"breadth_10x_percent": "Breadth at 10×", "q30_percent": "Bases ≥ Q30"}


def make_result(
    root: Path,
    *,
    sample: str = "SRR7517490",
    experiment: str = "measles-2018",
    tasks: bool = True,
    image: str | None = None,
    metrics: Sequence[tuple[str, float | None, str]] = METRICS,
    **changes: Any,
) -> Result:
    """Return a result whose folder is `root/results/<slug>`, with every file that it names."""
    key = hashlib.sha256(f"{experiment}/{sample}".encode()).hexdigest()
    folder = result_folder(root, sample)
    work = f"/home/lab/runs/{key[:12]}/work"
    reads = [
        ResultFile(
            name=f"reads_{mate}",
            role=FileRole.READS,
            path=root / "objects" / f"{key[:8]}_R{mate}.fastq.gz",
            ref=write_file(
                root / "objects" / f"{key[:8]}_R{mate}.fastq.gz",
                f"reads {mate} of {key}".encode(),
                key=f"runs/190101/{key[:8]}_R{mate}.fastq.gz",
            ),
        )
        for mate in (1, 2)
    ]
    fasta = root / "references" / "measles.fasta"
    reference = ResultFile(
        name="reference",
        role=FileRole.REFERENCE,
        path=fasta,
        ref=write_file(fasta, f">{CONTIG}\n{'ACGT' * 40}\n", storage="references"),
    )
    definition = root / "definition"
    write_file(definition / "main.wdl", WDL)
    write_file(definition / "definition.toml", 'name = "viral_variants"\n')
    outputs, named = make_outputs(folder, work)
    owner = Experiment(name=experiment, title="Measles genomes, outbreak 2018", owner="m.curie", external_id="ELN-0042")
    values = {name: value for name, value, _ in metrics}
    verdicts = judge_all(values, THRESHOLDS)
    report = RunReport(
        state=RunState.COMPLETE,
        started=START,
        ended=START + timedelta(seconds=31.4),
        engine="miniwdl 1.16.0",
        sandbox="bubblewrap",
        files=tuple(named),
        values={"mean_depth": 371.2},
        tasks=make_tasks(work, reads, reference, image) if tasks else (),
        tools={"bcftools": "1.21", "cutadapt": "5.1", "minimap2": "2.28", "samtools": "1.21"},
    )
    fields: dict[str, Any] = {
        "run_id": run_id_of(key),
        "key": key,
        "attempt": 1,
        "experiment": owner,
        "samples": (Sample(experiment_id=owner.id, name=sample, aliases=(f"{sample}-a",), subject="patient 12"),),
        "instrument_runs": (
            InstrumentSource(
                run_id="190101_M01234_0056_000000000-C4J7H",
                platform="illumina",
                instrument_model="MiSeq",
                instrument_serial="M01234",
                flow_cell="000000000-C4J7H",
                started=datetime(2019, 1, 1, 9, tzinfo=UTC),
            ),
        ),
        "workflow": WorkflowVersion(
            name="viral_variants", version="1.0.0", digest="cd" * 32, language="WDL", main="main.wdl"
        ),
        "workflow_title": "Viral variants by mapping to a reference",
        "definition": definition,
        "parameters": {"min_depth": 10, "min_fraction": 0.75, "primers": None, "steps": ["trim", "call"]},
        "reference": ReferenceUsed(
            id="ref_0123456789abcdef",
            name="measles-D8",
            file=reference,
            contigs=(Contig(name=CONTIG, length=GENOME, md5="0" * 32),),
        ),
        "inputs": tuple(reads),
        "outputs": tuple(outputs),
        "metrics": tuple(QCMetric(name=n, value=v, unit=u, scope="sample") for n, v, u in metrics),
        "thresholds": THRESHOLDS,
        "verdicts": verdicts,
        "verdict": worst(list(verdicts.values()) or [Verdict.NONE]),
        "labels": LABELS,
        "report": report,
        "started": START,
        "ended": START + timedelta(seconds=31.4),
        "started_by": "m.curie",
    }
    return Result(**{**fields, **changes})


def result_folder(root: Path, sample: str) -> Path:
    """Return where the result of this sample lies below `root`."""
    return root / "results" / hashlib.sha256(sample.encode()).hexdigest()[:10]

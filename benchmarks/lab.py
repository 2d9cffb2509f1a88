"""A lab to measure: a MiSeq run folder of simulated reads, a small reference, a two-task workflow, and homes.

Reads are 150 bp pairs of a random 5 kb genome with one error in two hundred bases; the same arguments give the same
bytes. The workflow trims (cutadapt) and aligns, sorts and indexes (minimap2 and samtools, or our stand-ins for them).
"""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np

from labrelay.steps.announce import announce
from labrelay.steps.home import init_home, open_home

RUN_ID = "231108_M04586_0007_000000000-BENCH"
BASECALLS = "Data/Intensities/BaseCalls"
EXPERIMENT, GENOME = "benchmark", "bench5k"
READ_LENGTH, GENOME_LENGTH, INSERT = 150, 5_000, 320

RUN_INFO = f"""<?xml version="1.0"?>
<RunInfo Version="2"><Run Id="{RUN_ID}" Number="7"><Flowcell>000000000-BENCH</Flowcell>
<Instrument>M04586</Instrument><Date>231108</Date><Reads>
<Read Number="1" NumCycles="150" IsIndexedRead="N" /><Read Number="2" NumCycles="8" IsIndexedRead="Y" />
<Read Number="3" NumCycles="150" IsIndexedRead="N" /></Reads>
<FlowcellLayout LaneCount="1" SurfaceCount="2" SwathCount="1" TileCount="14" /></Run></RunInfo>
"""
WDL = """version 1.1

workflow short_reads {
  input { String sample  Array[File]+ r1  Array[File]+ r2  File reference }
  call trim { input: r1 = r1[0], r2 = r2[0] }
  call align { input: sample, r1 = trim.trimmed_r1, r2 = trim.trimmed_r2, report = trim.report, reference }
  output { File bam = align.bam  File bai = align.bai  File flagstat = align.flagstat  File metrics = align.metrics
           File trimming = trim.report }
}

task trim {
  input { File r1  File r2 }
  command <<<
    set -euo pipefail
    cutadapt -q 20,20 -m 40 -a AGATCGGAAGAGC -A AGATCGGAAGAGC --json trimming.json \\
      -o trimmed_1.fastq.gz -p trimmed_2.fastq.gz ~{r1} ~{r2} > cutadapt.txt
  >>>
  output { File trimmed_r1 = "trimmed_1.fastq.gz"  File trimmed_r2 = "trimmed_2.fastq.gz"
    File report = "trimming.json" }
  runtime { container: "quay.io/biocontainers/cutadapt:4.9--py310h1fe012e_3"  cpu: 1  memory: "500 MB" }
}

task align {
  input { String sample  File r1  File r2  File report  File reference }
  command <<<
    set -euo pipefail
    minimap2 -a -x sr -R '@RG\\tID:~{sample}\\tSM:~{sample}\\tPL:ILLUMINA' ~{reference} ~{r1} ~{r2} \\
      | samtools sort -o aligned.bam -
    samtools index aligned.bam
    samtools flagstat -O tsv aligned.bam > flagstat.tsv
    awk -F '\\t' '$3 == "primary" { p = $1 } $3 == "primary mapped" { m = $1 }
      END { printf "{\\"reads\\": %d, \\"mapped_percent\\": %.3f}\\n", p, 100 * m / p }' flagstat.tsv > metrics.json
  >>>
  output { File bam = "aligned.bam"  File bai = "aligned.bam.bai"  File flagstat = "flagstat.tsv"
    File metrics = "metrics.json" }
  runtime { container: "quay.io/biocontainers/samtools:1.20--h50ea8bc_0"  cpu: 1  memory: "500 MB" }
}
"""
SCATTER = """version 1.1

import "main.wdl" as one

workflow all_samples {
  input { Array[String] samples  Array[Array[File]+] r1  Array[Array[File]+] r2  File reference }
  scatter (i in range(length(samples))) {
    call one.short_reads { input: sample = samples[i], r1 = r1[i], r2 = r2[i], reference }
  }
  output { Array[File] bam = short_reads.bam  Array[File] metrics = short_reads.metrics }
}
"""
DEFINITION = """name = "short_reads"
version = "1.0.0"
title = "Trimmed and aligned reads"
[inputs.sample]
from = "sample.name"
[inputs.r1]
from = "reads.r1"
[inputs.r2]
from = "reads.r2"
[inputs.reference]
from = "reference.fasta"
[outputs.bam]
role = "alignment"
label = "Aligned reads"
[outputs.metrics]
role = "report"
label = "Quality metrics"
[metrics.reads]
output = "metrics"
unit = "count"
label = "Reads"
[metrics.mapped_percent]
output = "metrics"
unit = "percent"
label = "Reads mapped"
[thresholds.mapped_percent]
fail_below = 50
warn_below = 90
"""
RULES = f"""[[rule]]
name = "align everything"
workflow = "short_reads"
reference = "{GENOME}"
[rule.when]
platform = "illumina"
"""
TRIVIAL_WDL = """version 1.1

workflow short_reads {
  input { String sample  Array[File]+ r1  Array[File]+ r2  File reference }
  call count { input: r1 = r1[0] }
  output { File metrics = count.metrics }
}

task count {
  input { File r1 }
  command <<<
    printf '{"reads": %s, "mapped_percent": 100}\\n' "$(gzip -dc ~{r1} | awk 'END { print NR / 2 }')" > metrics.json
  >>>
  output { File metrics = "metrics.json" }
  runtime { container: "quay.io/example/shell:1"  cpu: 1  memory: "100 MB" }
}
"""


class Lab:
    """A run folder with its announcement, and homes for it.

    Args:
        root: An empty folder.
        samples: How many.
        pairs: Read pairs of each.
        trivial: A workflow of one task that only counts lines, where the engine's share is to be small.
    """

    def __init__(self, root: Path, samples: int, pairs: int, trivial: bool = False) -> None:
        self.root, self.trivial = root, trivial
        self.names = [f"sample{number:04d}" for number in range(1, samples + 1)]
        self.run = root / "landing" / RUN_ID
        self.reference = root / f"{GENOME}.fasta"
        self.table = root / "samples.csv"
        source = np.random.default_rng(7)
        genome = source.choice(np.frombuffer(b"ACGT", np.uint8), GENOME_LENGTH)
        self.reference.write_text(f">{GENOME}\n{genome.tobytes().decode()}\n")
        rows = [f"{name},{EXPERIMENT},bench-wgs,{EXPERIMENT}\n" for name in self.names]
        self.table.write_text("sample,experiment,assay,project\n" + "".join(rows))
        self._write_run(genome, pairs, source)
        self.workflow = self._write_definition(root)

    def mates(self, name: str) -> tuple[Path, Path]:
        """Return the two files of a sample in the run folder."""
        number = self.names.index(name) + 1
        one, two = (self.run / BASECALLS / f"{name}_S{number}_L001_R{mate}_001.fastq.gz" for mate in (1, 2))
        return one, two

    def make_home(self, name: str, settings: str) -> Path:
        """Make a home that knows the samples, the reference, the workflow and the rule; return its path."""
        path = self.root / name
        init_home(path)
        (path / "labrelay.toml").write_text(settings)
        (path / "rules.toml").write_text(RULES)
        self._write_definition(path / "definitions")
        home = open_home(path)
        home.reads.add_reference(self.reference, GENOME)
        announce(home, self.table)
        home.close()
        return path

    def _write_definition(self, folder: Path) -> Path:
        made = folder / "short_reads"
        made.mkdir(parents=True)
        (made / "main.wdl").write_text(TRIVIAL_WDL if self.trivial else WDL)
        (made / "definition.toml").write_text(
            DEFINITION.replace('[outputs.bam]\nrole = "alignment"\nlabel = "Aligned reads"\n', "")
            if self.trivial
            else DEFINITION
        )
        return made

    def _write_run(self, genome: np.ndarray, pairs: int, source: np.random.Generator) -> None:
        (self.run / BASECALLS).mkdir(parents=True)
        (self.run / "RunInfo.xml").write_text(RUN_INFO)
        indexes = ("".join(bases) for bases in itertools.product("ACGT", repeat=8))
        rows = [f"{name},{index}\n" for name, index in zip(self.names, indexes, strict=False)]
        header = "[Header]\nIEMFileVersion,5\n[Data]\nSample_ID,index\n"
        (self.run / "SampleSheet.csv").write_text(header + "".join(rows))
        for name in self.names:
            for path, text in zip(self.mates(name), reads(genome, pairs, source), strict=True):
                path.write_bytes(gzip.compress(text, 6, mtime=0))
        (self.run / "RTAComplete.txt").write_text("11/8/2023,12:00:00.000,Illumina RTA 1.18.54\n")


def reads(genome: np.ndarray, pairs: int, source: np.random.Generator) -> tuple[bytes, bytes]:
    """Return the FASTQ texts of both mates of as many pairs, facing each other as Illumina reads do."""
    starts = source.integers(0, len(genome) - INSERT, pairs)
    forward = genome[starts[:, None] + np.arange(READ_LENGTH)]
    complement = np.zeros(256, np.uint8)
    complement[np.frombuffer(b"ACGT", np.uint8)] = np.frombuffer(b"TGCA", np.uint8)
    backward = complement[genome[starts[:, None] + INSERT - 1 - np.arange(READ_LENGTH)]]
    return _fastq(forward, 1, source), _fastq(backward, 2, source)


def _fastq(bases: np.ndarray, mate: int, source: np.random.Generator) -> bytes:
    wrong = source.random(bases.shape) < 0.005
    bases = np.where(wrong, source.choice(np.frombuffer(b"ACGT", np.uint8), bases.shape), bases)
    quality = np.frombuffer(b"F:,#", np.uint8)[source.choice(4, bases.shape, p=[0.93, 0.04, 0.02, 0.01])]
    return b"".join(
        b"@M04586:7:000000000-BENCH:1:1101:%d:%d %d:N:0:1\n%b\n+\n%b\n"
        % (1000 + number, 2000 + number, mate, line.tobytes(), values.tobytes())
        for number, (line, values) in enumerate(zip(bases, quality, strict=True))
    )

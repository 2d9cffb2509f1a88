"""A whole laboratory in a few kilobytes: a run folder, its announcement, a workflow of shell tools and a home.

A plain module, so that any test may use it: `from tiny_run import TinyLab` (tests/conftest.py puts this folder on the
path). Everything is made from the arguments alone: the same arguments give the same bytes.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.steps.announce import announce
from labrelay.steps.home import Home, init_home, open_home

RUN_ID = "231108_M04586_0007_000000000-TINY7"
EXPERIMENT = "tiny-study"
SAMPLES = {"alpha": 50, "beta": 30}  # name -> read pairs
INDEXES = ("TAAGGCGA", "CGTACTAG", "AGGCAGAA", "TCCTGAGC", "GGACTCCT", "TAGGCATG")
READ_LENGTH = 36
BASECALLS = "Data/Intensities/BaseCalls"

RUN_INFO = """<?xml version="1.0"?>
<RunInfo Version="2"><Run Id="{run_id}" Number="7"><Flowcell>000000000-TINY7</Flowcell>
<Instrument>M04586</Instrument><Date>231108</Date><Reads>
<Read Number="1" NumCycles="{length}" IsIndexedRead="N" /><Read Number="2" NumCycles="8" IsIndexedRead="Y" />
<Read Number="3" NumCycles="{length}" IsIndexedRead="N" /></Reads>
<FlowcellLayout LaneCount="1" SurfaceCount="2" SwathCount="1" TileCount="14" /></Run></RunInfo>
"""

# One task of POSIX shell, awk and gzip; the parameters make it slow or broken on demand.
WDL = """version 1.1

workflow count_reads {
  input { String sample  Array[File]+ r1  Array[File]+ r2  Int pause = 0  Boolean broken = false }
  parameter_meta {
    pause: "Seconds to wait before counting."
    broken: "Whether to fail on purpose."
  }
  call count { input: sample, r1, r2, pause, broken }
  output { File metrics = count.metrics  File lengths = count.lengths }
}

task count {
  input { String sample  Array[File]+ r1  Array[File]+ r2  Int pause  Boolean broken }
  command <<<
    set -eu
    sleep ~{pause}
    ~{if broken then "echo 'the counter is broken' >&2; exit 3" else "true"}
    gzip -dc ~{sep(" ", r1)} | awk 'NR % 4 == 2 { n[length($0)]++ } END { for (l in n) print l, n[l] }' > lengths.txt
    pairs=$(awk '{ n += $2 } END { print n + 0 }' lengths.txt)
    mates=$(gzip -dc ~{sep(" ", r2)} | awk 'END { print NR / 4 }')
    printf '{"read_pairs": %s, "mates": %s}\\n' "$pairs" "$mates" > metrics.json
  >>>
  output { File metrics = "metrics.json"  File lengths = "lengths.txt" }
  runtime { container: "quay.io/example/shell:1"  cpu: 1  memory: "100 MB" }
}
"""
DEFINITION = """name = "count_reads"
version = "{version}"
title = "Counted reads"
[inputs.sample]
from = "sample.name"
[inputs.r1]
from = "reads.r1"
[inputs.r2]
from = "reads.r2"
[outputs.metrics]
role = "report"
label = "Counts"
[metrics.read_pairs]
output = "metrics"
unit = "count"
label = "Read pairs"
[thresholds.read_pairs]
fail_below = 1
warn_below = 40
"""
RULES = """[[rule]]
name = "count everything"
workflow = "count_reads"
[rule.when]
platform = "illumina"
[rule.parameters]
{parameters}
"""


def make_run(folder: Path, samples: Mapping[str, int] = SAMPLES, run_id: str = RUN_ID) -> Path:
    """Make a finished MiSeq run folder named `run_id` in `folder`; return its path.

    Args:
        folder: The landing folder.
        samples: Read pairs by sample name.
        run_id: Another one is another instrument run, with other reads.
    """
    run = folder / run_id
    calls = run / BASECALLS
    calls.mkdir(parents=True)
    (run / "RunInfo.xml").write_text(RUN_INFO.format(run_id=run_id, length=READ_LENGTH))
    rows = [f"{name},{index_of(place)}\n" for place, name in enumerate(samples)]
    (run / "SampleSheet.csv").write_text("[Header]\nIEMFileVersion,5\n[Data]\nSample_ID,index\n" + "".join(rows))
    for place, (name, pairs) in enumerate(samples.items(), 1):
        for mate in (1, 2):
            path = calls / f"{name}_S{place}_L001_R{mate}_001.fastq.gz"
            path.write_bytes(gzip.compress(fastq(f"{run_id}/{name}", pairs, mate).encode(), mtime=0))
    (run / "RTAComplete.txt").write_text("11/8/2023,12:00:00.000,Illumina RTA 1.18.54\n")
    return run


def index_of(place: int) -> str:
    """Return the index sequence of the sample at this place, another one for each."""
    if place < len(INDEXES):
        return INDEXES[place]
    return "".join("ACGT"[place >> shift & 3] for shift in range(14, -2, -2))


def fastq(seed: str, pairs: int, mate: int) -> str:
    """Return the FASTQ text of one mate, the same for the same seed; names are Illumina's."""
    chance = random.Random(f"{seed}/{mate}")
    records = []
    for number in range(pairs):
        bases = "".join(chance.choices("ACGT", k=READ_LENGTH))
        quality = "".join(chance.choices("#,:FI", weights=(1, 1, 2, 8, 8), k=READ_LENGTH))
        name = f"@M04586:7:000000000-TINY7:1:1101:{1000 + number}:2000 {mate}:N:0:1"
        records.append(f"{name}\n{bases}\n+\n{quality}\n")
    return "".join(records)


def announcement(path: Path, samples: Sequence[str] = tuple(SAMPLES), experiment: str = EXPERIMENT) -> Path:
    """Write the CSV that announces the samples; return its path."""
    rows = [f"{name},{experiment},tiny-wgs,{experiment}\n" for name in samples]
    path.write_text("sample,experiment,assay,project\n" + "".join(rows))
    return path


def make_definition(folder: Path, version: str = "1.0.0") -> Path:
    """Write the definition `count_reads` into `folder`/count_reads; return its path."""
    made = folder / "count_reads"
    made.mkdir(parents=True, exist_ok=True)
    (made / "main.wdl").write_text(WDL)
    (made / "definition.toml").write_text(DEFINITION.format(version=version))
    return made


@dataclass
class TinyLab:
    """A home with the workflow, a rule for it, the announcement and a run folder, all below `root`.

    Attributes:
        root: An empty folder.
        samples: Read pairs by sample name.
        settings: Further lines of `labrelay.toml`; tasks run as host processes unless they say otherwise.
        parameters: Lines of the rule's parameters, such as `pause = 3`.
    """

    root: Path
    samples: Mapping[str, int] = field(default_factory=lambda: dict(SAMPLES))
    settings: str = 'sandbox = "host"\n'
    parameters: str = ""

    def __post_init__(self) -> None:
        self.home = self.root / "home"
        init_home(self.home)
        (self.home / "labrelay.toml").write_text(self.settings)
        (self.home / "rules.toml").write_text(RULES.format(parameters=self.parameters))
        make_definition(self.home / "definitions")
        self.landing = self.root / "landing"
        self.run = make_run(self.landing, self.samples)
        self.table = announcement(self.root / "samples.csv", tuple(self.samples))

    def open(self) -> Home:
        """Open the home; the caller closes it."""
        return open_home(self.home)

    @contextmanager
    def announced(self) -> Iterator[Home]:
        """Open the home with its samples announced; its engine stops at the end."""
        opened = self.open()
        announce(opened, self.table)
        yield opened
        opened.engine.stop()  # type: ignore[attr-defined]
        opened.close()

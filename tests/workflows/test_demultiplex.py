"""Raw base calls become reads: by the real Picard on a generated run, and by a stand-in where only the way counts."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_bcl import QUALITY, Cluster, write_run

from labrelay.model.errors import Busy, Conflict, EngineFailed, MissingTool, RefusedInput, UsageError
from labrelay.model.instrument import Known
from labrelay.model.problem import errors_of
from labrelay.model.runs import RunReport
from labrelay.model.states import RunState
from labrelay.parsers.lane_balance import reverse_complement
from labrelay.parsers.listing import SMALL
from labrelay.parsers.registry import read_run
from labrelay.steps.demultiplex import Demultiplexed, demultiplex
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.process import process, take_in
from labrelay.stores.durable import file_lock
from labrelay.workflows.local import picard

MakeHome = Callable[..., Home]
RUN = "261128_M04586_0042_FLOW7"
PLAIN, INDEX, TURNED = (
    'IsIndexedRead="N"',
    'IsIndexedRead="Y"',
    'IsIndexedRead="Y" IsReverseComplement="Y"',
)
RECIPE = ((12, PLAIN), (8, INDEX), (8, TURNED), (10, PLAIN))
ONE, TWO, STRANGER = ("ACGTACGT", "AACCGGTA"), ("TGCATGCA", "GGTTCCAA"), ("GATTACAG", "CCCTTTAA")
SHEET = """[Header]
FileFormatVersion,2
[BCLConvert_Settings]
AdapterRead1,AGATCGGAAGAGC
[BCLConvert_Data]
Sample_ID,Index,Index2
one,ACGTACGT,AACCGGTA
two,TGCATGCA,GGTTCCAA
empty,CATCATCA,ACACACAC
"""


def cluster(pair: tuple[str, str], letter: str = "A", *, passed: bool = True) -> Cluster:
    """Return a cluster as the instrument reads it: the second index turned."""
    return Cluster(letter * 12 + pair[0] + reverse_complement(pair[1]) + "C" * 10, passed)


CLUSTERS = (
    *(cluster(ONE) for _ in range(5)),
    cluster(("ACGTACGA", ONE[1]), "G"),  # one mismatch
    cluster(("ACGTACCA", ONE[1]), "T"),  # two: nobody's
    *(cluster(TWO, "N") for _ in range(2)),
    *(cluster(STRANGER, "T") for _ in range(4)),
    cluster(TWO, passed=False),
)


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[MakeHome]:
    """Return a function that makes a home with these lines in its settings."""
    opened: list[Home] = []

    def make(settings: str = "") -> Home:
        init_home(tmp_path / "home")
        with (tmp_path / "home" / "labrelay.toml").open("a") as file:
            file.write(settings)
        opened.append(open_home(tmp_path / "home"))
        return opened[-1]

    yield make
    for home in opened:
        home.close()


@pytest.fixture
def base_calls(tmp_path: Path) -> Path:
    """Return a run folder of raw base calls with its sheet; its name has what a shell would take apart."""
    folder = write_run(tmp_path / "run $(touch x) 'y'", RUN, RECIPE, [CLUSTERS])
    (folder / "SampleSheet.csv").write_text(SHEET)
    return folder


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a bcl-convert on PATH that notes its arguments and writes one pair of files."""
    folder = tmp_path / "bin"
    folder.mkdir()
    reads = gzip.compress(b"@M04586:42:FLOW7:1:1101:1:1 1:N:0:ACGT\nACGT\n+\nIIII\n", mtime=0)
    (folder / "reads").write_bytes(reads)
    program = folder / "bcl-convert"
    program.write_text(
        '#!/bin/sh\nset -e\nhere=$(dirname "$0")\n'
        'if [ "$1" = --version ]; then echo "bcl-convert Version 00.000.000.4.2.7"; exit 0; fi\n'
        'test -f "$2/RunInfo.xml"; test "$3" = --sample-sheet; mkdir -p "$6/Reports"\n'
        'printf %s "$2" > "$here/seen" 2> /dev/null || true\n'
        'cp "$4" "$6/Reports/SampleSheet.csv"\n'
        'for mate in 1 2; do cp "$here/reads" "$6/one_S1_L001_R${mate}_001.fastq.gz"; done\n'
        'printf "Lane,SampleID,Index,# Reads\\n1,one,ACGTACGT,1\\n" > "$6/Reports/Demultiplex_Stats.csv"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def records(path: Path) -> list[list[str]]:
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    return [lines[place : place + 4] for place in range(0, len(lines) - 3, 4)]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.skipif(picard.launcher() is None, reason="no Picard in .picard-runtime: make picard")
def test_base_calls_become_reads_by_sample_with_exact_counts_and_are_taken_as_the_same_run(
    base_calls: Path, make_home: MakeHome, tmp_path: Path
) -> None:
    home, out = make_home(), tmp_path / "reads"
    with pytest.raises(RefusedInput, match="labrelay demultiplex FOLDER --out FOLDER"):
        take_in(home, base_calls)
    before = sorted(base_calls.rglob("*"))
    made = demultiplex(home, base_calls, out)
    assert (made.run_id, made.samples, made.reads, made.already) == (RUN, 3, 6, False)
    assert "AdapterRead1" in made.notes[0]
    tools = json.loads((out / "Reports" / "demultiplex.json").read_text())["tools"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", tools["Picard"])
    assert sorted(base_calls.rglob("*")) == before

    rows = {row["SampleID"]: row for row in table(out / "Reports" / "Demultiplex_Stats.csv")}
    counted = {name: [int(row[f"# {kind}Reads"]) for kind in ("", "Perfect Index ", "One Mismatch Index ")]
               for name, row in rows.items()}  # fmt: skip
    assert counted == {"one": [6, 5, 1], "two": [2, 2, 0], "empty": [0, 0, 0], "Undetermined": [5, 0, 0]}
    unknown = table(out / "Reports" / "Top_Unknown_Barcodes.csv")
    assert [(row["index"], row["index2"], row["# Reads"]) for row in unknown] == [
        (*STRANGER, "4"),
        ("ACGTACCA", ONE[1], "1"),
    ]
    first, second = (records(out / f"one_S1_L001_R{mate}_001.fastq.gz") for mate in (1, 2))
    assert sorted(each[1] for each in first) == [*["A" * 12] * 5, "G" * 12]
    assert {each[1] for each in second} == {"C" * 10}
    assert len(records(out / "two_S2_L001_R1_001.fastq.gz")) == 2, "one more did not pass the filter"
    assert {each[3] for each in first} == {chr(QUALITY + 33) * 12}
    assert [each[0].split(" ")[0] for each in first] == [each[0].split(" ")[0] for each in second]
    assert first[0][0].startswith("@M04586:42:FLOW7:1:1101:")

    run = read_run(out)
    assert (run.run_id, run.completion.converted.value, errors_of(run.problems)) == (RUN, Known.YES, [])
    balance = {(m.name, m.scope): m.value for m in run.qc}
    assert balance["reads", "one, lane 1"] == 6
    assert balance["undetermined_percent", "lane 1"] == pytest.approx(500 / 13)
    assert balance["unknown_barcode_reads", f"{'+'.join(STRANGER)}, lane 1"] == 4
    done = process(home, out, wait=False)
    assert (done.run_id, done.failed) == (RUN, [])

    again = demultiplex(home, base_calls, out)
    assert (again.already, again.reads) == (True, 6)
    assert {path.suffix for path in (home.path / "scratch").glob("demultiplex-*")} == {".lock"}
    assert not list((home.path / "work").glob("*"))


def test_the_labs_own_bcl_convert_comes_first_and_its_last_words_are_told_when_it_fails(
    base_calls: Path, make_home: MakeHome, stand_in: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "other.csv"
    sheet.write_text(SHEET.replace("empty,CATCATCA,ACACACAC\n", "") + "three,CATCATCA,ACACACAC\n")
    home, out = make_home(), tmp_path / "reads"
    program = stand_in / "bcl-convert"
    good = program.read_text()
    program.write_text("#!/bin/sh\necho 'the tile 1101 is short' >&2\nexit 3\n")
    with pytest.raises(EngineFailed, match=f"{RUN} could not be converted: .* the tile 1101 is short"):
        demultiplex(home, base_calls, out, sheet)
    assert not out.exists()
    program.write_text(good)
    made = demultiplex(home, base_calls, out, sheet)
    assert (made.converter, made.reads, made.notes) == ("bcl-convert", 2, ())
    assert (
        (out / "SampleSheet.csv").read_bytes() == (out / "Reports/SampleSheet.csv").read_bytes() == sheet.read_bytes()
    )
    record = json.loads((out / "Reports" / "demultiplex.json").read_text())
    assert record["tools"] == {"BCL Convert": "00.000.000.4.2.7"}
    with pytest.raises(Conflict, match="was made of other base calls, or by another sheet"):
        demultiplex(home, base_calls, out)


def test_a_kill_before_the_end_leaves_no_folder_and_the_next_try_makes_it(
    base_calls: Path, make_home: MakeHome, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out = make_home('sandbox = "host"'), tmp_path / "made" / "reads"
    monkeypatch.setenv("LABRELAY_FAULT", "demultiplex.collected:1:raise")
    with pytest.raises(RuntimeError):
        demultiplex(home, base_calls, out)
    assert list(out.parent.iterdir()) == []
    assert (stand_in / "seen").read_text() == str(base_calls), "where nothing shows it, the folder is not copied"
    monkeypatch.delenv("LABRELAY_FAULT")
    (tmp_path / "bin" / "reads").unlink()  # what is done already is not done again
    assert demultiplex(home, base_calls, out).reads == 2


def test_what_another_process_made_while_this_one_came_to_its_turn_is_not_made_again(
    base_calls: Path, make_home: MakeHome, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out, made = make_home(), tmp_path / "reads", list[Demultiplexed]()
    report = RunReport(state=RunState.COMPLETE, engine="a stand-in")
    monkeypatch.setattr("labrelay.steps.demultiplex.convert", lambda *_: report)

    @contextmanager
    def after_the_other(path: Path, what: str) -> Iterator[None]:
        monkeypatch.setattr("labrelay.steps.demultiplex.file_lock", file_lock)
        made.append(demultiplex(home, base_calls, out))
        with file_lock(path, what):
            yield

    monkeypatch.setattr("labrelay.steps.demultiplex.file_lock", after_the_other)
    made.append(demultiplex(home, base_calls, out))
    assert [each.already for each in made] == [False, True]


def test_of_two_conversions_into_one_folder_the_second_is_refused_before_it_works(
    base_calls: Path, make_home: MakeHome, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out, other = make_home(), tmp_path / "reads", tmp_path / "other.csv"
    other.write_text(SHEET.replace("TGCATGCA", "TGCATGCC"))
    report = RunReport(state=RunState.COMPLETE, engine="a stand-in")

    def while_it_works(*_: object) -> RunReport:
        monkeypatch.setattr("labrelay.steps.demultiplex.convert", lambda *_: pytest.fail("the second one works"))
        with pytest.raises(Busy, match="reads, which a conversion is making"):
            demultiplex(home, base_calls, out, other)
        return report

    monkeypatch.setattr("labrelay.steps.demultiplex.convert", while_it_works)
    assert not demultiplex(home, base_calls, out).already

    def while_another_home_does(*_: object) -> RunReport:
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "x").touch()
        return report

    monkeypatch.setattr("labrelay.steps.demultiplex.convert", while_another_home_does)
    with pytest.raises(Conflict, match="was made by another conversion meanwhile: name another folder"):
        demultiplex(home, base_calls, tmp_path / "later")
    assert sorted(path.name for path in tmp_path.glob(".tmp-*")) == []


def test_what_a_killed_conversion_left_beside_its_folder_is_removed_by_the_next(
    base_calls: Path, make_home: MakeHome, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "made" / "reads"
    dead, other = (out.parent / name for name in (f".tmp-{'0' * 16}", ".tmp-notes"))
    for folder in (dead, other):
        folder.mkdir(parents=True)
        (folder / "one_S1_L001_R1_001.fastq.gz").write_bytes(b"x")
        os.utime(folder, (0, 0))
    report = RunReport(state=RunState.COMPLETE, engine="a stand-in")
    monkeypatch.setattr("labrelay.steps.demultiplex.convert", lambda *_: report)
    demultiplex(make_home(), base_calls, out)
    assert sorted(out.parent.iterdir()) == [other, out]


def test_what_is_no_run_to_convert_is_said_in_a_sentence(
    base_calls: Path, make_home: MakeHome, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out = make_home(), tmp_path / "reads"

    def refused(error: type[Exception], words: str, folder: Path = base_calls, to: Path = out) -> None:
        with pytest.raises(error, match=words):
            demultiplex(home, folder, to)

    refused(UsageError, "there is no folder", tmp_path / "nowhere")
    refused(UsageError, "lies in the run folder", to=base_calls / "reads")
    refused(UsageError, "no RunInfo.xml", stand_in)
    out.mkdir()
    refused(Conflict, "is none that demultiplex made")
    out.rmdir()
    (base_calls / "SampleSheet.csv").unlink()
    refused(UsageError, "has no sample sheet: name one with --sheet")
    (base_calls / "SampleSheet.csv").write_text(SHEET.replace("TGCATGCA,GGTTCCAA", "ACGTACGA,AACCGGTA"))
    refused(RefusedInput, "one and two in lane 1 differ in 1 and 0 bases .* too few for 1 mismatch; .*Index1,0")
    monkeypatch.setattr(picard, "CHECKOUT", tmp_path / "no-runtime")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    refused(MissingTool, "neither bcl-convert nor picard is here: .* run `make picard`")
    # Without a converter, too, the folder comes first: nobody is sent to get a program for nothing.
    shutil.rmtree(base_calls / "Data")
    refused(UsageError, "no base calls below Data/Intensities/BaseCalls/L001")


def test_a_sheet_that_is_far_too_large_is_not_said_to_be_missing(
    base_calls: Path, make_home: MakeHome, stand_in: Path, tmp_path: Path
) -> None:
    home, sheet = make_home(), tmp_path / "other.csv"
    with pytest.raises(UsageError, match=r"there is no file .*other\.csv"):
        demultiplex(home, base_calls, tmp_path / "reads", sheet)
    sheet.write_bytes(b"x" * (SMALL + 1))
    with pytest.raises(UsageError, match=r"other\.csv is larger than 5242880 bytes"):
        demultiplex(home, base_calls, tmp_path / "reads", sheet)


PICARD = """#!/usr/bin/env python3
import gzip, shutil, sys
told = dict(each.split("=", 1) for each in sys.argv if "=" in each)
if "METRICS_FILE" in told:
    open(told["METRICS_FILE"], "w").write("BARCODE_NAME\\tPF_READS\\ns1\\t0\\n")
for prefix in (told["OUTPUT_PREFIX"],) if "OUTPUT_PREFIX" in told else ("made/s1", "made/Undetermined"):
    for part in ("1", "2"):
        gzip.open(f"{prefix}.{part}.fastq.gz", "wb").close()
shutil.copyfile("../unknown.gz", "made/Undetermined.barcode_1.fastq.gz")
"""


def by_picard(folder: Path, indexes: int, unknown: list[str], held: int = 2_000_000) -> Path:
    """Run what the workflow does with one lane by Picard, of which there is a stand-in; return where it was done."""
    text = (Path(picard.__file__).parents[1] / "definitions" / "demultiplex" / "main.wdl").read_text()
    code = textwrap.dedent(text.split("<<'PYTHON'\n", 1)[1].split("    PYTHON\n", 1)[0])
    assert "HELD = 2_000_000 " in code
    (folder / "picard").write_text(PICARD)
    (folder / "picard").chmod(0o755)
    sample = {"id": "A", "file": "A_S1", "prefix": "s1", "indexes": ["ACGT"][:indexes], "read_as": ["ACGT"][:indexes]}
    lane = {"lane": 1, "structure": "4T", "mates": 2, "indexes": indexes, "turned": [False], "samples": [sample]}
    plan = {"run": "1", "instrument": "M", "flow_cell": "F", "mismatches": 1, "lanes": [lane]}
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "run.txt").write_text("run")
    (folder / "unknown.gz").write_bytes(gzip.compress("".join(f"@r\n{each}\n+\nI\n" for each in unknown).encode()))
    (folder / "work").mkdir()
    argv = [sys.executable, "-c", code.replace("HELD = 2_000_000 ", f"HELD = {held} "), "../run.txt", "../plan.json"]
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run([*argv, "1", "1"], cwd=folder / "work", env=env, check=True, timeout=60)
    return folder / "work"


def test_a_lane_without_index_and_without_any_read_is_a_zero_in_the_report(tmp_path: Path) -> None:
    made = by_picard(tmp_path, 0, [])
    assert (made / "stats.csv").read_text().startswith("1,A,,0,0,0,0,0.0000")
    assert list((made / "reads").iterdir()) == []


def test_a_frequent_barcode_that_comes_late_is_counted_beside_more_than_are_held(tmp_path: Path) -> None:
    many = [f"{n:04d}" for n in range(40) for _ in range(2)]
    made = by_picard(tmp_path, 1, ["GGGG"] * 20 + many + ["TTTT"] * 9, held=10)
    told = [line.split(",") for line in (made / "unknown.csv").read_text().splitlines()]
    assert told[0][1:4] == ["GGGG", "", "20"]
    assert told[1][1] == "TTTT"
    assert len(told) <= 10

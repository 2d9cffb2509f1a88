from __future__ import annotations

import gzip
import random
import subprocess
from pathlib import Path

import pysam
import pytest

from labrelay.workflows.local.tools import PYTHON, SHIMS, write_launchers

TURN = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("the tools")
    write_launchers(folder)
    return folder


def call(tools: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(tools / arguments[0]), *arguments[1:]], input=stdin, capture_output=True, check=False)


def test_a_launcher_that_a_kill_left_without_its_rights_gets_them_back(tmp_path: Path) -> None:
    write_launchers(tmp_path)
    (tmp_path / "samtools").chmod(0o644)
    write_launchers(tmp_path)
    assert call(tmp_path, "samtools", "--version").returncode == 0


@pytest.mark.parametrize("name", SHIMS)
def test_each_tool_tells_its_version_and_that_it_stands_in(tools: Path, name: str) -> None:
    done = call(tools, name, "--version")
    assert done.returncode == 0
    assert b"pysam" in done.stdout or b"mappy" in done.stdout


def test_a_task_may_ask_for_the_python_that_has_our_libraries(tools: Path) -> None:
    script = b"import sys; from importlib.util import find_spec; print(sys.argv[1:], find_spec('labrelay') is not None)"
    done = call(tools, PYTHON, "-", "one two", stdin=script)
    assert (done.returncode, done.stdout) == (0, b"['one two'] True\n")


@pytest.mark.parametrize(
    "arguments", [("samtools", "fixmate"), ("bcftools", "csq"), ("minimap2", "-ax", "map-ont", "r", "q")]
)
def test_what_is_not_promised_is_refused_in_one_sentence(tools: Path, arguments: tuple[str, ...]) -> None:
    done = call(tools, *arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"install" in done.stderr


def test_pairs_are_aligned_sorted_and_counted(tools: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    genome = "".join(rng.choice("ACGT") for _ in range(3000))
    (tmp_path / "ref.fa").write_text(f">chr one\n{genome}\n")
    with gzip.open(tmp_path / "1.fq.gz", "wt") as one, gzip.open(tmp_path / "2.fq.gz", "wt") as two:
        for number in range(60):
            start = rng.randrange(2600)
            fragment = genome[start : start + 300]
            mates = [fragment[:100], fragment[::-1].translate(TURN)[:100]]
            for out, sequence in zip((one, two), mates if number % 2 else mates[::-1], strict=True):
                out.write(f"@r{number}:{start}\n{sequence}\n+\n{'I' * 100}\n")
        one.write(f"@junk\n{'AC' * 50}\n+\n{'I' * 100}\n")
        two.write(f"@junk\n{genome[:100]}\n+\n{'I' * 100}\n")
    files = [str(tmp_path / name) for name in ("ref.fa", "1.fq.gz", "2.fq.gz")]
    sam = call(tools, "minimap2", "-ax", "sr", "-t", "2", "-R", "@RG\\tID:s1\\tSM:s1", *files)
    assert sam.returncode == 0, sam.stderr
    bam = str(tmp_path / "a.bam")
    assert call(tools, "samtools", "sort", "-o", bam, "-", stdin=sam.stdout).returncode == 0
    assert call(tools, "samtools", "index", bam).returncode == 0
    with pysam.AlignmentFile(bam) as handle:
        assert handle.header.to_dict()["RG"] == [{"ID": "s1", "SM": "s1"}]
        records = list(handle.fetch(until_eof=True))
    assert len(records) == 122
    for record in records:
        if record.query_name == "junk":
            continue
        start = int(record.query_name.split(":")[1])
        assert record.is_proper_pair
        assert record.reference_start == (start + 200 if record.is_reverse else start)
        assert record.template_length == (-300 if record.is_reverse else 300)
        assert record.next_reference_start == (start if record.is_reverse else start + 200)
        assert record.mate_is_reverse != record.is_reverse
    lost = [record for record in records if record.query_name == "junk"]
    assert sorted((r.is_unmapped, r.mate_is_unmapped, r.reference_start) for r in lost) == [
        (False, True, 0),
        (True, False, 0),
    ]
    text = call(tools, "samtools", "flagstat", "-O", "tsv", bam).stdout.decode()
    assert "120\t0\tproperly paired" in text


def test_files_of_a_pair_with_different_counts_are_refused(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "ref.fa").write_text(f">a\n{'ACGT' * 100}\n")
    (tmp_path / "1.fq").write_text("@a\nACGT\n+\nIIII\n@b\nACGT\n+\nIIII\n")
    (tmp_path / "2.fq").write_text("@a\nACGT\n+\nIIII\n")
    files = [str(tmp_path / name) for name in ("ref.fa", "1.fq", "2.fq")]
    done = call(tools, "minimap2", "-ax", "sr", *files)
    assert done.returncode == 1
    assert b"different numbers of reads" in done.stderr


def test_a_failing_command_has_its_exit_code_and_message(tools: Path, tmp_path: Path) -> None:
    done = call(tools, "samtools", "index", str(tmp_path / "none.bam"))
    assert done.returncode == 1
    assert b"samtools index" in done.stderr

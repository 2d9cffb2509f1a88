"""A folder of a plate's images goes the way of a sequencing run: stored, matched, routed, computed, recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_workflow import add_small_workflow
from tiny_run import TinyLab, make_run

from labrelay.model.errors import RefusedInput
from labrelay.records.explanation_text import sentences
from labrelay.records.lineage import lineage
from labrelay.steps.explain import explain
from labrelay.steps.home import Home
from labrelay.steps.process import process
from labrelay.steps.reads import read_sets
from labrelay.steps.results import results_table, show_result

SCRIPT = r"""paste ~{write_lines(wells)} ~{write_lines(channels)} > where.txt
n=0; total=0
for image in ~{sep(" ", images)}; do n=$((n + 1)); total=$((total + $(wc -c < "$image"))); done
printf '{"images": %s, "bytes": %s, "where": "%s"}\n' "$n" "$total" "$(tr '\t\n' ': ' < where.txt)" > counts.json
"""
INPUTS = {name: f"images.{name}" for name in ("wells", "channels")} | {"images": "images.paths"}
RULES = """[[rule]]
name = "weigh plates"
workflow = "weigh"
[rule.when]
platform = "images"
"""
COUNT = """[[rule]]
name = "count reads"
workflow = "count_reads"
merge = "topups"
[rule.when]
platform = "illumina"
"""


@pytest.fixture
def lab(tmp_path: Path) -> Home:
    tiny = TinyLab(tmp_path)
    add_small_workflow(tiny.home, "weigh", "images", INPUTS, SCRIPT, ["images"])
    return tiny.open()


def plate(root: Path) -> Path:
    folder = root / "screen-7"
    folder.mkdir()
    for well, channel, size in (("B02", 0, 10), ("B02", 1, 20), ("C11", 0, 30)):
        (folder / f"PLATE7_{well}f00d{channel}.tif").write_bytes(b"x" * size)
    (folder / "notes.txt").write_text("a day in the microscopy room\n")
    return folder


def test_a_plate_becomes_a_dataset_whose_images_a_workflow_takes_with_their_wells(lab: Home, tmp_path: Path) -> None:
    from labrelay.steps.announce import announce

    table = tmp_path / "plates.csv"
    table.write_text("sample,experiment,assay,project\nPLATE7,screen,imaging,screen\n")
    announce(lab, table)
    done = process(lab, plate(tmp_path))
    assert (done.stored, done.submitted, done.unassigned, done.failed) == (4, 1, [], [])
    [row] = results_table(lab)
    shown = show_result(lab, row.run)
    told = json.loads(next(Path(shown.folder).glob("counts.json")).read_bytes())
    assert told == {"images": 3, "bytes": 60, "where": "B02:1 B02:2 C11:1 "}
    assert [file.name for file in shown.result.inputs] == ["images"] * 3
    with lab.records.read() as session:
        up = {node.name for node in lineage(session, row.run, "up").nodes}
    assert {"PLATE7", "screen-7"} <= up
    assert read_sets(lab) == []
    [images] = [part for part in sentences(explain(lab, "PLATE7")) if part.heading == "Images"]
    assert images.sentences[0] == "3 images from instrument run screen-7."
    again = process(lab, tmp_path / "screen-7")
    assert (again.stored, again.imported, again.submitted) == (0, 0, 0)
    lab.close()


def test_a_workflow_of_reads_and_one_of_images_take_each_their_own_of_a_sample(lab: Home, tmp_path: Path) -> None:
    from labrelay.steps.announce import announce

    table = tmp_path / "alpha.csv"
    table.write_text("sample,experiment,aliases\nalpha,both,PLATE7\n")
    announce(lab, table)
    (lab.path / "rules.toml").write_text(RULES.replace("images", "*") + COUNT)
    process(lab, plate(tmp_path))
    first = results_table(lab)
    assert [row.workflow for row in first] == ["weigh 1.0.0"]
    done = process(lab, make_run(tmp_path / "reads", {"alpha": 50}))
    rows = {row.workflow: row.run for row in results_table(lab)}
    assert rows == {"weigh 1.0.0": first[0].run, "count_reads 1.0.0": rows["count_reads 1.0.0"]}
    assert [why for _who, why in done.failed if "no images" in why]
    inputs = show_result(lab, rows["count_reads 1.0.0"]).result.inputs
    assert sorted(file.name for file in inputs) == ["reads.r1", "reads.r2"]
    lab.close()


def test_a_plate_that_nobody_announced_waits_and_an_empty_folder_is_refused(lab: Home, tmp_path: Path) -> None:
    done = process(lab, plate(tmp_path))
    assert [each.label for each in done.unassigned] == ["PLATE7"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedInput, match="no file lies in it"):
        process(lab, tmp_path / "empty")
    lab.close()


IMAGE = """<Image><State>Ok</State><URL>r0{row}c02f01p01-ch1sk1fk1fl1.tiff</URL><Row>{row}</Row><Col>2</Col>
<FieldID>1</FieldID><PlaneID>1</PlaneID><TimepointID>0</TimepointID><ChannelID>1</ChannelID>
<ChannelName>DAPI</ChannelName></Image>"""
INDEX = """<EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV6"><Plates><Plate><PlateID>PLATE7</PlateID>
<MeasurementID>m1</MeasurementID></Plate></Plates><Images>{images}</Images></EvaluationInputData>"""


def test_a_plate_of_an_imager_goes_the_same_way_and_waits_while_its_images_are_not_all_there(
    lab: Home, tmp_path: Path
) -> None:
    from labrelay.steps.announce import announce

    (lab.path / "rules.toml").write_text(RULES.replace('"images"', '"harmony"'))
    table = tmp_path / "plates.csv"
    table.write_text("sample,experiment,assay,project\nPLATE7,screen,imaging,screen\n")
    announce(lab, table)
    folder = tmp_path / "PLATE7__2024-05-06T07_08_09-Measurement 1"
    (folder / "Images").mkdir(parents=True)
    (folder / "Images" / "Index.xml").write_text(INDEX.format(images="".join(IMAGE.format(row=r) for r in (1, 2))))
    with pytest.raises(RefusedInput, match="not all files have come"):
        process(lab, folder)
    for row in (1, 2):
        (folder / "Images" / f"r0{row}c02f01p01-ch1sk1fk1fl1.tiff").write_bytes(b"x" * 10 * row)
    done = process(lab, folder)
    assert (done.stored, done.submitted, done.unassigned, done.failed) == (3, 1, [], [])
    [row] = results_table(lab)
    told = json.loads(next(Path(show_result(lab, row.run).folder).glob("counts.json")).read_bytes())
    assert told == {"images": 2, "bytes": 30, "where": "A02:1 B02:1 "}
    lab.close()


def test_an_image_of_zarr_is_one_dataset_of_all_its_files_and_waits_for_a_person(lab: Home, tmp_path: Path) -> None:
    from labrelay.steps.announce import announce

    (lab.path / "rules.toml").write_text(RULES.replace('"images"', '"ome_zarr"'))
    table = tmp_path / "samples.csv"
    table.write_text("sample,experiment,assay,project\nHeLa,screen,imaging,screen\n")
    announce(lab, table)
    image = tmp_path / "HeLa.ome.zarr"
    axes = [{"name": name} for name in "cyx"]
    files = {
        ".zgroup": {"zarr_format": 2},
        ".zattrs": {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]},
        "0/.zarray": {"shape": [2, 4, 4], "chunks": [1, 4, 4], "dtype": "|u1"},
    }
    for name, content in files.items():
        (image / name).parent.mkdir(parents=True, exist_ok=True)
        (image / name).write_text(json.dumps(content))
    (image / "0" / "0.0.0").write_bytes(b"x" * 16)  # the other chunk is empty, so it is not there
    done = process(lab, image)
    assert (done.stored, done.submitted, done.unassigned, done.failed) == (4, 1, [], [])
    [row] = results_table(lab)
    told = json.loads(next(Path(show_result(lab, row.run).folder).glob("counts.json")).read_bytes())
    assert told["images"] == 4
    # What is stored can be opened as Zarr again: its names and folders are kept.
    stored = lab.path / "objects" / "raw" / "ome_zarr" / "HeLa"
    assert {str(path.relative_to(stored)) for path in stored.rglob("*") if path.is_file()} == {
        ".zgroup",
        ".zattrs",
        "0/.zarray",
        "0/0.0.0",
    }
    lab.close()


def test_a_copy_of_a_stored_plate_under_another_name_is_refused_and_one_that_looks_like_it_is_not(
    lab: Home, tmp_path: Path
) -> None:
    first = plate(tmp_path)
    process(lab, first)
    copied = Path(shutil.copytree(first, tmp_path / "screen-7 (1)"))
    with pytest.raises(RefusedInput, match=r"byte for byte that of the run screen-7, stored on .* go on with that one"):
        process(lab, copied)
    image = next(copied.glob("*C11*"))
    image.write_bytes(b"y" * image.stat().st_size)
    assert process(lab, copied).stored == 1  # the others are there, unseen until now

"""What commands say of runs that are not as they should be: the worst first, once, and with what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from shell import Said, shell
from tiny_run import RUN_ID, TinyLab

Command = Callable[..., Said]
CASES = Path(__file__).parents[1] / "data" / "instruments"


def plate(root: Path) -> Path:
    """Return a plate of which one well lacks an image, as its other wells tell."""
    folder = root / "screen-7"
    folder.mkdir()
    for well, channel in (("B02", 0), ("B02", 1), ("C11", 0), ("C11", 1), ("D04", 0)):
        (folder / f"PLATE7_{well}f00d{channel}.tif").write_bytes(b"x")
    return folder


def test_a_plate_that_lacks_images_is_warned_of_before_all_else(fresh_labrelay: Command, tmp_path: Path) -> None:
    folder = plate(tmp_path)
    here = "of PLATE7 5 of 6 images are here (3 wells of 2 planes each)"
    lacks = f"{here}: D04 lacks field 1 channel 2: is all here? [MISSING_IMAGE]"
    for command in ("ingest", "process"):
        said = fresh_labrelay(command, folder)
        assert said.code == 0, said.err
        assert said.out.splitlines()[0] == f"warning: {lacks}"
        assert said.err.index(f"; warning: {lacks}") < said.err.index("✓ store")
    assert fresh_labrelay("ingest", folder, "--json").json["warnings"][0]["code"] == "MISSING_IMAGE"


def test_a_run_that_is_refused_because_files_are_to_come_names_them(fresh_labrelay: Command) -> None:
    said = fresh_labrelay("process", CASES / "hcs-yokogawa-cv8000")
    assert said.code == 2
    assert "not all files have come (" in said.err
    assert "MeasurementData.mlf: of 96 listed images 95 are not here, " in said.err


def test_nobody_is_told_to_assume_complete_what_would_be_refused_all_the_same(
    fresh_labrelay: Command, tmp_path: Path
) -> None:
    (tmp_path / "S_S1_L001_R2_001.fastq.gz").write_bytes(b"x")
    (tmp_path / "MD5.txt").write_text("d41d8cd98f00b204e9800998ecf8427e  S_S1_L001_R1_001.fastq.gz\n")
    said = fresh_labrelay("process", tmp_path)
    assert said.code == 2
    assert (
        "not all files have come (MD5.txt); --assume-complete alone would not take it either [NOT_COMPLETE]" in said.err
    )
    assert "[LONE_R2]" in said.err


def test_a_folder_of_links_is_told_first_that_it_holds_links(
    fresh: TinyLab, fresh_labrelay: Command, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    folder = landing / "links"
    folder.mkdir(parents=True)
    for name in ("a_R1.fastq", "b_R1.fastq"):
        (folder / name).symlink_to(tmp_path / name)
    told = "it holds links only (a_R1.fastq, b_R1.fastq), and links are not followed: put the files themselves there"
    first, *rest = fresh_labrelay("inspect", folder).err.splitlines()[1:]
    assert (first.strip().startswith(told), rest) == (True, [])
    with (fresh.home / "labrelay.toml").open("a") as settings:
        settings.write(f'\nlanding = ["{landing}"]\n')
    assert told in fresh_labrelay("watch").out
    (folder / "notes.rst").write_text("x")
    links, unknown = fresh_labrelay("inspect", folder).err.splitlines()[1:]
    assert links.strip().startswith("it holds links (a_R1.fastq, b_R1.fastq)")
    assert unknown.endswith("[UNKNOWN_FOLDER]")


def test_inspect_says_above_its_tables_that_there_are_problems_and_that_a_run_would_be_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = shell(monkeypatch)("inspect", plate(tmp_path))
    assert "problems   1 warning: told at the end\n\n" in said.out
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "S_S1_L001_R2_001.fastq.gz").write_bytes(b"x")
    said = shell(monkeypatch)("inspect", tmp_path / "half")
    assert (said.code, "process    would refuse it as it is now: 1 error\n\n" in said.out) == (1, True)
    told = [line for line in said.out.splitlines() if line.startswith(("error: ", "warning: "))]
    assert [line.rpartition("[")[2] for line in told] == ["LONE_R2]", "RUN_ID_FROM_FOLDER]", "NO_SAMPLE_SHEET]"]


def test_what_is_said_of_every_plain_folder_is_left_to_inspect(fresh_labrelay: Command, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "S_R1.fastq").write_text("@r1\nACGT\n+\nIIII\n")
    for _ in ("as reads", "as a delivery"):
        said = fresh_labrelay("process", tmp_path / "plain")
        assert (said.code, "warning" in said.out + said.err) == (0, False)
        (tmp_path / "plain" / "samples.csv").write_text("sample,file\nS,S_R1.fastq\n")
    assert "[RUN_ID_FROM_FOLDER]" in fresh_labrelay("inspect", tmp_path / "plain").out


def test_a_run_without_a_read_is_told_in_one_way_and_asks_nobody_for_a_sample(
    fresh_labrelay: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "nothing"
    folder.mkdir()
    for mate in (1, 2):
        (folder / f"S_R{mate}.fastq").write_bytes(b"")
    said = fresh_labrelay("process", folder)
    assert (said.code, said.out.splitlines()[0].rpartition(" ")[2]) == (0, "[ZERO_YIELD]")
    assert "no sample of this run has a read: there is nothing to import or to run\n" in said.out
    assert "unassigned" not in said.out
    assert "left out" not in said.out
    assert said.err.count("✓") == 3  # parse, store, match: no tick for what was not done
    told = fresh_labrelay("process", folder, "--json").json
    assert told["left_out"] == [{"sample": "S", "reason": "there are no reads of it in this run"}]
    assert fresh_labrelay("status").out.endswith("nothing needs you\n")


def test_a_copy_of_a_stored_run_is_told_which_one_it_is(fresh: TinyLab, fresh_labrelay: Command) -> None:
    assert fresh_labrelay("ingest", fresh.run).code == 0
    assert "0 files stored, 7 there before" in fresh_labrelay("ingest", fresh.run).err
    copy = shutil.copytree(fresh.run, fresh.run.parent / "copy")
    said = " ".join(fresh_labrelay("ingest", copy).err.split())
    assert f"these are the files of the run {RUN_ID}, stored on " in said
    assert f" from {fresh.run}" in said


def test_a_dataset_without_a_sample_is_explained_as_one_that_waits_for_its_sample(
    fresh: TinyLab, fresh_labrelay: Command
) -> None:
    fresh_labrelay("process", fresh.run)
    waits = fresh_labrelay("status", "--json").json["unassigned"][0]
    for named in ("alpha", waits["dataset"], waits["dataset"][:9]):
        said = fresh_labrelay("explain", named)
        assert said.code == 2
        assert said.sentence.startswith(
            f"labrelay: alpha is a dataset of the instrument run {RUN_ID} and has no sample yet"
        )
        assert said.sentence.endswith(
            f"`labrelay assign {waits['dataset']} SAMPLE` says whose it is, then `labrelay process {fresh.run}`"
        )
    told = fresh_labrelay("explain", RUN_ID).sentence
    assert f"{RUN_ID} is an instrument run and no result: `labrelay lineage ins_" in told
    assert "there is no sample nobody" in fresh_labrelay("explain", "nobody").sentence


def test_a_label_of_datasets_of_several_samples_is_not_taken_for_one_of_them(
    fresh_labrelay: Command, tmp_path: Path
) -> None:
    (tmp_path / "samples.csv").write_text("sample,experiment\nleft,e\nright,e\n")
    fresh_labrelay("announce", tmp_path / "samples.csv")
    ids = []
    for run, sample in (("first", "left"), ("second", "right")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "S_R1.fastq").write_text(f"@{run}\nACGT\n+\nIIII\n")
        [waits] = fresh_labrelay("process", tmp_path / run, "--json").json["unassigned"]
        fresh_labrelay("assign", waits["id"], sample)
        ids.append(waits["id"])
    said = fresh_labrelay("explain", "S")
    assert said.code == 2
    assert said.sentence == (
        f"labrelay: S fits datasets of 2 samples, give the id of one: {ids[1]} of second, {ids[0]} of first"
    )
    assert "the sample smp_" in fresh_labrelay("explain", ids[0]).sentence


def test_a_run_that_has_a_uuid_for_a_name_is_called_by_its_plate(fresh: TinyLab, fresh_labrelay: Command) -> None:
    folder = CASES / "hcs-imagexpress-exported" / "9987_Plate_3420"
    said = fresh_labrelay("process", folder)
    assert said.err.startswith("✓ parse     metaxpress run 9987 (af67a541): ")
    assert "9987 of 9987 (af67a541) has no sample" in fresh_labrelay("status").out
    whole = fresh_labrelay("process", folder, "--json").json["run_id"]
    assert whole == "af67a541-a074-4ed4-a516-912d0171b177"
    for text in (whole, "9987"):
        assert "instrument run  9987 (af67a541) " in fresh_labrelay("search", text, "--kind", "instrument run").out
    assert "instrument run 9987 (af67a541) (stored; " in fresh_labrelay("lineage", whole, "--down").out
    assert fresh_labrelay("rules", "test", folder).out.startswith("9987 (af67a541): 1 sample\n")
    page = (fresh.home / "instrument-runs" / "index.html").read_text()
    assert "<bdi>9987 (af67a541)</bdi>" in page


def test_stages_that_had_nothing_to_do_get_no_tick(fresh_labrelay: Command, tmp_path: Path) -> None:
    said = fresh_labrelay("process", plate(tmp_path))
    assert [line.split()[1] for line in said.err.splitlines() if "✓" in line] == ["parse", "store", "match", "route"]


def test_more_warnings_than_a_screen_has_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    from labrelay.cli.show import show_warnings
    from labrelay.model.problem import Problem

    show_warnings([Problem(code="ODD", message=f"odd {n}") for n in range(23)], Path("page.html"))
    assert capsys.readouterr().out.splitlines()[19:] == ["warning: odd 19 [ODD]", "… and 3 more warnings: page.html"]


def test_a_mistake_in_the_rules_is_told_before_anything_is_stored(fresh: TinyLab, fresh_labrelay: Command) -> None:
    rules = fresh.home / "rules.toml"
    rules.write_text(rules.read_text().replace("workflow =", "workfow ="))
    said = fresh_labrelay("process", fresh.run)
    assert (said.code, "workfow" in said.err) == (2, True)
    assert "✓ store" not in said.err
    assert fresh_labrelay("search", "kind:instrument").out.count(RUN_ID) == 0


def test_a_workflow_that_cannot_be_submitted_is_not_said_to_be_asked_for_by_no_rule(
    fresh: TinyLab, fresh_labrelay: Command
) -> None:
    rules = fresh.home / "rules.toml"
    rules.write_text(rules.read_text().replace("[rule.parameters]\n", "[rule.parameters]\nno_such_input = 3\n"))
    assert fresh_labrelay("announce", fresh.table).code == 0
    said = fresh_labrelay("process", fresh.run)
    assert said.code == 1
    assert "no rule asked" not in said.out
    assert said.out.count("failed ") >= 1


def test_reads_that_have_a_sample_are_not_given_to_another_one_by_a_slip(
    fresh_labrelay: Command, tmp_path: Path
) -> None:
    (tmp_path / "samples.csv").write_text("sample,experiment\nleft,e\nright,e\n")
    fresh_labrelay("announce", tmp_path / "samples.csv")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "left_R1.fastq").write_text("@r\nACGT\n+\nIIII\n")
    fresh_labrelay("process", tmp_path / "run")
    said = fresh_labrelay("assign", "left", "right")
    assert said.code == 2
    assert "is left's since " in said.sentence
    assert "nothing was made of it yet: only if its reads are right's, labrelay assign dat_" in said.sentence
    assert said.sentence.endswith(" right --from left")
    assert fresh_labrelay("assign", "left", "right", "--from", "left", "--json").json["sample"] == "right"

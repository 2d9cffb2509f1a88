"""Read sets by hand: listed, located, exported and uploaded by the commands that a person types."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated import Emulated
from shell import Said, shell
from tiny_run import TinyLab, announcement, fastq, make_run

from labrelay.stores.healthomics_reads import HealthOmicsReadStore

Command = Callable[..., Said]
ROLE = "arn:aws:iam::123456789012:role/labrelay-healthomics"


@pytest.fixture
def mates(tmp_path: Path) -> list[Path]:
    """Make a pair of FASTQ files that no instrument run has."""
    return pair(tmp_path, "topup")


def pair(folder: Path, seed: str) -> list[Path]:
    paths = [folder / f"{seed}_R{mate}.fastq.gz" for mate in (1, 2)]
    for mate, path in enumerate(paths, start=1):
        path.write_bytes(gzip.compress(fastq(seed, 20, mate).encode(), mtime=0))
    return paths


def test_read_sets_are_listed_with_whose_they_are(labrelay: Command) -> None:
    rows = labrelay("reads", "list", "--json").json
    assert [(row["sample"], row["status"], row["here"], row["lane"]) for row in rows] == [
        ("alpha", "ACTIVE", True, 1),
        ("beta", "ACTIVE", True, 1),
    ]
    assert rows[0]["files"] == ["alpha_S1_L001_R1_001.fastq.gz", "alpha_S1_L001_R2_001.fastq.gz"]
    [line] = labrelay("reads", "list", "--sample", "beta").out.splitlines()[1:]
    assert line.startswith(f"beta    {rows[1]['read_set']}")
    said = labrelay("reads", "list", "--sample", "gamma")
    assert (said.code, "there is no sample gamma" in said.sentence) == (2, True)


def test_uris_of_a_folder_are_paths_that_hold_the_reads(labrelay: Command, lab: TinyLab) -> None:
    [first, *_] = labrelay("reads", "list", "--json").json
    lines = labrelay("reads", "uris", first["read_set"][:12]).out.splitlines()
    assert [gzip.decompress(Path(line).read_bytes())[:5] for line in lines] == [b"@M045", b"@M045"]
    [place] = labrelay("reads", "uris", "--sample", "alpha", "--json").json
    assert (place["locations"], place["s3"]) == (lines, [])
    assert lab.home in Path(lines[0]).parents


@pytest.mark.parametrize("verb", ["uris", "activate", "export"])
def test_a_verb_without_reads_says_how_to_name_them(labrelay: Command, verb: str) -> None:
    more = ("--to", "x") if verb == "export" else ()
    said = labrelay("reads", verb, *more)
    assert said.code == 2
    assert "--sample NAME" in said.sentence
    said = labrelay("reads", verb, "rds_nothing", *more)
    assert (said.code, "there is no read set rds_nothing" in said.sentence) == (2, True)


def test_nothing_on_a_disk_is_archived(labrelay: Command) -> None:
    assert labrelay("reads", "activate", "--experiment", "tiny-study").out == "2 read sets of 2 can be read\n"


def test_reads_are_copied_to_a_folder_and_other_bytes_stay(labrelay: Command, tmp_path: Path) -> None:
    target = tmp_path / "out"
    said = labrelay("reads", "export", "--experiment", "tiny-study", "--to", target)
    assert (said.code, said.out) == (0, f"2 read sets exported to {target}\n"), said.err
    files = sorted(path for path in target.rglob("*") if path.is_file())
    assert len(files) == 4
    assert labrelay("reads", "export", "--experiment", "tiny-study", "--to", target).code == 0
    files[0].chmod(0o644)
    files[0].write_bytes(b"mine")
    said = labrelay("reads", "export", "--experiment", "tiny-study", "--to", target)
    assert (said.code, "holds other bytes; name another folder" in said.sentence) == (2, True)
    assert files[0].read_bytes() == b"mine"
    said = labrelay("reads", "export", "--sample", "alpha", "--to", "s3://bucket/x")
    assert (said.code, "keeps its reads in a folder" in said.sentence) == (2, True)


def test_an_upload_is_a_read_set_of_its_sample_that_a_workflow_can_run_on(
    fresh: TinyLab, fresh_labrelay: Command, mates: list[Path], tmp_path: Path
) -> None:
    assert fresh_labrelay("announce", announcement(tmp_path / "samples.csv")).code == 0
    made = fresh_labrelay("reads", "upload", *mates, "--sample", "alpha", "--json")
    assert made.code == 0, made.err
    again = fresh_labrelay("reads", "upload", *mates, "--sample", "alpha")
    assert again.out.startswith(f"{made.json['id']}  alpha: topup_R1.fastq.gz, topup_R2.fastq.gz")
    [row] = fresh_labrelay("reads", "list", "--json").json
    assert (row["read_set"], row["status"], row["sample"]) == (made.json["id"], "ACTIVE", "alpha")
    done = fresh_labrelay("submit", "count_reads", "--sample", "alpha", "--wait", "--json")
    assert done.code == 0, done.err
    [result] = fresh_labrelay("results", "list", "--json").json
    assert (result["sample"], result["verdict"]) == ("alpha", "warn")
    assert row["instrument_run"] in fresh_labrelay("lineage", row["read_set"]).out
    assert fresh_labrelay("sweep").code == 0


def test_reads_that_the_gate_refuses_are_not_uploaded(
    fresh_labrelay: Command, mates: list[Path], tmp_path: Path
) -> None:
    assert fresh_labrelay("announce", announcement(tmp_path / "samples.csv")).code == 0
    mates[1].write_bytes(mates[1].read_bytes()[:-20])
    said = fresh_labrelay("reads", "upload", *mates, "--sample", "alpha")
    assert said.code == 2
    assert "topup_R2.fastq.gz" in said.err
    said = fresh_labrelay("reads", "upload", *reversed(pair(tmp_path, "topup")), "--sample", "alpha")
    assert said.code == 2
    assert "R1 and R2 are swapped" in said.err
    assert fresh_labrelay("reads", "list", "--json").json == []


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (("none_R1.fastq.gz",), "there is no file"),
        (("topup_R1.fastq.gz", "topup_R1.fastq.gz"), "was given twice"),
        (("topup_R1.fastq.gz", "topup_R2.fastq.gz", "topup_R2.fastq.gz"), "3 files were given"),
        (("samples.csv",), "holds no reads by its name"),
    ],
)
def test_a_wrong_upload_is_one_sentence(
    fresh_labrelay: Command, mates: list[Path], tmp_path: Path, files: tuple[str, ...], sentence: str
) -> None:
    assert mates
    assert fresh_labrelay("announce", announcement(tmp_path / "samples.csv")).code == 0
    said = fresh_labrelay("reads", "upload", *(tmp_path / name for name in files), "--sample", "alpha")
    assert (said.code, sentence in said.sentence) == (2, True), said.sentence


@pytest.fixture
def on_healthomics(emulator: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command with a new home of the profile healthomics, in which the samples are announced."""
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    run = shell(monkeypatch, tmp_path / "lab")
    asked = ("--bucket", "lab-reads", "--role-arn", ROLE, "--name", "reads by hand")
    assert run("init", "--profile", "healthomics", *asked).code == 0
    assert run("announce", announcement(tmp_path / "samples.csv")).code == 0
    return run


def test_on_healthomics_reads_are_uploaded_located_exported_and_activated(
    on_healthomics: Command, emulator: Emulated, mates: list[Path], tmp_path: Path
) -> None:
    made = on_healthomics("reads", "upload", *mates, "--sample", "alpha", "--json")
    assert made.code == 0, made.err
    s3 = emulator.client("s3")
    uris = on_healthomics("reads", "uris", "--sample", "alpha").out.splitlines()
    read = [s3.get_object(**bucket_and_key(uri))["Body"].read() for uri in uris[:2]]
    assert read == [path.read_bytes() for path in mates]
    engine = on_healthomics("reads", "uris", made.json["id"], "--engine").out.splitlines()
    assert [uri.startswith("omics://") for uri in engine] == [True, True]
    said = on_healthomics("reads", "export", made.json["id"], "--to", "s3://lab-reads/out", "--json")
    assert (said.code, said.json["exported"], said.json["failed"]) == (0, [made.json["id"]], []), said.out
    assert s3.list_objects_v2(Bucket="lab-reads", Prefix="out/")["KeyCount"] == 2
    said = on_healthomics("reads", "export", made.json["id"], "--to", str(tmp_path))
    assert (said.code, "exports to S3 alone" in said.sentence) == (2, True)
    said = on_healthomics("reads", "export", made.json["id"], "--to", "s3://no-such-bucket-here/out")
    assert said.code == 1
    assert f"failed {made.json['id']}: HealthOmics did not export it" in said.out
    assert on_healthomics("reads", "activate", "--sample", "alpha").out == "1 read set of 1 can be read\n"


def test_archived_reads_are_asked_for_before_they_are_exported(
    on_healthomics: Command, mates: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = on_healthomics("reads", "upload", *mates, "--sample", "alpha", "--json").json
    monkeypatch.setattr(HealthOmicsReadStore, "activate", lambda _store, ids: tuple(ids))
    monkeypatch.setattr(HealthOmicsReadStore, "export", lambda *_: pytest.fail("it was exported"))
    said = on_healthomics("reads", "export", made["id"], "--to", "s3://lab-reads/archived")
    assert (said.code, "1 of 1 read set must come out of the archive first" in said.sentence) == (1, True)
    assert on_healthomics("reads", "activate", made["id"], "--json").json == {"active": [], "waiting": [made["id"]]}


def test_a_sequence_store_that_is_gone_is_told_with_what_makes_it_anew(
    on_healthomics: Command, emulator: Emulated, tmp_path: Path
) -> None:
    omics = emulator.client("omics")
    store = omics.create_sequence_store(name="soon gone")["id"]
    home = tmp_path / "lab" / "labrelay.toml"
    home.write_text(re.sub(r'sequence_store_id = "\d+"', f'sequence_store_id = "{store}"', home.read_text()))
    omics.delete_sequence_store(id=store)
    said = on_healthomics("process", make_run(tmp_path / "landing"))
    assert said.code == 2
    assert "`labrelay init --profile healthomics` makes it anew" in said.err
    found = {each["what"]: each for each in on_healthomics("doctor", "--aws", "--json").json["findings"]}
    assert "labrelay init --profile healthomics" in found["sequences"]["fix"]


def bucket_and_key(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}

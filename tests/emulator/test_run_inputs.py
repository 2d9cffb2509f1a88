from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from emulated_runs import SETTINGS, RunLab
from emulated_storage import Storage, fastq

from labrelay.emulator.staging import Stager, make_room
from labrelay.workflows.schema import FILE, FOLDER

WDL = """version 1.1
workflow count {
  input { Array[File]+ reads  File? reference }
  call lines { input: reads, reference }
  output { File n = lines.n }
}
task lines {
  input { Array[File]+ reads  File? reference }
  command <<<
    (gzip -dc ~{sep(" ", reads)} | wc -l; ~{if defined(reference) then "head -n 1 " + reference else "true"}) > n.txt
  >>>
  output { File n = "n.txt" }
  runtime { container: "quay.io/example/count:1"  cpu: 1  memory: "1 GB" }
}
"""


@pytest.fixture
def lab(storage: Storage, s3_url: str) -> Iterator[RunLab]:
    """An account with stores, whose runs are worked on."""
    storage.import_reference()
    with RunLab(storage.service.folder, s3_url, settings=SETTINGS).working() as working:
        yield working


def uri(store: str, kind: str, key: str, file: str = "") -> str:
    return f"omics://123456789012.storage.us-east-1.amazonaws.com/{store}/{kind}/{key}{file}"


def test_read_sets_and_references_are_inputs(lab: RunLab, storage: Storage) -> None:
    pair = {"source1": storage.put("a_1.fq.gz", fastq(7, 1)), "source2": storage.put("a_2.fq.gz", fastq(7, 2))}
    read_set = storage.import_read_set(sourceFiles=pair)
    reference = storage.call("ListReferences", referenceStoreId=storage.references)["references"][0]["id"]
    one, two = (uri(storage.store, "readSet", read_set, f"/source{n}") for n in (1, 2))
    by_reference = uri(storage.references, "reference", reference)
    run = lab.run(lab.workflow(WDL), {"reads": [one, two], "reference": by_reference})
    assert run["status"] == "COMPLETED", run
    assert lab.read(f"{run['runOutputUri']}/out/n/n.txt") == b"56\n>chr1 the only one\n"
    assert set(run["resourceDigests"]) == {one, two, by_reference}


def test_the_s3_uri_of_a_read_set_is_an_input(lab: RunLab, storage: Storage) -> None:
    read_set = storage.import_read_set()
    found = storage.read_set(read_set)["files"]["source1"]["s3Access"]["s3Uri"]
    run = lab.run(lab.workflow(WDL), {"reads": [found]})
    assert run["status"] == "COMPLETED", run


def test_an_archived_read_set_fails_the_run(lab: RunLab, storage: Storage) -> None:
    read_set = storage.import_read_set()
    with storage.service.state.write() as state:
        body = state.get("readSet", read_set, storage.store)
        assert body is not None
        state.put("readSet", read_set, body | {"status": "ARCHIVED"}, storage.store)
    run = lab.run(lab.workflow(WDL), {"reads": [uri(storage.store, "readSet", read_set)]})
    assert (run["status"], run["failureReason"]) == ("FAILED", "INACTIVE_OMICS_STORAGE_RESOURCE")


def test_the_same_content_is_fetched_once_and_cannot_be_changed_by_a_task(lab: RunLab) -> None:
    given = lab.put("in/a.fq.gz", fastq(3))
    workflow = lab.workflow(WDL.replace("(gzip", "chmod u+w ~{reads[0]} || true; (gzip"))
    for _ in range(2):
        assert lab.run(workflow, {"reads": [given]})["status"] == "COMPLETED"
    (staged,) = [path for path in (Path(lab.folder) / "staged").rglob("*") if path.is_file()]
    assert staged.read_bytes() == fastq(3)
    assert staged.stat().st_mode & 0o222 == 0
    lab.put("in/a.fq.gz", fastq(4))
    assert lab.run(workflow, {"reads": [given]})["status"] == "COMPLETED"
    assert len([path for path in (Path(lab.folder) / "staged").rglob("*") if path.is_file()]) == 2


def test_the_inputs_that_were_unused_for_longest_make_room_for_later_ones(lab: RunLab) -> None:
    def staged() -> list[str]:
        return sorted(path.name for path in (lab.folder / "staged").rglob("*") if path.is_file())

    def stage(given: str, form: str = FILE) -> str:
        schema = {"properties": {"w.given": {"type": "string", "format": form}}}
        return str(Stager(lab.service, lambda: None).stage(schema, "w", {"given": given}).inputs["w.given"])

    first = stage(lab.put("in/first", b"1" * 100))
    lab.put("in/folder/second", b"2" * 100)
    stage("s3://lab/in/folder", FOLDER)
    stage(lab.put("in/third", b"3" * 100))
    before = Path(first).stat()
    make_room(lab.folder, 300)
    assert staged() == ["first", "second", "third"]
    assert stage("s3://lab/in/first") == first
    make_room(lab.folder, 299)
    assert staged() == ["first", "third"]
    make_room(lab.folder, 0)
    assert not list((lab.folder / "staged").iterdir())
    assert stage("s3://lab/in/first") == first
    assert Path(first).stat().st_mtime_ns == before.st_mtime_ns


def test_a_folder_that_a_kill_left_half_removed_is_no_input(lab: RunLab) -> None:
    (lab.folder / "staged" / "going" / "folder").mkdir(parents=True)
    make_room(lab.folder, 1)
    assert not list((lab.folder / "staged").iterdir())


def test_defaults_of_a_workflow_may_be_uris(lab: RunLab) -> None:
    given = lab.put("in/default.fq.gz", fastq(5))
    wdl = WDL.replace("File? reference }", f'File? reference = "{given}" }}', 1)
    other = lab.put("in/other.fq.gz", fastq(2))
    run = lab.run(lab.workflow(wdl), {"reads": [other]})
    assert run["status"] == "COMPLETED", run
    assert set(run["resourceDigests"]) == {other, given}


def test_runs_that_stage_one_input_at_once_all_find_it_whole(lab: RunLab) -> None:
    names = [f"part_{number:02}.txt" for number in range(20)]
    for name in names:
        lab.put(f"in/together/{name}", name.encode() * 1000)
    shapes = {"w.folder": {"type": "string", "format": FOLDER}, "w.file": {"type": "string", "format": FILE}}
    given = {"folder": "s3://lab/in/together", "file": "s3://lab/in/together/part_00.txt"}

    def stage(_number: int) -> tuple[str, str]:
        inputs = Stager(lab.service, lambda: None).stage({"properties": shapes}, "w", given).inputs
        return inputs["w.folder"], inputs["w.file"]

    with ThreadPoolExecutor(4) as pool:
        ((folder, file),) = set(pool.map(stage, range(4)))
    assert sorted(path.name for path in Path(folder).iterdir()) == names
    assert Path(file).read_bytes() == b"part_00.txt" * 1000
    assert not list(Path(lab.folder, "staged").rglob("*.partly"))

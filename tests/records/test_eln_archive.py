from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import factory
import hostile
import pytest
from rocrate.rocrate import ROCrate

from labrelay.records.crate import write_crate
from labrelay.records.documents import document
from labrelay.records.eln_archive import ElnResult, write_eln
from labrelay.records.report.page import write_report
from labrelay.records.tables import results_table, table_csv


def entry(root: Path, sample: str, **changes: Any) -> ElnResult:
    result = factory.make_result(root, sample=sample, **changes)
    folder = factory.result_folder(root, sample)
    documents = write_report(result, folder)
    return ElnResult(result, [*documents, document(write_crate(result, folder, documents), "Provenance")])


def written(root: Path, *samples: str, **changes: Any) -> tuple[zipfile.ZipFile, dict[str, dict[str, Any]]]:
    entries = [entry(root, sample, **changes) for sample in samples]
    made = write_eln(entries[0].result.experiment, entries, root / "measles.eln")
    archive = zipfile.ZipFile(made.path)
    graph = json.loads(archive.read("measles/ro-crate-metadata.json"))["@graph"]
    return archive, {e["@id"]: e for e in graph}


def test_the_archive_has_one_root_folder_named_as_itself(tmp_path: Path) -> None:
    archive, graph = written(tmp_path, "A", "B")
    with archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {"measles"}
        assert archive.namelist()[0] == "measles/ro-crate-metadata.json"
    assert graph["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}


def test_every_file_of_the_archive_is_described_with_its_size_and_hash(tmp_path: Path) -> None:
    archive, graph = written(tmp_path, "A", "B")
    files = {i: e for i, e in graph.items() if e["@type"] == "File"}
    with archive:
        names = {name.removeprefix("measles/") for name in archive.namelist()} - {"ro-crate-metadata.json"}
        assert names == set(files)
        for name, file in files.items():
            content = archive.read(f"measles/{name}")
            assert (file["sha256"], file["contentSize"]) == (hashlib.sha256(content).hexdigest(), str(len(content)))
    assert {p["@id"] for p in graph["measles-2018/"]["hasPart"]} == set(files)


def test_the_entry_carries_the_table_the_reports_figures_and_crates_and_no_bulk_data(tmp_path: Path) -> None:
    one = entry(tmp_path, "A")
    made = write_eln(one.result.experiment, [one], tmp_path / "x.eln")
    with zipfile.ZipFile(made.path) as archive:
        names = sorted(Path(name).name for name in archive.namelist())
        assert archive.read("x/measles-2018/results.csv") == table_csv(results_table([one.result]))
    assert names == [
        "allele_fractions.svg", "changes.svg", "coverage.svg", "provenance-crate.json", "report.html", "results.csv",
        "ro-crate-metadata.json", "timeline.svg", "variants.svg",
    ]  # fmt: skip


def test_a_large_document_is_named_in_the_body_and_not_packed(tmp_path: Path) -> None:
    one = entry(tmp_path, "A")
    large = tmp_path / "large.html"
    large.write_bytes(b" " * ((5 << 20) + 1))
    made = write_eln(one.result.experiment, [ElnResult(one.result, [document(large, "Big page")])], tmp_path / "x.eln")
    with zipfile.ZipFile(made.path) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".html")]
        graph = json.loads(archive.read("x/ro-crate-metadata.json"))["@graph"]
    body = next(e["text"] for e in graph if e["@id"] == "measles-2018/")
    assert "Too large for the notebook, kept with the results: Big page of A: viral_variants 1.0.0 (5.2 MB)." in body


def test_the_entry_reads_as_a_page_with_the_table_and_the_reasons(tmp_path: Path) -> None:
    archive, graph = written(tmp_path, "A", "B")
    archive.close()
    page = hostile.Page(graph["measles-2018/"]["text"])
    assert page.names.count("tr") == 3
    assert [text for text in page.texts["td"] if text in ("A", "B")] == ["A", "B"]
    assert page.texts["h2"] == ["A, warn", "B, warn"]
    assert "Breadth at 10× is 96.4 % (fail below 90 %, warn below 98 %)." in page.texts["li"]


def test_another_reader_takes_the_unpacked_archive(tmp_path: Path) -> None:
    archive, _ = written(tmp_path, "A")
    with archive:
        archive.extractall(tmp_path / "out")
    crate = ROCrate(tmp_path / "out" / "measles")
    experiment = crate.get("measles-2018/")
    assert experiment["name"] == "Measles genomes, outbreak 2018"
    assert experiment["identifier"] == "ELN-0042"
    assert experiment["genre"] == "experiment"
    assert experiment["author"]["name"] == "m.curie"


@pytest.mark.parametrize("name", hostile.NAMES)
def test_hostile_names_make_safe_paths_and_stay_text(tmp_path: Path, name: str) -> None:
    plain_archive, plain = written(tmp_path / "plain", "plain", experiment="plain")
    archive, graph = written(tmp_path / "hostile", name, experiment=name)
    with archive, plain_archive:
        for path in archive.namelist():
            assert ".." not in path
            assert path.isascii()
            assert path.isprintable()
        assert len(archive.namelist()) == len(plain_archive.namelist())
    body = hostile.Page(next(e["text"] for e in graph.values() if e.get("genre") == "experiment"))
    assert body.names == hostile.Page(plain["plain/"]["text"]).names
    assert name in body.texts["td"]
    assert graph["./"]["name"] == f"Results of {name}"


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    for root in ("a", "b"):
        written(tmp_path / root, "A", "B")[0].close()
    assert (tmp_path / "a/measles.eln").read_bytes() == (tmp_path / "b/measles.eln").read_bytes()


def test_an_archive_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    written(tmp_path, "A")[0].close()
    before = (tmp_path / "measles.eln").read_bytes()
    one = entry(tmp_path, "A")
    one.documents[0].path.unlink()
    with pytest.raises(Exception, match="Could not write"):
        write_eln(one.result.experiment, [one], tmp_path / "measles.eln")
    assert (tmp_path / "measles.eln").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".tmp")) == []

"""A stored run has a page, and its datasets of images have thumbnails, which the lab's pages and notebook show."""

from __future__ import annotations

import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_run import RUN_ID, TinyLab, announcement

sys.path.insert(0, str(Path(__file__).parents[1] / "records" / "eln"))

from fake import FakeNotebook, Hands

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, ImageSet
from labrelay.model.instrument import InstrumentRun, RunFile
from labrelay.parsers.preview import Preview, preview_tiff
from labrelay.records.report.run_thumbnails import MOST, thumbnails
from labrelay.records.report.run_views import Shot
from labrelay.steps.announce import announce
from labrelay.steps.home import Home
from labrelay.steps.process import process, take_in
from labrelay.steps.run_documents import page_of, publish_arrivals, thumbnail_of

SETTINGS = 'sandbox = "host"\neln = "fake"\neln_url = "https://notebook.test"\neln_token = "secret"\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return TinyLab(tmp_path).open()


def plate(folder: Path, name: str = "PLATE7", wells: tuple[str, ...] = ("B02", "C04")) -> Path:
    """A folder with one real image a well; each is brighter than the one before it."""
    tifffile = pytest.importorskip("tifffile")
    folder.mkdir()
    ramp = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    for number, well in enumerate(wells):
        tifffile.imwrite(folder / f"{name}_{well}f00d0.tif", ramp // 4 + 500 * number)
    return folder


def size_of(picture: Path) -> tuple[int, int]:
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_a_plate_has_a_page_and_a_sheet_of_its_wells_in_their_places(home: Home, tmp_path: Path) -> None:
    process(home, plate(tmp_path / "screen-7"))
    page = page_of(home, "images", "screen-7")
    thumbnail = thumbnail_of(home, "images", "screen-7", "PLATE7")
    assert page is not None
    assert thumbnail is not None
    assert page.path.read_text().count("data:image/png") == 2
    # Two rows of three columns, B02 to C04, each 79 pixels at most, so that a picture of 64 × 48 keeps its size.
    assert size_of(thumbnail.path) == (3 * 64 + 2, 2 * 48 + 1)
    index = (home.path / "instrument-runs" / "index.html").read_text()
    assert 'href="images/screen-7/index.html"' in index
    assert "PLATE7" in index
    assert "data:image/png" in index


def test_a_run_of_reads_that_has_a_uuid_for_a_name_is_not_called_as_its_first_sample_is(
    home: Home, tmp_path: Path
) -> None:
    uuid = "1a2b3c4d-5e6f-4a7b-8c9d-0123456789ab"
    (tmp_path / uuid).mkdir()
    (tmp_path / uuid / "S_R1.fastq").write_text("@r1\nACGT\n+\nIIII\n")
    process(home, tmp_path / uuid)
    assert f"<bdi>{uuid}</bdi>" in (home.path / "instrument-runs" / "index.html").read_text()


def test_each_plane_is_read_once_for_page_and_thumbnail(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plate(tmp_path / "screen-7")
    for well in ("B02", "C04"):
        shutil.copy(folder / f"PLATE7_{well}f00d0.tif", folder / f"PLATE7_{well}f00d1.tif")
    read: list[str] = []

    def reads(root: Path, path: str, page: int, edge: int) -> Preview | str:
        read.append(path)
        return preview_tiff(root, path, page, edge)

    monkeypatch.setattr("labrelay.records.report.run_views.preview_tiff", reads)
    done = process(home, folder)
    assert done.page is not None
    assert done.page.read_text().count("data:image/png") == 4  # two wells, and two channels of one of them
    assert sorted(read) == ["PLATE7_B02f00d0.tif", "PLATE7_B02f00d1.tif", "PLATE7_C04f00d0.tif"]


def test_what_is_there_is_not_made_again_and_what_is_missing_is(home: Home, tmp_path: Path) -> None:
    folder = plate(tmp_path / "screen-7")
    first = process(home, folder)
    assert first.page is not None
    made = first.page.stat().st_mtime_ns
    assert process(home, folder).page == first.page
    assert first.page.stat().st_mtime_ns == made
    shutil.rmtree(home.path / "instrument-runs")
    again = process(home, folder)
    assert again.stored == 0
    assert again.page == first.page
    assert thumbnail_of(home, "images", "screen-7", "PLATE7") is not None


def test_a_run_that_was_killed_before_it_was_listed_is_listed_by_the_next_try(home: Home, tmp_path: Path) -> None:
    folder = plate(tmp_path / "screen-7")
    process(home, folder)
    index = home.path / "instrument-runs" / "index.html"
    index.write_text("what came in before")
    os.utime(index, ns=(1, 1))
    process(home, folder)
    assert "screen-7" in index.read_text()


def test_a_sequencing_run_has_a_page_and_no_thumbnails(home: Home, tmp_path: Path) -> None:
    run, _stored = take_in(home, tmp_path / "landing" / RUN_ID)
    page = page_of(home, "illumina", run.run_id)
    assert page is not None
    assert "alpha" in page.path.read_text()
    assert not (page.path.parent / "thumbnails").exists()


def test_an_image_that_cannot_be_seen_is_told_on_the_page_and_hinders_nothing(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "screen-8"
    folder.mkdir()
    (folder / "PLATE8_B02f00d0.tif").write_bytes(b"no image at all")
    done = process(home, folder)
    assert done.stored == 1
    assert done.page is not None
    assert "no picture of PLATE8_B02f00d0.tif" in done.page.read_text()
    assert thumbnail_of(home, "images", "screen-8", "PLATE8") is None


def test_a_page_that_cannot_be_made_does_not_hold_the_run_back(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError("an image of which nobody thought")

    folder = plate(tmp_path / "screen-7")
    with monkeypatch.context() as patched:
        patched.setattr("labrelay.records.report.run_thumbnails.thumbnails", fails)
        done = process(home, folder)
    assert (done.stored, done.page) == (2, None)
    assert "no page of the instrument run screen-7" in caplog.text
    assert process(home, folder).page is not None


def test_the_page_of_what_came_in_names_runs_by_text_that_is_no_markup(home: Home, tmp_path: Path) -> None:
    process(home, plate(tmp_path / "<b>screen"))
    text = publish_arrivals(home).read_text()
    assert "&lt;b&gt;screen" in text
    assert "<b>screen" not in text


def file_of(label: str, path: str, well: str | None = None) -> RunFile:
    at = None if well is None else ImageAt(well=well, field=1, channel=1)
    return RunFile(path=path, size=1, role=FileRole.IMAGE, sample=label, image=at)


def run_of(platform: str, files: list[RunFile], images: tuple[ImageSet, ...] = ()) -> InstrumentRun:
    told = {"run_id": "R", "folder_name": "F", "platform": platform, "files": files, "images": images}
    return InstrumentRun.model_validate(told)


def test_each_dataset_has_a_picture_of_its_own_images_and_of_no_other() -> None:
    files = [file_of("P", "p.tif", "A01"), file_of("Q", "q1.tif", "A01"), file_of("Q", "q2.tif", "A02")]
    files.append(file_of("blank", "r.tif", "A01"))
    asked: list[str] = []

    def load(shot: Shot, edge: int) -> Preview | str:
        asked.append(shot.path)
        values = np.arange(edge * edge, dtype=np.float32).reshape(edge, edge)
        return Preview(values * (shot.path != "r.tif"), edge, edge)

    assert [label for label, _ in thumbnails(run_of("images", files), load)] == ["P", "Q"]
    assert asked == ["p.tif", "q1.tif", "q2.tif", "r.tif"]


def test_an_image_in_a_zarr_belongs_to_the_dataset_whose_chunks_lie_below_it() -> None:
    files = [file_of("one", "one.zarr/0/0/0"), file_of("two", "two.zarr/0/0/0")]
    images = tuple(ImageSet(name=name, path=f"{name}.zarr", size_c=1) for name in ("one", "two"))
    asked: list[tuple[str, str]] = []

    def load(shot: Shot, edge: int) -> Preview | str:
        asked.append((shot.path, shot.caption))
        return "not today"

    assert list(thumbnails(run_of("ome_zarr", files, images), load)) == []
    assert asked == [("one.zarr", "one"), ("two.zarr", "two")]


def test_a_run_of_very_many_datasets_has_no_thumbnails() -> None:
    def load(shot: Shot, edge: int) -> Preview | str:
        raise AssertionError("no plane is viewed")

    files = [file_of(f"S{number}", f"{number}.tif") for number in range(MOST + 1)]
    assert list(thumbnails(run_of("images", files), load)) == []


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNotebook:
    made = FakeNotebook(tmp_path / "notebook")
    monkeypatch.setattr("labrelay.steps.adapters.open_notebook", lambda kind, account: made)
    return made


def files_there(notebook: FakeNotebook) -> set[str]:
    [entry] = Hands(notebook).entries().values()
    return {name.removeprefix("file:") for name in entry["parts"] if name.startswith("file:")}


def test_the_notebook_shows_a_plate_before_any_result_and_keeps_other_labs_samples_out(
    notebook: FakeNotebook, tmp_path: Path
) -> None:
    home = TinyLab(tmp_path, settings=SETTINGS).open()
    announce(home, announcement(tmp_path / "plates.csv", ("PLATE7",)))
    process(home, plate(tmp_path / "screen-7"))
    assert files_there(notebook) == {"PLATE7-screen-7-PLATE7.png", "screen-7-run.html"}
    mixed = plate(tmp_path / "screen-8", wells=("A01",))
    shutil.copy(mixed / "PLATE7_A01f00d0.tif", mixed / "SECRET_A01f00d0.tif")
    process(home, mixed)
    assert files_there(notebook) == {
        "PLATE7-screen-7-PLATE7.png",
        "screen-7-run.html",
        "PLATE7-screen-8-PLATE7.png",
    }
    home.close()

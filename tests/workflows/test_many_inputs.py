"""A plate of images is thousands of inputs, which have no room as mounts of their own on a command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labrelay.model.states import RunState
from labrelay.workflows.local.backends import MOST_MOUNTS
from labrelay.workflows.local.sandbox import bubblewrap
from labrelay.workflows.local.staged import gather

from .conftest import Lab

WDL = """version 1.1
workflow tiny {
  input { Array[File]+ images  File alone }
  call look { input: images, alone }
  output { File said = look.said }
}
task look {
  input { Array[File]+ images  File alone }
  command <<<
    set -u
    xargs cat < "~{write_lines(images)}" | wc -l > said.txt
    cat "~{alone}" >> said.txt
    head -n 1 "~{write_lines(images)}" > first.txt
    (echo x >> "$(cat first.txt)") 2> /dev/null && echo written >> said.txt
    (chmod 777 "$(cat first.txt)") 2> /dev/null && echo changed >> said.txt
    true
  >>>
  output { File said = "said.txt" }
}
"""


def test_thousands_of_inputs_reach_a_task_in_the_sandbox_which_cannot_change_them(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    if bubblewrap() is None:
        pytest.skip("bubblewrap does not work here")
    number = MOST_MOUNTS + 2_600  # as mounts more arguments than bubblewrap takes
    folder = tmp_path / "a plate's images"
    folder.mkdir()
    images = [folder / f"{n:05d}.tif" for n in range(number)]
    for image in images:
        image.write_text("one line\n")
    alone = tmp_path / "other" / "00000.tif"
    alone.parent.mkdir()
    alone.write_text("alone\n")
    mode = images[0].stat().st_mode
    status, report = make_lab("auto").run(WDL, {"tiny.images": [str(i) for i in images], "tiny.alone": str(alone)})
    assert status.state is RunState.COMPLETE, status
    said = Path(next(file.path for file in report.files if file.output == "said")).read_text()
    assert said.split("\n") == [str(number), "alone", ""]
    assert images[0].read_text() == "one line\n"
    assert (images[0].stat().st_mode, images[0].stat().st_nlink) == (mode, 1)


def test_files_are_gathered_under_one_mount_and_folders_keep_theirs(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.txt").write_text("b")
    (tmp_path / "given").mkdir()
    work, one = ("/task/work", "/host/work", True), str(tmp_path / "in" / "b.txt")
    mounts = [work, ("/task/work/_in/0/b.txt", one, False), ("/task/work/_in/1/given", str(tmp_path / "given"), False)]
    made = gather(mounts, "/task/work/_in", tmp_path / "gathered")
    assert made == [work, ("/task/work/_in", str(tmp_path / "gathered"), False), mounts[2]]
    assert (tmp_path / "gathered" / "0" / "b.txt").read_text() == "b"
    assert (tmp_path / "gathered" / "1" / "given").is_dir()

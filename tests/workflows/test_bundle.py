from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.workflows import bundle
from labrelay.workflows.bundle import unpack_bundle, write_bundle


def folder_with(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_same_files_make_the_same_bytes_whatever_their_times_and_modes(tmp_path: Path) -> None:
    files = {"main.wdl": "version 1.1\n", "tasks/a.wdl": "a", ".hidden": "x", "__pycache__/x.pyc": "y"}
    one, two = folder_with(tmp_path / "one", files), folder_with(tmp_path / "two", dict(reversed(files.items())))
    os.utime(two / "main.wdl", (1, 1))
    (two / "tasks/a.wdl").chmod(0o600)
    assert write_bundle(one, tmp_path / "1.zip") == write_bundle(two, tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "1.zip").namelist() == ["main.wdl", "tasks/a.wdl"]


def test_a_pipelines_programs_stay_executable_and_nothing_else_of_a_mode_counts(tmp_path: Path) -> None:
    files = {"main.nf": "workflow { }", "bin/tool.py": "#!/usr/bin/env python3"}
    one, two, three = (folder_with(tmp_path / name, files) for name in ("one", "two", "three"))
    (one / "bin/tool.py").chmod(0o700)
    (two / "bin/tool.py").chmod(0o4755)
    digest = write_bundle(one, tmp_path / "1.zip")
    assert write_bundle(two, tmp_path / "2.zip") == digest
    assert write_bundle(three, tmp_path / "3.zip") != digest
    unpack_bundle(tmp_path / "1.zip", tmp_path / "out")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert modes["tool.py"] == 0o755
    assert modes["main.nf"] & 0o111 == 0


def test_an_executable_in_a_wdl_folder_changes_no_digest(tmp_path: Path) -> None:
    one = folder_with(tmp_path / "one", {"main.wdl": "version 1.1", "bin/tool.sh": "true"})
    before = write_bundle(one, tmp_path / "1.zip")
    (one / "bin/tool.sh").chmod(0o755)
    assert write_bundle(one, tmp_path / "2.zip") == before


def test_a_hostile_mode_becomes_a_plain_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "1.zip", "w") as archive:
        archive.writestr(entry("main.nf", stat.S_IFREG | 0o6777), "x")
    unpack_bundle(tmp_path / "1.zip", tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/main.nf").stat().st_mode) == 0o755


def test_one_changed_byte_changes_the_digest(tmp_path: Path) -> None:
    source = folder_with(tmp_path / "one", {"main.wdl": "a"})
    before = write_bundle(source, tmp_path / "1.zip")
    (source / "main.wdl").write_text("b")
    assert write_bundle(source, tmp_path / "2.zip") != before


def test_a_bundle_unpacks_to_what_went_in(tmp_path: Path) -> None:
    source = folder_with(tmp_path / "one", {"main.wdl": "a", "deep/er/b.txt": "é"})
    write_bundle(source, tmp_path / "1.zip")
    unpack_bundle(tmp_path / "1.zip", tmp_path / "out")
    assert (tmp_path / "out/deep/er/b.txt").read_text() == "é"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.zip", "one", "out"]


def test_a_link_is_not_followed_into_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    source = folder_with(tmp_path / "one", {"main.wdl": "a"})
    (source / "link.txt").symlink_to(tmp_path / "secret")
    write_bundle(source, tmp_path / "1.zip")
    assert zipfile.ZipFile(tmp_path / "1.zip").namelist() == ["main.wdl"]


@pytest.mark.parametrize("name", ["a b.wdl", "-rf.wdl", "con.wdl"])
def test_names_that_are_not_safe_everywhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedInput, match="BUNDLE_UNSAFE_NAME"):
        write_bundle(folder_with(tmp_path / "one", {name: "x"}), tmp_path / "1.zip")
    assert not (tmp_path / "1.zip").exists()


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([entry("../out.txt")], "BUNDLE_UNSAFE_NAME"),
        ([entry("a/../../out.txt")], "BUNDLE_UNSAFE_NAME"),
        ([entry("/etc/passwd")], "BUNDLE_UNSAFE_NAME"),
        ([entry("C:\\windows\\x")], "BUNDLE_UNSAFE_NAME"),
        ([entry("a//b")], "BUNDLE_UNSAFE_NAME"),
        ([entry(".ssh/id")], "BUNDLE_UNSAFE_NAME"),
        ([entry("link", stat.S_IFLNK | 0o777)], "BUNDLE_NOT_A_FILE"),
        ([entry("pipe", stat.S_IFIFO | 0o644)], "BUNDLE_NOT_A_FILE"),
        ([entry("Main.wdl"), entry("main.WDL")], "BUNDLE_NAME_TWICE"),
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, entries: list[zipfile.ZipInfo], code: str
) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("good.txt", "x")
        for info in entries:
            archive.writestr(info, "/etc/passwd")
    with pytest.raises(RefusedInput, match=code):
        unpack_bundle(tmp_path / "bad.zip", tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["bad.zip", "in"] or sorted(
        p.name for p in tmp_path.rglob("*")
    ) == ["bad.zip", "in"]


def test_a_bomb_is_stopped_at_the_ratio(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.txt", bytes(20_000_000))
    with pytest.raises(RefusedInput, match="BUNDLE_TOO_BIG"):
        unpack_bundle(tmp_path / "bomb.zip", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bomb.zip"]


def test_too_many_entries_are_refused_before_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_ENTRIES", 3)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", "")
    with pytest.raises(RefusedInput, match="BUNDLE_TOO_MANY_FILES"):
        unpack_bundle(tmp_path / "many.zip", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + bytes(40)])
def test_what_is_no_zip_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(RefusedInput, match="BUNDLE_NOT_A_ZIP"):
        unpack_bundle(tmp_path / "bad.zip", tmp_path / "out")


def test_a_damaged_entry_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = folder_with(tmp_path / "one", {"main.wdl": "some text " * 50})
    write_bundle(source, tmp_path / "1.zip")
    data = bytearray((tmp_path / "1.zip").read_bytes())
    data[45] ^= 0xFF
    (tmp_path / "1.zip").write_bytes(data)
    with pytest.raises(RefusedInput, match="BUNDLE_NOT_A_ZIP"):
        unpack_bundle(tmp_path / "1.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()

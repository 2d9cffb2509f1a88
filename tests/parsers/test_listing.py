from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_folders import put

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem, Severity
from labrelay.parsers.listing import copy_going_on, open_regular, read_head, read_small, walk

NOBODY = 65534


def odd(root: Path) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.path) for problem in walk(root).problems]


def test_files_come_sorted_with_size_and_time(tmp_path: Path) -> None:
    put(tmp_path, "b/c.txt", "12345")
    put(tmp_path, "a.txt")
    listing = walk(tmp_path)
    assert [(entry.path, entry.size) for entry in listing.files] == [("a.txt", 1), ("b/c.txt", 5)]
    assert listing.files[0].mtime_ns == (tmp_path / "a.txt").stat().st_mtime_ns
    assert (listing.files[1].name, listing.files[1].folder) == ("c.txt", "b")
    assert listing.find("B/C.TXT") == listing.files[1]
    assert listing.problems == ()


@pytest.mark.parametrize(
    ("path", "copied"),
    [
        ("a_S1_L001_R2_001.fastq.gz.filepart", True),
        ("run/RunInfo.xml.partial", True),
        ("hifi.bam.part", True),
        ("P_B02f00d0.TIF.tmp", True),
        ("notes.CRDOWNLOAD.docx.crdownload", True),
        ("run/.a_S1_L001_R2_001.fastq.gz.AbC123", True),
        ("run/.rsync-partial/a_R2.fastq.gz", True),
        (".~tmp~/a_R2.fastq.gz", True),
        ("a_S1_L001_R2_001.fastq.gz", False),
        ("status.txt.tmp", False),
        ("book.part", False),
        (".m54006_a.run.metadata.xml", False),
        (".samples.csv.backup", False),
        ("a.fastq.gz.sha256", False),
        ("0/.zattrs", False),
    ],
)
def test_a_file_that_is_still_being_copied_is_known_by_the_names_that_programs_give_it(
    tmp_path: Path, path: str, copied: bool
) -> None:
    put(tmp_path, path)
    problem = copy_going_on(walk(tmp_path))
    assert (problem.path if problem else None) == (path if copied else None)


def test_no_link_is_followed_to_a_file_a_folder_or_itself(tmp_path: Path) -> None:
    put(tmp_path, "secret/key", "s")
    root = tmp_path / "run"
    root.mkdir()
    (root / "file").symlink_to(tmp_path / "secret/key")
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to(root)
    (root / "broken").symlink_to("nowhere")
    assert walk(root).files == ()
    assert odd(root) == [("SYMLINK", name) for name in ("broken", "file", "folder", "loop")]


def test_a_fifo_and_a_socket_are_told_and_nothing_waits_for_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "RunInfo.xml")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's path may have 107 bytes only
        try:
            server.bind("s")
        finally:
            os.chdir(here)
        found: list[list[tuple[str, str | None]]] = []
        thread = threading.Thread(target=lambda: found.append(odd(tmp_path)), daemon=True)
        thread.start()
        thread.join(5)
    assert found == [[("NOT_A_REGULAR_FILE", "RunInfo.xml"), ("NOT_A_REGULAR_FILE", "s")]]


def test_reading_a_fifo_that_came_after_the_listing_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "RunInfo.xml")
    result: list[bytes | Problem] = []
    thread = threading.Thread(target=lambda: result.append(read_small(tmp_path, "RunInfo.xml")), daemon=True)
    thread.start()
    thread.join(5)
    (problem,) = result
    assert isinstance(problem, Problem)
    assert problem.code == "UNREADABLE"


@pytest.mark.parametrize("name", [b"caf\xe9.txt", b"new\nline", b"esc\x1b[2J", b"back\\slash", "rtl\u202etxt".encode()])
def test_a_name_that_is_not_printable_is_told_and_left_out(tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"x")
    listing = walk(tmp_path)
    assert listing.files == ()
    assert [problem.code for problem in listing.problems] == ["UNSAFE_NAME"]
    assert str(listing.problems[0]).isprintable()


@pytest.mark.parametrize("name", ["with space.txt", "quote'\".txt", "=cmd().txt", "größe.txt", "-rf"])
def test_an_unusual_name_that_can_be_shown_is_listed(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert [entry.path for entry in walk(tmp_path).files] == [name]


def test_a_hard_link_is_a_warning_and_is_listed(tmp_path: Path) -> None:
    put(tmp_path, "a")
    os.link(tmp_path / "a", tmp_path / "b")
    listing = walk(tmp_path)
    assert len(listing.files) == 2
    assert {(p.code, p.severity) for p in listing.problems} == {("HARD_LINK", Severity.WARNING)}


def test_names_that_differ_in_case_only_are_told(tmp_path: Path) -> None:
    put(tmp_path, "RunInfo.xml")
    put(tmp_path, "runinfo.xml")
    assert odd(tmp_path) == [("CASE_TWINS", "runinfo.xml")]


def test_the_walk_stops_at_its_limit_and_says_so_once(tmp_path: Path) -> None:
    for number in range(9):
        put(tmp_path, f"d{number % 3}/{number}")
    listing = walk(tmp_path, limit=4)
    assert len(listing.files) == 4
    assert [problem.code for problem in listing.problems] == ["TOO_MANY_FILES"]


def test_folders_without_end_are_not_entered(tmp_path: Path) -> None:
    put(tmp_path, "/".join(["d"] * 40) + "/f")
    assert [code for code, _ in odd(tmp_path)] == ["TOO_DEEP"]


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Yield a folder of a user without rights, as whom the test runs: the superuser reads everything."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    if os.geteuid() != 0:
        yield folder
    else:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)
    shutil.rmtree(folder)


def test_a_folder_without_rights_is_told(unprivileged: Path) -> None:
    put(unprivileged, "closed/f")
    (unprivileged / "closed").chmod(0)
    try:
        assert odd(unprivileged) == [("UNREADABLE", "closed")]
    finally:
        (unprivileged / "closed").chmod(0o700)


@pytest.mark.parametrize("name", ["absent", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, "file")
    with pytest.raises(RefusedInput) as refused:
        walk(tmp_path / name)
    assert [problem.code for problem in refused.value.problems] == ["UNREADABLE"]


def test_a_folder_named_through_a_link_is_listed(tmp_path: Path) -> None:
    put(tmp_path, "run/f")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    assert [entry.path for entry in walk(tmp_path / "link").files] == ["f"]


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "in/../../secret", "link/key", "filelink", "in", ""])
def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    put(tmp_path, "secret", "s")
    put(tmp_path, "elsewhere/key", "s")
    root = tmp_path / "run"
    put(root, "in/f", "fine")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "filelink").symlink_to(tmp_path / "secret")
    assert read_small(root, "in/f") == b"fine"
    assert isinstance(read_small(root, path), Problem)
    assert read_head(root, path) == b""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match=r".+"):
        open_regular(root, path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "a refused file leaves no descriptor open"


def test_a_file_larger_than_the_cap_is_refused_and_not_cut(tmp_path: Path) -> None:
    put(tmp_path, "f", b"12345")
    assert read_small(tmp_path, "f", cap=5) == b"12345"
    problem = read_small(tmp_path, "f", cap=4)
    assert isinstance(problem, Problem)
    assert problem.code == "TOO_LARGE"
    assert read_head(tmp_path, "f", 2) == b"12"

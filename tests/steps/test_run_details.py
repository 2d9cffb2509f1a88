"""A log of any size is shown by its end, and only that is read."""

from __future__ import annotations

from pathlib import Path

from labrelay.steps.run_details import LINES, TAIL_BYTES, _tail


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "stderr.txt"
    with log.open("wb") as out:
        out.truncate(1 << 40)  # a hole of a terabyte, which no memory takes
        out.seek(0, 2)
        out.write(b"\n" * TAIL_BYTES + b"the last words\n")
    told = list(_tail(log, str))
    assert told == [f"… earlier lines are in {log}", "the last words"]


def test_a_long_log_says_how_many_lines_are_not_shown(tmp_path: Path) -> None:
    log = tmp_path / "stderr.txt"
    log.write_text("".join(f"line {number}\n" for number in range(LINES + 3)))
    told = list(_tail(log, str))
    assert (told[0], told[1], len(told)) == (f"… 3 earlier lines are in {log}", "line 3", LINES + 1)

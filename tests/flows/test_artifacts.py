"""What Prefect's pages show of text from outside, as seen in its own pages with a browser."""

from __future__ import annotations

import json

import pytest

from labrelay.flows.artifacts import MAX_BYTES, artifact_key, cell, fitting, report, run_table
from labrelay.flows.rows import RunRow
from labrelay.model.qc import Verdict
from labrelay.model.states import RunState


def a_row(subject: str = "S1", state: RunState = RunState.COMPLETE, **values: object) -> RunRow:
    defaults = {"run_id": "run_1", "workflow": "w 1", "verdict": Verdict.PASS, "result_path": "e/s/w", "recorded": True}
    return RunRow.model_validate(defaults | {"subject": subject, "state": state} | values)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SRR_1 a_b", "SRR_1 a_b"),
        ("_a_ __b__", r"\_a\_ \_\_b\_\_"),
        ("**b** `c` ~~d~~", r"\*\*b\*\* \`c\` \~\~d\~\~"),
        ("[x](http://e.com)", r"\[x\](http\://e.com)"),
        ("![i](http://e.com/i.png)", r"!\[i\](http\://e.com/i.png)"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("https://e.com www.e.com me@e.com", r"https\://e.com www\.e.com me\@e.com"),
        ("a | b", r"a \| b"),
        ("\\| x", r"\\\| x"),
        ("&lt;b&gt; &#60; A&B", "&amp;lt;b&amp;gt; &amp;#60; A&B"),
        ("# h", r"\# h"),
        ("- item", r"\- item"),
        ("1999) item", r"1999\) item"),
        ("1.0.0", "1.0.0"),
        ("two\nlines\r\n\tof text", "two lines of text"),
        ("\x1b[31mred\u202e", r"\\x1b\[31mred\\u202e"),
        ("", "–"),
        (None, "None"),
    ],
)
def test_text_from_outside_is_shown_as_it_is_and_never_acts(text: object, shown: str) -> None:
    assert cell(text) == shown


def test_long_text_is_cut() -> None:
    assert len(cell("x" * 10_000)) == 300


def test_failed_runs_stand_first_and_say_why() -> None:
    rows = [a_row("A"), a_row("B", RunState.EXECUTOR_ERROR, reason="exit | 3", verdict=Verdict.NONE)]
    table = run_table(rows)
    assert [row["sample"] for row in table] == ["B", "A"]
    assert table[0]["reason"] == r"exit \| 3"
    assert table[0]["state"] == "executor error"


def test_a_complete_run_that_is_not_recorded_says_so() -> None:
    assert run_table([a_row(recorded=False)])[0]["state"] == "complete, not recorded yet"


def test_a_table_that_is_too_big_is_cut_and_says_by_how_much() -> None:
    table = [{"sample": f"S{n}", "reason": "x" * 1000} for n in range(5000)]
    cut = fitting(table)
    assert len(json.dumps(cut)) < MAX_BYTES + 2000
    assert cut[-1]["sample"] == f"… and {5000 - (len(cut) - 1):,} more: labrelay status"


def test_a_table_that_fits_stays() -> None:
    assert fitting([{"sample": "S1"}]) == [{"sample": "S1"}]
    assert fitting([]) == []


def test_the_report_leaves_out_zeros_and_names_what_needs_a_person() -> None:
    text = report("Run <1>", {"files stored": 1200, "read sets imported": 0}, [("S1", "no | sample")], [a_row()])
    assert r"# Run \<1\>" in text
    assert "**1,200** files stored" in text
    assert "read sets" not in text
    assert r"| S1 | no \| sample |" in text
    assert "results/e/s/w" in text


def test_the_report_of_nothing_says_so() -> None:
    assert "Nothing was to be done." in report("Run", {"files stored": 0}, [], [])


def test_a_long_report_counts_what_it_leaves_out() -> None:
    text = report("Run", {}, [(f"S{n}", "why") for n in range(1001)], [a_row(f"S{n}") for n in range(301)])
    assert "… and 701 more" in text
    assert "… and 1 more" in text


def test_keys_have_only_what_prefect_allows() -> None:
    assert artifact_key("batch", "ins_AB1", "Größe/x") == "batch-ins-ab1-gr-e-x"

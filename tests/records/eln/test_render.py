"""Names from outside are text in a notebook, and our sections keep clear of what people write."""

import parts as made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labrelay.model.qc import Verdict
from labrelay.records.eln import sections
from labrelay.records.eln.port import Judgement, Link, LinksPart, ResultsPart, SampleThere, StatusLine, StatusPart
from labrelay.records.eln.render import escaped, markdown
from labrelay.records.eln.samples import checked, sample_from

PERSONS_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60).map(
    lambda text: text.replace("Labrelay", "L")
)


def test_a_hostile_name_stays_in_its_cell() -> None:
    line = StatusLine(subject="a|b\n# c <script>*x*", state="done", text="[k](javascript:x)")
    rendered = markdown(StatusPart(lines=(line,)))
    assert rendered.splitlines()[2] == (r"| a\|b \# c &lt;script&gt;\*x\* | done | \[k\]\(javascript\:x\) |  |")


def test_a_link_cannot_end_its_brackets() -> None:
    rendered = markdown(LinksPart(links=(Link(title="a](b", url="https://x.test/>\n<script>"),)))
    assert rendered == r"- [a\]\(b](<https://x.test/%3E%0A%3Cscript%3E>)"


def test_a_verdict_that_a_person_set_says_who_why_and_what_was_computed() -> None:
    judged = Judgement(
        sample="alpha",
        run="run_1",
        workflow="w 1",
        verdict=Verdict.PASS,
        computed=Verdict.FAIL,
        reason="confirmed",
        by="ada",
    )
    rendered = markdown(ResultsPart(judgements=(judged,), rows=()))
    assert "✔ pass \\(set by ada\\: confirmed; computed\\: fail\\)" in rendered


def test_a_missing_number_is_no_zero() -> None:
    assert "| Missing | – |" in markdown(made.results())


@settings(max_examples=40)
@given(
    before=PERSONS_TEXT, after=PERSONS_TEXT, bodies=st.lists(st.sampled_from(["one", "| a |\n| b |", ""]), max_size=6)
)
def test_sections_written_in_any_order_keep_what_people_wrote(before: str, after: str, bodies: list[str]) -> None:
    text = f"{before}\n\n{after}"
    names = ["results", "status", "links"]
    for place, body in enumerate(bodies):
        text = sections.with_section(text, names[place % 3], body)
    for place, body in enumerate(bodies[-3:], max(0, len(bodies) - 3)):
        assert sections.body_of(text, names[place % 3]) == body
    for each in (before.strip(), after.strip()):
        assert each in text


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("name", ["status", "results", "links"])
def test_a_section_without_its_closing_line_ends_behind_our_own_lines(name: str, long: bool) -> None:
    many = made.results()
    part = {"status": made.status("done", "failed"), "results": many, "links": made.links()}[name]
    if long and name == "results":
        part = many.model_copy(update={"rows": many.rows * 200})
    body = sections.cut(markdown(part), 40_000)
    if long and name != "results":
        body = sections.cut("\n".join([body] * 50), 1500)
    text = sections.with_section("Mine before.", name, body)
    for theirs in ("\n\nA paragraph of mine.\n\n| my | table |", "\n- my list\n  goes on", "\n### Mine"):
        grown = text.replace(sections.closing(name), "").rstrip() + theirs
        assert sections.body_of(grown, name) == body
        again = sections.with_section(grown, name, "| newer |")
        assert again.endswith(theirs.strip("\n"))
        assert again.startswith("Mine before.")
        assert sections.body_of(again, name) == "| newer |"


def test_our_sections_stand_in_one_order_whatever_was_written_first() -> None:
    text = ""
    for name in ("links", "results", "status"):
        text = sections.with_section(text, name, name)
    assert [text.index(sections.opening(name)) for name in ("status", "results", "links")] == sorted(
        text.index(sections.opening(name)) for name in ("status", "results", "links")
    )


def test_a_text_that_is_too_long_is_cut_at_a_line_and_says_so() -> None:
    text = "\n".join(f"| row {n} |" for n in range(1000))
    short = sections.cut(text, 500)
    assert len(short) <= 500
    assert short.splitlines()[-1].startswith("… and ")
    assert sections.cut(text, 100_000) == text


@given(st.text(max_size=50))
def test_escaped_text_has_no_bare_markup(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert all(shown[i - 1 : i] == "\\" for i, c in enumerate(shown) if c in "|*_`[")


def test_samples_are_known_by_the_many_names_of_their_fields() -> None:
    fields = {
        "Sample-ID": "s1",
        "barcode": "acgtacgt",
        "aliases": "x; y",
        "Patient": "p7",
        "project": None,
        "empty": " ",
    }
    assert sample_from(fields) == SampleThere(
        name="s1", barcode="ACGTACGT", aliases=("x", "y"), attributes={"patient": "p7"}
    )


@pytest.mark.parametrize(
    ("samples", "codes"),
    [
        ([SampleThere(name="")], ["NO_SAMPLE_NAME"]),
        ([SampleThere(name="s" * 101)], ["LONG_NAME"]),
        ([SampleThere(name="s", barcode="XYZ")], ["BAD_BARCODE"]),
        ([SampleThere(name="s"), SampleThere(name="S")], ["DUPLICATE_SAMPLE"]),
        ([SampleThere(name="s", barcode="ACGT+TGCA")], []),
    ],
)
def test_announced_samples_are_checked(samples: list[SampleThere], codes: list[str]) -> None:
    assert [problem.code for problem in checked(samples)] == codes

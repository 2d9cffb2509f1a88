"""Names from outside never become paths, formulas or terminal commands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labrelay.model.names import (
    is_safe_name,
    is_safe_path,
    on_one_line,
    printable,
    safe_relative,
    slug,
    spreadsheet_cell,
)

HOSTILE = [
    "../etc/passwd",
    "a/b",
    "..",
    ".",
    "",
    "-rf",
    "a b",
    "x\0y",
    "con",
    "nul.txt",
    "a.",
    "ｆull‥width",
    "‮gnp",
    "A" * 300,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_gets_a_safe_slug(name: str) -> None:
    assert not is_safe_name(name)
    assert is_safe_name(slug(name))


@given(st.text(max_size=120))
def test_every_name_gets_a_slug_that_is_one_safe_path_part(name: str) -> None:
    assert is_safe_name(slug(name))
    assert "/" not in slug(name)


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_unsafe_names_never_share_a_slug(one: str, other: str) -> None:
    if one != other and not (is_safe_name(one) or is_safe_name(other)):
        assert slug(one) != slug(other)


def test_a_safe_name_is_its_own_slug() -> None:
    assert slug("SRR7517490_S1.L001") == "SRR7517490_S1.L001"


@pytest.mark.parametrize("path", ["/abs", "a/../b", "a//b", "./a", "a\\b", "", "a/"])
def test_a_path_that_leaves_its_folder_is_no_relative_path(path: str) -> None:
    assert safe_relative(path) is None


def test_an_ordinary_relative_path_is_taken() -> None:
    assert str(safe_relative("Data/Intensities/x.gz")) == "Data/Intensities/x.gz"


def test_escape_sequences_are_shown_and_not_sent() -> None:
    assert printable("a\x1b[31mred\nline") == "a\\x1b[31mred\\nline"
    assert len(printable("x" * 500)) == 200


@given(st.text(max_size=30))
def test_no_cell_starts_a_formula_unless_it_is_a_number(text: str) -> None:
    cell = spreadsheet_cell(text)
    if cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        float(cell)


def test_numbers_stay_numbers_in_a_spreadsheet() -> None:
    assert spreadsheet_cell("-1.5e3") == "-1.5e3"
    assert spreadsheet_cell("=cmd()") == "'=cmd()"


def test_a_sentence_of_several_lines_is_told_on_one() -> None:
    text = "nothing was taken, 1 problem in x:\n  main.wdl:3: no container. [NO_IMAGE]\x1b[31m"
    assert on_one_line(text) == "nothing was taken, 1 problem in x: main.wdl:3: no container. [NO_IMAGE]\\x1b[31m"


def test_a_safe_path_is_relative_and_of_safe_names() -> None:
    assert is_safe_path("nested/main.wdl")
    assert not any(is_safe_path(path) for path in ("", "/main.wdl", "../main.wdl", "a b/main.wdl", "nul/main.wdl"))


def test_names_that_zarr_prescribes_stay_and_no_other_hidden_ones() -> None:
    assert [slug(name) for name in (".zattrs", ".zarray")] == [".zattrs", ".zarray"]
    assert not is_safe_name(".bashrc")
    assert not is_safe_name(".zattrs.")

"""Numbers with their nouns."""

import pytest

from labrelay.model.words import counted


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 workflow runs"), (1, "1 workflow run"), (2, "2 workflow runs"), (1200, "1,200 workflow runs")],
)
def test_one_thing_is_one_and_none_or_many_are_several(number: int, said: str) -> None:
    assert counted(number, "workflow run") == said


def test_a_noun_without_s_brings_its_plural() -> None:
    assert [counted(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]

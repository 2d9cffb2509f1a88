"""Arguments are made from values without any of them becoming another argument, an option or part of a program."""

from __future__ import annotations

from typing import Any

import pytest

from labrelay.workflows.command.arguments import pieces, render

GIVEN = {"cpus": 4, "memory_gib": 2.0, "bundle": "/task/bundle"}


def made(*command: str | list[str], **values: Any) -> list[str]:
    arguments, problems = render(command, {**values, **GIVEN})
    assert problems == []
    return arguments


def refused(*command: str | list[str], **values: Any) -> list[str]:
    return [problem.code for problem in render(command, {**values, **GIVEN})[1]]


def test_values_stand_where_their_names_do_and_braces_are_doubled() -> None:
    command = ("sort", "-m", "{memory_gib}G", "-t{cpus}", "{{{word}}}", "{{word}}", "{bundle}/x.py")
    expected = ["sort", "-m", "2G", "-t4", "{a b}", "{word}", "/task/bundle/x.py"]
    assert made(*command, word="a b") == expected


def test_a_value_is_not_looked_at_for_names() -> None:
    assert made("echo", "{word}", word="{cpus} {{x}} {") == ["echo", "{cpus} {{x}} {"]


def test_a_list_becomes_arguments_and_an_empty_one_none() -> None:
    assert made("cat", "{all}", all=["/a", "/b"]) == ["cat", "/a", "/b"]
    assert made("cat", "{all}", all=[]) == ["cat"]


@pytest.mark.parametrize("value", [None, []])
def test_an_option_goes_with_its_missing_value(value: object) -> None:
    assert made("x", ["--bed", "{bed}", "end"], "{bed}", "--bed={bed}", bed=value) == ["x"]
    assert made("x", ["--bed", "{bed}"], "y") == ["x", "y"]
    assert made("x", ["--bed", "{bed}"], bed="/a.bed") == ["x", "--bed", "/a.bed"]


def test_a_flag_is_there_when_its_condition_is() -> None:
    command = ("x", ["--paired", "{?paired}"])
    assert made(*command, paired=True) == ["x", "--paired"]
    assert made(*command, paired=False) == made(*command, paired=None) == ["x"]
    assert made("x", "--paired={paired}", paired=False) == ["x", "--paired=false"]
    assert made("x", ["--both", "{?a}", "{?b}"], a=True, b=False) == ["x"]


def test_numbers_are_written_as_people_write_them() -> None:
    values = {"a": 3, "b": 3.0, "c": 0.1, "d": 1e-7, "e": True}
    assert made("x", "{a}", "{b}", "{c}", "{d}", "{e}", **values) == ["x", "3", "3", "0.1", "1e-07", "true"]


@pytest.mark.parametrize("value", ["-", "-rf", "--output=/etc/x", "-1"])
def test_text_that_would_be_an_option_is_refused(value: str) -> None:
    assert refused("x", "{word}", word=value) == ["ARGUMENT_LIKE_OPTION"]
    assert refused("x", "{empty}{word}", word=value, empty="") == ["ARGUMENT_LIKE_OPTION"]
    assert refused("x", ["--name", "{word}"], word=value) == ["ARGUMENT_LIKE_OPTION"]
    assert refused("x", "{all}", all=["a", value, value]) == ["ARGUMENT_LIKE_OPTION"] * 2


def test_behind_two_dashes_or_an_equals_sign_or_as_a_number_it_is_none() -> None:
    assert made("x", "--", "{word}", word="-rf") == ["x", "--", "-rf"]
    assert made("x", "--name={word}", "-n{word}", word="-rf") == ["x", "--name=-rf", "-n-rf"]
    assert made("x", "{shift}", "{all}", shift=-5, all=[-1.5, 2]) == ["x", "-5", "-1.5", "2"]


def test_two_dashes_from_outside_end_no_options() -> None:
    assert refused("x", "{word}", "{other}", word="--", other="-rf") == ["ARGUMENT_LIKE_OPTION"] * 2


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_what_no_program_can_be_given_is_refused(value: str) -> None:
    assert refused("x", "a{word}", word=value) == ["ARGUMENT_UNFIT"]


@pytest.mark.parametrize("argument", ["{", "}", "{a", "a}", "{}", "{a.b}", "{a b}", "{1}", "{{a}", "x{?a}", "{?a}{b}"])
def test_an_argument_that_is_not_well_formed_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=r"brace stands alone|condition"):
        pieces(argument)

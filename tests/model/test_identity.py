"""Identity: the same question has the same key, another question another one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labrelay.model.canonical import canonical_json, digest
from labrelay.model.ids import derived_id, looks_like_id
from labrelay.model.runs import RunInput, attempt_token, run_id_of, run_key

R1 = RunInput(role="r1", index=0, identity=("objects", "a", "1"))
R2 = RunInput(role="r2", index=0, identity=("objects", "b", "1"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_canonical_json_is_json_of_the_same_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value  # type: ignore[arg-type]


@given(st.lists(st.text()))
def test_a_list_of_texts_takes_a_short_way_to_the_same_spelling(value: list[str]) -> None:
    assert canonical_json(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_key_order_does_not_change_a_digest() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})


def test_what_json_cannot_say_has_no_digest() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        digest(float("nan"))


def test_inputs_in_another_order_are_the_same_run() -> None:
    assert run_key("local", "w", {"x": 1}, (R1, R2)) == run_key("local", "w", {"x": 1}, (R2, R1))


@pytest.mark.parametrize(
    "other",
    [
        run_key("healthomics", "w", {"x": 1}, (R1, R2)),
        run_key("local", "v", {"x": 1}, (R1, R2)),
        run_key("local", "w", {"x": 2}, (R1, R2)),
        run_key("local", "w", {"x": 1}, (R1,)),
        run_key("local", "w", {"x": 1}, (R1, R2), generation=1),
        run_key("local", "w", {"x": 1}, (R1, R2.model_copy(update={"identity": ("objects", "b", "2")}))),
        run_key("local", "w", {"x": 1}, (R1.model_copy(update={"role": "r2"}), R2.model_copy(update={"role": "r1"}))),
    ],
)
def test_anything_else_asked_is_another_run(other: str) -> None:
    assert run_key("local", "w", {"x": 1}, (R1, R2)) != other


def test_a_token_names_the_run_and_the_try() -> None:
    key = run_key("local", "w", {}, ())
    assert attempt_token(key, 1) == f"{key[:40]}-1"
    assert attempt_token(key, 1) != attempt_token(key, 2)
    assert run_id_of(key).startswith("run_")


def test_ids_carry_their_kind_and_are_the_same_each_time() -> None:
    assert derived_id("exp", "x") == derived_id("exp", "x") != derived_id("exp", "y")
    assert looks_like_id("run_0a", "run")
    assert not looks_like_id("sample_1", "smp")

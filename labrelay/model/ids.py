"""Ids that carry their kind: `exp_`, `smp_`, `ins_`, `run_`, `fil_` and their like.

An id is derived from what makes the thing itself, so that doing a step again after a crash finds the row of the first
time instead of making a second one.
"""

from __future__ import annotations

from typing import Literal

from labrelay.model.canonical import JSONValue, digest

Kind = Literal["exp", "smp", "ins", "dat", "run", "att", "fil", "rds", "ref", "crt", "imp", "msg", "tok", "pln"]
DIGITS = 16  # 64 bits: a clash is expected after some four thousand million rows of one kind


def derived_id(kind: Kind, *identity: JSONValue) -> str:
    """Return the id of the thing of this kind that `identity` names; the same identity gives the same id."""
    return f"{kind}_{digest(list(identity))[:DIGITS]}"


def looks_like_id(text: str, kind: Kind) -> bool:
    """Tell whether `text` is an id of this kind, or the beginning of one that a person typed."""
    return text.startswith(f"{kind}_")

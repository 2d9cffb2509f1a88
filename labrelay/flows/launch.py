"""`python -m labrelay.flows.launch server start …`: the `prefect` command with one repair of its server.

Prefect 3.8's scheduler writes runs in bulk with computed ("hybrid") attributes among the values. SQLAlchemy 2.0 left
these out; 2.1 refuses the whole insert, so that no schedule ever makes a run. The repair says: leave them out.
"""

from __future__ import annotations

import runpy
from collections.abc import MutableMapping
from typing import Any


def leave_out(_model: type[Any], _values: MutableMapping[str, Any], _value: object) -> None:
    """Write nothing of a computed attribute."""


def repair() -> int:
    """Let bulk inserts of Prefect's tables pass over computed attributes; return how many there are."""
    from prefect.server.database.orm_models import Base
    from sqlalchemy.ext.hybrid import hybrid_property

    found: set[int] = set()
    for mapper in Base.registry.mappers:
        for attribute in mapper.all_orm_descriptors:
            if isinstance(attribute, hybrid_property):
                setattr(attribute, "bulk_dml_setter", leave_out)  # noqa: B010 (SQLAlchemy 2.0 does not know it)
                found.add(id(attribute))
    return len(found)


if __name__ == "__main__":
    repair()
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)

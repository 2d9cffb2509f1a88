"""Results as Kadi's typed extra metadata: one extra called `Labrelay`, in it one of each result with its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from labrelay.model.names import printable
from labrelay.records.documents import unit_sign
from labrelay.records.eln.port import Judgement, ResultRow, ResultsPart

KEY = "Labrelay"
MOST = 2_000  # numbers; the whole table goes along as a file
Extra = dict[str, Any]


def of_results(part: ResultsPart) -> Extra:
    """Return the extra that holds a results table."""
    rows: dict[str, list[ResultRow]] = {}
    for row in part.rows[:MOST]:
        rows.setdefault(row.run, []).append(row)
    results = [_result(judged, rows.get(judged.run, [])) for judged in part.judgements]
    return {"type": "dict", "key": KEY, "value": results}


def found(extras: Sequence[Extra]) -> Extra | None:
    """Return our extra among a record's."""
    return next((extra for extra in extras if extra["key"] == KEY), None)


def replaced(extras: Sequence[Extra], ours: Extra) -> list[Extra]:
    """Return a record's extras with ours in its place, the others as they are."""
    if found(extras) is None:
        return [*extras, ours]
    return [ours if extra["key"] == KEY else extra for extra in extras]


def plain(extra: Extra | None) -> Any:
    """Return type, key, value and unit of an extra, nested ones too: what Kadi gives back of what it was given."""
    if extra is None:
        return None
    value = extra.get("value")
    if isinstance(value, list):
        value = [plain(each) for each in value]
    elif isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number
    return [extra.get("type"), extra.get("key"), value, extra.get("unit") or None]


def _result(judged: Judgement, rows: Sequence[ResultRow]) -> Extra:
    values: list[Extra] = [
        _text("sample", judged.sample),
        _text("workflow", judged.workflow),
        _text("verdict", judged.verdict.value),
    ]
    if judged.reason is not None:
        values += [_text("computed verdict", judged.computed.value), _text("verdict set because", judged.reason)]
    values += [_number(row) for row in rows]
    return {"type": "dict", "key": judged.run, "value": values}


def _text(key: str, value: str) -> Extra:
    return {"type": "str", "key": key, "value": printable(" ".join(value.split()), 500) or None}


def _number(row: ResultRow) -> Extra:
    known = row.value is not None and math.isfinite(row.value)
    made: Extra = {"type": "float", "key": row.metric, "value": row.value if known else None}
    sign = unit_sign(row.unit)
    return made | {"unit": sign} if sign else made

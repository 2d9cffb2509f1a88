"""Sample sheets as nf-core's pipelines read them: CSV (RFC 4180) with a header, one row a lane."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from labrelay.workflows.shapes import NAMED
from labrelay.workflows.specs import SamplesheetSpec

SHEET = "samplesheet"


def is_sheet(value: Any) -> bool:
    """Tell whether an input's value is rows for a sheet, which the engine has to write."""
    return isinstance(value, dict) and set(value) == {SHEET}


def sheet_csv(rows: Sequence[Mapping[str, str | None]], columns: Sequence[str] = ()) -> str:
    """Return rows as CSV with `\\n` line ends; what is quoted is quoted by RFC 4180, and None is an empty cell.

    Args:
        rows: With the same keys each; rows that came through canonical JSON have lost the order of their keys.
        columns: The columns in order; keys of the rows that are not among them follow. None given: the rows' order.
    """
    keys = dict.fromkeys(key for row in rows for key in row)
    names = [*(name for name in columns if name in keys), *(key for key in keys if key not in columns)]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def sheet_shape(spec: SamplesheetSpec, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the schema of the sheet's parameter: rows by the mapping, or else a file of the user's own.

    Args:
        spec: Says which columns hold files.
        own: What the pipeline says of the parameter.
    """
    rows = {
        "type": "object",
        "properties": {name: _cell(source) for name, source in spec.columns.items()},
        "required": list(spec.columns),
        "additionalProperties": False,
    }
    sheet = {
        "title": "sample sheet",
        "type": "object",
        "properties": {SHEET: {"type": "array", "items": rows, "minItems": 1}},
        "required": [SHEET],
        "additionalProperties": False,
    }
    file = {key: value for key, value in (own or {}).items() if key not in ("default", "description", "hidden")}
    words = {"description": own["description"]} if own and "description" in own else {}
    return {"anyOf": [sheet, file | NAMED["File"]], **words}


def _cell(source: str) -> dict[str, Any]:
    if source.startswith(("reads.", "reference.")):
        return {"anyOf": [dict(NAMED["File"]), {"type": "null"}]}
    return dict(NAMED["String"])

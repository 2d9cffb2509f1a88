"""Sample sheets as nf-core's pipelines read them: CSV (RFC 4180) with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence


def sheet_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as CSV; the first row's keys, in their order, are the columns of all."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

"""What a POD5 file tells of its run: flow cell, sample, kit, position, times; its signal is not read.

After the format's specification (nanoporetech/pod5-file-format, docs/SPECIFICATION.md): a signature, embedded Arrow
files, a footer in FlatBuffers that says where they lie, its length, a section marker and the signature again. Files
older than 0.2 have no table of runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labrelay.model.problem import Problem
from labrelay.parsers.arrow import Value, first_rows
from labrelay.parsers.flatbuffer import Table, number
from labrelay.parsers.listing import open_regular
from labrelay.parsers.text import warning

SIGNATURE = b"\x8bPOD\r\n\x1a\n"
_TAIL = 32  # the footer's length, the section marker, the signature
_FOOTER, _TABLE = 1 << 16, 1 << 22  # most bytes: real ones have some hundred and some ten thousand
_RUN_INFO = 4
_MOST_ROWS = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SignalRun:
    """The run of a POD5 file; of a file that several runs were merged into, what they have in common.

    Attributes:
        acquisition: The acquisition's id, 40 hexadecimal digits.
        run_id: The protocol run's id, a UUID.
        experiment: The protocol group.
        device, device_type: Of the machine, such as `PC24B212` and `PromethION 24`.
        started: Of the acquisition.
    """

    acquisition: str | None = None
    run_id: str | None = None
    experiment: str | None = None
    sample: str | None = None
    flow_cell: str | None = None
    flow_cell_type: str | None = None
    kit: str | None = None
    position: str | None = None
    device: str | None = None
    device_type: str | None = None
    software: str | None = None
    sample_rate: int | None = None
    started: datetime | None = None


def signal_run(root: Path, path: str) -> SignalRun | Problem | None:
    """Return the run that a POD5 file tells of; None when it is of a version that has no table of runs.

    Cost: three small reads at the file's end, whatever its size.

    Args:
        root: The folder that was listed.
        path: Below it.
    """
    try:
        with os.fdopen(open_regular(root, path), "rb") as source:
            descriptor = source.fileno()
            table = _table(descriptor, os.fstat(descriptor).st_size)
        rows = None if table is None else first_rows(table, _MOST_ROWS)
    except (OSError, ValueError) as bad:
        what = f"it is no whole POD5 file ({bad}), so it tells nothing of its run: copy it again"
        return warning("BAD_POD5", what, path)
    return _run_of(rows) if rows else None


def _table(descriptor: int, size: int) -> bytes | None:
    tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    if len(tail) < _TAIL or not tail.endswith(SIGNATURE):
        raise ValueError("its last bytes are not the signature")
    length = number(tail, 0, "q")
    if not 0 < length <= min(_FOOTER, size - _TAIL):
        raise ValueError("its footer is longer than it may be")
    footer = Table.root(os.pread(descriptor, length, size - _TAIL - length))
    for part in footer.tables(3):
        if part.integer(3, "h") == _RUN_INFO:
            at, length = part.integer(0, "q"), part.integer(1, "q")
            if not (at >= 0 and 0 < length <= _TABLE and at + length <= size):
                raise ValueError("its table of runs is longer than it may be")
            return os.pread(descriptor, length, at)
    return None


def _run_of(rows: Sequence[Mapping[str, Value]]) -> SignalRun:
    def common(name: str) -> Value:
        found = {row.get(name) for row in rows}
        return found.pop() if len(found) == 1 else None

    def text(name: str) -> str | None:
        value = common(name)
        return value.strip()[:500] or None if isinstance(value, str) else None

    rate, started = common("sample_rate"), common("acquisition_start_time")
    return SignalRun(
        acquisition=text("acquisition_id"),
        run_id=text("protocol_run_id"),
        experiment=text("experiment_name"),
        sample=text("sample_id"),
        flow_cell=text("flow_cell_id"),
        flow_cell_type=text("flow_cell_product_code"),
        kit=text("sequencing_kit"),
        position=text("sequencer_position"),
        device=text("system_name"),
        device_type=text("system_type"),
        software=text("software"),
        sample_rate=rate if isinstance(rate, int) else None,
        started=_time(started) if isinstance(started, int) else None,
    )


def _time(milliseconds: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None

"""What is known of an instrument run in a line each, as the terminal and the run's page tell it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from labrelay.model.instrument import Detection, InstrumentRun
from labrelay.model.run_tables import plate_text


def run_facts(run: InstrumentRun, seen: Sequence[Detection] = ()) -> list[tuple[str, str]]:
    """Return what is known of a run, each with its heading; what is not known has no line.

    Args:
        run: What is told; personal fields are left out.
        seen: All that its folder seemed to be.
    """
    return [(name, value) for name, value in _facts(run, seen) if value]


def _facts(run: InstrumentRun, seen: Sequence[Detection]) -> Iterator[tuple[str, str | None]]:
    """Yield what is known of the run, each with its heading; what is not known is None."""
    evidence = next((each.evidence for each in seen if each.platform == run.platform), ())
    others = [each.platform for each in seen if each.platform != run.platform]
    yield "platform", " ".join(part for part in (run.platform, run.instrument_model, run.instrument_serial) if part)
    yield "seen by", ", ".join(evidence)
    yield "could be", f"{', '.join(others)} as well; --as PLATFORM reads it so" if others else None
    yield "run", run.run_id
    yield run.place, run.folder_name if run.folder_name != run.run_id else None
    yield "software", run.software
    cell = (run.flow_cell, run.flow_cell_type, f"position {run.position}" if run.position else None)
    yield "flow cell", ", ".join(part for part in cell if part)
    yield "grid", run.grid
    yield "plate", plate_text(run)
    yield "started", _moment(run)
    yield "ended", f"{run.ended.isoformat()}{_zone(run.ended)}" if run.ended else None
    yield "recipe", _recipe(run)
    for name, fact in run.completion:
        yield name, f"{fact.value}{f' ({fact.evidence})' if fact.evidence else ''}"


def _moment(run: InstrumentRun) -> str | None:
    """Return the start as it was read; without a zone that is said."""
    if run.started is None:
        return run.started_text
    told = run.started.isoformat() + _zone(run.started)
    return told if run.started_text in (None, run.started.isoformat()) else f"{told}, written as {run.started_text}"


def _zone(moment: datetime) -> str:
    return "" if moment.tzinfo else " (without a zone)"


def _recipe(run: InstrumentRun) -> str:
    reads = [f"{each.cycles}{' (index)' if each.is_index else ''}" for each in run.reads]
    return f"{' + '.join(reads)} cycles" if reads else ""

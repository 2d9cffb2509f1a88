"""Sanger sequencing: a folder of `.ab1` traces (or `.fsa` fragment analyses), each a sample's measurement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, SheetSample
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.model.words import counted
from labrelay.parsers.abif import MAGIC, Trace, parse_abif
from labrelay.parsers.listing import Entry, Listing, read_head, read_small
from labrelay.parsers.text import error, warning

NAME = "sanger"
LOOKED_FOR = "*.ab1, *.abi or *.fsa"
_ENDINGS = (".ab1", ".abi", ".fsa")
_MOST_TRACES = 2000  # twenty plates; a trace is read whole
_SHOWN = 100


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds traces; one that begins as such makes it certain enough."""
    traces = [entry for entry in listing.files if _is_trace(entry)]
    if not traces:
        return None
    fine = any(MAGIC in read_head(listing.root, entry.path, 132) for entry in traces[:3])
    evidence = tuple(entry.path for entry in traces[:3])
    return Detection(platform=NAME, confidence=0.9 if fine else 0.5, evidence=evidence)


def _is_trace(entry: Entry) -> bool:
    return entry.name.lower().endswith(_ENDINGS)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the traces as a run; a trace without a sample's name is called by its file.

    Args:
        folder: As the caller named it.
        listing: Of that folder, or of one file.
    """
    name = folder.resolve().name
    entries = [entry for entry in listing.files if _is_trace(entry)]
    traces: dict[str, Trace] = {}
    problems = list(listing.problems)
    for entry in entries[:_MOST_TRACES]:
        trace, found = _trace(listing, entry)
        problems += found
        if trace is not None:
            traces[entry.path] = trace
    if len(entries) > _MOST_TRACES:
        what = f"it holds {len(entries):,} traces; only the first {_MOST_TRACES:,} were read, the others are not taken"
        problems.append(warning("TOO_MANY_TRACES", what))
    if not traces:
        problems.append(error("NO_TRACES", "none of its files is a trace that can be read; bring them again"))
    problems += _unnamed(traces)
    files = [_file(entry, traces.get(entry.path)) for entry in listing.files]
    found_traces = list(traces.values())
    run_id, told = _run_id(found_traces, name)
    return InstrumentRun(
        run_id=run_id,
        folder_name=name,
        platform=NAME,
        instrument_model=_one(trace.model for trace in found_traces),
        instrument_serial=_one(trace.machine for trace in found_traces),
        software=_one(trace.software for trace in found_traces),
        started=min((trace.started for trace in found_traces if trace.started), default=None),
        ended=max((trace.ended for trace in found_traces if trace.ended), default=None),
        samples=tuple(_samples(files, traces)),
        files=tuple(files),
        qc=tuple(metric for path, trace in traces.items() for metric in _metrics(path, trace)),
        completion=_completion(entries, traces),
        problems=(*problems, *told),
        raw={path: _raw(trace) for path, trace in list(traces.items())[:_SHOWN] if _raw(trace)},
        personal=dict(_personal(traces)),
    )


def _trace(listing: Listing, entry: Entry) -> tuple[Trace | None, list[Problem]]:
    data = read_small(listing.root, entry.path)
    if isinstance(data, Problem):
        # One trace of many that cannot be read does not refuse the others.
        return None, [warning(data.code, data.message, data.path)]
    return parse_abif(data, entry.path)


def _unnamed(traces: dict[str, Trace]) -> list[Problem]:
    paths = [path for path, trace in traces.items() if trace.sample is None]
    if not paths:
        return []
    whose = counted(len(paths), "trace says no sample", "traces say no sample")
    what = f"{whose} (SMPL1), so the name of the file is taken; assign it by hand where that is wrong"
    return [warning("EMPTY_SAMPLE_NAME", what, paths[0])]


def _label(path: str, trace: Trace) -> str:
    return trace.sample or path.rpartition("/")[2].rpartition(".")[0]


def _file(entry: Entry, trace: Trace | None) -> RunFile:
    if trace is None:
        return RunFile(path=entry.path, size=entry.size, role=FileRole.OTHER)
    sample = _label(entry.path, trace)
    return RunFile(path=entry.path, size=entry.size, role=FileRole.MEASUREMENT, sample=sample)


def _samples(files: Sequence[RunFile], traces: dict[str, Trace]) -> Iterator[SheetSample]:
    told = set()
    for file in files:
        trace = traces.get(file.path)
        if trace is not None and trace.sample is not None and file.sample not in told:
            told.add(file.sample)
            yield SheetSample(sample_id=trace.sample, project=trace.container)


def _run_id(traces: Sequence[Trace], name: str) -> tuple[str, list[Problem]]:
    """Return the run's name when all traces are of one run; a plate's traces may be of several."""
    run_name = _one(trace.run_name for trace in traces)
    if run_name is not None:
        return run_name, []
    what = "its traces do not say one run's name, so the folder's name is used; keep that name"
    return name, [warning("RUN_ID_FROM_FOLDER", what)]


def _one(values: Iterable[str | None]) -> str | None:
    """Return the value that all have, or None."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _metrics(path: str, trace: Trace) -> Iterator[QCMetric]:
    scope = path.rpartition("/")[2]
    if trace.bases is not None:
        yield QCMetric(name="bases", value=trace.bases, unit="bp", scope=scope, source=path)
        yield QCMetric(name="mean_quality", value=trace.mean_quality, unit="phred", scope=scope, source=path)


def _completion(entries: Sequence[Entry], traces: dict[str, Trace]) -> Completion:
    """A trace is written when its capillary is done: where all can be read, the instrument has stopped."""
    if not traces or len(traces) < len(entries):
        return Completion()
    return Completion(acquired=Fact(value=Known.YES, evidence=next(iter(traces))))


def _raw(trace: Trace) -> dict[str, str]:
    told = {"well": trace.well, "plate": trace.container, "run": trace.run_name, **trace.facts}
    return {name: value[:500] for name, value in told.items() if value}


def _personal(traces: dict[str, Trace]) -> Iterator[tuple[str, str]]:
    for path, trace in list(traces.items())[:_SHOWN]:
        yield from ((f"{path}: {name}", value) for name, value in trace.personal.items())

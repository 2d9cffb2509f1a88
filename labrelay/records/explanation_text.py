"""An explanation in plain sentences, under headings; what came from outside is made printable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from labrelay.model.names import printable
from labrelay.model.qc import Verdict
from labrelay.model.reads import IN_PLACE
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records.documents import (
    day_and_time,
    duration_text,
    heading,
    number_text,
    threshold_text,
    with_unit,
)
from labrelay.records.explanation import Before, Explanation, Judged, Output, ReadsFile, ReadsSource
from labrelay.stores.durable import human_bytes

SHOWN = 12  # files, samples or values that are named; the rest are counted, and in the JSON
IMAGES = "images"  # the role of images among inputs, and the platform of a folder that says nothing of a machine
BY_HAND = "by hand"
PLACES = {"local": "this machine", "healthomics": "AWS HealthOmics", "batch": "AWS Batch"}


class Part(NamedTuple):
    """A heading and its sentences."""

    heading: str
    sentences: tuple[str, ...]


def sentences(told: Explanation) -> list[Part]:
    """Return the parts of an explanation, in the order in which a person asks."""
    parts = [
        ("Asked about", _asked_about(told)),
        ("Verdict", _verdict(told)),
        ("Out of date", _stale(told)),
        ((_in_place(_of_all(told)) or "reads").capitalize(), _reads(told)),
        ("Reference", _reference(told)),
        ("Workflow", _workflow(told)),
        ("Who and why", _who(told)),
        ("Where, in what, and what it took", _where(told)),
        ("Since the result before", _before(told)),
    ]
    made = [Part(title, tuple(printable(text, 2000) for text in texts)) for title, texts in parts]
    return [part for part in made if part.sentences]


def title(told: Explanation) -> str:
    """Return one line that names the run."""
    names = _several([sample.name for sample in told.samples]) or "files of one's own"
    line = f"{told.run_id}: {told.workflow.name} {told.workflow.version} on {names}, experiment {told.experiment}"
    return printable(line, 500)


def _asked_about(told: Explanation) -> Iterator[str]:
    if told.file is not None:
        yield _output(told.file)
    metric = next((each for each in told.metrics if each.name == told.metric), None)
    if metric is not None:
        where = f", read from {metric.source}" if metric.source else ""
        yield f"{_label(metric)} is {_value(metric)}{where}; {_limits(metric)}."
        if metric.before is not None and told.before is not None:
            was = f"{with_unit(metric.before, metric.unit)}{_delta(metric)}"
            yield f"In the result before, {told.before.run_id}, it was {was}."


def _output(file: Output) -> str:
    by = f", made by task {file.task}" if file.task else ""
    return f"{file.key} ({file.id}) is the output {file.name}{by}: {human_bytes(file.size)}, sha256 {file.sha256}."


def _verdict(told: Explanation) -> Iterator[str]:
    if told.state is not RunState.COMPLETE:
        why = f": {told.failure}" if told.failure else ""
        yield f"There is no result: the run is {told.state.value}{why}."
        return
    judged = [metric for metric in told.metrics if metric.limits is not None]
    if told.overruled is not None:
        who, was = told.overruled, told.overruled.computed.value
        yield f"The verdict is {told.verdict.value}, set by {who.by} in place of {was}: {who.reason}."
    elif not told.metrics:
        yield "The workflow gives no numbers that could be judged."
    elif not judged:
        yield "No limits are set for this workflow, so nothing was judged."
    else:
        yield f"The verdict is {told.verdict.value}."
    for bad in (Verdict.FAIL, Verdict.WARN, Verdict.PASS):
        for metric in (each for each in judged if each.verdict is bad):
            yield f"{_label(metric)} is {_value(metric)} ({_limits(metric)})."


def _label(metric: Judged) -> str:
    named = heading(metric.name, {metric.name: metric.label} if metric.label else {})
    return named if metric.scope in ("run", "sample") else f"{named}, {metric.scope}"


def _value(metric: Judged) -> str:
    return "missing" if metric.value is None else with_unit(metric.value, metric.unit)


def _limits(metric: Judged) -> str:
    if metric.limits is None:
        return "no limits are set for it"
    return f"{metric.verdict.value}: {threshold_text(metric.limits, metric.unit)}"


def _stale(told: Explanation) -> Iterator[str]:
    if told.replaced_by:
        why = f", since {told.stale}" if told.stale else ""
        yield f"The result of {told.replaced_by} counts in its place{why}: `labrelay explain {told.replaced_by}`."
    elif told.stale:
        yield f"It is out of date: {told.stale}; see `labrelay reprocess --plan`."


def _reads(told: Explanation) -> Iterator[str]:
    for source in told.sources:
        yield _source(source)
        yield from _files(source.files)
    if told.others:
        noun = "file was" if len(told.others) == 1 else "files were"
        yield f"{len(told.others):,} {noun} given that no instrument run of the records holds."
        yield from _files(told.others)


def _source(source: ReadsSource) -> str:
    machine = " ".join(part for part in (source.model, source.serial) if part) or source.platform
    kind = _in_place(source.files)
    if kind == IMAGES:
        what = counted(len(source.files), "image")
    elif kind is not None:
        what = f"{counted(len(source.files), 'file')} of {kind}"
    else:
        count = f"{source.reads:,} reads" if source.reads is not None else "reads that were not counted"
        what = f"{counted(len(source.files), 'file')} with {count}"
    lanes = (
        f", {'lane' if len(source.lanes) == 1 else 'lanes'} {', '.join(map(str, source.lanes))}" if source.lanes else ""
    )
    cell = f", flow cell {source.flow_cell}" if source.flow_cell else ""
    begun = f", begun {day_and_time(source.started)}" if source.started else ""
    # A folder of plain images is no machine's in the records.
    of = f" of {machine}" if machine != IMAGES else ""
    where = f"instrument run {source.name}{of}{cell}{lanes}{begun}"
    return f"{what} from {where}."


def _of_all(told: Explanation) -> tuple[ReadsFile, ...]:
    return tuple(file for source in told.sources for file in source.files)


def _in_place(files: tuple[ReadsFile, ...]) -> str | None:
    """Return what files that are no reads are: images, spectra or measurements; None of reads and of a mixture."""
    kinds = {file.role for file in files}
    return kinds.pop() if len(kinds) == 1 and kinds <= set(IN_PLACE.values()) else None


def _files(files: tuple[ReadsFile, ...]) -> Iterator[str]:
    for file in files[:SHOWN]:
        reads = f"{file.reads:,} reads, " if file.reads is not None else ""
        of = f" of {file.sample}" if file.sample else ""
        yield f"- {file.name}{of} ({file.id}): {reads}{human_bytes(file.size)}, sha256 {file.sha256}"
    if len(files) > SHOWN:
        yield f"- and {counted(len(files) - SHOWN, 'more file', 'more files')}: see --json"


def _reference(told: Explanation) -> Iterator[str]:
    if told.reference is None:
        if _in_place(_of_all(told)):
            return
        yield f"No reference {'was' if told.state.terminal else 'is'} used."
        return
    name = f"{told.reference.name} ({told.reference.id})" if told.reference.name else told.reference.id
    file = told.reference.file
    verb = {"ran": "were", "runs": "are", "is to run": "are to be", "was to run": "were to be"}[_ran(told)]
    yield f"The reads {verb} compared with {name}{f', sha256 {file.sha256}' if file else ''}."


def _workflow(told: Explanation) -> Iterator[str]:
    used = told.workflow
    yield f"{used.title}: {used.name} {used.version} ({used.language}), bundle {used.digest}."
    other = [each for each in told.parameters if each.differs]
    for each in other[:SHOWN]:
        default = (
            f"the default is {_plain(each.default)}" if each.default is not None else "the definition states no default"
        )
        yield f"{each.name} was set to {_plain(each.value)}; {default}."
    if len(other) > SHOWN:
        yield f"And {counted(len(other) - SHOWN, 'more parameter was', 'more parameters were')} set: see --json."
    if not other:
        yield "All parameters are the definition's defaults."
    if told.ran.tools:
        yield f"Tools: {', '.join(f'{name} {version}' for name, version in sorted(told.ran.tools.items()))}."


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _who(told: Explanation) -> Iterator[str]:
    asked = told.asked
    by = "by hand" if asked.rule in (None, BY_HAND) else f"by the routing rule “{asked.rule}”"
    again = ", computed again on purpose" if asked.generation else ""
    yield f"{asked.by} asked for it {by} on {day_and_time(asked.at)}{again}."
    if told.replaces:
        yield f"It takes the place of {_several(told.replaces)}: {told.because}."
    for sample in told.samples[:SHOWN]:
        if sample.newest != sample.revision:
            yield f"It used revision {sample.revision} of sample {sample.name}, which is at {sample.newest} now."


def _where(told: Explanation) -> Iterator[str]:
    ran = told.ran
    engine = f" by {ran.engine}" if ran.engine else ""
    held = f", held by {ran.sandbox}" if ran.sandbox else ""
    attempt = f", at attempt {told.asked.attempt}" if told.asked.attempt > 1 else ""
    yield f"It {_ran(told)} on {PLACES.get(ran.place, ran.place)}{engine}{held}{attempt}."
    yield from _tasks(told)
    if not told.state.terminal:
        return
    took = told.took
    parts = [
        f"{duration_text(took.seconds)} by the clock" if took.seconds is not None else "",
        f"{duration_text(took.cpu_seconds)} of processor time" if took.cpu_seconds is not None else "",
        f"USD {took.usd:,.2f}" if took.usd is not None else "nothing that is billed" if ran.place == "local" else "",
    ]
    if any(parts):
        yield f"It took {', '.join(part for part in parts if part)}."


def _ran(told: Explanation) -> str:
    if told.state in (RunState.QUEUED, RunState.INITIALIZING):
        return "is to run"
    if not told.state.terminal:
        return "runs"
    never = told.state is RunState.CANCELED and not told.ran.tasks and told.took.seconds is None
    return "was to run" if never else "ran"


def _tasks(told: Explanation) -> Iterator[str]:
    ran = told.ran
    if not ran.tasks:
        yield "Nothing is known of its tasks."
        return
    cached = f", of which {ran.cached:,} took an earlier result" if ran.cached else ""
    held = f", in {_several(ran.held_by)}" if ran.held_by else ""
    on = f", on {_several(ran.machines)}" if ran.machines else ""
    yield f"{counted(ran.tasks, 'task')}{held}{on}{cached}."
    missing = [image for image in ran.declared if not any(image in held for held in ran.held_by)]
    if missing and not any("sha256:" in held for held in ran.held_by):
        them = "it" if len(missing) == 1 else "them"
        yield f"The workflow declares {_several(missing)}; no container of {them} was started."
    if ran.failed:
        yield f"Failed: {_several(ran.failed)}; see `labrelay runs logs {told.run_id}`."


def _before(told: Explanation) -> Iterator[str]:
    before = told.before
    if before is None:
        if told.samples:
            yield "There is no earlier result of this workflow for the same samples."
        return
    yield f"The one before is {before.run_id} ({before.workflow}, verdict {before.verdict.value}{_ended(before)})."
    for change in before.changes:
        yield f"- {change.phrase}"
    if not before.changes:
        yield "- nothing that went into it is different: it was computed again"
    moved = [metric for metric in told.metrics if metric.before is not None and metric.before != metric.value]
    for metric in moved[:SHOWN]:
        yield f"- {_label(metric)} is {_value(metric)}, it was {with_unit(metric.before, metric.unit)}{_delta(metric)}"
    if told.metrics and not moved and any(metric.before is not None for metric in told.metrics):
        yield "- all its numbers are the same"


def _ended(before: Before) -> str:
    return f", ended {day_and_time(before.ended)}" if before.ended else ""


def _delta(metric: Judged) -> str:
    if metric.value is None or metric.before is None or metric.value == metric.before:
        return ""
    change = metric.value - metric.before
    return f" ({'+' if change > 0 else '−'}{number_text(abs(change))})"


def _several(names: tuple[str, ...] | list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")

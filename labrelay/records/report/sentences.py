"""Where a result came from and why it was judged so, in plain sentences; names stand isolated, so none can turn a line.

The sentences are `Markup`: what came from outside is escaped by `format`, and sits in `<bdi>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from markupsafe import Markup

from labrelay.model.files import FileRole
from labrelay.model.qc import Verdict
from labrelay.model.reads import IN_PLACE
from labrelay.model.words import counted
from labrelay.records.documents import day_and_time, duration_text, heading, threshold_text, utc_text, with_unit
from labrelay.records.result import Result, ResultFile
from labrelay.stores.durable import human_bytes

MOST_SAMPLES = 8


def verdict_reasons(result: Result) -> list[Markup]:
    """Return one sentence a metric that failed or warns, the failures first; one sentence when none does.

    That nothing was there to be looked at is said before all of them.
    """
    metrics = {metric.name: metric for metric in result.metrics}
    limits = {threshold.metric: threshold for threshold in result.thresholds}
    reasons = [*_of_nothing(result), *_set_by_a_person(result)]
    for bad in (Verdict.FAIL, Verdict.WARN):
        for name, verdict in result.verdicts.items():
            if verdict is not bad:
                continue
            metric = metrics.get(name)
            unit = metric.unit if metric else ""
            value = with_unit(metric.value if metric else None, unit)
            bounds = threshold_text(limits[name], unit) if name in limits else "set by a person"
            reasons.append(Markup("{} is {} ({}).").format(heading(name, result.labels), value, bounds))
    if result.verdicts and not any(v in (Verdict.FAIL, Verdict.WARN) for v in result.verdicts.values()):
        reasons.append(Markup("All {} judged numbers are within their limits.").format(len(result.verdicts)))
    if not result.verdicts:
        reasons.append(Markup("No limits are set for this workflow, so nothing was judged."))
    return reasons


def _of_nothing(result: Result) -> Iterator[Markup]:
    """Yield a sentence where not one read went in, or not one cell was found: the other numbers then say nothing."""
    for name, noun in (("cells", "cell"), ("read_pairs", "pair of reads"), ("reads", "read")):
        if any(each.name == name and each.value == 0 and each.scope in ("run", "sample") for each in result.metrics):
            yield Markup("There is not one {} in it, so that the other numbers say nothing.").format(noun)
            return


def _set_by_a_person(result: Result) -> Iterator[Markup]:
    if (override := result.override) is not None:
        day = day_and_time(datetime.fromisoformat(override.at))
        yield Markup("The verdict was set by <bdi>{}</bdi> on {}: <bdi>{}</bdi>. Computed was {}.").format(
            override.by, day, override.reason, override.computed.value
        )


def provenance(result: Result) -> list[Markup]:
    """Return the sentences that say where the result came from: reads, reference, workflow, who and when."""
    return [
        *_reads(result),
        *_reference(result),
        *_workflow(result),
        *_tasks(result),
        *_who(result),
        *_replaced(result),
    ]


def sample_names(result: Result) -> Markup:
    """Return the names of the samples, the first few of a cohort."""
    names = [Markup("<bdi>{}</bdi>").format(sample.name) for sample in result.samples[:MOST_SAMPLES]]
    more = len(result.samples) - MOST_SAMPLES
    return Markup(", ").join(names) + (f" and {more} more" if more > 0 else "")


def _reads(result: Result) -> Iterator[Markup]:
    images = _images(result)
    reads = images or [file for file in result.inputs if file.role is FileRole.READS]
    if reads:
        size = human_bytes(sum(file.ref.size for file in reads))
        files = counted(len(reads), "file")
        revisions = {sample.revision for sample in result.samples}
        revised = f", revision {max(revisions)}" if max(revisions, default=1) > 1 else ""
        noun = "sample" if len(result.samples) == 1 else "samples"
        what = images[0].name if images else "reads"
        yield Markup("The {} are {} ({}) of {} {}{}.").format(what, files, size, noun, sample_names(result), revised)
    for source in result.instrument_runs:
        machine = " ".join(part for part in (source.instrument_model, source.instrument_serial) if part)
        cell = Markup(" on flow cell <bdi>{}</bdi>").format(source.flow_cell) if source.flow_cell else ""
        when = f", begun {day_and_time(source.started)}" if source.started else ""
        # A folder of plain images says nothing of a machine.
        machine = machine or ("" if source.platform == "images" else source.platform)
        of = Markup(" of <bdi>{}</bdi>").format(machine) if machine else ""
        yield Markup("They come from instrument run <bdi>{}</bdi>{}{}{}.").format(source.run_id, of, cell, when)


def _images(result: Result) -> list[ResultFile]:
    """Return the inputs that are no reads: images, spectra or measurements."""
    return [file for file in result.inputs if file.name in IN_PLACE.values()]


def _reference(result: Result) -> Iterator[Markup]:
    if result.reference is None and _images(result):
        return
    if result.reference is None:
        yield Markup("No reference was used.")
        return
    contigs = result.reference.contigs
    count = counted(len(contigs), "sequence")
    extent = f", {count}, {sum(c.length for c in contigs):,} bp" if contigs else ""
    yield Markup("The reads were compared with reference <bdi>{}</bdi> (<code>{}</code>{}).").format(
        result.reference.name, result.reference.id, extent
    )


def _workflow(result: Result) -> Iterator[Markup]:
    engine = result.report.engine
    where = f", tasks in {result.report.sandbox}" if result.report.sandbox else ""
    yield Markup("<bdi>{}</bdi> is workflow <code>{}</code>, version {} (bundle <code>{}</code>), run by {}{}.").format(
        result.workflow_title, result.workflow.name, result.workflow.version, result.workflow.digest[:12], engine, where
    )
    if result.report.tools:
        tools = ", ".join(f"{name} {version}" for name, version in sorted(result.report.tools.items()))
        yield Markup("Tools: {}.").format(tools)


def _tasks(result: Result) -> Iterator[Markup]:
    tasks = result.report.tasks
    cached = sum(task.cached for task in tasks)
    if cached:
        yield Markup("{} of {} took an earlier result instead of running again.").format(
            cached, counted(len(tasks), "task")
        )
    elsewhere = [t for t in tasks if t.declared_image and t.ran_in and t.declared_image not in t.ran_in]
    if elsewhere:
        places = ", ".join(sorted({task.ran_in or "" for task in elsewhere}))
        yield Markup("The workflow declares container images for {} of {}, run in {} instead.").format(
            len(elsewhere), counted(len(tasks), "task"), places
        )


def _who(result: Result) -> Iterator[Markup]:
    took = duration_text((result.ended - result.started).total_seconds())
    attempt = f" (attempt {result.attempt})" if result.attempt > 1 else ""
    yield Markup('<bdi>{}</bdi> started it on <time datetime="{}">{}</time>{}; it took {}.').format(
        result.started_by, utc_text(result.started), day_and_time(result.started), attempt, took
    )


def _replaced(result: Result) -> Iterator[Markup]:
    if result.replaces:
        older = Markup(", ").join(Markup("<code>{}</code>").format(run_id) for run_id in result.replaces)
        noun = "the result" if len(result.replaces) == 1 else "the results"
        yield Markup("It takes the place of {} of {}: <bdi>{}</bdi>.").format(noun, older, result.because)

"""What the crate says around the run: the experiment, samples and instrument, the metrics, and the root itself."""

from __future__ import annotations

from importlib.metadata import version

from labrelay.model.files import FileRole
from labrelay.records.crate_graph import CrateGraph, Ref, local_id, one_or_many, unique
from labrelay.records.crate_tools import software
from labrelay.records.documents import METADATA, heading, threshold_text, utc_text
from labrelay.records.result import InstrumentSource, Result

NO_LICENCE = "No licence was stated for this data: ask the owner of the experiment before sharing it."
PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
PROVENANCE = ("https://w3id.org/ro/wfrun/provenance/0.5", "Provenance Run Crate", "0.5")


def add_origin(graph: CrateGraph, result: Result) -> list[Ref]:
    """Describe samples and instrument runs: what was sequenced, on which machine, and which reads came of it."""
    samples = {
        sample.id: graph.add(
            local_id("sample", sample.id),
            "Sample",
            name=sample.name,
            identifier=sample.id,
            alternateName=list(sample.aliases) or None,
            version=str(sample.revision),
        )
        for sample in result.samples
    }
    return [
        *samples.values(),
        *(_add_instrument_run(graph, result, source, samples) for source in result.instrument_runs),
    ]


def _add_instrument_run(graph: CrateGraph, result: Result, source: InstrumentSource, samples: dict[str, Ref]) -> Ref:
    machine = graph.add(
        local_id("instrument", source.platform, source.instrument_serial or source.instrument_model or "unknown"),
        "IndividualProduct",
        name=source.instrument_model or source.platform,
        serialNumber=source.instrument_serial,
        category=source.platform,
    )
    alone = len(result.instrument_runs) == 1
    # A run whose parts the records do not tell apart is claimed whole when it is the only one, else not at all.
    measured = [samples[each] for each in source.samples if each in samples]
    reads = [file for file in result.inputs if file.role in (FileRole.READS, FileRole.ALIGNMENT)]
    came = [file for file in reads if file.ref.id in source.files or (alone and not source.files)]
    facts = {"flow cell": source.flow_cell, "lanes": ", ".join(map(str, source.lanes)) or None}
    return graph.add(
        local_id("instrument-run", source.run_id),
        "Action",
        name=f"Instrument run {source.run_id}",
        identifier=source.run_id,
        instrument=machine,
        startTime=source.started and utc_text(source.started),
        object=measured or list(samples.values()),
        result=unique([graph.add_stored(file) for file in came]),
        description=source.flow_cell and f"Flow cell {source.flow_cell}",
        additionalProperty=[
            graph.value(local_id("fact", "instrument-run", source.run_id, name), name, value)
            for name, value in facts.items()
            if value is not None
        ],
    )


def add_root(graph: CrateGraph, result: Result, workflow: Ref, mentions: list[Ref], licence: str | None) -> None:
    """Describe the root dataset: name, profiles, experiment, main entity, metrics and licence."""
    profiles = [*PROFILES, *([PROVENANCE] if result.report.tasks else [])]
    experiment = graph.add(
        local_id("experiment", result.experiment.id),
        "Project",
        name=result.experiment.title or result.experiment.name,
        alternateName=result.experiment.name,
        identifier=[result.experiment.id, *([result.experiment.external_id] if result.experiment.external_id else [])],
    )
    labrelay = software(graph, "Labrelay", version("labrelay"))
    stated = licence or NO_LICENCE
    is_url = stated.startswith(("https://", "http://"))
    graph.describe_root(
        name=result.title,
        description=f"{result.workflow_title}, version {result.workflow.version}: result {result.run_id} of experiment "
        f"{result.experiment.name}. Verdict: {result.verdict.value}.",
        identifier=result.run_id,
        datePublished=utc_text(result.ended),
        license=graph.add(stated, "CreativeWork", name=stated) if is_url else stated,
        conformsTo=[graph.add(url, "CreativeWork", name=name, version=number) for url, name, number in profiles],
        mainEntity=workflow,
        mentions=unique(mentions),
        about=experiment,
        creator=labrelay,
        variableMeasured=one_or_many(_add_metrics(graph, result)),
    )
    graph.entity({"@id": METADATA})["conformsTo"] = [
        {"@id": "https://w3id.org/ro/crate/1.1"},
        {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
    ]


def _add_metrics(graph: CrateGraph, result: Result) -> list[Ref]:
    limits = {threshold.metric: threshold for threshold in result.thresholds}
    refs = []
    for metric in result.metrics:
        if metric.value is None:
            continue
        limit, verdict = limits.get(metric.name), result.verdicts.get(metric.name)
        judged = f"Verdict {verdict.value} ({threshold_text(limit, metric.unit)})" if limit and verdict else None
        refs.append(
            graph.value(
                local_id("metric", metric.scope, metric.name),
                metric.name,
                metric.value,
                propertyID=metric.name,
                alternateName=heading(metric.name, result.labels),
                unitText=metric.unit or None,
                description=judged,
            )
        )
    overall = graph.value(local_id("metric", "verdict"), "verdict", result.verdict.value, propertyID="verdict")
    return [*unique(refs), overall]

"""MinKNOW's `report_*.json`: device, flow cell, software, and what the run gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.json_text import JsonObject, at, number_at, objects_at, parse_object, text_at
from labrelay.parsers.text import to_datetime

CAP = 16 * 1024 * 1024  # its plots can be large, and nothing is taken from them
_YIELD = (
    ("reads_sequenced", "read_count", "count"),
    ("reads", "basecalled_pass_read_count", "count"),
    ("reads_failed", "basecalled_fail_read_count", "count"),
    ("bases", "basecalled_pass_bases", "bp"),
    ("bases_failed", "basecalled_fail_bases", "bp"),
    ("bases_estimated", "estimated_selected_bases", "bp"),
)
# What is looked at; all else, which are plots, is dropped while reading.
_KEEP = frozenset(key for _, key, _ in _YIELD) | {
    "acquisition_run_info", "acquisitions", "basecaller_build_version", "basecalling_config_filename",
    "basecalling_model_names", "config_summary", "device", "device_id", "device_type", "end_time", "flow_cell",
    "flow_cell_id", "full", "guppy_build_version", "host", "hostname", "kit", "meta_info", "minknow", "product_code",
    "protocol_group_id", "protocol_run_info", "purpose", "run_id", "sample_id", "serial", "software_versions",
    "start_time", "state", "stop_reason", "string_value", "tags", "user", "user_info", "user_name",
    "user_specified_flow_cell_id", "value", "yield_summary",
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What is taken from a report; what it does not say is None.

    Attributes:
        facts: Further facts as text: kit, basecalling model, stop reason …
        metrics: What the sequencing acquisition gave, without a scope's name.
        personal: Names of machines and people.
    """

    run_id: str | None = None
    device: str | None = None
    device_type: str | None = None
    flow_cell: str | None = None
    sample: str | None = None
    group: str | None = None
    software: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    ended: datetime | None = None
    facts: dict[str, str] = field(default_factory=dict)
    metrics: tuple[QCMetric, ...] = ()
    personal: dict[str, str] = field(default_factory=dict)


def parse_report(data: bytes, path: str) -> tuple[Report, list[Problem]]:
    """Return what a report says.

    Args:
        data: The whole file, bounded by the caller.
        path: For messages and as the metrics' source.
    """
    report, problems = parse_object(data, path, keep=_KEEP)
    if report is None:
        return Report(), problems
    run = at(report, "protocol_run_info")
    started_text, ended = text_at(run, "start_time"), text_at(run, "end_time")
    version = text_at(run, "software_versions", "minknow", "full")
    sequencing = _sequencing(report)
    return (
        Report(
            run_id=text_at(run, "run_id"),
            device=text_at(run, "device", "device_id"),
            device_type=_product(text_at(run, "device", "device_type")),
            flow_cell=text_at(run, "flow_cell", "user_specified_flow_cell_id")
            or text_at(run, "flow_cell", "flow_cell_id"),
            sample=_told(run, "sample_id"),
            group=_told(run, "protocol_group_id"),
            software=f"MinKNOW {version}" if version else None,
            started=to_datetime(started_text) if started_text else None,
            started_text=started_text,
            ended=to_datetime(ended) if ended else None,
            facts=dict(_facts(run, sequencing)),
            metrics=tuple(_metrics(sequencing, path)),
            personal=dict(_personal(report, run, path)),
        ),
        problems,
    )


def _told(run: object, key: str) -> str | None:
    """Return what a user typed in; newer versions wrap it in an object with `value`."""
    found = text_at(run, "user_info", key, "value") or text_at(run, "user_info", key)
    return None if found in ("no_sample", "no_group") else found


def _product(device_type: str | None) -> str | None:
    """Return `PROMETHION` as people write it."""
    known = {"minion": "MinION", "gridion": "GridION", "promethion": "PromethION", "p2_solo": "P2 Solo", "p2": "P2"}
    return known.get(device_type.lower(), device_type) if device_type else None


def _sequencing(report: JsonObject) -> object:
    """Return the acquisition that sequenced: platform checks and pore scans are acquisitions too."""
    found = [at(item, "acquisition_run_info") for item in objects_at(report, "acquisitions")]
    marked = [each for each in found if text_at(each, "config_summary", "purpose") in ("SEQUENCING", "sequencing")]
    return max(marked or found, key=lambda each: number_at(each, "yield_summary", "read_count") or 0, default=None)


def _facts(run: object, sequencing: object) -> Iterator[tuple[str, str]]:
    names = (
        ("product code", text_at(run, "flow_cell", "product_code")),
        ("kit", text_at(run, "meta_info", "tags", "kit", "string_value")),
        ("basecaller", text_at(run, "software_versions", "basecaller_build_version")),
        ("basecaller", text_at(run, "software_versions", "guppy_build_version")),
        ("basecalling configuration", text_at(sequencing, "config_summary", "basecalling_config_filename")),
        ("state", text_at(sequencing, "state")),
        ("stop reason", text_at(sequencing, "stop_reason")),
    )
    models = at(sequencing, "config_summary", "basecalling_model_names")
    if isinstance(models, list) and models and isinstance(models[0], str):
        yield "basecalling model", models[0][:200]
    yield from ((name, value[:200]) for name, value in names if value)


def _metrics(sequencing: object, path: str) -> Iterator[QCMetric]:
    for name, key, unit in _YIELD:
        value = number_at(sequencing, "yield_summary", key)
        if value is not None:
            yield QCMetric(name=name, value=value, unit=unit, source=path)


def _personal(report: JsonObject, run: object, path: str) -> Iterator[tuple[str, str]]:
    for name, found in (
        ("host name", text_at(report, "host", "hostname") or text_at(report, "host", "serial")),
        ("user", text_at(run, "user_info", "user_name") or text_at(run, "user_info", "user")),
    ):
        if found:
            yield f"{path}: {name}", found[:200]

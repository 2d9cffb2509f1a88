"""What an experiment's notebook entry should say just now: its parts, computed from the records and the documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.orm import Session

from labrelay.model.experiment import Experiment
from labrelay.model.names import slug
from labrelay.records import arrivals, experiments
from labrelay.records.arrivals import ArrivalOf
from labrelay.records.documents import METADATA, Document, document
from labrelay.records.eln.port import FILE, FilePart, Link, LinksPart, Part, StatusPart
from labrelay.records.schema import ExperimentRow
from labrelay.steps.documents import documents_of, result_folder
from labrelay.steps.eln_runs import RunOf, results_part, runs_of
from labrelay.steps.eln_status import status_lines
from labrelay.steps.home import Home
from labrelay.steps.run_documents import page_of, thumbnail_of
from labrelay.steps.settings import Settings

MOST_WITH_FIGURES = 12  # results: beyond, the figures are seen in the reports only
MOST_RUNS, MOST_THUMBNAILS = 12, 12  # instrument runs, the newest, and datasets of each


def wanted_parts(home: Home, experiment_id: str) -> tuple[Experiment, list[Part]]:
    """Return an experiment with the parts that its entry shall have. Cost: ten queries, whatever its size.

    Bulk data never goes in: only the documents about results, each up to `eln_file_mib`.
    """
    with home.records.read() as session:
        experiment = experiments.experiment_of(session.get_one(ExperimentRow, experiment_id))
        runs = runs_of(session, experiment_id)
        parts = _texts(session, home.settings, experiment, runs)
        arrived = arrivals.of_experiment(session, experiment_id)
    parts += _arrived_files(home, arrived)
    counting = [run for run in runs if run.counts]
    if counting:
        parts += _files(home, experiment, counting)
    return experiment, parts


def _texts(session: Session, settings: Settings, experiment: Experiment, runs: Sequence[RunOf]) -> list[Part]:
    parts: list[Part] = [StatusPart(lines=status_lines(session, experiment.id, runs))]
    results = results_part(session, runs)
    if results.judgements:
        parts.append(results)
    if settings.base_url is not None:
        parts.append(LinksPart(links=tuple(_links(settings.base_url.rstrip("/"), experiment, runs))))
    return parts


def _links(base: str, experiment: Experiment, runs: Sequence[RunOf]) -> Iterator[Link]:
    yield Link(title=f"{experiment.name} in Labrelay", url=f"{base}/experiments/{quote(experiment.id)}")
    for run in runs:
        if run.counts:
            yield Link(title=f"Result of {run.sample}, {run.workflow}", url=f"{base}/results/{quote(run.id)}")


def _arrived_files(home: Home, arrived: Sequence[ArrivalOf]) -> Iterator[FilePart]:
    """Yield what the newest instrument runs look like: thumbnails of this experiment's datasets, and pages of runs.

    A run's page names all its samples, so that it goes only where they are all of this experiment.
    """
    named: list[tuple[str, Document | None]] = []
    for run in arrived[:MOST_RUNS]:
        if run.whole:
            named.append((f"{slug(run.run_id)}-run.html", page_of(home, run.platform, run.run_id)))
        for sample, label in run.labels[:MOST_THUMBNAILS]:
            made = thumbnail_of(home, run.platform, run.run_id, label)
            named.append((f"{slug(sample)}-{slug(run.run_id)}-{slug(label)}.png", made))
    yield from _file_parts(home, [(name, made) for name, made in named if made is not None])


def _files(home: Home, experiment: Experiment, runs: Sequence[RunOf]) -> Iterator[FilePart]:
    table = home.path / "results" / slug(experiment.name) / "results.csv"
    named = [("results.csv", document(table, "Results table"))]
    figures = len(runs) <= MOST_WITH_FIGURES
    for run in runs:
        found = documents_of(result_folder(home, run.result_path))
        named += [(_file_name(run, made), made) for made in found if figures or made.media_type != "image/svg+xml"]
    yield from _file_parts(home, named)


def _file_parts(home: Home, named: Sequence[tuple[str, Document]]) -> Iterator[FilePart]:
    largest = int(home.settings.eln_file_mib * (1 << 20))
    for name, made in named:
        # What is missing is made again by the next delivery of a result.
        if made.path.is_file() and made.path.stat().st_size <= largest:
            yield _file_part(name, made)


def _file_name(run: RunOf, made: Document) -> str:
    name = "provenance-crate.json" if made.path.name == METADATA else made.path.name
    return f"{slug(run.sample)}-{run.id.removeprefix('run_')[:8]}-{slug(name)}"


def _file_part(name: str, made: Document) -> FilePart:
    state = made.path.stat()
    sha256, md5, size = _digests(made.path, state.st_size, state.st_mtime_ns)
    return FilePart(
        name=f"{FILE}{name}",
        file_name=name,
        title=made.title,
        media_type=made.media_type,
        path=made.path,
        sha256=sha256,
        md5=md5,
        size=size,
    )


@lru_cache(maxsize=4096)
def _digests(path: Path, size: int, mtime_ns: int) -> tuple[str, str, int]:
    """Return SHA-256, MD5 and size of a file, read once while it stays as it is."""
    del size, mtime_ns  # they are in the cache's key
    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return hashlib.sha256(content).hexdigest(), md5, len(content)

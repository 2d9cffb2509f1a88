"""Step 1, announce: an experiment and its samples are known before the instrument runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from labrelay.model.errors import Conflict, UsageError
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.words import counted
from labrelay.parsers.announcement import AnnouncedRow, read_announcement
from labrelay.records import experiments
from labrelay.records.experiments import Announced
from labrelay.records.schema import ExperimentRow
from labrelay.steps.eln_signs import sign_announced
from labrelay.steps.home import Home


def announce(
    home: Home, table: Path, experiment: str | None = None, *, correct: bool = False, reason: str | None = None
) -> list[Announced]:
    """Announce the experiments and samples of a CSV or TSV file; announcing it again changes nothing.

    Args:
        home: Where to.
        table: See `labrelay.parsers.announcement`.
        experiment: For tables without an `experiment` column.
        correct: Take differing samples as corrections: each gets a new revision, older results become stale.
        reason: Why they are corrected, for the record.

    Raises:
        RefusedInput: The table is not acceptable.
        Conflict: Samples differ from what was announced and `correct` was not asked for; nothing is changed.
        UsageError: A row names no experiment and none was given.
    """
    by_experiment = _by_experiment(read_announcement(table), experiment, table)
    outcomes = []
    with home.records.write() as session:
        for name, rows in by_experiment.items():
            wanted = Experiment(name=name)
            # The column is the samples': it names a new experiment's project, and some rows say nothing of an old one.
            if session.get(ExperimentRow, wanted.id) is None:
                wanted = wanted.model_copy(update={"project": _common(row.project for row in rows)})
            samples = [_sample(wanted, row) for row in rows]
            outcomes.append(experiments.announce(session, wanted, samples, correct=correct, reason=reason))
        refuse_differing(outcomes, "add --correct with a --reason")
        for outcome in outcomes:
            sign_announced(home, session, outcome)
    return outcomes


def refuse_differing(outcomes: Sequence[Announced], instead: str) -> None:
    """Refuse, in the transaction that announced, what differs from what was announced before.

    Args:
        outcomes: Of the announcements.
        instead: How the caller says that it is a correction.

    Raises:
        Conflict: There are such samples, or such an experiment.
    """
    differing = [name for outcome in outcomes for name in outcome.differing]
    if differing:
        noun = "value" if any(outcome.fields for outcome in outcomes) else "sample"
        count = counted(len(differing), f"{noun} was", f"{noun}s were")
        raise Conflict(
            f"{count} announced with other content before ({', '.join(differing[:5])}): "
            f"{instead} to correct them; nothing was changed"
        )


def _by_experiment(rows: tuple[AnnouncedRow, ...], given: str | None, table: Path) -> dict[str, list[AnnouncedRow]]:
    grouped: dict[str, list[AnnouncedRow]] = defaultdict(list)
    for row in rows:
        name = row.experiment or given
        if not name:
            raise UsageError(f"{table}:{row.line}: no experiment is named: add the column or give --experiment NAME")
        grouped[name].append(row)
    return grouped


def _common(values: Iterable[str | None]) -> str | None:
    unique = set(values)
    return unique.pop() if len(unique) == 1 else None


def _sample(experiment: Experiment, row: AnnouncedRow) -> Sample:
    return Sample(
        experiment_id=experiment.id,
        **row.model_dump(include={"name", "aliases", "barcode", "subject", "assay", "project", "attributes"}),
    )

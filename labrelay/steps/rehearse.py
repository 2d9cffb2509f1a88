"""What would happen to a run folder? The matching and the rules on what its sheet says; nothing is stored."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from sqlalchemy import select

from labrelay.model.errors import LabrelayError, UsageError
from labrelay.model.files import PRIMARY
from labrelay.model.instrument import InstrumentRun, SheetSample
from labrelay.model.problem import Frozen
from labrelay.parsers.registry import read_run
from labrelay.records import experiments
from labrelay.records.schema import ExperimentRow
from labrelay.steps.assign import free_of
from labrelay.steps.bundles import resolve
from labrelay.steps.home import Home
from labrelay.steps.matching import Match, match
from labrelay.steps.rules import Rule, load_rules


class RuleSays(Frozen):
    """What one rule says of one sample: the workflow that would run, or why none does."""

    rule: str
    workflow: str | None = None
    reference: str | None = None
    scope: str | None = None
    where: str | None = None
    why_not: str | None = None


class Rehearsed(Frozen):
    """What would happen to one label of a run.

    Attributes:
        label: As the sheet and the file names have it.
        sample: The announced sample, or None.
        matched_by: `id`, `barcode` or `alias`.
        why_not: Why nothing would run, one sentence; None when something would.
        rules: What each rule says, when there is a sample.
    """

    label: str
    sample: str | None = None
    experiment: str | None = None
    matched_by: str | None = None
    why_not: str | None = None
    rules: tuple[RuleSays, ...] = ()


def rehearse(home: Home, folder: Path) -> tuple[InstrumentRun, list[Rehearsed]]:
    """Parse a run folder and say for each of its samples what the rules would ask for. Cost: two queries.

    Raises:
        UsageError: There is no such folder or file.
        RefusedInput: The folder is no instrument run, or `rules.toml` is wrong.
    """
    if not folder.exists():
        raise UsageError(f"there is no folder or file {folder}")
    rules = load_rules(home.path)
    run = read_run(folder, home.settings.platform_of(folder))
    broken = {rule.name: why for rule in rules if (why := _broken(home, rule)) is not None}
    rows: dict[str, list[SheetSample]] = defaultdict(list)
    for sample in run.samples:
        rows[sample.sample_id].append(sample)
    with home.records.read() as session:
        index = experiments.index_of(session)
        free = free_of(session, run.id, run.samples, index, None)
        found = {label: match(label, rows[label], index, free) for label in run.sample_labels}
        names = dict(session.execute(select(ExperimentRow.id, ExperimentRow.name)).all())
    sizes: dict[str, int] = defaultdict(int)
    for file in run.files:
        if file.role in PRIMARY:
            sizes[file.sample or ""] += file.size
    said = [_say(found[label], sizes.get(label), run.platform, rules, names, broken) for label in found]
    return run, said


def _values(rule: Rule, read_bytes: int | None) -> dict[str, str | None]:
    """Return what would run by a rule, and where: by the reads of this folder, which a top-up adds to."""
    where = rule.place_for(read_bytes or 0)
    return {"workflow": rule.workflow, "reference": rule.reference, "scope": rule.scope, "where": where}


def _broken(home: Home, rule: Rule) -> str | None:
    """Return why a rule cannot run at all: its workflow or reference is not there."""
    try:
        resolve(home, rule.workflow, rule.version)
    except LabrelayError as error:
        return str(error)
    if rule.reference is not None and home.reads.reference(rule.reference) is None:
        return f"there is no reference {rule.reference}: labrelay reference add FILE --name {rule.reference}"
    return None


def _say(
    matched: Match,
    read_bytes: int | None,
    platform: str,
    rules: tuple[Rule, ...],
    names: dict[str, str],
    broken: dict[str, str],
) -> Rehearsed:
    sample = matched.sample
    if sample is None:
        return Rehearsed(label=matched.label, why_not=matched.reason)
    experiment = names[sample.experiment_id]
    verdicts = []
    for rule in rules:
        why_not = rule.why_not(sample, platform, experiment) or broken.get(rule.name)
        values = {} if why_not else _values(rule, read_bytes)
        verdicts.append(RuleSays(rule=rule.name, why_not=why_not, **values))
    why = None if read_bytes is not None else "there are no reads of it in this run"
    if why is None and not any(v.why_not is None for v in verdicts):
        why = "; ".join(f"{v.rule}: {v.why_not}" for v in verdicts) or "rules.toml has no rules"
    return Rehearsed(
        label=matched.label,
        sample=sample.name,
        experiment=experiment,
        matched_by=matched.by,
        why_not=why,
        rules=tuple(verdicts),
    )

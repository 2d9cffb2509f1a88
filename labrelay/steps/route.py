"""Step 7, route: `rules.toml` says which samples get which workflow; the reads of lanes and top-ups come together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.errors import NotFound
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.problem import Frozen
from labrelay.model.reads import ReadSource
from labrelay.records import audit, experiments
from labrelay.records.schema import DatasetRow, ExperimentRow, InstrumentRunRow, ReadSetRow, SampleRow
from labrelay.steps.assign import find_experiment, find_sample
from labrelay.steps.home import Home
from labrelay.steps.imports import READY
from labrelay.steps.rules import FILE, Rule, load_rules

WITHOUT_READS = "there are no reads of it in this run"


class SampleReads(Frozen):
    """A sample with the read sets that one workflow run takes, in order of instrument run and lane."""

    sample: Sample
    read_sets: tuple[ReadSource, ...]
    instrument_runs: tuple[str, ...]


class Planned(Frozen):
    """One workflow run that a rule asks for; `label` tells runs of one sample apart (a lane, when lanes stay apart)."""

    rule: Rule
    experiment: Experiment
    samples: tuple[SampleReads, ...]
    label: str | None = None

    @property
    def subject(self) -> str:
        """What the run is about, as a path part and for people: the sample's name, or `cohort`."""
        return self.samples[0].sample.name if self.rule.scope == "sample" else "cohort"

    @property
    def read_bytes(self) -> int:
        """How large the files of reads are that the run takes, together."""
        return sum(file.size for reads in self.samples for source in reads.read_sets for file in source.files)


@dataclass
class Routed:
    """What the rules ask for, and for each sample that gets nothing, why."""

    planned: list[Planned] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Reads:
    """A sample's read sets with the instrument run and lane of each, and the platform of each instrument run."""

    sample: Sample
    experiment: Experiment
    sets: list[tuple[str, int | None, ReadSource]]
    platforms: dict[str, str]

    def why_not(self, rule: Rule, instrument_run_id: str | None = None) -> str | None:
        """Return None when a rule applies to what came of an instrument run, or of any; else why it does not."""
        mine = self.platforms.get(instrument_run_id or "")
        of = [mine] if mine is not None else sorted(set(self.platforms.values()))
        reasons = [rule.why_not(self.sample, platform, self.experiment.name) for platform in of]
        return None if None in reasons else reasons[0]


def route(home: Home, instrument_run_id: str) -> Routed:
    """Return the workflow runs that the rules ask for after this instrument run.

    Cost: three queries, whatever the number of samples.

    Raises:
        RefusedInput: `rules.toml` is wrong.
    """
    rules = load_rules(home.path)
    _on_record(home, rules)
    with home.records.read() as session:
        samples = _samples_of(session, instrument_run_id)
        reads = reads_of(session, samples)
        cohorts = {r.experiment.id for r in reads} if any(rule.scope == "cohort" for rule in rules) else set()
        others = reads_of(session, _samples_of_experiments(session, cohorts)) if cohorts else []
        empty = _without_reads(session, instrument_run_id)
    routed = decide(rules, reads, others, instrument_run_id)
    routed.left_out += [(label, WITHOUT_READS) for label in empty]
    return routed


def _on_record(home: Home, rules: Sequence[Rule]) -> None:
    """Put on record what rules are in force, when they are others than those of the last time."""
    told = [rule.model_dump(mode="json", exclude_defaults=True) for rule in rules]
    with home.records.read() as session:
        if not audit.is_news(session, "rules.in_force", FILE, rules=told):
            return
    with home.records.write() as session:
        audit.record_once(session, "rules.in_force", FILE, rules=told)


def plan_by_hand(home: Home, rule: Rule, subject: str) -> list[Planned]:
    """Return the run that a person asks for: the workflow of `rule` with all reads that the store has.

    Args:
        home: Where.
        rule: Its workflow, reference, parameters and scope count; its patterns do not.
        subject: A sample's name or id; with the scope `cohort` an experiment's.

    Raises:
        NotFound: There is no such sample or experiment, or the store has no reads of it.
        UsageError: The name fits several samples.
    """
    cohort = rule.scope == "cohort"
    with home.records.read() as session:
        if cohort:
            ids = _samples_of_experiments(session, [find_experiment(session, subject).id])
        else:
            ids = [find_sample(session, subject).id]
        reads = reads_of(session, ids)
    if not reads:
        raise NotFound(f"the store has no reads of {subject}: take its instrument run in, or assign its dataset")
    if cohort:
        return list(_of_cohort(rule, reads))
    return list(_of_sample(rule.model_copy(update={"merge": "topups"}), reads[0], ""))


def decide(rules: Sequence[Rule], reads: Sequence[Reads], cohort: Sequence[Reads], instrument_run_id: str) -> Routed:
    """Apply the rules to samples with reads; pure."""
    routed = Routed()
    for entry in reads:
        reasons = [(rule, entry.why_not(rule, instrument_run_id)) for rule in rules]
        for rule, why_not in reasons:
            if why_not is None and rule.scope == "sample":
                routed.planned += _of_sample(rule, entry, instrument_run_id)
        if any(why_not is None and rule.merge == "topups" for rule, why_not in reasons):
            routed.left_out += _counted_once(entry, instrument_run_id)
        if all(why_not for _rule, why_not in reasons):
            why = "; ".join(f"{rule.name}: {why_not}" for rule, why_not in reasons) or "rules.toml has no rules"
            routed.left_out.append((entry.sample.name, why))
    for rule in rules:
        if rule.scope == "cohort":
            routed.planned += _of_cohort(rule, cohort)
    return routed


def _of_sample(rule: Rule, entry: Reads, instrument_run_id: str) -> Iterable[Planned]:
    mine = [s for s in entry.sets if s[0] == instrument_run_id]
    if rule.merge == "none":
        for run, lane, source in mine:
            label = f"lane{lane}" if lane is not None else source.id.removeprefix("rds_")[:8]
            yield _planned(rule, entry, [(run, lane, source)], label if len(mine) > 1 else None)
    elif taken := entry.sets if rule.merge == "topups" else mine:  # a top-up may bring no reads of a sample
        yield _planned(rule, entry, taken, None)


def _planned(
    rule: Rule, entry: Reads, sets: Sequence[tuple[str, int | None, ReadSource]], label: str | None
) -> Planned:
    return Planned(rule=rule, experiment=entry.experiment, samples=(_sample_reads(entry, sets),), label=label)


def _sample_reads(entry: Reads, sets: Sequence[tuple[str, int | None, ReadSource]]) -> SampleReads:
    once = _by_bytes(sets)
    return SampleReads(
        sample=entry.sample,
        read_sets=tuple(source for _run, _lane, source in once.values()),
        instrument_runs=tuple(dict.fromkeys(run for run, _lane, _source in once.values())),
    )


def _by_bytes(
    sets: Iterable[tuple[str, int | None, ReadSource]],
) -> dict[tuple[str, ...], tuple[str, int | None, ReadSource]]:
    """Return the first of those with the same bytes: a folder copied under another name brings no new reads."""
    found: dict[tuple[str, ...], tuple[str, int | None, ReadSource]] = {}
    for each in sets:
        found.setdefault(_bytes_of(each[2]), each)
    return found


def _bytes_of(source: ReadSource) -> tuple[str, ...]:
    return tuple(file.sha256 for file in source.files)


def _counted_once(entry: Reads, instrument_run_id: str) -> Iterable[tuple[str, str]]:
    """Yield the sample with each read set of this instrument run that adds nothing to those from before."""
    first = _by_bytes(entry.sets)
    for run, _lane, source in entry.sets:
        same_run, _same_lane, same = first[_bytes_of(source)]
        if run == instrument_run_id and same_run != run:
            yield entry.sample.name, f"{source.id} has the bytes of {same.id} of {same_run}; its reads count once"


def _of_cohort(rule: Rule, entries: Sequence[Reads]) -> Iterable[Planned]:
    """One run over all samples of an experiment that the rule matches and that have reads, in order of their names."""
    grouped: dict[str, list[Reads]] = defaultdict(list)
    for entry in entries:
        if entry.why_not(rule) is None:
            grouped[entry.experiment.id].append(entry)
    for members in grouped.values():
        ordered = sorted(members, key=lambda e: e.sample.name)
        samples = tuple(_sample_reads(e, e.sets) for e in ordered)
        yield Planned(rule=rule, experiment=ordered[0].experiment, samples=samples)


def _samples_of(session: Session, instrument_run_id: str) -> list[str]:
    query = select(DatasetRow.sample_id).where(DatasetRow.instrument_run_id == instrument_run_id).distinct()
    return [found for found in session.scalars(query) if found is not None]


def _samples_of_experiments(session: Session, ids: Iterable[str]) -> list[str]:
    return list(session.scalars(select(SampleRow.id).where(SampleRow.experiment_id.in_(list(ids)))))


def _without_reads(session: Session, instrument_run_id: str) -> list[str]:
    query = select(DatasetRow.label).where(DatasetRow.instrument_run_id == instrument_run_id)
    return list(session.scalars(query.where(DatasetRow.state == "no_reads").order_by(DatasetRow.label)))


def reads_of(session: Session, sample_ids: Sequence[str]) -> list[Reads]:
    """Return the samples that have read sets in the store, each with all of them, in one query."""
    query = (
        # not the whole instrument run: its sheet has a row a sample, and would be read once for each
        select(SampleRow, ExperimentRow, ReadSetRow, InstrumentRunRow.id, InstrumentRunRow.platform)
        .join(ExperimentRow, ExperimentRow.id == SampleRow.experiment_id)
        .join(ReadSetRow, ReadSetRow.sample_id == SampleRow.id)
        .join(DatasetRow, DatasetRow.id == ReadSetRow.dataset_id)
        .join(InstrumentRunRow, InstrumentRunRow.id == DatasetRow.instrument_run_id)
        .where(SampleRow.id.in_(sample_ids), ReadSetRow.status == READY)
        .order_by(SampleRow.name, InstrumentRunRow.created_at, ReadSetRow.lane, ReadSetRow.id)
    )
    found: dict[str, Reads] = {}
    for sample, experiment, read_set, run_id, platform in session.execute(query):
        entry = found.setdefault(
            sample.id,
            Reads(experiments.sample_of(sample), experiments.experiment_of(experiment), [], {}),
        )
        entry.platforms[run_id] = platform
        entry.sets.append((run_id, read_set.lane, ReadSource.model_validate(read_set.source)))
    return list(found.values())

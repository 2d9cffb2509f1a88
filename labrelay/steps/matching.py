"""Whose reads are these? Sheet rows meet announced samples by id, barcode or alias; pure decisions, no IO.

A match that could mean two samples is no match: the reads are taken in as unassigned, and a person says whose they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from labrelay.model.barcodes import is_named, spelled
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.instrument import SheetSample
from labrelay.model.problem import Frozen
from labrelay.records.experiments import SampleIndex


class Match(Frozen):
    """What was found for one label of a sheet or of file names.

    Attributes:
        label: The sample as the sheet or the file names have it.
        sample: The announced sample, or None.
        by: `id`, `barcode` or `alias`.
        reason: Why there is no match, one sentence.
    """

    label: str
    sample: Sample | None = None
    by: str | None = None
    reason: str | None = None


def match(label: str, rows: Sequence[SheetSample], index: SampleIndex, free: Collection[str] = frozenset()) -> Match:
    """Return the announced sample for a label and its sheet rows.

    Args:
        label: As the sheet or the names of files have it.
        rows: Its rows of the sheet; none when the run has no sheet.
        index: The announced samples.
        free: Samples, by id, that a kit's name for a barcode alone may mean: see `free_samples`. Others it means only
            when their experiment or project is the one that the sheet, or the label, names.
    """
    names = dict.fromkeys([label, *(n for row in rows for n in (row.sample_id, row.name) if n)])
    projects = {row.project for row in rows if row.project}
    barcodes = dict.fromkeys(b for row in rows if (b := barcode_of(row)))
    found = _unique([s for n in names for s in _called(n, index.by_id)], projects)
    by_barcode = _unique([s for b in barcodes for s in _with_barcode(b, label, projects, index, free)], projects)
    if len(found) == 1:
        return _checked(label, found[0], by_barcode, barcodes)
    if len(found) > 1:
        return Match(label=label, reason=_several(label, found))
    by_alias = _unique([s for n in names for s in _called(n, index.by_alias)], projects)
    for by, samples in (("barcode", by_barcode), ("alias", by_alias)):
        if len(samples) == 1:
            return Match(label=label, sample=samples[0], by=by)
        if len(samples) > 1:
            return Match(label=label, reason=_several(label, samples))
    return Match(label=label, reason=_nobody(label, [b for b in barcodes if is_named(b)], index))


def free_samples(
    rows: Iterable[SheetSample], index: SampleIndex, used: Collection[str], *, chosen: bool
) -> frozenset[str]:
    """Return the samples that a kit's name for a barcode, such as `barcode01`, may mean without another word.

    Every pool has a `barcode01`: it means the sample that was announced with it when only one label of the run has it,
    and when either a person named the experiment or the sample has no reads of another run.

    Args:
        rows: Of the run's sheet, or its folders.
        index: The announced samples.
        used: Ids of samples with reads of other runs.
        chosen: A person named the experiment that the index is of.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if (barcode := barcode_of(row)) is not None and is_named(barcode):
            labels[barcode].add(row.sample_id)
    once = [barcode for barcode, found in labels.items() if len(found) == 1]
    samples = [sample for barcode in once for sample in index.by_barcode.get(barcode, [])]
    return frozenset(sample.id for sample in samples if chosen or sample.id not in used)


def _with_barcode(
    barcode: str, label: str, projects: Collection[str], index: SampleIndex, free: Collection[str]
) -> list[Sample]:
    """Return the samples that a barcode means: a sequence whoever has it, a kit's name only within one pool."""
    samples = index.by_barcode.get(barcode, [])
    if not is_named(barcode):
        return samples
    told = {*projects, label.removesuffix(f"_{barcode}")}
    experiments = {Experiment(name=name).id for name in told}
    mine = [s for s in samples if s.experiment_id in experiments or s.project in told]
    return mine or [s for s in samples if s.id in free]


def _nobody(label: str, barcodes: Sequence[str], index: SampleIndex) -> str:
    """Say that no sample is called so, and of whom a barcode's name may be."""
    announced = [sample for barcode in barcodes for sample in index.by_barcode.get(barcode, [])]
    if not barcodes:
        return f"no announced sample is called {label}"
    if not announced:
        return f"no announced sample is called {label} or has the barcode {barcodes[0]}"
    whose = ", ".join(sample.name for sample in announced[:3]) + (" …" if len(announced) > 3 else "")
    return (
        f"{barcodes[0]} was announced for {whose}, and every pool has one: name the experiment with --experiment, "
        "or assign it"
    )


def _called(name: str, samples: Mapping[str, list[Sample]]) -> list[Sample]:
    """Return the samples of this name or alias as it is written, and only without any those that differ in case."""
    folded = samples.get(name.casefold(), [])
    return [s for s in folded if name == s.name or name in s.aliases] or folded


def barcode_of(row: SheetSample) -> str | None:
    """Return the row's barcode as announcements write it: `ACGT` or `ACGT+TGCA` in capitals, or `barcode01`."""
    if row.barcode:
        return spelled(row.barcode)
    if not row.index:
        return None
    return row.index.upper() + (f"+{row.index2.upper()}" if row.index2 else "")


def _checked(label: str, sample: Sample, by_barcode: list[Sample], barcodes: dict[str, None]) -> Match:
    """Take a match by id only when the announced barcode agrees: a wrong sheet has right names and wrong indexes.

    A kit's name (`barcode01`, `bc1002--bc1002`) says nothing against an announced sequence, nor the other way round.
    """
    announced = spelled(sample.barcode or "")
    alike = [barcode for barcode in barcodes if is_named(barcode) == is_named(announced)]
    if announced and alike and announced not in alike:
        other = f" (that barcode was announced for {by_barcode[0].name})" if by_barcode else ""
        reason = (
            f"{label} was announced with barcode {sample.barcode}, the sheet has {', '.join(alike)}{other}: "
            "this may be the wrong sheet"
        )
        return Match(label=label, reason=reason)
    return Match(label=label, sample=sample, by="id")


def _unique(samples: Sequence[Sample], projects: set[str]) -> list[Sample]:
    """Return each sample once; among several, those of the sheet's project when that settles it."""
    unique = list({s.id: s for s in samples}.values())
    if len(unique) > 1 and projects:
        narrowed = [s for s in unique if s.project in projects]
        return narrowed if len(narrowed) == 1 else unique
    return unique


def _several(label: str, samples: list[Sample]) -> str:
    return f"{label} could be any of {', '.join(s.id for s in samples)}: say which with `labrelay assign`"

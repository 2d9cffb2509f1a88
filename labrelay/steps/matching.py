"""Whose reads are these? Sheet rows meet announced samples by id, barcode or alias; pure decisions, no IO.

A match that could mean two samples is no match: the reads are taken in as unassigned, and a person says whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labrelay.model.experiment import Sample
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


def match(label: str, rows: Sequence[SheetSample], index: SampleIndex) -> Match:
    """Return the announced sample for a label and its sheet rows (none when the run has no sheet)."""
    names = dict.fromkeys([label, *(n for row in rows for n in (row.sample_id, row.name) if n)])
    projects = {row.project for row in rows if row.project}
    barcodes = dict.fromkeys(b for row in rows if (b := barcode_of(row)))
    found = _unique([s for n in names for s in _called(n, index.by_id)], projects)
    by_barcode = _unique([s for b in barcodes for s in index.by_barcode.get(b, [])], projects)
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
    return Match(label=label, reason=f"no announced sample is called {label}")


def _called(name: str, samples: Mapping[str, list[Sample]]) -> list[Sample]:
    """Return the samples of this name or alias as it is written, and only without any those that differ in case."""
    folded = samples.get(name.casefold(), [])
    return [s for s in folded if name == s.name or name in s.aliases] or folded


def barcode_of(row: SheetSample) -> str | None:
    """Return the row's index sequences as announcements write them: `ACGT` or `ACGT+TGCA`, in capitals."""
    if row.barcode:
        return row.barcode.upper()
    if not row.index:
        return None
    return row.index.upper() + (f"+{row.index2.upper()}" if row.index2 else "")


def _checked(label: str, sample: Sample, by_barcode: list[Sample], barcodes: dict[str, None]) -> Match:
    """Take a match by id only when the announced barcode agrees: a wrong sheet has right names and wrong indexes.

    A barcode that is only a name (`barcode01`, `bc1002--bc1002`) says nothing against an announced sequence.
    """
    sequences = [barcode for barcode in barcodes if set(barcode) <= set("ACGTN+")]
    if sample.barcode and sequences and sample.barcode.upper() not in sequences:
        other = f" (that barcode was announced for {by_barcode[0].name})" if by_barcode else ""
        reason = (
            f"{label} was announced with barcode {sample.barcode}, the sheet has {', '.join(sequences)}{other}: "
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

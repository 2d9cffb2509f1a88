"""Gene and amino-acid change of a result's variants, where its reference came with an annotation (GenBank)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from labrelay.model.errors import LabrelayError
from labrelay.parsers.annotation import read_gff3
from labrelay.parsers.effects import Effect, Variant, annotate
from labrelay.parsers.fasta import read_sequences
from labrelay.records.report_data import ReportData
from labrelay.records.result import Result

log = logging.getLogger(__name__)


def with_effects(result: Result, data: ReportData) -> ReportData:
    """Return the report's data with genes and changes beside the variants; as it is when nothing is annotated.

    Variants that were called against another sequence are left without effects, with a line in the log: a wrong name
    of a protein would be worse than none.
    """
    reference = result.reference
    if reference is None or reference.annotation is None or not data.variants:
        return data
    sequences = read_sequences(reference.file.path)
    annotation = read_gff3(reference.annotation.path.read_text(encoding="utf-8"))
    asked = [Variant(v.contig, v.position, v.ref, v.alt) for v in data.variants]
    try:
        effects = annotate(asked, sequences, annotation)
    except LabrelayError as error:
        log.warning("%s has variants without gene names: %s", result.run_id, error)
        return data
    named = [
        replace(variant, gene=_genes(found), change=_changes(found))
        for variant, found in zip(data.variants, effects, strict=True)
    ]
    return replace(data, variants=tuple(named))


def _genes(effects: Sequence[Effect]) -> str:
    return ", ".join(dict.fromkeys(e.gene for e in effects if e.gene))


def _changes(effects: Sequence[Effect]) -> str:
    """Return the changes; where several proteins share the place, each with its protein's name."""
    changed = [e for e in effects if e.change]
    if len(changed) == 1:
        return changed[0].change
    return ", ".join(f"{e.protein or e.gene} {e.change}" for e in changed)

"""What a variant does to the proteins of its genes: `K123R`, `p.Lys123Arg`, missense.

Names follow the HGVS recommendations for proteins (https://hgvs-nomenclature.org, v21): predicted from the sequence,
counted from the first whole codon, insertions and deletions named at their last possible place. Substitutions of one
sample that fall in the same codon are read together, because that is what the protein sees.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from labrelay.model.errors import UsageError
from labrelay.parsers.annotation import Annotation, CodingSequence, Gene
from labrelay.parsers.proteins import Change, describe, describe_shift, translate

BIN_BASES = 16_384
BASES = frozenset("ACGTRYSWKMBDHVN")
_COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")


class Variant(NamedTuple):
    """A variant as VCF writes it: position from 1, both alleles as text."""

    contig: str
    position: int
    ref: str
    alt: str


class Kind(StrEnum):
    """What a variant does, in the words of the Sequence Ontology without underscores."""

    SYNONYMOUS = "synonymous"
    MISSENSE = "missense"
    STOP_GAINED = "stop gained"
    STOP_LOST = "stop lost"
    START_LOST = "start lost"
    FRAMESHIFT = "frameshift"
    INFRAME_INSERTION = "in-frame insertion"
    INFRAME_DELETION = "in-frame deletion"
    INFRAME_CHANGE = "in-frame change"
    NON_CODING = "non-coding"
    INTERGENIC = "intergenic"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Effect:
    """What a variant does to one protein, or that it lies in no protein.

    Attributes:
        kind: What happens.
        gene: The gene's name; empty between genes.
        protein: The product's name; tells the proteins of one gene apart.
        transcript: The coding sequence's id in the annotation.
        change: Short form, such as `K123R`, `K123*`, `K123fs`; empty outside proteins.
        hgvs: HGVS form, such as `p.Lys123Arg`.
    """

    kind: Kind
    gene: str = ""
    protein: str = ""
    transcript: str = ""
    change: str = ""
    hgvs: str = ""


def annotate(
    variants: Sequence[Variant], sequences: Mapping[str, str], annotation: Annotation
) -> list[tuple[Effect, ...]]:
    """Return the effects of each variant, in the order of `variants`; at least one each.

    Args:
        variants: Of one sample; those that change bases of the same codon are read together.
        sequences: Upper-case reference sequence by contig name.
        annotation: Genes and coding sequences on the same reference.

    Raises:
        UsageError: A variant's REF is not what the reference has there: it was called against another one.
    """
    edits = [_edit_of(variant, sequences) for variant in variants]
    substitutions: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for variant, edit in zip(variants, edits, strict=True):
        for position, base in edit.substitutions() if edit else ():
            substitutions[variant.contig][position].add(base)
    index = _Index(annotation, sequences)
    return [
        index.effects(variant.contig, edit, substitutions[variant.contig]) if edit else (Effect(Kind.UNKNOWN),)
        for variant, edit in zip(variants, edits, strict=True)
    ]


@dataclass(frozen=True)
class _Edit:
    """Reference bases from `start` (from 0) that are replaced, without what both alleles share at their ends."""

    start: int
    removed: str
    inserted: str

    @property
    def end(self) -> int:
        return self.start + len(self.removed)

    def substitutions(self) -> Iterable[tuple[int, str]]:
        if len(self.removed) == len(self.inserted):
            pairs = enumerate(zip(self.removed, self.inserted, strict=True), start=self.start)
            yield from ((position, new) for position, (old, new) in pairs if old != new)


def _edit_of(variant: Variant, sequences: Mapping[str, str]) -> _Edit | None:
    """Return the smallest edit that the variant is, or None when its allele is symbolic (`<DEL>`, `*`)."""
    ref, alt, start = variant.ref.upper(), variant.alt.upper(), variant.position - 1
    sequence = sequences.get(variant.contig)
    if sequence is None or start < 0 or sequence[start : start + len(ref)].upper() != ref:
        raise UsageError(
            f"The variant {variant.contig}:{variant.position} {variant.ref}>{variant.alt} does not fit the reference; "
            "give the reference that the variants were called against."
        )
    if not BASES.issuperset(alt):
        return None
    while ref and alt and ref[0] == alt[0]:
        ref, alt, start = ref[1:], alt[1:], start + 1
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    return _Edit(start, ref, alt)


@dataclass
class _Coding:
    """A coding sequence with its bases, made when a variant first asks for it."""

    source: CodingSequence
    contig_sequence: str

    @cached_property
    def positions(self) -> list[int]:
        return self.source.positions()

    @cached_property
    def places(self) -> dict[int, list[int]]:
        """Where in the coding sequence each position of the contig is: twice where the ribosome slips back."""
        found: dict[int, list[int]] = {}
        for place, position in enumerate(self.positions):
            found.setdefault(position, []).append(place)
        return found

    @cached_property
    def bases(self) -> str:
        text = "".join(self.contig_sequence[position] for position in self.positions)
        return text if self.source.strand > 0 else text.translate(_COMPLEMENT)

    @property
    def whole(self) -> bool:
        """Whether the coding sequence begins with a whole codon, as far as the annotation says."""
        return self.source.skipped == 0

    def own_strand(self, text: str) -> str:
        return text if self.source.strand > 0 else text[::-1].translate(_COMPLEMENT)

    def effect(self, edit: _Edit, others: Mapping[int, set[str]]) -> Effect | None:
        """Return what the edit does here, or None when it touches no coding base."""
        if len(edit.removed) == len(edit.inserted):
            return self._substitution(edit, others)
        return self._length_change(edit)

    def _substitution(self, edit: _Edit, others: Mapping[int, set[str]]) -> Effect | None:
        own = dict(edit.substitutions())
        changed = {place: own[position] for position in own for place in self.places.get(position, ())}
        if not changed:
            return None
        first, last = min(changed) // 3, max(changed) // 3
        for place in range(3 * first, min(3 * last + 3, len(self.bases))):
            neighbours = others.get(self.positions[place], set())
            # Two different calls at one position contradict each other and cannot be read together.
            if place not in changed and len(neighbours) == 1:
                changed[place] = next(iter(neighbours))
        mutated = list(self.bases)
        for place, base in changed.items():
            mutated[place] = self.own_strand(base)
        span = slice(3 * first, 3 * last + 3)
        before, after = self.bases[span], "".join(mutated[span])
        if len(before) % 3:
            return self._named(Change(Kind.UNKNOWN, "", "p.?"))
        code, starts = self.source.code, first == 0 and self.whole
        return self._named(describe(translate(before, code, starts), translate(after, code, starts), first + 1))

    def _length_change(self, edit: _Edit) -> Effect | None:
        places = sorted(place for p in range(edit.start, edit.end) for place in self.places.get(p, ()))
        if places:
            first, after = places[0], places[-1] + 1
        else:
            left, right = self.places.get(edit.start - 1), self.places.get(edit.start)
            # An insertion is inside only between two bases that are translated one after the other.
            if edit.removed or not left or not right or abs(left[0] - right[0]) != 1:
                return None
            first = after = max(left[0], right[0])
        inserted = self.own_strand(edit.inserted)
        mutated = self.bases[:first] + inserted + self.bases[after:]
        code = self.source.code
        before, now = translate(self.bases, code, self.whole), translate(mutated, code, self.whole)
        if (len(mutated) - len(self.bases)) % 3:
            return self._named(describe_shift(before, now))
        return self._named(describe(before, now, 1))

    def _named(self, change: Change) -> Effect:
        source = self.source
        return Effect(Kind(change.kind), source.gene.name, source.protein, source.id, change.short, change.hgvs)


@dataclass
class _Index:
    """Finds genes and coding sequences by position: lists by bins of 16 kb."""

    annotation: Annotation
    sequences: Mapping[str, str]
    _genes: dict[tuple[str, int], list[Gene]] = field(default_factory=lambda: defaultdict(list))
    _codings: dict[tuple[str, int], list[_Coding]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for gene in self.annotation.genes:
            for number in range(gene.start // BIN_BASES, gene.end // BIN_BASES + 1):
                self._genes[gene.contig, number].append(gene)
        upper = {name: sequence.upper() for name, sequence in self.sequences.items()}
        for source in self.annotation.codings:
            if source.contig in upper:
                coding = _Coding(source, upper[source.contig])
                bins = {n for s in source.segments for n in range(s.start // BIN_BASES, s.end // BIN_BASES + 1)}
                for number in bins:
                    self._codings[source.contig, number].append(coding)

    def effects(self, contig: str, edit: _Edit, others: Mapping[int, set[str]]) -> tuple[Effect, ...]:
        """Return one effect for each coding sequence touched, else for each gene, else one between genes."""
        bins = range(edit.start // BIN_BASES, edit.end // BIN_BASES + 1)
        codings = {coding.source.id: coding for n in bins for coding in self._codings.get((contig, n), ())}
        found = [effect for coding in codings.values() if (effect := coding.effect(edit, others)) is not None]
        inside = {effect.gene for effect in found}
        genes = {gene.id: gene for n in bins for gene in self._genes.get((contig, n), ())}
        touched = [
            gene for gene in genes.values() if gene.start < max(edit.end, edit.start + 1) and edit.start < gene.end
        ]
        found += [Effect(Kind.NON_CODING, gene.name) for gene in touched if gene.name not in inside]
        return tuple(found) or (Effect(Kind.INTERGENIC),)

"""Reads GenBank flat files with Biopython: the sequences, and the genes and proteins that they carry.

Handles joins, complements, ribosomal slippage (a join whose parts overlap or skip), partial codons (`/codon_start`),
other genetic codes (`/transl_table`) and several proteins of one gene (measles P, V and C).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from Bio import BiopythonParserWarning, SeqIO
from Bio.Seq import UndefinedSequenceError
from Bio.SeqFeature import SeqFeature
from Bio.SeqRecord import SeqRecord

from labrelay.model.problem import Problem
from labrelay.parsers.annotation import STANDARD_CODE, Annotation, CodingSequence, Gene, Segment
from labrelay.parsers.fasta import NUCLEOTIDES, RNA_TO_DNA, Sequence

UNNAMED = ("", ".", "<unknown id>")
GENE_NAME_KEYS = ("gene", "locus_tag", "product", "protein_id")


@dataclass
class GenBankRecords:
    """What parsing gave: sequences in order, genes and proteins, notes, problems."""

    sequences: list[Sequence] = field(default_factory=list)
    annotation: Annotation = field(default_factory=Annotation)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse_genbank(content: bytes, path: str) -> GenBankRecords:
    """Parse a GenBank file's text (already inflated); `path` names the file in problems."""
    found = GenBankRecords()
    collector = _Collector()
    text = content.decode("utf-8", "replace")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BiopythonParserWarning)
        try:
            for record in SeqIO.parse(io.StringIO(text), "genbank"):
                _take_sequence(record, path, found)
                collector.take(record)
        except (ValueError, AssertionError, KeyError, IndexError) as error:
            message = f"this is no GenBank file that can be read ({error})"
            found.problems.append(Problem(code="BAD_GENBANK", message=message, path=path))
    found.notes.extend(dict.fromkeys(f"Biopython says: {w.message}." for w in caught))
    found.notes.extend(collector.notes)
    found.annotation = collector.annotation()
    if found.sequences and not found.annotation.codings:
        found.notes.append("The file has no coding sequence, so variants will carry no amino-acid change.")
    return found


def _take_sequence(record: SeqRecord, path: str, found: GenBankRecords) -> None:
    name = contig_name(record)
    if record.annotations.get("molecule_type") == "protein":
        found.problems.append(Problem(code="BAD_GENBANK", message=f"{name} is a protein record", path=path))
        return
    try:
        bases = bytes(record.seq)
    except UndefinedSequenceError:
        message = f"{name} comes without its sequence; download it as 'GenBank (full)'"
        found.problems.append(Problem(code="GENBANK_NO_SEQUENCE", message=message, path=path))
        return
    if b"U" in bases.upper():
        found.notes.append(f"U (RNA) was replaced by T in {name}.")
        bases = bases.translate(RNA_TO_DNA)
    strange = bases.translate(None, NUCLEOTIDES)
    if strange:
        message = f"{name} holds {strange[:1].decode('latin-1')!r}, which is no IUPAC nucleotide letter"
        found.problems.append(Problem(code="BAD_BASE", message=message, path=path))
    description = record.description if record.description.isascii() and record.description.isprintable() else ""
    found.sequences.append(Sequence(name, "" if description in UNNAMED else description, bases.upper()))


def contig_name(record: SeqRecord) -> str:
    """Return what the sequence is called in FASTA and VCF: accession with version, else the LOCUS name."""
    return str(record.name if record.id in UNNAMED else record.id)


class _Collector:
    """Gathers genes and coding sequences with ids that are unique over all records."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._genes: list[Gene] = []
        self._codings: list[CodingSequence] = []
        self._ids: set[str] = set()

    def annotation(self) -> Annotation:
        """Return what was gathered, genes by contig (in order of appearance) and position."""
        coding = {c.gene.id for c in self._codings}
        final = {g.id: replace(g, coding=g.id in coding) for g in self._genes}
        return Annotation(tuple(final.values()), tuple(replace(c, gene=final[c.gene.id]) for c in self._codings))

    def take(self, record: SeqRecord) -> None:
        """Take the genes of one record, then its coding sequences."""
        contig, before = contig_name(record), len(self._genes)
        for feature in record.features:
            if feature.type == "gene" and feature.location is not None:
                self._add_gene(feature, contig)
        for feature in record.features:
            if feature.type == "CDS" and feature.location is not None:
                self._take_coding(feature, contig, before)
        self._genes[before:] = sorted(self._genes[before:], key=lambda gene: (gene.start, gene.end))

    def _take_coding(self, feature: SeqFeature, contig: str, first_gene: int) -> None:
        name = _name(feature)
        if "pseudo" in feature.qualifiers or "pseudogene" in feature.qualifiers:
            return
        parts = feature.location.parts
        strands = {part.strand for part in parts}
        # A part that names its sequence lies on another record.
        if len(strands) != 1 or None in strands or any(part.ref for part in parts):
            self.notes.append(f"The protein of {name} lies on both strands or on another record and was left out.")
            return
        codon_start = _number(feature, "codon_start", 1)
        self._codings.append(
            CodingSequence(
                id=self._unique(_first(feature, ("protein_id",)) or f"{name}-cds"),
                gene=self._gene_for(feature, contig, self._genes[first_gene:]),
                protein=_first(feature, ("product", "note", "protein_id")),
                segments=tuple(Segment(int(part.start), int(part.end)) for part in parts),
                skipped=codon_start - 1 if codon_start in (1, 2, 3) else 0,
                code=_number(feature, "transl_table", STANDARD_CODE),
            )
        )

    def _gene_for(self, feature: SeqFeature, contig: str, genes: Iterable[Gene]) -> Gene:
        """Return the gene with the CDS's name around its start, or a new gene of the CDS's extent."""
        name, start = _name(feature), int(feature.location.start)
        for gene in genes:
            if gene.name == name and gene.start <= start < gene.end and gene.strand == feature.location.strand:
                return gene
        return self._add_gene(feature, contig)

    def _add_gene(self, feature: SeqFeature, contig: str) -> Gene:
        name = _name(feature)
        identifier = self._unique(_first(feature, ("locus_tag", "gene")) or name)
        location = feature.location
        gene = Gene(
            identifier, contig, name, int(location.start), int(location.end), -1 if location.strand == -1 else 1
        )
        self._genes.append(gene)
        return gene

    def _unique(self, wanted: str) -> str:
        identifier, number = wanted, 1
        while identifier in self._ids:
            number += 1
            identifier = f"{wanted}.{number}"
        self._ids.add(identifier)
        return identifier


def _name(feature: SeqFeature) -> str:
    return _first(feature, GENE_NAME_KEYS) or f"{feature.type}-{int(feature.location.start) + 1}"


def _first(feature: SeqFeature, keys: Iterable[str]) -> str:
    """Return the first value of the first qualifier that is there, on one line; empty when none is."""
    values = (feature.qualifiers.get(key, [""])[0] for key in keys)
    return next((" ".join(str(value).split()) for value in values if value), "")


def _number(feature: SeqFeature, key: str, default: int) -> int:
    text = _first(feature, (key,))
    return int(text) if text.isdecimal() else default

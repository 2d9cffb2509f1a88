"""Genes and coding sequences of a reference, and their GFF3 in the dialect that `bcftools csq` reads.

Each coding sequence becomes gene, mRNA and CDS lines tied by `ID=gene:…`, `ID=transcript:…` and `Parent`, with
`biotype=protein_coding`. Positions inside Python are from 0, half open; GFF3's are from 1, both inclusive.
Specification: Sequence Ontology GFF3 1.26, and https://samtools.github.io/bcftools/howtos/csq-calling.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote

STANDARD_CODE = 1
SOURCE = "labrelay"
_COLUMNS = 9
# GFF3 wants these escaped in attributes; everything printable besides may stand as it is.
_PLAIN = " !\"#$'()*+-./:<>?@[\\]^_`{|}~"


class Segment(NamedTuple):
    """A stretch of a contig: from 0, half open."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Gene:
    """A gene; `strand` is 1 or -1, `coding` says whether a protein is made from it."""

    id: str
    contig: str
    name: str
    start: int
    end: int
    strand: int
    coding: bool = False


@dataclass(frozen=True)
class CodingSequence:
    """A coding sequence (CDS).

    Attributes:
        id: Unique in the annotation; the transcript's id in GFF3.
        gene: The `Gene` it belongs to.
        protein: The product's name.
        segments: In the order of translation; neighbours may overlap where the ribosome slips back.
        skipped: Bases (0 to 2) before the first whole codon.
        code: NCBI's number of the genetic code.
    """

    id: str
    gene: Gene
    protein: str
    segments: tuple[Segment, ...]
    skipped: int = 0
    code: int = STANDARD_CODE

    @property
    def contig(self) -> str:
        """The contig of the gene."""
        return self.gene.contig

    @property
    def strand(self) -> int:
        """1 or -1."""
        return self.gene.strand

    def positions(self) -> list[int]:
        """Return the position (from 0) of each base in the order of translation, without the skipped ones."""
        found: list[int] = []
        for segment in self.segments:
            run = range(segment.start, segment.end)
            found.extend(run if self.strand > 0 else reversed(run))
        return found[self.skipped :]


@dataclass(frozen=True)
class Annotation:
    """All genes of a reference, and its coding sequences."""

    genes: tuple[Gene, ...] = ()
    codings: tuple[CodingSequence, ...] = ()


def write_gff3(annotation: Annotation, lengths: Mapping[str, int]) -> str:
    """Return the annotation as GFF3; `lengths` are those of all contigs in order, in bases."""
    lines = ["##gff-version 3", *(f"##sequence-region {name} 1 {length}" for name, length in lengths.items())]
    by_gene: dict[str, list[CodingSequence]] = {}
    for coding in annotation.codings:
        by_gene.setdefault(coding.gene.id, []).append(coding)
    for gene in annotation.genes:
        biotype = "protein_coding" if gene.coding else "other"
        ids = {"ID": f"gene:{gene.id}", "Name": gene.name, "biotype": biotype}
        lines.append(_line(gene, "gene", Segment(gene.start, gene.end), ".", ids))
        for coding in by_gene.get(gene.id, ()):
            lines.extend(_coding_lines(coding))
    return "\n".join(lines) + "\n"


def read_gff3(text: str) -> Annotation:
    """Read genes and coding sequences from GFF3: our own dialect, Ensembl's and NCBI's.

    Lines that are not GFF3 or no genes are passed over; a CDS may hang on an mRNA or directly on a gene.
    """
    rows = list(_rows(text))
    genes = {row.id: _gene_of(row) for row in rows if row.kind in ("gene", "pseudogene") and row.id}
    transcripts = {row.id: row for row in rows if row.id and row.parent in genes}
    pieces: dict[str, list[_Row]] = {}
    for row in rows:
        if row.kind == "CDS" and (row.parent in genes or row.parent in transcripts):
            pieces.setdefault(row.parent, []).append(row)
    codings = []
    for parent, parts in pieces.items():
        gene = genes[parent] if parent in genes else genes[transcripts[parent].parent]
        codings.append(_coding_of(parent, gene, parts))
    coding_genes = {coding.gene.id for coding in codings}
    marked = {key: _as_coding(gene) if gene.id in coding_genes else gene for key, gene in genes.items()}
    by_id = {gene.id: gene for gene in marked.values()}
    return Annotation(
        tuple(marked.values()),
        tuple(CodingSequence(c.id, by_id[c.gene.id], c.protein, c.segments, c.skipped, c.code) for c in codings),
    )


@dataclass(frozen=True)
class _Row:
    contig: str
    kind: str
    segment: Segment
    strand: int
    phase: int
    values: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.values.get("ID", "")

    @property
    def parent(self) -> str:
        return self.values.get("Parent", "")


def _coding_lines(coding: CodingSequence) -> Iterator[str]:
    span = Segment(min(s.start for s in coding.segments), max(s.end for s in coding.segments))
    parents = {"ID": f"transcript:{coding.id}", "Parent": f"gene:{coding.gene.id}", "biotype": "protein_coding"}
    yield _line(coding.gene, "mRNA", span, ".", parents)
    done = -coding.skipped
    for number, segment in enumerate(coding.segments, start=1):
        values = {
            "ID": f"CDS:{coding.id}",
            "Parent": f"transcript:{coding.id}",
            "product": coding.protein,
            "transl_table": str(coding.code),
        }
        if len(coding.segments) > 1:
            values["part"] = str(number)
        yield _line(coding.gene, "CDS", segment, str(-done % 3), values)
        done += len(segment)


def _line(gene: Gene, kind: str, segment: Segment, phase: str, values: Mapping[str, str]) -> str:
    strand = "+" if gene.strand > 0 else "-"
    attributes = ";".join(f"{key}={quote(value, safe=_PLAIN)}" for key, value in values.items() if value)
    columns = (gene.contig, SOURCE, kind, segment.start + 1, segment.end, ".", strand, phase, attributes)
    return "\t".join(map(str, columns))


def _rows(text: str) -> Iterator[_Row]:
    for line in text.replace("\r\n", "\n").split("\n"):
        if line == "##FASTA":
            return
        columns = line.split("\t")
        if line.startswith("#") or len(columns) != _COLUMNS or not (columns[3].isdecimal() and columns[4].isdecimal()):
            continue
        pairs = (pair.partition("=") for pair in columns[8].split(";"))
        # Commas part several values, of which the first is taken; a comma inside a value is escaped.
        values = {key.strip(): unquote(value.partition(",")[0]) for key, _, value in pairs if key.strip()}
        phase = int(columns[7]) if columns[7] in ("1", "2") else 0
        segment = Segment(int(columns[3]) - 1, int(columns[4]))
        yield _Row(columns[0], columns[2], segment, -1 if columns[6] == "-" else 1, phase, values)


def _gene_of(row: _Row) -> Gene:
    name = next((row.values[key] for key in ("Name", "gene", "locus_tag") if key in row.values), _bare(row.id))
    return Gene(_bare(row.id), row.contig, name, row.segment.start, row.segment.end, row.strand)


def _coding_of(parent: str, gene: Gene, parts: Sequence[_Row]) -> CodingSequence:
    if all(part.values.get("part", "").isdecimal() for part in parts):
        ordered = sorted(parts, key=lambda part: int(part.values["part"]))
    else:
        ordered = sorted(parts, key=lambda part: part.segment, reverse=gene.strand < 0)
    first = ordered[0].values
    code = first.get("transl_table", "")
    return CodingSequence(
        id=_bare(parent),
        gene=gene,
        protein=first.get("product", first.get("Name", "")),
        segments=tuple(part.segment for part in ordered),
        skipped=ordered[0].phase,
        code=int(code) if code.isdecimal() else STANDARD_CODE,
    )


def _as_coding(gene: Gene) -> Gene:
    return Gene(gene.id, gene.contig, gene.name, gene.start, gene.end, gene.strand, coding=True)


def _bare(identifier: str) -> str:
    return identifier.removeprefix("gene:").removeprefix("transcript:")

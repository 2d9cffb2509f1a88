"""Reads a reference as published (FASTA or GenBank, plain or gzip) and gives it as tools need it.

parsed = read_reference(Path("MH356245.1.gb"))
parsed.fasta, parsed.fai, parsed.gff3, parsed.contigs, parsed.notes
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.reads import Contig
from labrelay.parsers.annotation import write_gff3
from labrelay.parsers.fasta import BYTE_ORDER_MARK, Sequence, base_notes, check_sequences, parse_fasta, write_fasta
from labrelay.parsers.inflate import GZIP_MAGIC, Inflater

# The largest published genomes have some 40 Gb, but whoever needs them has no use for a copy in memory.
MOST_BYTES = 4 << 30
GENBANK_START = b"LOCUS"


class NormalisedReference(Frozen):
    """A reference as tools need it.

    Attributes:
        fasta: LF line ends, 60 bases a line, case kept.
        fai: Its index, equal to what `samtools faidx` writes.
        gff3: Genes and proteins in the dialect of `bcftools csq`, when the source had any.
        contigs: In order, with the MD5 of the upper-case sequence (SAM's M5).
        notes: What was changed or is worth knowing, in sentences.
    """

    fasta: bytes
    fai: bytes
    gff3: str | None = None
    contigs: tuple[Contig, ...]
    notes: tuple[str, ...] = ()


def read_reference(path: Path, name: str | None = None) -> NormalisedReference:
    """Read and normalise a reference.

    Args:
        path: FASTA or GenBank, told apart by content; plain, gzip or bgzip.
        name: How problems name the file; the file name when not given.

    Raises:
        RefusedInput: It is no reference that can be used; carries every problem.
        OSError: It cannot be read.
    """
    shown = name or path.name
    content, notes = _inflated(path, shown)
    start = content[:64].removeprefix(BYTE_ORDER_MARK).lstrip()
    if start.startswith(GENBANK_START):
        return _from_genbank(content, shown, notes)
    if not start.startswith(b">"):
        message = "a reference starts with '>' (FASTA) or LOCUS (GenBank); this file starts with neither"
        raise RefusedInput(shown, [Problem(code="NO_REFERENCE", message=message, path=shown, line=1)])
    return _from_fasta(content, shown, notes)


def contig_of(sequence: Sequence) -> Contig:
    """Return name, length and M5 (SAM specification, section 1.3.2) of a sequence."""
    md5 = hashlib.md5(sequence.bases.upper(), usedforsecurity=False).hexdigest()
    return Contig(name=sequence.name, length=len(sequence.bases), md5=md5)


def _from_fasta(content: bytes, shown: str, notes: list[str]) -> NormalisedReference:
    found = parse_fasta(content, shown)
    problems = [*found.problems, *check_sequences(found.sequences, shown)]
    if problems:
        raise RefusedInput(shown, sorted(problems, key=lambda problem: problem.line or 0))
    return _normalised(found.sequences, None, [*notes, *found.notes])


def _from_genbank(content: bytes, shown: str, notes: list[str]) -> NormalisedReference:
    # Biopython is slow to load, and a FASTA reference does without it.
    from labrelay.parsers.genbank import parse_genbank

    found = parse_genbank(content.removeprefix(BYTE_ORDER_MARK), shown)
    problems = found.problems or check_sequences(found.sequences, shown)
    if problems:
        raise RefusedInput(shown, problems)
    lengths = {sequence.name: len(sequence.bases) for sequence in found.sequences}
    gff3 = write_gff3(found.annotation, lengths) if found.annotation.genes else None
    return _normalised(found.sequences, gff3, [*notes, *found.notes])


def _normalised(sequences: list[Sequence], gff3: str | None, notes: list[str]) -> NormalisedReference:
    fasta, fai = write_fasta(sequences)
    return NormalisedReference(
        fasta=fasta,
        fai=fai,
        gff3=gff3,
        contigs=tuple(contig_of(sequence) for sequence in sequences),
        notes=(*notes, *base_notes(sequences)),
    )


def _inflated(path: Path, shown: str) -> tuple[bytes, list[str]]:
    content = bytearray()
    inflater = Inflater(shown)
    notes = []
    with path.open("rb") as file:
        if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
            notes.append("The file was gzip-compressed and is stored plain.")
        file.seek(0)
        while chunk := file.read(1 << 20):
            for piece in inflater.feed(chunk):
                content += piece
            if len(content) > MOST_BYTES:
                message = f"the reference is larger than {MOST_BYTES >> 30} GiB"
                raise RefusedInput(shown, [Problem(code="REFERENCE_TOO_LARGE", message=message, path=shown)])
    for piece in inflater.finish():
        content += piece
    return bytes(content), notes

"""Reads FASTA as people publish it and writes it as tools need it: LF line ends, 60 bases a line, with its index.

What can be put right without changing the sequence is put right and noted; what cannot is a problem with its line.
Letters are those of IUPAC nucleotide notation in either case (lower case marks repeats and is kept); names follow the
rule of the SAM specification, section 1.2.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from labrelay.model.problem import Problem
from labrelay.model.words import counted

LINE_BASES = 60
NUCLEOTIDES = b"ACGTRYSWKMBDHVNacgtryswkmbdhvn"
PLAIN_BASES = b"ACGTNacgtn"
RNA_TO_DNA = bytes.maketrans(b"Uu", b"Tt")
CONTIG_NAME = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*\Z")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MOST_PROBLEMS = 20


@dataclass
class Sequence:
    """One record: name, description (may be empty), bases, and the line of its header (from 1)."""

    name: str
    description: str = ""
    bases: bytes = b""
    line: int | None = None


@dataclass
class FastaRecords:
    """What parsing gave: sequences in order, notes on what was put right, and problems."""

    sequences: list[Sequence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse_fasta(content: bytes, path: str) -> FastaRecords:
    """Parse a FASTA file's text.

    Args:
        content: The whole text, already inflated.
        path: How problems name the file.

    Returns:
        Everything found; nothing may be taken when `problems` is not empty.
    """
    found = FastaRecords()
    text = _plain_lines(content, found)
    parts: list[bytes] = []
    widths: set[int] = set()
    current: Sequence | None = None
    for number, raw in enumerate(text.split(b"\n"), start=1):
        line = raw.strip(b" \t")
        if line.startswith(b">"):
            _end_record(current, parts, widths, found)
            current, parts, widths = _begin_record(raw, number, path, found), [], set()
        elif line and current is None:
            found.problems.append(_problem("FASTA_NO_HEADER", "sequence before the first '>' line", path, number))
            current = Sequence("(none)", line=number)
        elif line:
            parts.append(line)
            widths.add(len(line))
            _check_bases(line, number, path, found)
    _end_record(current, parts, widths, found)
    return found


def check_sequences(sequences: list[Sequence], path: str) -> list[Problem]:
    """Return what is wrong with a reference's sequences as a set: none, empty ones, bad or doubled names."""
    problems = [] if sequences else [_problem("EMPTY_REFERENCE", "no sequence is in this file", path, None)]
    first_line: dict[str, int | None] = {}
    for sequence in sequences:
        name = sequence.name
        if not sequence.bases:
            problems.append(_problem("EMPTY_CONTIG", f"sequence {name} has no bases", path, sequence.line))
        if name in first_line:
            where = f" (first on line {first_line[name]})" if first_line[name] else ""
            problems.append(_problem("DUPLICATE_CONTIG", f"the name {name} is used twice{where}", path, sequence.line))
        elif name and not CONTIG_NAME.match(name):
            message = f"'{name}' is no sequence name that SAM and VCF can hold; rename it"
            problems.append(_problem("BAD_CONTIG_NAME", message, path, sequence.line))
        first_line.setdefault(name, sequence.line)
    return problems


def base_notes(sequences: list[Sequence]) -> list[str]:
    """Return what a person should know about the letters: ambiguity codes, lower case."""
    ambiguous = sum(len(s.bases.translate(None, PLAIN_BASES)) for s in sequences)
    lower = sum(1 for s in sequences if not s.bases.isupper())
    notes = []
    if ambiguous:
        notes.append(f"{counted(ambiguous, 'IUPAC ambiguity code')} other than N stayed.")
    if lower:
        notes.append(f"Lower-case bases were kept in {lower} of {counted(len(sequences), 'sequence')}.")
    return notes


def write_fasta(sequences: list[Sequence]) -> tuple[bytes, bytes]:
    """Return normalised FASTA and its index (`.fai`, as `samtools faidx` writes it) as bytes."""
    fasta, index = bytearray(), bytearray()
    for sequence in sequences:
        title = f">{sequence.name} {sequence.description}".rstrip(" ")
        fasta += title.encode() + b"\n"
        bases, size = sequence.bases, len(sequence.bases)
        width = min(LINE_BASES, size)
        index += f"{sequence.name}\t{size}\t{len(fasta)}\t{width}\t{width + 1}\n".encode()
        fasta += b"\n".join(bases[start : start + LINE_BASES] for start in range(0, size, LINE_BASES)) + b"\n"
    return bytes(fasta), bytes(index)


def read_sequences(path: Path) -> dict[str, str]:
    """Return the upper-case sequences of a normalised FASTA file by name; memory is that of the sequences."""
    records = parse_fasta(path.read_bytes(), path.name)
    return {sequence.name: sequence.bases.upper().decode() for sequence in records.sequences}


def _plain_lines(content: bytes, found: FastaRecords) -> bytes:
    text = content.removeprefix(BYTE_ORDER_MARK)
    if len(text) != len(content):
        found.notes.append("A byte-order mark was removed.")
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
        found.notes.append("CRLF line ends were replaced by LF.")
    if b"\r" in text:
        text = text.replace(b"\r", b"\n")
        found.notes.append("CR line ends were replaced by LF.")
    return text


def _begin_record(raw: bytes, number: int, path: str, found: FastaRecords) -> Sequence:
    title = raw.strip(b" \t")[1:].decode("utf-8", "replace")
    name, _, description = title.replace("\t", " ").partition(" ")
    if not name:
        found.problems.append(_problem("FASTA_NO_NAME", "this '>' line has no name right after '>'", path, number))
    description = description.strip()
    if not (description.isascii() and (description.isprintable() or not description)):
        found.notes.append(f"The description of {name} does not print as ASCII and was left out.")
        description = ""
    return Sequence(name, description, line=number)


def _end_record(current: Sequence | None, parts: list[bytes], widths: set[int], found: FastaRecords) -> None:
    if current is None:
        return
    bases = b"".join(parts)
    if b"U" in bases or b"u" in bases:
        found.notes.append(f"U (RNA) was replaced by T in {current.name}.")
        bases = bases.translate(RNA_TO_DNA)
    if any(len(part) != LINE_BASES for part in parts[:-1]) or max(widths, default=0) > LINE_BASES:
        note = f"Lines were re-wrapped at {LINE_BASES} bases."
        found.notes.extend([] if note in found.notes else [note])
    current.bases = bases
    found.sequences.append(current)


def _check_bases(line: bytes, number: int, path: str, found: FastaRecords) -> None:
    strange = line.translate(None, NUCLEOTIDES + b"Uu")
    if not strange:
        return
    if len(found.problems) < MOST_PROBLEMS:
        column = line.index(strange[:1]) + 1
        shown = repr(strange[:1].decode("latin-1"))
        message = f"{shown} (column {column}) is no IUPAC nucleotide letter; is this protein, or not a FASTA file?"
        found.problems.append(_problem("BAD_BASE", message, path, number))
    elif len(found.problems) == MOST_PROBLEMS:
        found.problems.append(_problem("BAD_BASE", "more lines from here on have such letters", path, number))


def _problem(code: str, message: str, path: str, line: int | None) -> Problem:
    return Problem(code=code, message=message, path=path, line=line)

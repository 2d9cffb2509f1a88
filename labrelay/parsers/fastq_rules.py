"""What a FASTQ record has to be, said plainly for one record.

These rules are the truth. `fastq_records` proves whole blocks with a few array operations, and asks here, record by
record, only when a block looks suspicious: to name the faulty line, or to find that it was merely unusual.

The format: Cock et al. 2010, "The Sanger FASTQ file format" (doi:10.1093/nar/gkp1137), four lines a record, with the
Phred+33 range; lower case, IUPAC letters, `.`, `-` and `*` are allowed in the sequence.
"""

from __future__ import annotations

from typing import NamedTuple

from labrelay.model.words import counted

LOWEST_QUALITY, HIGHEST_QUALITY = 33, 126
SEQUENCE_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-*")
SPACE, TAB = 32, 9


class Fault(NamedTuple):
    """What is wrong with a record: a stable code, a sentence, and which of its four lines (0 to 3)."""

    code: str
    message: str
    line: int


class Record(NamedTuple):
    """The four lines of a record without their line ends."""

    header: bytes
    sequence: bytes
    plus: bytes
    quality: bytes

    @property
    def name(self) -> str:
        """The read's name for messages: the header without `@`, up to the first space or tab."""
        words = self.header[1:].split(maxsplit=1)
        return words[0].decode("utf-8", "replace") if words else "(no name)"


def fault_of(record: Record) -> Fault | None:
    """Return the first fault of a record in line order, or None when it is valid."""
    return _header_fault(record) or _sequence_fault(record) or _plus_fault(record) or _quality_fault(record)


def _header_fault(record: Record) -> Fault | None:
    if not record.header.startswith(b"@"):
        found = f"with {_start(record.header)}" if record.header else "but is an empty line"
        message = f"a header line must start with '@', this one starts {found}"
        if not record.header:
            message = "a header line must start with '@', this one is empty"
        return Fault("BAD_FASTQ_HEADER", f"{message}; a line is missing or doubled here or just before", 0)
    if record.header[1:2] in (b"", b" ", b"\t"):
        return Fault("BAD_FASTQ_HEADER", "this header line has no read name after '@'", 0)
    return _line_end_fault(record)


def _line_end_fault(record: Record) -> Fault | None:
    for number, line in enumerate(record):
        if line.endswith(b"\r"):
            return Fault(
                "MIXED_LINE_ENDS",
                f"read {record.name}: this line ends with CR LF, the first line of the file did not",
                number,
            )
    return None


def _sequence_fault(record: Record) -> Fault | None:
    wrong = next((byte for byte in record.sequence if byte not in SEQUENCE_BYTES), None)
    if wrong is None:
        return None
    return Fault(
        "BAD_SEQUENCE", f"read {record.name}: {_start(bytes([wrong]))} is no base; the sequence line is damaged", 1
    )


def _plus_fault(record: Record) -> Fault | None:
    if not record.plus.startswith(b"+"):
        message = f"read {record.name}: the third line must start with '+', this one starts with {_start(record.plus)}"
        return Fault("BAD_FASTQ_PLUS", message, 2)
    if len(record.plus) > 1 and record.plus[1:] != record.header[1:]:
        message = f"read {record.name}: the name after '+' is another one ({_start(record.plus[1:], 40)})"
        return Fault("BAD_FASTQ_PLUS", message, 2)
    return None


def _quality_fault(record: Record) -> Fault | None:
    bases, values = len(record.sequence), len(record.quality)
    if bases != values:
        return Fault(
            "SEQ_QUAL_LENGTH",
            f"read {record.name} has {counted(bases, 'base')} but {counted(values, 'quality value')}",
            3,
        )
    wrong = next((q for q in record.quality if not LOWEST_QUALITY <= q <= HIGHEST_QUALITY), None)
    if wrong is None:
        return None
    allowed = f"{LOWEST_QUALITY} to {HIGHEST_QUALITY}"
    return Fault("QUALITY_RANGE", f"read {record.name}: byte {wrong} is no Phred+33 quality ({allowed})", 3)


def _start(line: bytes, length: int = 12) -> str:
    return repr(line[:length].decode("utf-8", "replace")) if line else "nothing"

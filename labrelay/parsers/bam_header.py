"""The read groups of a BAM header, from the first bytes of the file and without htslib: for telling, not for judging.

Nanopore and PacBio write into `@RG` what their folders may have lost: run, flow cell, basecalling model, sample.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

HEAD = 256 * 1024
_MOST_TEXT, _MOST_BLOCKS = 1024 * 1024, 200
_MAGIC = b"BAM\1"
_DS = re.compile(r"(\w+)=(\S+)")


class ReadGroup(NamedTuple):
    """One `@RG` line: its fields by two-letter name, and what `DS` says as `name=value`."""

    fields: dict[str, str]
    described: dict[str, str]


def read_groups(head: bytes) -> list[ReadGroup] | None:
    """Return the read groups in the header, or None when these are not the first bytes of a BAM file.

    A header that is longer than what was given is read as far as it goes.

    Args:
        head: The first bytes of the file, compressed as they are (`HEAD` is plenty).
    """
    plain = _inflated(head)
    if len(plain) < 8 or not plain.startswith(_MAGIC):
        return None
    (length,) = struct.unpack_from("<I", plain, 4)
    text = plain[8 : 8 + length].decode("utf-8", "replace")
    return [_group(line) for line in text.split("\n") if line.startswith("@RG\t")]


def _inflated(head: bytes) -> bytes:
    """Return the content of the BGZF blocks, as far as they are whole, and never more than a header may have."""
    plain = b""
    for _ in range(_MOST_BLOCKS):
        if not head or len(plain) >= _MOST_TEXT:
            break
        inflate = zlib.decompressobj(wbits=31)
        try:
            plain += inflate.decompress(head, _MOST_TEXT - len(plain))
        except zlib.error:
            break
        if not inflate.eof:
            break
        head = inflate.unused_data
    return plain


def _group(line: str) -> ReadGroup:
    fields = {}
    for part in line.rstrip("\r").split("\t")[1:]:
        key, colon, value = part.partition(":")
        if colon and value:
            fields[key] = value
    # Nanopore parts by blanks, PacBio by semicolons.
    described = dict(_DS.findall(fields.get("DS", "").replace(";", " ")))
    return ReadGroup(fields, described)

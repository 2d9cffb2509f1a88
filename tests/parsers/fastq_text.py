"""Builds FASTQ text for tests, and says by dnaio what has to be counted in it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Sequence
from itertools import pairwise

import dnaio

from labrelay.model.reads import FastqStats
from labrelay.parsers.fastq import FastqScan

Triple = tuple[str, str, str]


def text_of(records: Iterable[Triple], end: str = "\n") -> bytes:
    return "".join(f"@{name}{end}{bases}{end}+{end}{quality}{end}" for name, bases, quality in records).encode()


def members(text: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Compress `text` as one gzip member a part."""
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return b"".join(gzip.compress(text[a:b], 1) for a, b in pairwise(places))


def bgzip(text: bytes, block: int = 300) -> bytes:
    """Compress `text` as BGZF: members with an extra field, and the empty one at the end."""
    parts = [text[i : i + block] for i in range(0, len(text), block)]
    return b"".join(_bgzf_member(part) for part in [*parts, b""])


def _bgzf_member(part: bytes) -> bytes:
    plain = gzip.compress(part, 1, mtime=0)
    head, body = plain[:10], plain[10:]
    size = 12 + 6 + len(body) - 1
    return head[:3] + b"\x04" + head[4:] + (6).to_bytes(2, "little") + b"BC\x02\x00" + size.to_bytes(2, "little") + body


def scan(content: bytes, path: str = "a.fastq", chunks: Sequence[int] = (), **options: int | bool) -> FastqStats:
    """Feed `content` in chunks of these sizes (the last size again and again) and finish."""
    watcher = FastqScan(path, **options)
    try:
        start, number = 0, 0
        while start < len(content):
            size = chunks[min(number, len(chunks) - 1)] if chunks else len(content)
            watcher.feed(content[start : start + size])
            start, number = start + size, number + 1
        return watcher.finish()
    finally:
        watcher.close()


def counts(stats: FastqStats) -> dict[str, int | str | None]:
    """Return what does not depend on how the text was stored."""
    return stats.model_dump(exclude={"sha256", "md5", "size", "names_digest"})


def dnaio_counts(text: bytes) -> dict[str, int | str | None]:
    """Count plain FASTQ text with dnaio, record by record."""
    with dnaio.open(io.BytesIO(text), fileformat="fastq") as reader:
        records = list(reader)
    lengths = [len(record) for record in records]
    bases = "".join(record.sequence for record in records).upper()
    quality = [ord(q) - 33 for record in records for q in record.qualities]
    mates = {_mate(record.name) for record in records}
    return {
        "reads": len(records),
        "bases": len(bases),
        "gc_bases": bases.count("G") + bases.count("C"),
        "n_bases": bases.count("N"),
        "q20_bases": sum(q >= 20 for q in quality),
        "q30_bases": sum(q >= 30 for q in quality),
        "quality_sum": sum(quality),
        "min_length": min(lengths, default=None),
        "max_length": max(lengths, default=None),
        "first_name": records[0].name.split()[0] if records else None,
        "mate": mates.pop() if len(mates) == 1 else None,
    }


def _mate(header: str) -> int | None:
    name, _, comment = header.replace("\t", " ").partition(" ")
    if name.endswith(("/1", "/2")):
        return int(name[-1])
    return int(comment[0]) if comment[:2] in ("1:", "2:") else None

"""`minimap2 -ax sr [-t N] [-R READ_GROUP] REF R1 [R2]` on mappy: SAM to standard output.

mappy has no mode for pairs: each mate is aligned by itself, and pairs are judged afterwards by orientation and
distance, as minimap2's preset for short reads does. There is no rescue of a mate that does not align alone.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TextIO

import mappy

MAX_FRAGMENT = 800  # minimap2's -F in preset sr
BATCH = 4096
PAIRED, PROPER, UNMAPPED, MATE_UNMAPPED, REVERSE, MATE_REVERSE, FIRST, LAST = (1 << n for n in range(8))
Read = tuple[str, str, str]


@dataclass(frozen=True)
class Hit:
    """Where a read lies: 0-based start and end on the contig, and how."""

    contig: str
    start: int
    end: int
    reverse: bool
    quality: int
    cigar: str
    edits: int


def main(arguments: list[str]) -> int:
    """Align and return the exit code."""
    if arguments == ["--version"]:
        sys.stdout.write(f"{mappy.__version__} (mappy)\n")
        return 0
    options = _parser().parse_args(arguments)
    if not options.sam or options.preset != "sr":
        sys.stderr.write("minimap2: the stand-in that comes with Labrelay aligns with -ax sr only; install minimap2.\n")
        return 2
    aligner = mappy.Aligner(options.reference, preset="sr")
    if not aligner or not aligner.seq_names:
        sys.stderr.write(f"minimap2: {options.reference} is no FASTA file with sequences.\n")
        return 1
    group = options.group.replace("\\t", "\t")
    try:
        write_sam(aligner, options.reads, group, options.threads, arguments, sys.stdout)
        sys.stdout.flush()
    except ValueError:
        sys.stderr.write("minimap2: the files of a pair hold different numbers of reads.\n")
        return 1
    except BrokenPipeError:
        return 141
    return 0


def write_sam(
    aligner: mappy.Aligner, reads: list[str], group: str, threads: int, arguments: list[str], out: TextIO
) -> None:
    """Align the reads of one file, or the pairs of two, in order, and write SAM with its header."""
    names = aligner.seq_names
    out.write("@HD\tVN:1.6\tSO:unsorted\tGO:query\n")
    out.writelines(f"@SQ\tSN:{name}\tLN:{len(aligner.seq(name))}\n" for name in names)
    if group:
        out.write(group + "\n")
    line = " ".join(arguments).replace("\t", "\\t")
    out.write(f"@PG\tID:minimap2\tPN:minimap2 (mappy)\tVN:{mappy.__version__}\tCL:minimap2 {line}\n")
    tag = next((f"\tRG:Z:{part[3:]}" for part in group.split("\t") if part.startswith("ID:")), "")
    templates = zip(*(mappy.fastx_read(path) for path in reads), strict=True)

    def align(batch: list[tuple[Read, ...]]) -> str:
        buffer = mappy.ThreadBuffer()
        return "".join(record for template in batch for record in _records(aligner, buffer, template, tag))

    # mappy lets go of Python's lock while it aligns, so threads help.
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque[Future[str]] = deque()
        for batch in _batches(templates):
            waiting.append(pool.submit(align, batch))
            if len(waiting) > 2 * threads:
                out.write(waiting.popleft().result())
        for future in waiting:
            out.write(future.result())


def _batches(templates: Iterable[tuple[Read, ...]]) -> Iterator[list[tuple[Read, ...]]]:
    source = iter(templates)
    while batch := list(islice(source, BATCH)):
        yield batch


def _records(aligner: mappy.Aligner, buffer: mappy.ThreadBuffer, template: tuple[Read, ...], tag: str) -> list[str]:
    hits = [_best(aligner, buffer, read[1]) for read in template]
    if len(template) == 1:
        return [_line(template[0], hits[0], None, 0, 0, tag)]
    length = _fragment(*hits)
    proper = PROPER if length else 0
    one, two = template
    return [
        _line(one, hits[0], hits[1], PAIRED | FIRST | proper, length, tag),
        _line(two, hits[1], hits[0], PAIRED | LAST | proper, -length, tag),
    ]


def _best(aligner: mappy.Aligner, buffer: mappy.ThreadBuffer, sequence: str) -> Hit | None:
    for hit in aligner.map(sequence, buf=buffer):
        if hit.is_primary:
            before, after = hit.q_st, len(sequence) - hit.q_en
            if hit.strand < 0:
                before, after = after, before
            clipped = (f"{before}S" if before else "") + hit.cigar_str + (f"{after}S" if after else "")
            return Hit(hit.ctg, hit.r_st, hit.r_en, hit.strand < 0, hit.mapq, clipped, hit.NM)
    return None


def _fragment(one: Hit | None, two: Hit | None) -> int:
    """Return the signed length of a proper pair's fragment as seen from the first read, or 0."""
    if one is None or two is None or one.contig != two.contig or one.reverse == two.reverse:
        return 0
    left, right = (two, one) if one.reverse else (one, two)
    length = right.end - left.start
    if left.start > right.end or not 0 < length <= MAX_FRAGMENT:
        return 0
    return -length if one.reverse else length


def _line(read: Read, hit: Hit | None, mate: Hit | None, flag: int, length: int, tag: str) -> str:
    name, sequence, quality = read
    quality = quality or "*"
    if flag & PAIRED:
        flag |= MATE_UNMAPPED if mate is None else MATE_REVERSE * mate.reverse
    where = mate or hit if flag & PAIRED else None
    next_contig, next_start = ("*", 0) if where is None else (where.contig, where.start + 1)
    if hit is None:
        # An unaligned read stands beside its mate.
        contig, start = (mate.contig, mate.start + 1) if mate else ("*", 0)
        placed = f"{contig}\t{start}\t0\t*"
        flag |= UNMAPPED
        extra = ""
    else:
        contig = hit.contig
        placed = f"{contig}\t{hit.start + 1}\t{hit.quality}\t{hit.cigar}"
        extra = f"\tNM:i:{hit.edits}"
        if hit.reverse:
            flag |= REVERSE
            sequence, quality = mappy.revcomp(sequence), quality[::-1]
    if next_contig == contig and contig != "*":
        next_contig = "="
    return f"{name}\t{flag}\t{placed}\t{next_contig}\t{next_start}\t{length}\t{sequence}\t{quality}{extra}{tag}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="minimap2", add_help=False)
    parser.add_argument("-a", dest="sam", action="store_true")
    parser.add_argument("-x", dest="preset", default="")
    parser.add_argument("-t", dest="threads", type=int, default=1)
    parser.add_argument("-R", dest="group", default="")
    parser.add_argument("reference")
    parser.add_argument("reads", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

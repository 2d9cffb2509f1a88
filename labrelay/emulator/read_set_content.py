"""What a read set's files hold: the judgement before it becomes ACTIVE, its counts, its ETags and its index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pysam

from labrelay.emulator.operation import Params
from labrelay.emulator.storage_jobs import ItemFailed
from labrelay.emulator.stored_files import SAMTOOLS, new_hash
from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem, errors_of
from labrelay.model.reads import FastqStats
from labrelay.parsers.bam import CRAM_MAGIC, SECONDARY_OR_SUPPLEMENTARY, scan_bam
from labrelay.parsers.fastq import READ_BYTES, FastqScan
from labrelay.parsers.inflate import GZIP_MAGIC
from labrelay.parsers.mates import check_mates

# Without it, CRAM would be given MD and NM tags that the file it was made from need not have had.
AS_STORED = [b"decode_md=0"]
HashObject = Any  # of hashlib, which has no public type for it


@dataclass(frozen=True)
class Content:
    """What judging gave.

    Attributes:
        information: `sequenceInformation` without `generatedFrom`.
        etag: As `GetReadSetMetadata` has it.
        index: A new index beside source1, of sorted BAM and CRAM.
        note: What a person should know, or empty.
    """

    information: Params
    etag: Params
    index: Path | None = None
    note: str = ""


def judge(file_type: str, files: Mapping[str, Path], family: str, reference: Path | None = None) -> Content:
    """Read the files of a read set and return what they hold.

    Args:
        file_type: FASTQ, BAM, CRAM or UBAM.
        files: By slot, `source1` and for some FASTQ `source2`.
        family: Of the ETag's algorithm, such as `MD5up`.
        reference: FASTA with its `.fai`; a CRAM is decoded with it.

    Raises:
        ItemFailed: They are not what they are said to be, or damaged.
        OSError: They cannot be read.
    """
    try:
        if file_type == "FASTQ":
            return _judge_fastq(files, family)
        return _judge_alignments(file_type, files["source1"], family, reference)
    except RefusedInput as refused:
        raise ItemFailed(str(refused.problems[0])) from refused


def _judge_fastq(files: Mapping[str, Path], family: str) -> Content:
    stats: dict[str, FastqStats] = {}
    etag = {"algorithm": f"FASTQ_{family}"}
    for slot, path in files.items():
        with path.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                raise ItemFailed(f"{path.name} is not compressed with gzip, which FASTQ must be here.")
        digest = new_hash(family)
        stats[slot] = _scan(path, digest)
        etag[slot] = digest.hexdigest()
    if "source2" in stats:
        found = check_mates(stats["source1"], stats["source2"], files["source1"], files["source2"])
        _refuse(errors_of(found))
    total, bases = (sum(getattr(one, name) for one in stats.values()) for name in ("reads", "bases"))
    return Content({"totalReadCount": total, "totalBaseCount": bases, "alignment": "UNALIGNED"}, etag)


def _scan(path: Path, digest: HashObject) -> FastqStats:
    scan = FastqScan(path.name, text_hash=digest)
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(READ_BYTES):
                scan.feed(chunk)
        return scan.finish()
    finally:
        scan.close()


def _judge_alignments(file_type: str, path: Path, family: str, reference: Path | None) -> Content:
    with path.open("rb") as file:
        is_cram = file.read(len(CRAM_MAGIC)) == CRAM_MAGIC
    if is_cram != (file_type == "CRAM"):
        raise ItemFailed(f"{path.name} is {'CRAM' if is_cram else 'not CRAM'}, but is announced as {file_type}.")
    stats, problems = scan_bam(path)
    _refuse(errors_of(problems))
    if is_cram:
        _check_contigs(path, reference)
    digest = new_hash(family)
    bases = _read_records(path, reference if is_cram else None, digest)
    information = {
        "totalReadCount": stats.reads or 0,
        "totalBaseCount": bases,
        "alignment": "ALIGNED" if stats.aligned else "UNALIGNED",
    }
    etag = {"algorithm": f"{'CRAM' if is_cram else 'BAM'}_{family}", "source1": digest.hexdigest()}
    index, note = _index(path, "crai" if is_cram else "bai") if file_type != "UBAM" else (None, "")
    return Content(information, etag, index, note)


def _read_records(path: Path, reference: Path | None, digest: HashObject) -> int:
    """Show the records as SAM text to the hash, and return the bases of the primary ones."""
    bases = 0
    name = str(reference) if reference is not None else None
    try:
        with pysam.AlignmentFile(str(path), check_sq=False, reference_filename=name, format_options=AS_STORED) as file:
            for record in file.fetch(until_eof=True):
                digest.update(f"{record.to_string()}\n".encode())
                if not record.flag & SECONDARY_OR_SUPPLEMENTARY:
                    bases += record.query_length
    except (OSError, ValueError) as error:
        raise ItemFailed(f"{path.name} cannot be decoded: {error}") from error
    return bases


def _check_contigs(path: Path, reference: Path | None) -> None:
    """Refuse a CRAM whose contigs the reference does not have: htslib would ask the network for them."""
    if reference is None:
        raise ItemFailed(f"{path.name} is CRAM and needs a reference.")
    with pysam.AlignmentFile(str(path), check_sq=False) as file, pysam.FastaFile(str(reference)) as fasta:
        missing = [name for name in file.references if name not in fasta]
    if missing:
        raise ItemFailed(f"{path.name}: the reference lacks {len(missing)} of its contigs, the first is {missing[0]}.")


def _index(path: Path, end: str) -> tuple[Path | None, str]:
    with pysam.AlignmentFile(str(path), check_sq=False) as file:
        if file.header.to_dict().get("HD", {}).get("SO") != "coordinate":
            return None, "The file is not sorted by coordinate and has no index."
    try:
        with SAMTOOLS:
            pysam.index(str(path))
    except pysam.SamtoolsError as error:
        return None, f"The file could not be indexed: {error}"
    return path.with_name(f"{path.name}.{end}"), ""


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise ItemFailed(str(problems[0]))

"""What a read set is made of, whichever store keeps it."""

from __future__ import annotations

from collections.abc import Mapping

from labrelay.model.reads import ReadSource
from labrelay.model.words import counted
from labrelay.stores.joining import is_packed

FILE_COUNTS: Mapping[str, tuple[int, ...]] = {"FASTQ": (1, 2), "BAM": (1,), "UBAM": (1,), "CRAM": (1,)}


def wrong_files(source: ReadSource) -> str | None:
    """Return the sentence why the files make no read set, or None when they do by number and type."""
    if source.parts:
        alike = source.file_type == "FASTQ" and len({is_packed(ref.key) for ref in source.files}) == 1
        return None if alike else f"{source.name}: parts to be joined are FASTQ files, all packed by gzip or none."
    if len(source.files) in FILE_COUNTS.get(source.file_type, ()):
        return None
    return f"{source.name}: a read set is not made of {counted(len(source.files), f'{source.file_type} file')}."

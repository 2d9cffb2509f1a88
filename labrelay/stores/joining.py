"""Files of reads that are parts of one, such as the chunks of a Nanopore barcode, joined into one without loss.

Files of gzip stand one behind the other as members of one file (RFC 1952, section 2.2), so nothing is packed again. The
joined file is an object of the store that the parts lie in, under the read set's id, and is made once; beside it lies
what it was made of, so that a machine that knows nothing of it finds that out.

    joined/<rds_…>.fastq.gz    the parts' bytes in their order
    joined/<rds_…>.json        the read set's source
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path

from labrelay.model.canonical import canonical_json
from labrelay.model.files import FileRef
from labrelay.model.reads import ReadSource
from labrelay.parsers.inflate import GZIP_MAGIC, Inflater
from labrelay.stores.durable import make_dirs, open_temp, storage_errors, write_all
from labrelay.stores.ports import ObjectStore

CHUNK = 2 << 20
FOLDER = "joined/"
NEW_LINE = b"\n"
_PACKED_LINE = gzip.compress(NEW_LINE, mtime=0)


def files_to_read(objects: ObjectStore, source: ReadSource) -> tuple[FileRef, ...] | None:
    """Return the files that a read set's reads are in: its own, or the joined one; None while that is not made."""
    if not source.parts:
        return source.files
    found = objects.head(joined_key(source))
    return None if found is None else (found,)


def join(objects: ObjectStore, source: ReadSource, scratch: Path) -> tuple[FileRef, ...]:
    """Return the files that a read set's reads are in, and make the joined one where it is not.

    Cost: each part is read once and unpacked to see its end; so much room in `scratch` as the parts have, which is a
    folder where the store reaps what killed processes left.

    Raises:
        RefusedInput: A part is not whole.
        StorageFailed: The store or the disk failed.
    """
    there = files_to_read(objects, source)
    if there is not None:
        return there
    with storage_errors(f"join the reads of {source.name}", scratch):
        make_dirs(scratch)
        path, out = open_temp(scratch)
        try:
            with out:
                for ref in source.files:
                    _append(objects, ref, partial(write_all, out))
                objects.put_bytes(f"{FOLDER}{source.id}.json", canonical_json(source.model_dump(mode="json")).encode())
                return (objects.stage(path, joined_key(source)).commit(),)
        finally:
            path.unlink(missing_ok=True)


def joined_key(source: ReadSource) -> str:
    """Return the key of the joined file; all parts are packed, or none is."""
    return f"{FOLDER}{source.id}{'.fastq.gz' if is_packed(source.files[0].key) else '.fastq'}"


def is_packed(name: str) -> bool:
    """Tell whether a file of reads is one of gzip, by its name."""
    return name.lower().endswith(".gz")


def source_of(objects: ObjectStore, key: str) -> ReadSource | None:
    """Return what a joined file was made of; None when the key is of no such file."""
    stem = key.partition(".fastq")[0]
    described = objects.head(f"{stem}.json") if key.startswith(FOLDER) else None
    if described is None:
        return None
    with objects.open(described) as opened:
        return ReadSource.model_validate_json(opened.read())


def _append(objects: ObjectStore, ref: FileRef, write: Callable[[bytes], object]) -> None:
    """Write a part's bytes, and a line's end where its last record has none, for the next begins a line."""
    inflater, last, head = Inflater(ref.key), NEW_LINE, b""
    with objects.open(ref) as opened:
        while chunk := opened.read(CHUNK):
            head = head or chunk[:2]
            write(chunk)
            for piece in inflater.feed(chunk):
                last = piece[-1:] or last
    for piece in inflater.finish():
        last = piece[-1:] or last
    if last != NEW_LINE:
        write(_PACKED_LINE if head == GZIP_MAGIC else NEW_LINE)

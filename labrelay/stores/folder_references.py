"""Reference genomes in a folder: normalised, indexed, with the annotation they came with.

references/<ref_…>/<name>.fasta, .fasta.fai, .gff3    put once, read-only
references/<ref_…>/metadata.json                      written last: a folder without it is no reference yet
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from labrelay.model.errors import NotFound, StorageFailed, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.model.ids import derived_id, looks_like_id
from labrelay.model.names import is_safe_name, printable, slug
from labrelay.model.problem import Frozen
from labrelay.model.reads import Reference
from labrelay.stores.durable import GRACE_SECONDS, storage_errors
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.jsonfile import checked_id, read_model, utc_now
from labrelay.stores.source import open_source, read_through

if TYPE_CHECKING:
    from labrelay.parsers.reference import NormalisedReference

MAX_NAME = 100
METADATA = "metadata.json"


class _Stored(Frozen):
    """`metadata.json`: the reference and when it was first added."""

    reference: Reference
    created: str


class ReferenceFolder:
    """The reference half of `ReadStore` on a folder.

    Args:
        root: Made at the first write.
        name: The store's name in the `FileRef`s of references.
    """

    def __init__(self, root: Path, name: str = "references") -> None:
        self.files = FolderObjectStore(root, name)

    def add_reference(self, source: Path, name: str) -> Reference:
        """Normalise, index and store a reference (FASTA or GenBank).

        Args:
            source: The file as published; it is not changed.
            name: What rules and commands will call it.

        Returns:
            The reference; `notes` say what was changed, and whether it was there before.

        Raises:
            RefusedInput: The file is no reference; carries every problem.
            StorageFailed: It could not be read or stored.
            UsageError: The name is empty, too long or does not print.
        """
        if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
            raise UsageError(f"'{printable(name)}' is no name for a reference; use up to {MAX_NAME} plain characters.")
        with open_source(source) as opened:
            source_sha256, _size = read_through(opened, lambda _chunk: None, ())
        reference = self._put(_parse(source), name, source_sha256)
        faultpoint("reference.files_stored")
        before = self._stored(reference.id)
        if before is not None:
            return _with_note(before, self.reference(name))
        made = _Stored(reference=reference, created=utc_now())
        self.files.put_bytes(f"{reference.id}/{METADATA}", made.model_dump_json().encode())
        return reference

    def reference(self, name_or_id: str) -> Reference | None:
        """Return the newest reference of this name, or the one with this id; None when there is none."""
        by_id = looks_like_id(name_or_id, "ref") and is_safe_name(name_or_id)
        if by_id and (stored := self._stored(name_or_id)) is not None:
            return stored.reference
        return next((each for each in reversed(self.references()) if each.name == name_or_id), None)

    def references(self) -> tuple[Reference, ...]:
        """Return all references, by name and then age, the oldest first."""
        with storage_errors("list references", self.files.root):
            folders = self.files.root.glob("ref_*") if self.files.root.is_dir() else ()
            found = [stored for folder in folders if (stored := self._stored(folder.name)) is not None]
        return tuple(each.reference for each in sorted(found, key=lambda s: (s.reference.name, s.created)))

    def reference_location(self, reference: Reference, part: str = "fasta") -> str:
        """Return the path of one part of a reference.

        Args:
            reference: As this store gave it.
            part: `fasta`, `fai` or `annotation`.

        Raises:
            NotFound: The reference came without annotation.
            UsageError: There is no such part.
            StorageFailed: The file is gone or was changed.
        """
        parts = {"fasta": reference.fasta, "fai": reference.fai, "annotation": reference.annotation}
        if part not in parts:
            raise UsageError(f"A reference has no part '{printable(part)}'; it has {', '.join(parts)}.")
        ref = parts[part]
        if ref is None:
            raise NotFound(f"Reference {reference.name} has no annotation; add it as a GenBank file to have one.")
        path = self.files.local_path(ref)
        if path is None:
            raise StorageFailed(f"{ref.key} has no local path.")
        return str(path)

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed processes left; return how many files."""
        return self.files.reap(older_than)

    def _put(self, parsed: NormalisedReference, name: str, source_sha256: str) -> Reference:
        """Store the files of a reference; its id follows from their content, so killed tries leave no second folder."""
        gff3 = None if parsed.gff3 is None else parsed.gff3.encode()
        reference_id = derived_id("ref", name, _sha256(parsed.fasta), None if gff3 is None else _sha256(gff3))
        base = f"{reference_id}/{slug(name)}.fasta"
        fasta = self.files.put_bytes(base, parsed.fasta)
        fai = self.files.put_bytes(f"{base}.fai", parsed.fai)
        annotation: FileRef | None = None
        if gff3 is not None:
            annotation = self.files.put_bytes(f"{reference_id}/{slug(name)}.gff3", gff3)
        return Reference(
            id=reference_id,
            name=name,
            fasta=fasta,
            fai=fai,
            annotation=annotation,
            contigs=parsed.contigs,
            source_sha256=source_sha256,
            notes=parsed.notes,
        )

    def _stored(self, reference_id: str) -> _Stored | None:
        return read_model(self.files.root / checked_id(reference_id, "ref_") / METADATA, _Stored)


def _parse(source: Path) -> NormalisedReference:
    # Biopython is slow to load, and only adding a reference needs it.
    from labrelay.parsers.reference import read_reference

    return read_reference(source)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _with_note(before: _Stored, newest: Reference | None) -> Reference:
    reference = before.reference
    notes = [f"The same content was added as {reference.id} on {before.created[:10]}; nothing was stored again."]
    if newest is not None and newest.id != reference.id:
        notes.append(f"The name {reference.name} means the newer {newest.id}; use the id to mean this one.")
    return reference.model_copy(update={"notes": (*reference.notes, *notes)})

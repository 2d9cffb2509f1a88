"""The read store on a folder: read sets that are links to the objects, and references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labrelay.model.errors import UsageError
from labrelay.model.names import printable, slug
from labrelay.model.reads import Reference
from labrelay.stores.durable import GRACE_SECONDS
from labrelay.stores.folder_copies import copy_file
from labrelay.stores.folder_readsets import ReadSetFolder
from labrelay.stores.folder_references import ReferenceFolder
from labrelay.stores.ports import ExportJob, ObjectStore


class FolderReadStore(ReadSetFolder):
    """`ReadStore` on a folder of the file system where the objects lie (on another one the bytes are copied).

    Args:
        root: The folder; made at the first write.
        objects: Where the files of the sources lie.
        name: The store's name in this home.

    Attributes:
        genomes: Where references lie, `references` in their `FileRef`s.
    """

    def __init__(self, root: Path, objects: ObjectStore, name: str = "reads") -> None:
        super().__init__(root, objects)
        self.name = name
        self.genomes = ReferenceFolder(self.root / "references")

    def add_reference(self, source: Path, name: str) -> Reference:
        """Normalise, index and store a reference; see `ReferenceFolder.add_reference`."""
        return self.genomes.add_reference(source, name)

    def reference(self, name_or_id: str) -> Reference | None:
        """Return the newest reference of this name, or the one with this id."""
        return self.genomes.reference(name_or_id)

    def references(self) -> tuple[Reference, ...]:
        """Return all references, by name and then age."""
        return self.genomes.references()

    def reference_location(self, reference: Reference, part: str = "fasta") -> str:
        """Return the path of `fasta`, `fai` or `annotation`; see `ReferenceFolder.reference_location`."""
        return self.genomes.reference_location(reference, part)

    def reference_path(self, reference: Reference, part: str = "fasta") -> Path:
        """Return the path of `fasta`, `fai` or `annotation`."""
        return Path(self.genomes.reference_location(reference, part))

    def activate(self, read_set_ids: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG002 (the port's)
        """Return none: nothing is archived on a disk."""
        return ()

    def s3_uris(self, read_set_id: str) -> tuple[str, ...]:  # noqa: ARG002 (the port's)
        """Return none: nothing of a folder lies in S3."""
        return ()

    def export(self, read_set_ids: Sequence[str], destination: str) -> tuple[ExportJob, ...]:
        """Copy the files of read sets to `<destination>/<read set>/<name>`, now; what is there already stays.

        Raises:
            NotFound: There is no such read set.
            Conflict: Other bytes lie under one of the names.
            UsageError: The destination is no folder's path.
        """
        if "://" in destination:
            raise UsageError(
                f"This home keeps its reads in a folder: {printable(destination)} is no folder to copy to."
            )
        folder = Path(destination).expanduser().absolute()
        for each in read_set_ids:
            places = self.locations(each)
            found = self.describe(each)
            refs = self._files(found.source) if found is not None else ()
            for number, (place, ref) in enumerate(zip(places, refs, strict=True), start=1):
                taken = {other.name for other in refs[: number - 1]}
                name = slug(ref.name if ref.name not in taken else f"{number}-{ref.name}")
                copy_file(Path(place), folder / each / name, ref.sha256)
        return (ExportJob(id="", destination=str(folder), read_sets=tuple(read_set_ids), status="COMPLETED"),)

    def export_job(self, job: ExportJob) -> ExportJob:
        """Return the job: copying to a folder has ended when `export` returns."""
        return job

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed processes left; return how many files."""
        return super().reap(older_than) + self.genomes.reap(older_than)

"""The read store on HealthOmics: read sets in a sequence store, references in the account's reference store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from labrelay.model.reads import ReadSet, ReadSource, Reference
from labrelay.stores.aws import Aws
from labrelay.stores.durable import GRACE_SECONDS
from labrelay.stores.healthomics_exports import HealthOmicsExports
from labrelay.stores.healthomics_jobs import Mapped
from labrelay.stores.healthomics_readsets import HealthOmicsReadSets, SequenceStore
from labrelay.stores.healthomics_references import HealthOmicsReferences
from labrelay.stores.healthomics_setup import Stores
from labrelay.stores.healthomics_uploads import HealthOmicsUploads
from labrelay.stores.jsonfile import utc_now
from labrelay.stores.ports import ExportJob, ObjectStore


class HealthOmicsReadStore(HealthOmicsReadSets):
    """`ReadStore` on HealthOmics; read sets are imported in the background, so their jobs have to be looked at.

    Args:
        aws: The way there.
        objects: Where the files of the sources lie; an S3 store.
        root: The state folder; only saves calls, but for the local copies of references.
        stores: The ids, as `ensure_stores` gives them.
        role_arn: The role that HealthOmics takes on to read the objects.
        name: The store's name in this home.

    Attributes:
        references_store: Where references are.
    """

    def __init__(
        self, aws: Aws, objects: ObjectStore, root: Path, stores: Stores, role_arn: str, name: str = "reads"
    ) -> None:
        self.name = name
        self.references_store = HealthOmicsReferences(aws, stores.reference_store_id, role_arn, objects, root)
        sequence_store = SequenceStore(aws, stores.sequence_store_id, role_arn)
        super().__init__(sequence_store, objects, root, self.references_store)
        self._exports = HealthOmicsExports(sequence_store, lambda each: self._mapped(each).service_id)
        self._uploads = HealthOmicsUploads(sequence_store, self.state, self.references_store)

    def upload(
        self, paths: Sequence[Path], source: ReadSource, on_bytes: Callable[[int], None] | None = None
    ) -> ReadSet:
        """Upload local files that lie in no object store as one read set; see `HealthOmicsUploads.upload`.

        Args:
            paths: One file, or R1 and R2.
            source: What they are; its `files` say which they are to us.
            on_bytes: Told the bytes of each part that is there.

        Raises:
            RefusedInput: HealthOmics cannot take the files, or did not.
            StorageFailed: A file changed meanwhile, or the service failed.
        """
        service_id = self._uploads.upload(paths, source, on_bytes)
        made = Mapped(source=source, service_id=service_id, created=utc_now())
        self.state.write_mapped(made)
        return ReadSet(id=source.id, source=source, status="ACTIVE", created=made.created)

    def export(self, read_set_ids: Sequence[str], destination: str) -> tuple[ExportJob, ...]:
        """Start exporting read sets to an S3 prefix; see `HealthOmicsExports.start`."""
        return self._exports.start(read_set_ids, destination)

    def export_job(self, job: ExportJob) -> ExportJob:
        """Return how an export stands now. Cost: one call, none when it has ended."""
        return self._exports.look(job)

    def add_reference(self, source: Path, name: str) -> Reference:
        """Normalise, index and store a reference here and there; see `HealthOmicsReferences.add_reference`."""
        return self.references_store.add_reference(source, name)

    def reference(self, name_or_id: str) -> Reference | None:
        """Return the newest reference of this name, or the one with this id."""
        return self.references_store.folder.reference(name_or_id)

    def references(self) -> tuple[Reference, ...]:
        """Return all references, by name and then age."""
        return self.references_store.folder.references()

    def reference_location(self, reference: Reference, part: str = "fasta") -> str:
        """Return the URI of `fasta`, `fai` or `annotation` for an engine; see `HealthOmicsReferences.location`."""
        return self.references_store.location(reference, part)

    def reference_path(self, reference: Reference, part: str = "fasta") -> Path:
        """Return the local copy of `fasta`, `fai` or `annotation`."""
        return Path(self.references_store.folder.reference_location(reference, part))

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed processes left; return how many files."""
        return super().reap(older_than) + self.references_store.reap(older_than)

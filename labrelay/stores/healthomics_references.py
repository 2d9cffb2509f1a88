"""References on HealthOmics: normalised here, imported there once, and found again by the id in their description.

    references/<ref_…>/…                   the local copy (`ReferenceFolder`), which documents and local tools read
    <store>/reference-ids/<ref_…>.json     what the service calls it in one store (`StateFolder`)

The service has a FASTA and its index; an annotation stays an object in S3. Cost: the files once, one job and some looks
at it; a reference that is known here costs nothing, one that another machine imported one list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import NotFound, RefusedInput, StorageFailed, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.model.names import printable
from labrelay.model.problem import Frozen, Problem
from labrelay.model.reads import Reference
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.durable import GRACE_SECONDS, write_json_atomic
from labrelay.stores.folder_references import ReferenceFolder
from labrelay.stores.healthomics_jobs import ENDED, TOKEN_LENGTH, age_of, polled
from labrelay.stores.healthomics_state import StateFolder
from labrelay.stores.jsonfile import checked_id, read_model
from labrelay.stores.ports import ObjectStore

MOST_NAME = 255
MOST_JOBS = 50
OLD_SECONDS = 60.0
SHORTEST_NAME = 3
PARTS = {"fasta": "source", "fai": "index"}


class _Known(Frozen):
    """`reference-ids/<ref_…>.json`."""

    service_id: str
    arn: str


class HealthOmicsReferences:
    """The reference half of `ReadStore` on HealthOmics.

    Args:
        aws: The way there.
        store_id: The reference store's.
        role_arn: What HealthOmics takes on to read from S3.
        objects: Through which files reach HealthOmics; an S3 store.
        root: The state folder.
        sleep: Waits between looks at a job.
    """

    def __init__(
        self,
        aws: Aws,
        store_id: str,
        role_arn: str,
        objects: ObjectStore,
        root: Path,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.folder = ReferenceFolder(root.absolute() / "references")
        self._state = StateFolder(root, aws, role_arn, store_id)
        self._aws, self._store_id, self._role_arn = aws, store_id, role_arn
        self._objects, self._sleep = objects, sleep

    def add_reference(self, source: Path, name: str) -> Reference:
        """Normalise, index and store a reference here, and import it there when it is not there.

        Raises:
            RefusedInput: The file is no reference, or HealthOmics did not take it.
            StorageFailed: It could not be read, stored or sent.
            UsageError: The name is no name.
        """
        reference = self.folder.add_reference(source, name)
        self._known(reference)
        if reference.annotation is not None:
            self._sent(reference.annotation)
        return reference

    def arn(self, reference_id: str) -> str:
        """Return the ARN of a reference of ours.

        Raises:
            NotFound: There is no such reference.
        """
        reference = self.folder.reference(reference_id)
        if reference is None:
            raise NotFound(f"There is no reference {reference_id}: add it with `labrelay reference add`.")
        return self._known(reference).arn

    def location(self, reference: Reference, part: str = "fasta") -> str:
        """Return the `omics://` URI of `fasta` or `fai`, the `s3://` URI of `annotation`.

        Raises:
            NotFound: The reference came without annotation.
            UsageError: There is no such part.
        """
        if part == "annotation" and reference.annotation is not None:
            return self._objects.uri(self._sent(reference.annotation))
        if part not in PARTS:
            # Only to say what is wrong, in the words of every store.
            self.folder.reference_location(reference, part)
        known = self._known(reference)
        _arn, _aws, _omics, region, account, *_rest = known.arn.split(":")
        base = f"omics://{account}.storage.{region}.amazonaws.com/{self._store_id}/reference/{known.service_id}"
        return f"{base}/{PARTS[part]}"

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed processes left; return how many files."""
        return self.folder.reap(older_than)

    def _known(self, reference: Reference) -> _Known:
        path = self._state.path / "reference-ids" / f"{checked_id(reference.id, 'ref_')}.json"
        known = read_model(path, _Known)
        if known is None:
            known = self._find(reference) or self._import(reference)
            write_json_atomic(path, known.model_dump(mode="json"))
            faultpoint("omics.reference_noted")
        return known

    def _find(self, reference: Reference) -> _Known | None:
        with aws_errors(f"look for reference {reference.name}"):
            pages = self._omics.get_paginator("list_references").paginate(
                referenceStoreId=self._store_id, filter={"name": _name(reference)}
            )
            found = [
                each
                for page in pages
                for each in page["references"]
                if each.get("description") == _description(reference) and each.get("status", "ACTIVE") == "ACTIVE"
            ]
        first = min(found, key=lambda each: (each["creationTime"], each["id"]), default=None)
        return None if first is None else _Known(service_id=first["id"], arn=first["arn"])

    def _import(self, reference: Reference) -> _Known:
        source = {
            "sourceFile": self._objects.uri(self._sent(reference.fasta)),
            "name": _name(reference),
            "description": _description(reference),
            "tags": {"labrelay:reference": reference.id, "labrelay:sha256": reference.fasta.sha256},
        }
        for number in range(MOST_JOBS):
            token = digest([self._store_id, reference.id, str(source["sourceFile"]), number])[:TOKEN_LENGTH]
            with aws_errors(f"import reference {reference.name}"):
                answer = self._omics.start_reference_import_job(
                    referenceStoreId=self._store_id, roleArn=self._role_arn, clientToken=token, sources=[source]
                )
            faultpoint("omics.reference_started")
            said = self._wait(reference, str(answer["id"]))
            item = said["sources"][0]
            if item["status"] == "FINISHED" and (made := self._made(reference, item)) is not None:
                return made
            if age_of(answer) <= OLD_SECONDS:
                message = f"HealthOmics did not take it: {printable(_reason(said, item))}"
                problem = Problem(code="REFERENCE_REFUSED", message=message, path=reference.fasta.name)
                raise RefusedInput(f"reference {reference.name}", [problem])
        raise StorageFailed(f"Reference {reference.name} failed {MOST_JOBS} times on HealthOmics; rename it to go on.")

    def _made(self, reference: Reference, item: Mapping[str, Any]) -> _Known | None:
        """Return what a job made; None when it was deleted since."""
        try:
            with aws_errors(f"describe reference {reference.name}"):
                metadata = self._omics.get_reference_metadata(referenceStoreId=self._store_id, id=item["referenceId"])
        except NotFound:
            return None
        return _Known(service_id=metadata["id"], arn=metadata["arn"])

    def _wait(self, reference: Reference, job_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            with aws_errors(f"look at the import of reference {reference.name}"):
                said: dict[str, Any] = self._omics.get_reference_import_job(referenceStoreId=self._store_id, id=job_id)
            return said if said["status"] in ENDED else None

        answer = polled(look, self._sleep)
        if answer is None:
            raise StorageFailed(
                f"The import of reference {reference.name} (job {job_id}) takes very long; repeat the command, which "
                "goes on waiting for the same job."
            )
        return answer

    def _sent(self, ref: FileRef) -> FileRef:
        """Return the object in S3 of a file of the local copy, sent when it is not there."""
        key = f"references/{ref.key}"
        there = self._objects.head(key)
        if there is not None and there.sha256 == ref.sha256:
            return there
        path = self.folder.files.local_path(ref)
        if path is None:
            raise UsageError(f"{ref.key} has no local copy.")
        sent = self._objects.stage(path, key).commit()
        faultpoint("omics.reference_sent")
        return sent

    @property
    def _omics(self) -> Any:
        return self._aws.client("omics")


def _name(reference: Reference) -> str:
    name = reference.name[:MOST_NAME]
    return name if len(name) >= SHORTEST_NAME else f"{name} ({reference.id})"


def _reason(said: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    return str(item.get("statusMessage") or said.get("statusMessage") or said["status"])


def _description(reference: Reference) -> str:
    # In lists, unlike tags; and it names the content, not only what people call it.
    return f"{reference.id} sha256:{reference.fasta.sha256}"

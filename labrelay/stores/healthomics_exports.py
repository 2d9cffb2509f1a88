"""Read sets of a sequence store on their way out: export jobs of the service, each read set below a prefix of its own.

An export that goes on is joined by asking again; one that has ended is done anew, since what it wrote may be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import StorageFailed, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.names import printable
from labrelay.stores.aws import aws_errors
from labrelay.stores.healthomics_jobs import ENDED, TOKEN_LENGTH, age_of
from labrelay.stores.healthomics_readsets import SequenceStore
from labrelay.stores.ports import ExportJob

BATCH = 100
MOST_JOBS = 200
NEW_SECONDS = 10.0


class HealthOmicsExports:
    """The exports of one sequence store.

    Args:
        store: The sequence store.
        service_id: Returns what the service calls a read set of ours.
    """

    def __init__(self, store: SequenceStore, service_id: Callable[[str], str]) -> None:
        self._store, self._service_id = store, service_id

    def start(self, read_set_ids: Sequence[str], destination: str) -> tuple[ExportJob, ...]:
        """Start exporting read sets to an S3 prefix; see `ReadStore.export`.

        Cost: a call for every 100, and one more for each export of the very same ones before.

        Raises:
            NotFound: There is no such read set.
            UsageError: The destination is no place in S3.
        """
        base = destination.rstrip("/") + "/"
        if not base.startswith("s3://") or base.count("/") < 3 or base == "s3:///":
            raise UsageError(f"HealthOmics exports to S3 alone: {printable(destination)} is not s3://BUCKET/PREFIX.")
        ours = {self._service_id(each): each for each in read_set_ids}
        return tuple(self._started(base, batch, ours) for batch in _batches(list(ours), BATCH))

    def look(self, job: ExportJob) -> ExportJob:
        """Return how an export stands now. Cost: one call, none when it has ended."""
        if job.status in ENDED:
            return job
        with aws_errors(f"look at export job {job.id}"):
            answer = self._store.omics.get_read_set_export_job(sequenceStoreId=self._store.id, id=job.id)
        return exported(job, answer)

    def _started(self, base: str, batch: Sequence[str], ours: Mapping[str, str]) -> ExportJob:
        for number in range(MOST_JOBS):
            with aws_errors(f"export {len(batch)} read sets to {base}"):
                answer = self._store.omics.start_read_set_export_job(
                    sequenceStoreId=self._store.id,
                    destination=base,
                    roleArn=self._store.role_arn,
                    clientToken=digest([base, *batch, number])[:TOKEN_LENGTH],
                    sources=[{"readSetId": each} for each in batch],
                )
            faultpoint("omics.export_started")
            names = {each: ours[each] for each in batch}
            job = ExportJob(id=str(answer["id"]), destination=base, read_sets=tuple(names.values()), names=names)
            # The token of an earlier export gives its job again, which says nothing of now when it has ended.
            if age_of(answer) < NEW_SECONDS or (job := self.look(job)).status not in ENDED:
                return job
        raise StorageFailed(f"These read sets were exported {MOST_JOBS} times to {base}; name another prefix.")


def exported(job: ExportJob, answer: Mapping[str, Any]) -> ExportJob:
    """Return an export with what GetReadSetExportJob says of it: one that has ended has failed for what it names not.

    A read set of ours is told by our id.
    """
    status = str(answer["status"])
    if status not in ENDED:
        return job.model_copy(update={"status": status})
    said = {str(each["id"]): each for each in answer.get("readSets", [])}
    failed = []
    for service_id, read_set in job.names.items():
        item = said.get(service_id, {"status": "FINISHED" if status == "COMPLETED" else status})
        if item["status"] != "FINISHED":
            why = item.get("statusMessage") or answer.get("statusMessage") or f"the job ended as {status}"
            failed.append((read_set, f"HealthOmics did not export it: {printable(str(why))}"))
    return job.model_copy(update={"status": status, "failed": tuple(failed)})


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))

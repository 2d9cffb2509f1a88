"""The read sets of a HealthOmics sequence store: imported from S3 in jobs, found again by our id.

The service keeps our id as `generatedFrom` and gives the same job for the same `clientToken`, so the state folder only
saves calls: a machine without it finds everything again.

Calls for n read sets: one to start n/100 jobs and one a look at each; locating what was imported here costs none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from labrelay.model.errors import Busy, Conflict, LabrelayError, NotFound, StorageFailed, UsageError
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.model.ids import derived_id
from labrelay.model.reads import ReadSet, ReadSource
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.durable import GRACE_SECONDS
from labrelay.stores.healthomics_jobs import (
    JobFile,
    Mapped,
    Round,
    moment,
    outcome,
    refusal,
    source_request,
    uploaded_source,
)
from labrelay.stores.healthomics_state import StateFolder
from labrelay.stores.joining import join, source_of
from labrelay.stores.ports import ImportJob, ObjectStore

log = logging.getLogger(__name__)

MOST_SOURCES = 100
THERE = frozenset({"ACTIVE", "ARCHIVED", "ACTIVATING"})
ACTIVATED = 20  # in one activation job
FEW = 20  # read sets that are asked for one by one, where a list may be of a million


@dataclass(frozen=True)
class SequenceStore:
    """Where read sets go.

    Attributes:
        aws: The way there.
        id: The sequence store's.
        role_arn: What HealthOmics takes on to read the sources from S3.
    """

    aws: Aws
    id: str
    role_arn: str

    @property
    def omics(self) -> Any:
        """The boto3 client."""
        return self.aws.client("omics")


class ReferenceArns(Protocol):
    """What read sets need to know of references."""

    def arn(self, reference_id: str) -> str:
        """Return the ARN of a reference of ours."""


class HealthOmicsReadSets:
    """The read-set half of `ReadStore` on HealthOmics.

    Args:
        store: The sequence store.
        objects: Where the files of the sources lie, in S3.
        root: The state folder of the home.
        references: For aligned reads.

    Attributes:
        state: What this home remembers of this sequence store.
    """

    def __init__(self, store: SequenceStore, objects: ObjectStore, root: Path, references: ReferenceArns) -> None:
        self.state = StateFolder(root, store.aws, store.role_arn, store.id)
        self._store, self._objects, self._references = store, objects, references
        self._base: str | None = None

    def import_reads(self, sources: Sequence[ReadSource], token: str) -> str:
        """Start importing and return the job's id; see `ReadStore.import_reads`.

        Asked again with the token, it starts nothing but what failed before. A job more than the account may have at
        once waits: `job` starts it when there is room. Cost: one call.

        Raises:
            Conflict: The token was used for other sources.
            UsageError: There is no source or more than a hundred, or one stands there twice.
            Busy: Another process has been at this home's jobs for a minute.
        """
        ids = tuple(source.id for source in sources)
        if not ids or len(set(ids)) != len(ids) or len(ids) > MOST_SOURCES:
            raise UsageError(f"An import takes 1 to {MOST_SOURCES} sources, each only once.")
        job_id = derived_id("imp", token)
        with self.state.locked():
            job = self.state.read_job(job_id) or JobFile(id=job_id, token=token, sources=tuple(sources))
            if {source.id for source in job.sources} != set(ids):
                raise Conflict(f"Import job {job_id} was asked for other sources; use a token made from what is asked.")
            self._advance(job)
        return job_id

    def job(self, job_id: str) -> ImportJob:
        """Return how the job stands. Cost: one call, none when it has ended.

        Raises:
            NotFound: This home started no such job.
        """
        with self.state.locked():
            job = self.state.read_job(job_id)
            if job is None:
                raise NotFound(f"There is no import job {job_id} in {self.state.path}.")
            if job.status == "IN_PROGRESS":
                job = self._look(self._started(job))
        mapped = [
            each for source in job.sources if source.id in job.done and (each := self.state.read_mapped(source.id))
        ]
        done = tuple(each.read_set("ACTIVE") for each in mapped)
        failed = tuple((source.id, job.failed[source.id]) for source in job.sources if source.id in job.failed)
        return ImportJob(id=job.id, status=job.status, done=done, failed=failed)

    def describe(self, read_set_id: str) -> ReadSet | None:
        """Return the read set with the status that the service gives it, or None. Cost: one call, or up to four."""
        mapped = self.state.read_mapped(read_set_id) or self._find(read_set_id)
        if mapped is None:
            return None
        try:
            with aws_errors(f"describe read set {read_set_id}"):
                return mapped.read_set(str(self._metadata(mapped.service_id)["status"]))
        except NotFound:
            # Deleted in the service: forgotten here too, so that it can be imported again.
            self.state.forget(read_set_id)
            return None

    def locations(self, read_set_id: str) -> tuple[str, ...]:
        """Return the `omics://` URIs of the read set's files, R1 before R2. Cost: none for what was imported here.

        Raises:
            NotFound: No such read set.
        """
        mapped = self._mapped(read_set_id)
        account, region = self._account_and_region()
        base = f"omics://{account}.storage.{region}.amazonaws.com/{self._store.id}/readSet/{mapped.service_id}"
        return tuple(
            f"{base}/source{number}"
            for number in range(1, (1 if mapped.source.parts else len(mapped.source.files)) + 1)
        )

    def s3_uris(self, read_set_id: str) -> tuple[str, ...]:
        """Return the `s3://` URIs of the read set's files, R1 before R2, and then its index. Cost: one call.

        Raises:
            NotFound: No such read set.
        """
        with aws_errors(f"describe read set {read_set_id}"):
            files = self._metadata(self._mapped(read_set_id).service_id).get("files", {})
        slots = (files.get(slot, {}).get("s3Access", {}).get("s3Uri") for slot in ("source1", "source2", "index"))
        return tuple(uri for uri in slots if uri)

    def activate(self, read_set_ids: Sequence[str]) -> tuple[str, ...]:
        """Ask for the archived ones among the read sets and return those that cannot be read yet; ask until none is.

        Cost: a call a read set, for more than twenty two lists; and a call for every 20 that are archived now.
        """
        ours = {self._mapped(each).service_id: each for each in read_set_ids}
        archived, going = self._asleep(list(ours))
        for batch in _batches(archived, ACTIVATED):
            try:
                with aws_errors(f"activate {len(batch)} read sets"):
                    self._store.omics.start_read_set_activation_job(
                        sequenceStoreId=self._store.id, sources=[{"readSetId": each} for each in batch]
                    )
            except Busy as busy:
                # These are still archived when the caller asks again.
                log.info("an activation waits: %s", busy)
                break
            faultpoint("omics.activation_started")
        waiting = {*archived, *going}
        return tuple(each for service_id, each in ours.items() if service_id in waiting)

    def _asleep(self, service_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return those of the service's read sets that are archived, and those that are being made readable."""
        if len(service_ids) > FEW:
            status = {each: said for said in ("ARCHIVED", "ACTIVATING") for each in self._with_status(said)}
        else:
            with aws_errors("look whether the reads are archived"):
                status = {each: str(self._metadata(each)["status"]) for each in service_ids}
        archived = [each for each in service_ids if status.get(each) == "ARCHIVED"]
        return archived, [each for each in service_ids if status.get(each) == "ACTIVATING"]

    def reap(self, older_than: float = GRACE_SECONDS) -> int:
        """Remove what killed processes left in the state folders; return how many files."""
        return self.state.reap(older_than)

    def _advance(self, job: JobFile) -> None:
        """Go on with a job as far as it can be now: start what was not, look at what was, start again what failed."""
        if job.rounds and job.status == "IN_PROGRESS":
            job = self._look(self._started(job))
        there = {each.id: mapped.service_id for each in job.sources if (mapped := self.state.read_mapped(each.id))}
        if job.rounds and (job.status == "IN_PROGRESS" or len(there) == len(job.sources)):
            return
        refused = {source.id: reason for source in job.sources if (reason := refusal(source)) is not None}
        wanted = tuple(each.id for each in job.sources if each.id not in refused and each.id not in there)
        job = job.model_copy(update={"done": there, "failed": refused, "status": "IN_PROGRESS"})
        if not wanted:
            self.state.write_job(job.settled())
            return
        job = job.model_copy(update={"rounds": (*job.rounds, Round(sources=wanted))})
        self.state.write_job(job)
        faultpoint("omics.import_intended")
        self._started(job)

    def _started(self, job: JobFile) -> JobFile:
        """Start the last round when that was not done, or not written down: the same token gives the same job."""
        if not job.rounds or job.rounds[-1].service_id is not None:
            return job
        by_id = {source.id: source for source in job.sources}
        requests = [self._request(by_id[each]) for each in job.rounds[-1].sources]
        try:
            with aws_errors(f"start the import of {len(requests)} read sets"):
                answer = self._store.omics.start_read_set_import_job(
                    sequenceStoreId=self._store.id,
                    roleArn=self._store.role_arn,
                    clientToken=job.client_token(len(job.rounds) - 1, self._store.id),
                    sources=requests,
                )
        except NotFound as gone:
            raise NotFound(
                f"The sequence store {self._store.id} cannot take reads: {gone} If it was deleted, "
                "`labrelay init --profile healthomics` makes it anew and the same command imports its reads again."
            ) from gone
        except Busy as busy:
            # An account has a few jobs at once; this one waits here, and whoever looks at it tries again.
            log.info("import job %s waits: %s", job.id, busy)
            return job
        faultpoint("omics.import_started")
        job = job.with_service_id(str(answer["id"]))
        self.state.write_job(job)
        faultpoint("omics.import_noted")
        return job

    def _request(self, source: ReadSource) -> dict[str, Any]:
        arn = None if source.reference_id is None else self._references.arn(source.reference_id)
        refs = join(self._objects, source, self.state.path / "jobs")
        return source_request(source, [self._objects.uri(ref) for ref in refs], arn)

    def _look(self, job: JobFile) -> JobFile:
        service_id = job.rounds[-1].service_id if job.rounds else None
        if service_id is None:
            return job
        try:
            with aws_errors(f"look at import job {service_id}"):
                answer = self._store.omics.get_read_set_import_job(sequenceStoreId=self._store.id, id=service_id)
        except NotFound:
            answer = self._lost(job)
        now = outcome(job, answer)
        if now == job:
            return job
        for source in now.sources:
            if source.id in now.done and source.id not in job.done:
                self.state.write_mapped(
                    Mapped(
                        source=source,
                        service_id=now.done[source.id],
                        created=moment(answer.get("completionTime")),
                    )
                )
        faultpoint("omics.read_sets_noted")
        self.state.write_job(now)
        return now

    def _lost(self, job: JobFile) -> dict[str, Any]:
        """Return what GetReadSetImportJob would say of a job that the service no longer knows, by what it has made.

        Raises:
            NotFound: The sequence store itself is gone.
        """
        sources = []
        for ours in job.rounds[-1].sources:
            with aws_errors(f"look for read set {ours}"):
                first = self._first(ours)
            found = {"status": "FINISHED", "readSetId": first["id"]} if first is not None else {"status": "FAILED"}
            sources.append({"generatedFrom": ours, **found})
        return {"status": "FAILED", "sources": sources, "statusMessage": "it has lost the job; ask for it again"}

    def _first(self, read_set_id: str) -> dict[str, Any] | None:
        """Return the oldest read set of the service that was made for one of ours."""
        pages = self._store.omics.get_paginator("list_read_sets").paginate(
            sequenceStoreId=self._store.id, filter={"generatedFrom": read_set_id}
        )
        found = [each for page in pages for each in page["readSets"] if each["status"] in THERE]
        return min(found, key=lambda each: (each["creationTime"], each["id"]), default=None)

    def _mapped(self, read_set_id: str) -> Mapped:
        found = self.state.read_mapped(read_set_id) or self._find(read_set_id)
        if found is None:
            raise NotFound(f"There is no read set {read_set_id} in {self._store.id}; import its reads first.")
        return found

    def _find(self, read_set_id: str) -> Mapped | None:
        """Find a read set of ours that another machine imported, and write down what it is."""
        with aws_errors(f"look for read set {read_set_id}"):
            first = self._first(read_set_id)
            if first is None:
                return None
            metadata = self._metadata(first["id"])
            if (job_id := metadata.get("creationJobId")) is not None:
                source = self._source_of(read_set_id, str(job_id))
            else:
                tags = self._store.omics.list_tags_for_resource(resourceArn=metadata["arn"])["tags"]
                source = uploaded_source(metadata, tags)
        if source is None or source.id != read_set_id:
            raise StorageFailed(
                f"{self._store.id} has read set {first['id']} for {read_set_id}, but not from files of this home; "
                "import its reads again."
            )
        mapped = Mapped(source=source, service_id=first["id"], created=moment(first["creationTime"]))
        self.state.write_mapped(mapped)
        return mapped

    def _source_of(self, read_set_id: str, job_id: str) -> ReadSource | None:
        """Return what was imported, from the service's own record of its job and the objects that it names."""
        answer = self._store.omics.get_read_set_import_job(sequenceStoreId=self._store.id, id=job_id)
        asked = next((each for each in answer["sources"] if each.get("generatedFrom") == read_set_id), None)
        if asked is None:
            return None
        uris = [asked["sourceFiles"][slot] for slot in ("source1", "source2") if slot in asked["sourceFiles"]]
        try:
            joined = source_of(self._objects, self._key_of(uris[0]))
            if joined is not None:
                return joined if joined.id == read_set_id else None
            files = [self._objects.head(key) for key in map(self._key_of, uris)]
        except LabrelayError:
            return None
        source = ReadSource(
            sample_id=asked["sampleId"],
            subject=asked["subjectId"] if asked["subjectId"] != asked["sampleId"] else None,
            name=asked.get("name", asked["sampleId"]),
            file_type=asked["sourceFileType"],
            files=tuple(file for file in files if file is not None),
        )
        return source if source.id == read_set_id else None

    def _key_of(self, uri: str) -> str:
        empty = FileRef(storage=self._objects.name, key="", version="", sha256="0" * 64, size=0)
        return uri.removeprefix(self._objects.uri(empty))

    def _metadata(self, service_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._store.omics.get_read_set_metadata(sequenceStoreId=self._store.id, id=service_id)
        return answer

    def _with_status(self, status: str) -> Iterator[str]:
        with aws_errors(f"list the read sets that are {status}"):
            pages = self._store.omics.get_paginator("list_read_sets").paginate(
                sequenceStoreId=self._store.id, filter={"status": status}
            )
            for page in pages:
                yield from (str(each["id"]) for each in page["readSets"])

    def _account_and_region(self) -> tuple[str, str]:
        if self._base is None:
            with aws_errors(f"look for sequence store {self._store.id}"):
                self._base = str(self._store.omics.get_sequence_store(id=self._store.id)["arn"])
        _arn, _aws, _omics, region, account, *_rest = self._base.split(":")
        return account, region


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))

"""How import jobs of a sequence store are asked for and understood: values in, values out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.files import FileRef
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.model.reads import ReadSet, ReadSource
from labrelay.stores.read_types import wrong_files

NEEDS_REFERENCE = frozenset({"BAM", "CRAM"})
ENDED = frozenset({"COMPLETED", "COMPLETED_WITH_FAILURES", "FAILED", "CANCELLED"})
MAX_TEXT = 127
TOKEN_LENGTH = 64
TAG, FILE_TAG = "labrelay:read-set", "labrelay:file-"
TAG_VALUE = re.compile(r"[A-Za-z0-9 +=._:/@-]{1,256}")  # what every service of AWS takes
FIRST_WAIT, LONGEST_WAIT, MOST_SECONDS = 0.2, 20.0, 7200.0


class Round(Frozen):
    """One job of the service: `service_id` is None from the intent until the service's answer is written down."""

    sources: tuple[str, ...]
    service_id: str | None = None


class JobFile(Frozen):
    """`jobs/<imp_…>.json`: what was asked, and each job of the service that was started for it.

    Attributes:
        id: `imp_…`, derived from the token.
        token: As it was asked with.
        sources: In the order in which they were asked for.
        rounds: The first imports what was not there, each later one what failed before.
        status: `IN_PROGRESS` until the last round has ended.
        done: The read sets that are there, by our id.
        failed: By our id, why the others are not.
    """

    id: str
    token: str
    sources: tuple[ReadSource, ...]
    rounds: tuple[Round, ...] = ()
    status: str = "IN_PROGRESS"
    done: Mapping[str, str] = {}
    failed: Mapping[str, str] = {}

    def client_token(self, number: int, store_id: str) -> str:
        """Return the token of one round: asked again, from any machine, it is the same job of the service."""
        round_ = self.rounds[number]
        return digest([store_id, self.token, number, list(round_.sources)])[:TOKEN_LENGTH]

    def with_service_id(self, service_id: str) -> JobFile:
        """Return this with the id of the service's job in its last round."""
        last = self.rounds[-1].model_copy(update={"service_id": service_id})
        return self.model_copy(update={"rounds": (*self.rounds[:-1], last)})

    def settled(self) -> JobFile:
        """Return this with the status that `done` and `failed` make."""
        if not self.failed:
            return self.model_copy(update={"status": "COMPLETED"})
        return self.model_copy(update={"status": "COMPLETED_WITH_FAILURES" if self.done else "FAILED"})


class Mapped(Frozen):
    """`readsets/<rds_…>.json`: what the service calls one of our read sets."""

    source: ReadSource
    service_id: str
    created: str

    def read_set(self, status: str) -> ReadSet:
        """Return the read set as everybody else knows it."""
        return ReadSet(id=self.source.id, source=self.source, status=status, created=self.created)


def refusal(source: ReadSource) -> str | None:
    """Return why HealthOmics cannot take a source, as far as that is known before asking; one would sink its job."""
    if (wrong := wrong_files(source)) is not None:
        return wrong
    if source.file_type in NEEDS_REFERENCE and source.reference_id is None:
        return f"{source.name}: {source.file_type} needs the reference that it was aligned to; name it."
    if not plain(source.subject or source.sample_id) or not plain(source.sample_id):
        return f"{source.name}: sample and subject need names of 1 to {MAX_TEXT} characters that print."
    return None


def plain(text: str) -> bool:
    """Tell whether HealthOmics takes a text as a sample's or subject's name."""
    return 0 < len(text) <= MAX_TEXT and text.isprintable()


def about(source: ReadSource, reference_arn: str | None) -> dict[str, Any]:
    """Return what a request says of a read set besides its files.

    Args:
        source: Whose id is kept as `generatedFrom`, so that any machine finds the read set again.
        reference_arn: For CRAM and aligned BAM.
    """
    said: dict[str, Any] = {
        "sourceFileType": source.file_type,
        "subjectId": source.subject or source.sample_id,
        "sampleId": source.sample_id,
        "generatedFrom": source.id,
        "name": printable(source.name, MAX_TEXT) or source.sample_id,
        "tags": {TAG: source.id, "labrelay:sample": source.sample_id},
    }
    return said | ({"referenceArn": reference_arn} if reference_arn is not None else {})


def file_tags(source: ReadSource) -> dict[str, str]:
    """Return tags that tell the files of a read set that no import job tells of; none when they do not fit in."""
    told = {
        f"{FILE_TAG}{number}": f"{ref.sha256} {ref.size} {ref.storage} {ref.key}"
        for number, ref in enumerate(source.files, start=1)
        if ref.version == ref.sha256
    }
    return told if len(told) == len(source.files) and all(map(TAG_VALUE.fullmatch, told.values())) else {}


def uploaded_source(metadata: Mapping[str, Any], tags: Mapping[str, str]) -> ReadSource | None:
    """Return what was uploaded, from what the service says of a read set and `file_tags`; None when it is not ours."""
    files = []
    for slot in sorted(tag for tag in tags if tag.startswith(FILE_TAG)):
        sha256, _, rest = tags[slot].partition(" ")
        size, _, rest = rest.partition(" ")
        storage, _, key = rest.partition(" ")
        try:
            files.append(FileRef(storage=storage, key=key, version=sha256, sha256=sha256, size=int(size)))
        except ValueError:
            return None
    sample, subject = str(metadata["sampleId"]), str(metadata["subjectId"])
    return ReadSource(
        sample_id=sample,
        subject=None if subject == sample else subject,
        name=str(metadata.get("name", sample)),
        file_type=str(metadata["fileType"]),
        files=tuple(files),
    )


def source_request(source: ReadSource, uris: Sequence[str], reference_arn: str | None) -> dict[str, Any]:
    """Return one source of StartReadSetImportJob, its files by their `s3://` URIs, R1 before R2."""
    files = {f"source{number}": uri for number, uri in enumerate(uris, start=1)}
    return {"sourceFiles": files, **about(source, reference_arn)}


def outcome(job: JobFile, answer: Mapping[str, Any]) -> JobFile:
    """Return the job with what GetReadSetImportJob says of its last round.

    A source of a round that has ended is done or failed, whatever the status of the job as a whole says.
    """
    if answer["status"] not in ENDED:
        return job
    said = {source.get("generatedFrom"): source for source in answer["sources"]}
    done, failed = dict(job.done), dict(job.failed)
    for ours in job.rounds[-1].sources:
        source = said.get(ours, {})
        if source.get("status") == "FINISHED" and source.get("readSetId"):
            done[ours] = str(source["readSetId"])
            failed.pop(ours, None)
        else:
            why = source.get("statusMessage") or answer.get("statusMessage") or f"the job ended as {answer['status']}"
            failed[ours] = f"HealthOmics did not take it: {printable(str(why))}"
    return job.model_copy(update={"done": done, "failed": failed}).settled()


def age_of(answer: Mapping[str, Any]) -> float:
    """Return how many seconds ago, by the service's own clock, that was made what an answer tells of; 0 if unknown.

    A token of before gives what it gave then.
    """
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is None:
        return 0.0
    age: float = (parsedate_to_datetime(date) - answer["creationTime"]).total_seconds()
    return age


def moment(value: object) -> str:
    """Return a time of boto3 as we keep times, ISO 8601 in UTC with microseconds."""
    at = value if isinstance(value, datetime) else datetime.now(UTC)
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def polled(
    look: Callable[[], dict[str, Any] | None], sleep: Callable[[float], None], most: float = MOST_SECONDS
) -> dict[str, Any] | None:
    """Look until there is an answer, more and more rarely; return None when there is none after `most` seconds."""
    waited, pause = 0.0, FIRST_WAIT
    while (answer := look()) is None and waited < most:
        sleep(pause)
        waited, pause = waited + pause, min(LONGEST_WAIT, pause * 1.5)
    return answer

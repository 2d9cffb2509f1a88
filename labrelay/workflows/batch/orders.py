"""Orders, owners, progress and reports of one work folder in S3. What is written once decides who does what."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from labrelay.model.canonical import canonical_json
from labrelay.model.errors import Conflict, NotFound, StorageFailed
from labrelay.model.names import printable
from labrelay.model.runs import RunReport
from labrelay.stores.aws import Aws, aws_errors
from labrelay.stores.download import bucket_and_key, read_object
from labrelay.stores.s3 import S3ObjectStore
from labrelay.workflows.batch.order import Order, Owner, Progress

MAX_BYTES = 64_000_000
JOBS, ARRAYS = "/jobs/", "/arrays/"
Model = TypeVar("Model", bound=BaseModel)


class Orders:
    """What is written in one work folder.

    Args:
        aws: The way to S3.
        work_uri: `s3://bucket/prefix`.

    Attributes:
        store: For the files that lie beside.
    """

    def __init__(self, aws: Aws, work_uri: str) -> None:
        self._aws, self.work_uri = aws, work_uri.rstrip("/")
        self.store = S3ObjectStore(aws, *bucket_and_key(self.work_uri), name="batch")

    def uri_of(self, order: Order) -> str:
        """Return what a job is given: its order's URI, or of an array job that of the list of its children."""
        if order.index is not None:
            return f"{self.work_uri}{ARRAYS}{order.job}.json"
        return f"{self.work_uri}{JOBS}{order.token}/order.json"

    def read(self, token: str) -> Order | None:
        """Return the order of an attempt, None when none was written. Cost: one call."""
        return self._read(f"jobs/{token}/order.json", Order)

    def claim(self, order: Order) -> Order:
        """Write an order, or return the one of the same attempt that was written before. Cost: one call, or two."""
        try:
            self.store.put_bytes(f"jobs/{order.token}/order.json", _bytes(order))
        except Conflict:
            return self.read(order.token) or order
        return order

    def owner(self, token: str) -> str | None:
        """Return which job does an order; None when nobody has said so. Cost: one call."""
        found = self._read(f"jobs/{token}/owner.json", Owner)
        return None if found is None else found.job_id

    def own(self, token: str, job_id: str) -> str:
        """Say that a job does an order, and return which one does: the first of which that was said. Cost: one call."""
        try:
            self.store.put_bytes(f"jobs/{token}/owner.json", _bytes(Owner(job_id=job_id)))
        except Conflict:
            return self.owner(token) or job_id
        return job_id

    def write_tokens(self, job: str, tokens: list[str]) -> None:
        """Write which attempts an array job has, by their order."""
        self.store.put_bytes(f"arrays/{job}.json", canonical_json(tokens).encode())

    def tokens(self, job: str) -> list[str]:
        """Return which attempts an array job has.

        Raises:
            NotFound: There is no such list.
        """
        uri = f"{self.work_uri}{ARRAYS}{job}.json"
        content = read_object(self._aws, uri, MAX_BYTES)
        if content is None:
            raise NotFound(f"there is no list of orders {uri}")
        try:
            return [str(token) for token in json.loads(content)]
        except (ValueError, TypeError, RecursionError):
            raise StorageFailed(f"{uri} is no list of orders; look at it in S3") from None

    def progress(self, token: str) -> Progress:
        """Return how far an attempt's job is. Cost: one call."""
        return self._read(f"jobs/{token}/progress.json", Progress) or Progress()

    def write_progress(self, token: str, progress: Progress) -> None:
        """Write how far a job is, over what was written before."""
        bucket, key = bucket_and_key(f"{self.work_uri}{JOBS}{token}/progress.json")
        with aws_errors("write how far the job is"):
            self._aws.client("s3").put_object(Bucket=bucket, Key=key, Body=_bytes(progress))

    def report(self, token: str) -> RunReport | None:
        """Return a job's own report, with URIs in place of its files; None when it has left none. Cost: one call."""
        return self._read(f"jobs/{token}/report.json", RunReport)

    def write_report(self, token: str, report: RunReport) -> None:
        """Write how an attempt ended; the first word stays."""
        self.store.put_bytes(f"jobs/{token}/report.json", _bytes(report))

    def _read(self, key: str, model: type[Model]) -> Model | None:
        uri = f"{self.work_uri}/{key}"
        content = read_object(self._aws, uri, MAX_BYTES)
        try:
            return None if content is None else model.model_validate_json(content)
        except ValidationError as error:
            why = printable(str(error.errors()[0]["msg"]), 200)
            raise StorageFailed(
                f"{uri} cannot be understood ({why}): another version of Labrelay may have written it"
            ) from None


def split_uri(uri: str) -> tuple[str, str]:
    """Return the work folder and the last name of what a job was given; see `Orders.uri_of`.

    Raises:
        StorageFailed: It is no such URI.
    """
    for part in (JOBS, ARRAYS):
        base, found, rest = uri.rpartition(part)
        if found:
            return base, rest
    raise StorageFailed(f"{printable(uri, 200)} is no order of a job")


def _bytes(model: BaseModel) -> bytes:
    return canonical_json(model.model_dump(mode="json")).encode()

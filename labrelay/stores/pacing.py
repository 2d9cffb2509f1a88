"""Calls are spaced before they are sent, so that a service need not refuse them first.

AWS limits each operation by calls a second and account; a batch of a hundred runs would spend its retries on being told
so. One bucket an operation is shared by all threads of this process; between processes the client's adaptive retries do
the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

# Calls a second by default quota (User Guide, "API quotas"); what is not here is not spaced.
# StartRun has 0.1, 1 or 5 by account and page: the lowest is what every account has.
RATES: Mapping[str, float] = {
    "StartRun": 0.1,
    "StartRunBatch": 1,
    "CreateWorkflow": 5,
    "CreateWorkflowVersion": 5,
    "GetRun": 10,
    "ListRuns": 10,
    "CancelRun": 10,
    "DeleteRun": 10,
    "ListRunTasks": 10,
    "GetRunTask": 10,
    "CreateSequenceStore": 1,
    "CreateReferenceStore": 1,
    "BatchDeleteReadSet": 1,
    "CreateMultipartReadSetUpload": 1,
    "CompleteMultipartReadSetUpload": 1,
    "AbortMultipartReadSetUpload": 1,
    "UploadReadSetPart": 10,
    "StartReadSetImportJob": 5,
    "GetReadSetImportJob": 5,
    "StartReadSetActivationJob": 5,
    "GetReadSetActivationJob": 5,
    "StartReadSetExportJob": 5,
    "StartReferenceImportJob": 5,
    "GetReferenceImportJob": 5,
    "GetReadSetMetadata": 5,
    "ListReadSets": 5,
    "ListReferences": 5,
}


class TokenBucket:
    """Lets `rate` calls a second through, and up to one second's worth at once after a pause.

    Args:
        rate: Calls a second, above 0.
        clock: Seconds that only go forward.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        if rate <= 0:
            raise ValueError(f"a rate of {rate} calls a second lets nothing through")
        self._rate, self._burst, self._clock = rate, max(1.0, rate), clock
        self._tokens, self._at = self._burst, clock()
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take the next place and return the seconds to wait for it; places are given in the order of asking."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
            self._at = now
            return max(0.0, -self._tokens / self._rate)


class Pacing:
    """Spaces the calls of boto3 clients by operation name; calls that it does not know pass at once.

    Args:
        rates: Calls a second by operation name.
        clock, sleep: For tests.
    """

    def __init__(
        self,
        rates: Mapping[str, float] = RATES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._buckets = {name: TokenBucket(rate, clock) for name, rate in rates.items()}
        self._sleep = sleep

    def wait(self, operation: str) -> None:
        """Return when the operation may be called."""
        bucket = self._buckets.get(operation)
        if bucket is not None and (seconds := bucket.take()) > 0:
            self._sleep(seconds)

    def before_call(self, *, model: object, **_event: object) -> None:
        """Wait, as a handler of botocore's `before-call`: once a call of ours, not for botocore's own retries."""
        self.wait(str(getattr(model, "name", "")))

"""Faults by plan, so that clients can be tested: throttling, errors, delays, lost answers, disordered events.

A plan is a TOML file; each entry acts on so many calls of one operation (`*` for any), on events of a detail-type, or
on Batch jobs by name (`*` at the end for any that begin so):

    rates = "aws"                    # or a table: operation = calls a second; the rest is not limited

    [[fault]]
    operation = "StartRun"
    do = "throttle"                  # fail (with code and message), delay (seconds), lose (do it, and never answer)
    times = 3                        # how often; always if left out
    after = 1                        # how many calls are let pass first

    [[fault]]
    event = "Run Status Change"
    do = "drop"                      # repeat, delay (seconds)

    [[fault]]
    job = "align-*"
    do = "lose-host"                 # an attempt's machine goes away, so many seconds after the attempt began
    seconds = 1
    times = 1

An operation that both services have (`TagResource`) is that of both; `batch:TagResource` is that of Batch alone.
"""

from __future__ import annotations

import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labrelay.emulator.dialects import DIALECTS, OMICS, Dialect
from labrelay.emulator.operation import COMMON_ERRORS, Failure
from labrelay.emulator.routing import service_model
from labrelay.model.errors import UsageError

OF_CALLS = ("throttle", "fail", "delay", "lose")
OF_EVENTS = ("drop", "repeat", "delay")
OF_JOBS = ("lose-host",)
DOES = {"operation": OF_CALLS, "event": OF_EVENTS, "job": OF_JOBS}
KEYS = {"operation", "event", "job", "do", "times", "after", "seconds", "code", "message"}

# Calls a second by default, from the user guide's pages on quotas.
AWS_RATES = {
    **dict.fromkeys(("StartRun", "StartRunBatch"), 1.0),
    **dict.fromkeys(("CreateSequenceStore", "UpdateSequenceStore", "DeleteSequenceStore"), 1.0),
    **dict.fromkeys(("CreateReferenceStore", "DeleteReferenceStore", "DeleteReference", "BatchDeleteReadSet"), 1.0),
    **dict.fromkeys(("CreateMultipartReadSetUpload", "CompleteMultipartReadSetUpload"), 1.0),
    **dict.fromkeys(("AbortMultipartReadSetUpload", "PutS3AccessPolicy", "GetS3AccessPolicy"), 1.0),
    **dict.fromkeys(("UploadReadSetPart", "GetReference"), 10.0),
    "GetReadSet": 30.0,
    **dict.fromkeys(("TagResource", "UntagResource", "ListTagsForResource", "CreateWorkflow"), 5.0),
    **dict.fromkeys(("CreateWorkflowVersion", "StartReadSetImportJob", "StartReferenceImportJob"), 5.0),
    **dict.fromkeys(("StartReadSetExportJob", "StartReadSetActivationJob", "ListReadSets", "GetReadSetMetadata"), 5.0),
    **dict.fromkeys(("GetRun", "ListRuns", "CancelRun", "DeleteRun", "ListRunTasks", "GetRunTask"), 10.0),
    "batch:SubmitJob": 50.0,  # the user guide of Batch
}


@dataclass
class Fault:
    """One entry of a plan, and how often it is still to act."""

    target: str
    do: str
    times: int | None = None
    after: int = 0
    seconds: float = 0.0
    code: str | None = None
    message: str = "A fault that the plan asked for."

    def takes(self, name: str) -> bool:
        """Whether this fault acts now on what has this name; counts that it did."""
        if not self._fits(name) or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True

    def _fits(self, name: str) -> bool:
        service, _colon, plain = name.rpartition(":")
        if self.do in OF_JOBS and self.target.endswith("*"):
            return name.startswith(self.target[:-1])
        return self.target in ("*", name) or bool(service and self.target == plain)


@dataclass
class _Bucket:
    rate: float
    left: float
    seen: float

    def take(self) -> bool:
        now = time.monotonic()
        self.left = min(max(self.rate, 1.0), self.left + (now - self.seen) * self.rate)
        self.seen = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


@dataclass
class Plan:
    """Which faults are still to happen; any thread may ask."""

    calls: list[Fault] = field(default_factory=list)
    events: list[Fault] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    jobs: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._deciding = threading.Lock()
        now = time.monotonic()
        self._buckets = {name: _Bucket(rate, max(rate, 1.0), now) for name, rate in self.rates.items()}

    def on_call(self, operation: str, service: str = OMICS) -> Fault | None:
        """Return what is to happen to this call, if anything."""
        with self._deciding:
            for fault in self.calls:
                if fault.takes(f"{DIALECTS[service].prefix}{operation}"):
                    return fault
            bucket = self._buckets.get(f"{DIALECTS[service].prefix}{operation}")
            return None if bucket is None or bucket.take() else Fault(operation, "throttle")

    def on_job(self, name: str) -> float | None:
        """Return after how many seconds the attempt of a Batch job that begins loses its host; None: it does not."""
        with self._deciding:
            return next((fault.seconds for fault in self.jobs if fault.takes(name)), None)

    def on_event(self, detail_type: str) -> list[float]:
        """Return after how many seconds each copy of an event is to be sent."""
        with self._deciding:
            for fault in self.events:
                if fault.takes(detail_type):
                    return {"drop": [], "repeat": [0.0, fault.seconds], "delay": [fault.seconds]}[fault.do]
        return [0.0]


def refusal(fault: Fault, dialect: Dialect) -> Failure | None:
    """Return the failure that a client sees instead of the operation being done."""
    if fault.do == "throttle":
        code, _status, message = dialect.throttled
        return Failure(code, message)
    return Failure(fault.code or dialect.broken, fault.message) if fault.do == "fail" else None


def read_plan(file: Path) -> Plan:
    """Read a plan.

    Raises:
        UsageError: It is not one; the text names every problem.
    """
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the fault plan {file} cannot be read: {error}") from error
    entries = written.get("fault", [])
    problems = [f"{key} is no part of a plan" for key in written if key not in ("fault", "rates")]
    if not isinstance(entries, list):
        raise UsageError(f"the fault plan {file}: write [[fault]], with two brackets")
    for number, entry in enumerate(entries, start=1):
        problems += [f"fault {number}: {problem}" for problem in _problems(entry)]
    rates = AWS_RATES if written.get("rates") == "aws" else written.get("rates", {})
    problems += _rate_problems(rates)
    if problems:
        raise UsageError(f"the fault plan {file}: {'; '.join(problems)}")
    calls, events, jobs = ([_fault(entry, of) for entry in entries if of in entry] for of in DOES)
    return Plan(calls, events, {_limited(name): rate for name, rate in rates.items()}, jobs)


def _fault(entry: dict[str, Any], of: str) -> Fault:
    return Fault(entry[of], **{key: value for key, value in entry.items() if key != of})


def _problems(entry: Any) -> list[str]:
    named = [of for of in DOES if isinstance(entry, dict) and of in entry]
    if len(named) != 1:
        return ["names either an operation or an event or a job"]
    problems = [f"{key} is not known" for key in sorted(entry.keys() - KEYS)]
    allowed = DOES[named[0]]
    if entry.get("do") not in allowed:
        problems.append(f"do is one of {', '.join(allowed)}")
    services = _services_of(entry["operation"]) if "operation" in entry else list(DIALECTS)
    if not services:
        problems.append(f"HealthOmics has no operation {entry['operation']}, and Batch has none")
    errors = {name for service in services for name in service_model(service).shape_names} | COMMON_ERRORS.keys()
    if entry.get("do") == "fail" and services and entry.get("code") not in (None, *errors):
        problems.append(f"there is no error {entry['code']} of {entry.get('operation')}")
    for key in ("times", "after", "seconds"):
        number = entry.get(key, 0)
        if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
            problems.append(f"{key} is a number from 0 on")
    return problems


def _limited(operation: str) -> str:
    """Return the name by which calls of a rate's operation are counted."""
    [service, *_others] = _services_of(operation)
    return f"{DIALECTS[service].prefix}{operation.rpartition(':')[2]}"


def _services_of(operation: Any) -> list[str]:
    """Return the services that have an operation of this name."""
    if operation == "*":
        return list(DIALECTS)
    return [
        name
        for name, dialect in DIALECTS.items()
        for known in service_model(name).operation_names
        if operation in (known, f"{dialect.prefix}{known}")
    ]


def _rate_problems(rates: Any) -> list[str]:
    if not isinstance(rates, dict):
        return ['rates is "aws" or a table of operations']
    return [
        f"the rate of {name} is a number above 0 of calls a second"
        for name, rate in rates.items()
        if not _services_of(name) or isinstance(rate, bool) or not isinstance(rate, int | float) or rate <= 0
    ]

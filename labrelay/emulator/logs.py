"""CloudWatch Logs as far as a reader of workflow logs needs it, on files that `tail` reads too.

A stream is `<data>/logs/<group>/<stream>.jsonl`, one event a line: `t` its time and `i` when it came, both in
milliseconds since 1970, `m` its text. Tokens are byte offsets.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from labrelay.emulator.operation import Failure, Params, invalid
from labrelay.emulator.service import Service

GROUP = "/aws/omics/WorkflowLog"
BATCH_GROUP = "/aws/batch/job"
GROUPS = (BATCH_GROUP, GROUP)
SUFFIX = ".jsonl"
MOST_EVENTS, MOST_BYTES = 10_000, 1 << 20  # of one answer, as CloudWatch says
STREAMS_A_PAGE = 50
TAIL_BYTES = 1 << 16


def append(service: Service, stream: str, messages: Iterable[tuple[int, str]]) -> None:
    """Add events to a stream of the workflow log, which begins to be with its first.

    Args:
        service: Whose logs.
        stream: Such as `run/1234567/engine`.
        messages: Pairs of milliseconds since 1970 and a text; one that is longer than CloudWatch takes is cut.
    """
    now = int(time.time() * 1000)
    lines = [json.dumps({"t": moment, "i": now, "m": text[: 1 << 18]}, ensure_ascii=False) for moment, text in messages]
    path = _folder(service, GROUP) / f"{stream}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write("".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace"))


def stream_file(service: Service, group: str, stream: str) -> Path:
    """Return the file of a stream, to be written by somebody else in the form that is said above."""
    return _folder(service, group) / f"{stream}{SUFFIX}"


def stream_arn(service: Service, stream: str, group: str = GROUP) -> str:
    """Return the ARN of a stream, as runs name it."""
    return f"arn:aws:logs:{service.region}:{service.account}:log-group:{group}:log-stream:{stream}"


def answer(service: Service, target: str, body: bytes) -> Params:
    """Do what a request to CloudWatch Logs asks.

    Args:
        service: Whose logs.
        target: The header `X-Amz-Target`.
        body: JSON.

    Raises:
        Failure: As CloudWatch would.
    """
    name = target.rpartition(".")[2]
    if name not in ACTIONS:
        raise Failure("UnknownOperationException", f"Of CloudWatch Logs, {', '.join(ACTIONS)} are emulated.")
    try:
        asked = json.loads(body or b"{}")
        if not isinstance(asked, dict):
            raise TypeError
        return ACTIONS[name](service, asked)
    except (ValueError, TypeError, KeyError) as error:
        raise Failure("InvalidParameterException", f"The request is not what {name} takes: {error}") from error


def describe_log_groups(service: Service, asked: Params) -> Params:
    """Return the groups whose names have the prefix."""
    prefix, pattern = asked.get("logGroupNamePrefix", ""), asked.get("logGroupNamePattern", "")
    found = []
    for group in GROUPS:
        arn = f"arn:aws:logs:{service.region}:{service.account}:log-group:{group}"
        made = {"logGroupName": group, "arn": f"{arn}:*", "logGroupArn": arn, "creationTime": _made(service.folder)}
        if group.startswith(prefix) and pattern in group:
            found.append(made | {"metricFilterCount": 0, "storedBytes": 0})
    return {"logGroups": found}


def describe_log_streams(service: Service, asked: Params) -> Params:
    """Return the streams by name, or the latest first."""
    prefix, most = asked.get("logStreamNamePrefix", ""), asked.get("limit", STREAMS_A_PAGE)
    names = _stream_names(service, _group(asked), prefix)
    streams = [_described(service, _group(asked), name) for name in names]
    if asked.get("orderBy") == "LastEventTime":
        streams.sort(key=lambda stream: stream.get("lastEventTimestamp", 0))
    if asked.get("descending"):
        streams.reverse()
    start = _offset(asked.get("nextToken"), "n")
    page = streams[start : start + most]
    more = {"nextToken": f"n/{start + most}"} if start + most < len(streams) else {}
    return {"logStreams": page, **more}


def get_log_events(service: Service, asked: Params) -> Params:
    """Return events of one stream: the latest, or from the head, or from where a token says."""
    path = _folder(service, _group(asked)) / f"{asked['logStreamName']}{SUFFIX}"
    _inside_logs(service, path)
    if not path.is_file():
        raise Failure("ResourceNotFoundException", "The specified log stream does not exist.")
    most, token = min(asked.get("limit", MOST_EVENTS), MOST_EVENTS), asked.get("nextToken")
    begin, until = asked.get("startTime", 0), asked.get("endTime")
    from_head = asked.get("startFromHead", False)
    if token is not None and token.startswith("f"):
        events, first, last = _forward(path, _offset(token, "f"), most, begin, until)
    elif token is None and from_head:
        events, first, last = _forward(path, 0, most, begin, until)
    else:
        end = path.stat().st_size if token is None else _offset(token, "b")
        events, first, last = _backward(path, end, most, begin, until)
    return {"events": events, "nextForwardToken": f"f/{last}", "nextBackwardToken": f"b/{first}"}


def filter_log_events(service: Service, asked: Params) -> Params:
    """Return events of many streams, stream by stream, those whose text has every term of the pattern."""
    group = _group(asked)
    names = asked.get("logStreamNames") or list(_stream_names(service, group, asked.get("logStreamNamePrefix", "")))
    terms = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', asked.get("filterPattern", ""))]
    most = min(asked.get("limit", MOST_EVENTS), MOST_EVENTS)
    index, _slash, offset = (asked.get("nextToken") or "0/0").partition("/")
    found: list[Params] = []
    position, at = int(index), int(offset)
    while position < len(names) and len(found) < most:
        path = _folder(service, group) / f"{names[position]}{SUFFIX}"
        _inside_logs(service, path)
        if path.is_file():
            events, _first, at = _forward(path, at, most - len(found), asked.get("startTime", 0), asked.get("endTime"))
            found += [
                {**event, "logStreamName": names[position], "eventId": f"{position}-{at}-{i}"}
                for i, event in enumerate(events)
                if all(term in event["message"] for term in terms)
            ]
            if events:
                continue
        position, at = position + 1, 0
    more = {"nextToken": f"{position}/{at}"} if position < len(names) else {}
    return {"events": found, "searchedLogStreams": [], **more}


ACTIONS: dict[str, Callable[[Service, Params], Params]] = {
    "DescribeLogGroups": describe_log_groups,
    "DescribeLogStreams": describe_log_streams,
    "GetLogEvents": get_log_events,
    "FilterLogEvents": filter_log_events,
}


def _forward(path: Path, start: int, most: int, begin: int, until: int | None) -> tuple[list[Params], int, int]:
    """Return events from a byte offset on, and the offsets of their begin and end."""
    events: list[Params] = []
    size, at = 0, start
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            # A line that is being written is for the next call.
            if _full(events, most, size + len(line)) or not line.endswith(b"\n"):
                break
            at, event = at + len(line), _event(line)
            if event is not None and begin <= event["timestamp"] and (until is None or event["timestamp"] < until):
                events.append(event)
                size += len(line)
    return events, start, at


def _backward(path: Path, end: int, most: int, begin: int, until: int | None) -> tuple[list[Params], int, int]:
    """Return the events before a byte offset, oldest first."""
    events: list[Params] = []
    size, first = 0, end
    for start, line in _lines_before(path, end):
        if _full(events, most, size + len(line)):
            break
        first, event = start, _event(line)
        if event is not None and begin <= event["timestamp"] and (until is None or event["timestamp"] < until):
            events.append(event)
            size += len(line)
    return events[::-1], first, end


def _lines_before(path: Path, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines that end at or before an offset with where they begin, last first."""
    with path.open("rb") as file:
        held, at = b"", end
        while at > 0:
            step = min(TAIL_BYTES, at)
            file.seek(at - step)
            held, at = file.read(step) + held, at - step
            first, *lines = held.splitlines(keepends=True)
            position = at + len(held)
            for line in reversed(lines):
                position -= len(line)
                if line.endswith(b"\n"):
                    yield position, line
            held = first
        if held.endswith(b"\n"):
            yield 0, held


def _full(events: list[Params], most: int, size: int) -> bool:
    """Whether an answer takes no further event; it takes at least one, however long."""
    return len(events) == most or (bool(events) and size > MOST_BYTES)


def _event(line: bytes) -> Params | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None  # cut by a kill
    return {"timestamp": event["t"], "message": event["m"], "ingestionTime": event["i"]}


def _described(service: Service, group: str, name: str) -> Params:
    path = _folder(service, group) / f"{name}{SUFFIX}"
    head, _first, _last = _forward(path, 0, 1, 0, None)
    tail, _first, _last = _backward(path, path.stat().st_size, 1, 0, None)
    times: Params = {}
    if head and tail:
        times = {"firstEventTimestamp": head[0]["timestamp"], "lastEventTimestamp": tail[0]["timestamp"]}
        times |= {"creationTime": head[0]["ingestionTime"], "lastIngestionTime": tail[0]["ingestionTime"]}
    return {"logStreamName": name, "arn": stream_arn(service, name, group), "storedBytes": path.stat().st_size, **times}


def _stream_names(service: Service, group: str, prefix: str) -> list[str]:
    folder = _folder(service, group)
    names = (path.relative_to(folder).as_posix().removesuffix(SUFFIX) for path in folder.rglob(f"*{SUFFIX}"))
    return sorted(name for name in names if name.startswith(prefix))


def _group(asked: Params) -> str:
    group = str(asked.get("logGroupName") or str(asked["logGroupIdentifier"]).rpartition(":log-group:")[2])
    if group.removesuffix(":*") not in GROUPS:
        raise Failure("ResourceNotFoundException", "The specified log group does not exist.")
    return group.removesuffix(":*")


def _folder(service: Service, group: str) -> Path:
    return service.folder / "logs" / group.strip("/")


def _inside_logs(service: Service, path: Path) -> None:
    if ".." in path.parts or not path.is_relative_to(service.folder / "logs"):
        raise invalid("A log stream's name has no parts that go up.")


def _offset(token: Any, kind: str) -> int:
    if token is None:
        return 0
    if not re.fullmatch(rf"{kind}/[0-9]{{1,15}}", str(token)):
        raise Failure("InvalidParameterException", "The specified nextToken is invalid.")
    return int(str(token)[2:])


def _made(path: Path) -> int:
    return int(path.stat().st_ctime * 1000)

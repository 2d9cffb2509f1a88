"""Step 8, the second half: what was intended is given to its engine, as many at once as that takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from labrelay.model.errors import Busy, LabrelayError, RefusedInput
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus, RunRequest
from labrelay.model.states import RunState
from labrelay.records import runs
from labrelay.steps.home import Home
from labrelay.steps.run_telling import START, tell_run
from labrelay.workflows.port import Engine, TakesMany

BUSY_IN_A_ROW = 3  # starts that an overloaded service refused, after which the others are not tried
Answer = tuple[RunRequest, str | LabrelayError]


def start_intended(
    home: Home,
    stuck: list[tuple[str, str]] | None = None,
    seconds: float | None = None,
    cold: list[str] | None = None,
) -> int:
    """Give the engines the attempts that they have not been given; return how many they took.

    The attempt's token makes this safe to repeat: an answer that was lost is settled by asking with the same token.
    An attempt whose bundle or inputs the engine refuses ends with that, since it would be refused for ever; whatever
    else keeps one from starting may be mended, so it waits. Reads that the store has archived are asked for first.

    Args:
        home: Where.
        stuck: Takes the runs that could not be started, with the reason; without it the first one raises.
        seconds: After so many no further one is begun; a cloud that takes a run in ten seconds is not to keep everybody
            else waiting. None begins all.
        cold: Takes the runs that wait for archived reads.
    """
    with home.records.read() as session:
        waiting = runs.unattached(session)
    until = time.monotonic() + seconds if seconds is not None else None
    return sum(_start_on(home, kind, requests, stuck, until, cold) for kind, requests in waiting.items())


def _start_on(
    home: Home,
    kind: str,
    requests: Sequence[RunRequest],
    stuck: list[tuple[str, str]] | None,
    until: float | None,
    cold: list[str] | None,
) -> int:
    started, busy, size = 0, 0, _portion_of(home.engine_of(kind)) if kind in home.places else 1
    for place in range(0, len(requests), size):
        if until is not None and time.monotonic() > until:
            break
        answers = _submit(home, kind, requests[place : place + size], cold)
        started += _attach(home, [(request, answer) for request, answer in answers if isinstance(answer, str)])
        for request, error in _refused(answers):
            _write_why(home, request.token, error)
            if stuck is None:
                raise error
            stuck.append((request.run_id, str(error)))
            busy = busy + 1 if isinstance(error, Busy) else 0
            if busy == BUSY_IN_A_ROW:
                # Throttled, or a quota is used up: each further try would cost a minute and make it worse.
                why = str(error).replace(f" {request.run_id}", "")
                told = {run_id for run_id, _why in stuck}
                rest = [other.run_id for other in requests[place:] if other.run_id not in told]
                stuck += [(run_id, why) for run_id in rest if run_id not in _taken(answers)]
                return started
        busy = 0 if any(isinstance(answer, str) for _request, answer in answers) else busy
    return started


def _portion_of(engine: Engine) -> int:
    return engine.portion if isinstance(engine, TakesMany) else 1


def _refused(answers: Sequence[Answer]) -> Iterator[tuple[RunRequest, LabrelayError]]:
    for request, answer in answers:
        if isinstance(answer, LabrelayError):
            yield request, answer


def _taken(answers: Sequence[Answer]) -> set[str]:
    return {request.run_id for request, answer in answers if isinstance(answer, str)}


def _submit(home: Home, kind: str, requests: Sequence[RunRequest], cold: list[str] | None) -> list[Answer]:
    """Give requests to their engine; return its ids or why not, without those whose reads are still archived."""
    answers: list[Answer] = []
    ready: list[RunRequest] = []
    for request in requests:
        try:
            if not request.read_sets or not home.reads.activate(request.read_sets):
                ready.append(request)
            elif cold is not None:
                cold.append(request.run_id)
        except LabrelayError as error:
            answers.append((request, error))
    return answers + list(zip(ready, _given(home, kind, ready), strict=True))


def _given(home: Home, kind: str, requests: Sequence[RunRequest]) -> Sequence[str | LabrelayError]:
    try:
        engine = home.engine_of(kind)
        if isinstance(engine, TakesMany):
            return engine.submit_all(requests) if requests else []
        return [engine.submit(request) for request in requests]
    except LabrelayError as error:
        return [error] * len(requests)


def _attach(home: Home, answers: Sequence[tuple[RunRequest, str]]) -> int:
    """Write the engine's own ids of attempts that it took, in one transaction; return how many there are."""
    if answers:
        faultpoint("submit.started")
        with home.records.write() as session:
            for request, external_id in answers:
                runs.attach(session, request.token, external_id)
                tell_run(home, session, request.run_id, request.token, START)
        faultpoint("submit.attached")
    return len(answers)


def _write_why(home: Home, token: str, error: LabrelayError) -> None:
    """Write why an attempt was not started: what is refused has ended, anything else waits."""
    with home.records.write() as session:
        if isinstance(error, RefusedInput):
            ended = EngineStatus(state=RunState.EXECUTOR_ERROR, at=datetime.now(UTC), message=str(error))
            runs.apply_event(session, token, ended)
        else:
            runs.keep_waiting(session, token, str(error))
    faultpoint("submit.refused")

"""The routes that read: the answers of `--json` on the command line, in parts, for tokens with the scope `read`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel
from sqlalchemy import select

from labrelay.api.access import home_of, known_parameters, needs
from labrelay.api.problems import responses
from labrelay.api.shapes import Health, Page, Result, ResultLine, Run, RunInFull
from labrelay.model.announcement import LINE_PATTERN
from labrelay.model.states import RunState
from labrelay.records import lineage as lineages
from labrelay.records import search as searching
from labrelay.records.lineage import Direction, Graph
from labrelay.records.schema import InboxRow
from labrelay.records.search import Found, Kind
from labrelay.steps import listing, results, run_details

router = APIRouter(dependencies=[Depends(known_parameters)])
readers = APIRouter(dependencies=[Depends(needs("read"))])
Limit = Annotated[int, Query(ge=1, le=200, description="at most so many")]
Cursor = Annotated[str | None, Query(pattern=r"^[0-9]{20}-run_[0-9a-f]{16}$", description="`next` of the part before")]
Text = Annotated[str | None, Query(min_length=1, max_length=200, pattern=LINE_PATTERN)]
RunId = Annotated[str, Path(pattern=r"^run_[0-9a-f]{16}$", description="`run_` and 16 digits")]
Line = TypeVar("Line")
Item = TypeVar("Item", bound=BaseModel)


@router.get("/health", responses=responses(422, 503))
def health(request: Request) -> Health:
    """Say whether the front door can take messages; no token is needed."""
    with home_of(request).records.read() as session:
        session.execute(select(InboxRow.id).limit(1))
    return Health(status="ok", version=version("labrelay"))


@readers.get("/runs", responses=responses(401, 403, 404, 422, 503))
def runs(
    request: Request,
    state: Annotated[tuple[RunState, ...], Query(max_length=9, description="only those in one of these")] = (),
    workflow: Annotated[Text, Query(description="only those of this workflow")] = None,
    sample: Annotated[Text, Query(description="only those about this sample (name or id)")] = None,
    experiment: Annotated[Text, Query(description="only those of this experiment (name or id)")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Run]:
    """List workflow runs, the newest first."""
    lines = listing.runs(
        home_of(request),
        states=state,
        workflow=workflow,
        sample=sample,
        experiment=experiment,
        limit=limit + 1,
        after=_place(cursor),
    )
    return _page(lines, limit, Run.of, lambda line: (line.asked.isoformat(timespec="microseconds"), line.run))


@readers.get("/runs/{id}", responses=responses(401, 403, 404, 422, 503))
def run(request: Request, id: RunId) -> RunInFull:
    """Show one workflow run with its attempts, tasks and files."""
    return RunInFull.of_details(run_details.details(home_of(request), id))


@readers.get("/results", responses=responses(401, 403, 404, 422, 503))
def results_that_count(
    request: Request,
    experiment: Annotated[Text, Query(description="only this experiment's (name or id)")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ResultLine]:
    """List the results that count, the newest workflow runs first."""
    rows = results.newest_results(home_of(request), experiment, limit=limit + 1, after=_place(cursor))
    return _page(rows, limit, lambda row: ResultLine.of(row[1]), lambda row: (row[0], row[1].run))


@readers.get("/results/{id}", responses=responses(401, 403, 404, 422, 503))
def result(request: Request, id: RunId) -> Result:
    """Show one result: its numbers with units and verdicts, its files with checksums."""
    return Result.of(results.show_result(home_of(request), id))


@readers.get("/lineage/{id}", responses=responses(401, 403, 404, 422, 503))
def lineage(
    request: Request,
    id: Annotated[
        str, Path(max_length=200, pattern=LINE_PATTERN, description="an id, the beginning of one, or a name")
    ],
    direction: Annotated[Direction, Query(description="`up`: what it came from; `down`: what was made of it")] = "up",
) -> Graph:
    """Say where something came from, or what was made of it."""
    with home_of(request).records.read() as session:
        return lineages.lineage(session, id, direction)


@readers.get("/search", responses=responses(401, 403, 422, 503))
def search(
    request: Request,
    q: Annotated[str, Query(min_length=1, max_length=searching.MAX_TEXT, description="words, and fields: `state:…`")],
    kind: Annotated[Kind | None, Query(description="look for this kind only")] = None,
    limit: Limit = 50,
) -> Found:
    """Find experiments, samples, runs and files by parts of their names; totals and facets count all of them."""
    searching.refuse_unknown_fields(q)
    with home_of(request).records.read() as session:
        return searching.search(session, q, kind, limit)


def _page(
    lines: Sequence[Line], limit: int, shown: Callable[[Line], Item], place: Callable[[Line], tuple[str, str]]
) -> Page[Item]:
    """Return the first `limit` lines, and the cursor of the next part when there are more."""
    more = len(lines) > limit
    return Page(
        items=tuple(shown(line) for line in lines[:limit]), next=_cursor(*place(lines[limit - 1])) if more else None
    )


def _cursor(asked: str, run_id: str) -> str:
    """Return the place of a run in the list: the digits of its time, and its id."""
    return f"{re.sub(r'[^0-9]', '', asked)[:20]}-{run_id}"


def _place(cursor: str | None) -> tuple[str, str] | None:
    """Return the time, as the records have it, and the id of the run that a part ended with."""
    if cursor is None:
        return None
    digits, _, run_id = cursor.partition("-")
    date, time, fraction = digits[:8], digits[8:14], digits[14:]
    iso = f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}.{fraction}+00:00"
    return iso, run_id


router.include_router(readers)

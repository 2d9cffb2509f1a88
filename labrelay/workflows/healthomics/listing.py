"""Runs and tasks looked up in pages, as few as will do: a hundred runs a call, and no call for a run alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from labrelay.model.errors import EngineFailed, NotFound
from labrelay.stores.aws import Aws, aws_errors
from labrelay.workflows.healthomics.states import LIVE

PAGE = 100
Item = dict[str, Any]


def live_runs(aws: Aws, wanted: Iterable[str], group: str | None) -> dict[str, Item]:
    """Return, of the runs with these ids, those that ListRuns knows; live ones are all found.

    It lists without a filter as long as most of what comes is wanted, which takes n/100 calls when nearly all runs are
    live. Behind a history of ended runs it asks for each live state instead. It stops when all are found.

    Args:
        aws: Where.
        wanted: Run ids.
        group: List only this run group's.
    """
    missing, found = set(wanted), dict[str, Item]()
    if not missing:
        return found
    for page in _pages(aws, group, None):
        before = len(missing)
        _take(page, missing, found)
        if not missing:
            return found
        if 2 * (before - len(missing)) < len(page):
            break
    else:
        return found
    for status in LIVE:
        for page in _pages(aws, group, status):
            _take(page, missing, found)
            if not missing:
                return found
    return found


def get_run(aws: Aws, run_id: str, uuid: str) -> Item | None:
    """Return GetRun's answer, or None when the service does not know the run or has given its id to another one."""
    try:
        with aws_errors(f"look at the run {run_id}", EngineFailed):
            run: Item = aws.client("omics").get_run(id=run_id)
    except NotFound:
        return None
    return run if run.get("uuid") == uuid and run.get("status") != "DELETED" else None


def run_named(aws: Aws, name: str) -> Item | None:
    """Return the oldest run of this name as ListRuns tells it (without its uuid), or None. Cost: one call."""
    with aws_errors(f"look for the run {name}", EngineFailed):
        pages = aws.client("omics").get_paginator("list_runs").paginate(name=name)
        found: list[Item] = [item for page in pages for item in page.get("items", []) if item.get("name") == name]
    return min(found, key=lambda item: item["creationTime"], default=None)


def run_tasks(aws: Aws, run_id: str) -> list[Item]:
    """Return all tasks of a run, in the order of their creation. Cost: one call per hundred."""
    with aws_errors(f"list the tasks of the run {run_id}", EngineFailed):
        pages = (
            aws.client("omics").get_paginator("list_run_tasks").paginate(id=run_id, PaginationConfig={"PageSize": PAGE})
        )
        tasks = [task for page in pages for task in page.get("items", [])]
    return sorted(tasks, key=lambda task: str(task.get("creationTime", "")))


def _take(page: list[Item], missing: set[str], found: dict[str, Item]) -> None:
    for item in page:
        if item["id"] in missing:
            missing.remove(item["id"])
            found[item["id"]] = item


def _pages(aws: Aws, group: str | None, status: str | None) -> Iterator[list[Item]]:
    asked: dict[str, Any] = {"maxResults": PAGE}
    if group:
        asked["runGroupId"] = group
    if status:
        asked["status"] = status
    while True:
        with aws_errors("list the runs", EngineFailed):
            answer = aws.client("omics").list_runs(**asked)
        yield answer.get("items", [])
        if not answer.get("nextToken"):
            return
        asked["startingToken"] = answer["nextToken"]

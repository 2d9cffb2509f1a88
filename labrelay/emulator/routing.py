"""Which operation of a service a request asks for, from the URI templates of botocore's service models.

A request's path is split before it is decoded, so that an ARN with its slashes encoded (`run%2F1`) is one segment. Of
two templates that fit, the one with more literal segments wins: `/runBatch/cancel` is not the batch `cancel`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote

import botocore.session

from labrelay.emulator.dialects import OMICS


@cache
def service_model(service: str = OMICS) -> Any:
    """Return botocore's model of HealthOmics (API version 2022-11-28), Batch (2016-08-10) or DataZone (2018-05-10)."""
    return botocore.session.get_session().get_service_model(service)


@cache
def operation_model(name: str, service: str = OMICS) -> Any:
    """Return the model of one operation; its name must be one of the service's."""
    return service_model(service).operation_model(name)


@dataclass(frozen=True)
class Route:
    """One operation and the segments of its URI template; `{id}` stands for a parameter."""

    operation: str
    segments: tuple[str, ...]

    def match(self, path: tuple[str, ...]) -> dict[str, str] | None:
        """Return the parameters in the path by their wire names, or None where it does not fit."""
        found = {}
        for part, given in zip(self.segments, path, strict=True):
            if part.startswith("{"):
                found[part[1:-1]] = unquote(given)
            elif part != given:
                return None
        return found


@cache
def _routes(service: str) -> dict[tuple[str, int], list[Route]]:
    table: dict[tuple[str, int], list[Route]] = defaultdict(list)
    for name in service_model(service).operation_names:
        http = operation_model(name, service).http
        route = Route(name, _segments(http["requestUri"]))
        table[http["method"], len(route.segments)].append(route)
    for routes in table.values():
        routes.sort(key=lambda route: sum(part.startswith("{") for part in route.segments))
    return table


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def find_route(method: str, path: str, service: str = OMICS) -> tuple[str, dict[str, str]] | None:
    """Return the operation that a method and an encoded path ask for, and the parameters in the path.

    Args:
        method: `GET`, `POST` …
        path: As it came over the wire, without the query.
        service: Whose operations are looked through.

    Returns:
        The operation's name and its path parameters by their names in the template; None if the service has no such
        operation.
    """
    segments = _segments(path)
    if "" in segments:
        return None
    for route in _routes(service).get((method, len(segments)), ()):
        found = route.match(segments)
        if found is not None:
            return route.operation, found
    return None

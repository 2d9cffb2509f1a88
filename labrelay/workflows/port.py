"""The engine port: four verbs that every engine fills, whatever runs behind it, and one that some have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from labrelay.model.errors import LabrelayError
from labrelay.model.runs import EngineStatus, RunReport, RunRequest


class Engine(Protocol):
    """Something that runs workflow bundles. External ids are the engine's own; the token makes `submit` idempotent."""

    kind: str

    def submit(self, request: RunRequest) -> str:
        """Start the attempt and return its external id; the same token again returns the same id and starts nothing."""

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        """Return the state of each attempt that the engine knows. Cost: one look for all, not one call each."""

    def report(self, external_id: str) -> RunReport:
        """Return what happened in an ended attempt, read from what the engine left behind."""

    def cancel(self, external_id: str) -> None:
        """Ask the engine to stop the attempt; its state then says CANCELED."""


@runtime_checkable
class TakesMany(Protocol):
    """An engine that starts many attempts in fewer calls than one each.

    Attributes:
        portion: How many it takes at once.
    """

    portion: int

    def submit_all(self, requests: Sequence[RunRequest]) -> Sequence[str | LabrelayError]:
        """Start the attempts; return for each its external id, or why it could not be started. See `Engine.submit`."""

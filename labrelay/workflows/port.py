"""The engine port: five verbs that every engine fills, whatever runs behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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

"""The folders of a pipeline's run: which of its attempts share what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

PUBLISH_FOLDER = "/mnt/workflow/pubdir"  # what HealthOmics exports of a pipeline
# Sessions are derived from the run's key in this name space, so that every attempt resumes the same one.
SESSIONS = uuid.UUID("5f0c6bd1-52b6-5d0c-9c0e-2f6d1a7e9b34")


@dataclass(frozen=True)
class Folders:
    """Where a run of a pipeline keeps what.

    Attributes:
        bundle: The unpacked definition; nothing is written there.
        launch: Where Nextflow starts; its cache and history are there, and all attempts of the run share them.
        reports: This attempt's own: trace, log, timeline, report and dag.
    """

    bundle: Path
    launch: Path
    reports: Path

    @property
    def work(self) -> Path:
        """The tasks' work folders; a later attempt finds the finished ones."""
        return self.launch / "work"

    @property
    def published(self) -> Path:
        """What the pipeline publishes; it is empty when an attempt starts, so that nothing in it is half a file."""
        return self.launch / "published"

    @property
    def sheets(self) -> Path:
        """Sample sheets, written once, since Nextflow takes a file of another time for another file."""
        return self.launch / "sheets"

    @property
    def history(self) -> Path:
        """Nextflow's list of sessions."""
        return self.launch / ".nextflow" / "history"

    @property
    def params(self) -> Path:
        """The parameters that Nextflow reads."""
        return self.reports / "params.json"

    @property
    def config(self) -> Path:
        """The configuration that is ours, read after the pipeline's."""
        return self.reports / "labrelay.config"

    @property
    def trace(self) -> Path:
        """One line for each task that has ended, tab-separated."""
        return self.reports / "trace.tsv"

    @property
    def log(self) -> Path:
        """Nextflow's own log."""
        return self.reports / "nextflow.log"


def session_of(key: str) -> str:
    """Return the id of the Nextflow session of a workflow run; the same key gives the same."""
    return str(uuid.uuid5(SESSIONS, key))

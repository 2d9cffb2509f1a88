"""What a notebook (ELN) is to us: entries with named parts that we write, and announcements that we hear.

The core (`records/eln/telling.py`) decides what to write by comparing digests; an adapter only finds, reads and
writes. So an adapter has no memory and keeps four promises, which `tests/records/eln/contract.py` tests on each:

1. `create` twice with the same identifier gives one entry, also when the first answer was lost.
2. After `write(part)`, `read` shows that part with `digest(part)`, until somebody changes it there.
3. `write` looks again right before it writes and raises `ChangedThere` instead of overwriting what it did not expect.
4. Text, fields and files of an entry that are not our parts belong to people and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from labrelay.model.problem import Frozen, Problem
from labrelay.model.qc import Verdict
from labrelay.records.delivery import Undeliverable

PartName = str  # `status`, `results`, `links`, `file:<name>`
STATUS, RESULTS, LINKS, FILE = "status", "results", "links", "file:"


class StatusLine(Frozen):
    """How one thing of an experiment stands: an instrument run, a sample's reads, a workflow run.

    Attributes:
        subject: Whom it is about, as people call it: a sample, an instrument run.
        state: `received`, `refused`, `waiting`, `no reads`, `running`, `done`, `failed`, `superseded`.
        text: One sentence on it, or why it waits.
        at: When that was so, UTC, to the second.
    """

    subject: str
    state: str
    text: str
    at: str | None = None


class ResultRow(Frozen):
    """One number of one result: sample, metric, value, unit, verdict.

    Attributes:
        sample: As people call it; `N samples` of a cohort.
        run: The workflow run, `run_…`.
        metric, label: The metric's name in the records, and its heading for people.
        value: None when the tool says that it has none.
        unit: `percent`, `x`, `count` … of the records, or empty.
        verdict: Of this number; `none` when no threshold is set.
    """

    sample: str
    run: str
    workflow: str
    metric: str
    label: str
    value: float | None
    unit: str
    verdict: Verdict


class Judgement(Frozen):
    """The verdict on one result; `computed` differs from it when a person overrode it, with `reason` and `by`."""

    sample: str
    run: str
    workflow: str
    verdict: Verdict
    computed: Verdict
    reason: str | None = None
    by: str | None = None


class Link(Frozen):
    """A link for people."""

    title: str
    url: str


class StatusPart(Frozen):
    """How everything of the experiment stands, oldest subject first."""

    name: Literal["status"] = "status"
    lines: tuple[StatusLine, ...]


class ResultsPart(Frozen):
    """The results table: each result's verdict, and its numbers."""

    name: Literal["results"] = "results"
    judgements: tuple[Judgement, ...]
    rows: tuple[ResultRow, ...]


class LinksPart(Frozen):
    """Where people find more; empty when no `base_url` is set."""

    name: Literal["links"] = "links"
    links: tuple[Link, ...]


class FilePart(Frozen):
    """A small file that goes along: a report, a figure, a crate's metadata; `name` is `file:<file_name>`.

    Attributes:
        file_name: Unique in the entry; safe as a file name.
        path: Where its bytes lie now.
        sha256, md5, size: Of these bytes; notebooks keep one checksum or the other.
    """

    name: str
    file_name: str
    title: str
    media_type: str
    path: Path
    sha256: str
    md5: str
    size: int


Part = StatusPart | ResultsPart | LinksPart | FilePart


class Heading(Frozen):
    """What a new entry is called."""

    title: str
    owner: str | None = None
    project: str | None = None


class Entry(Frozen):
    """An entry in the notebook, and whether we may write it.

    Attributes:
        external_id: Its id there.
        state: `deleted` covers the bin; `locked` covers every state in which the notebook refuses changes.
        why: What the notebook says of a locked or deleted one (who, when), if it says it.
    """

    external_id: str
    state: Literal["open", "locked", "deleted"] = "open"
    why: str | None = None


class PartThere(Frozen):
    """A part as it is there now.

    Attributes:
        digest: Of its content, to be compared with `Notebook.digest`.
        text: Its beginning as people read it, so that a conflict can be shown; empty for files.
        external_id: Its own id there, such as a file's.
    """

    digest: str
    text: str = ""
    external_id: str | None = None


class Page(Frozen):
    """An entry as it is there now: its state and our parts in it; parts that are not there are missing."""

    entry: Entry
    parts: Mapping[PartName, PartThere] = {}


class SampleThere(Frozen):
    """A sample as the notebook announces it; `attributes` are its further fields as text."""

    name: str
    aliases: tuple[str, ...] = ()
    barcode: str | None = None
    subject: str | None = None
    assay: str | None = None
    project: str | None = None
    attributes: dict[str, str] = {}


class Announcement(Frozen):
    """An experiment that was announced or edited in the notebook, whole, as it is there now.

    Attributes:
        external_id: The entry's id there.
        version: Changes whenever the announcement does; the same version heard twice is one announcement.
        name: What the lab calls the experiment.
        by: Who edited it last, as the notebook names people.
        samples: All of them, not only new ones.
        problems: What could not be understood; a problem that is an error holds the announcement back.
    """

    external_id: str
    version: str
    name: str
    title: str | None = None
    owner: str | None = None
    project: str | None = None
    by: str | None = None
    at: datetime | None = None
    samples: tuple[SampleThere, ...] = ()
    problems: tuple[Problem, ...] = ()


class News(Frozen):
    """What was announced since a cursor, oldest first, and the cursor to ask with next time."""

    announcements: tuple[Announcement, ...]
    cursor: str


class ChangedThere(Undeliverable):
    """Somebody changed the part between our look and our writing: nothing was written, and a new look decides."""

    def __init__(self, part: PartName) -> None:
        super().__init__(f"{part} was changed in the notebook just now; it is looked at again", retry=True)


class Notebook(Protocol):
    """One notebook, spoken to with one account.

    Every method but `digest` and `url` asks the notebook, and raises `Undeliverable` when that fails: `retry` after
    timeouts, 429 (with `retry_after`), 5xx and answers of no JSON or another shape; not after 401, 403 and other 4xx.
    """

    system: str  # `kadi`, `benchling` …: the key of links, rows and settings
    title: str  # as people call it: `Kadi4Mat`

    def check(self) -> list[Problem]:
        """Return what is missing (address, credentials, rights, fields) and what to do about it; write nothing."""

    def find(self, identifier: str) -> Entry | None:
        """Return the entry that `create` made for our identifier (`exp_…`), also a deleted one; None for none."""

    def create(self, identifier: str, heading: Heading) -> Entry:
        """Make the entry for our identifier, or return the one that is there."""

    def read(self, external_id: str) -> Page:
        """Return an entry with our parts as they are there now; a purged one is a page whose state is deleted."""

    def digest(self, part: Part) -> str | None:
        """Return the digest with which `read` shows this part while nobody changes it; None for no place there."""

    def write(self, external_id: str, part: Part, expected: str | None) -> None:
        """Write one part whole.

        Args:
            external_id: The entry.
            part: What it shall be.
            expected: The digest of what is there and may be replaced; None when the part is not there.

        Raises:
            ChangedThere: There is something else now.
            Undeliverable: It was not taken; a locked or deleted entry is no reason to try again.
        """

    def announced_since(self, cursor: str | None) -> News:
        """Return the experiments that were announced or edited since; None asks for all. May repeat, never skips."""

    def url(self, external_id: str) -> str:
        """Return where people see the entry."""

    def close(self) -> None:
        """Close connections."""


class Account(Frozen):
    """How a notebook is reached, from the settings `eln_url`, `eln_token` and `eln_options`; never logged or stored.

    Attributes:
        url: The notebook's address, without a slash at the end.
        token: A secret in plain text.
        options: What this adapter needs beside: template and field names, ids of folders and schemas.
    """

    url: str
    token: str
    options: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Say where, without the secret."""
        return f"Account(url={self.url!r})"

    __str__ = __repr__


Opener = Callable[[Account], Notebook]  # what an entry point of the group `labrelay.eln` names

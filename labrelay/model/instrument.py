"""What a parser found in a folder: the instrument run as the instrument wrote it. Missing stays None, never 0."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from labrelay.model.files import FileRole
from labrelay.model.ids import derived_id
from labrelay.model.problem import Frozen, Problem
from labrelay.model.qc import QCMetric


class Known(StrEnum):
    """A fact that the folder states, denies, or says nothing about."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Fact(Frozen):
    """One of the three completion facts with the file that says so."""

    value: Known = Known.UNKNOWN
    evidence: str | None = None


class Completion(Frozen):
    """Three separate facts: the instrument has stopped, all files have arrived, the reads have been converted."""

    acquired: Fact = Fact()
    copied: Fact = Fact()
    converted: Fact = Fact()


class ReadSegment(Frozen):
    """One read of the run's recipe (RunInfo.xml `Read`): number from 1, cycles, and whether it is an index read."""

    number: int
    cycles: int
    is_index: bool
    reverse_complement: bool | None = None


class SheetSample(Frozen):
    """One row of a sample sheet or of a supplier's list; `line` is where it stands there, from 1."""

    sample_id: str
    name: str | None = None
    lane: int | None = None
    index: str | None = None
    index2: str | None = None
    project: str | None = None
    barcode: str | None = None
    line: int | None = None


class RunFile(Frozen):
    """A file of the run's folder.

    Attributes:
        path: Relative to the run's root, POSIX.
        size: Bytes at the time of the listing.
        role: What it is to the run.
        sample: The sample's name or id as the file name or the list gives it.
        lane: From 1; None when lanes are merged or unknown.
        read: 1 or 2 for a mate, None for a single file or an index read.
        md5: The supplier's checksum, when one came with it (32 lower-case hexadecimal digits).
    """

    path: str
    size: int
    role: FileRole
    sample: str | None = None
    lane: int | None = None
    read: int | None = None
    md5: str | None = None


class Detection(Frozen):
    """What a folder seems to be, from its listing and the heads of a few small files."""

    platform: str
    confidence: float
    evidence: tuple[str, ...]


class InstrumentRun(Frozen):
    """A finished (or unfinished) instrument run as its folder describes it.

    Attributes:
        run_id: The id inside the files (Illumina: RunInfo.xml `Run@Id`), not the folder's name.
        folder_name: The folder's name, kept beside it.
        platform: `illumina`, `delivery` or `reads` so far.
        started: Zone-aware, or naive when the instrument gives no zone; `started_text` is the raw text.
        reads: The recipe, sorted by number.
        samples: The sheet's rows, in order.
        files: Every file that Labrelay would store, sorted by path.
        qc: What the instrument or the converter says about quality.
        problems: Warnings and errors with file and line; an error means the folder cannot be taken.
    """

    run_id: str
    folder_name: str
    platform: str
    instrument_model: str | None = None
    instrument_serial: str | None = None
    flow_cell: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    lanes: int | None = None
    reads: tuple[ReadSegment, ...] = ()
    samples: tuple[SheetSample, ...] = ()
    files: tuple[RunFile, ...] = ()
    qc: tuple[QCMetric, ...] = ()
    completion: Completion = Completion()
    problems: tuple[Problem, ...] = ()

    @property
    def id(self) -> str:
        """The id shown to people, `ins_…`."""
        return derived_id("ins", self.platform, self.run_id)

    @property
    def sample_labels(self) -> tuple[str, ...]:
        """The samples as the sheet has them, then those that only the names of files tell of; each once."""
        told = [sample.sample_id for sample in self.samples]
        reads = (FileRole.READS, FileRole.ALIGNMENT)
        told += [file.sample for file in self.files if file.role in reads and file.sample is not None]
        return tuple(dict.fromkeys(told))

"""What a parser found in a folder: the instrument run as the instrument wrote it. Missing stays None, never 0."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from labrelay.model.files import PRIMARY, FileRole
from labrelay.model.ids import derived_id
from labrelay.model.imaging import ImageAt, ImageSet, Plate
from labrelay.model.problem import Frozen, Problem
from labrelay.model.qc import QCMetric

UUID_SIGNS = 36
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)


def run_name(run_id: str, plate: str | None) -> str:
    """Return what people call an instrument run: its id, or its plate where the id is a mere UUID.

    The UUID's first digits stay, since a plate is measured again and again; by the whole it is found.
    """
    return f"{plate} ({run_id[:8]})" if plate and _UUID.match(run_id) else run_id


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

    @property
    def words(self) -> tuple[str, str, str]:
        """The three facts as `yes`, `no` or `unknown`."""
        return (self.acquired.value.value, self.copied.value.value, self.converted.value.value)


class ReadSegment(Frozen):
    """One read of the run's recipe (RunInfo.xml `Read`): number from 1, cycles, and whether it is an index read."""

    number: int
    cycles: int
    is_index: bool
    reverse_complement: bool | None = None


def has_mates(reads: Iterable[ReadSegment]) -> bool:
    """Return whether a recipe has two reads beside those of the index."""
    return sum(not segment.is_index for segment in reads) > 1


class CycleQuality(NamedTuple):
    """The base calls of one cycle in one lane: their share of Q30 and better, None when there are none.

    Cycles are counted through the whole run from 1; `read` is the number of the read that the cycle belongs to.
    """

    lane: int
    cycle: int
    read: int | None
    q30_percent: float | None


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


class Unit(Frozen):
    """A part of a run that ends by itself: a PacBio cell, a Nanopore flow cell, a grid square.

    Attributes:
        name: What the instrument calls it, such as the movie's name.
        kind: `cell`, `flow cell`, `plate`, `grid square` …
        completion: Its own three facts.
        sample: What was in it, where it held one sample.
        facts: What else is known of it, as text by name.
    """

    name: str
    kind: str
    completion: Completion = Completion()
    sample: str | None = None
    facts: dict[str, str] = {}


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
        image: Where on the plate and which plane, of an image file.
    """

    path: str
    size: int
    role: FileRole
    sample: str | None = None
    lane: int | None = None
    read: int | None = None
    md5: str | None = None
    image: ImageAt | None = None


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
        platform: The name of the parser that read it, such as `illumina`, `ont` or `harmony`.
        software: What wrote the run, with its version.
        flow_cell, grid: The carrier's id, of sequencers and of electron microscopes; a plate has its own.
        flow_cell_type: The kind of flow cell, as the instrument calls it: `SP`, `25B`, `FLO-PRO002` …
        position: Where the flow cell lay on an instrument that takes several: `A`, `1F` …
        started, ended: Zone-aware, or naive when the instrument gives no zone; `started_text` is the raw text.
        reads: The recipe, sorted by number.
        samples: The sheet's rows, in order.
        files: Every file that Labrelay would store, sorted by path.
        units: The parts that end by themselves, where a run has several.
        plate: Of an imaging run or a plate reader.
        images: What was taken, one entry an image of five dimensions.
        qc: What the instrument or the converter says about quality.
        raw: Fields that nothing here models, as text by file and name.
        personal: Names of people and machines that the files tell, by field; shown only to who asks for them.
        problems: Warnings and errors with file and line; an error means the folder cannot be taken.
    """

    run_id: str
    folder_name: str
    platform: str
    instrument_model: str | None = None
    instrument_serial: str | None = None
    software: str | None = None
    flow_cell: str | None = None
    flow_cell_type: str | None = None
    position: str | None = None
    grid: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    ended: datetime | None = None
    lanes: int | None = None
    reads: tuple[ReadSegment, ...] = ()
    samples: tuple[SheetSample, ...] = ()
    files: tuple[RunFile, ...] = ()
    units: tuple[Unit, ...] = ()
    plate: Plate | None = None
    images: tuple[ImageSet, ...] = ()
    qc: tuple[QCMetric, ...] = ()
    completion: Completion = Completion()
    problems: tuple[Problem, ...] = ()
    raw: dict[str, dict[str, str]] = {}
    personal: dict[str, str] = {}

    @property
    def id(self) -> str:
        """The id shown to people, `ins_…`."""
        return derived_id("ins", self.platform, self.run_id)

    @property
    def name(self) -> str:
        """What people call it, see `run_name`."""
        return run_name(self.run_id, self.plate.id if self.plate is not None else None)

    @property
    def place(self) -> str:
        """What the run lies in, as sentences call it: `file` where it was read from one that was named, or `folder`."""
        return "file" if any(file.path == self.folder_name for file in self.files) else "folder"

    @property
    def sizes_by_role(self) -> dict[FileRole, tuple[int, ...]]:
        """The sizes of the files of each role, roles in the order of their names."""
        sizes: dict[FileRole, list[int]] = {}
        for file in self.files:
            sizes.setdefault(file.role, []).append(file.size)
        return {role: tuple(sizes[role]) for role in sorted(sizes)}

    @property
    def sample_labels(self) -> tuple[str, ...]:
        """The samples as the sheet has them, then those that only the names of files tell of; each once."""
        told = [sample.sample_id for sample in self.samples]
        told += [file.sample for file in self.files if file.role in PRIMARY and file.sample is not None]
        return tuple(dict.fromkeys(told))

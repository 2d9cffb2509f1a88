"""One PacBio cell (a movie): what its files say, whether it has come whole, and whose reads it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Fact, Known, RunFile, SheetSample, Unit
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.listing import Listing, read_small
from labrelay.parsers.pacbio_names import UNASSIGNED, PacBioName, barcode_key, other_role
from labrelay.parsers.pacbio_xml import Collection, parse_collection
from labrelay.parsers.text import decode, lines, warning

_MOST_LISTED = 20_000
MOST_SETS = 400  # data sets of a cell that are opened: 384 barcodes
_PRIMARY = ("hifi_reads", "ccs", "reads", "subreads")  # the better one wins where a cell has several
_LISTED = re.compile(r"[\w./ -]*\bm\d{5}\w*\.[\w.-]+\Z")
_ENDED = re.compile(r"(?:.*\.)?(?:sts\.xml|ccs_reports?\.json|ccs_report\.txt|zmw_metrics\.json\.gz)\Z")


@dataclass
class Cell:
    """A cell with the names of its files and what its XML says."""

    movie: str
    names: list[PacBioName] = field(default_factory=list)
    about: Collection = field(default_factory=Collection)
    sets: dict[str, Collection] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def ending(self, ending: str) -> PacBioName | None:
        """Return the file of this movie with such an ending, such as `transferdone`."""
        return next((name for name in self.names if name.kind is None and name.ending == ending), None)

    @property
    def kind(self) -> str | None:
        """Which kind of reads is taken as the samples' reads."""
        kinds = {name.kind for name in self.names if name.ending in ("bam", "fastq", "fastq.gz", "fq.gz")}
        return next((kind for kind in _PRIMARY if kind in kinds), None)

    def label(self, barcode: str | None) -> str:
        """Return the sample of a barcode: its name, else the library and the barcode; without barcodes the library."""
        samples = {barcode_key(key): name for key, name in self.about.samples.items()}
        for each in self.sets.values():
            for key, name in each.samples.items():
                samples.setdefault(barcode_key(key), name)
        if barcode is not None:
            named = samples.get(barcode_key(barcode))
            return named or (f"{self.about.well_sample}_{barcode}" if self.about.well_sample else barcode)
        only = set(samples.values())
        return (only.pop() if len(only) == 1 else None) or self.about.well_sample or self.movie


def read_cell(movie: str, names: Sequence[PacBioName], listing: Listing) -> Cell:
    """Return a cell with its XML read; hidden files (Sequel II) count like others."""
    cell = Cell(movie, list(names))
    found = [name for name in names if name.ending in ("metadata.xml", "run.metadata.xml")]
    for name in sorted(found, key=lambda each: each.ending != "metadata.xml")[:1]:
        cell.about = _collection(cell, name, listing) or Collection()
    sets = [n for n in names if n.ending.endswith("set.xml") and n.kind in _PRIMARY and n.entry.size]
    for name in sets[:MOST_SETS]:
        told = _collection(cell, name, listing)
        if told is not None:
            cell.sets[name.entry.path] = told
            if cell.about.movie is None:
                cell.about = told
    if len(sets) > MOST_SETS:
        what = f"it has {len(sets)} data sets; the first {MOST_SETS} were opened"
        cell.problems.append(warning("TOO_MANY_SETS", what, sets[0].entry.folder))
    return cell


def _collection(cell: Cell, name: PacBioName, listing: Listing) -> Collection | None:
    data = read_small(listing.root, name.entry.path)
    if isinstance(data, Problem):
        cell.problems.append(warning(data.code, data.message, data.path))
        return None
    if not data.strip():
        cell.problems.append(warning("ZERO_BYTE_FILE", "it is empty, so nothing was taken from it", name.entry.path))
        return None
    told, problems = parse_collection(data, name.entry.path)
    cell.problems += problems
    if told is not None and told.movie not in (None, cell.movie):
        what = f"it is called like cell {cell.movie} and is about {told.movie}; the name is used"
        cell.problems.append(warning("ID_MISMATCH", what, name.entry.path))
    return told


def unit_of(cell: Cell, listing: Listing) -> Unit:
    """Return the cell as a part of its run, with its own end."""
    return Unit(
        name=cell.movie,
        kind="cell",
        completion=_completion(cell, listing),
        sample=cell.about.well_sample,
        facts=cell.about.facts,
    )


def _completion(cell: Cell, listing: Listing) -> Completion:
    reads = next((n for n in cell.names if n.kind == cell.kind and n.kind and "bam" in n.ending), None)
    done, about = cell.ending("transferdone"), cell.ending("metadata.xml")
    converted = Fact(value=Known.YES, evidence=reads.entry.path) if reads else Fact()
    if done is not None:
        yes = Fact(value=Known.YES, evidence=done.entry.path)
        return Completion(acquired=yes, copied=_copied(cell, done, listing), converted=converted)
    ended = next((n for n in cell.names if _ENDED.match(n.ending)), None)
    acquired = Fact(value=Known.YES, evidence=ended.entry.path) if ended else Fact()
    if about is None or not (about.entry.name.startswith(".") or about.entry.folder.endswith("metadata")):
        return Completion(acquired=acquired, converted=converted)
    what = f"there is no {cell.movie}.transferdone, which the instrument writes when all files of the cell have come"
    cell.problems.append(warning("NO_TRANSFERDONE", what, about.entry.folder or None))
    return Completion(acquired=acquired, copied=Fact(value=Known.NO, evidence=about.entry.path), converted=converted)


def _copied(cell: Cell, done: PacBioName, listing: Listing) -> Fact:
    """Hold the files that transferdone lists against those that are there; it may be empty, or a person's note."""
    data = read_small(listing.root, done.entry.path)
    if isinstance(data, Problem):
        cell.problems.append(warning(data.code, data.message, data.path))
        return Fact(evidence=done.entry.path)
    told = [line.strip()[:500] for line in lines(decode(data, done.entry.path).text)[:_MOST_LISTED] if line.strip()]
    listed = [line.replace("\\", "/").rpartition("/")[2] for line in told if _LISTED.match(line.split("\t")[0])]
    here = {entry.name for entry in listing.files}
    gone = [name for name in listed if name.split("\t")[0] not in here]
    if gone:
        what = f"{counted(len(gone), 'file')} that it lists of {len(listed)} are not here, such as {gone[0][:80]}"
        cell.problems.append(warning("COUNT_MISMATCH", f"{what}: the copy is not complete", done.entry.path))
        return Fact(value=Known.NO, evidence=done.entry.path)
    if told and not listed:
        what = "it holds a note and no list of files: somebody wrote it by hand, and it is taken at its word"
        cell.problems.append(warning("MARKER_BY_HAND", what, done.entry.path))
    return Fact(value=Known.YES, evidence=done.entry.path)


def files_of(cell: Cell) -> Iterator[RunFile]:
    """Give the cell's files with their roles; no read is in two of those that are a sample's."""
    taken, told = _taken(cell), set()
    for name in cell.names:
        role, sample = other_role(name), None
        if name.entry.path in taken:
            unassigned = name.barcode is not None and name.barcode.lower() in UNASSIGNED
            role = FileRole.ALIGNMENT if name.ending == "bam" else FileRole.READS
            role = FileRole.UNDETERMINED if unassigned else role
            sample = None if unassigned else cell.label(name.barcode)
            if not name.entry.size and role is not FileRole.ALIGNMENT:  # those are told of all platforms alike
                told.add(name.entry.path)
        yield RunFile(path=name.entry.path, size=name.entry.size, role=role, sample=sample)
    if told:
        what = f"{counted(len(told), 'file of reads has', 'files of reads have')} no bytes at all: copy again"
        cell.problems.append(warning("ZERO_BYTE_FILE", what, min(told)))


def _taken(cell: Cell) -> AbstractSet[str]:
    """Return the paths of the files of reads that are taken: the best kind, BAM before FASTQ, each barcode once."""
    reads = [n for n in cell.names if n.kind == cell.kind and n.ending in ("bam", "fastq", "fastq.gz", "fq.gz")]
    divided = any(name.barcode is not None for name in reads)
    chosen: dict[str, PacBioName] = {}
    for name in sorted(reads, key=lambda n: (n.ending != "bam", n.entry.path.count("/"), n.entry.path)):
        key = barcode_key(name.barcode or "")
        if name.barcode is None and divided:
            what = "all reads of the cell are here once more, undivided; those of the barcodes are taken"
            cell.problems.append(warning("READS_TWICE", what, name.entry.path))
        elif key not in chosen:
            chosen[key] = name
        elif name.ending == chosen[key].ending:
            what = f"reads of the same cell and barcode as {chosen[key].entry.path}, which is taken: divided again?"
            cell.problems.append(warning("READS_TWICE", what, name.entry.path))
    return {name.entry.path for name in chosen.values()}


def samples_of(cell: Cell) -> Iterator[SheetSample]:
    """Give the samples of the cell: those with a barcode, else the library."""
    for barcode, name in cell.about.samples.items():
        yield SheetSample(sample_id=name, name=None, barcode=barcode or None)
    if not cell.about.samples and cell.about.well_sample:
        yield SheetSample(sample_id=cell.label(None))

"""Reads and references as the read store keeps them."""

from __future__ import annotations

from labrelay.model.files import FileRef
from labrelay.model.ids import derived_id
from labrelay.model.imaging import ImageAt
from labrelay.model.problem import Frozen

READ_TYPES = frozenset({"FASTQ", "BAM", "UBAM", "CRAM"})
# Sets that no read store takes, by the role of their files, and what those are called among a run's inputs.
IN_PLACE = {"IMAGE": "images", "SPECTRA": "spectra", "MEASUREMENT": "measurements"}


class FastqStats(Frozen):
    """What one pass over a FASTQ file gives.

    Attributes:
        sha256: Of the file's bytes as stored (compressed if it is).
        md5: Of the same bytes, when asked for (a supplier's checksum is to be compared).
        size: Bytes of the file.
        reads: Records; 0 is a state, not an error.
        bases: Sum of read lengths.
        gc_bases: G and C.
        n_bases: N.
        q20_bases, q30_bases: Bases of at least that Phred quality.
        quality_sum: Sum of Phred qualities, so that the mean of several files can be had.
        min_length, max_length: None when there are no reads.
        names_digest: Digest of the read names in order without mate suffix; equal for true mates.
        first_name: The first read's name, for messages.
        mate: 1 or 2 when every name says so (`/1`, or ` 1:N:0` as Illumina writes it), else None.
    """

    sha256: str
    md5: str | None = None
    size: int
    reads: int
    bases: int
    gc_bases: int
    n_bases: int
    q20_bases: int
    q30_bases: int
    quality_sum: int
    min_length: int | None
    max_length: int | None
    names_digest: str
    first_name: str | None = None
    mate: int | None = None

    @property
    def mean_quality(self) -> float | None:
        """Arithmetic mean of the Phred qualities; None without bases."""
        return self.quality_sum / self.bases if self.bases else None

    @property
    def q30_percent(self) -> float | None:
        """Percent of bases with Phred ≥ 30; None without bases."""
        return 100 * self.q30_bases / self.bases if self.bases else None

    @property
    def gc_percent(self) -> float | None:
        """Percent G and C of the called bases (N left out); None without any."""
        called = self.bases - self.n_bases
        return 100 * self.gc_bases / called if called else None


class BamStats(Frozen):
    """What the gate learns of a BAM, unaligned BAM or CRAM file."""

    sha256: str
    md5: str | None = None
    size: int
    reads: int | None
    sample_names: tuple[str, ...]
    aligned: bool


class ReadSource(Frozen):
    """One sample's reads of one lane (or all) as one read set, or its images, spectra or measurements as one set.

    Reads go into the read store; the others stay where they were stored, and are told apart by `in_place`.

    Attributes:
        sample_id: Our `smp_…` id, or the sheet's id while the run is unassigned.
        subject: The subject (patient, animal, culture) when known.
        name: What a person calls it.
        file_type: `FASTQ`, `BAM`, `UBAM` or `CRAM`, as HealthOmics names them; else the role of the files.
        files: One file, or R1 then R2; the parts of one, in their order; of a set in place all, by path.
        images: Where on a plate each of the files is, in the same order; nothing for reads.
        reference_id: For CRAM and aligned BAM.
        parts: The files are parts of one, as the chunks that a Nanopore writes, and are joined when they are imported.
    """

    sample_id: str
    subject: str | None = None
    name: str
    file_type: str
    files: tuple[FileRef, ...]
    reference_id: str | None = None
    images: tuple[ImageAt | None, ...] = ()
    parts: bool = False

    @property
    def input_name(self) -> str:
        """What files of a set in place are called among a run's inputs."""
        return IN_PLACE.get(self.file_type, self.file_type.lower())

    @property
    def in_place(self) -> bool:
        """Whether it is no reads, so that no read store takes it."""
        return self.file_type not in READ_TYPES

    @property
    def id(self) -> str:
        """The read set's id, derived from its files, so that importing twice finds the first."""
        return derived_id("rds", self.sample_id, [list(f.identity) for f in self.files])


class ReadSet(Frozen):
    """Reads in a read store: status as HealthOmics names it (ACTIVE, ARCHIVED, …)."""

    id: str
    source: ReadSource
    status: str
    created: str


class Contig(Frozen):
    """One sequence of a reference."""

    name: str
    length: int
    md5: str


class Reference(Frozen):
    """A reference genome as the read store keeps it, normalised, with its index and, if it had one, its annotation.

    Attributes:
        id: `ref_…`, derived from name and content.
        name: What people call it in rules and commands.
        fasta: The normalised FASTA (LF line ends, 60 bases a line).
        fai: Its index.
        annotation: GFF3 made from a GenBank file's features, when it came as one.
        contigs: In order; md5 of the upper-case sequence (as SAM's M5).
        source_sha256: Of the file as it was given.
        notes: What the import changed, in sentences.
    """

    id: str
    name: str
    fasta: FileRef
    fai: FileRef
    annotation: FileRef | None = None
    contigs: tuple[Contig, ...]
    source_sha256: str
    notes: tuple[str, ...] = ()

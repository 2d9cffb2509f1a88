"""A stored file: its identity is where it lies and which version of it; the hash is an attribute."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from labrelay.model.ids import derived_id
from labrelay.model.problem import Frozen


class FileRole(StrEnum):
    """What a file is to the run that holds or made it."""

    READS = "reads"
    INDEX_READS = "index_reads"
    UNDETERMINED = "undetermined"
    ALIGNMENT = "alignment"
    SIGNAL = "signal"
    IMAGE = "image"
    THUMBNAIL = "thumbnail"
    SPECTRA = "spectra"
    MEASUREMENT = "measurement"
    SAMPLE_SHEET = "sample_sheet"
    RUN_METADATA = "run_metadata"
    CONVERSION_REPORT = "conversion_report"
    CHECKSUMS = "checksums"
    REFERENCE = "reference"
    OUTPUT = "output"
    LOG = "log"
    REPORT = "report"
    CRATE = "crate"
    OTHER = "other"


READ_ROLES = frozenset({FileRole.READS, FileRole.ALIGNMENT})
# What an instrument gives of a sample: its datasets are made of these, and workflows take them.
PRIMARY = READ_ROLES | {FileRole.IMAGE, FileRole.SPECTRA, FileRole.MEASUREMENT}


class FileRef(Frozen):
    """A stored file. Identity is (storage, key, version); in a folder store the version is the SHA-256.

    Attributes:
        storage: The store's name in this home, such as `objects`.
        key: The POSIX path below the store's root.
        version: What tells two contents at one key apart.
        sha256: 64 lower-case hexadecimal digits, computed in the pass that read the bytes.
        size: Bytes.
    """

    storage: str
    key: str
    version: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)

    @property
    def id(self) -> str:
        """The id shown to people, `fil_…`."""
        return derived_id("fil", self.storage, self.key, self.version)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rsplit("/", 1)[-1]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes this file this file."""
        return (self.storage, self.key, self.version)

"""The tables of `definition.toml` as values: inputs, outputs, metrics, tables, figures, and what one language has."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from labrelay.model.files import FileRole
from labrelay.model.problem import Frozen

FILE_NAME = "definition.toml"
NEXTFLOW, READY2RUN, COMMAND = "NEXTFLOW", "READY2RUN", "COMMAND"
PARAMETER_NAME = r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*"
PROFILE_NAME = r"[A-Za-z0-9_.-]+"
Place = Literal["local", "healthomics", "batch"]
SCALAR = "File|String|Int|Float|Boolean"
INPUT_TYPE = re.compile(rf"({SCALAR}|Array\[({SCALAR})\])\??")


class InputSource(StrEnum):
    """Where the value of a workflow input comes from; reads are lists over lanes, images lists over files.

    `files.paths` and `images.paths` give the same: the files of any set that is no reads. What is said of images beside
    their paths is text, in the order of the paths, and empty where nothing is known. `images.folder` is the folder that
    they lie in, `images.folders` one an instrument run, and `images.table` a file that says what lies where in those.
    """

    SAMPLE_NAME = "sample.name"
    SAMPLE_ID = "sample.id"
    READS_R1 = "reads.r1"
    READS_R2 = "reads.r2"
    FILES_PATHS = "files.paths"
    IMAGES_PATHS = "images.paths"
    IMAGES_FOLDER = "images.folder"
    IMAGES_FOLDERS = "images.folders"
    IMAGES_TABLE = "images.table"
    IMAGES_WELLS = "images.wells"
    IMAGES_FIELDS = "images.fields"
    IMAGES_CHANNELS = "images.channels"
    IMAGES_PLANES = "images.planes"
    IMAGES_TIMES = "images.times"
    REFERENCE_FASTA = "reference.fasta"
    REFERENCE_FAI = "reference.fai"
    REFERENCE_ANNOTATION = "reference.annotation"
    CONSTANT = "constant"
    PARAMETER = "parameter"


class InputSpec(Frozen):
    """One workflow input: its source; `value` of a constant; `default` and words for the form of a parameter.

    `type` is said only where no WDL says it; for Nextflow it stands before what the pipeline itself says. A type that
    ends with `?` allows a missing value, as `optional` does.
    """

    source: InputSource = Field(alias="from")
    type: str | None = None
    value: Any = None
    default: Any = None
    label: str | None = None
    help: str | None = None
    optional: bool = False

    @property
    def may_be_missing(self) -> bool:
        """Whether a run does without a value."""
        return self.optional or (self.type or "").endswith("?")

    @field_validator("type")
    @classmethod
    def _is_a_type(cls, named: str | None) -> str | None:
        if named is not None and not INPUT_TYPE.fullmatch(named):
            known = SCALAR.replace("|", ", ")
            raise ValueError(f"{named!r} is no type; say {known}, Array[…] of one, and `?` behind what may be missing")
        return named

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if (self.source is InputSource.CONSTANT) != (self.value is not None):
            raise ValueError('`value` belongs to `from = "constant"`, and that needs one')
        if self.default is not None and self.source is not InputSource.PARAMETER:
            raise ValueError('`default` belongs to `from = "parameter"`')
        return self


class OutputSpec(Frozen):
    """What an output is to people: its role, a label, its media type.

    `path` is a pattern (`*`, `?`, `**`) that names the output's files: relative to the publish folder of Nextflow, or
    to the work folder of a command, whose outputs may also be `optional`. `qc` says that a common tool wrote its files
    (`labrelay.parsers.qc_files`), so that the numbers in them become the result's.
    """

    role: FileRole = FileRole.OUTPUT
    label: str | None = None
    media_type: str | None = None
    path: str | None = None
    optional: bool = False
    qc: bool = False


class MetricSpec(Frozen):
    """Where a number is: in which JSON output, under which JSON pointer (RFC 6901), in which unit.

    Of an output with `qc` the pointer is `/` and the name that the tool's reader gives the number, with its unit.
    """

    output: str
    pointer: str = Field(pattern=r"^(/([^~/]|~[01])*)+$")
    unit: str = ""
    label: str | None = None


class TableSpec(Frozen):
    """A table of the result: a tab-separated output, and its columns to show (none: all)."""

    output: str
    title: str
    columns: tuple[str, ...] = ()


class FigureSpec(Frozen):
    """A figure of the result: columns `x` and `y` of a tab-separated output; a log axis where depths differ much."""

    output: str
    title: str
    x: str
    y: str
    x_label: str | None = None
    y_label: str | None = None
    log_y: bool = False


class ResourcesSpec(Frozen):
    """What a command needs, or the one machine that is given to a whole run: as a job of AWS Batch is.

    Processors, memory, and after how many minutes it is ended (None: as the engine is set up).
    """

    cpus: int = Field(default=1, ge=1, le=1024)
    memory_gib: float = Field(default=1.0, gt=0, le=65_536)
    minutes: float | None = Field(default=None, gt=0)


class NextflowSpec(Frozen):
    """How Nextflow is told to run a pipeline; part of the bundle, and so of the workflow's identity.

    Attributes:
        profile: Profiles of the pipeline's configuration, as after `-profile`.
        config: Configuration files in the folder, as after `-c`, in this order.
        outdir: The parameter that is set to the folder where results are published; nobody else sets it. None (in
            TOML an empty text) when the pipeline has none because it uses the `output` block only.
    """

    profile: tuple[Annotated[str, Field(pattern=f"^{PROFILE_NAME}$")], ...] = ()
    config: tuple[str, ...] = ()
    outdir: Annotated[str, Field(pattern=f"^{PARAMETER_NAME}$")] | None = "outdir"

    @field_validator("outdir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value


class SamplesheetSpec(Frozen):
    """A sample sheet that is made from our samples, with one row a lane.

    Attributes:
        parameter: The pipeline's parameter that takes the path of the sheet.
        columns: What each column holds, in the sheet's order: an `InputSource` of a sample, its reads or the reference,
            or `=text`, which stands in every row.
    """

    parameter: str = Field(default="input", pattern=f"^{PARAMETER_NAME}$")
    columns: dict[str, str] = Field(min_length=1)

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        free = {source.value for source in InputSource} - {InputSource.CONSTANT, InputSource.PARAMETER}
        for name, source in columns.items():
            if not re.fullmatch(r"[^\x00-\x1f\x7f]+", name):
                raise ValueError(f"{name!r} is no name of a column")
            if source not in free and not re.fullmatch(r"=[^\x00-\x1f\x7f]*", source):
                raise ValueError(f"the column {name} is from {source!r}; say one of {', '.join(sorted(free))} or =text")
        return columns

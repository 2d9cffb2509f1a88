"""A workflow definition: a folder with WDL files and `definition.toml`, which says what the workflow's names mean.

    name = "viral_variants"            [inputs.reads_1]            [outputs.vcf]
    version = "1.0.0"                  from = "reads.r1"           label = "Variants"
    title = "…"                        [inputs.min_depth]          [metrics.mean_depth]
    main = "main.wdl"                  from = "parameter"          output = "metrics"
    scope = "sample"                   default = 10                [thresholds.mean_depth]
                                                                   warn_below = 100

Inputs that are not named here are the user's parameters. A folder of WDL without `definition.toml` loads as well: then
every input is a parameter.

A workflow that HealthOmics keeps ready has no WDL here: `ready2run = "9500764"` in place of `main`, and every input
with its `type`, since nothing else says it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from labrelay.model.errors import RefusedInput
from labrelay.model.files import FileRole
from labrelay.model.names import is_safe_name, safe_relative
from labrelay.model.problem import Frozen, Problem
from labrelay.model.qc import Threshold

FILE_NAME = "definition.toml"
NAME = r"[a-z][a-z0-9_]{0,62}"
WORKFLOW = re.compile(rb"^[ \t]*workflow[ \t]+([A-Za-z]\w*)", re.MULTILINE)
MAX_BYTES = 1_000_000
READY2RUN = "READY2RUN"
InputType = Literal["File", "String", "Int", "Float", "Boolean", "Array[File]", "Array[String]"]


class InputSource(StrEnum):
    """Where the value of a workflow input comes from; reads are lists over lanes."""

    SAMPLE_NAME = "sample.name"
    SAMPLE_ID = "sample.id"
    READS_R1 = "reads.r1"
    READS_R2 = "reads.r2"
    REFERENCE_FASTA = "reference.fasta"
    REFERENCE_FAI = "reference.fai"
    REFERENCE_ANNOTATION = "reference.annotation"
    CONSTANT = "constant"
    PARAMETER = "parameter"


class InputSpec(Frozen):
    """One workflow input: its source; `value` of a constant; `default` and words for the form of a parameter.

    `type` is said only where no WDL says it.
    """

    source: InputSource = Field(alias="from")
    type: InputType | None = None
    value: Any = None
    default: Any = None
    label: str | None = None
    help: str | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _fits_its_source(self) -> Self:
        if (self.source is InputSource.CONSTANT) != (self.value is not None):
            raise ValueError('`value` belongs to `from = "constant"`, and that needs one')
        if self.default is not None and self.source is not InputSource.PARAMETER:
            raise ValueError('`default` belongs to `from = "parameter"`')
        return self


class OutputSpec(Frozen):
    """What an output is to people: its role, a label, its media type."""

    role: FileRole = FileRole.OUTPUT
    label: str | None = None
    media_type: str | None = None


class MetricSpec(Frozen):
    """Where a number is: in which JSON output, under which JSON pointer (RFC 6901), in which unit."""

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


class Definition(Frozen):
    """A loaded definition.

    Attributes:
        name: lower_snake; what rules and commands say.
        version: As its authors count; the digest of the bundle is the identity.
        main: The main WDL file, relative to `folder`.
        workflow: The workflow's name in `main`, the prefix of all input names.
        ready2run: HealthOmics' id of a workflow that it keeps ready; then there is no WDL.
        scope: Runs once a `sample` or once a `cohort` of samples.
        inputs, outputs: By their names in the workflow, without prefix.
        metrics, thresholds: By the metric's name.
        folder: Where it was loaded from.
    """

    name: str = Field(pattern=f"^{NAME}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$")
    title: str = Field(min_length=1)
    description: str = ""
    language: Literal["WDL", "READY2RUN"] = "WDL"
    main: str = "main.wdl"
    workflow: str = Field(pattern=r"^[A-Za-z]\w*$")
    ready2run: str | None = Field(default=None, pattern=r"^[0-9]{1,18}$")
    scope: Literal["sample", "cohort"] = "sample"
    inputs: dict[str, InputSpec] = {}
    outputs: dict[str, OutputSpec] = {}
    metrics: dict[str, MetricSpec] = {}
    thresholds: dict[str, Threshold] = {}
    figures: dict[str, FigureSpec] = {}
    tables: dict[str, TableSpec] = {}
    folder: Path

    def qualified(self, name: str) -> str:
        """Return an input's or output's name as the engine wants it: `workflow.name`."""
        return f"{self.workflow}.{name}"


def find_definitions(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the definition folders directly below `folders`, by name."""
    for folder in folders:
        if folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and _main_of(path) is not None)


def load(folder: Path) -> Definition:
    """Load and check the definition in `folder`.

    Raises:
        RefusedInput: With every problem, and the line of `definition.toml` where it is known.
    """
    path = folder / FILE_NAME
    raw = _read_toml(path) if path.is_file() else _bare(folder)
    if "ready2run" in raw:
        raw |= {"language": READY2RUN, "main": FILE_NAME, "workflow": raw.get("name")}
    main = folder / str(raw.get("main", "main.wdl"))
    found = WORKFLOW.search(main.read_bytes()[:MAX_BYTES]) if main.is_file() else None
    raw.setdefault("workflow", found[1].decode() if found else raw.get("name"))
    _fill_in_names(raw)
    try:
        definition = Definition.model_validate({**raw, "folder": folder})
    except ValidationError as error:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        raise RefusedInput(f"The definition {folder}", _problems_of(error, text)) from None
    problems = list(_contradictions(definition))
    if problems:
        raise RefusedInput(f"The definition {folder}", problems)
    return definition


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        line = re.search(r"at line (\d+)", str(error))
        problem = Problem(
            code="DEFINITION_NOT_TOML",
            message=f"It is not valid TOML: {error}.",
            path=FILE_NAME,
            line=int(line[1]) if line else None,
        )
        raise RefusedInput(f"The definition {path.parent}", [problem]) from None


def _bare(folder: Path) -> dict[str, Any]:
    main = _main_of(folder)
    if main is None:
        message = f"There is no {FILE_NAME}, no main.wdl and no single WDL file with a workflow; add one of them."
        raise RefusedInput(f"The definition {folder}", [Problem(code="DEFINITION_WITHOUT_MAIN", message=message)])
    name = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_")
    name = name if name[:1].isalpha() else f"wdl_{name}".rstrip("_")
    return {"name": name[:63], "version": "0", "title": folder.name, "main": main}


def _main_of(folder: Path) -> str | None:
    """Return the main file's name for a folder that may be a definition, or None."""
    if (folder / FILE_NAME).is_file() or (folder / "main.wdl").is_file():
        return "main.wdl"
    found = [path for path in sorted(folder.glob("*.wdl")) if WORKFLOW.search(path.read_bytes()[:MAX_BYTES])]
    return found[0].name if len(found) == 1 else None


def _fill_in_names(raw: dict[str, Any]) -> None:
    """Give each threshold its metric's name, and each metric the pointer that its name means."""
    for key, field, value in (("thresholds", "metric", "{}"), ("metrics", "pointer", "/{}")):
        tables = raw.get(key)
        if isinstance(tables, dict):
            for name, table in tables.items():
                if isinstance(table, dict):
                    table.setdefault(field, value.format(name))


def _problems_of(error: ValidationError, text: str) -> list[Problem]:
    problems = []
    for found in error.errors(include_url=False):
        where = [str(part) for part in found["loc"]]
        words = found["msg"].removeprefix("Value error, ")
        problems.append(
            Problem(
                code="DEFINITION_INVALID",
                message=f"{'.'.join(where) or 'The file'}: {words}.",
                path=FILE_NAME,
                line=_line_of(text, where),
            )
        )
    return problems


def _line_of(text: str, where: list[str]) -> int | None:
    """Return the line (from 1) of the innermost table or key of `where` that the text has."""
    table: list[str] = []
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[([^\]]+)\]", line)
        key = re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line)
        if header:
            table = [part.strip(" \"'") for part in header[1].split(".")]
        place = table if header else [*table, key[1]] if key else None
        if place and where[: len(place)] == place and (best is None or len(place) > best[0]):
            best = (len(place), number)
    return best[1] if best else None


def _contradictions(definition: Definition) -> Iterator[Problem]:
    main = safe_relative(definition.main)
    if main is None or not all(is_safe_name(part) for part in main.parts):
        yield _problem("DEFINITION_WITHOUT_MAIN", f"main: {definition.main} is not a safe path inside the folder.")
    elif not (definition.folder / main).is_file():
        yield _problem("DEFINITION_WITHOUT_MAIN", f"main: there is no file {definition.main} in the folder.")
    yield from _ready2run_contradictions(definition)
    for name in definition.thresholds:
        if name not in definition.metrics:
            yield _problem("THRESHOLD_WITHOUT_METRIC", f"thresholds.{name}: there is no [metrics.{name}] to judge.")
    for kind in ("inputs", "outputs", "metrics"):
        for name in getattr(definition, kind):
            if not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", name):
                yield _problem("DEFINITION_INVALID", f"{kind}.{name}: this is no name that a workflow can have.")


def _ready2run_contradictions(definition: Definition) -> Iterator[Problem]:
    if (definition.language == READY2RUN) != (definition.ready2run is not None):
        yield _problem("DEFINITION_INVALID", "language: say `ready2run` with the workflow's id in place of this.")
    for name, spec in definition.inputs.items():
        if (definition.ready2run is None) != (spec.type is None):
            why = "the WDL says its type" if spec.type else "a Ready2Run workflow needs the type of every input"
            yield _problem("DEFINITION_INVALID", f"inputs.{name}.type: {why}.")


def _problem(code: str, message: str) -> Problem:
    return Problem(code=code, message=message, path=FILE_NAME)

"""A workflow definition: WDL, Nextflow or one command, and `definition.toml`, which says what the names in it mean.

    name = "viral_variants"            [inputs.reads_1]            [outputs.vcf]
    version = "1.0.0"                  from = "reads.r1"           label = "Variants"
    title = "…"                        [inputs.min_depth]          [metrics.mean_depth]
    main = "main.wdl"                  from = "parameter"          output = "metrics"
    scope = "sample"                   default = 10                [thresholds.mean_depth]
                                                                   warn_below = 100

Inputs that are not named here are the user's parameters. A folder of WDL or Nextflow without `definition.toml` loads as
well: then every input is a parameter. A `main` that ends with `.nf` is Nextflow; then each output has a `path`, and
there may be `[nextflow]` and `[samplesheet]`.

One command needs no other file: `command = ["samtools", "stats", "{bam}"]` in place of `main`, with a `type` for every
input and a `path` for every output.

A workflow that HealthOmics keeps ready has no WDL here: `ready2run = "9500764"` in place of `main`, and every input
with its `type`, since nothing else says it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.qc import Threshold
from labrelay.workflows.contradictions import contradictions
from labrelay.workflows.specs import (
    COMMAND,
    FILE_NAME,
    NEXTFLOW,
    READY2RUN,
    FigureSpec,
    InputSource,
    InputSpec,
    MetricSpec,
    NextflowSpec,
    OutputSpec,
    Place,
    ResourcesSpec,
    SamplesheetSpec,
    TableSpec,
)

__all__ = [
    "COMMAND",
    "FILE_NAME",
    "NEXTFLOW",
    "READY2RUN",
    "Definition",
    "InputSource",
    "InputSpec",
    "NextflowSpec",
    "OutputSpec",
    "ResourcesSpec",
    "SamplesheetSpec",
    "find_definitions",
    "load",
]
NAME = r"[a-z][a-z0-9_]{0,62}"
IMAGE = r"^[A-Za-z0-9][A-Za-z0-9_./:@+-]*$"
WORKFLOW = re.compile(rb"^[ \t]*workflow[ \t]+([A-Za-z]\w*)", re.MULTILINE)
MAX_BYTES = 1_000_000


class Definition(Frozen):
    """A loaded definition.

    Attributes:
        name: lower_snake; what rules and commands say.
        version: As its authors count; the digest of the bundle is the identity.
        language: Follows from `main`, `ready2run` and `command`.
        main: The main file, relative to `folder`.
        workflow: The workflow's name in `main`, the prefix of all input names; parameters of Nextflow and inputs of a
            command have no prefix.
        ready2run: HealthOmics' id of a workflow that it keeps ready; then there is no WDL.
        scope: Runs once a `sample` or once a `cohort` of samples.
        runs_on: The kinds of engine that can run it, the first that a home has before the others; none named: all that
            know its language, as the home is set up.
        inputs, outputs: By their names in the workflow, without prefix.
        metrics, thresholds: By the metric's name.
        nextflow, samplesheet: How a Nextflow pipeline is run, and the sheet that it reads.
        command: A program and its arguments, with `{name}` where a value goes; a list within is one unit.
        stdout: The file in the command's work folder that takes what it writes to standard output.
        image: The container image with the command's program.
        resources: What the command needs, or the machine that a whole run gets.
        folder: Where it was loaded from.
    """

    name: str = Field(pattern=f"^{NAME}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$")
    title: str = Field(min_length=1)
    description: str = ""
    language: Literal["WDL", "NEXTFLOW", "READY2RUN", "COMMAND"] = "WDL"
    main: str = "main.wdl"
    workflow: str = Field(pattern=r"^[A-Za-z]\w*$")
    ready2run: str | None = Field(default=None, pattern=r"^[0-9]{1,18}$")
    scope: Literal["sample", "cohort"] = "sample"
    runs_on: tuple[Place, ...] = ()
    inputs: dict[str, InputSpec] = {}
    outputs: dict[str, OutputSpec] = {}
    metrics: dict[str, MetricSpec] = {}
    thresholds: dict[str, Threshold] = {}
    figures: dict[str, FigureSpec] = {}
    tables: dict[str, TableSpec] = {}
    nextflow: NextflowSpec = NextflowSpec()
    samplesheet: SamplesheetSpec | None = None
    command: tuple[str | tuple[str, ...], ...] = ()
    stdout: str | None = None
    image: str | None = Field(default=None, pattern=IMAGE, max_length=255)
    resources: ResourcesSpec = ResourcesSpec()
    folder: Path

    @property
    def prefix(self) -> str:
        """What stands before each input's and output's name where the engine has it: `workflow.`, or nothing."""
        return "" if self.language in (NEXTFLOW, COMMAND) else f"{self.workflow}."

    def qualified(self, name: str) -> str:
        """Return an input's or output's name as the engine wants it: `workflow.name`, or `name` alone."""
        return f"{self.prefix}{name}"


def find_definitions(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the definition folders directly below `folders`, by name."""
    for folder in folders:
        if folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and _is_definition(path))


def load(folder: Path) -> Definition:
    """Load and check the definition in `folder`.

    Raises:
        RefusedInput: With every problem, and the line of `definition.toml` where it is known.
    """
    path = folder / FILE_NAME
    raw = _read_toml(path) if path.is_file() else _bare(folder)
    if "ready2run" in raw:
        raw |= {"language": READY2RUN, "main": FILE_NAME, "workflow": raw.get("name")}
    if "command" in raw:
        raw = {"language": COMMAND, "main": FILE_NAME, "workflow": raw.get("name")} | raw
    raw.setdefault("main", "main.nf" if raw.get("language") == NEXTFLOW else _named_main(folder) or "main.wdl")
    raw.setdefault("language", NEXTFLOW if str(raw["main"]).endswith(".nf") else "WDL")
    raw.setdefault("workflow", _workflow_in(folder / str(raw["main"]), raw["language"]) or raw.get("name"))
    _fill_in_names(raw)
    try:
        definition = Definition.model_validate({**raw, "folder": folder})
    except ValidationError as error:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        raise RefusedInput(f"The definition {folder}", _problems_of(error, text)) from None
    problems = list(contradictions(definition))
    if problems:
        raise RefusedInput(f"The definition {folder}", problems)
    return definition


def _workflow_in(main: Path, language: object) -> str | None:
    if language == NEXTFLOW or not main.is_file():
        return None
    found = WORKFLOW.search(main.read_bytes()[:MAX_BYTES])
    return found[1].decode() if found else None


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
        message = f"There is no {FILE_NAME}, no main.wdl, no main.nf and no single WDL file with a workflow; add one."
        raise RefusedInput(f"The definition {folder}", [Problem(code="DEFINITION_WITHOUT_MAIN", message=message)])
    return {"name": bare_name(folder.name, main), "version": "0", "title": folder.name, "main": main}


def bare_name(title: str, main: str) -> str:
    """Return the name of a definition that says none: its folder's, in lower case with `_` between the words."""
    name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    name = name if name[:1].isalpha() else f"{main.rpartition('.')[2]}_{name}".rstrip("_")
    return name[:63]


def _is_definition(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file() or _main_of(folder) is not None


def _main_of(folder: Path) -> str | None:
    """Return the main file's name for a folder without `definition.toml`, or None."""
    if named := _named_main(folder):
        return named
    found = [path for path in sorted(folder.glob("*.wdl")) if WORKFLOW.search(path.read_bytes()[:MAX_BYTES])]
    return found[0].name if len(found) == 1 else None


def _named_main(folder: Path) -> str | None:
    return next((name for name in ("main.wdl", "main.nf") if (folder / name).is_file()), None)


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
        if where == ["name"] and found["type"] == "string_pattern_mismatch":
            words = "a name has lower-case letters, digits and _, begins with a letter, and no more than 63 of them"
        elif found["type"] == "missing":
            words = "it is missing"
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

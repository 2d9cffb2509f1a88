"""What is wrong or doubtful with a Nextflow pipeline, read from its text: no JVM is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem, Severity
from labrelay.workflows.bundle import bundle_files
from labrelay.workflows.definition import FILE_NAME, Definition
from labrelay.workflows.nextflow.params import MAX_BYTES, Token, tokens_of
from labrelay.workflows.nextflow.schema import SCHEMA_FILE, read_schema

PUBLISHING = {"publishDir", "output", "publish", "storeDir"}
LARGEST_PIPELINE = 20_000_000  # bytes of text that are looked through


def lint_pipeline(definition: Definition) -> Iterator[Problem]:
    """Yield all findings about a pipeline whose definition loads."""
    try:
        text = (definition.folder / definition.main).read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        message = "It is no text in UTF-8, so Nextflow cannot read it; save it as UTF-8."
        yield Problem(code="NEXTFLOW_NOT_TEXT", message=message, path=definition.main)
        return
    except OSError as error:
        yield Problem(code="NEXTFLOW_NOT_TEXT", message=f"It cannot be read: {error.strerror}.", path=definition.main)
        return
    yield from _dialect(text, definition.main)
    yield from _inputs(definition)
    yield from _outputs(definition)
    yield from _published(definition)


def _dialect(text: str, main: str) -> Iterator[Problem]:
    tokens = list(tokens_of(text[:MAX_BYTES]))
    opened = {(one.text, _after(tokens, place)) for place, one in enumerate(tokens) if one.kind == "name"}
    words = {word for word, _ in opened}
    switched = "nextflow" in words and any(_is_switch(tokens, place) for place in range(len(tokens)))
    has_workflow = any(word == "workflow" and (after == "{" or after.isidentifier()) for word, after in opened)
    if switched or (any(word == "process" and after.isidentifier() for word, after in opened) and not has_workflow):
        message = (
            "It is written in DSL1, the old Nextflow language that Nextflow stopped to run with 22.12; "
            "rewrite it in DSL2, with a workflow block that calls its processes."
        )
        yield Problem(code="NEXTFLOW_DSL1", message=message, path=main)


def _after(tokens: list[Token], place: int) -> str:
    return tokens[place + 1].text if place + 1 < len(tokens) else ""


def _is_switch(tokens: list[Token], place: int) -> bool:
    """Tell whether `nextflow.enable.dsl = 1` (or `preview`) begins here."""
    written = "".join(token.text for token in tokens[place : place + 7])
    return written in ("nextflow.enable.dsl=1", "nextflow.preview.dsl=1")


def _inputs(definition: Definition) -> Iterator[Problem]:
    try:
        own = read_schema(definition)
    except RefusedInput as refused:
        yield from refused.problems
        return
    if own is None:
        return
    named = {f"inputs.{name}": name for name, spec in definition.inputs.items() if spec.type is None}
    named |= {"samplesheet.parameter": definition.samplesheet.parameter} if definition.samplesheet else {}
    for where, name in named.items():
        if name not in own[0]:
            message = f"{where}: {SCHEMA_FILE} has no {name}; there are {', '.join(sorted(own[0])) or 'none'}."
            yield Problem(code="INPUT_UNKNOWN", message=message, path=FILE_NAME)


def _outputs(definition: Definition) -> Iterator[Problem]:
    users = [(f"metrics.{name}", spec.output) for name, spec in definition.metrics.items()]
    users += [(f"tables.{name}", table.output) for name, table in definition.tables.items()]
    users += [(f"figures.{name}", figure.output) for name, figure in definition.figures.items()]
    for user, output in users:
        if output not in definition.outputs:
            there = ", ".join(sorted(definition.outputs)) or "none"
            message = f"{user}: {output} is no output of this definition; there are {there}."
            yield Problem(code="OUTPUT_UNKNOWN", message=message, path=FILE_NAME)
    if not definition.outputs:
        message = (
            "It names no outputs; add [outputs.NAME] with a path, so that people see which published file is what."
        )
        yield Problem(code="NEXTFLOW_WITHOUT_OUTPUTS", message=message, path=FILE_NAME, severity=Severity.WARNING)


def _published(definition: Definition) -> Iterator[Problem]:
    """Look for what publishes files, and for the parameter that says where to."""
    words, outdir = _all_words(definition), definition.nextflow.outdir
    if not words & PUBLISHING:
        message = (
            "no process has a publishDir and there is no output block, so that nothing of a run would be kept but what "
            "it prints."
        )
        yield Problem(
            code="NEXTFLOW_PUBLISHES_NOTHING", message=message, path=definition.main, severity=Severity.WARNING
        )
    elif "publishDir" in words and outdir is not None and outdir.rpartition(".")[2] not in words:
        message = (
            f"the parameter {outdir} is nowhere in the pipeline, so that its publishDir may lead elsewhere; name the "
            "parameter of its publish folder as `outdir` in [nextflow]."
        )
        yield Problem(code="NEXTFLOW_OUTDIR_UNKNOWN", message=message, path=definition.main, severity=Severity.WARNING)


def publishes(definition: Definition) -> bool:
    """Tell whether a pipeline means to publish files: by its outputs in the definition, or by its own words."""
    return bool(definition.outputs) or bool(_all_words(definition) & PUBLISHING)


def _all_words(definition: Definition) -> set[str]:
    return {word for path in _sources(definition.folder) for word in _words(path)}


def _sources(folder: Path) -> Iterator[Path]:
    left = LARGEST_PIPELINE
    for name, path in bundle_files(folder):
        if name.suffix in (".nf", ".config") and (left := left - path.stat().st_size) > 0:
            yield path


def _words(path: Path) -> set[str]:
    """Return the names in a file, those inside of `"${…}"` too."""
    found: set[str] = set()
    for token in tokens_of(path.read_text(encoding="utf-8", errors="replace")):
        if token.kind == "name":
            found.add(token.text)
        elif token.kind == "text" and "$" in token.text:
            found.update("".join(c if c.isalnum() or c == "_" else " " for c in token.text).split())
    # `output:` of a process is a list of files, not the block that publishes.
    return found if "output" not in found or _has_output_block(path) else found - {"output"}


def _has_output_block(path: Path) -> bool:
    before: Token | None = None
    for token in tokens_of(path.read_text(encoding="utf-8", errors="replace")):
        if before is not None and before.text == "output" and token.text == "{":
            return True
        before = token
    return False

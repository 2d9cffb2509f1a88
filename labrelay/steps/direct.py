"""Submitting by hand: a workflow on samples, by its definition's mapping, or on files of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import RefusedInput, UsageError
from labrelay.model.experiment import Experiment
from labrelay.model.files import FileRef, FileRole
from labrelay.model.problem import Problem
from labrelay.model.runs import Priority, RunInput, WorkflowVersion, run_id_of, run_key
from labrelay.records import experiments, intake
from labrelay.records.runs import Intent
from labrelay.records.schema import WorkflowRunRow
from labrelay.steps.bundles import bundle_path
from labrelay.steps.home import Home
from labrelay.steps.route import Planned, plan_by_hand
from labrelay.steps.rules import Rule
from labrelay.steps.submit import Composer, Submitted, check_values, commit_intents, result_path
from labrelay.stores.source import open_source, read_through
from labrelay.workflows.definition import Definition
from labrelay.workflows.shapes import files_in, shape_for, with_files
from labrelay.workflows.specs import Place

AD_HOC = "ad-hoc"
HERE = "files"  # the storage of files that lie outside the home; the key is their absolute path
MAX_INPUTS_BYTES = 50_000_000


def submit_direct(
    home: Home,
    workflow: str,
    *,
    subjects: Sequence[str] = (),
    inputs: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    reference: str | None = None,
    version: str | None = None,
    on: Place | None = None,
    priority: Priority = "normal",
    force: bool = False,
) -> Submitted:
    """Submit a workflow by hand; what was asked for before is found, not started again.

    Args:
        home: Where.
        workflow: The definition's name.
        subjects: Samples (for cohort workflows experiments) by name or id, each with all reads that the store has.
            None: the inputs say everything, and the run belongs to the experiment `ad-hoc`.
        inputs: Values by qualified (`workflow.input`) or short name; files as paths.
        settings: `name=value` texts on top of `inputs`; a value is read as what the input's type asks for.
        reference: By name or id, for workflows whose definition wants one.
        version: A published version; the newest by default.
        on: The kind of engine; None leaves it to the definition and the home.
        priority: Before which others it shall go, where the engine can tell.
        force: Compute again what has been computed.

    Raises:
        RefusedInput: Inputs are missing or wrong; carries every problem, and nothing was submitted.
        NotFound: No such workflow, version, reference or sample.
        UsageError: A setting is not `name=value`, a reference goes with no sample, or it cannot run there.
    """
    composer = Composer(home)
    definition, identity, schema = composer.workflow(workflow, version)
    given = {**_qualified(schema, definition, inputs or {}), **_settings(schema, definition, settings)}
    if subjects:
        rule = Rule(
            name="by hand",
            workflow=definition.name,
            version=version,
            reference=reference,
            scope=definition.scope,
            # short names, so that the run is the same one that a rule with these parameters asks for
            parameters={name.removeprefix(definition.prefix): value for name, value in given.items()},
            on=on,
            priority=priority,
        )
        asked = [planned for subject in subjects for planned in plan_by_hand(home, rule, subject)]
        intents = [_raised(home, composer, planned, force) for planned in asked]
    else:
        if reference is not None:
            raise UsageError("--reference goes with --sample: without one, give the reference's files as inputs")
        where = composer.place(definition, on)
        intent = _of_files(home, definition, identity, schema, given, where, force)
        intents = [intent.model_copy(update={"priority": priority})]
    return commit_intents(home, intents, Submitted())


def read_inputs(path: Path) -> dict[str, Any]:
    """Read a JSON file of inputs.

    Raises:
        UsageError: There is no such file.
        RefusedInput: It is no JSON object.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}: `labrelay workflow inputs NAME --template` prints one to fill in")
    try:
        if path.stat().st_size > MAX_INPUTS_BYTES:
            raise ValueError(f"it has more than {MAX_INPUTS_BYTES:,} bytes")
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        problem = Problem(code="NOT_JSON", message=str(error), path=path.name, line=getattr(error, "lineno", None))
        raise RefusedInput(f"the inputs {path}", [problem]) from None
    if not isinstance(found, dict):
        problem = Problem(
            code="NOT_AN_OBJECT", message="it has to be an object: input names and values", path=path.name
        )
        raise RefusedInput(f"the inputs {path}", [problem])
    return found


def _settings(schema: Mapping[str, Any], definition: Definition, settings: Sequence[str]) -> dict[str, Any]:
    """Return the values of `name=value` texts; text stays text where the workflow wants text."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {setting} is not NAME=VALUE")
        qualified = _qualify(schema, definition, name.strip())
        found[qualified] = _value(schema["properties"].get(qualified, {}), text)
    return found


def _value(shape: Mapping[str, Any], text: str) -> Any:
    shape = shape_for(shape, text)
    if shape.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # the check against the schema says what it should have been


def _qualified(schema: Mapping[str, Any], definition: Definition, values: Mapping[str, Any]) -> dict[str, Any]:
    return {_qualify(schema, definition, name): value for name, value in values.items()}


def _qualify(schema: Mapping[str, Any], definition: Definition, name: str) -> str:
    return (
        name
        if name in schema["properties"] or (definition.prefix and name.startswith(definition.prefix))
        else definition.qualified(name)
    )


def _raised(home: Home, composer: Composer, planned: Planned, force: bool) -> Intent:
    """Return the intent, with `force` of the first generation that was not asked for yet."""
    intent = composer.intent(planned)
    while force and _known(home, intent.key):
        intent = composer.intent(planned, intent.generation + 1)
    return intent.model_copy(update={"rule": None})


def _known(home: Home, key: str) -> bool:
    with home.records.read() as session:
        return session.get(WorkflowRunRow, run_id_of(key)) is not None


def _of_files(
    home: Home,
    definition: Definition,
    workflow: WorkflowVersion,
    schema: dict[str, Any],
    given: Mapping[str, Any],
    kind: str,
    force: bool,
) -> Intent:
    inputs = {name: with_files(schema["properties"].get(name, {}), value, _absolute) for name, value in given.items()}
    check_values(definition, schema, inputs)
    files = [
        (name.removeprefix(definition.prefix), index, _identify(path))
        for name, value in inputs.items()
        for index, path in enumerate(_paths(schema["properties"].get(name, {}), value))
    ]
    identities = tuple(RunInput(role=name, index=index, identity=ref.identity) for name, index, ref in files)
    asked: dict[str, Any] = {"parameters": inputs, "samples": []}
    generation = 0
    key = run_key(kind, workflow.digest, asked, identities, generation)
    while force and _known(home, key):
        generation += 1
        key = run_key(kind, workflow.digest, asked, identities, generation)
    experiment = Experiment(name=AD_HOC, title="Runs on files of one's own")
    with home.records.write() as session:
        experiments.announce(session, experiment, [], correct=False)
        intake.add_files(session, [(ref, FileRole.OTHER.value, None) for _name, _index, ref in files])
    return Intent(
        key=key,
        experiment_id=experiment.id,
        samples=(),
        workflow=workflow,
        bundle=str(bundle_path(home, workflow.digest)),
        engine=kind,
        parameters=asked,
        inputs=identities,
        input_files=tuple(files),
        reference_id=None,
        rule=None,
        generation=generation,
        result_path=result_path(experiment, digest([asked])[:8], workflow),
        request_inputs=inputs,
        labels={"experiment": experiment.id},
    )


def _absolute(text: str) -> str:
    """Return a local path made absolute: the engine runs in another folder."""
    return text if "://" in text else str(Path(text).expanduser().absolute())


def _paths(shape: Mapping[str, Any], value: Any) -> Iterator[Path]:
    """Yield the local files in a value, those of a folder by name."""
    for _where, _shape, text in files_in("", shape, value):
        path = Path(text)
        if "://" not in text and path.is_dir():
            yield from sorted(inside for inside in path.rglob("*") if inside.is_file())
        elif "://" not in text and path.is_file():
            yield path


def _identify(path: Path) -> FileRef:
    """Return the identity of a file that stays where it is, behind a link or not. Cost: it is read once."""
    with open_source(path.resolve()) as opened:
        sha256, size = read_through(opened, lambda _chunk: None, ())
    return FileRef(storage=HERE, key=str(path), version=sha256, sha256=sha256, size=size)

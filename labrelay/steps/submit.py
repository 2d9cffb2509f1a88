"""Step 8, submit: inputs are composed and checked, intents are committed, and only then is the engine called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from sqlalchemy.orm import Session

from labrelay.model.errors import LabrelayError, NotFound, UsageError
from labrelay.model.experiment import Experiment
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRef
from labrelay.model.imaging import ImageAt
from labrelay.model.names import slug
from labrelay.model.reads import Reference
from labrelay.model.runs import RunInput, WorkflowVersion, run_key
from labrelay.records import intake, runs
from labrelay.records.runs import Intent
from labrelay.steps.bundles import bundle_path, resolve
from labrelay.steps.eln_signs import sign_runs
from labrelay.steps.home import Home
from labrelay.steps.image_folders import folders_and_table
from labrelay.steps.route import Planned, SampleReads
from labrelay.steps.start import start_intended
from labrelay.workflows.command.values import check as check_command
from labrelay.workflows.definition import COMMAND, Definition
from labrelay.workflows.inputs import ReferenceInputs, SampleInputs, compose_inputs
from labrelay.workflows.places import choose_place
from labrelay.workflows.schema import check_inputs, schema_of

ROLES = ("reads.r1", "reads.r2")
REFERENCE_ROLES = ("reference.fasta",)


@dataclass
class Submitted:
    """What a submit did: the runs' ids in order, how many of them are new, and what could not be asked for."""

    runs: list[str] = field(default_factory=list)
    new: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


class Composer:
    """Turns planned runs into intents; a definition is loaded and a reference looked up once for all of them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._workflows: dict[tuple[str, str | None], tuple[Definition, WorkflowVersion, dict[str, Any]]] = {}
        self._references: dict[str, Reference] = {}

    def intent(self, planned: Planned, generation: int = 0) -> Intent:
        """Return the complete intent of a planned run; nothing is written but a table of images that it takes.

        Raises:
            RefusedInput: Inputs are missing or wrong; carries every problem.
            NotFound: No such workflow, version or reference.
            UsageError: It cannot run where the rule or the person says, or nowhere that this home has.
        """
        rule = planned.rule
        definition, workflow, schema = self.workflow(rule.workflow, rule.version)
        reference = self.reference(rule.reference) if rule.reference else None
        taken = [_taken(definition, reads) for reads in planned.samples]
        samples = [self._sample(definition, reads) for reads in taken]
        inputs = compose_inputs(definition, samples, self._reference_inputs(reference), rule.parameters)
        check_values(definition, schema, inputs)
        files = _files(taken, reference)
        identities = tuple(RunInput(role=name, index=index, identity=ref.identity) for name, index, ref in files)
        who = [[reads.sample.id, reads.sample.revision] for reads in planned.samples]
        asked: dict[str, Any] = {"parameters": rule.parameters, "samples": who}
        engine = self.place(definition, rule.place_for(planned.read_bytes))
        return Intent(
            key=run_key(engine, workflow.digest, asked, identities, generation),
            experiment_id=planned.experiment.id,
            samples=tuple((reads.sample.id, reads.sample.revision) for reads in planned.samples),
            workflow=workflow,
            bundle=str(bundle_path(self.home, workflow.digest)),
            engine=engine,
            parameters=asked,
            inputs=identities,
            input_files=tuple(files),
            reference_id=reference.id if reference else None,
            rule=rule.name,
            generation=generation,
            result_path=result_path(planned.experiment, planned.subject, workflow, planned.label),
            request_inputs=inputs,
            labels={"experiment": planned.experiment.id, "subject": slug(planned.subject)},
            read_sets=tuple(s.id for reads in taken for s in reads.read_sets if not s.in_place),
            priority=rule.priority,
        )

    def workflow(self, name: str, version: str | None) -> tuple[Definition, WorkflowVersion, dict[str, Any]]:
        """Return a definition with its identity and its input schema, and see that it is published."""
        if (name, version) not in self._workflows:
            definition, workflow = resolve(self.home, name, version)
            schema = schema_of(definition)
            content = definition.model_dump(mode="json", exclude={"folder"})
            with self.home.records.write() as session:
                runs.publish(session, workflow, f"bundles/{workflow.digest}.zip", content)
            self._workflows[(name, version)] = (definition, workflow, schema)
        return self._workflows[(name, version)]

    def place(self, definition: Definition, asked: str | None) -> str:
        """Return the kind of engine that a run of the definition gets, when a person or a rule asks for this one.

        Raises:
            UsageError: It does not run there, or the home has no such engine.
        """
        found = choose_place(definition, asked, self.home.engine.kind, self.home.places)
        try:
            self.home.engine_of(found)
        except UsageError as error:
            raise UsageError(f"{definition.name} cannot run on {found}: {error}") from None
        return found

    def reference(self, name: str) -> Reference:
        """Return the newest reference of this name.

        Raises:
            NotFound: There is none.
        """
        if name not in self._references:
            found = self.home.reads.reference(name)
            if found is None:
                raise NotFound(f"there is no reference {name}: add it with `labrelay reference add FILE --name {name}`")
            self._references[name] = found
        return self._references[name]

    def _reference_inputs(self, reference: Reference | None) -> ReferenceInputs | None:
        if reference is None:
            return None
        where = self.home.reads.reference_location
        annotation = where(reference, "annotation") if reference.annotation else None
        return ReferenceInputs(fasta=where(reference), fai=where(reference, "fai"), annotation=annotation)

    def _sample(self, definition: Definition, reads: SampleReads) -> SampleInputs:
        located = [self.home.reads.locations(source.id) for source in reads.read_sets if not source.in_place]
        images = [
            (str(self.home.objects.local_path(ref) or self.home.objects.uri(ref)), at)
            for source in reads.read_sets
            if source.in_place
            for ref, at in zip_longest(source.files, source.images)
        ]
        return SampleInputs(
            name=reads.sample.name,
            id=reads.sample.id,
            r1=tuple(paths[0] for paths in located),
            r2=tuple(paths[1] for paths in located if len(paths) > 1),
            paths=tuple(path for path, _at in images),
            wells=_told(images, "well"),
            fields=_told(images, "field"),
            channels=_told(images, "channel"),
            planes=_told(images, "z"),
            times=_told(images, "t"),
            **folders_and_table(self.home, definition, reads),
        )


def submit_planned(home: Home, planned: Sequence[Planned], composer: Composer | None = None) -> Submitted:
    """Submit planned runs; one that was asked for before is found, not started again.

    One that cannot be composed does not hold up the others. Cost: one transaction for all intents.
    """
    outcome, intents = Submitted(), []
    composer = composer or Composer(home)
    for one in planned:
        try:
            intents.append(composer.intent(one))
        except LabrelayError as error:
            outcome.failed.append((one.subject, str(error)))
    return commit_intents(home, intents, outcome)


def commit_intents(
    home: Home,
    intents: Sequence[Intent],
    outcome: Submitted,
    beside: Callable[[Session], None] | None = None,
) -> Submitted:
    """Write the intents in one transaction, then give the engine what it has not been given.

    A run that cannot be started is told in `outcome.failed` and does not hold up the others.

    Args:
        home: Where.
        intents: Complete intents.
        outcome: What is added to.
        beside: Writes what has to be true together with the intents; when it raises, nothing is written.
    """
    references = [
        (ref, "reference", None) for i in intents for name, _, ref in i.input_files if name in REFERENCE_ROLES
    ]
    with home.records.write() as session:
        if beside is not None:
            beside(session)
        intake.add_files(session, references)
        new = [intent.run_id for intent in intents if runs.intend(session, intent)]
        outcome.new += len(new)
        sign_runs(home, session, "submitted", new)
    outcome.runs += [intent.run_id for intent in intents]
    faultpoint("submit.intended")
    start_intended(home, outcome.failed)
    return outcome


def check_values(definition: Definition, schema: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Raise `RefusedInput` with all problems of a run's inputs, if there are any."""
    check_inputs(schema, inputs)
    if definition.language == COMMAND:
        check_command(definition, inputs)


def result_path(experiment: Experiment, subject: str, workflow: WorkflowVersion, label: str | None = None) -> str:
    """Return where results shall lie: `<experiment>/<sample>/<workflow>-<version>`, with a label behind when given."""
    last = f"{slug(workflow.name)}-{slug(workflow.version)}" + (f"-{slug(label)}" if label else "")
    return f"{slug(experiment.name)}/{slug(subject)}/{last}"


def _taken(definition: Definition, reads: SampleReads) -> SampleReads:
    """Return what a workflow takes of a sample: one of reads alone is none the wiser when images of it come."""
    asked = {spec.source.value.partition(".")[0] for spec in definition.inputs.values()}
    kinds = asked & {"reads", "images", "files"} | ({"reads"} if definition.samplesheet else set())
    if not kinds or ("reads" in kinds and len(kinds) > 1):
        return reads
    mine = tuple(source for source in reads.read_sets if source.in_place == ("reads" not in kinds))
    return reads.model_copy(update={"read_sets": mine})


def _told(images: Sequence[tuple[str, ImageAt | None]], name: str) -> tuple[str, ...]:
    """Return one fact of where each image belongs, as text."""
    found = [getattr(at, name, None) for _path, at in images]
    return tuple("" if each is None else str(each) for each in found)


def _files(samples: Sequence[SampleReads], reference: Reference | None) -> list[tuple[str, int, FileRef]]:
    """Return the input files with the role and index that lineage and the run's key name them by."""
    files: list[tuple[str, int, FileRef]] = []
    sources = [source for reads in samples for source in reads.read_sets]
    for index, source in enumerate(source for source in sources if not source.in_place):
        # Of parts the first stands for the joined file; the others are told beside it.
        more = (f"reads.r1.{part:05d}" for part in range(2, len(source.files) + 1))
        names = ("reads.r1", *more) if source.parts else ROLES
        files += [(name, index, ref) for name, ref in zip(names, source.files, strict=False)]
    in_place = [(source.input_name, ref) for source in sources if source.in_place for ref in source.files]
    files += [(name, index, ref) for index, (name, ref) in enumerate(in_place)]
    if reference is not None:
        files.append(("reference.fasta", 0, reference.fasta))
    return files

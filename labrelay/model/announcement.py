"""What lab software tells us in JSON: an experiment with its samples, or that something happened."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Self

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, WithJsonSchema, model_validator

from labrelay.model.barcodes import BARCODE_PATTERN, spelled
from labrelay.model.experiment import Experiment, Sample
from labrelay.model.problem import Frozen

# No control characters, which would rewrite what a person reads, and no blanks that nobody sees.
LINE_PATTERN = r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$"
LINE_WORDS = "it has to be text without control characters, and without blanks at its ends"
KIND_PATTERN = r"^[a-z][a-z0-9_.-]{0,63}$"
MAX_SAMPLES = 10_000
EXPERIMENT, FOLDER_COMPLETE = "experiment", "run_folder_complete"  # kinds of messages
# How messages came: by the door's two routes, or as webhooks whose bodies are like those of both.
ANNOUNCED, EVENT, OURS = "announcement", "event", "labrelay"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _line(most: int) -> StringConstraints:
    return StringConstraints(min_length=1, max_length=most, pattern=LINE_PATTERN)


Name = Annotated[str, _line(100), AfterValidator(_composed)]
Words = Annotated[str, _line(1000), AfterValidator(_composed)]


# As pydantic would write it, a name that is none could have any value.
Attributes = Annotated[
    dict[Name, Words],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": LINE_PATTERN},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": LINE_PATTERN},
            "maxProperties": 100,
        }
    ),
]


class AnnouncedSample(Frozen):
    """A sample as lab software announces it; what rules route by is `subject`, `assay` and `project`."""

    name: Name = Field(description="the lab's id of the sample, unique in the experiment whatever its case")
    aliases: tuple[Name, ...] = Field((), max_length=20, description="other names that sheets and files use")
    barcode: Annotated[str, StringConstraints(pattern=BARCODE_PATTERN), AfterValidator(spelled)] | None = Field(
        None, description="the index sequence, `ACGT` or `ACGT+TGCA`, or a kit's name for it, such as `barcode01`"
    )
    subject: Name | None = Field(None, description="whom or what it was taken from, without a person's name")
    assay: Name | None = Field(None, description="what is measured")
    project: Name | None = Field(None, description="in whose account")
    attributes: Attributes = Field({}, max_length=100, description="anything else, as text")


class Announcement(Frozen):
    """An experiment and its samples; announcing the same again changes nothing."""

    experiment: Name = Field(description="the experiment's name, unique in this Labrelay")
    title: Words | None = Field(None, description="what people call it")
    owner: Name | None = Field(None, description="who is responsible")
    project: Name | None = Field(None, description="in whose account")
    external_id: Name | None = Field(None, description="its id in the notebook or LIMS")
    samples: tuple[AnnouncedSample, ...] = Field((), max_length=MAX_SAMPLES, description="its samples, or some of them")
    correction: Words | None = Field(
        None,
        description="why samples, or the experiment's title, owner or project, differ from what was announced before; "
        "without it they refuse the whole announcement, with it each such sample gets a new revision and its results "
        "become stale",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen: set[str] = set()
        for sample in self.samples:
            if sample.name.casefold() in seen:
                raise ValueError("two of its samples have the same name")
            seen.add(sample.name.casefold())
        return self

    def parts(self) -> tuple[Experiment, list[Sample]]:
        """Return the experiment and the samples as the records keep them."""
        of_it = self.model_dump(include={"title", "owner", "project", "external_id"})
        experiment = Experiment(name=self.experiment, **of_it)
        return experiment, [Sample(experiment_id=experiment.id, **sample.model_dump()) for sample in self.samples]


class Event(Frozen):
    """Something happened; `data` depends on its kind."""

    kind: Annotated[str, StringConstraints(pattern=KIND_PATTERN)] = Field(
        description="`run_folder_complete`, with `folder` in its data; other kinds are taken and then refused"
    )
    data: dict[str, JsonValue] = Field({}, description="what belongs to the kind")


class FolderComplete(Frozen):
    """The data of `run_folder_complete`: a finished run folder, which has to lie below a landing folder."""

    folder: Words = Field(description="its full path as this Labrelay sees it")

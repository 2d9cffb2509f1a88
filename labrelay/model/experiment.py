"""What the lab announced: an experiment and its samples."""

from __future__ import annotations

from labrelay.model.ids import derived_id
from labrelay.model.problem import Frozen


class Sample(Frozen):
    """An announced sample.

    Attributes:
        experiment_id: `exp_…`; a run taken in without an announcement has an experiment of its own.
        name: The lab's id of the sample, unique in the experiment.
        aliases: Other names that sheets and files use.
        barcode: The index sequence (`ACGT` or `ACGT+TGCA`) or a kit's name for it (`barcode01`) when announced.
        subject, assay, project: What rules route by.
        revision: 1 at first; each correction raises it, which makes results of the earlier ones stale.
        attributes: Any further columns of the announcement, as text.
    """

    experiment_id: str
    name: str
    aliases: tuple[str, ...] = ()
    barcode: str | None = None
    subject: str | None = None
    assay: str | None = None
    project: str | None = None
    revision: int = 1
    attributes: dict[str, str] = {}

    @property
    def id(self) -> str:
        """The id shown to people, `smp_…`; a correction keeps it."""
        return derived_id("smp", self.experiment_id, self.name)


class Experiment(Frozen):
    """An experiment as the ELN, a CSV or a person announced it; `external_id` is its id there."""

    name: str
    title: str | None = None
    owner: str | None = None
    project: str | None = None
    external_id: str | None = None

    @property
    def id(self) -> str:
        """The id shown to people, `exp_…`."""
        return derived_id("exp", self.name)

"""Is a recorded result still what the rules ask for today, and if not, why? Pure comparisons, no IO.

A result is current when today's rules ask for the same workflow bundle, parameters, samples at their revisions and
input files; on which engine it ran, and how often it was forced, does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.runs import RunInput, WorkflowVersion
from labrelay.model.words import counted
from labrelay.records.runs import Intent

Identity = tuple[str, str, str]
READS = "reads."
BY_HAND = (None, "by hand")  # no rule answers for these, so a changed rule does not make them old


@dataclass(frozen=True)
class Recorded:
    """A recorded result: what it was made with."""

    run_id: str
    workflow: WorkflowVersion
    parameters: Mapping[str, Any]
    inputs: tuple[RunInput, ...]
    samples: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    reference_id: str | None
    rule: str | None

    @property
    def signature(self) -> str:
        """See `signature`."""
        return signature(self.workflow.digest, self.parameters, self.inputs)

    @property
    def reads(self) -> frozenset[Identity]:
        """The files of reads that went in."""
        return reads_of(self.inputs)


@dataclass(frozen=True)
class Today:
    """How things stand now: revisions and names of samples, whose reads each file holds, and names of references."""

    revisions: Mapping[str, int]
    names: Mapping[str, str]
    owners: Mapping[Identity, str | None]
    references: Mapping[str, str]


def signature(workflow_digest: str, parameters: Mapping[str, Any], inputs: Sequence[RunInput]) -> str:
    """Return a digest of what was computed on which data, whatever the engine and the generation."""
    ordered = sorted((each.role, each.index, *each.identity) for each in inputs)
    return digest([workflow_digest, dict(parameters), ordered])


def reads_of(inputs: Iterable[RunInput]) -> frozenset[Identity]:
    """Return the identities of the files of reads among a run's inputs."""
    return frozenset(each.identity for each in inputs if each.role.startswith(READS))


def replacement(old: Recorded, intents: Sequence[Intent]) -> Intent | None:
    """Return which of today's intents takes the place of a result: by its rule or workflow, on the same reads.

    Of several, the same rule counts most, then the same samples, then the most reads in common.
    """
    fitting = [
        (new.rule == old.rule, _ids(new.samples) == _ids(old.samples), common, new)
        for new in intents
        if (common := len(old.reads & reads_of(new.inputs)))
        and (new.rule == old.rule or new.workflow.name == old.workflow.name)
    ]
    return max(fitting, key=lambda each: each[:3])[3] if fitting else None


def reasons(old: Recorded, new: Intent | None, today: Today) -> list[str]:
    """Return why a result is out of date, each as a phrase; nothing when only a rule is gone.

    Args:
        old: The result.
        new: What is asked for in its place, if anything.
        today: How things stand now.
    """
    found = [*_corrected(old, today), *_reassigned(old, today)]
    if new is not None:
        found += [
            *_workflow(old, new),
            *_reference(old, new, today),
            *_parameters(old, new),
            *_members(old, new, today),
        ]
        found = found or ["what the rules ask for has changed"]
    return found


def _corrected(old: Recorded, today: Today) -> Iterable[str]:
    for sample_id, revision in old.samples:
        now = today.revisions.get(sample_id, revision)
        if now > revision:
            yield f"sample {today.names.get(sample_id, sample_id)} was corrected (revision {revision}, now {now})"


def _reassigned(old: Recorded, today: Today) -> Iterable[str]:
    mine = _ids(old.samples)
    owners = {today.owners[file] for file in old.reads if file in today.owners}
    for owner in sorted((each for each in owners if each not in mine), key=str):
        to = "nobody" if owner is None else today.names.get(owner, owner)
        yield f"its reads belong to {to} now"


def _workflow(old: Recorded, new: Intent) -> Iterable[str]:
    was, now = old.workflow, new.workflow
    if was.digest == now.digest:
        return
    if (was.name, was.version) == (now.name, now.version):
        yield f"{was.name} {was.version} was changed without a new version"
    else:
        yield f"{now.name} {now.version} is asked for, it was made with {was.name} {was.version}"


def _reference(old: Recorded, new: Intent, today: Today) -> Iterable[str]:
    if old.reference_id == new.reference_id:
        return
    was, now = (today.references.get(r or "", r or "none") for r in (old.reference_id, new.reference_id))
    yield f"the reference {now} has new content" if was == now else f"the reference is {now}, it was {was}"


def _parameters(old: Recorded, new: Intent) -> Iterable[str]:
    was: dict[str, Any] = old.parameters.get("parameters", {})
    now: dict[str, Any] = new.parameters.get("parameters", {})
    changed = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
    if changed:
        told = (f"{name} is {now.get(name, 'default')}, it was {was.get(name, 'default')}" for name in changed)
        yield f"the rule's parameters changed: {', '.join(told)}"


def _members(old: Recorded, new: Intent, today: Today) -> Iterable[str]:
    """Yield what came to the reads and, for a cohort, to the samples."""
    joined = _ids(new.samples) - _ids(old.samples)
    if joined and _ids(old.samples) <= _ids(new.samples):
        yield f"{', '.join(sorted(today.names.get(s, s) for s in joined))} joined the cohort"
    elif joined == set():
        more, fewer = reads_of(new.inputs) - old.reads, old.reads - reads_of(new.inputs)
        if more:
            yield f"{counted(len(more), 'more file')} of reads came in"
        if fewer:
            yield f"{counted(len(fewer), 'file')} of its reads left out now"


def _ids(samples: Iterable[tuple[str, int]]) -> set[str]:
    return {sample_id for sample_id, _revision in samples}

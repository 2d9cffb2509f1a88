"""Is a recorded result still what the rules ask for today, and if not, why? Pure comparisons, no IO.

A result is current when today's rules ask for the same workflow bundle, parameters, samples at their revisions and
input files; on which engine it ran, and how often it was forced, does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labrelay.model.canonical import digest
from labrelay.model.reads import IN_PLACE
from labrelay.model.runs import RunInput, WorkflowVersion
from labrelay.model.words import counted
from labrelay.records.runs import Intent
from labrelay.records.stale import Cause

Identity = tuple[str, str, str]
READS = "reads."
SETS = (READS, *IN_PLACE.values())  # what inputs of a sample are called
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
        """The files of reads, images and their like that went in."""
        return reads_of(self.inputs)


@dataclass(frozen=True)
class Today:
    """How things stand now: revisions and names of samples, whose reads each file holds, and names of references.

    `together` gives for files of a set that has grown all that are in it now.
    """

    revisions: Mapping[str, int]
    names: Mapping[str, str]
    owners: Mapping[Identity, str | None]
    references: Mapping[str, str]
    together: Mapping[Identity, frozenset[Identity]] = field(default_factory=dict)


def signature(workflow_digest: str, parameters: Mapping[str, Any], inputs: Sequence[RunInput]) -> str:
    """Return a digest of what was computed on which data, whatever the engine and the generation."""
    ordered = sorted((each.role, each.index, *each.identity) for each in inputs)
    return digest([workflow_digest, dict(parameters), ordered])


def reads_of(inputs: Iterable[RunInput]) -> frozenset[Identity]:
    """Return the identities of the files of reads, images and their like among a run's inputs."""
    return frozenset(each.identity for each in inputs if each.role.startswith(SETS))


class Reason(NamedTuple):
    """Why a result is out of date: the cause that it is filtered by, and the phrase for people."""

    cause: Cause
    phrase: str


class Asked:
    """What the rules ask for today, found by the reads that it is about."""

    def __init__(self, intents: Sequence[Intent]) -> None:
        self._intents = intents
        self._reads = [reads_of(intent.inputs) for intent in intents]
        self._of: dict[Identity, list[int]] = defaultdict(list)
        for place, reads in enumerate(self._reads):
            for file in reads:
                self._of[file].append(place)

    def replacement(self, old: Recorded) -> Intent | None:
        """Return what takes the place of a result: by its rule or workflow, on the same reads.

        Of several, the same rule counts most, then the same samples, then the most reads in common.
        """
        mine = old.reads
        places = sorted({place for file in mine for place in self._of.get(file, ())})
        fitting = [
            (new.rule == old.rule, _ids(new.samples) == _ids(old.samples), len(mine & self._reads[place]), new)
            for place in places
            if (new := self._intents[place]).rule == old.rule or new.workflow.name == old.workflow.name
        ]
        return max(fitting, key=lambda each: each[:3])[3] if fitting else None


def reasons(old: Recorded, new: Intent | None, today: Today, verb: str = "made") -> list[Reason]:
    """Return why a result is out of date; nothing when only a rule is gone.

    Args:
        old: The result.
        new: What is asked for in its place, if anything.
        today: How things stand now.
        verb: What was done with the workflow of `old`: a result was made with it, a run is planned with it.
    """
    found = [*_corrected(old, today), *_reassigned(old, today)]
    if new is not None:
        found += [
            *_workflow(old, new, verb),
            *_reference(old, new, today),
            *_parameters(old, new),
            *_members(old, new, today),
        ]
        return found or [Reason("rule", "what the rules ask for has changed")]
    return [*found, *_outgrown(old, today)]


def _corrected(old: Recorded, today: Today) -> Iterator[Reason]:
    for sample_id, revision in old.samples:
        now = today.revisions.get(sample_id, revision)
        if now > revision:
            name = today.names.get(sample_id, sample_id)
            yield Reason("sample", f"sample {name} was corrected (revision {revision}, now {now})")


def _reassigned(old: Recorded, today: Today) -> Iterator[Reason]:
    mine = _ids(old.samples)
    if not mine:
        return  # a person named files, whosever they are
    owners = {today.owners[file] for file in old.reads if file in today.owners}
    for owner in sorted((each for each in owners if each not in mine), key=str):
        to = "nobody" if owner is None else today.names.get(owner, owner)
        yield Reason("sample", f"its reads belong to {to} now")


def given_away(old: Recorded, today: Today) -> bool:
    """Tell whether files that a result was made of belong to a sample that is none of its own."""
    return next(_reassigned(old, today), None) is not None


def _workflow(old: Recorded, new: Intent, verb: str) -> Iterator[Reason]:
    was, now = old.workflow, new.workflow
    if was.digest == now.digest:
        return
    if (was.name, was.version) == (now.name, now.version):
        yield Reason("workflow", f"{was.name} {was.version} was changed without a new version")
    else:
        asked = f"{now.name} {now.version} is asked for"
        yield Reason("workflow", f"{asked}, it was {verb} with {was.name} {was.version}")


def _reference(old: Recorded, new: Intent, today: Today) -> Iterator[Reason]:
    if old.reference_id == new.reference_id:
        return
    was, now = (today.references.get(r or "", r or "none") for r in (old.reference_id, new.reference_id))
    same = was == now
    told = f"the reference {now} has new content" if same else f"the reference is {now}, it was {was}"
    yield Reason("reference", told)


def _parameters(old: Recorded, new: Intent) -> Iterator[Reason]:
    was: dict[str, Any] = old.parameters.get("parameters", {})
    now: dict[str, Any] = new.parameters.get("parameters", {})
    changed = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
    if changed:
        told = (f"{name} is {now.get(name, 'default')}, it was {was.get(name, 'default')}" for name in changed)
        yield Reason("rule", f"the rule's parameters changed: {', '.join(told)}")


def _members(old: Recorded, new: Intent, today: Today) -> Iterator[Reason]:
    """Yield what came to the reads and, for a cohort, to the samples."""
    joined = _ids(new.samples) - _ids(old.samples)
    if joined and _ids(old.samples) <= _ids(new.samples):
        names = ", ".join(sorted(today.names.get(s, s) for s in joined))
        yield Reason("reads", f"{names} joined the cohort")
    elif joined == set():
        more, fewer = gained(old, new, today), old.reads - reads_of(new.inputs)
        if more:
            yield _came_in(old, more)
        if fewer:
            yield Reason("reads", f"{counted(len(fewer), 'file')} of its reads left out now")


def gained(old: Recorded, new: Intent | None, today: Today) -> frozenset[Identity]:
    """Return the files that came since to what a result was made of, by what is asked for in its place, if anything."""
    if new is not None:
        return reads_of(new.inputs) - old.reads
    return frozenset[Identity]().union(*(today.together.get(file, ()) for file in old.reads)) - old.reads


def _outgrown(old: Recorded, today: Today) -> Iterator[Reason]:
    """Yield what came since to the sets of which a result holds a part, as a mate that was missing."""
    more = gained(old, None, today)
    if more:
        yield _came_in(old, more)


def _came_in(old: Recorded, more: Sized) -> Reason:
    of = " of reads" if any(each.role.startswith(READS) for each in old.inputs) else ""
    return Reason("reads", f"{counted(len(more), 'more file')}{of} came in")


def causes(why: Sequence[Reason]) -> dict[Cause, str]:
    """Return the phrases of each cause as one text, in the order in which they were found."""
    found: dict[Cause, list[str]] = defaultdict(list)
    for cause, phrase in why:
        found[cause].append(phrase)
    return {cause: "; ".join(phrases) for cause, phrases in found.items()}


def _ids(samples: Iterable[tuple[str, int]]) -> set[str]:
    return {sample_id for sample_id, _revision in samples}

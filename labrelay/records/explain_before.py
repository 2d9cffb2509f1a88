"""The result before this one, and what is different: workflow, parameters, reference, reads, samples, tools, place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from labrelay.model.runs import RunInput
from labrelay.model.states import RunState
from labrelay.model.words import counted
from labrelay.records.explanation import Change
from labrelay.records.schema import AttemptRow, WorkflowRunRow, WorkflowRunSampleRow, WorkflowVersionRow

CANDIDATES = 50  # earlier results of one of the samples that are looked at, the newest first
REFERENCE = "reference."


@dataclass(frozen=True)
class Earlier:
    """An earlier result: its rows, its samples' revisions, and what its engine reported."""

    run: WorkflowRunRow
    version: WorkflowVersionRow
    revisions: Mapping[str, int]
    report: Mapping[str, Any]


def earlier_result(
    session: Session, run: WorkflowRunRow, version: WorkflowVersionRow, samples: Sequence[str]
) -> Earlier | None:
    """Return the newest result that was asked for before this run, of the workflow of this name and just these samples.

    Cost: three queries.
    """
    if not samples:
        return None
    of_one = select(WorkflowRunSampleRow.run_id).where(WorkflowRunSampleRow.sample_id == samples[0])
    query = (
        select(WorkflowRunRow, WorkflowVersionRow)
        .join(WorkflowVersionRow, WorkflowVersionRow.digest == WorkflowRunRow.workflow_digest)
        .where(WorkflowRunRow.id.in_(of_one), WorkflowRunRow.id != run.id, WorkflowVersionRow.name == version.name)
        .where(WorkflowRunRow.state == RunState.COMPLETE.value, WorkflowRunRow.recorded_at.is_not(None))
        .where(WorkflowRunRow.created_at <= run.created_at)
        .order_by(WorkflowRunRow.created_at.desc(), WorkflowRunRow.generation.desc(), WorkflowRunRow.id)
        .limit(CANDIDATES)
    )
    found = session.execute(query).all()
    members: dict[str, dict[str, int]] = defaultdict(dict)
    ids = [row.id for row, _used in found]
    for each in session.scalars(select(WorkflowRunSampleRow).where(WorkflowRunSampleRow.run_id.in_(ids))):
        members[each.run_id][each.sample_id] = each.revision
    for row, used in found:
        if members[row.id].keys() == set(samples):
            reports = select(AttemptRow.report).where(AttemptRow.run_id == row.id).order_by(AttemptRow.number.desc())
            return Earlier(row, used, members[row.id], session.scalars(reports.limit(1)).first() or {})
    return None


def changes(
    earlier: Earlier,
    run: WorkflowRunRow,
    version: WorkflowVersionRow,
    samples: Mapping[str, tuple[str, int]],
    tools: Mapping[str, str],
) -> Iterator[Change]:
    """Yield what is different, each as a phrase; nothing when it was only computed again.

    Args:
        earlier: The result before.
        run, version: This one.
        samples: Name and revision of each, by id.
        tools: Versions of this one's tools.
    """
    yield from _workflow(earlier.version, version)
    yield from _parameters(earlier.run, run)
    if earlier.run.reference_id != run.reference_id:
        yield Change(
            what="reference",
            phrase=f"the reference is {_or_none(run.reference_id)}, it was {_or_none(earlier.run.reference_id)}",
        )
    yield from _inputs(earlier.run, run)
    for sample, (name, revision) in sorted(samples.items(), key=lambda each: each[1]):
        if (was := earlier.revisions[sample]) != revision:
            yield Change(what="sample", phrase=f"sample {name} was corrected: revision {revision}, it was {was}")
    yield from _tools(earlier.report.get("tools") or {}, tools)
    if earlier.run.engine != run.engine:
        verb = "ran" if RunState(run.state).terminal else "runs"
        phrase = f"it {verb} on {run.engine}, the one before on {earlier.run.engine}"
        yield Change(what="place", phrase=phrase)
    if earlier.run.rule != run.rule:
        yield Change(what="rule", phrase=f"it was asked for {_by(run.rule)}, the one before {_by(earlier.run.rule)}")


def _workflow(was: WorkflowVersionRow, now: WorkflowVersionRow) -> Iterator[Change]:
    if was.digest == now.digest:
        return
    if was.version != now.version:
        yield Change(what="workflow", phrase=f"{now.name} is version {now.version}, it was {was.version}")
    else:
        bundles = f"bundle {now.digest[:12]}, it was {was.digest[:12]}"
        yield Change(what="workflow", phrase=f"{now.name} {now.version} was changed without a new version ({bundles})")
    old, new = was.content.get("thresholds") or {}, now.content.get("thresholds") or {}
    moved = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    if moved:
        yield Change(what="limits", phrase=f"other limits are set for {', '.join(moved)}")


def _parameters(was: WorkflowRunRow, now: WorkflowRunRow) -> Iterator[Change]:
    old: Mapping[str, Any] = was.parameters.get("parameters", {})
    new: Mapping[str, Any] = now.parameters.get("parameters", {})
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            before, after = old.get(name, "the default"), new.get(name, "the default")
            yield Change(what="parameters", phrase=f"{name} is {after}, it was {before}")


def _inputs(was: WorkflowRunRow, now: WorkflowRunRow) -> Iterator[Change]:
    old, new = _identities(was), _identities(now)
    if more := len(new - old):
        yield Change(what="reads", phrase=f"{counted(more, 'file')} came to its inputs")
    if fewer := len(old - new):
        yield Change(what="reads", phrase=f"{counted(fewer, 'file')} of its inputs left")


def _identities(run: WorkflowRunRow) -> set[tuple[str, str, str]]:
    given = (RunInput.model_validate(each) for each in run.inputs)
    return {each.identity for each in given if not each.role.startswith(REFERENCE)}


def _tools(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(was.keys() & now.keys()):
        if was[name] != now[name]:
            yield Change(what="tools", phrase=f"{name} is {now[name]}, it was {was[name]}")


def _or_none(name: str | None) -> str:
    return name or "none"


def _by(rule: str | None) -> str:
    return f"by the rule {rule}" if rule else "by hand"

"""What has changed since a plan of reruns was shown: which of its runs are not asked for any more, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from labrelay.model.words import counted
from labrelay.records import plans
from labrelay.records.plans import Step
from labrelay.records.runs import Intent
from labrelay.steps.home import Home
from labrelay.steps.reprocess import intents_after, today_of
from labrelay.steps.reprocess_plans import as_planned
from labrelay.steps.staleness import Asked, reasons
from labrelay.steps.submit import Composer

TOLD = 3  # changes that fit into a sentence


def asked_now(home: Home, steps: Sequence[Step]) -> tuple[dict[str, Intent], list[str]]:
    """Return what the rules ask for now after the instrument runs of these items, by run id, and what is wrong."""
    composer, problems = Composer(home), list[str]()
    found: dict[str, Intent] = {}
    for origin in dict.fromkeys(step.origin for step in steps):
        found |= {intent.run_id: intent for intent in intents_after(home, composer, origin, problems)}
    return found, problems


def changed_since(home: Home, plan_id: str, waiting: Sequence[Step]) -> dict[str, str]:
    """Return what has changed since the plan was shown, for those of its runs that are not asked for any more."""
    asked, problems = asked_now(home, waiting)
    gone = [step for step in waiting if step.run_id not in asked]
    return changes_of(home, plan_id, gone, list(asked.values()), problems) if gone else {}


def changes_of(
    home: Home, plan_id: str, gone: Sequence[Step], intents: Sequence[Intent], problems: Sequence[str]
) -> dict[str, str]:
    """Return the reasons why these runs are not among what is asked for now."""
    now_asked, changes = Asked(intents), dict[str, str]()
    with home.records.read() as session:
        shown = plans.asked_of(session, plan_id, [step.run_id for step in gone])
        today = today_of(home, session)
    for step in gone:
        was = as_planned(step.run_id, shown[step.run_id])
        told = [reason.phrase for reason in reasons(was, now_asked.replacement(was), today, "planned")]
        wrong = [problem for problem in problems if problem.startswith(f"{step.subject}: ")]
        changes[step.run_id] = "; ".join(told or wrong) or "no rule asks for it any more"
    return changes


def told_of(changed: Mapping[str, str], steps: Sequence[Step]) -> str:
    """Return what has changed as one sentence, the most frequent first."""
    subjects = {step.run_id: step.subject for step in steps}
    first: dict[str, str] = {}
    for run_id, why in changed.items():
        first.setdefault(why, subjects.get(run_id, run_id))
    often = Counter(changed.values()).most_common(TOLD)
    told = [f"{why} ({first[why]}{f' and {n - 1} more' if n > 1 else ''})" for why, n in often]
    more = f" and {len(first) - TOLD} other changes" if len(first) > TOLD else ""
    verb = "is" if len(changed) == 1 else "are"
    return f"{counted(len(changed), 'run')} of it {verb} not asked for any more, because {'; '.join(told)}{more}"

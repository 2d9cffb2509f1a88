"""More functions behind `import labrelay`: what is out of date, reruns, and quality over time."""

from __future__ import annotations

from labrelay.face import Where, opened_home
from labrelay.model.progress import Progress
from labrelay.records import stale as stale_records
from labrelay.records.plans import Bounds
from labrelay.records.qc_context import SeriesWanted
from labrelay.records.stale import Cause, Stale, Wanted
from labrelay.steps import reprocess as comparing
from labrelay.steps import reprocess_run
from labrelay.steps import trends as following
from labrelay.steps.reprocess_plans import Made, make
from labrelay.steps.reprocess_run import Reprocessed
from labrelay.steps.trends import Trend


def stale(
    cause: Cause | None = None,
    *,
    workflow: str | None = None,
    experiment: str | None = None,
    since: str | None = None,
    home: Where = None,
) -> list[Stale]:
    """Return what was marked out of date, a row a result and cause; `reprocess_plan` compares anew and marks.

    Args:
        cause: `workflow`, `reference`, `rule`, `sample` or `reads`.
        workflow: Only results of the workflow of this name.
        experiment: Only this experiment's (name or id).
        since: Only what became out of date then or later, ISO 8601 in UTC.
        home: The home folder.

    Example:
        >>> labrelay.stale("workflow")
        []
    """
    with opened_home(home) as opened, opened.records.read() as session:
        wanted = Wanted(cause=cause, workflow=workflow, experiment=experiment, since=since)
        return stale_records.stale(session, wanted)


def reprocess_plan(
    *, wanted: Wanted | None = None, bounds: Bounds | None = None, home: Where = None, progress: Progress | None = None
) -> Made:
    """Compare results with what the rules ask for today, and keep what would be rerun as a plan; nothing runs.

    Args:
        wanted: Which of the results that are out of date the plan is about.
        bounds: How many runs, for how much money, how many at one time, and when to stop.
        home: The home folder.
        progress: Who is told how it goes.

    Example:
        >>> made = labrelay.reprocess_plan()
        >>> made.expected.results, made.id  # nothing is out of date
        (0, None)
    """
    with opened_home(home, progress) as opened:
        return make(opened, comparing.plan(opened, wanted), bounds, wanted)


def reprocess(
    plan: str | None = None,
    *,
    resume: bool = False,
    wait: bool = False,
    home: Where = None,
    progress: Progress | None = None,
) -> Reprocessed:
    """Run exactly what a plan has shown, or go on with the plans that are under way.

    Args:
        plan: Its id, from `reprocess_plan`; without one those under way go on.
        resume: Go on with a plan that is held or out of date.
        wait: Return when it has ended or is held.
        home: The home folder.
        progress: Who is told how it goes.

    Example:
        >>> labrelay.reprocess().new
        0
    """
    with opened_home(home, progress) as opened:
        if plan is None:
            return reprocess_run.work_all(opened, reprocess_run.under_way(opened), wait=wait)
        begin = reprocess_run.resume if resume else reprocess_run.start
        return reprocess_run.work(opened, begin(opened, plan), wait=wait)


def trends(
    metric: str,
    *,
    instrument: str | None = None,
    assay: str | None = None,
    workflow: str | None = None,
    since: str | None = None,
    home: Where = None,
) -> list[Trend]:
    """Return a metric over time, by instrument, assay and workflow, each value beside its control limits.

    Args:
        metric: Its name, such as `mean_depth`.
        instrument: Only this one's (its serial number).
        assay: Only this assay's.
        workflow: Only this workflow's.
        since: Only runs of then or later, ISO 8601 in UTC; limits come from those before, too.
        home: The home folder.

    Example:
        >>> [trend] = labrelay.trends("read_pairs")
        >>> sorted(point.value for point in trend.points), trend.limits  # 8 values are needed for limits
        ([30.0, 50.0], None)
    """
    wanted = SeriesWanted(metric=metric, instrument=instrument, assay=assay, workflow=workflow, since=since)
    with opened_home(home) as opened:
        return following.trends(opened, wanted)

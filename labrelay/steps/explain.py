"""Explaining a result: what a person calls it is found, and the records say everything about it."""

from __future__ import annotations

from labrelay.model.errors import NotFound
from labrelay.model.names import printable
from labrelay.records import explain as explaining
from labrelay.records.explanation import Explanation
from labrelay.steps.home import Home
from labrelay.steps.named_result import find_result


def explain(home: Home, text: str, metric: str | None = None) -> Explanation:
    """Return what explains a result, read from one consistent state. Cost: some twenty queries, whatever its size.

    Args:
        home: Where.
        text: As `find_result` takes it: an id, a sample's name (`SAMPLE/WORKFLOW` for one of its results), or a path.
        metric: One of the result's numbers that is asked about in particular.

    Raises:
        NotFound: There is no such thing, or the result has no such number.
        UsageError: It could mean several results, or it is no result.
    """
    with home.records.read() as session:
        run, file = find_result(home, session, text)
        told = explaining.explain(session, run)
    known = home.reads.reference(told.reference.id) if told.reference and told.reference.id else None
    if told.reference is not None and known is not None:
        told = told.model_copy(update={"reference": told.reference.model_copy(update={"name": known.name})})
    return _about(told, file, metric)


def _about(told: Explanation, file: str | None, metric: str | None) -> Explanation:
    if metric is not None and metric not in {each.name for each in told.metrics}:
        names = ", ".join(dict.fromkeys(each.name for each in told.metrics)) or "none"
        raise NotFound(f"{told.run_id} has no number {printable(metric)}; it has {names}")
    output = next((each for each in told.outputs if each.id == file), None)
    return told.model_copy(update={"file": output, "metric": metric})

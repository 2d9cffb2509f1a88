"""`labrelay results`: list, show, get, export, override."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labrelay.cli.show import current_home, emit, json_option, size_text, table, wants_json
from labrelay.cli.tables import show_results, when_text
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.steps.results import Shown


@click.group()
def results() -> None:
    """Results: list, show, get, export, override."""


@results.command("list")
@click.option("--experiment", help="only this experiment's (name or id)")
@click.option("--all", "superseded", is_flag=True, help="those too that a newer result has replaced")
@json_option
def list_results(experiment: str | None, superseded: bool) -> None:
    """List the newest results, one line each, and which of them are out of date."""
    from labrelay.steps.results import results_table

    rows = results_table(current_home(), experiment, superseded=superseded)
    if wants_json():
        emit([row.model_dump(mode="json") for row in rows])
    else:
        show_results(rows, "no results yet; labrelay status says what runs")


@results.command()
@click.argument("result", metavar="RUN|SAMPLE[/WORKFLOW]")
@json_option
def show(result: str) -> None:
    """Show one result: its numbers with their thresholds, its files, its report."""
    from labrelay.steps.results import show_result

    found = show_result(current_home(), result)
    if wants_json():
        emit({**found.model_dump(mode="json", exclude={"documents"}), "documents": _documents(found)})
        return
    _show_numbers(found)
    click.echo()
    files = [(f.name, f.ref.name, size_text(f.ref.size), f.ref.id) for f in found.result.outputs]
    table(["output", "file", "size", "id"], files, "no files were kept")
    click.echo(f"\nfolder: {found.folder}")
    for document in _documents(found):
        kind = "figure, " if document["media_type"] == "image/svg+xml" else ""
        click.echo(f"{kind}{document['title'].lower()}: {document['path']}")


def _documents(found: Shown) -> list[dict[str, str]]:
    return [{"title": d.title, "path": str(d.path), "media_type": d.media_type} for d in found.documents]


def _show_numbers(found: Shown) -> None:
    from labrelay.records.documents import heading, threshold_text, with_unit

    result = found.result
    click.echo(f"{printable(result.title)}: {result.verdict.value}  ({result.run_id}, {when_text(result.ended)} UTC)")
    if result.override is not None:
        from labrelay.records.tables import override_text

        click.echo(printable(f"set by a person, {override_text(result.override)}", 400))
    if result.because:
        click.echo(f"in place of {', '.join(result.replaces)}: {printable(result.because, 400)}")
    if found.replaced_by:
        click.echo(f"superseded by {found.replaced_by}: {printable(found.stale or 'it was asked for again', 400)}")
    elif found.stale:
        click.echo(f"out of date: {printable(found.stale)}; labrelay reprocess --plan")
    bounds = {threshold.metric: threshold for threshold in result.thresholds}
    rows = [
        (
            heading(metric.name, result.labels),
            with_unit(metric.value, metric.unit),
            result.verdicts[metric.name].value if metric.name in result.verdicts else None,
            threshold_text(bounds[metric.name], metric.unit) if metric.name in bounds else None,
        )
        for metric in result.metrics
    ]
    click.echo()
    table(["metric", "value", "verdict", "threshold"], rows, "the workflow gives no numbers")


@results.command()
@click.argument("result", metavar="RUN|SAMPLE[/WORKFLOW]")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="the folder to copy into")
@json_option
def get(result: str, target: Path) -> None:
    """Copy a result's files, report and provenance crate into a folder."""
    from labrelay.steps.results import get_result

    paths = get_result(current_home(), result, target)
    if wants_json():
        emit([str(path) for path in paths])
    else:
        size = sum(path.stat().st_size for path in paths)
        click.echo(f"{counted(len(paths), 'file')} ({size_text(size)}) copied to {_common(paths)}")


def _common(paths: list[Path]) -> Path:
    import os.path

    return Path(os.path.commonpath([path.parent for path in paths]))


@results.command()
@click.argument("experiment")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="FILE.csv, FILE.xlsx or FILE.eln")
@json_option
def export(experiment: str, target: Path) -> None:
    """Write an experiment's results as a table (.csv, .xlsx) or as a notebook archive (.eln)."""
    from labrelay.steps.results import export_results

    made = export_results(current_home(), experiment, target)
    if wants_json():
        emit({"path": str(made.path), "title": made.title, "media_type": made.media_type})
    else:
        click.echo(f"{made.title}: {made.path} ({size_text(made.path.stat().st_size)})")


@results.command()
@click.argument("result", metavar="RUN|SAMPLE[/WORKFLOW]")
@click.option("--verdict", type=click.Choice(["pass", "warn", "fail"]), required=True, help="what it shall be")
@click.option("--reason", required=True, help="why, for the record and the notebook")
@json_option
def override(result: str, verdict: str, reason: str) -> None:
    """Set the verdict of a result as a person; what was computed stays beside it.

    The report, the tables and the notebook entry say who did it and why.
    """
    from labrelay.model.qc import Verdict
    from labrelay.steps.override import override_verdict

    run_id, done = override_verdict(current_home(), result, Verdict(verdict), reason)
    if wants_json():
        emit({"run": run_id, **done.model_dump(mode="json")})
    else:
        click.echo(f"{run_id}: {done.verdict.value} (computed: {done.computed.value}); tell with: labrelay deliver")

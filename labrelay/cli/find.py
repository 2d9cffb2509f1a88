"""Commands that find things again and explain them: explain, lineage, search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from labrelay.cli.show import current_home, emit, json_option, table, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.records.lineage import Graph

KINDS = ("experiment", "sample", "instrument run", "workflow run", "file")  # as records.search has them


@click.command()
@click.argument("thing", metavar="ID|NAME")
@click.option("--up", "asked", flag_value="up", help="what it came from (the default of the text)")
@click.option("--down", "asked", flag_value="down", help="what was made of it")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="write a page with picture and table")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="write the picture")
@json_option
def lineage(thing: str, asked: Literal["up", "down"] | None, html: Path | None, svg: Path | None) -> None:
    """Say where something came from, or what was made of it.

    A page or picture (`--html`, `--svg`) shows both, unless one is asked for.

    ID is any id (`smp_…`, `run_…`, `fil_…`), the beginning of one, or the name of a sample, experiment, instrument run
    or file, or SAMPLE/WORKFLOW of a result. Files are those that went into a workflow run and that it gave, and its
    provenance crate; what Labrelay writes from them (report, figures, tables) is listed by `labrelay results show`.
    """
    from labrelay.records.lineage import around
    from labrelay.records.lineage import lineage as walk
    from labrelay.records.lineage_text import tree
    from labrelay.steps.named_result import find_thing

    home = current_home()
    with home.records.read() as session:
        thing = find_thing(home, session, thing)
        if html or svg:
            _draw(around(session, thing) if asked is None else walk(session, thing, asked), html, svg)
            return
        direction = asked or "up"
        graph = walk(session, thing, direction)
    if wants_json():
        emit(graph.model_dump(mode="json"))
        return
    click.echo(tree(graph), nl=False)
    if len(graph.nodes) == 1:
        click.echo(f"nothing is known {'above' if direction == 'up' else 'below'} it")
    if direction == "up":
        click.echo(f"what was made of it: labrelay lineage {graph.root} --down")
        return
    click.echo(f"where it came from: labrelay lineage {graph.root}")
    crates = [edge.source for edge in graph.edges if edge.role == "crate"]
    if crates:
        click.echo(f"reports, figures and tables lie beside a run's files: labrelay results show {crates[0]}")


def _draw(graph: Graph, html: Path | None, svg: Path | None) -> None:
    from labrelay.records.report.lineage_page import lineage_html, lineage_svg, write

    made = [write(path, draw(graph)) for path, draw in ((html, lineage_html), (svg, lineage_svg)) if path is not None]
    if wants_json():
        emit([str(path) for path in made])
        return
    for path in made:
        click.echo(f"{counted(len(graph.nodes), 'thing')} drawn: {path}")


@click.command()
@click.argument("result", metavar="RUN|SAMPLE[/WORKFLOW]|FILE|PATH")
@click.argument("metric", required=False)
@json_option
def explain(result: str, metric: str | None) -> None:
    """Explain a result in plain sentences.

    Which reads, which reference, which workflow; who asked for it and by which rule; where it ran and what it took; how
    it was judged and by which limits; whether it is out of date; and what is different from the result before it.
    METRIC is one of its numbers, such as `mean_depth`.
    """
    from labrelay.records.explanation_text import sentences, title
    from labrelay.steps.explain import explain as tell

    told = tell(current_home(), result, metric)
    if wants_json():
        emit(told.model_dump(mode="json"))
        return
    click.echo(title(told))
    for part in sentences(told):
        click.echo(f"\n{part.heading}")
        for sentence in part.sentences:
            click.echo(f"  {sentence}")


@click.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--kind", type=click.Choice(KINDS), help="look for this kind only")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True, help="at most so many")
@json_option
def search(text: tuple[str, ...], kind: Literal["sample"] | None, limit: int) -> None:
    """Find experiments, samples, runs and files by words, or their beginnings, of what is known of them.

    All words have to fit. Fields narrow it: `state:COMPLETE`, `verdict:fail`, `workflow:NAME`, `platform:NAME`,
    `role:NAME`, `experiment:NAME`, `assay:NAME`, `project:NAME`, `stale:yes`, `month:2026-11`. To find nothing is an
    answer too: exit code 0.
    """
    from labrelay.records.search import refuse_unknown_fields, unknown_values
    from labrelay.records.search import search as find

    asked = " ".join(text)
    home = current_home()
    refuse_unknown_fields(asked)
    with home.records.read() as session:
        found = find(session, asked, kind, limit)
        unknown = [] if found.hits else unknown_values(session, asked)
    if wants_json():
        emit(found.model_dump(mode="json"))
        return
    rows = [(hit.kind, hit.name, hit.state, hit.detail, hit.at[:16].replace("T", " "), hit.id) for hit in found.hits]
    table(["kind", "name", "state", "detail", "since (UTC)", "id"], rows, f"nothing fits {printable(asked)}")
    for sentence in unknown:
        click.echo(sentence)
    more = sum(found.totals.values()) - len(found.hits)
    if more > 0 or found.more:
        there = ", ".join(_counted(count, name, name in found.more) for name, count in found.totals.items() if count)
        least = "at least " if found.more else ""
        click.echo(
            f"… and {least}{more:,} more, of {there}: narrow it with --kind or a field, or --limit "
            f"{min(2 * limit, 1000)}"
        )


def _counted(count: int, name: str, more: bool) -> str:
    """Return how many there are in words; `2,000+ files` where the counting stopped."""
    told = counted(count, name)
    return told.replace(" ", "+ ", 1) if more else told

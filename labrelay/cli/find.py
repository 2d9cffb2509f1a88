"""Commands that find things again: lineage, search."""

from __future__ import annotations

from typing import Literal

import click

from labrelay.cli.show import current_home, emit, json_option, table, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

KINDS = ("experiment", "sample", "instrument run", "workflow run", "file")  # as records.search has them


@click.command()
@click.argument("thing", metavar="ID|NAME")
@click.option("--up", "direction", flag_value="up", default=True, help="what it came from (the default)")
@click.option("--down", "direction", flag_value="down", help="what was made of it")
@json_option
def lineage(thing: str, direction: Literal["up", "down"]) -> None:
    """Say where something came from, or what was made of it.

    ID is any id (`smp_…`, `run_…`, `fil_…`), the beginning of one, or the name of a sample, experiment, instrument run
    or file. Files are those that went into a workflow run and that it gave, and its provenance crate; what Labrelay
    writes from them (report, figures, tables) is listed by `labrelay results show`.
    """
    from labrelay.records.lineage import lineage as walk
    from labrelay.records.lineage_text import tree

    with current_home().records.read() as session:
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
    from labrelay.records.search import refuse_unknown_fields
    from labrelay.records.search import search as find

    asked = " ".join(text)
    home = current_home()
    refuse_unknown_fields(asked)
    with home.records.read() as session:
        found = find(session, asked, kind, limit)
    if wants_json():
        emit(found.model_dump(mode="json"))
        return
    rows = [(hit.kind, hit.name, hit.state, hit.detail, hit.at[:16].replace("T", " "), hit.id) for hit in found.hits]
    table(["kind", "name", "state", "detail", "since (UTC)", "id"], rows, f"nothing fits {printable(asked)}")
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

"""Commands that find things again: lineage, search."""

from __future__ import annotations

from typing import Literal

import click

from labrelay.cli.show import current_home, emit, json_option, table, wants_json
from labrelay.model.names import printable

KINDS = ("experiment", "sample", "instrument run", "workflow run", "file")  # as records.search has them


@click.command()
@click.argument("thing", metavar="ID|NAME")
@click.option("--up", "direction", flag_value="up", default=True, help="what it came from (the default)")
@click.option("--down", "direction", flag_value="down", help="what was made of it")
@json_option
def lineage(thing: str, direction: Literal["up", "down"]) -> None:
    """Say where something came from, or what was made of it.

    ID is any id (`smp_…`, `run_…`, `fil_…`), the beginning of one, or the name of a sample, experiment, instrument run
    or file.
    """
    from labrelay.records.lineage import lineage as walk
    from labrelay.records.lineage_text import tree

    with current_home().records.read() as session:
        graph = walk(session, thing, direction)
    if wants_json():
        emit(graph.model_dump(mode="json"))
    else:
        click.echo(tree(graph), nl=False)
        if len(graph.nodes) == 1:
            other = "--down" if direction == "up" else "--up"
            click.echo(f"nothing is known {'above' if direction == 'up' else 'below'} it; try {other}")


@click.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--kind", type=click.Choice(KINDS), help="look for this kind only")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True, help="at most so many")
@json_option
def search(text: tuple[str, ...], kind: Literal["sample"] | None, limit: int) -> int:
    """Find experiments, samples, runs and files by parts of their names.

    All words have to fit; `state:COMPLETE`, `verdict:fail`, `workflow:NAME` and their like narrow it. Exit code 1 when
    nothing is found.
    """
    from labrelay.records.search import search as find

    with current_home().records.read() as session:
        found = find(session, " ".join(text), kind, limit)
    if wants_json():
        emit(found.model_dump(mode="json"))
        return 0 if found.hits else 1
    rows = [(hit.kind, hit.name, hit.state, hit.detail, hit.at[:16].replace("T", " "), hit.id) for hit in found.hits]
    table(["kind", "name", "state", "detail", "since (UTC)", "id"], rows, f"nothing fits {printable(' '.join(text))}")
    counts = {name: count for name, count in found.totals.items() if count}
    if sum(counts.values()) > len(found.hits):
        click.echo(
            f"… of {', '.join(f'{count:,} {name}s' for name, count in counts.items())}; narrow it or raise --limit"
        )
    return 0 if found.hits else 1

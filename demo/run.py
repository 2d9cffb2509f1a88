"""The demo: a MiSeq run folder with real reads, and a real plate, become recorded, explained results in one home.

Run by `make demo`; run again it does no work twice. It starts a local Prefect server so that the flow runs can be
looked at, and leaves it running (`make clean-demo` stops it); with `--no-prefect` it does the same work directly.

With `--healthomics` (`make demo-healthomics`) the same steps run through S3 and HealthOmics, answered for by the
emulator that comes with Labrelay: reads go into a sequence store, runs of a private workflow read them there and write
to S3.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labrelay.cli.show import cell_text
from labrelay.cli.tables import BREADTH
from labrelay.cli.terminal import TerminalProgress
from labrelay.flows import server
from labrelay.flows.dispatch import run_as_flow
from labrelay.model.errors import LabrelayError, MissingTool
from labrelay.steps.announce import announce
from labrelay.steps.collect import wait_for
from labrelay.steps.direct import submit_direct
from labrelay.steps.home import Home, init_home, open_home
from labrelay.steps.process import Processed, process
from labrelay.steps.results import ResultRow, results_table, show_result
from labrelay.steps.rules import FILE as RULES
from labrelay.steps.settings import load_settings
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.nextflow import runtime

HERE = Path(__file__).parent
RUN = HERE / "run" / "231108_M04586_0992_000000000-L7342"
PLATE = HERE / "plate" / "AS_09125_050116030001"
REFERENCE = HERE / "MH356245.1.reference.fasta"
HEALTHOMICS, DONE = "healthomics", "done.txt"
WDL, TWIN, CELLS = "viral_variants", "viral_variants_nf", "cell_count"
COMPARED = ("metrics.json", "variants.tsv", "consensus.fasta")
DIFFERENT = "its results are not those of WDL, see labrelay runs list"
BUCKET, ROLE = "labrelay-demo", "arn:aws:iam::123456789012:role/labrelay-runs"
COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Counted:
    """A plate's result: how many images went in, and how many nuclei were found."""

    row: ResultRow
    images: int
    cells: float | None


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, default=Path("demo-home"))
    parser.add_argument("--prefect", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--healthomics", action="store_true", help="through the emulator of HealthOmics, without Prefect"
    )
    chosen = parser.parse_args()
    home: Path = chosen.home / HEALTHOMICS if chosen.healthomics else chosen.home
    console = Console(record=True, highlight=False, width=110 if not sys.stdout.isatty() else None)
    started = time.monotonic()
    try:
        if chosen.healthomics:
            prepare_healthomics(home.resolve(), console)
        outcome, rows, api = run(home.resolve(), console, prefect=chosen.prefect and not chosen.healthomics)
        plate, plates = (Processed("", PLATE.name), []) if chosen.healthomics else with_images(home.resolve(), console)
        twin = None if chosen.healthomics or outcome.failed else through_nextflow(home.resolve(), console, rows)
    except LabrelayError as error:
        Console(stderr=True).print(Text(f"demo: {error}"))
        return error.exit_code
    show(console, home, outcome, rows, api, twin, plates)
    stored, submitted = outcome.stored + plate.stored, outcome.submitted + plate.submitted
    done = f"stored {stored} · imported {outcome.imported} · submitted {submitted}"
    console.print(f"{done}   [dim]{time.monotonic() - started:.0f} s[/]")
    save_screen(console, home / "demo-screen.svg")
    if chosen.healthomics and not outcome.failed:
        said = f"{len(rows)} results on {datetime.now(UTC):%Y-%m-%d}, see {home / 'results'}"
        (home / DONE).write_text(said, encoding="utf-8")
    failed = outcome.failed or plate.failed or len(rows) != 2 or (not plates and not chosen.healthomics)
    return 1 if failed or twin == DIFFERENT else 0


def run(path: Path, console: Console, *, prefect: bool) -> tuple[Processed, list[ResultRow], str | None]:
    """Do the main job and return what it did, the results, and the Prefect server's address."""
    if init_home(path):
        (path / RULES).write_bytes((HERE / RULES).read_bytes())
    with TerminalProgress(console) as progress:
        home = open_home(path, progress)
        api = start_prefect(home) if prefect else None
        if isinstance(home.engine, LocalEngine):
            progress.done("sandbox", f"tasks run in {home.engine.sandbox}")
        add_reference(home)
        announced = announce(home, HERE / "samples.csv")
        names = [n for a in announced for n in (*a.added, *a.unchanged)]
        progress.done("announce", f"{announced[0].experiment.name}: {', '.join(names)}")
        outcome = taken_in(home, RUN, progress)
        rows = [row for row in results_table(home) if row.workflow.startswith(f"{WDL} ")]
        home.close()
    return outcome, rows, api


def taken_in(home: Home, folder: Path, progress: TerminalProgress) -> Processed:
    """Take a run's folder all the way, as a flow where Prefect is up."""
    return run_as_flow(
        home,
        "process_run",
        lambda: process(home, folder),
        lambda line: progress.done("flow", line),
        folder=str(folder),
        wait_for_results=True,
    )


def with_images(path: Path, console: Console) -> tuple[Processed, list[Counted]]:
    """Take a plate of images the same way; return what it did and what was counted."""
    with TerminalProgress(console) as progress:
        home = open_home(path, progress)
        announce(home, HERE / "plates.csv")
        outcome = taken_in(home, PLATE, progress)
        counted = []
        for row in results_table(home):
            if row.workflow.startswith(f"{CELLS} "):
                result = show_result(home, row.run).result
                counted.append(Counted(row, len(result.inputs), result.metric("cells")))
        home.close()
    return outcome, counted


def through_nextflow(path: Path, console: Console, rows: list[ResultRow]) -> str:
    """Run the same samples through the same steps written in Nextflow, and say whether the results are the same."""
    try:
        found = runtime.find()
    except MissingTool:
        return "skipped here: with Java 17 and Maven, make nextflow brings it"
    with TerminalProgress(console) as progress:
        home = open_home(path, progress)
        progress.stage("nextflow", TWIN)
        submitted = submit_direct(home, TWIN, subjects=[row.sample for row in rows], reference="MH356245.1")
        failed = [*submitted.failed, *wait_for(home, submitted.runs).stuck]
        twins = [row for row in results_table(home) if row.workflow.startswith(f"{TWIN} ")]
        progress.done("nextflow", f"{len(twins)} results, {submitted.new} of them new", ok=not failed)
        home.close()
    for subject, reason in failed:
        console.print(Text(f"  {subject}: {reason}"), style="red")
    others = {row.sample: path / "results" / row.result_path for row in twins}
    same = all(
        row.sample in others
        and (path / "results" / row.result_path / name).read_bytes() == (others[row.sample] / name).read_bytes()
        for row in rows
        for name in COMPARED
    )
    return f"{len(twins)} results by {found.name}, the same as by WDL" if same else DIFFERENT


def prepare_healthomics(path: Path, console: Console) -> None:
    """Start the emulator, or find it, and make a home that uses it as it would use AWS."""
    # The emulator and AWS's client are extras: the demo on folders does without.
    from labrelay.emulator import launch
    from labrelay.steps.cloud import set_up

    data = path.parent / "emulator"
    emulator = launch.read_running(data)
    if emulator is None or not emulator.lives():
        emulator = launch.detach(data)
    os.environ.update(emulator.environment())
    os.environ["LABRELAY_START_RUN_RATE"] = "10"  # the emulator has no quota; AWS begins with one in ten seconds
    console.print(f"[green]✓[/] emulator  S3 and HealthOmics at {emulator.endpoint}, data in {data}")
    init_home(path)
    done = set_up(path, load_settings(path), name="labrelay-demo", bucket=BUCKET, role_arn=ROLE)
    said = ", ".join(f"{what}" for what in (*done.made, *done.adopted))
    console.print(f"[green]✓[/] account   {done.account}: {said}")
    (path / RULES).write_bytes((HERE / RULES).read_bytes())


def start_prefect(home: Home) -> str | None:
    """Start the home's Prefect server, or find it; without one the same steps run directly."""
    home.progress.stage("prefect", "starting a local server")
    # Prefect reads this when it is first imported; the terminal has our own progress.
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "ERROR"
    try:
        found = server.up(home.path)
    except LabrelayError as error:
        home.progress.done("prefect", f"{error}", ok=False)
        return None
    home.progress.done("prefect", f"server and worker at {found.url}")
    return found.url


def add_reference(home: Home) -> None:
    """Add the reference as it is published, and say what its import changed."""
    home.progress.stage("reference", REFERENCE.name)
    reference = home.reads.add_reference(REFERENCE, "MH356245.1")
    contig = reference.contigs[0]
    home.progress.done("reference", f"{reference.name}: {contig.length:,} bases; {' '.join(reference.notes)}")


def show(
    console: Console,
    home: Path,
    outcome: Processed,
    rows: list[ResultRow],
    api: str | None,
    twin: str | None,
    plates: list[Counted],
) -> None:
    """Print the table of results, where everything is, and what the other engines made of the same samples."""
    table = Table(title=f"{outcome.run_id}", title_style="bold", title_justify="left")
    table.add_column("sample")
    for name in ("reads", "mapped %", "mean depth", BREADTH, "variants"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for row in rows:
        colour = COLOURS.get(row.verdict.value, "white")
        numbers = (row.reads, row.mapped_percent, row.mean_depth, row.breadth_10x_percent, row.variants)
        table.add_row(row.sample, *(cell_text(n) for n in numbers), f"[{colour}]{row.verdict.value}[/]")
    table.add_section()
    for plate in plates:
        colour, verdict = COLOURS.get(plate.row.verdict.value, "white"), plate.row.verdict.value
        counts = f"{plate.images} images", "", "", "", f"{cell_text(plate.cells)} nuclei"
        table.add_row(plate.row.sample, *counts, f"[{colour}]{verdict}[/]")
    console.print(table)
    for plate in plates:
        console.print(f"  imaging   {home / 'results' / plate.row.result_path}/report.html")
    if rows:
        results = home / "results"
        experiment = results / Path(rows[0].result_path).parts[0]
        console.print(f"  results   {experiment}/index.html, results.csv, results.xlsx")
        console.print(f"  report    {results / rows[0].result_path}/report.html")
        console.print(f"  crate     {results / rows[0].result_path}/ro-crate-metadata.json")
        console.print(f"  archive   {home / 'eln' / (experiment.name + '.eln')}")
    console.print(f"  UI        {api or 'no Prefect server runs: labrelay up'}")
    for subject, reason in [*outcome.failed, *outcome.left_out]:
        console.print(Text(f"  {subject}: {reason}"), style="red")
    if home.name != HEALTHOMICS:
        through = home / HEALTHOMICS / DONE
        said = through.read_text(encoding="utf-8") if through.exists() else "skipped here: make demo-healthomics"
        console.print(f"  HealthOmics (emulator)  {said}")
    if twin is not None:
        console.print(f"  Nextflow  {twin}")


def save_screen(console: Console, path: Path) -> None:
    """Write what the console showed as a picture that loads nothing: rich's own names fonts on a remote server."""
    self_contained = re.sub(r"\s*@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(path), title="make demo", code_format=self_contained)


if __name__ == "__main__":
    sys.exit(main())

"""`labrelay inspect`: what a folder or a file of an instrument is, in one screen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labrelay.cli.show import Cell, emit, json_option, size_text, table, wants_json
from labrelay.model.names import printable
from labrelay.model.words import counted

if TYPE_CHECKING:
    from labrelay.model.imaging import ImageSet
    from labrelay.model.instrument import InstrumentRun, SheetSample, Unit
    from labrelay.parsers.registry import Look

SHOWN = 24  # rows of a table, so that all fits on a screen or two; --json has everything


@click.command()
@click.argument("place", metavar="FOLDER|FILE", type=click.Path(path_type=Path))
@click.option("--as", "platform", metavar="PLATFORM", help="read it as this one, where it could be several")
@click.option("--personal", is_flag=True, help="show the names of people and machines that its files tell")
@click.option(
    "--html", "page", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="write a page with pictures"
)
@click.option(
    "--multiqc",
    "charts",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="write the numbers as a page of MultiQC, which is installed apart",
)
@json_option
def inspect(place: Path, platform: str | None, personal: bool, page: Path | None, charts: Path | None) -> None:
    """Say in one screen what a folder or a file of an instrument is.

    Run, instrument, flow cell, plate or grid; samples, lanes, wells or cells; files by role; whether it is complete, by
    which evidence; quality; every warning. QC files of common tools are shown with their numbers. It needs no home and
    changes nothing.
    """
    from labrelay.model.errors import RefusedInput, UsageError
    from labrelay.model.run_facts import run_facts
    from labrelay.parsers.registry import look

    if not place.exists():
        raise UsageError(f"there is no folder or file {place}")
    _find_allotropy(platform)
    try:
        seen = look(place, platform)
    except RefusedInput:
        if platform is None and page is None and _qc_files(place, charts):
            return
        raise
    run = seen.run
    _write_pages(seen, page, charts)
    if wants_json():
        emit(run.model_dump(mode="json", exclude=None if personal else {"personal"}))
        return
    table(["what", "value"], run_facts(run, seen.seen), "")
    for title, header, rows in _tables(run):
        if rows:
            _block(title, header, rows)
    _samples(run)
    if personal:
        _block("personal", ["field", "value"], list(run.personal.items()))
    elif run.personal:
        click.echo(f"\n{counted(len(run.personal), 'personal field')} left out: --personal shows them")
    _problems(run)


def _find_allotropy(platform: str | None) -> None:
    """Say to the parsers which Python has allotropy, where a home's settings name it and it is needed."""
    from labrelay.parsers.allotropy import PREFIX, VARIABLE

    if platform is None or not platform.startswith(PREFIX):
        return
    from labrelay.steps.settings import settings_here

    named = settings_here(click.get_current_context().find_root().obj["home"]).allotropy
    if named is not None:
        os.environ.setdefault(VARIABLE, named)


def _qc_files(place: Path, charts: Path | None) -> bool:
    """Print the QC files of a place that is no run, and write their page; false when there are none."""
    from labrelay.parsers.qc_folder import qc_files_in
    from labrelay.parsers.registry import listed

    found = qc_files_in(listed(place))
    if found and charts is not None:
        from labrelay.records.report.multiqc_content import sections_of_files

        _write_multiqc(place.resolve().name, sections_of_files(found), charts)
    if wants_json():
        if found:
            emit([{"path": path, "tool": tool, "qc": [m.model_dump() for m in qc]} for path, tool, qc in found])
        return bool(found)
    for path, tool, metrics in found:
        click.echo(printable(f"{path}, written by {tool}", 300))
        rows = [(metric.name, metric.value, metric.unit, metric.scope) for metric in metrics]
        table(["quality", "value", "unit", "of"], rows[:SHOWN], "it has no number that is known here")
        click.echo(f"… and {len(rows) - SHOWN:,} more: --json has all\n" if len(rows) > SHOWN else "")
    return bool(found)


def _write_pages(seen: Look, page: Path | None, charts: Path | None) -> None:
    if page is not None:
        from labrelay.steps.run_documents import write_page

        write_page(seen, page)
        click.echo(f"wrote {page}", err=True)
    if charts is not None:
        from labrelay.records.report.multiqc_content import sections_of
        from labrelay.steps.run_documents import cycles_of

        _write_multiqc(seen.run.run_id, sections_of(seen.run, cycles_of(seen)), charts)


def _write_multiqc(title: str, sections: dict[str, Any], page: Path) -> None:
    from labrelay.model.errors import UsageError
    from labrelay.steps.multiqc import multiqc_program, write_multiqc
    from labrelay.steps.settings import settings_here

    if not sections:
        raise UsageError(f"{title} has no number yet, so that MultiQC would have nothing to show")
    home = click.get_current_context().find_root().obj["home"]
    write_multiqc(multiqc_program(settings_here(home).multiqc), title, sections, page)
    click.echo(f"wrote {page}", err=True)


def _tables(run: InstrumentRun) -> Iterator[tuple[str, list[str], Sequence[Sequence[Cell]]]]:
    """Yield title, headings and rows of what a run may have many of."""
    yield (
        "",
        ["files", "number", "size"],
        [(role.value, len(sizes), size_text(sum(sizes))) for role, sizes in run.sizes_by_role.items()],
    )
    yield (
        "",
        ["part", "kind", "sample", "acquired", "copied", "converted", "facts"],
        [_unit(unit) for unit in run.units],
    )
    yield "", ["image", "x, y, z, c, t", "pixel", "µm", "channels", "acquired"], [_image(each) for each in run.images]
    yield (
        "",
        ["quality", "value", "unit", "of"],
        [(metric.name, metric.value, metric.unit, metric.scope) for metric in run.qc if metric.value is not None],
    )


def _unit(unit: Unit) -> tuple[Cell, ...]:
    facts = ", ".join(f"{name} {value}" for name, value in unit.facts.items())
    return (unit.name, unit.kind, unit.sample, *unit.completion.words, facts)


def _image(image: ImageSet) -> tuple[Cell, ...]:
    channels = ", ".join(each.name or "?" for each in image.channels)
    # A microscope of light has tenths of a micrometre, one of electrons ten-thousandths.
    pixel = None if image.pixel_um is None else f"{image.pixel_um:.4g}"
    return (image.name, image.extent, image.pixel_type, pixel, channels, image.acquired)


def _block(title: str, header: list[str], rows: Sequence[Sequence[Cell]]) -> None:
    click.echo()
    table(header, rows[:SHOWN], f"no {title} fields")
    if len(rows) > SHOWN:
        click.echo(f"… and {len(rows) - SHOWN:,} more: --json has all")


def _samples(run: InstrumentRun) -> None:
    """Print the sheet's samples, and below them those that only the names of files tell of."""
    files = Counter(file.sample for file in run.files)
    rows: dict[str, list[SheetSample]] = {}
    for sample in run.samples:
        rows.setdefault(sample.sample_id, []).append(sample)
    listed = [_sample(label, entries, files[label]) for label, entries in rows.items()]
    unlisted = [(label, None, None, None, None, files[label]) for label in run.sample_labels if label not in rows]
    if listed:
        _block("sample", ["sample", "name", "lane", "index", "project", "files"], [*listed, *unlisted])
    elif unlisted:
        _block("sample", ["sample", "files"], [(row[0], row[-1]) for row in unlisted])
    elif run.plate is not None or run.images:
        click.echo("\nno file of an image or a plate is here yet")
    else:
        click.echo("\nneither a sample sheet nor a file names any sample")


def _sample(label: str, entries: Sequence[SheetSample], files: int) -> tuple[Cell, ...]:
    """Return one row for a sample, which may stand in many of the sheet with its lanes and indexes."""
    lanes = sorted({entry.lane for entry in entries if entry.lane is not None})
    indexes = list(dict.fromkeys(index for entry in entries if (index := entry.barcode or entry.index)))
    shown = " ".join(indexes[:2]) + (f" … {len(indexes)} indexes" if len(indexes) > 2 else "")
    return label, entries[0].name, " ".join(map(str, lanes)) or None, shown or None, entries[0].project, files


def _problems(run: InstrumentRun) -> None:
    if run.problems:
        click.echo()
    for problem in run.problems[:SHOWN]:
        click.echo(printable(f"{problem.severity}: {problem}", 500))
    if len(run.problems) > SHOWN:
        click.echo(f"… and {counted(len(run.problems) - SHOWN, 'more problem', 'more problems')}: --json has all")

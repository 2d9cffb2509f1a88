"""What an instrument run may have many of, as tables; the terminal and the run's page tell them alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from labrelay.model.files import FileRole
from labrelay.model.imaging import ImageAt, ImageSet
from labrelay.model.instrument import InstrumentRun, SheetSample, Unit
from labrelay.model.qc import COUNTED_AS, QCMetric, share_text
from labrelay.model.words import counted

Value = str | int | float | None
MOST_CHANNELS = 12
_LANE = re.compile(r"(?:lane|read|index) \d+\Z")


@dataclass(frozen=True)
class RunTable:
    """A table of a run; what is not known is None, and `size_column` says which column counts bytes."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    size_column: int | None = None


def run_tables(run: InstrumentRun) -> Iterator[RunTable]:
    """Yield files by role, parts, images, quality and samples: those of them that the run has."""
    roles = run.sizes_by_role.items()
    files = [(role.value.replace("_", " "), len(sizes), sum(sizes)) for role, sizes in roles]
    made = [
        RunTable("files", ("files", "number", "size"), tuple(files), size_column=2),
        RunTable(
            "parts",
            ("part", "kind", "sample", "acquired", "copied", "converted", "facts"),
            tuple(map(_part, run.units)),
        ),
        RunTable(
            "images",
            ("image", "size x, y, z, c, t", "pixel type", "pixel µm", "channels", "acquired"),
            tuple(map(_image, run.images)),
        ),
        RunTable(
            "quality",
            ("quality", "value", "unit", "of"),
            tuple(_quality(run.qc)),
        ),
        _samples(run),
    ]
    yield from (table for table in made if table.rows)


def pixel_text(micrometres: float | None) -> str | None:
    """Return the edge of a pixel in µm with four digits: light has tenths of one, electrons ten-thousandths."""
    return None if micrometres is None else f"{Decimal(f'{micrometres:.4g}'):,f}"


def plate_text(run: InstrumentRun) -> str | None:
    """Return what is known of a plate: its id and size, and how many wells, fields, channels, planes and times."""
    if run.plate is None:
        return None
    size = f"{run.plate.rows} × {run.plate.columns}" if run.plate.rows and run.plate.columns else None
    wells = counted(len(run.plate.wells), "well") if run.plate.wells else None
    places = [file.image for file in run.files if file.image is not None and file.role is FileRole.IMAGE]
    fields = _span_of_fields(run.plate.fields, places)
    kinds = {
        "channel": {at.channel for at in places},
        "plane": {at.z for at in places},
        "time": {at.t for at in places},
    }
    # That there is one plane, or one time, is nothing to tell.
    more = [counted(len(got - {None}), noun) for noun, got in kinds.items() if len(got - {None}) > (noun != "channel")]
    return ", ".join(part for part in (run.plate.id, size, wells, fields, *more) if part)


def _span_of_fields(told: int | None, places: Sequence[ImageAt]) -> str | None:
    """Return how many fields a well has, or the fewest and the most where wells differ."""
    sites: dict[str | None, set[int]] = {}
    for at in places:
        if at.field is not None:
            sites.setdefault(at.well, set()).add(at.field)
    counts = [told] if told else sorted({len(found) for found in sites.values()})
    if not counts:
        return None
    return f"{counts[0]} to {counts[-1]} fields each" if len(counts) > 1 else f"{counted(counts[0], 'field')} each"


def _quality(metrics: Sequence[QCMetric]) -> Iterator[tuple[Value, ...]]:
    """Yield the numbers, those of the whole run first, then of lanes and reads, then of samples and barcodes.

    One that two files tell alike stands once, and where they differ each names its file.
    """
    told: dict[tuple[str, str], dict[str, QCMetric]] = {}
    counts = {(each.name, each.scope, each.source): each.value for each in metrics}
    for each in metrics:
        if each.value is not None:
            told.setdefault((each.name, each.scope), {}).setdefault(f"{each.value:.4g}", each)
    for (name, scope), values in sorted(told.items(), key=lambda each: _breadth(each[0][1])):
        for each in values.values():
            source = f" ({each.source})" if len(values) > 1 and each.source else ""
            whole = counts.get((COUNTED_AS.get(name, ""), scope, each.source))
            yield name, each.value, share_text(name, each.unit, whole), f"{scope}{source}"


def _breadth(scope: str) -> int:
    """Return 0 for the run, 1 for what is a lane or a read of it, else 2: of 700 samples the first few say little."""
    return 0 if scope == "run" else 1 if _LANE.match(scope) else 2


def _part(unit: Unit) -> tuple[Value, ...]:
    facts = ", ".join(f"{name} {value}" for name, value in unit.facts.items())
    return (unit.name, unit.kind, unit.sample, *unit.completion.words, facts or None)


def _image(image: ImageSet) -> tuple[Value, ...]:
    names = [channel.name or "?" for channel in image.channels]
    more = f" … {len(names)} channels" if len(names) > MOST_CHANNELS else ""
    channels = ", ".join(names[:MOST_CHANNELS]) + more
    return (image.name, image.extent, image.pixel_type, pixel_text(image.pixel_um), channels or None, image.acquired)


def _samples(run: InstrumentRun) -> RunTable:
    """Return the sheet's samples, and below them those that only the names of files tell of."""
    files = Counter(file.sample for file in run.files)
    rows: dict[str, list[SheetSample]] = {}
    for sample in run.samples:
        rows.setdefault(sample.sample_id, []).append(sample)
    unlisted = [label for label in run.sample_labels if label not in rows]
    if not rows:
        return RunTable("samples", ("sample", "files"), tuple((label, files[label]) for label in unlisted))
    listed = [_sample(label, entries, files[label]) for label, entries in rows.items()]
    named: list[tuple[Value, ...]] = [(label, None, None, None, None, files[label]) for label in unlisted]
    return RunTable("samples", ("sample", "name", "lane", "index", "project", "files"), (*listed, *named))


def _sample(label: str, entries: Sequence[SheetSample], files: int) -> tuple[Value, ...]:
    """Return one row for a sample, which may stand in many of the sheet with its lanes and indexes."""
    lanes = sorted({entry.lane for entry in entries if entry.lane is not None})
    indexes = list(dict.fromkeys(index for entry in entries if (index := entry.barcode or entry.index)))
    shown = " ".join(indexes[:2]) + (f" … {len(indexes)} indexes" if len(indexes) > 2 else "")
    return label, entries[0].name, " ".join(map(str, lanes)) or None, shown or None, entries[0].project, files

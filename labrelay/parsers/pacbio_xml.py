"""PacBio's XML: `*.metadata.xml` of a cell, and the data sets (`*.consensusreadset.xml`, `*.subreadset.xml`).

Both hold a CollectionMetadata: movie, instrument, run, well, samples with their barcodes. The tags are found by name,
because their name spaces differ by version, and the bytes decide the encoding (metadata.xml declares UTF-16 over
UTF-8).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree.ElementTree import Element

from labrelay.model.problem import Problem
from labrelay.parsers.text import to_datetime, to_int, warning
from labrelay.parsers.xml import attribute, find_all, find_text, local_name, parse_xml

_MOST_SAMPLES = 5000
_CELL = (
    ("cell lot", "LotNumber"),
    ("cell part", "PartNumber"),
    ("cell label", "LabelNumber"),
    ("cell expires", "ExpirationDate"),
)


@dataclass(frozen=True)
class Collection:
    """What one file says of a cell (a movie); what it does not say is None.

    Attributes:
        movie: Such as `m84140_231018_155043_s3`.
        run_id: Such as `r84140_20231018_154254`.
        well_sample: The library that was loaded.
        samples: Name of the sample by its barcode, such as `bc1002--bc1002`; by the empty text without barcodes.
        reads, bases: What a data set counts; None in metadata.xml, which is written before there are any.
        resources: Names of the files that a data set stands for.
        facts: Further facts as text.
        personal: Names of people.
    """

    movie: str | None = None
    run_id: str | None = None
    instrument_id: str | None = None
    instrument_name: str | None = None
    model: str | None = None
    software: str | None = None
    started: datetime | None = None
    started_text: str | None = None
    well_sample: str | None = None
    samples: dict[str, str] = field(default_factory=dict)
    reads: int | None = None
    bases: int | None = None
    resources: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)


def parse_collection(data: bytes, path: str) -> tuple[Collection | None, list[Problem]]:
    """Return what a metadata or data set file says, or None when it cannot be read (warnings say why).

    Args:
        data: The whole file.
        path: For messages.
    """
    root, found = parse_xml(data, path)
    # The cell is known without this one file, so what is wrong with it refuses nothing.
    problems = [warning(each.code, each.message, each.path, each.line) for each in found]
    if root is None:
        return None, problems
    collection = next(find_all(root, "CollectionMetadata"), None)
    if collection is None:
        what = "it has no CollectionMetadata, so it says nothing of a cell"
        return None, [*problems, warning("BAD_METADATA", what, path)]
    well = next(find_all(collection, "WellSample"), None)
    run = next(find_all(root, "Run"), None)
    details = next(find_all(collection, "RunDetails"), collection)
    started_text = find_text(details, "WhenStarted")
    is_data = local_name(root.tag).endswith("set")
    return (
        Collection(
            movie=attribute(collection, "Context"),
            run_id=find_text(details, "TimeStampedName"),
            instrument_id=attribute(collection, "InstrumentId"),
            instrument_name=attribute(collection, "InstrumentName"),
            model=attribute(run, "InstrumentType") if run is not None else None,
            software=_software(collection),
            started=to_datetime(started_text) if started_text else None,
            started_text=started_text,
            well_sample=attribute(well, "Name") if well is not None else None,
            samples=_samples(well),
            reads=to_int(find_text(root, "NumRecords")) if is_data else None,
            bases=to_int(find_text(root, "TotalLength")) if is_data else None,
            resources=tuple(_resources(root)) if is_data else (),
            facts=dict(_facts(collection, details, well)),
            personal=dict(_personal(details, path)),
        ),
        problems,
    )


def _samples(well: Element | None) -> dict[str, str]:
    samples: dict[str, str] = {}
    for sample in list(find_all(well, "BioSample"))[:_MOST_SAMPLES] if well is not None else ():
        name = attribute(sample, "Name")
        barcodes = [attribute(each, "Name") for each in find_all(sample, "DNABarcode")]
        for barcode in barcodes or [""]:
            if name and barcode is not None:
                samples.setdefault(barcode, name)
    return samples


def _resources(root: Element) -> Iterator[str]:
    for resource in find_all(root, "ExternalResource"):
        name = attribute(resource, "ResourceId")
        if name:
            yield name.replace("\\", "/").rpartition("/")[2]


def _software(collection: Element) -> str | None:
    """Return the instrument's control software with its version."""
    for info in find_all(collection, "VersionInfo"):
        version = attribute(info, "Version")
        if attribute(info, "Name") == "ics" and version:
            return f"ICS {version}"
    return None


def _facts(collection: Element, details: Element, well: Element | None) -> Iterator[tuple[str, str]]:
    cell = next(find_all(collection, "CellPac"), None)
    kit = next(find_all(collection, "SequencingKitPlate"), None)
    named = [
        # It stays at PostPrimaryPending in cells that are finished: told, and never used to judge.
        ("status", attribute(collection, "Status")),
        ("run name", find_text(details, "Name")),
        ("started", find_text(details, "WhenStarted")),
        ("well", find_text(well, "WellName") if well is not None else None),
        ("application", find_text(well, "Application") if well is not None else None),
        ("insert size", find_text(well, "InsertSize") if well is not None else None),
        ("sequencing kit", attribute(kit, "Name") if kit is not None else None),
    ]
    named += [(name, attribute(cell, key)) for name, key in _CELL] if cell is not None else []
    for parameter in find_all(collection, "AutomationParameter"):
        if attribute(parameter, "Name") == "MovieLength":
            named.append(("movie minutes", attribute(parameter, "SimpleValue")))
    yield from ((name, value[:200]) for name, value in named if value)


def _personal(details: Element, path: str) -> Iterator[tuple[str, str]]:
    for field_name, tag in (("created by", "CreatedBy"), ("started by", "StartedBy")):
        name = find_text(details, tag)
        if name and name.lower() != "unknown":
            yield f"{path}: {field_name}", name[:200]

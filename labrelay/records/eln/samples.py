"""Samples as notebooks announce them: fields by their many names become one shape, checked as any announcement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from labrelay.model.barcodes import BARCODE_WORDS, is_barcode, spelled
from labrelay.model.problem import Problem
from labrelay.parsers.announcement import NAME_COLUMNS
from labrelay.records.eln.port import SampleThere

LONGEST_NAME = 100
KNOWN = ("barcode", "subject", "assay", "project")


def column_key(name: str) -> str:
    """Return the key of a field or column; case, blanks, `-` and `_` in its name do not matter."""
    return "_".join(name.replace("-", " ").replace("_", " ").split()).casefold()


def sample_from(fields: Mapping[str, str | None]) -> SampleThere:
    """Return the sample that named fields tell of; empty ones are left out, unknown ones become attributes."""
    values = {column_key(name): value.strip() for name, value in fields.items() if value and value.strip()}
    name = next((values[key] for key in NAME_COLUMNS if key in values), "")
    known = {key: values[key] for key in KNOWN if key in values}
    if "barcode" in known:
        known["barcode"] = spelled(known["barcode"])
    taken = {*NAME_COLUMNS, *KNOWN, "aliases"}
    aliases = tuple(each.strip() for each in values.get("aliases", "").split(";") if each.strip())
    rest = {key: value for key, value in values.items() if key not in taken}
    return SampleThere(name=name, aliases=aliases, attributes=rest, **known)


def checked(samples: Sequence[SampleThere]) -> list[Problem]:
    """Return what is wrong with announced samples: no name, a name twice, a barcode that is none."""
    problems: list[Problem] = []
    for place, sample in enumerate(samples, 1):
        if not sample.name:
            problems.append(Problem(code="NO_SAMPLE_NAME", message=f"sample {place} has no name: give it one"))
        elif len(sample.name) > LONGEST_NAME:
            problems.append(Problem(code="LONG_NAME", message=f"the name of sample {place} has over 100 characters"))
        if sample.barcode and not is_barcode(sample.barcode):
            message = f"the barcode {sample.barcode} of {sample.name} is none: say {BARCODE_WORDS}"
            problems.append(Problem(code="BAD_BARCODE", message=message))
    names = Counter(sample.name.casefold() for sample in samples if sample.name)
    repeated = [name for name, count in names.items() if count > 1]
    problems += [Problem(code="DUPLICATE_SAMPLE", message=f"the sample {name} stands there twice") for name in repeated]
    return problems

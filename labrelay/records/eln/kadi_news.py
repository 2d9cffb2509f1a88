"""What a Kadi record announces: an experiment with its samples, from the record's extras or an attached `samples.csv`.

The extra `samples` is a list of texts (names) or of dictionaries, or a dictionary with one dictionary a sample; the
extras `experiment` and `project` name these. Without `samples`, the file `samples.csv` is read as `labrelay announce`
reads it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.parsers.announcement import read_announcement
from labrelay.records.eln.port import Announcement, SampleThere
from labrelay.records.eln.rest import TooLarge
from labrelay.records.eln.samples import checked, sample_from

OURS = re.compile(r"exp_[0-9a-f]{16}(-[0-9]+)?\Z")
SAMPLE_FILE = "samples.csv"
Extra = dict[str, Any]


def is_ours(identifier: str) -> bool:
    """Tell whether a record was made by us: it announces nothing."""
    return OURS.match(identifier) is not None


def announcement_of(record: dict[str, Any], file_of: Callable[[int, str], bytes | None]) -> Announcement:
    """Return what a record announces.

    Args:
        record: As the API gives it.
        file_of: Gives a file of a record by the record's id and the file's name, or None.
    """
    named = {str(extra["key"]).casefold(): extra for extra in record["extras"] if extra.get("key")}
    problems: list[Problem] = []
    if "samples" in named:
        samples = _from_extra(named["samples"], problems)
    else:
        try:
            samples = _from_file(file_of(record["id"], SAMPLE_FILE), problems)
        except TooLarge as error:
            samples = ()
            problems.append(Problem(code="LARGE_FILE", message=str(error), path=SAMPLE_FILE))
    problems += checked(samples)
    told: dict[str, Any] = {
        "name": _text(named.get("experiment")) or record["identifier"],
        "title": record["title"],
        "owner": (record.get("creator") or {}).get("displayname"),
        "project": _text(named.get("project")),
        "samples": samples,
        "problems": tuple(problems),
    }
    content = [sample.model_dump_json() for sample in samples] + [str(problem) for problem in problems]
    version = digest([told["name"], told["title"], told["owner"], told["project"], content])
    changed = datetime.fromisoformat(record["last_modified"])
    return Announcement(external_id=str(record["id"]), version=version, at=changed, **told)


def _from_extra(extra: Extra, problems: list[Problem]) -> tuple[SampleThere, ...]:
    try:
        return tuple(_samples(extra))
    except (AttributeError, KeyError, TypeError):  # people choose type and form: it must not silence other records
        message = "the extra samples is no list of names or of dictionaries: give it the type list"
        problems.append(Problem(code="BAD_SAMPLES", message=message))
        return ()


def _samples(extra: Extra) -> Iterator[SampleThere]:
    value = extra.get("value")
    for each in () if value is None else value:
        if each["type"] == "dict":
            fields = {str(f.get("key")): _text(f) for f in each.get("value") or []}
            yield sample_from({"name": each.get("key"), **fields})
        else:
            yield sample_from({"name": _text(each)})


def _text(extra: Extra | None) -> str | None:
    """Return an extra's value as text; a list's items with `;` between them."""
    if extra is None or extra.get("value") is None:
        return None
    value = extra["value"]
    if isinstance(value, list):
        return ";".join(text for item in value if (text := _text(item)))
    return str(value).strip() or None


def _from_file(content: bytes | None, problems: list[Problem]) -> tuple[SampleThere, ...]:
    if content is None:
        return ()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SAMPLE_FILE
        path.write_bytes(content)
        try:
            rows = read_announcement(path)
        except RefusedInput as refused:
            problems.extend(refused.problems)
            return ()
    known = set(SampleThere.model_fields)
    return tuple(SampleThere.model_validate(row.model_dump(include=known)) for row in rows)

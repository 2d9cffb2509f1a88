"""What Benchling announces: an entry of the experiment schema, and the sample entities that point to it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from labrelay.model.canonical import digest
from labrelay.model.problem import Problem
from labrelay.records.eln.benchling_setup import OPTIONAL, SAMPLE
from labrelay.records.eln.port import Announcement, SampleThere

OVERLAP = timedelta(minutes=2)  # lists are searched in an index, which may lag behind
Thing = Mapping[str, Any]


def since(cursor: str) -> str:
    """Return the time to ask from: a little before the cursor, so that nothing is skipped."""
    return (datetime.fromisoformat(cursor) - OVERLAP).isoformat(timespec="microseconds")


def newest(things: Sequence[Thing], cursor: str | None) -> str:
    """Return the cursor after these: the latest change seen, in UTC."""
    times = [moment for thing in things if (moment := changed_at(thing)) is not None]
    latest = max([*times, *([datetime.fromisoformat(cursor)] if cursor else [])], default=None)
    return "" if latest is None else latest.astimezone(UTC).isoformat(timespec="microseconds")


def changed_at(thing: Thing) -> datetime | None:
    """Return when a thing was changed last."""
    text = thing.get("modifiedAt")
    if not text:
        return None
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def experiment_of(sample: Thing) -> str | None:
    """Return the entry that a sample entity points to."""
    value = _field(sample, SAMPLE["experiment"][0])
    return str(value) if value else None


def announcement(entry: Thing, samples: Sequence[Thing]) -> Announcement:
    """Return what an entry and its samples announce; archived samples are no longer part of it."""
    found = sorted((_sample(one) for one in samples if not one.get("archiveRecord")), key=lambda one: one.name)
    twice = sorted(name for name, count in Counter(one.name for one in found).items() if count > 1)
    problems = [
        Problem(code="SAMPLE_TWICE", message=f"the entry has two samples called {name}: rename one in Benchling")
        for name in twice
    ]
    name = str(entry.get("name") or entry["id"])
    project = _text(_field(entry, OPTIONAL["project"]))
    owner = next((str(author["name"]) for author in entry.get("authors") or [] if author.get("name")), None)
    content: dict[str, Any] = {"name": name, "owner": owner, "project": project}
    return Announcement(
        external_id=str(entry["id"]),
        version=digest({**content, "samples": [one.model_dump() for one in found]}),
        **content,
        at=changed_at(entry),
        samples=tuple(found),
        problems=tuple(problems),
    )


def _sample(entity: Thing) -> SampleThere:
    fields = {name: _text(_shown(field)) for name, field in (entity.get("fields") or {}).items()}
    fields.pop(SAMPLE["experiment"][0], None)
    known = {key: fields.pop(name, None) for key, name in OPTIONAL.items()}
    other = [*(entity.get("aliases") or []), entity.get("entityRegistryId")]
    name = str(entity["name"])
    return SampleThere(
        name=name,
        aliases=tuple(dict.fromkeys(str(alias) for alias in other if alias and alias != name)),
        **known,
        attributes={key: text for key, text in sorted(fields.items()) if text},
    )


def _field(thing: Thing, name: str) -> object:
    return ((thing.get("fields") or {}).get(name) or {}).get("value")


def _shown(field: Thing) -> object:
    """Return a field as people see it: of a link the name of what it points to."""
    return field.get("textValue") or field.get("displayValue") or field.get("value")


def _text(value: object) -> str | None:
    if value is None or value in ("", []):
        return None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

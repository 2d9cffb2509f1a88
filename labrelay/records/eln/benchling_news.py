"""What Benchling announces: an entry of the experiment schema, and the sample entities that point to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from labrelay.model.canonical import digest
from labrelay.records.eln.benchling_setup import PROJECT, SAMPLE
from labrelay.records.eln.port import Announcement, SampleThere
from labrelay.records.eln.samples import checked, sample_from

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
    problems = tuple(checked(found))
    name = str(entry.get("name") or entry["id"])
    project = _text(_field(entry, PROJECT))
    owner = next((str(author["name"]) for author in entry.get("authors") or [] if author.get("name")), None)
    content: dict[str, Any] = {"name": name, "owner": owner, "project": project}
    told = [one.model_dump_json() for one in found] + [str(problem) for problem in problems]
    return Announcement(
        external_id=str(entry["id"]),
        version=digest([*content.values(), told]),
        **content,
        at=changed_at(entry),
        samples=tuple(found),
        problems=problems,
    )


def _sample(entity: Thing) -> SampleThere:
    name = str(entity["name"])
    fields = {field: _text(_shown(value)) for field, value in (entity.get("fields") or {}).items()}
    fields.pop(SAMPLE["experiment"][0], None)
    other = [*(entity.get("aliases") or []), entity.get("entityRegistryId")]
    aliases = tuple(dict.fromkeys(str(alias) for alias in other if alias and alias != name))
    return sample_from(fields).model_copy(update={"name": name, "aliases": aliases})


def _field(thing: Thing, name: str) -> object:
    return ((thing.get("fields") or {}).get(name) or {}).get("value")


def _shown(field: Thing) -> object:
    """Return a field as people see it: of a link the name of what it points to."""
    return field.get("textValue") or field.get("displayValue") or field.get("value")


def _text(value: object) -> str | None:
    if value is None or value in ("", []):
        return None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

"""Tags of things, in one place by ARN; what has an entry here, be it an empty one, can be tagged."""

from __future__ import annotations

from labrelay.emulator.operation import Params, invalid, not_found, operation
from labrelay.emulator.service import Service
from labrelay.emulator.state import Snapshot, Transaction

TAGS = "tags"
MOST_TAGS = 50


def tags_of(state: Snapshot, arn: str) -> dict[str, str]:
    """Return the tags of the thing with this ARN; none for what has none."""
    return {**((state.get(TAGS, arn) or {}).get("tags") or {})}


def shown_tags(state: Snapshot, arn: str) -> Params:
    """Return the member `tags` of an answer whose model wants at least one tag: it is left out without any."""
    tags = tags_of(state, arn)
    return {"tags": tags} if tags else {}


def set_tags(state: Transaction, arn: str, tags: dict[str, str]) -> None:
    """Give a new thing its tags, in the transaction that makes it (empty ones make it taggable)."""
    state.put(TAGS, arn, {"tags": tags})


def _tags_now(state: Snapshot, arn: str) -> dict[str, str]:
    if state.get(TAGS, arn) is None:
        raise not_found("resource", arn)
    return tags_of(state, arn)


def drop_tags(state: Transaction, arn: str) -> None:
    """Forget the tags of a thing that is deleted."""
    state.delete(TAGS, arn)


@operation("TagResource")
def tag_resource(service: Service, asked: Params) -> Params:
    """Add tags, or give those that are there new values."""
    reserved = sorted(key for key in asked["tags"] if key.lower().startswith("aws:"))
    if reserved:
        raise invalid(f"Tag keys that begin with aws: are reserved: {', '.join(reserved)}.")
    with service.state.write() as state:
        tags = _tags_now(state, asked["resourceArn"]) | asked["tags"]
        if len(tags) > MOST_TAGS:
            raise invalid(f"A resource has at most {MOST_TAGS} tags; {asked['resourceArn']} would have {len(tags)}.")
        set_tags(state, asked["resourceArn"], tags)
    return {}


@operation("UntagResource")
def untag_resource(service: Service, asked: Params) -> Params:
    """Remove tags; a key that is not there is no error."""
    gone = set(asked["tagKeys"])
    with service.state.write() as state:
        tags = _tags_now(state, asked["resourceArn"])
        set_tags(state, asked["resourceArn"], {key: value for key, value in tags.items() if key not in gone})
    return {}


@operation("ListTagsForResource")
def list_tags_for_resource(service: Service, asked: Params) -> Params:
    """Return the tags of one thing."""
    with service.state.read() as state:
        return {"tags": _tags_now(state, asked["resourceArn"])}

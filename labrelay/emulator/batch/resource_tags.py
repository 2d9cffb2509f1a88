"""Tags of queues, environments, definitions and jobs: TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

from labrelay.emulator.batch.naming import batch_operation, refused
from labrelay.emulator.operation import Params
from labrelay.emulator.service import Service
from labrelay.emulator.state import Snapshot
from labrelay.emulator.tags import MOST_TAGS, TAGS, set_tags, tags_of


@batch_operation("TagResource")
def tag_resource(service: Service, asked: Params) -> Params:
    """Add tags, or give those that are there new values."""
    own, wanted = asked["resourceArn"], asked["tags"]
    reserved = sorted(key for key in wanted if key.lower().startswith("aws:"))
    if reserved:
        raise refused(f"Tag keys that begin with aws: are reserved: {', '.join(reserved)}.")
    with service.state.write() as state:
        tags = _tags_now(state, own) | wanted
        if len(tags) > MOST_TAGS:
            raise refused(f"A resource has at most {MOST_TAGS} tags; {own} would have {len(tags)}.")
        set_tags(state, own, tags)
    return {}


@batch_operation("UntagResource")
def untag_resource(service: Service, asked: Params) -> Params:
    """Remove tags; a key that is not there is no error."""
    with service.state.write() as state:
        left = {
            key: value for key, value in _tags_now(state, asked["resourceArn"]).items() if key not in asked["tagKeys"]
        }
        set_tags(state, asked["resourceArn"], left)
    return {}


@batch_operation("ListTagsForResource")
def list_tags_for_resource(service: Service, asked: Params) -> Params:
    """Return the tags of one thing."""
    with service.state.read() as state:
        return {"tags": _tags_now(state, asked["resourceArn"])}


def _tags_now(state: Snapshot, arn: str) -> dict[str, str]:
    if ":batch:" not in arn or state.get(TAGS, arn) is None:
        raise refused(f"The resource {arn} does not exist.")
    return tags_of(state, arn)

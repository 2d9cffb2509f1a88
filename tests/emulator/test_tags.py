"""Tags of anything that the account has, by ARN."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.emulator.operation import Failure
from labrelay.emulator.service import Service
from labrelay.emulator.state import State
from labrelay.emulator.tags import drop_tags, set_tags, tags_of
from labrelay.emulator.wire import call

ARN = "arn:aws:omics:us-east-1:123456789012:run/1234567"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path, State(tmp_path / "state.sqlite"))
    with service.state.write() as state:
        set_tags(state, ARN, {})
    return service


def test_tags_are_added_changed_listed_and_removed(service: Service) -> None:
    call(service, "TagResource", {"resourceArn": ARN, "tags": {"a": "1", "b": ""}})
    call(service, "TagResource", {"resourceArn": ARN, "tags": {"a": "2"}})
    assert call(service, "ListTagsForResource", {"resourceArn": ARN}) == {"tags": {"a": "2", "b": ""}}
    call(service, "UntagResource", {"resourceArn": ARN, "tagKeys": ["a", "never there"]})
    with service.state.read() as state:
        assert tags_of(state, ARN) == {"b": ""}


@pytest.mark.parametrize(
    ("operation", "more"),
    [("TagResource", {"tags": {"a": "1"}}), ("UntagResource", {"tagKeys": ["a"]}), ("ListTagsForResource", {})],
)
def test_what_is_not_there_or_not_there_any_more_has_no_tags(service: Service, operation: str, more: object) -> None:
    with service.state.write() as state:
        drop_tags(state, ARN)
    with pytest.raises(Failure, match="ResourceNotFoundException"):
        call(service, operation, {"resourceArn": ARN, **more})  # type: ignore[dict-item]


def test_a_thing_has_at_most_fifty_tags_and_none_of_awss_own(service: Service) -> None:
    call(service, "TagResource", {"resourceArn": ARN, "tags": {f"k{n}": "v" for n in range(50)}})
    with pytest.raises(Failure, match="at most 50"):
        call(service, "TagResource", {"resourceArn": ARN, "tags": {"one more": "v"}})
    with pytest.raises(Failure, match="reserved"):
        call(service, "TagResource", {"resourceArn": ARN, "tags": {"aws:owner": "v"}})
    assert len(call(service, "ListTagsForResource", {"resourceArn": ARN})["tags"]) == 50

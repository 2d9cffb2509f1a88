"""The front door keeps its own OpenAPI, whatever is sent: schemathesis asks it in this process, for some seconds."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from doorway import STUDY, Doorway
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

BOUNDED = settings(
    max_examples=8, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_breaks_the_contract(door: Doorway, mode: GenerationMode) -> None:
    door.post("/experiments", STUDY)
    asked = 0
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", door.app)
    schema.config.generation.update(allow_x00=False)  # no schema says that a text must not hold it, and we refuse it
    for found in schema.get_all_operations():

        @given(case=found.ok().as_strategy(generation_mode=mode))
        @BOUNDED
        def check(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(headers={"Authorization": f"Bearer {door.secrets['all']}"})

        with suppress(Unsatisfiable):  # of what has no parameters, nothing can be wrong
            check()
    assert asked > 50


def test_following_the_links_of_its_answers_breaks_nothing(door: Doorway) -> None:
    followed: list[str] = []

    class Machine(schemathesis.openapi.from_asgi("/api/openapi.json", door.app).as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {door.secrets['all']}"}}

        def after_call(self, response: Any, case: Any) -> None:
            followed.append(f"{case.operation.label} {response.status_code}")

    Machine.run(settings=settings(BOUNDED, max_examples=10, stateful_step_count=4))
    assert "GET /api/messages/{id} 200" in followed

"""`prefect.yaml` against the code: what it names exists, and every form has words."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from labrelay.flows.dispatch import FLOWS
from labrelay.flows.register import deployment, entries, load_flow

ENTRIES = {entry["name"]: entry for entry in entries()}
SCHEDULED = {"sweep", "watch-folders", "deliver"}


def test_the_top_levels_file_is_the_one_in_the_package() -> None:
    root = Path(__file__).parents[2]
    assert (root / "prefect.yaml").resolve() == root / "labrelay" / "flows" / "prefect.yaml"


def test_every_flow_that_commands_dispatch_has_a_deployment() -> None:
    flows = {load_flow(entry["entrypoint"]).fn.__name__ for entry in ENTRIES.values()}
    assert flows == set(FLOWS)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=str)
def test_every_entrypoint_is_a_flow_whose_form_explains_each_field(entry: dict[str, Any]) -> None:
    flow = load_flow(entry["entrypoint"])
    assert ":" not in entry["entrypoint"], "a file entrypoint loads each class twice"
    assert flow.name == entry["entrypoint"].rpartition(".")[2].replace("_", "-")
    assert inspect.getdoc(flow.fn)
    fields = parameter_schema(flow).properties
    assert "home" in fields
    for name, shape in fields.items():
        assert shape.get("description"), f"{name} has no help"
        assert "anyOf" not in shape, f"{name} is a choice of types, which makes a poor form"


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=str)
def test_a_deployment_has_the_home_fixed_and_titles_in_words(entry: dict[str, Any], tmp_path: Path) -> None:
    made = deployment(entry, tmp_path, watch=False)
    shape = made._parameter_openapi_schema.properties["home"]
    assert (shape["enum"], shape["readOnly"], shape["title"]) == ([str(tmp_path)], True, "Home")
    assert made.parameters["home"] == str(tmp_path)
    assert made.entrypoint == entry["entrypoint"]
    assert made.work_pool_name == "labrelay"


def test_the_watch_is_scheduled_only_where_there_is_something_to_watch(tmp_path: Path) -> None:
    for watch in (True, False):
        made = deployment(ENTRIES["watch-folders"], tmp_path, watch=watch)
        assert [schedule.active for schedule in made.schedules or []] == [watch]


def test_the_schedules_are_those_of_the_file(tmp_path: Path) -> None:
    with_schedules = {name for name, e in ENTRIES.items() if deployment(e, tmp_path, watch=True).schedules}
    assert with_schedules >= SCHEDULED


def test_collect_runs_one_at_a_time_and_wakes_at_the_end_of_a_run(tmp_path: Path) -> None:
    made = deployment(ENTRIES["collect"], tmp_path, watch=False)
    assert made.concurrency_limit == 1
    assert made.concurrency_options is not None
    assert made.concurrency_options.collision_strategy.value == "ENQUEUE"
    (trigger,) = made.triggers
    assert trigger.expect == {"labrelay.run.ended"}
    assert trigger.parameters == {"home": str(tmp_path)}

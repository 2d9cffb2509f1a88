"""Instances, prices and advice follow the rules of the User Guide; no price is more certain than its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.steps.adapters import adapters_of
from labrelay.steps.settings import Settings
from labrelay.workflows.healthomics.advice import advise
from labrelay.workflows.healthomics.pricing import load_prices, smallest_instance, static_gib


@pytest.mark.parametrize(
    ("cpus", "gib", "instance"),
    [
        (1, 1, "omics.c.large"),
        (2, 4, "omics.c.large"),
        (2, 4.1, "omics.m.large"),
        (1, 16, "omics.r.large"),
        (8, 64, "omics.r.2xlarge"),
        (2.5, 1, "omics.c.xlarge"),
        (192, 1, "omics.c.48xlarge"),
        (193, 1, None),
        (1, 10_000, None),
    ],
)
def test_a_task_gets_the_smallest_instance_that_fits(cpus: float, gib: float, instance: str | None) -> None:
    assert smallest_instance(cpus, gib) == instance


def test_the_largest_sizes_are_not_everywhere() -> None:
    assert smallest_instance(97, 1, "eu-central-1") is None
    assert smallest_instance(97, 1, "us-west-2") == "omics.c.32xlarge"


def test_at_least_a_minute_of_a_task_is_billed_and_price_grows_with_the_processors() -> None:
    prices = load_prices("us-east-1")
    short, minute = prices.task("a", "omics.c.xlarge", 3), prices.task("b", "omics.c.xlarge", 60)
    assert short.usd == minute.usd == pytest.approx(2 * 0.11475 / 60)
    assert short.what == "task a (omics.c.xlarge)"
    assert prices.task("c", "omics.c.xlarge", 3600).usd == pytest.approx(2 * 0.11475)


def test_a_price_that_is_not_known_is_not_made_up() -> None:
    item = load_prices("us-east-1").task("a", "omics.g5.xlarge", 3600)
    assert (item.quantity, item.price, item.usd, item.source) == (1.0, None, None, None)


def test_prices_of_another_region_say_so() -> None:
    prices = load_prices("eu-central-1")
    assert prices.region == "us-east-1"
    assert "in place of eu-central-1, whose prices are not known" in prices.told
    assert "not verified" in prices.told


@pytest.mark.parametrize(("asked", "billed"), [(1, 1200), (1200, 1200), (1201, 2400), (2400, 2400), (2401, 4800)])
def test_static_storage_is_billed_in_steps(asked: float, billed: int) -> None:
    assert static_gib(asked) == billed
    item = load_prices("us-east-1").run_storage("STATIC", asked, 1800)
    assert item.quantity == billed / 2
    assert item.usd == pytest.approx(billed / 2 * 0.0001918)


def test_dynamic_storage_is_billed_as_it_was_used() -> None:
    assert load_prices("us-east-1").run_storage("DYNAMIC", 10, 7200).quantity == 20


def test_a_table_of_ones_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text('[eu-central-1]\ndated = "2026"\nsource = "our contract"\nlarge = { c = 1.0 }\n')
    assert load_prices("eu-central-1", table).hourly("omics.c.2xlarge") == 4.0


@pytest.mark.parametrize("text", ["", "not toml", '[x]\nlarge = { c = "dear" }', "x = 1"])
def test_a_broken_table_is_refused(tmp_path: Path, text: str) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(text)
    with pytest.raises(RefusedInput, match="price table"):
        load_prices("eu-central-1", table)


def test_a_table_that_is_not_there_is_told_with_what_names_it(tmp_path: Path) -> None:
    with pytest.raises(RefusedInput, match="mend the setting `prices`"):
        load_prices("eu-central-1", tmp_path / "none.toml")


def test_the_settings_name_files_of_the_home(tmp_path: Path) -> None:
    names = {"objects_url": "s3://b/o", "outputs_url": "s3://b/r", "sequence_store_id": "1", "reference_store_id": "2"}
    settings = Settings(profile="healthomics", service_role_arn="arn:aws:iam::1:role/x", prices="own.toml", **names)  # type: ignore[arg-type]
    assert adapters_of(tmp_path, settings).engine._settings.prices == tmp_path / "own.toml"  # type: ignore[attr-defined]


def entry(**metrics: Any) -> dict[str, Any]:
    return {"instanceType": "omics.r.2xlarge", "metrics": metrics}


def advice_on(task: dict[str, Any], run: dict[str, Any] | None = None) -> dict[str, str]:
    found = advise(run or {}, [("align", task)], load_prices("us-east-1"))
    return {item.resource: item.suggestion for item in found}


def test_what_was_hardly_used_is_told_with_what_it_saves() -> None:
    found = advice_on(entry(cpusReserved=8, cpusMaximum=1.5, memoryReservedGiB=64, memoryMaximumGiB=6.2))
    assert found["cpu"].startswith("2 vCPU would do (omics.m.large in place of omics.r.2xlarge saves 81 %")
    assert found["memory"].startswith("8 GiB would do")


def test_what_would_run_on_the_same_instance_is_said_to_save_nothing() -> None:
    task = entry(cpusReserved=2, cpusMaximum=0.3, memoryReservedGiB=4, memoryMaximumGiB=3.9)
    found = advice_on({**task, "instanceType": "omics.c.large"})
    assert found == {"cpu": "1 vCPU would do (still on omics.c.large, the smallest that fits, so it costs the same)"}


def test_what_was_used_well_gets_no_advice() -> None:
    assert advice_on(entry(cpusReserved=8, cpusMaximum=7.9, memoryReservedGiB=16, memoryMaximumGiB=13)) == {}
    assert advice_on(entry(cpusReserved=1, cpusMaximum=0.1, memoryReservedGiB=1, memoryMaximumGiB=0.1)) == {}


@pytest.mark.parametrize("broken", [{}, {"cpusReserved": "8"}, {"cpusReserved": float("nan"), "memoryReservedGiB": 1}])
def test_metrics_that_make_no_sense_give_no_advice(broken: dict[str, Any]) -> None:
    assert advice_on(entry(**broken)) == {}
    assert advice_on({"metrics": "none"}) == {}


def test_static_storage_that_was_hardly_used_is_told() -> None:
    run = {"storageType": "STATIC", "metrics": {"storageReservedGiB": 4800, "storageMaximumGiB": 100}}
    assert advice_on({}, run)["storage"] == "1200 GiB of STATIC would do; DYNAMIC bills what is used"

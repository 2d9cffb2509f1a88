"""What a run costs: the instance that a task gets, its price, the run's storage. Prices are dated data with a source.

    prices = load_prices("eu-central-1")
    smallest_instance(cpus=8, memory_gib=64)                  -> "omics.r.2xlarge"
    prices.task("align", "omics.r.2xlarge", seconds=20)       -> 60 s are billed

The rules are those of the User Guide's pricing page and of aws-healthomics-tools' `run_analyzer`: at least a minute a
task, static storage in steps, storage from the run's start to its stop.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Frozen, Problem
from labrelay.model.runs import CostItem

FALLBACK = "us-east-1"
SIZES = {
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
    "24xlarge": 96,
    "32xlarge": 128,
    "48xlarge": 192,
}
ONLY_IN = {"32xlarge": ("us-east-1", "us-west-2"), "48xlarge": ("us-east-1", "us-west-2")}
GIB_PER_VCPU = {"c": 2, "m": 4, "r": 8}
LEAST_SECONDS = 60.0
STATIC_STEP, STATIC_NEXT = 1200, 2400  # GiB


class Prices(Frozen):
    """The prices of one Region.

    Attributes:
        region: Whose prices they are; another one's when the run's Region is not in the table.
        asked: The run's Region.
        dated, source: From when and where they are.
        large: USD an hour of the size `large`, by family.
        storage: USD a GiB-hour, by storage type.
    """

    region: str
    asked: str
    dated: str
    source: str
    large: dict[str, float] = Field(default_factory=dict)
    storage: dict[str, float] = Field(default_factory=dict)

    @property
    def told(self) -> str:
        """Where a price is from, for people: never more certain than it is."""
        other = "" if self.region == self.asked else f", in place of {self.asked}, whose prices are not known"
        return f"list price of {self.region}{other}; {self.dated}, {self.source}, not verified"

    def hourly(self, instance_type: str) -> float | None:
        """Return USD for an hour of an instance, None when no price is known."""
        _, family, size = (*instance_type.split("."), "", "", "")[:3]
        base = self.large.get(family)
        return None if base is None or size not in SIZES else base * SIZES[size] / SIZES["large"]

    def task(self, name: str, instance_type: str, seconds: float) -> CostItem:
        """Return what a task costs that took so many seconds from start to stop.

        Args:
            name: Unique in the run.
            instance_type: The billed one.
            seconds: At least a minute is billed.
        """
        hours = max(LEAST_SECONDS, seconds) / 3600
        return self._item(f"task {name} ({instance_type})", hours, "h", self.hourly(instance_type))

    def run_storage(self, storage_type: str, gib: float, seconds: float) -> CostItem:
        """Return what a run's storage costs.

        Args:
            storage_type: STATIC or DYNAMIC.
            gib: STATIC: what was asked for. DYNAMIC: what was used on average.
            seconds: From the run's start to its stop.
        """
        billed = static_gib(gib) if storage_type == "STATIC" else gib
        price = self.storage.get(storage_type)
        return self._item(f"run storage ({storage_type})", billed * seconds / 3600, "GiB h", price)

    def _item(self, what: str, quantity: float, unit: str, price: float | None) -> CostItem:
        usd = None if price is None else quantity * price
        source = None if price is None else self.told
        return CostItem(what=what, quantity=quantity, unit=unit, price=price, usd=usd, source=source)


def static_gib(asked: float) -> int:
    """Return how many GiB of static run storage are provisioned and billed for what was asked."""
    if asked <= STATIC_STEP:
        return STATIC_STEP
    return math.ceil(asked / STATIC_NEXT) * STATIC_NEXT


def smallest_instance(cpus: float, memory_gib: float, region: str = FALLBACK) -> str | None:
    """Return the smallest instance that has so many vCPU and so much memory, None when none has.

    Sizes come before families: 8 vCPU and 64 GiB are an `omics.r.2xlarge`, not a larger one with less memory a vCPU.
    """
    for size, vcpus in SIZES.items():
        if vcpus < cpus or region not in ONLY_IN.get(size, (region,)):
            continue
        for family, each in GIB_PER_VCPU.items():
            if vcpus * each >= memory_gib:
                return f"omics.{family}.{size}"
    return None


def load_prices(region: str, table: Path | None = None) -> Prices:
    """Return the prices of a Region, or those of us-east-1, said to be so, when the table does not have it.

    Args:
        region: Such as `eu-central-1`.
        table: A file in place of the one that comes with Labrelay.

    Raises:
        RefusedInput: The table is not one.
    """
    entries = _built_in() if table is None else _entries(_read(table), str(table))
    used = region if region in entries else FALLBACK if FALLBACK in entries else next(iter(entries))
    try:
        return Prices.model_validate({**entries[used], "region": used, "asked": region})
    except (ValidationError, TypeError) as error:
        message = f"{used}: {str(error).splitlines()[-1].strip()}."
        raise RefusedInput("The price table", [Problem(code="PRICES_INVALID", message=message)]) from None


@cache
def _built_in() -> Mapping[str, Any]:
    return _entries(files(__package__).joinpath("prices.toml").read_bytes(), "prices.toml")


def _read(table: Path) -> bytes:
    try:
        return table.read_bytes()
    except OSError as error:
        message = f"It cannot be read ({error.strerror}); mend the setting `prices` or the file."
        raise RefusedInput(
            "The price table", [Problem(code="PRICES_INVALID", message=message, path=str(table))]
        ) from None


def _entries(content: bytes, name: str) -> Mapping[str, Any]:
    try:
        entries = tomllib.loads(content.decode())
        if not entries:
            raise ValueError("it names no Region")
    except ValueError as error:
        problem = Problem(code="PRICES_INVALID", message=f"It is no price table: {error}.", path=name)
        raise RefusedInput("The price table", [problem]) from None
    return entries

"""What a run reserved and hardly used, from its manifest: the maxima that HealthOmics measured, task by task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labrelay.model.runs import Advice
from labrelay.workflows.healthomics.pricing import Prices, smallest_instance, static_gib

HEADROOM = 1.2  # the next sample may need a little more than this one
HARDLY = 0.8  # advice is given below this share of what was reserved
LEAST_CPUS, LEAST_GIB = 1, 1


def number(values: Mapping[str, Any], name: str) -> float | None:
    """Return a metric that is a finite number of zero or more, else None."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def metrics_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `metrics` of a manifest's entry; empty when it has none."""
    found = entry.get("metrics")
    return found if isinstance(found, Mapping) else {}


def advise(run: Mapping[str, Any], tasks: Sequence[tuple[str, Mapping[str, Any]]], prices: Prices) -> Iterator[Advice]:
    """Yield what could have been smaller: cpu and memory of each task, and the run's storage when it is STATIC.

    Args:
        run: The manifest's entry of the run.
        tasks: (name in the report, the manifest's entry) of each task that ran.
        prices: To say what a smaller instance saves.
    """
    for name, entry in tasks:
        yield from _of_task(name, entry, prices)
    values = metrics_of(run)
    reserved, used = number(values, "storageReservedGiB"), number(values, "storageMaximumGiB")
    if run.get("storageType") == "STATIC" and reserved and used is not None and used < HARDLY * reserved:
        wanted = static_gib(used * HEADROOM)
        least = f"{wanted} GiB of STATIC would do" if wanted < reserved else "it is the smallest STATIC size"
        yield Advice(
            task="run storage",
            resource="storage",
            reserved=reserved,
            used=used,
            unit="GiB",
            suggestion=f"{least}; DYNAMIC bills what is used",
        )


def _of_task(name: str, entry: Mapping[str, Any], prices: Prices) -> Iterator[Advice]:
    values = metrics_of(entry)
    cpus, cpus_used = number(values, "cpusReserved"), number(values, "cpusMaximum")
    gib, gib_used = number(values, "memoryReservedGiB"), number(values, "memoryMaximumGiB")
    if not cpus or not gib:
        return
    fewer = _enough(cpus, cpus_used, LEAST_CPUS)
    less = _enough(gib, gib_used, LEAST_GIB)
    if fewer is None and less is None:
        return
    saved = _saving(entry, smallest_instance(fewer or cpus, less or gib, prices.asked), prices)
    if fewer is not None and cpus_used is not None:
        words = f"{fewer} vCPU would do{saved}"
        yield Advice(task=name, resource="cpu", reserved=cpus, used=cpus_used, unit="vCPU", suggestion=words)
    if less is not None and gib_used is not None:
        words = f"{less} GiB would do{saved}"
        yield Advice(task=name, resource="memory", reserved=gib, used=gib_used, unit="GiB", suggestion=words)


def _enough(reserved: float, used: float | None, least: int) -> int | None:
    """Return what would have been enough when clearly more was reserved, else None."""
    if used is None or used >= HARDLY * reserved:
        return None
    wanted = max(least, math.ceil(used * HEADROOM))
    return wanted if wanted < reserved else None


def _saving(entry: Mapping[str, Any], instance: str | None, prices: Prices) -> str:
    billed = entry.get("instanceType")
    if instance is None or not isinstance(billed, str):
        return ""
    if billed == instance:
        return f" (still on {billed}, the smallest that fits, so it costs the same)"
    now, then = prices.hourly(billed), prices.hourly(instance)
    if now is None or then is None or then >= now:
        return ""
    return f" ({instance} in place of {billed} saves {100 * (1 - then / now):.0f} % with all such changes of the task)"

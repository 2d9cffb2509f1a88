"""Which instance HealthOmics would run a task on: the smallest that has the processors and the memory."""

from __future__ import annotations

import math

# Per family: GiB of memory for each vCPU, in the order in which they are tried.
FAMILIES = {"c": 2, "m": 4, "r": 8}
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
GIB = 1 << 30


def instance_type(cpus: float, memory_gib: float) -> str | None:
    """Return such as `omics.m.xlarge`, or None when no instance is large enough.

    Args:
        cpus: vCPUs asked for.
        memory_gib: Memory asked for, in GiB.
    """
    for size, available in SIZES.items():
        for family, gib_per_cpu in FAMILIES.items():
            if available >= cpus and available * gib_per_cpu >= memory_gib:
                return f"omics.{family}.{size}"
    return None


def whole_cpus(cpus: float | None) -> int:
    """Return vCPUs as a task has them: fractions rounded up, 1 when it does not say."""
    return max(1, math.ceil(cpus or 1))


def whole_gib(memory_bytes: float | None) -> int:
    """Return GiB of memory as a task has them: rounded up, 1 when it does not say."""
    return max(1, math.ceil((memory_bytes or GIB) / GIB))

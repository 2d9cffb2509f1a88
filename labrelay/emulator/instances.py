"""What a task has, as HealthOmics counts it: whole vCPUs, whole GiB of memory."""

from __future__ import annotations

import math

GIB = 1 << 30


def whole_cpus(cpus: float | None) -> int:
    """Return vCPUs as a task has them: fractions rounded up, 1 when it does not say."""
    return max(1, math.ceil(cpus or 1))


def whole_gib(memory_bytes: float | None) -> int:
    """Return GiB of memory as a task has them: rounded up, 1 when it does not say."""
    return max(1, math.ceil((memory_bytes or GIB) / GIB))

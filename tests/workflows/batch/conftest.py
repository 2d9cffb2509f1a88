"""What the tests of the Batch engine share."""

from .fleet import emulator, fleet

__all__ = ["emulator", "fleet"]

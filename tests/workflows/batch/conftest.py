"""What the tests of the Batch engine share."""

from .fleet import fleet

__all__ = ["fleet"]

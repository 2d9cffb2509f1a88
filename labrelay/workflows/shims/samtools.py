"""`samtools` on pysam, for the commands that the bundled definitions use."""

from __future__ import annotations

import sys

import pysam.samtools

from labrelay.workflows.shims.dispatch import run

KNOWN = ("sort", "index", "faidx", "depth", "flagstat", "stats", "view")

if __name__ == "__main__":
    sys.exit(run(pysam.samtools, "samtools", KNOWN, sys.argv[1:]))

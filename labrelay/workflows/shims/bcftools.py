"""`bcftools` on pysam, for the commands that the bundled definitions use."""

from __future__ import annotations

import sys

import pysam.bcftools

from labrelay.workflows.shims.dispatch import run

KNOWN = ("mpileup", "call", "filter", "norm", "index", "consensus", "query", "view")

if __name__ == "__main__":
    sys.exit(run(pysam.bcftools, "bcftools", KNOWN, sys.argv[1:]))

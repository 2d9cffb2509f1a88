"""`python -m benchmarks` (what `make bench` runs): every benchmark, one after another, with sizes for some minutes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS = (
    ["fastq_pass", "--rounds", "3"],
    ["sequencing_summary", "--rows", "1000000"],
    ["records_queries"],
    ["instant_runs", "--runs", "200"],
    ["records_at_scale", "--runs", "10000"],
    ["stale_set"],
    ["audit_trail"],
    ["front_door"],
    ["stale_set"],
    ["engine_overhead", "--samples", "10", "--rounds", "1"],
    ["nextflow_overhead", "--runs", "2"],
    ["emulated_run"],
    ["sweep_runs"],
    ["batch_array"],
    ["front_door", "--seconds", "10"],
    ["thumbnails", "--gigabytes", "4"],
    ["s3_upload", "--mib", "256", "--rounds", "1"],
    ["ingest_images", "--files", "5000"],
    ["listing"],
)


def main() -> int:
    """Run them all and return 1 when one of them failed."""
    failed = 0
    for script, *words in RUNS:
        sys.stdout.write(f"== {script} {' '.join(words)}\n")
        sys.stdout.flush()
        failed |= (
            subprocess.run([sys.executable, "-m", f"benchmarks.{script}", *words], cwd=ROOT, check=False).returncode
            != 0
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

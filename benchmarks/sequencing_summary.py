"""What it costs to count a Nanopore sequencing summary of many reads.

    .venv/bin/python -m benchmarks.sequencing_summary [--rows 10000000] [--rounds 3]

Writes a table under benchmarks/data/ with the columns of MinKNOW 23.11 (simulated values, fixed seed), counts it in a
process of its own, and prints medians with their ranges: wall by the clock, processors and peak memory by wait4. The
aim is 10 million rows in < 20 s and < 200 MB. The same is written to benchmarks/raw/sequencing_summary.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import Cost, keep, run, spread

DATA = Path(__file__).resolve().parent / "data"
BLOCK = 100_000
HEAD = (
    "filename_fastq\tfilename_fast5\tfilename_pod5\tparent_read_id\tread_id\trun_id\tchannel\tmux\tminknow_events\t"
    "start_time\tduration\tpasses_filtering\ttemplate_start\tnum_events_template\ttemplate_duration\t"
    "sequence_length_template\tmean_qscore_template\tstrand_score_template\tmedian_template\tmad_template\tpore_type\t"
    "experiment_id\tsample_id\tend_reason\talias\ttype\tbarcode_arrangement\tbarcode_full_arrangement\tbarcode_kit\t"
    "barcode_variant\tbarcode_score\n"
)
COUNT = (
    "import sys; from pathlib import Path; from labrelay.parsers.listing import single; "
    "from labrelay.parsers.ont_quality import scan; place = single(Path(sys.argv[1])); "
    "found, problems = scan(place, place.files[0]); "
    "print(found.rows, found.n50, round(found.mean_quality, 3), len(found.barcodes), problems)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    table = written(asked.rows)
    log = DATA / "sequencing_summary.log"
    costs = [run([sys.executable, "-c", COUNT, str(table)], log) for _ in range(asked.rounds)]
    report(asked.rows, table.stat().st_size, costs, log.read_text().strip())


def written(rows: int) -> Path:
    """Return the table, made anew unless one of that many rows is there."""
    DATA.mkdir(exist_ok=True)
    place = DATA / f"sequencing_summary_FAX00000_{rows}.txt"
    if not place.exists():
        partial = place.with_suffix(".partial")
        with partial.open("w") as out:
            out.write(HEAD)
            for block in blocks(rows):
                out.write(block)
        partial.rename(place)
    return place


def blocks(rows: int) -> Iterator[str]:
    """Give the rows in blocks as text."""
    chance = np.random.default_rng(6)
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        lengths = np.minimum(chance.lognormal(8.5, 1.0, count).astype(int) + 1, 2_000_000)
        quality = chance.normal(16, 4, count).clip(1, 50)
        barcodes = chance.integers(0, 25, count)
        yield "".join(
            row(start + i, length, q, barcode)
            for i, (length, q, barcode) in enumerate(
                zip(lengths.tolist(), quality.tolist(), barcodes.tolist(), strict=True)
            )
        )


def row(number: int, length: int, quality: float, barcode: int) -> str:
    name = f"{number:08x}-1f2e-4d3c-8b4a-5c6d7e8f9a0b"
    where = f"barcode{barcode:02d}" if barcode else "unclassified"
    passed = "TRUE" if quality >= 10 else "FALSE"
    seconds = length / 400
    return (
        f"FAX00000_pass_{where}_3ed26d0e_3f3157da_{number // 4000}.fastq.gz\t-\t"
        f"FAX00000_3ed26d0e_3f3157da_{number // 4000}.pod5\t{name}\t{name}\t3f3157da003e80fd24f04707583c1ca79b02ca0b\t"
        f"{number % 512}\t{number % 4 + 1}\t{length // 5}\t{number / 40:.6f}\t{seconds:.6f}\t{passed}\t"
        f"{number / 40:.6f}\t{length // 5}\t{seconds:.6f}\t{length}\t{quality:.6f}\t0.000000\t"
        f"210.123459\t25.123457\tnot_set\trun\t"
        f"library\tsignal_positive\t{where}\ttest_sample\t{where}\t{where}\tNB\tvar1\t87.500000\n"
    )


def report(rows: int, size: int, costs: list[Cost], said: str) -> None:
    sys.stdout.write(f"{rows:,} rows, {size / 1e9:.2f} GB: {said}\n")
    for what, values, unit in (
        ("wall", [cost.wall for cost in costs], "s"),
        ("processors", [cost.cpu for cost in costs], "s"),
        ("peak memory", [cost.rss for cost in costs], "MiB"),
    ):
        sys.stdout.write(f"{what}: {spread(values)} {unit}\n")
    keep("sequencing_summary", {"rows": rows, "bytes": size, "costs": [vars(cost) for cost in costs]})


if __name__ == "__main__":
    main()

"""One large file into S3: our store (hashes, checksum of the whole, unseen until committed) beside boto3's own upload.

    .venv/bin/python -m benchmarks.s3_upload [--mib 1024] [--rounds 3]

Both send 16 MiB parts to the same S3 (SeaweedFS on this machine's disk), each in a process of its own, one after the
other, the next round the other way about. boto3 sends what `upload_file` sends by default: parts with a CRC32 and no
checksum of the whole.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import uuid
from pathlib import Path

from benchmarks import measure

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "factory"))
from seaweed import seaweed

CLIENT = """
import sys, boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
url, path = sys.argv[1], Config(s3={"addressing_style": "path"})
s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=url, config=path)
"""
BUCKET = f"{CLIENT}s3.create_bucket(Bucket='bench')"
BOTO3 = f"""{CLIENT}
parts = TransferConfig(multipart_chunksize=16 << 20, max_concurrency=4)
s3.upload_file(sys.argv[2], "bench", sys.argv[3], Config=parts)
"""
OURS = """
import sys
from pathlib import Path
from labrelay.stores.aws import Aws
from labrelay.stores.s3 import S3ObjectStore
store = S3ObjectStore(Aws(region="us-east-1", endpoint_url=sys.argv[1]), "bench")
print(store.stage(Path(sys.argv[2]), sys.argv[3]).commit().sha256)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "NO_PROXY": "127.0.0.1"}
    costs: dict[str, list[measure.Cost]] = {"labrelay": [], "boto3": []}
    with tempfile.TemporaryDirectory(prefix="labrelay-bench-") as folder, seaweed(Path(folder) / "s3") as url:
        root, env = Path(folder), {**os.environ, **keys}
        source = root / "large.bin"
        with source.open("wb") as file:
            for _ in range(asked.mib):
                file.write(os.urandom(1 << 20))
        measure.run([sys.executable, "-c", BUCKET, url], root / "log", env)
        programs = {"labrelay": OURS, "boto3": BOTO3}
        for turn in range(asked.rounds):
            for name in sorted(programs, reverse=bool(turn % 2)):
                command = [sys.executable, "-c", programs[name], url, str(source), f"{name}/{uuid.uuid4()}"]
                costs[name].append(measure.run(command, root / "log", env))
    print(f"{asked.mib} MiB, {asked.rounds} rounds, {os.cpu_count()} cores\n")
    print("| what | s, median (range) | s of processors | peak MiB |\n|---|---|---|---|")
    for name, each in costs.items():
        walls = [cost.wall for cost in each]
        cpu, rss = statistics.median(cost.cpu for cost in each), max(cost.rss for cost in each)
        print(
            f"| {name} | {statistics.median(walls):.1f} ({min(walls):.1f}-{max(walls):.1f}) | {cpu:.1f} | {rss:.0f} |"
        )


if __name__ == "__main__":
    main()

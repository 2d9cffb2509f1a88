"""Feeds parsers what no instrument wrote, led by the lines reached: `python tests/tools/fuzz.py TARGET SECONDS`.

It needs atheris, and runs one parser in one process, because libFuzzer ends its process. `make fuzz` runs all of them.
A finding is an exception, ten seconds for one input, or more than a gigabyte; its input is left in the folder `.fuzz`.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
CASES = DATA / "instruments"
FOUND = ROOT / ".fuzz"
MOST = 200_000  # bytes of a seed: a longer one only slows the search
Parse = Callable[[bytes], object]


def interop(data: bytes) -> None:
    """Read a file of one of the four kinds, which its first byte chooses."""
    from labrelay.parsers import interop as files

    readers = {
        "TileMetricsOut.bin": files.tiles_of,
        "QMetricsOut.bin": files.qualities_of,
        "ErrorMetricsOut.bin": files.errors_of,
        "ExtractionMetricsOut.bin": files.cycles_of,
    }
    name = list(readers)[data[0] % len(readers)] if data else "QMetricsOut.bin"
    rest = data[1:]
    layout, _ = files.check_length(name, rest[: files.HEAD], len(rest), name)
    if layout is not None:
        readers[name](rest, layout)


def tiff(data: bytes) -> None:
    """Read the head of a TIFF file."""
    from labrelay.parsers.tiff_head import read_tiff_head

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.tif").write_bytes(data)
        read_tiff_head(Path(folder), "a.tif")


def parsers() -> dict[str, Parse]:
    """Return what is fuzzed, binary formats and XML first."""
    import io

    from labrelay.parsers.abif import parse_abif
    from labrelay.parsers.bam_header import read_groups
    from labrelay.parsers.element_stats import parse_run_stats
    from labrelay.parsers.epu_session import parse_image, parse_session
    from labrelay.parsers.gen5_text import parse_gen5
    from labrelay.parsers.illumina_parameters import parse_run_parameters
    from labrelay.parsers.illumina_runinfo import parse_run_info
    from labrelay.parsers.mdoc import parse_mdoc
    from labrelay.parsers.mrc_header import parse_mrc_header
    from labrelay.parsers.ome_xml import read_ome_xml
    from labrelay.parsers.pacbio_xml import parse_collection
    from labrelay.parsers.qc_files import read_qc
    from labrelay.parsers.samplesheet import read_sample_sheet

    return {
        "interop": interop,
        "abif": lambda data: parse_abif(data, "a.ab1"),
        "bam_header": read_groups,
        "mrc_header": lambda data: parse_mrc_header(data, len(data), "a.mrc"),
        "tiff_head": tiff,
        "run_info": lambda data: parse_run_info(data, "RunInfo.xml"),
        "run_parameters": lambda data: parse_run_parameters(data, "RunParameters.xml"),
        "pacbio_xml": lambda data: parse_collection(data, "a.metadata.xml"),
        "epu_image": lambda data: parse_image(data, "a.xml"),
        "epu_session": lambda data: parse_session(data, "EpuSession.dm"),
        "ome_xml": lambda data: read_ome_xml(io.BytesIO(data), "a.ome.xml"),
        "qc_files": lambda data: read_qc("a.txt", data),
        "run_stats": lambda data: parse_run_stats(data, "RunStats.json"),
        "gen5": lambda data: parse_gen5(data, "a.txt"),
        "mdoc": lambda data: parse_mdoc(data, "a.mdoc"),
        "sample_sheet": lambda data: read_sample_sheet(data, "SampleSheet.csv"),
    }


# Real files to begin with, as patterns below tests/data.
SEEDS = {
    "abif": ("instruments/sanger-ab1/**/*.ab1",),
    "bam_header": ("alignments/*.bam",),
    "mrc_header": ("instruments/cryoem-mrc*/**/*.mrc*",),
    "tiff_head": ("imaging/**/*.tif*", "instruments/ome-*/**/*.tif*"),
    "run_info": ("instruments/*/**/RunInfo.xml",),
    "run_parameters": ("instruments/*/**/[rR]unParameters.xml",),
    "pacbio_xml": ("instruments/pacbio*/**/*.metadata.xml",),
    "epu_image": ("instruments/cryoem-epu*/**/FoilHole*.xml",),
    "epu_session": ("instruments/cryoem-epu*/**/EpuSession.dm",),
    "ome_xml": ("instruments/ome-xml*/**/*.xml", "instruments/**/*companion.ome"),
    "qc_files": ("qc/*", "instruments/pacbio-ccs*/**/*.ccs*"),
    "run_stats": ("instruments/element*/**/RunStats.json",),
    "gen5": ("instruments/platereader-gen5/*.txt",),
    "mdoc": ("instruments/cryoem-serialem-mdoc/*.mdoc",),
    "sample_sheet": ("instruments/*/**/SampleSheet*.csv",),
}
KINDS = ("TileMetricsOut", "QMetricsOut", "ErrorMetricsOut", "ExtractionMetricsOut")


def seeds_of(target: str) -> Iterator[bytes]:
    """Give the beginnings of real files; those of InterOp with the byte before them that says which they are."""
    if target == "interop":
        for path in sorted((DATA / "interop").glob("*.bin.gz")):
            kind = KINDS.index(path.name.split(".")[1])
            yield bytes([kind]) + gzip.decompress(path.read_bytes())[:5000]
    for pattern in SEEDS.get(target, ()):
        for path in sorted(DATA.glob(pattern)):
            if path.is_file():
                yield path.read_bytes()[:MOST]


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one parser; libFuzzer ends the process, with 0 when nothing was found."""
    import atheris

    with atheris.instrument_imports(include=["labrelay.parsers"]):
        parse = parsers()[target]
        parse(b"")
    corpus = FOUND / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds_of(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", f"-max_len={MOST}"]
    told = [f"-artifact_prefix={FOUND}/{target}-", "-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, *told, str(corpus)], parse)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the parser that is named, or all of them one after the other, for so many seconds each."""
    target, seconds = sys.argv[1], int(sys.argv[2])
    if target != "all":
        fuzz(target, seconds)
        return 0
    failed = []
    for name in parsers():
        done = subprocess.run(
            [sys.executable, __file__, name, str(seconds)], capture_output=True, text=True, check=False
        )
        told = (line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line)
        sys.stdout.write(f"{name}: {next(told, 'no')} inputs, {'nothing found' if done.returncode == 0 else 'FOUND'}\n")
        sys.stdout.flush()
        if done.returncode:
            sys.stdout.write(done.stdout[-3000:] + done.stderr[-3000:])
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

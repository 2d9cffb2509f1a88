"""MGI and DNBSEQ sequencers: a folder a flow cell, a folder a lane (`V350012345/L01`), FASTQ of each barcode.

From documents and public programs: no real folder with a free licence was at hand, and the warning FROM_DOCUMENTS says
so. Nothing that is known of says when such a folder is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import (
    Completion,
    Detection,
    Fact,
    InstrumentRun,
    Known,
    ReadSegment,
    RunFile,
    SheetSample,
)
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.parsers.listing import Entry, Listing, read_small
from labrelay.parsers.text import cells, column_key, decode, lines, to_datetime, to_int, warning

NAME = "mgi"
LOOKED_FOR = "L01/BioInfo.csv, *.fqStat.txt or V350012345_L01_1_1.fq.gz"
_READS = re.compile(
    r"(?P<label>(?P<cell>[A-Z]{1,3}\d{7,12})_L(?P<lane>\d{2})(?:_(?P<barcode>read|undecoded|discard|[A-Za-z0-9-]+?))?)"
    r"(?:_(?P<read>[12]))?\.(?:fq|fastq)\.gz\Z"
)
_LOST = ("undecoded", "discard", "ambiguous")
_MOST_STATS = 2000
_STATS = {"readnum": ("reads", "count"), "basenum": ("bases", "bp"), "q30": ("q30_percent", "percent")}
# Each fact under the names of the two dialects that are known (G99, and T1+).
_KEYS = {
    "serial": ("machineid", "instrumentid"),
    "flow_cell": ("flowcellid",),
    "run": ("runname", "dnbid"),
    "started": ("sequencestarttime", "startsequencetime"),
    "read1": ("read1cycles", "read1len"),
    "read2": ("read2cycles", "read2len"),
    "barcode": ("barcode", "barcodelen", "barcodecycles"),
}
_PEOPLE = ("username", "operator", "user")


def detect(listing: Listing) -> Detection | None:
    """Say whether this is a flow cell's folder of MGI."""
    found: dict[str, str] = {}
    for entry in listing.files:
        name = entry.name.lower()
        if name == "bioinfo.csv":
            found.setdefault("info", entry.path)
        elif name.endswith(".fqstat.txt"):
            found.setdefault("stat", entry.path)
        elif name.endswith(".gz") and "reads" not in found and _READS.match(entry.name):
            found["reads"] = entry.path
    if "reads" not in found and len(found) < 2:
        return None
    return Detection(platform=NAME, confidence=0.9 if len(found) > 1 else 0.6, evidence=tuple(found.values()))


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the flow cell as its folder describes it; each barcode of each lane is a sample until somebody says more.

    Args:
        folder: As the caller named it; its name is kept beside the flow cell.
        listing: Of that folder.
    """
    name = folder.resolve().name
    problems = [*listing.problems]
    info = _info(listing, problems)
    told = {fact: next((info[key] for key in keys if info.get(key)), None) for fact, keys in _KEYS.items()}
    files = [_file(entry) for entry in listing.files]
    cells_named = {match["cell"] for entry in listing.files if (match := _READS.match(entry.name))}
    flow_cell = told["flow_cell"] or (cells_named.pop() if len(cells_named) == 1 else None)
    if flow_cell is None:
        what = "no file says the flow cell's id, so the folder's name is used; keep that name"
        problems.append(warning("RUN_ID_FROM_FOLDER", what))
    what = "folders of this instrument are read as documents describe them; look whether what is said here is right"
    problems.append(warning("FROM_DOCUMENTS", what))
    reads = next((file.path for file in files if file.role is FileRole.READS), None)
    started = told["started"]
    return InstrumentRun(
        run_id=flow_cell or name,
        folder_name=name,
        platform=NAME,
        instrument_serial=told["serial"],
        flow_cell=flow_cell,
        started=to_datetime(started) if started else None,
        started_text=started,
        reads=tuple(_recipe(told)),
        samples=tuple(_samples(listing)),
        files=tuple(files),
        qc=tuple(_metrics(listing, problems)),
        completion=Completion(converted=Fact(value=Known.YES, evidence=reads) if reads else Fact()),
        problems=tuple(problems),
        raw={"BioInfo.csv": {key: v[:500] for key, v in list(info.items())[:50] if key not in _PEOPLE}} if info else {},
        personal={f"BioInfo.csv: {key}": info[key] for key in _PEOPLE if info.get(key)},
    )


def _info(listing: Listing, problems: list[Problem]) -> dict[str, str]:
    """Return BioInfo.csv of the first lane by its keys, in letters and digits only."""
    entry = next(listing.named("bioinfo.csv"), None)
    data = read_small(listing.root, entry.path) if entry else b""
    if entry is None or isinstance(data, Problem):
        problems += [warning(data.code, data.message, data.path)] if isinstance(data, Problem) else []
        return {}
    rows = [cells(line)[0] for line in lines(decode(data, entry.path).text)[:500]]
    return {column_key(row[0]): row[1] for row in rows if len(row) > 1 and row[0] and row[1]}


def _file(entry: Entry) -> RunFile:
    match = _READS.match(entry.name)
    if match is None:
        metadata = entry.name.lower().endswith((".csv", ".txt", ".json", ".html", ".xml", ".tsv"))
        role = FileRole.RUN_METADATA if metadata else FileRole.OTHER
        return RunFile(path=entry.path, size=entry.size, role=role)
    lost = (match["barcode"] or "").lower() in _LOST
    return RunFile(
        path=entry.path,
        size=entry.size,
        role=FileRole.UNDETERMINED if lost else FileRole.READS,
        sample=None if lost else match["label"],
        lane=int(match["lane"]) or None,
        read=int(match["read"]) if match["read"] else None,
    )


def _samples(listing: Listing) -> Iterator[SheetSample]:
    told = set()
    for entry in listing.files:
        match = _READS.match(entry.name)
        if match is None or match["label"] in told or (match["barcode"] or "").lower() in _LOST:
            continue
        told.add(match["label"])
        barcode = match["barcode"] if match["barcode"] != "read" else None
        yield SheetSample(sample_id=match["label"], lane=int(match["lane"]) or None, barcode=barcode)


def _recipe(told: dict[str, str | None]) -> Iterator[ReadSegment]:
    number = 0
    for fact in ("read1", "read2", "barcode"):
        cycles = to_int(told[fact])
        if cycles:
            number += 1
            yield ReadSegment(number=number, cycles=cycles, is_index=fact == "barcode")


def _metrics(listing: Listing, problems: list[Problem]) -> Iterator[QCMetric]:
    stats = [entry for entry in listing.files if entry.name.lower().endswith(".fqstat.txt")]
    for entry in stats[:_MOST_STATS]:
        data = read_small(listing.root, entry.path)
        if isinstance(data, Problem):
            problems.append(warning(data.code, data.message, data.path))
            continue
        scope = entry.name.partition(".")[0]
        for line in lines(decode(data, entry.path).text)[:50]:
            key, _, value = line.lstrip("#").partition("\t")
            name, unit = _STATS.get(column_key(key), (None, ""))
            number = _number(value)
            if name is not None and number is not None:
                yield QCMetric(name=name, value=number, unit=unit, scope=scope, source=entry.path)


def _number(text: str) -> float | None:
    first = text.split("\t")[0].strip()
    return float(first) if re.fullmatch(r"\d{1,18}(?:\.\d{1,12})?", first, re.ASCII) else None

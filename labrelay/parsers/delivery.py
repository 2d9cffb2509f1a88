"""A sequencing provider's delivery: files of reads with MD5 lists and a table of samples, and no run folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.checksums import attach_checksums, is_checksum_list
from labrelay.parsers.fastq_names import (
    SEQUENCES,
    is_other_reads,
    is_read_file,
    lone_mates,
    name_problems,
    name_reads,
    other_reads,
    pair_reads,
    run_file,
)
from labrelay.parsers.illumina_sheets import asks_for_mates
from labrelay.parsers.listing import Entry, Listing, read_head, read_small
from labrelay.parsers.sample_list import empty_file_columns, looks_like_list, no_list, read_sample_list
from labrelay.parsers.samplesheet import looks_like_sheet, read_sample_sheet
from labrelay.parsers.sheet_match import match_reads
from labrelay.parsers.text import error, warning

NAME = "delivery"
LOOKED_FOR = "files of reads with an MD5 list or a CSV or TSV with a column of samples"
_TABLE = re.compile(r".*\.(?:csv|tsv|txt)\Z", re.IGNORECASE)
_DOCUMENT = re.compile(
    r".*\.(?:txt|csv|tsv|json|xml|html?|pdf|md|xlsx?|docx?|log|bai|crai|csi|pbi|fai)\Z", re.IGNORECASE
)
_NAMES_READS = re.compile(rb"\.(?:fastq|fq|bam|cram)\b", re.IGNORECASE)
_CANDIDATES = 20
_LISTS = 100  # that are opened to recognise a delivery: some instruments write one beside each of very many files


def detect(listing: Listing) -> Detection | None:
    """Say whether this is a delivery: reads beside a list, or an MD5 list whose reads have not arrived."""
    reads = next((entry.path for entry in listing.files if is_read_file(entry.name)), None)
    sums = [entry.path for entry in _checksum_lists(listing)]
    if reads is None:
        waited = next((path for path in sums[:_LISTS] if _NAMES_READS.search(read_head(listing.root, path))), None)
        return Detection(platform=NAME, confidence=0.4, evidence=(waited,)) if waited else None
    tables = [entry.path for entry in _tables(listing)]
    if not sums and not tables:
        return None
    return Detection(platform=NAME, confidence=0.7, evidence=(reads, *sums[:2], *tables[:2]))


def _checksum_lists(listing: Listing) -> Iterator[Entry]:
    return (entry for entry in listing.files if is_checksum_list(entry.name))


def _tables(listing: Listing) -> Iterator[Entry]:
    """Give the tables of samples, those with `sample` in their name first, then the highest in the tree."""
    fitting = [
        e for e in listing.files if _TABLE.match(e.name) and not is_checksum_list(e.name) and e.path.count("/") < 3
    ]
    ordered = sorted(fitting, key=lambda e: ("sample" not in e.name.lower(), e.path.count("/"), e.path))
    for entry in ordered[:_CANDIDATES]:
        head = read_head(listing.root, entry.path)
        if looks_like_list(head) or looks_like_sheet(head):
            yield entry


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the delivery as a run; its id is the folder's name, because nothing inside says one.

    Args:
        folder: As the caller named it.
        listing: Of that folder.
    """
    return read_files(folder, listing, NAME, with_list=True)


def read_files(folder: Path, listing: Listing, platform: str, *, with_list: bool) -> InstrumentRun:
    """Return a folder of reads as a run, for a delivery and for plain files alike.

    Args:
        folder: As the caller named it.
        listing: Of that folder.
        platform: What the run is called.
        with_list: Look for a table of samples.
    """
    name = folder.resolve().name
    problems = [*listing.problems]
    problems.append(
        warning("RUN_ID_FROM_FOLDER", "no file says a run's id, so the folder's name is used; keep that name")
    )
    tables = list(_tables(listing)) if with_list else []
    samples, given, found, mates = _samples(listing, tables[0]) if tables else ((), {}, [no_list()], False)
    files = list(_files(listing, tables, problems))
    files, wrong = _give(files, given, samples, tables[0].path if tables else None)
    files, sums, complete = attach_checksums(listing, files)
    problems += [*found, *wrong, *sums, *name_problems(files), *pair_reads(files).problems]
    problems += lone_mates(files, by_recipe=mates)
    reads = next((file.path for file in files if file.role in SEQUENCES), None)
    if reads is None:
        problems.append(error("NO_READS", "the folder holds no file of reads of a sample; bring them"))
    return InstrumentRun(
        run_id=name,
        folder_name=name,
        platform=platform,
        samples=samples,
        files=tuple(sorted(files, key=lambda file: file.path)),
        completion=Completion(
            copied=_copied(listing, complete),
            converted=Fact(value=Known.YES if reads else Known.NO, evidence=reads),
        ),
        problems=tuple(problems),
    )


def _copied(listing: Listing, complete: bool | None) -> Fact:
    if complete is None:
        return Fact()
    evidence = next((entry.path for entry in _checksum_lists(listing)), None)
    return Fact(value=Known.YES if complete else Known.NO, evidence=evidence)


def _samples(listing: Listing, table: Entry) -> tuple[tuple[SheetSample, ...], dict[str, str], list[Problem], bool]:
    """Return the samples, the sample by file name where the list says it, its problems, and whether it has mates."""
    data = read_small(listing.root, table.path)
    if isinstance(data, Problem):
        return (), {}, [data], False
    if looks_like_sheet(data[:65_536]):
        sheet = read_sample_sheet(data, table.path)
        return sheet.samples, {}, list(sheet.problems), asks_for_mates(sheet)
    rows = read_sample_list(data, table.path)
    missing = empty_file_columns(rows.files, {entry.name for entry in listing.files}, table.path)
    given = {file.replace("\\", "/").rpartition("/")[2]: sample for file, (sample, _) in rows.files.items()}
    return rows.samples, given, [*rows.problems, *missing], False


def _files(listing: Listing, tables: list[Entry], problems: list[Problem]) -> Iterator[RunFile]:
    names = name_reads([entry.path for entry in listing.files])
    tabled = {entry.path for entry in tables}
    left = []
    for entry in listing.files:
        name = names.get(entry.path)
        if name is not None:
            yield run_file(entry, name)
        elif is_checksum_list(entry.name):
            yield RunFile(path=entry.path, size=entry.size, role=FileRole.CHECKSUMS)
        elif entry.path in tabled:
            yield RunFile(path=entry.path, size=entry.size, role=FileRole.SAMPLE_SHEET)
        elif _DOCUMENT.match(entry.name):
            yield RunFile(path=entry.path, size=entry.size, role=FileRole.OTHER)
        elif is_other_reads(entry.name):
            problems.append(other_reads(entry.path))
        else:
            left.append(entry.path)
    if left:
        first = ", ".join(printable(path, 80) for path in left[:3]) + (" …" if len(left) > 3 else "")
        problems.append(
            warning("FILES_LEFT_OVER", f"{counted(len(left), 'file')} of no known role not stored: {first}")
        )


def _give(
    files: list[RunFile], given: dict[str, str], samples: tuple[SheetSample, ...], table: str | None
) -> tuple[list[RunFile], list[Problem]]:
    """Give each file its sample: as the list says by file name, else by what the file is called."""
    told = [
        file.model_copy(update={"sample": given[name]}) if (name := file.path.rpartition("/")[2]) in given else file
        for file in files
    ]
    return match_reads(told, samples, table, prefixes=True)

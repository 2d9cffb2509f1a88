"""The table of samples that a sequencing provider sends along: CSV or TSV, one row a sample or a pair of files."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from labrelay.model.instrument import SheetSample
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.text import cells, column_key, decode, delimiter_of, error, lines, to_int, warning

# In order of preference: the customer's own name of a sample wins over the provider's.
_SAMPLE = ("sampleid", "sample", "samplename", "customersampleid", "customersamplename", "libraryid", "library", "name")
_NAME = ("samplename", "customersamplename", "customersampleid", "alias", "libraryname", "name")
_BARCODE = ("barcode", "index", "i7index", "indexsequence")
_BARCODE2 = ("index2", "i5index")
_PROJECT = ("project", "sampleproject", "projectid")
_LANE = ("lane",)
_FILES = frozenset(
    f"{stem}{number}"
    for stem in ("fastq", "r", "read", "file", "fq", "filename", "fastqr")
    for number in ("", "1", "2")
) - {"r", "read"} | {"filepath", "path", "forward", "reverse", "bam", "cram"}
_MAX_LINES = 200_000


class SampleList(NamedTuple):
    """A provider's list.

    Attributes:
        samples: One per row.
        files: Sample by the name of a file as the list writes it, with the line.
        problems: What is wrong with the list.
    """

    samples: tuple[SheetSample, ...]
    files: dict[str, tuple[str, int]]
    problems: tuple[Problem, ...]


def looks_like_list(head: bytes) -> bool:
    """Tell whether the beginning of a file is a table with a column of samples."""
    first = next((line for line in lines(decode(head, "").text) if line.strip()), "")
    row, _ = cells(first, delimiter_of(first))
    keys = [column_key(cell) for cell in row]
    return len(row) > 1 and any(key in _SAMPLE for key in keys)


def read_sample_list(data: bytes, path: str) -> SampleList:
    """Return the samples of a provider's list, and which files it gives to which sample.

    The same sample on several rows is one sample with several files; the same row twice is an error.

    Args:
        data: The whole file.
        path: For messages.
    """
    text, decoding = decode(data, path)
    problems = list(decoding)
    rows = [(number, line) for number, line in enumerate(lines(text), 1) if line.strip()]
    if not 1 < len(rows) <= _MAX_LINES:
        what = f"the list of samples has {len(rows)} lines; it needs column names and at most {_MAX_LINES} rows"
        code = "EMPTY_SHEET" if len(rows) < 2 else "TOO_LARGE"
        return SampleList((), {}, (*problems, error(code, what, path)))
    delimiter = delimiter_of(rows[0][1])
    keys = [column_key(cell) for cell in cells(rows[0][1], delimiter)[0]]
    samples: list[SheetSample] = []
    files: dict[str, tuple[str, int]] = {}
    seen: dict[tuple[str, ...], int] = {}
    for number, line in rows[1:]:
        row, balanced = cells(line, delimiter)
        if not balanced or any(row[len(keys) :]):
            what = "the row has more cells than there are columns, or a quotation mark that is not closed"
            problems.append(error("BAD_ROW", what, path, number))
        elif any(row) and (earlier := seen.setdefault(tuple(row), number)) != number:
            problems.append(error("DUPLICATE_SAMPLE", f"the row is that of line {earlier} again", path, number))
        elif any(row):
            # Written from the right, so that of two columns with one name the first stays.
            padded = [*row, *[""] * len(keys)][: len(keys)]
            _row(dict(zip(keys[::-1], padded[::-1], strict=True)), path, number, samples, files, problems)
    if not samples and not problems:
        problems.append(error("EMPTY_SHEET", "the list has no row below its column names", path))
    return SampleList(tuple(samples), files, tuple(problems))


def _row(
    values: dict[str, str],
    path: str,
    line: int,
    samples: list[SheetSample],
    files: dict[str, tuple[str, int]],
    problems: list[Problem],
) -> None:
    sample_id = _value(values, _SAMPLE)
    if sample_id is None or not sample_id.isprintable() or len(sample_id) > 200:
        text = f"the row has no usable sample name: {printable(sample_id or '(empty)', 60)}"
        problems.append(error("NO_SAMPLE_ID", text, path, line))
        return
    index, index2 = _value(values, _BARCODE), _value(values, _BARCODE2)
    sample = SheetSample(
        sample_id=sample_id,
        name=_value(values, _NAME),
        lane=to_int(_value(values, _LANE)),
        index=index,
        index2=index2,
        project=_value(values, _PROJECT),
        barcode="+".join(part.upper() for part in (index, index2) if part).replace("-", "+") or None,
        line=line,
    )
    samples.append(sample)
    for key, name in values.items():
        if key not in _FILES or not name:
            continue
        other, earlier = files.setdefault(name, (sample_id, line))
        if other != sample_id:
            text = (
                f"{printable(name, 80)} is given to {printable(sample_id, 60)} and in line {earlier} to another sample"
            )
            problems.append(error("FILE_OF_TWO_SAMPLES", text, path, line))


def _value(values: dict[str, str], names: tuple[str, ...]) -> str | None:
    found = next((values[name] for name in names if values.get(name)), None)
    return unicodedata.normalize("NFC", found) if found else None


def empty_file_columns(files: dict[str, tuple[str, int]], present: set[str], path: str) -> list[Problem]:
    """Return an error for each file that the list names and the folder does not hold.

    Args:
        files: As `SampleList.files`.
        present: Names of the files in the folder.
        path: The list.
    """
    return [
        error(
            "LISTED_FILE_MISSING", f"it lists {printable(name)}, and no such file is here; fetch it again", path, line
        )
        for name, (_, line) in files.items()
        if name.replace("\\", "/").rpartition("/")[2] not in present
    ]


def no_list(path: str | None = None) -> Problem:
    """Return the warning that nobody said which samples these are."""
    text = "no list of samples came with these reads; the names of their files say whose they are"
    return warning("NO_SAMPLE_SHEET", text, path)

"""Mass spectra in the open form mzML: one file, or a folder of them, plain or gzip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Completion, Detection, Fact, InstrumentRun, Known, RunFile, Unit
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.qc import QCMetric
from labrelay.model.words import counted
from labrelay.parsers import opaque_formats
from labrelay.parsers.listing import Entry, Listing
from labrelay.parsers.moments import in_order
from labrelay.parsers.mzml_spectra import Counts, count_spectra
from labrelay.parsers.text import to_datetime, warning

NAME = "mzml"
LOOKED_FOR = "*.mzML or *.mzML.gz"
MAX_COUNTED = 2 << 30  # bytes on disk that are counted in one run, some ten seconds of work
# What converters write when they know no name; it tells no run from another.
_GENERIC = re.compile(r"(?:ru|run|ms|msrun|mzml|default|unknown|test|sample)?[_ -]?\d{0,3}\Z", re.IGNORECASE)
_ENDING = re.compile(r"\.mzml(?:\.gz)?\Z", re.IGNORECASE)


def detect(listing: Listing) -> Detection | None:
    """Say whether the folder holds mzML files, which no other program writes by that name."""
    found = tuple(entry.path for entry in listing.files if _ENDING.search(entry.name))[:3]
    return Detection(platform=NAME, confidence=0.8, evidence=found) if found else None


def stem(name: str) -> str:
    """Return a file's name without `.mzML` or `.mzML.gz`."""
    return _ENDING.sub("", name)


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the files as a run in which each is a sample; raw files beside them are stored as the signal.

    Args:
        folder: As the caller named it; its name is the run's id where it holds several files.
        listing: Of that folder.
    """
    name = folder.resolve().name
    mine = [entry for entry in listing.files if _ENDING.search(entry.name)]
    counts, problems = _counted(listing, mine)
    first = next((each.header for each in counts.values() if each.header.instrument), None)
    times = in_order((to_datetime(text), text) for each in counts.values() if (text := each.header.started_text))
    return InstrumentRun(
        run_id=_run_id(counts, mine, name),
        folder_name=name,
        platform=NAME,
        instrument_model=first.instrument if first else None,
        instrument_serial=first.serial if first else None,
        software=_software(counts),
        started=times[0][0] if times else None,
        started_text=times[0][1] if times else None,
        files=tuple(_file(entry) for entry in listing.files),
        units=tuple(_unit(path, each, problems) for path, each in counts.items()),
        qc=tuple(_unique(metric for path, each in counts.items() for metric in _metrics(path, each))),
        completion=_completion(mine, counts, problems),
        raw={path: _raw(each) for path, each in list(counts.items())[:20]},
        personal=_personal(counts),
        problems=(*listing.problems, *problems),
    )


def _counted(listing: Listing, mine: list[Entry]) -> tuple[dict[str, Counts], list[Problem]]:
    found: dict[str, Counts] = {}
    problems: list[Problem] = []
    room = MAX_COUNTED
    left: list[Entry] = []
    for entry in mine:
        if entry.size > room:
            left.append(entry)
            continue
        room -= entry.size
        counts, wrong = count_spectra(listing.root, entry.path)
        problems += wrong
        if counts is not None:
            found[entry.path] = counts
            problems += _against_declared(entry, counts, cut=bool(wrong))
    problems += _twice(mine)
    if left:
        many = counted(len(left), "file")
        text = f"{many} from here on were not looked at: together they have more than {MAX_COUNTED >> 30} GiB"
        problems.append(warning("NOT_ALL_READ", text, left[0].path))
    return found, problems


def _twice(mine: list[Entry]) -> list[Problem]:
    """Return the warnings that two files are called alike, so that their sample would have both."""
    first: dict[str, str] = {}
    return [
        warning("DUPLICATE_SAMPLE", f"it is called like {printable(known, 120)}, and one sample gets both", entry.path)
        for entry in mine
        if (known := first.setdefault(stem(entry.name), entry.path)) != entry.path
    ]


def _against_declared(entry: Entry, counts: Counts, *, cut: bool) -> list[Problem]:
    """Return where a whole file differs from what it says of itself."""
    path, found = entry.path, []
    has = {"spectrum": counts.spectra, "chromatogram": counts.chromatograms}
    for word, plural in (("spectrum", "spectra"), ("chromatogram", "chromatograms")):
        declared = counts.declared.get(word)
        if declared is not None and declared != has[word]:
            text = f"it declares {declared:,} {plural} and holds {has[word]:,}; was it filtered, or is it a part?"
            found.append(warning("COUNT_MISMATCH", text, path))
    if not counts.spectra and not cut:
        chromatograms = counted(counts.chromatograms, "chromatogram")
        found.append(warning("NO_SPECTRA", f"it holds no spectrum, only {chromatograms}", path))
    if counts.sha1_written and counts.sha1_written != counts.sha1_found:
        text = "its SHA-1 is not the one that stands in its last lines: it was changed after it was written"
        found.append(warning("CHECKSUM_MISMATCH", text, path))
    run_id = _own_id(counts)
    if run_id and stem(entry.name).lower() not in (run_id.lower(), stem(run_id).lower()):
        text = f"the file is called {printable(stem(entry.name), 80)} and holds the run {printable(run_id, 80)}"
        found.append(warning("ID_MISMATCH", text, path))
    started = counts.header.started_text
    if started and to_datetime(started) is None:
        text = f"its startTimeStamp {printable(started, 40)} is no time of ISO 8601, so the start is not known"
        found.append(warning("UNKNOWN_DATE", text, path))
    return found


def _run_id(counts: dict[str, Counts], mine: list[Entry], name: str) -> str:
    """Return the id that the only file gives its run; of several files, the folder's name."""
    return (_own_id(next(iter(counts.values()))) if len(mine) == 1 and counts else None) or name


def _own_id(counts: Counts) -> str | None:
    """Return the run's id where it tells this run from others."""
    run_id = counts.header.run_id
    return run_id if run_id and run_id.isprintable() and not _GENERIC.match(run_id) else None


def _software(counts: dict[str, Counts]) -> str | None:
    told = dict.fromkeys(item for each in counts.values() for item in each.header.software)
    return printable(", ".join(told), 200) or None


def _file(entry: Entry) -> RunFile:
    if _ENDING.search(entry.name):
        return RunFile(path=entry.path, size=entry.size, role=FileRole.SPECTRA, sample=stem(entry.name))
    item = opaque_formats.item_of(entry.path)
    if item is not None:
        return RunFile(path=entry.path, size=entry.size, role=FileRole.SIGNAL, sample=item.sample)
    return RunFile(path=entry.path, size=entry.size, role=FileRole.OTHER)


def _unit(path: str, counts: Counts, problems: list[Problem]) -> Unit:
    header = counts.header
    facts = {"started": header.started_text or "not said", "spectra": f"{counts.spectra}"}
    facts |= {f"ms{level}": str(number) for level, number in sorted(counts.levels.items())}
    if counts.chromatograms:
        facts["chromatograms"] = str(counts.chromatograms)
    name = path.rpartition("/")[2]
    return Unit(
        name=_own_id(counts) or stem(name),
        kind="acquisition",
        sample=stem(name),
        completion=_told(_whole(path, problems)),
        facts=facts,
    )


def _whole(path: str, problems: list[Problem]) -> Fact:
    """Return whether a file is whole: a converter writes the last tag when all spectra are written."""
    cut = any(each.path == path and each.code in ("TRUNCATED", "BAD_XML", "XML_REFUSED") for each in problems)
    return Fact(value=Known.NO if cut else Known.YES, evidence=path)


def _completion(mine: list[Entry], counts: dict[str, Counts], problems: list[Problem]) -> Completion:
    facts = [_whole(entry.path, problems) for entry in mine]
    broken = next((fact for fact in facts if fact.value is Known.NO), None)
    if broken is not None:
        return _told(broken)
    if len(counts) < len(mine) or not mine:
        return Completion()
    more = f" and {len(mine) - 1} more" if len(mine) > 1 else ""
    return _told(Fact(value=Known.YES, evidence=f"last tag of {mine[0].path}{more}"))


def _told(whole: Fact) -> Completion:
    """Return the three facts of what is whole, or cut: then nothing says whether the instrument had finished."""
    acquired = whole if whole.value is Known.YES else Fact()
    return Completion(acquired=acquired, copied=whole, converted=whole)


def _metrics(path: str, counts: Counts) -> list[QCMetric]:
    name = stem(path.rpartition("/")[2])
    values = {"spectra": counts.spectra, "chromatograms": counts.chromatograms}
    values |= {f"ms{level}_spectra": number for level, number in sorted(counts.levels.items())}
    return [QCMetric(name=key, value=value, unit="count", scope=name, source=path) for key, value in values.items()]


def _unique(metrics: Iterable[QCMetric]) -> Iterator[QCMetric]:
    """Give the metrics, those of a second file of the same sample under that file's path."""
    seen: dict[tuple[str, str], str | None] = {}
    for metric in metrics:
        first = seen.setdefault((metric.name, metric.scope), metric.source)
        yield metric if first == metric.source else metric.model_copy(update={"scope": metric.source or metric.scope})


def _raw(counts: Counts) -> dict[str, str]:
    header = counts.header
    told = {"content": ", ".join(header.content)[:500], "indexed": "yes" if header.indexed else "no"}
    for place, source in enumerate(header.sources[:20], 1):
        told[f"source file {place}"] = f"{source.name} SHA-1 {source.sha1 or 'not said'}"
    return {key: value for key, value in told.items() if value}


def _personal(counts: dict[str, Counts]) -> dict[str, str]:
    """Return who is to be asked, and the folders in which raw files lay, which people name."""
    found: dict[str, str] = {}
    for each in counts.values():
        found |= each.header.contact
        for source in each.header.sources:
            if source.location and len(found) < 20:
                found.setdefault(f"location of {source.name}"[:200], source.location)
    return found

"""PacBio: runs of Revio, Vega, Sequel II and IIe, a whole run or one cell, and data sets without their run.

Each cell (movie) is a unit that ends by itself, hours before the next. The samples' reads are the HiFi BAM of each
barcode; a cell without HiFi reads gives what it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from labrelay.model.files import FileRole
from labrelay.model.instrument import Detection, InstrumentRun, RunFile
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.parsers.checksums import attach_checksums
from labrelay.parsers.listing import Entry, Listing, read_head
from labrelay.parsers.pacbio_cell import Cell, files_of, read_cell, samples_of, unit_of
from labrelay.parsers.pacbio_names import CELL_FOLDER, RUN_FOLDER, PacBioName, is_probe, other_role, parse_name
from labrelay.parsers.pacbio_quality import quality_of
from labrelay.parsers.text import warning
from labrelay.parsers.units import together

NAME = "pacbio"
LOOKED_FOR = "m*.metadata.xml, *.consensusreadset.xml, *.subreadset.xml, m*.transferdone or ccs.report.*"
_MOST_CELLS = 100
_MODELS = (("m84", "Revio"), ("m64", "Sequel II"), ("m54", "Sequel"))
_REPORTS = ("ccs.report.json", "ccs.report.txt", "ccs_report.json", "ccs_report.txt")


def detect(listing: Listing) -> Detection | None:
    """Say whether a PacBio instrument or its software wrote this folder, or this one file."""
    found: dict[str, str] = {}
    for entry in listing.files:
        sign = _sign(entry, listing)
        if sign is not None:
            found.setdefault(sign, entry.path)
    evidence = tuple(found[sign] for sign in sorted(found))[:3]
    for sign, confidence in (("metadata", 1.0), ("set", 0.9), ("marker", 0.9), ("report", 0.5)):
        if sign in found:
            return Detection(platform=NAME, confidence=confidence, evidence=evidence)
    return None


def _sign(entry: Entry, listing: Listing) -> str | None:
    name = entry.name.lower()
    if not name.endswith((".xml", ".transferdone", ".json", ".txt")):
        return None
    if name in _REPORTS:
        return "report"
    told = parse_name(entry)
    if told.movie is not None and name.endswith((".metadata.xml", ".transferdone")):
        return "metadata" if name.endswith(".xml") else "marker"
    if name.endswith(("set.xml", ".dataset.xml")):
        # Other programs' files end so too; PacBio's name their name space at once.
        head = read_head(listing.root, entry.path, 4096) if told.movie is None else b"pacificbiosciences"
        return "set" if b"pacificbiosciences" in head else None
    return None


def roots(listing: Listing) -> list[str]:
    """Return the folders of the single cells (`1_A01`) in the folder of a run: the next one comes hours later."""
    tops = {entry.path.partition("/")[0] for entry in listing.files if "/" in entry.path}
    return sorted(top for top in tops if CELL_FOLDER.match(top))


def read(folder: Path, listing: Listing) -> InstrumentRun:
    """Return the run as its folder describes it; each cell is one of its units.

    Args:
        folder: As the caller named it; its name is kept beside the run's id.
        listing: Of that folder, or of one file.
    """
    name = folder.resolve().name
    by_movie: dict[str, list[PacBioName]] = defaultdict(list)
    others = []
    for entry in listing.files:
        told = parse_name(entry)
        if told.movie is not None and not is_probe(entry.name):
            by_movie[told.movie].append(told)
        elif not is_probe(entry.name):
            others.append(told)
    problems = [*listing.problems]
    if len(by_movie) > _MOST_CELLS:
        problems.append(warning("TOO_MANY_CELLS", f"only the first {_MOST_CELLS} of its cells were read; give one run"))
    cells = [read_cell(movie, by_movie[movie], listing) for movie in sorted(by_movie)[:_MOST_CELLS]]
    units = tuple(unit_of(cell, listing) for cell in cells)
    files = [file for cell in cells for file in files_of(cell)]
    files += [_other(told) for told in others]
    files, sums, _ = attach_checksums(listing, files)
    run_id, told_of_id = _run_id(cells, name)
    qc, told_of_qc = quality_of(cells, others, listing)
    problems += [*told_of_id, *sums, *(problem for cell in cells for problem in cell.problems), *told_of_qc]
    first = min((c.about for c in cells if c.about.started), default=None, key=lambda about: str(about.started))
    return InstrumentRun(
        run_id=run_id,
        folder_name=name,
        platform=NAME,
        instrument_model=_one(_model(cell) for cell in cells),
        instrument_serial=_one(cell.about.instrument_id for cell in cells),
        software=_one(cell.about.software for cell in cells),
        started=first.started if first else None,
        started_text=first.started_text if first else None,
        samples=tuple(dict.fromkeys(sample for cell in cells for sample in samples_of(cell))),
        files=tuple(sorted(files, key=lambda file: file.path)),
        units=units,
        qc=tuple(qc),
        completion=together(units),
        problems=tuple(problems),
        raw=dict(_raw(cells)),
        personal={key: value for cell in cells for key, value in cell.about.personal.items()},
    )


def _other(told: PacBioName) -> RunFile:
    """Return a file that is called by no movie; a BAM file may be anything's, and is a sample by its name."""
    entry = told.entry
    if entry.name.lower().endswith(".bam"):
        return RunFile(path=entry.path, size=entry.size, role=FileRole.ALIGNMENT, sample=entry.name[:-4])
    return RunFile(path=entry.path, size=entry.size, role=other_role(told))


def _one(values: Iterable[str | None]) -> str | None:
    """Return the value that all have who have one, or None."""
    found = set(values) - {None}
    return found.pop() if len(found) == 1 else None


def _model(cell: Cell) -> str | None:
    if cell.about.model:
        return cell.about.model
    model = next((model for start, model in _MODELS if cell.movie.startswith(start)), None)
    return "Sequel IIe" if model == "Sequel II" and cell.movie[6:7] == "e" else model


def _run_id(cells: Sequence[Cell], name: str) -> tuple[str, list[Problem]]:
    """Return the run's id inside the files, with the cell when the folder is one cell of it; say what disagrees."""
    run_id = _one(cell.about.run_id for cell in cells)
    if run_id is None:
        several = len({cell.about.run_id for cell in cells if cell.about.run_id})
        what = f"its cells are of {several} runs" if several else "no file says the run's id"
        return name, [warning("RUN_ID_FROM_FOLDER", f"{what}, so the folder's name is used; keep that name")]
    if CELL_FOLDER.match(name):
        return f"{run_id}_{name}", []
    if RUN_FOLDER.match(name) and name != run_id:
        what = f"the folder is called {printable(name, 80)} and holds run {printable(run_id, 80)}; the run's id is used"
        return run_id, [warning("ID_MISMATCH", what)]
    return run_id, []


def _raw(cells: Sequence[Cell]) -> Iterator[tuple[str, dict[str, str]]]:
    for cell in cells[:8]:
        if cell.about.instrument_name:
            yield cell.movie, {"instrument name": cell.about.instrument_name[:200]}

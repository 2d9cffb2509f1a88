"""One Nanopore run (a flow cell from start to stop): its control files read, its end judged, its samples named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from labrelay.model.instrument import Completion, Fact, Known, Unit
from labrelay.model.names import printable
from labrelay.model.problem import Problem
from labrelay.model.words import counted
from labrelay.parsers.bam_header import HEAD, read_groups
from labrelay.parsers.listing import Entry, Listing, read_head, read_small
from labrelay.parsers.ont_places import RUN_FOLDER, Group, Place
from labrelay.parsers.ont_report import CAP, Report, parse_report
from labrelay.parsers.ont_sheet import Row, parse_sample_sheet
from labrelay.parsers.ont_summary import KINDS, FinalSummary, parse_final_summary
from labrelay.parsers.pod5 import SignalRun, signal_run
from labrelay.parsers.text import warning

NO_SAMPLE = ("unclassified", "mixed")


@dataclass
class Run:
    """A run and what its control files say; a file that is not there is None or empty."""

    group: Group
    summary: FinalSummary | None = None
    report: Report = field(default_factory=Report)
    signal: SignalRun = field(default_factory=SignalRun)
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def flow_cell(self) -> str | None:
        """The flow cell's id."""
        told = self.summary.text("flow_cell_id") if self.summary else None
        return told or self.report.flow_cell or self.signal.flow_cell or self.group.flow_cell

    @property
    def run_id(self) -> str | None:
        """The protocol run's id, a UUID; older versions tell only the acquisition's, 40 hexadecimal digits."""
        told = self.summary.text("protocol_run_id") or self.summary.text("acquisition_run_id") if self.summary else None
        return told or self.report.run_id or self.signal.run_id or self.signal.acquisition

    @property
    def sample(self) -> str | None:
        """The sample, or the pooled library, that was loaded."""
        told = self.summary.text("sample_id") if self.summary else None
        listed = {row.sample for row in self.rows if row.sample}
        return told or self.report.sample or (listed.pop() if len(listed) == 1 else None) or self.signal.sample

    @property
    def experiment(self) -> str | None:
        """The experiment, MinKNOW's protocol group."""
        told = self.summary.text("protocol_group_id") if self.summary else None
        listed = next((row.experiment for row in self.rows if row.experiment), None)
        return told or self.report.group or listed or self.signal.experiment

    @property
    def name(self) -> str:
        """What people call the run: its folder, else its flow cell."""
        return self.group.root.rpartition("/")[2] or self.flow_cell or self.run_id or "run"

    @property
    def own_rows(self) -> list[Row]:
        """The sheet's rows for this flow cell: a sheet may be that of a whole experiment."""
        return [row for row in self.rows if row.flow_cell in (None, self.flow_cell) or self.flow_cell is None]

    def row_of(self, label: str) -> Row | None:
        """Return the sheet's row of a barcode's folder, which may be called by the barcode or by its alias."""
        known = self.own_rows
        by_barcode = next((row for row in known if row.barcode == label.lower()), None)
        return by_barcode or next((row for row in known if row.alias == label), None)


def read_run_of(group: Group, listing: Listing) -> Run:
    """Return a run with its control files read; a missing one is told once."""
    run = Run(group)
    for place in group.controls.get("final_summary", ())[:1]:
        data = _data(run, listing, place.entry)
        if data is not None:
            run.summary, found = parse_final_summary(data, place.entry.path)
            run.problems += found
    for place in group.controls.get("report", ()):
        if place.entry.name.lower().endswith(".json"):
            data = _data(run, listing, place.entry, CAP)
            if data is not None:
                run.report, found = parse_report(data, place.entry.path)
                run.problems += found
            break
    for place in group.controls.get("sample_sheet", ())[:1]:
        data = _data(run, listing, place.entry)
        if data is not None:
            run.rows, found = parse_sample_sheet(data, place.entry.path)
            run.problems += found
    if run.summary is None and run.report == Report():
        run.signal = _signal(run, listing)
    run.problems += _unlike(run, group)
    run.facts = dict(_facts(run, listing))
    return run


def _signal(run: Run, listing: Listing) -> SignalRun:
    """Return what the first file of signal tells, where no control file tells anything."""
    first = next((place.entry for place in run.group.data if place.kind == "pod5" and place.entry.size), None)
    found = signal_run(listing.root, first.path) if first is not None else None
    if isinstance(found, Problem):
        run.problems.append(found)
    return found if isinstance(found, SignalRun) else SignalRun()


def _data(run: Run, listing: Listing, entry: Entry, cap: int = 1024 * 1024) -> bytes | None:
    found = read_small(listing.root, entry.path, cap)
    if isinstance(found, Problem):
        # The run is known without any one of these files, so what is wrong with one refuses nothing.
        run.problems.append(warning(found.code, found.message, found.path))
        return None
    return found


def _unlike(run: Run, group: Group) -> Iterator[Problem]:
    """Give a warning when the run's folder is called like another run: somebody renamed it, or moved files."""
    match = RUN_FOLDER.match(group.root.rpartition("/")[2])
    if match is None or run.run_id is None or run.summary is None:
        return
    if not run.run_id.startswith(match["run8"]):
        what = f"the folder is called {group.root.rpartition('/')[2]} and the run is {printable(run.run_id, 60)}"
        yield warning("ID_MISMATCH", f"{what}; the latter is used", run.summary.path)
    if run.flow_cell and match["flow_cell"] != run.flow_cell:
        what = f"the folder is of flow cell {match['flow_cell']} and the run of {printable(run.flow_cell, 60)}"
        yield warning("ID_MISMATCH", f"{what}; the latter is used", run.summary.path)


def _facts(run: Run, listing: Listing) -> Iterator[tuple[str, str]]:
    summary = run.summary
    for name, value in (
        ("flow cell", run.flow_cell),
        ("flow cell type", summary.flow_cell_type if summary else run.signal.flow_cell_type),
        ("kit", (summary.kit if summary else None) or _kit(run)),
        ("position", summary.text("position") if summary else run.signal.position),
        ("run id", run.run_id),
        ("acquisition", summary.text("acquisition_run_id") if summary else run.signal.acquisition),
        ("started", summary.text("started") if summary else run.report.started_text),
        ("stopped", summary.text("acquisition_stopped") if summary else None),
    ):
        if value:
            yield name, value[:200]
    yield from run.report.facts.items()
    yield from _of_bam(run, listing)


def _kit(run: Run) -> str | None:
    return next((row.kit for row in run.rows if row.kit), None) or run.signal.kit


def _of_bam(run: Run, listing: Listing) -> Iterator[tuple[str, str]]:
    """Give what the header of one BAM file tells, and a warning when that file is of another run."""
    first = next((p.entry for p in run.group.data if p.kind == "bam" and p.verdict != "fail" and p.entry.size), None)
    groups = read_groups(read_head(listing.root, first.path, HEAD)) if first else None
    if first is None or not groups:
        return
    models = {group.described.get("basecall_model") for group in groups} - {None}
    if models:
        yield "basecalling model", ", ".join(sorted(str(model) for model in models))[:200]
    told = {group.described.get("runid") for group in groups} - {None}
    expected = run.summary.text("acquisition_run_id") if run.summary else None
    if expected and told and expected not in told:
        others = printable(", ".join(sorted(str(each) for each in told)), 90)
        what = f"its reads are of run {others} and the folder is of {printable(expected, 60)}; put it where it belongs"
        run.problems.append(warning("ID_MISMATCH", what, first.path))


def completion_of(run: Run, *, alone: bool = False) -> Completion:
    """Return the three facts of one run, and tell in its problems what speaks against them.

    Of a single file that was named nothing is missed.

    MinKNOW writes final_summary when all other files are written; how many there are stands in it, so that a copy that
    is still going is seen.
    """
    reads = next((p for p in run.group.data if p.kind in ("fastq", "bam") and p.verdict != "fail"), None)
    converted = Fact(value=Known.YES, evidence=reads.entry.path) if reads else Fact()
    if alone:
        stopped = run.summary.text("acquisition_stopped") if run.summary else None
        ended = Fact(value=Known.YES, evidence=run.summary.path) if run.summary and stopped else Fact()
        return Completion(acquired=ended, converted=converted)
    if run.summary is None or not run.summary.fields:
        what = "there is no final_summary file, which MinKNOW writes at the end: is the run still going?"
        run.problems.append(warning("NO_FINAL_SUMMARY", what, run.group.root or None))
        return Completion(converted=converted)
    path = run.summary.path
    stopped = run.summary.text("acquisition_stopped") or run.summary.text("processing_stopped")
    return Completion(
        acquired=Fact(value=Known.YES if stopped else Known.UNKNOWN, evidence=path if stopped else None),
        copied=Fact(value=_copied(run, run.summary), evidence=path),
        converted=converted if reads else Fact(value=Known.NO, evidence=path),
    )


def _copied(run: Run, summary: FinalSummary) -> Known:
    for kind, count in summary.elsewhere():
        what = f"{counted(count, f'{kind} file was', f'{kind} files were')} written to the fallback place, as the disk"
        run.problems.append(warning("FILES_ELSEWHERE", f"{what} was full or away: bring them here", summary.path))
    here = Counter(place.kind for place in run.group.data)
    found = Known.YES
    for kind in KINDS:
        written = summary.written(kind)
        if written is None or written == here[kind]:
            continue
        run.problems.append(warning("COUNT_MISMATCH", _count_sentence(run, kind, written, here[kind]), summary.path))
        if here[kind] < written:
            # None at all, or no failed ones, is how people tidy up; some is how a copy looks that is still going.
            going = here[kind] > 0 and _both_verdicts(run, kind)
            found = Known.NO if going or found is Known.NO else Known.UNKNOWN
    return found


def _count_sentence(run: Run, kind: str, written: int, here: int) -> str:
    what = f"{counted(written, f'{kind} file was', f'{kind} files were')} written and {here} are here"
    if here > written:
        return f"{what}: were files added, or is another run among them?"
    if here and _both_verdicts(run, kind):
        return f"{what}: the copy is not complete"
    return f"{what}: were they left out on purpose?"


def _both_verdicts(run: Run, kind: str) -> bool:
    verdicts = {place.verdict for place in run.group.data if place.kind == kind}
    return "fail" in verdicts or None in verdicts


def unit_of(run: Run, completion: Completion) -> Unit:
    """Return the run as a part of what its folder holds."""
    return Unit(name=run.name, kind="flow cell", completion=completion, sample=run.sample, facts=run.facts)


def labels_of(run: Run) -> list[str]:
    """Return the folders of barcodes that have passed reads, in order."""
    return sorted({p.label for p in run.group.data if _passed(p) and p.label and p.label.lower() not in NO_SAMPLE})


def _passed(place: Place) -> bool:
    return place.kind in ("fastq", "bam") and place.verdict in ("pass", None)

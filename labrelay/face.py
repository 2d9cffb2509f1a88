"""The functions behind `import labrelay`: each opens a home, does one step, and closes it again.

They work anywhere: in a script, a notebook, a Prefect flow. `home` is a folder; without one it is LABRELAY_HOME, else
`./labrelay-home`. What they raise is a `labrelay.model.errors.LabrelayError` with a sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from labrelay.model.instrument import InstrumentRun
from labrelay.model.progress import Progress
from labrelay.model.reads import ReadSet
from labrelay.model.runs import Priority
from labrelay.model.states import RunState
from labrelay.records import lineage as lineage_records
from labrelay.records import search as search_records
from labrelay.records.experiments import Announced
from labrelay.records.explanation import Explanation
from labrelay.records.lineage import Direction, Graph
from labrelay.records.search import Found, Kind
from labrelay.steps import announce as announcing
from labrelay.steps import collect as collecting
from labrelay.steps import direct, listing, reads
from labrelay.steps import explain as explaining
from labrelay.steps import process as processing
from labrelay.steps import results as resulting
from labrelay.steps import upload_reads as upload_reads_step
from labrelay.steps.collect import Collected
from labrelay.steps.home import Home, open_home
from labrelay.steps.listing import RunLine
from labrelay.steps.process import Processed
from labrelay.steps.reads import Places, ReadSetLine
from labrelay.steps.results import ResultRow
from labrelay.steps.settings import find_home
from labrelay.steps.submit import Submitted
from labrelay.workflows.specs import Place

Where = str | Path | None


class TakenIn(NamedTuple):
    """A stored instrument run, and how many of its files were stored now."""

    run: InstrumentRun
    stored: int


@contextmanager
def opened_home(home: Where, progress: Progress | None = None) -> Iterator[Home]:
    """Open a home for one step; without a folder it is LABRELAY_HOME, else `./labrelay-home`."""
    opened = open_home(find_home(home), progress)
    try:
        yield opened
    finally:
        opened.close()


def announce(
    table: str | Path,
    *,
    experiment: str | None = None,
    correct: bool = False,
    reason: str | None = None,
    home: Where = None,
) -> list[Announced]:
    """Announce the experiments and samples of a CSV or TSV file; announcing it again changes nothing.

    Args:
        table: With a column `sample` (or `sample_id`, `sample_name`, `name`); `experiment`, `aliases`, `barcode`,
            `subject`, `assay`, `project` are understood.
        experiment: For tables without that column.
        correct: Take differing samples as corrections; older results become stale.
        reason: Why they are corrected, for the record.
        home: The home folder.

    Example:
        >>> [announced] = labrelay.announce("samples.csv")
        >>> announced.added
        ['alpha', 'beta']
    """
    with opened_home(home) as opened:
        return announcing.announce(opened, Path(table), experiment, correct=correct, reason=reason)


def ingest(
    folder: str | Path, *, assume_complete: bool = False, home: Where = None, progress: Progress | None = None
) -> TakenIn:
    """Store an instrument run's files and judge its reads; nothing is stored twice.

    Args:
        folder: The run's folder.
        assume_complete: Take it though its completion marker is missing.
        home: The home folder.
        progress: Who is told how it goes.

    Example:
        >>> taken = labrelay.ingest(folder)
        >>> taken.run.platform, taken.stored
        ('illumina', 7)
    """
    with opened_home(home, progress) as opened:
        run, stored = processing.take_in(opened, Path(folder), assume_complete=assume_complete)
        return TakenIn(run, stored)


def process(
    folder: str | Path,
    *,
    experiment: str | None = None,
    assume_complete: bool = False,
    wait: bool = True,
    home: Where = None,
    progress: Progress | None = None,
) -> Processed:
    """Take an instrument run all the way to its results; what is done already is not done again.

    Args:
        folder: The run's folder.
        experiment: Match only with this announced experiment's samples.
        assume_complete: Take it though its completion marker is missing.
        wait: Wait for the workflow runs; else `collect` records them later.
        home: The home folder.
        progress: Who is told how it goes.

    Example:
        >>> done = labrelay.process(folder)
        >>> done.imported, done.submitted, done.failed
        (2, 2, [])
    """
    with opened_home(home, progress) as opened:
        return processing.process(opened, Path(folder), experiment, assume_complete=assume_complete, wait=wait)


def submit(
    workflow: str,
    *,
    samples: Sequence[str] = (),
    inputs: Mapping[str, Any] | None = None,
    reference: str | None = None,
    version: str | None = None,
    on: Place | None = None,
    priority: Priority = "normal",
    force: bool = False,
    wait: bool = False,
    home: Where = None,
) -> Submitted:
    """Run a workflow on samples, or on files of your own; asking twice for the same finds the first run.

    Args:
        workflow: The definition's name.
        samples: Names or ids (for cohort workflows experiments'); none: `inputs` say everything.
        inputs: Values by name; files as paths.
        reference: By name or id, for workflows that want one.
        version: A published version; the newest by default.
        on: `local`, `healthomics` or `batch`; None leaves it to the definition and the home.
        priority: `low`, `normal` or `high`, where the engine can tell.
        force: Compute again what has been computed.
        wait: Wait for the end and record it.
        home: The home folder.

    Example:
        >>> labrelay.submit("count_reads", samples=["alpha"]).new  # the rules have asked for the same before
        0
    """
    with opened_home(home) as opened:
        done = direct.submit_direct(
            opened,
            workflow,
            subjects=samples,
            inputs=inputs,
            reference=reference,
            version=version,
            on=on,
            priority=priority,
            force=force,
        )
        if wait:
            done.failed = collecting.seen_again(done.failed, done.runs, collecting.wait_for(opened, done.runs))
        return done


def collect(*, home: Where = None) -> Collected:
    """Hear what the engine says of all live runs, and record those that have ended.

    Example:
        >>> labrelay.collect().recorded
        []
    """
    with opened_home(home) as opened:
        return collecting.collect(opened)


def runs(
    *,
    states: Sequence[RunState | str] = (),
    workflow: str | None = None,
    sample: str | None = None,
    experiment: str | None = None,
    limit: int | None = 50,
    home: Where = None,
) -> list[RunLine]:
    """Return workflow runs, the newest first.

    Args:
        states: Only those in one of these (GA4GH WES names); none means all.
        workflow: Only those of the workflow of this name.
        sample: Only those about this sample.
        experiment: Only those of this experiment.
        limit: At most so many; None for all.
        home: The home folder.

    Example:
        >>> sorted((line.sample, line.state.value) for line in labrelay.runs(workflow="count_reads"))
        [('alpha', 'COMPLETE'), ('beta', 'COMPLETE')]
    """
    wanted = [RunState(state) for state in states]
    with opened_home(home) as opened:
        return listing.runs(opened, states=wanted, workflow=workflow, sample=sample, experiment=experiment, limit=limit)


def results(experiment: str | None = None, *, home: Where = None) -> list[ResultRow]:
    """Return the results that count, one row each, with the numbers that people compare and the verdict.

    Example:
        >>> [(row.sample, row.reads, row.verdict.value) for row in labrelay.results("tiny-study")]
        [('alpha', 100, 'pass'), ('beta', 60, 'warn')]
    """
    with opened_home(home) as opened:
        return resulting.results_table(opened, experiment)


def read_sets(*, sample: str | None = None, experiment: str | None = None, home: Where = None) -> list[ReadSetLine]:
    """Return the read sets on record, by sample and lane.

    Args:
        sample: Only this sample's (name or id).
        experiment: Only this experiment's.
        home: The home folder.

    Example:
        >>> [(line.sample, line.status, line.lane) for line in labrelay.read_sets()]
        [('alpha', 'ACTIVE', 1), ('beta', 'ACTIVE', 1)]
    """
    with opened_home(home) as opened:
        return reads.read_sets(opened, sample=sample, experiment=experiment)


def read_uris(*, sample: str | None = None, experiment: str | None = None, home: Where = None) -> list[Places]:
    """Return where other programs read the files of read sets: `s3` URIs, and the `locations` of the engine.

    Args:
        sample: This sample's (name or id).
        experiment: This experiment's; one of the two is needed.
        home: The home folder.

    Example:
        >>> [place] = labrelay.read_uris(sample="alpha")
        >>> len(place.locations), place.s3  # a folder's: nothing lies in S3
        (2, ())
    """
    with opened_home(home) as opened:
        return reads.places(opened, reads.in_store(opened, sample=sample, experiment=experiment))


def upload_reads(
    files: Sequence[str | Path],
    sample: str,
    *,
    reference: str | None = None,
    home: Where = None,
    progress: Progress | None = None,
) -> ReadSet:
    """Judge FASTQ, BAM or CRAM files and take them straight into the read store; the same files again are found there.

    Args:
        files: One file, or R1 and R2.
        sample: An announced sample, by name or id.
        reference: What a CRAM or an aligned BAM was aligned to.
        home: The home folder.
        progress: Who is told how it goes.

    Example:
        >>> [place] = labrelay.read_uris(sample="beta")
        >>> labrelay.upload_reads(place.locations, "beta").status
        'ACTIVE'
    """
    with opened_home(home, progress) as opened:
        return upload_reads_step.upload(opened, [Path(file) for file in files], sample, reference)


def explain(result: str, metric: str | None = None, *, home: Where = None) -> Explanation:
    """Return what explains a result: reads, reference, workflow, who, where, verdict, and what changed before it.

    Args:
        result: A workflow run's id (or the beginning of one), a sample's name (`beta/count_reads` for one of its
            results), a result's path or a file's id.
        metric: One of its numbers that is asked about in particular.
        home: The home folder.

    Example:
        >>> told = labrelay.explain("alpha", "read_pairs")
        >>> [(source.flow_cell, source.lanes) for source in told.sources]
        [('000000000-TINY7', (1,))]
    """
    with opened_home(home) as opened:
        return explaining.explain(opened, result, metric)


def lineage_page(thing: str, *, home: Where = None) -> str:
    """Return a self-contained HTML page: a picture of what something came from and what was made of it, and a table.

    Args:
        thing: An id, the beginning of one, or a name.
        home: The home folder.

    Example:
        >>> "Sample <bdi>alpha</bdi>" in labrelay.lineage_page("alpha")
        True
    """
    from labrelay.records.report.lineage_page import lineage_html  # Jinja is for those who draw

    with opened_home(home) as opened, opened.records.read() as session:
        return lineage_html(lineage_records.around(session, thing)).decode()


def lineage(thing: str, direction: Direction = "up", *, home: Where = None) -> Graph:
    """Return where something came from (`up`) or what was made of it (`down`).

    Args:
        thing: An id, the beginning of one, or a name.
        direction: `up` or `down`.
        home: The home folder.

    Example:
        >>> report = labrelay.search("alpha metrics.json", "file").hits[0]
        >>> [node.name for node in labrelay.lineage(report.id).of_kind("sample")]
        ['alpha']
    """
    with opened_home(home) as opened, opened.records.read() as session:
        return lineage_records.lineage(session, thing, direction)


def search(text: str, kind: Kind | None = None, *, limit: int = 50, home: Where = None) -> Found:
    """Find experiments, samples, runs and files by parts of their names.

    Args:
        text: Words that all have to fit, and fields such as `state:COMPLETE`.
        kind: Look for this kind only.
        limit: At most so many.
        home: The home folder.

    Example:
        >>> [hit.name for hit in labrelay.search("alph", "sample").hits]
        ['alpha']
    """
    search_records.refuse_unknown_fields(text)
    with opened_home(home) as opened, opened.records.read() as session:
        return search_records.search(session, text, kind, limit)

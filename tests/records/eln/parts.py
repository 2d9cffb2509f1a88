"""Parts as a small experiment has them, for the tests of notebooks."""

from __future__ import annotations

import hashlib
from pathlib import Path

from labrelay.model.experiment import Experiment
from labrelay.model.qc import Verdict
from labrelay.records.eln.port import (
    FilePart,
    Judgement,
    Link,
    LinksPart,
    Part,
    ResultRow,
    ResultsPart,
    StatusLine,
    StatusPart,
)

EXPERIMENT = Experiment(name="tiny-study", title="A tiny <study> | of two")
RUN = "run_0123456789abcdef"


def status(*states: str) -> StatusPart:
    """One line a state, on samples with names that would break a table."""
    lines = [
        StatusLine(subject=f"alpha|{place} *bold* <b>", state=state, text=f"it is {state}, says `x`\nand more")
        for place, state in enumerate(states)
    ]
    return StatusPart(lines=tuple(lines))


def results(depth: float | None = 31.5, verdict: Verdict = Verdict.PASS) -> ResultsPart:
    """One result with three numbers, one of them missing."""
    names = (("mean_depth", "Mean depth", depth, "x"), ("reads", "Reads", 1234567.0, "count"))
    rows = [
        ResultRow(
            sample="alpha",
            run=RUN,
            workflow="w 1.0",
            metric=metric,
            label=label,
            value=value,
            unit=unit,
            verdict=verdict,
        )
        for metric, label, value, unit in (*names, ("missing", "Missing", None, ""))
    ]
    judged = Judgement(sample="alpha", run=RUN, workflow="w 1.0", verdict=verdict, computed=verdict)
    return ResultsPart(judgements=(judged,), rows=tuple(rows))


def links() -> LinksPart:
    """A link for people."""
    return LinksPart(links=(Link(title="The result of alpha", url="https://lab.test/results/run_1?x=(1)&y=2"),))


def file(folder: Path, content: bytes = b"<p>a report</p>", name: str = "alpha-report.html") -> FilePart:
    """A small file that goes along."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return FilePart(
        name=f"file:{name}",
        file_name=name,
        title="Report of alpha",
        media_type="text/html",
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        size=len(content),
    )


def all_parts(folder: Path) -> list[Part]:
    """One of each kind."""
    return [status("received", "done"), results(), links(), file(folder)]

"""The run folder that demultiplexing makes: reads, reports and what describes the run, there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from labrelay.model.canonical import JSONValue
from labrelay.model.errors import Conflict
from labrelay.model.faults import faultpoint
from labrelay.model.files import FileRole
from labrelay.model.runs import OutputFile, RunReport
from labrelay.steps.demultiplex_run import Asked
from labrelay.stores.durable import fsync_dir, fsync_tree, make_dirs, make_temp_dir, remove_stale_temps

RECORD = "Reports/demultiplex.json"
FINISHED = "Logs/FastqComplete.txt"


def made_before(out: Path, key: str) -> int | None:
    """Return how many files of reads `out` has when it was made of the same, None when there is no such folder.

    Raises:
        Conflict: It is there, and is something else.
    """
    if not out.exists():
        return None
    try:
        record = json.loads((out / RECORD).read_bytes())
        if record["key"] == key:
            return int(record["reads"])
        why = "was made of other base calls, or by another sheet or converter"
    except (OSError, ValueError, KeyError, TypeError):
        why = "is none that demultiplex made"
    raise Conflict(f"{out} is there, and {why}: name another folder with --out, or remove it")


def collect(asked: Asked, report: RunReport, out: Path) -> int:
    """Put reads, reports and what describes the run into one new folder, which gets its name last.

    Raises:
        Conflict: Somebody else has made a folder of that name meanwhile.
    """
    make_dirs(out.parent)
    remove_stale_temps(out.parent, deep=False)  # no sweep comes here, and what a kill left may be a copy of all reads
    temp, handle = make_temp_dir(out.parent)
    try:
        reads = [file for file in report.files if file.output == "reads"]
        for place, files in (("", reads), ("Reports", [f for f in report.files if f.output == "reports"])):
            _take(files, temp / place)
        _describe(asked, temp)
        record: JSONValue = {
            "key": asked.key,
            "run": asked.run.run_id,
            "converter": asked.converter,
            "tools": dict(report.tools),
            "reads": len(reads),
            "notes": list(asked.plan.notes),
            "plan": dict(asked.plan.document),
        }
        _write(temp / RECORD, json.dumps(record, indent=1).encode())
        _write(temp / FINISHED, b"")
        fsync_tree(temp)
        faultpoint("demultiplex.collected")
        _named(temp, out)
        fsync_dir(out.parent)
        faultpoint("demultiplex.named")
    except BaseException:
        shutil.rmtree(temp, ignore_errors=True)
        raise
    finally:
        os.close(handle)
    return len(reads)


def _named(temp: Path, out: Path) -> None:
    """Give the folder its name, which a conversion of another home may have taken meanwhile."""
    try:
        temp.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise Conflict(f"{out} was made by another conversion meanwhile: name another folder with --out") from error


def _take(files: Sequence[OutputFile], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in files:
        source = Path(file.path).resolve()
        target = folder / source.name
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def _describe(asked: Asked, folder: Path) -> None:
    """Copy what describes the run, and put the sheet beside it that was used."""
    for file in asked.run.files:
        if file.role is FileRole.RUN_METADATA:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(asked.source / file.path, target)
    _write(folder / "SampleSheet.csv", asked.sheet)
    _write(folder / "Reports" / "SampleSheet.csv", asked.sheet)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

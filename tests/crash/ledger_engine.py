"""An engine at the boundary, as a cloud's would be, so that a trial takes milliseconds.

It is a double and says so: it runs no WDL. What matters for crashes it does for real: its ledger of starts is a file
that is flushed before it answers, it outlives every process that asks it, it honours tokens under a lock, its jobs take
time, some fail for the platform's reasons, and each output is computed from the bytes of the inputs that it was given.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labrelay.model.errors import NotFound
from labrelay.model.faults import faultpoint
from labrelay.model.runs import EngineStatus, OutputFile, RunReport, RunRequest
from labrelay.model.states import RunState
from labrelay.stores.durable import make_dirs, remove_stale_temps, storage_errors, write_atomic


@dataclass
class LedgerEngine:
    """The engine port on a ledger file.

    Attributes:
        ledger: A folder outside the home: it is somebody else's machine.
        outputs: A folder inside the home, where outputs are brought to.
        honours_tokens: False is the control: each call is a new job, so that a lost answer makes a second one.
        shaky: One first attempt in this many ends with SYSTEM_ERROR; 0 for none.
        seconds: How long a job takes.
    """

    ledger: Path
    outputs: Path
    honours_tokens: bool = True
    shaky: int = 0
    seconds: float = 0.02
    kind: str = "ledger"

    def submit(self, request: RunRequest) -> str:
        """Start a job, unless one of this token was started."""
        with self._locked():
            known = next((e for e in entries(self.ledger) if e["token"] == request.token), None)
            if known is not None and self.honours_tokens:
                return str(known["id"])
            external_id = request.token if self.honours_tokens else f"{request.token}.{secrets.token_hex(4)}"
            line = {"id": external_id, "token": request.token, "at": datetime.now(UTC).isoformat()}
            with (self.ledger / "starts").open("a") as out:
                out.write(json.dumps(line | {"inputs": request.inputs}) + "\n")
                out.flush()
                os.fsync(out.fileno())
        faultpoint("engine.started")
        return external_id

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        """Return how each job stands at this moment."""
        wanted, moment = set(external_ids), datetime.now(UTC)
        found = {}
        for entry in entries(self.ledger):
            if entry["id"] in wanted:
                began = datetime.fromisoformat(entry["at"])
                ended = began + timedelta(seconds=self.seconds)
                over = moment >= ended
                state = self._end(entry["token"]) if over else RunState.RUNNING
                message = "the machine was taken away" if state is RunState.SYSTEM_ERROR else None
                found[entry["id"]] = EngineStatus(state=state, at=ended if over else began, message=message)
        return found

    def report(self, external_id: str) -> RunReport:
        """Return what the job made, computed from its inputs."""
        entry = next((e for e in entries(self.ledger) if e["id"] == external_id), None)
        if entry is None:
            raise NotFound(f"no job {external_id}")
        began = datetime.fromisoformat(entry["at"])
        state = self._end(entry["token"])
        files = self._work(external_id, entry["inputs"]) if state is RunState.COMPLETE else ()
        ended = began + timedelta(seconds=self.seconds)
        return RunReport(state=state, started=began, ended=ended, engine="ledger 1", files=files)

    def cancel(self, external_id: str) -> None:
        """No trial cancels."""
        raise NotFound(external_id)

    def reap(self) -> int:
        """Remove what killed processes left of the outputs that they were bringing; return how many files."""
        return remove_stale_temps(self.outputs)

    def _end(self, token: str) -> RunState:
        digits, _, number = token.rpartition("-")
        lost = self.shaky and number == "1" and int(digits[:8], 16) % self.shaky == 0
        return RunState.SYSTEM_ERROR if lost else RunState.COMPLETE

    def _work(self, external_id: str, inputs: Mapping[str, list[str]]) -> tuple[OutputFile, ...]:
        counts = {mate: [_lengths(path) for path in inputs[f"count_reads.{mate}"]] for mate in ("r1", "r2")}
        first, second = (sum(counts[mate], Counter()) for mate in ("r1", "r2"))
        folder = self.outputs / external_id
        numbers = {"read_pairs": first.total(), "mates": second.total()}
        table = "".join(f"{length} {count}\n" for length, count in sorted(first.items()))
        made = (("metrics", "metrics.json"), ("lengths", "lengths.txt"))
        with storage_errors("bring the outputs", folder):
            make_dirs(folder)
            write_atomic(folder / "metrics.json", json.dumps(numbers).encode())
            write_atomic(folder / "lengths.txt", table.encode())
        return tuple(OutputFile(output=name, path=str(folder / file)) for name, file in made)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with storage_errors("make the ledger", self.ledger.parent):
            make_dirs(self.ledger)
        with storage_errors("write the ledger", self.ledger), (self.ledger / "lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def entries(ledger: Path) -> list[dict[str, str]]:
    """Return all starts that the engine has in its ledger, oldest first."""
    path = ledger / "starts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def starts(ledger: Path) -> Counter[str]:
    """Return how often each token was started."""
    return Counter(str(entry["token"]) for entry in entries(ledger))


def _lengths(path: str) -> Counter[int]:
    with gzip.open(path, "rt") as lines:
        return Counter(len(line.strip()) for number, line in enumerate(lines) if number % 4 == 1)

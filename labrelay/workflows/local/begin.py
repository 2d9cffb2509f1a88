"""Begin the task of a command: stage its inputs, open its streams, and run it under a keeper until it has ended.

    python -P -m labrelay.workflows.local.begin FILE

FILE is JSON, written by `local.command`: `copies` (pairs of source and target), `folder` (where the command starts),
`stdout` and `stderr`, `keeper` (its command line but for `--parent`), `argv`, and `staged` (a folder to remove at the
end). It is a process between the engine's keeper and the task's because inputs may take long to copy, and the runner
has other things to do. SIGTERM is passed on; whatever else ends it, the task's keeper sees its parent gone.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from labrelay.workflows.command.limits import UNFIT
from labrelay.workflows.local.keeper import PARENT_IS_GONE
from labrelay.workflows.local.staged import stage

CANNOT = 71  # EX_OSERR of sysexits.h


def main(told: dict[str, Any]) -> int:
    """Do it and return the command's exit code; `CANNOT` or `UNFIT` after a sentence when it could not be started."""
    try:
        for source, target in told["copies"]:
            stage(Path(source), Path(target))
        return _run(told)
    except OSError as error:
        if error.errno == errno.E2BIG:
            sys.stderr.write(f"The command is too long to be started: {error.strerror}.\n")
            return UNFIT
        sys.stderr.write(f"The inputs could not be put into the folder of the task: {error}.\n")
        return CANNOT
    finally:
        shutil.rmtree(told["staged"], ignore_errors=True)


def _run(told: dict[str, Any]) -> int:
    keeper: subprocess.Popen[bytes] | None = None

    def pass_on(*_: object) -> None:
        if keeper is None:
            raise SystemExit(PARENT_IS_GONE)
        keeper.terminate()

    signal.signal(signal.SIGTERM, pass_on)
    for name in ("stdout", "stderr"):
        Path(told[name]).parent.mkdir(parents=True, exist_ok=True)
    with Path(told["stdout"]).open("wb") as out, Path(told["stderr"]).open("wb") as err:
        argv = [*told["keeper"], "--parent", str(os.getpid()), "--", *told["argv"]]
        # The lock of the engine's keeper goes on to the task: while it lives, no other attempt begins.
        keeper = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, close_fds=False)
    return keeper.wait()


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_bytes())))

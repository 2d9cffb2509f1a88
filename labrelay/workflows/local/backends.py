"""Two container backends for miniwdl that need no daemon and no image: bubblewrap and plain host processes.

miniwdl loads them by entry point and tells them through the section `[labrelay]` of its configuration: `tool_path`
(a PATH), `read_only` (a JSON list of folders that tasks may read), `bwrap` (the program) and `sandbox` (its name).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from WDL.runtime.backend import cli_subprocess
from WDL.runtime.backend.cli_subprocess import SubprocessBase

from labrelay.workflows.local import keeper
from labrelay.workflows.local.events import USAGE_FILE
from labrelay.workflows.local.sandbox import bubblewrap_argv
from labrelay.workflows.local.staged import gather, stage

GRACE_SECONDS = 3.0
MOST_MOUNTS = 500  # inputs with a mount each


class KeptTask(SubprocessBase):  # type: ignore[misc]
    """A task under a keeper: it dies with miniwdl, leaves no orphans, and its use of cpu and memory is measured."""

    @classmethod
    def global_init(cls, cfg: Any, logger: logging.Logger) -> None:
        """Prepare the scheduler once, under miniwdl's lock; left to the first task it races with the second."""
        cls.detect_resource_limits(cfg, logger)

    @classmethod
    def detect_resource_limits(cls, cfg: Any, logger: logging.Logger) -> dict[str, int]:
        """Return what tasks share out: the machine, or the part of it that is ours, which a kernel does not tell."""
        limits: dict[str, int] = super().detect_resource_limits(cfg, logger)
        told = {"cpu": "cpus", "mem_bytes": "memory_bytes"}
        part = {limit: int(cfg["labrelay"][name]) for limit, name in told.items() if cfg.has_option("labrelay", name)}
        if any(limits[limit] > number for limit, number in part.items()):
            limits |= {limit: min(limits[limit], number) for limit, number in part.items()}
            # Once: the scheduler of miniwdl would forget what its tasks use.
            cli_subprocess._SubprocessScheduler.global_init(limits)
        return limits

    @property
    def cli_name(self) -> str:
        """The name of the log file of what starts the task."""
        return "sandbox"

    def _pull(self, _logger: logging.Logger, _cleanup: ExitStack) -> str:
        return str(self.runtime_values.get("docker", ""))

    def _keeper(self, *options: str) -> list[str]:
        usage = str(Path(self.host_dir, USAGE_FILE))
        argv = [sys.executable, "-I", "-S", keeper.__file__, "--parent", str(os.getpid()), "--usage", usage]
        return [*argv, "--grace", str(GRACE_SECONDS), *options, "--"]

    def _environment(self) -> dict[str, str]:
        path = self.cfg["labrelay"]["tool_path"]
        return {"PATH": path, "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}  # noqa: S108


class BubblewrapTask(KeptTask):
    """A task that sees its inputs read-only, its own folder, the system's programs, and no network."""

    def _run_invocation(self, _logger: logging.Logger, _cleanup: ExitStack, _image: str) -> list[str]:
        settings, mounts = self.cfg["labrelay"], self.prepare_mounts()
        if len(self.input_path_map) > MOST_MOUNTS:
            shutil.rmtree(self._gathered(), ignore_errors=True)  # what a killed try has left
            mounts = gather(mounts, str(Path(self.container_dir, "work", "_miniwdl_inputs")), self._gathered())
        return self._keeper() + bubblewrap_argv(
            settings["bwrap"],
            mounts,
            json.loads(settings["read_only"]),
            self._environment(),
            str(Path(self.container_dir, "work")),
        )

    def _run(self, logger: logging.Logger, terminating: Callable[[], bool], command: str) -> int:
        try:
            return int(super()._run(logger, terminating, command))
        finally:
            # miniwdl makes everything below the task writable afterwards; a hard link would carry that to the original.
            shutil.rmtree(self._gathered(), ignore_errors=True)

    def _gathered(self) -> Path:
        return Path(self.host_dir, "inputs")


class HostTask(KeptTask):
    """A task as a plain process of this user: its paths are the host's, its inputs are copies."""

    def __init__(self, cfg: Any, run_id: str, host_dir: str) -> None:
        super().__init__(cfg, run_id, host_dir)
        self.container_dir = self.host_dir

    def _run_invocation(self, _logger: logging.Logger, _cleanup: ExitStack, _image: str) -> list[str]:
        environment = self._environment() | {"HOME": self.host_work_dir()}
        variables = [f"{name}={value}" for name, value in environment.items()]
        return [*self._keeper("--chdir", self.host_work_dir()), "/usr/bin/env", "-i", *variables]

    def _run(self, logger: logging.Logger, terminating: Callable[[], bool], command: str) -> int:
        if self.try_counter > 1:
            self._fresh_streams()
        staged = Path(self.host_dir, "work", "_miniwdl_inputs")
        try:
            for source, target in self.input_path_map.items():
                stage(Path(source.rstrip("/")), Path(target.rstrip("/")))
            return int(super()._run(logger, terminating, command))
        finally:
            # miniwdl makes everything below the task writable afterwards; a hard link would carry that to the original.
            shutil.rmtree(staged, ignore_errors=True)

    def _fresh_streams(self) -> None:
        """Let the command's `../stdout.txt` be this try's file: without a container there is no mount to do it."""
        for current in (Path(self.host_stdout_txt()), Path(self.host_stderr_txt())):
            fixed = Path(self.host_dir, "stdout.txt" if current.name.startswith("stdout") else "stderr.txt")
            if fixed.exists():
                fixed.replace(fixed.with_suffix(f".before{self.try_counter}.txt"))
            fixed.touch()
            current.symlink_to(fixed.name)

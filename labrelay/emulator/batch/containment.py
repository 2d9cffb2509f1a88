"""What holds a job's command, and what it sees: bubblewrap with the network, or a plain process of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from labrelay.emulator.batch.attempts import Attempt
from labrelay.emulator.operation import Params
from labrelay.emulator.run_settings import RunSettings
from labrelay.workflows.local.sandbox import bubblewrap, bubblewrap_argv, python_folders
from labrelay.workflows.local.tools import readable_folders, search_path
from labrelay.workflows.nextflow.runtime import nextflow_folders

# Inside of a sandbox; no name that a machine has, since what lies below it outside would be hidden.
WORK, TMP = "/job-work", "/tmp"  # noqa: S108


class CannotStart(Exception):
    """The container of a job cannot be started; the text is its reason, as ECS words it."""


def pulled(image: str, settings: RunSettings) -> None:
    """Say that an image is there, as far as one has to be.

    Raises:
        CannotStart: Nothing of the settings starts it.
    """
    if not any(fnmatchcase(image, pattern) for pattern in settings.images):
        text = "no entry of [images] in runs.toml fits it, so that nothing here starts it"
        raise CannotStart(f"CannotPullContainerError: {image}: {text}")


def sandbox_of(settings: RunSettings) -> str | None:
    """Return the bubblewrap program that holds jobs, or None where they are plain processes.

    Raises:
        CannotStart: Bubblewrap is asked for and does not work here.
    """
    wanted = settings.batch.sandbox or settings.sandbox
    if wanted == "host":
        return None
    program = bubblewrap()
    if program is None and wanted == "bwrap":
        raise cannot('the sandbox bwrap does not work here; set sandbox = "host" under [batch] in runs.toml')
    return program


def contained(
    command: list[str],
    container: Params,
    attempt: Attempt,
    data: Path,
    settings: RunSettings,
    variables: dict[str, str],
) -> tuple[list[str], dict[str, str], bool]:
    """Return a job's whole command, its environment, and whether a sandbox is part of it.

    Args:
        command: Of the job.
        container: Its container, for volumes and mount points.
        attempt: Whose folders are the job's own.
        data: The emulator's data folder; file systems lie in `efs/` there.
        settings: How jobs are held, and where they find programs.
        variables: Of the job; beside them it sees PATH, HOME and a locale.

    Raises:
        CannotStart: Its mounts cannot be honoured, or there is no such program.
    """
    program = sandbox_of(settings)
    # The image stands for the environment that runs the emulator, so its Python comes before others of this machine.
    folders = search_path((*settings.tool_path, str(Path(sys.executable).parent)), data / "batch" / "tools")
    home, temporary = (str(attempt.work), str(attempt.tmp)) if program is None else (WORK, TMP)
    usual = {"PATH": os.pathsep.join(folders), "HOME": home, "TMPDIR": temporary, "LANG": "C.UTF-8", "PWD": home}
    environment = usual | variables
    mounts = _mounts(container, attempt, data)
    if not command:
        raise cannot("the job has no command, and an image that stands for this machine has none of its own")
    if "/" not in command[0] and shutil.which(command[0], path=environment["PATH"]) is None:
        raise cannot(f'exec: "{command[0]}": executable file not found in $PATH')
    if program is None:
        _check_host_mounts(mounts)
        return command, environment, False
    read_only = [*python_folders(), *readable_folders(folders), *nextflow_folders()]
    own = (WORK, str(attempt.work), True)
    argv = bubblewrap_argv(program, [own, *mounts], read_only, None, WORK, network=True, tmp=str(attempt.tmp))
    return [*argv, *command], environment, True


def cannot(why: str) -> CannotStart:
    """Return the failure of a container that does not start."""
    return CannotStart(f"CannotStartContainerError: {why}")


def _mounts(container: Params, attempt: Attempt, data: Path) -> list[tuple[str, str, bool]]:
    """Return (path inside, path outside, writable) of the mount points; file systems and scratch volumes are made."""
    volumes = {volume.get("name"): volume for volume in container.get("volumes", [])}
    found: list[tuple[str, str, bool]] = []
    for mount in container.get("mountPoints", []):
        volume = volumes[mount["sourceVolume"]]
        efs, host = volume.get("efsVolumeConfiguration"), volume.get("host") or {}
        if efs is not None:
            source = data / "efs" / efs["fileSystemId"] / str(efs.get("rootDirectory", "/")).strip("/")
            source.mkdir(parents=True, exist_ok=True)
        elif host.get("sourcePath"):
            source = Path(host["sourcePath"])
            if not source.exists():
                raise cannot(f"the host has no {source}, which the volume {volume.get('name')} names; make it first")
        else:
            source = attempt.folder / "volumes" / str(len(found))
            source.mkdir(parents=True)
        found.append((str(mount["containerPath"]), str(source), not mount.get("readOnly", False)))
    return found


def _check_host_mounts(mounts: list[tuple[str, str, bool]]) -> None:
    """Refuse mounts that a plain process cannot have: it sees the machine's own paths, and may write where it may."""
    for inside, outside, writable in mounts:
        if not writable or os.path.realpath(inside) != os.path.realpath(outside):
            why = f"without a sandbox {outside} cannot be {'seen' if writable else 'read-only'} at {inside}"
            raise cannot(f"{why}; install bubblewrap, or mount a host path at the same path, writable")

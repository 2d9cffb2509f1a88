"""A third-party workflow's folder as it is kept: its own files, and in words what it or its user left unsaid."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from labrelay.model.errors import UsageError
from labrelay.model.names import printable, slug
from labrelay.stores.durable import make_dirs
from labrelay.workflows.bundle import bundle_files
from labrelay.workflows.definition import FILE_NAME, NEXTFLOW, Definition, NextflowSpec, load
from labrelay.workflows.sources import Source
from labrelay.workflows.specs import PROFILE_NAME

CONFIG_FOLDER = "added_config"


def stage(source: Source, target: Path, profile: Sequence[str], config: Sequence[Path]) -> None:
    """Copy a definition that loads into `target`, which must not be there.

    Args:
        source: Hidden files and links in it are left out.
        target: Gets a `definition.toml` in any case.
        profile, config: What Nextflow gets after `-profile` and `-c`.

    Raises:
        UsageError: Profiles or configuration cannot be added to this definition, or a file is not there.
    """
    definition = load(source.folder)
    for name, path in bundle_files(source.folder):
        copy = target / name
        make_dirs(copy.parent)
        shutil.copyfile(path, copy)
        copy.chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)
    written = target / FILE_NAME
    if not written.exists():
        written.write_text(_words(definition, source), encoding="utf-8")
    if profile or config:
        _check(definition, profile, config)
        names = [_copied(path, target / CONFIG_FOLDER) for path in config]
        table = {"profile": list(profile), "config": names}
        lines = (f"{key} = {json.dumps(value)}\n" for key, value in table.items() if value)
        with written.open("a", encoding="utf-8") as out:
            out.write("\n[nextflow]\n" + "".join(lines))


def _words(definition: Definition, source: Source) -> str:
    """Return the definition of a bare folder, whose name is part of what it means."""
    told = {"name": definition.name, "version": source.version, "title": definition.name, "main": definition.main}
    told |= {"description": source.origin} if source.origin else {}
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items())


def _check(definition: Definition, profile: Sequence[str], config: Sequence[Path]) -> None:
    if definition.language != NEXTFLOW:
        raise UsageError(f"--profile and --config are for Nextflow, and {definition.name} is {definition.language}")
    if definition.nextflow != NextflowSpec():
        raise UsageError(f"the {FILE_NAME} of {definition.name} has [nextflow] already; write profile and config there")
    odd = [name for name in profile if not re.fullmatch(PROFILE_NAME, name)]
    if odd:
        raise UsageError(f"{', '.join(map(printable, odd))} is no name of a profile; a comma stands between two")
    missing = [str(path) for path in config if not path.is_file()]
    if missing:
        raise UsageError(f"there is no file {', '.join(missing)}")
    names = [slug(path.name) for path in config]
    if len(set(names)) < len(names):
        raise UsageError("two of the configuration files have the same name; rename one of them")


def _copied(path: Path, folder: Path) -> str:
    make_dirs(folder)
    copy = folder / slug(path.name)
    if copy.exists():
        raise UsageError(f"the workflow has a file {folder.name}/{copy.name} of its own; rename {path}")
    shutil.copyfile(path, copy)
    return f"{folder.name}/{copy.name}"

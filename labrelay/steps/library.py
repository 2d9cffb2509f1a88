"""What a home knows to run, changed by a person and put on record: references and workflow definitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labrelay.model.errors import UsageError
from labrelay.model.problem import Problem
from labrelay.model.reads import Reference
from labrelay.records import audit
from labrelay.steps.home import Home
from labrelay.workflows.definition import Definition
from labrelay.workflows.registry import Registry
from labrelay.workflows.sources import opened


def add_reference(home: Home, file: Path, name: str) -> Reference:
    """Store a reference genome (FASTA or GenBank); the same content and name again changes nothing.

    Raises:
        UsageError: There is no such file.
        RefusedInput: It is no reference that can be read.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    added = home.reads.add_reference(file, name)
    with home.records.write() as session:
        audit.record_once(session, "reference.added", added.id, name=added.name, sha256=added.fasta.sha256)
    return added


def add_workflow(
    home: Home, source: str, profile: Sequence[str] = (), config: Sequence[Path] = ()
) -> tuple[Definition, list[Problem]]:
    """Check a third-party workflow and copy it into the home; return its definition with the warnings.

    Args:
        home: Where.
        source: A folder, a zip, or an address as `labrelay.workflows.sources` knows them.
        profile, config: For Nextflow: profiles, and files of configuration.

    Raises:
        RefusedInput: It has errors; nothing was copied.
        Conflict: The home has another definition of this name.
    """
    registry = Registry(home.path)
    with opened(source) as found:
        definition, findings = registry.add(found, profile, config)
    version, _bundle = registry.bundle(definition)
    with home.records.write() as session:
        named = {"name": version.name, "version": version.version, "digest": version.digest}
        audit.record_once(session, "workflow.added", version.digest[:16], **named, source=source)
    return definition, findings

"""Which workflows there are: those that come with Labrelay, and those that a lab has added to its home folder."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from labrelay.model.errors import Conflict, NotFound, RefusedInput
from labrelay.model.problem import Problem, errors_of
from labrelay.model.runs import WorkflowVersion
from labrelay.stores.durable import fsync_dir, make_dirs
from labrelay.workflows.bundle import bundle_files, file_digest, write_bundle
from labrelay.workflows.definition import Definition, find_definitions, load
from labrelay.workflows.sources import Source
from labrelay.workflows.staging import stage

BUILT_IN = Path(__file__).parent / "definitions"


class Registry:
    """Definitions by name, and their bundles in `<home>/bundles/<sha256>.zip`.

    Args:
        home: The home folder; what a lab adds lies in its `definitions/`.
    """

    def __init__(self, home: Path) -> None:
        self._own, self._bundles = home / "definitions", home / "bundles"

    def definitions(self) -> dict[str, Definition]:
        """Return all definitions that load, by name; one of the lab's own stands before a built-in of the same name."""
        found: dict[str, Definition] = {}
        for folder in find_definitions((BUILT_IN, self._own)):
            try:
                definition = load(folder)
            except RefusedInput:
                continue
            found[definition.name] = definition
        return dict(sorted(found.items()))

    def problems(self) -> dict[Path, tuple[Problem, ...]]:
        """Return why the definitions that do not load are refused, by folder."""
        found: dict[Path, tuple[Problem, ...]] = {}
        for folder in find_definitions((BUILT_IN, self._own)):
            try:
                load(folder)
            except RefusedInput as refused:
                found[folder] = refused.problems
        return found

    def get(self, name: str) -> Definition:
        """Return the definition of this name.

        Raises:
            NotFound: There is none; the sentence names those that there are.
        """
        known = self.definitions()
        if name not in known:
            raise NotFound(f"There is no workflow {name}; there are {', '.join(known)}. Add one with its folder.")
        return known[name]

    def add(
        self, source: Path | Source, profile: Sequence[str] = (), config: Sequence[Path] = ()
    ) -> tuple[Definition, list[Problem]]:
        """Copy a third-party definition into the home, after checking it; return it with the warnings.

        Args:
            source: Its folder.
            profile, config: For Nextflow: profiles, and files of configuration that are copied as well. They become
                part of the copied definition, and so of the workflow's identity.

        Raises:
            RefusedInput: It has errors; nothing was copied.
            Conflict: The home has another definition of this name.
            UsageError: Profiles or configuration for what is no Nextflow pipeline, or says them itself.
        """
        from labrelay.workflows.lint import lint

        source = source if isinstance(source, Source) else Source(source)
        findings = lint(source.folder)
        errors = errors_of(findings)
        if errors:
            raise RefusedInput(f"The definition {source.folder}", errors)
        target = self._own / load(source.folder).name
        make_dirs(target.parent)
        temp = target.with_name(f".tmp-{secrets.token_hex(8)}")
        try:
            stage(source, temp, profile, config)
            load(temp)
            if not target.exists():
                temp.rename(target)
            elif not _same_files(temp, target):
                raise Conflict(
                    f"The home has another workflow {target.name} in {target}; raise its name, or remove that folder."
                )
        finally:
            shutil.rmtree(temp, ignore_errors=True)
        return load(target), findings

    def bundle(self, definition: Definition) -> tuple[WorkflowVersion, Path]:
        """Return the definition's identity and its bundle, which is written if it is not there.

        Raises:
            RefusedInput: A file name in the folder is not safe in an archive.
        """
        make_dirs(self._bundles)
        temp = self._bundles / f".tmp-{secrets.token_hex(8)}"
        try:
            digest = write_bundle(definition.folder, temp)
            target = self._bundles / f"{digest}.zip"
            if target.is_file() and file_digest(target) == digest:
                temp.unlink()
            else:
                temp.replace(target)
                fsync_dir(self._bundles)
        finally:
            temp.unlink(missing_ok=True)
        version = WorkflowVersion(
            name=definition.name,
            version=definition.version,
            digest=digest,
            language=definition.language,
            main=definition.main,
        )
        return version, target


def _same_files(one: Path, two: Path) -> bool:
    mine, theirs = ({str(name): file_digest(path) for name, path in bundle_files(folder)} for folder in (one, two))
    return mine == theirs

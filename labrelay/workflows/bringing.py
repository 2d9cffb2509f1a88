"""Files on AWS among a run's inputs on their way to this machine, for an engine that reads local paths."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from labrelay.model.faults import faultpoint
from labrelay.model.names import slug
from labrelay.model.runs import EngineStatus, Parameters, RunReport, RunRequest
from labrelay.stores.aws import Aws
from labrelay.stores.download import fetch_all, list_objects
from labrelay.stores.durable import write_json_atomic
from labrelay.stores.omics_files import fetch_reference, is_reference, reference_place, s3_uri_of
from labrelay.workflows.opened import open_bundle
from labrelay.workflows.report_paths import with_paths
from labrelay.workflows.local.engine import LocalEngine
from labrelay.workflows.shapes import with_files

SCHEMES = ("s3://", "omics://")


class Bringer:
    """Brings each object once: its place follows from its URI, and what is there whole is not brought again.

    Files that lie beside each other in S3 do so here, as an index and what it is of have to.
    """

    def __init__(self, aws: Aws, folder: Path) -> None:
        """Take the way to AWS and the folder that the files go to."""
        self._aws, self._folder = aws, folder

    def bring(
        self, schema: Mapping[str, Any], inputs: Parameters, origins: dict[str, str] | None = None
    ) -> Parameters:
        """Return the inputs with a local path for each file on AWS that their schema names.

        Cost: for each file one or two calls and its bytes; of one that is here already a HEAD. Memory does not grow.

        Args:
            schema: Of the workflow's inputs; it says which texts are files.
            inputs: By qualified name.
            origins: Takes, by local path, the URI that was asked for.

        Raises:
            NotFound: One of them is not there.
            StorageFailed: S3 did not give it, or the disk did not take it; the same call goes on from there.
        """
        wanted: list[tuple[str, Path]] = []

        def local(text: str) -> str:
            if not text.startswith(SCHEMES):
                return text
            place = self._place(text, wanted)
            if origins is not None:
                origins[place] = text
            return place

        shapes = schema.get("properties", {})
        found = {name: with_files(shapes.get(name, {}), value, local) for name, value in inputs.items()}
        references = [(uri, target) for uri, target in dict.fromkeys(wanted) if is_reference(uri)]
        for uri, target in references:
            fetch_reference(self._aws, uri, target)
        fetch_all(self._aws, [each for each in dict.fromkeys(wanted) if each not in references], self._folder)
        return found

    def _place(self, uri: str, wanted: list[tuple[str, Path]]) -> str:
        """Return where a file or folder will be, and note what has to be brought for it."""
        if is_reference(uri):
            wanted.append((uri, reference_place(uri, self._folder)))
            return str(wanted[-1][1])
        uri = s3_uri_of(self._aws, uri)
        parent, _, name = uri.rstrip("/").rpartition("/")
        target = self._folder / sha256(parent.encode()).hexdigest()[:20] / slug(name)
        if uri.endswith("/"):
            # Names in S3 are somebody else's: none becomes a path as it is.
            found = [(each, each.removeprefix(uri).split("/")) for each in list_objects(self._aws, uri)]
            wanted += [(each, target.joinpath(*(slug(part) for part in parts))) for each, parts in found]
        else:
            wanted.append((uri, target))
        return str(target)


class BringingEngine:
    """The engine of this machine, for a home whose files lie on AWS: inputs are brought here before it is asked."""

    def __init__(self, engine: LocalEngine, aws: Aws, folder: Path) -> None:
        """Take the engine, the way to AWS, and the folder for what is brought."""
        self._engine, self._bringer, self._folder = engine, Bringer(aws, folder), folder
        self.kind = engine.kind

    @property
    def sandbox(self) -> str:
        """What will hold the tasks; see `LocalEngine.sandbox`."""
        return self._engine.sandbox

    def submit(self, request: RunRequest) -> str:
        """Bring the inputs, then queue the attempt; see `LocalEngine.submit`."""
        origins: dict[str, str] = {}
        inputs = self._bringer.bring(open_bundle(Path(request.bundle)).schema, request.inputs, origins)
        write_json_atomic(self._origins(request.token), origins)
        faultpoint("bringing.brought")
        return self._engine.submit(request.model_copy(update={"inputs": inputs}))

    def poll(self, external_ids: Sequence[str]) -> Mapping[str, EngineStatus]:
        """Return the state of each attempt that is known here."""
        return self._engine.poll(external_ids)

    def report(self, external_id: str) -> RunReport:
        """Return what happened in an ended attempt, its inputs under the names that were asked for."""
        report = self._engine.report(external_id)
        try:
            return with_paths(report, json.loads(self._origins(external_id).read_bytes()))
        except (OSError, ValueError):
            return report

    def cancel(self, external_id: str) -> None:
        """Ask for the end of an attempt."""
        self._engine.cancel(external_id)

    def reap(self) -> int:
        """Remove what killed processes left; return how many files."""
        return self._engine.reap()

    def _origins(self, token: str) -> Path:
        return self._folder / "origins" / f"{slug(token)}.json"

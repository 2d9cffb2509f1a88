"""What a run left in S3: its outputs, which of them are files, and their way onto this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labrelay.model.errors import StorageFailed
from labrelay.model.names import slug
from labrelay.model.runs import OutputFile
from labrelay.stores.aws import Aws
from labrelay.stores.download import bucket_and_key, fetch_all, list_objects, read_object

OUTPUTS, ENGINE_LOG = "logs/outputs.json", "logs/engine.log"
PIPELINES = "pubdir"
PUBLISHED = (PIPELINES, "output", "out")  # what a run without a list leaves: Nextflow's folders, and Ready2Run's
MAX_BYTES = 64_000_000
NOTHING = (
    "the run is COMPLETED and wrote no output: a WDL workflow needs an output section with values, a Nextflow one "
    "publishDir below /mnt/workflow/pubdir"
)


@dataclass
class Outputs:
    """Outputs by name, as the run left them.

    Attributes:
        files: (name, URI) in order; a name comes once a file, `output.member` inside a struct or map.
        values: What is not a file.
    """

    files: list[tuple[str, str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there is anything at all."""
        return bool(self.files or self.values)


def read_outputs(aws: Aws, base: str) -> Outputs:
    """Return what a run wrote.

    Args:
        aws: Where.
        base: The run's `runOutputUri`, which is never made up from ids.

    Raises:
        StorageFailed: Its list cannot be read, or makes no sense.
    """
    base = base.rstrip("/")
    content = read_object(aws, f"{base}/{OUTPUTS}", MAX_BYTES)
    if content is None:
        # Not every engine writes a list; what was published is what there is.
        return Outputs([found for part in PUBLISHED for found in _published(aws, f"{base}/{part}/", part)])
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise StorageFailed(f"{base}/{OUTPUTS} is no JSON object, so the outputs cannot be told; look at it in S3.")
    return split_outputs(told, base, lambda folder: list_objects(aws, folder))


def _published(aws: Aws, folder: str, part: str) -> Iterator[tuple[str, str]]:
    """Yield (name, URI) of what lies in a published folder; a pipeline's files have their paths for names."""
    for uri in list_objects(aws, folder):
        yield (uri.removeprefix(folder) if part == PIPELINES else part), uri


def split_outputs(told: dict[str, Any], base: str, list_folder: Any) -> Outputs:
    """Tell files from values: a file is what lies below the run's own output folder, whatever else it looks like.

    Args:
        told: The content of `outputs.json`, with names such as `workflow.vcf`.
        base: The run's output folder.
        list_folder: Returns the objects below a URI that ends with `/` (an output of type Directory).
    """
    outputs = Outputs()
    for qualified, value in told.items():
        name = qualified.partition(".")[2] or qualified
        found = list(_uris(name, value, f"{base.rstrip('/')}/"))
        if not found and value is not None:
            outputs.values[name] = value
        for output, uri in found:
            outputs.files += [(output, each) for each in (list_folder(uri) if uri.endswith("/") else [uri])]
    return outputs


def bring(aws: Aws, outputs: Outputs, folder: Path) -> tuple[OutputFile, ...]:
    """Download the files to `<folder>/out/<output>/<index>/<file>` and return them; what is there already stays.

    Names in S3 are somebody else's: none becomes a path as it is.
    """
    counts: dict[str, int] = {}
    places: dict[str, str] = {}
    wanted: list[tuple[str, Path]] = []
    files: list[OutputFile] = []
    for name, uri in outputs.files:
        index = counts.get(name, 0)
        counts[name] = index + 1
        # Two names may come to the same on a disk; the later one gets the number of its coming.
        place = places.setdefault(name, _free(slug(name), set(places.values())))
        target = folder / "out" / place / str(index) / slug(uri.rpartition("/")[2])
        wanted.append((uri, target))
        files.append(OutputFile(output=name, index=index, path=str(target)))
    fetch_all(aws, wanted, folder)
    return tuple(files)


def _free(name: str, taken: set[str]) -> str:
    folded = {each.casefold() for each in taken}
    return name if name.casefold() not in folded else f"{name}-{len(taken)}"


def bring_engine_log(aws: Aws, base: str, folder: Path) -> Path | None:
    """Download the engine's log, when there is one, and return where it is."""
    uri, target = f"{base.rstrip('/')}/{ENGINE_LOG}", folder / "engine.log"
    if next(iter(list_objects(aws, f"s3://{'/'.join(bucket_and_key(uri))}")), None) is None:
        return None
    fetch_all(aws, [(uri, target)], folder)
    return target


def _uris(name: str, value: Any, root: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and value.startswith(root):
        yield name, value
    elif isinstance(value, list):
        for item in value:
            yield from _uris(name, item, root)
    elif isinstance(value, dict):
        location = value.get("location")
        if value.get("class") in ("File", "Directory") and isinstance(location, str):
            yield from _uris(name, location, root)  # as CWL names them
            return
        for key, item in value.items():
            yield from _uris(f"{name}.{key}", item, root)

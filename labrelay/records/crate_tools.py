"""What a crate says of the programs of a run: each task's tool, its step, what it needs, and the image it ran in.

What ran is told apart from what was asked: an image is described as one that ran only when it did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from labrelay.model.runs import TaskReport
from labrelay.records.crate_graph import RUN_TERMS, CrateGraph, Ref, local_id
from labrelay.records.documents import call_name

IMAGE = re.compile(r"[/:]")
SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
BLOCK = re.compile(r"^[ \t]*(?:task|process)[ \t]+(\w+)", re.MULTILINE)
ENVIRONMENTS = frozenset(
    {"Dockerfile", "Singularity.def", "conda.yml", "environment.yaml", "environment.yml", "requirements.txt"}
)
CONFIGURATIONS = ("nextflow.config", "definition.toml")
CONFIGURATION_FOLDER = "conf"


@dataclass(frozen=True)
class Source:
    """What the definition's own text says of its tasks, so that much is known of a run whose engine says little.

    Attributes:
        blocks: The text of each task or process, by its name.
        environments: Files that say what is installed for a task, by its name; those at the top by an empty name.
        configurations: Files that the engine or Labrelay reads as configuration.
    """

    blocks: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    configurations: tuple[str, ...] = ()


def read_source(graph: CrateGraph, definition: Mapping[str, str]) -> Source:
    """Read the definition's copy in the crate; `definition` maps paths of the bundle to paths of the crate."""
    blocks: dict[str, str] = {}
    environments: dict[str, tuple[str, ...]] = {"": _environments(definition, PurePosixPath())}
    for inside, relative in definition.items():
        if inside.endswith((".wdl", ".nf")):
            text = (graph.folder / relative).read_text(encoding="utf-8", errors="replace")
            for name, block in _blocks(text):
                blocks.setdefault(name, block)
                environments.setdefault(name, _environments(definition, PurePosixPath(inside).parent))
    configured = [inside for inside in definition if _is_configuration(PurePosixPath(inside))]
    return Source(blocks, environments, tuple(definition[inside] for inside in sorted(configured)))


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    found = list(BLOCK.finditer(text))
    for number, match in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        yield match[1], text[match.start() : end]


def _environments(definition: Mapping[str, str], folder: PurePosixPath) -> tuple[str, ...]:
    beside = (inside for inside in definition if PurePosixPath(inside).parent == folder)
    return tuple(definition[inside] for inside in sorted(beside) if PurePosixPath(inside).name in ENVIRONMENTS)


def _is_configuration(path: PurePosixPath) -> bool:
    return str(path) in CONFIGURATIONS or (path.parts[0] == CONFIGURATION_FOLDER and path.suffix == ".config")


def software(graph: CrateGraph, name: str, version: str | None) -> Ref:
    """Describe a program by name and version."""
    parts = [name, *([version] if version else [])]
    return graph.add(local_id("software", *parts), "SoftwareApplication", name=name, version=version)


def add_tool(graph: CrateGraph, task: TaskReport, tools: Mapping[str, Ref], source: Source, workflow: Ref) -> Ref:
    """Describe the tool of a task: the definition's task, and the programs of known version that it calls.

    The command as run says which; where the engine does not tell it, the task's text in the definition does.
    """
    name = call_name(task.name)
    told = task.command or source.blocks.get(_last(name), "")
    places = {tool: place for tool in tools if (place := _place(told, tool)) is not None}
    needs = [tools[tool] for tool in sorted(places)]
    version: str | None = graph.entity(workflow).get("version")
    ref = graph.add(
        local_id("tool", name),
        "SoftwareApplication",
        name=name,
        description=f"Task {name} of the workflow",
        version=version,
        softwareRequirements=needs,
        # The program that is called first; the others are its helpers.
        mainEntity=tools[min(places, key=lambda tool: places[tool])] if places else None,
    )
    graph.link(workflow, "hasPart", ref)
    return ref


def add_step(graph: CrateGraph, task: TaskReport, tool: Ref, source: Source, workflow: Ref) -> Ref:
    """Describe the step of the workflow that the task is an execution of."""
    name = call_name(task.name)
    position = len(graph.entity(workflow).get("step", []))
    files = source.environments.get(_last(name), ())
    ref = graph.add(
        local_id("step", name),
        "HowToStep",
        name=name,
        position=str(position),
        workExample=tool,
        buildInstructions=graph.files(files),
    )
    graph.link(workflow, "step", ref)
    return ref


def _last(name: str) -> str:
    """Return the definition's own name of a task: Nextflow puts its workflows before it, miniwdl the calls."""
    return re.split(r"[:.]", name)[-1]


def _place(command: str, tool: str) -> int | None:
    found = re.search(rf"(?<![\w.-]){re.escape(tool)}(?![\w-])", command)
    return None if found is None else found.start()


def image_of(task: TaskReport) -> str | None:
    """Return the container image that a task really ran in, None when it was none or nobody says."""
    ran = task.ran_in or ""
    if ran.startswith("container "):
        return ran.removeprefix("container ").partition(",")[0].strip() or None
    if ran.startswith("sha256:"):  # a digest without its image: HealthOmics' manifest
        declared = (task.declared_image or "").partition("@")[0]
        return f"{declared}@{ran}" if declared else ran
    return ran.removeprefix("docker://") if IMAGE.search(ran) and " " not in ran else None


def add_image(graph: CrateGraph, image: str) -> Ref:
    """Describe a container image by registry, name, tag and digest."""
    found = SHA256.search(image)
    named = "" if image.startswith("sha256:") else image.partition("@")[0]
    name, _, tag = named.rpartition(":")
    if not name or "/" in tag:
        name, tag = named, ""
    first, slash, rest = name.partition("/")
    hosted = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return graph.add(
        local_id("image", image),
        "ContainerImage",
        name=(rest if hosted else name) or image,
        registry=first if hosted else "docker.io" if name else None,
        tag=tag or None,
        sha256=found.group(1) if found else None,
        additionalType={"@id": RUN_TERMS + ("SIFImage" if image.endswith(".sif") else "DockerImage")},
    )

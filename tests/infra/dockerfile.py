"""Reads a Dockerfile as far as ours goes (no here-documents, no other escape sign), and says what is wrong with it."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WORDS = {"ARG", "FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}


@dataclass
class Stage:
    """A stage: its base, its name, and its instructions as (word, rest)."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def of(self, word: str) -> list[str]:
        """Return what stands behind each instruction of one kind."""
        return [rest for found, rest in self.steps if found == word]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction with its continued lines joined; comments are left out, also between these."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in kept.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, " ".join(rest.split())


def stages(text: str, arguments: Mapping[str, str]) -> list[Stage]:
    """Return the stages, with build arguments as given put into their bases.

    Raises:
        ValueError: A line is no instruction, or stands before the first FROM.
    """
    known, found = dict[str, str](), list[Stage]()
    for word, rest in instructions(text):
        if word not in WORDS or not rest:
            raise ValueError(f"{word} {rest} is no instruction")
        if word == "ARG" and not found:
            name, _, default = rest.partition("=")
            known[name] = arguments.get(name, default)
        elif word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(re.sub(r"\$\{(\w+)\}", lambda m: known[m[1]], base), name))
        elif not found:
            raise ValueError(f"{word} {rest} stands before the first FROM")
        else:
            found[-1].steps.append((word, rest))
    return found


def problems(text: str, arguments: Mapping[str, str], context: Path, ignore: Sequence[str]) -> list[str]:
    """Return what is wrong: sources not there or not sent, stages out of order, unpinned installs, bad shell."""
    try:
        read = stages(text, arguments)
    except ValueError as error:
        return [str(error)]
    said, earlier = list[str](), set[str]()
    for stage in read:
        if ":" not in stage.base and stage.base not in earlier:
            said.append(f"FROM {stage.base} names no stage above it and has no tag")
        for rest in stage.of("COPY"):
            said += _copied(rest, earlier, context, ignore)
        for rest in stage.of("RUN"):
            said += _ran(rest)
        earlier.add(stage.name)
    if not [user for user in read[-1].of("USER") if not user.startswith(("0", "root"))]:
        said.append("the last stage runs as root")
    return said


def _copied(rest: str, earlier: set[str], context: Path, ignore: Sequence[str]) -> list[str]:
    *sources, _target = [word for word in rest.split() if not word.startswith("--")]
    if stage := re.search(r"--from=(\S+)", rest):
        return [] if stage[1] in earlier else [f"COPY --from={stage[1]} names no stage above it"]
    missing = [f"COPY {source}: there is none" for source in sources if not (context / source).exists()]
    return missing + [f"COPY {source}: it is not sent to the builder" for source in sources if ignored(source, ignore)]


def ignored(path: str, ignore: Sequence[str]) -> bool:
    """Tell whether a .dockerignore leaves out a path: the last line that fits it or a folder above it decides."""
    out, above = False, [path, *map(str, Path(path).parents)]
    for line in ignore:
        pattern = line.removeprefix("!")
        if any(fnmatch.fnmatch(each, pattern) for each in above if each != "."):
            out = not line.startswith("!")
    return out


def _ran(rest: str) -> list[str]:
    said = []
    shell = subprocess.run(["sh", "-n", "-c", rest], capture_output=True, text=True, check=False)
    if shell.returncode:
        said.append(f"RUN {rest}: {shell.stderr.strip()}")
    for command in re.split(r"&&|;|\|", rest):
        words = command.split()
        if {"pip", "install"} <= set(words):
            pinned = "--require-hashes" in words or {"--no-index", "--no-deps"} <= set(words)
            said += [] if pinned else [f"RUN {command.strip()}: installs what no hash holds"]
        if {"curl", "wget"} & set(words):
            said.append(f"RUN {command.strip()}: fetches what no lock names")
    return said

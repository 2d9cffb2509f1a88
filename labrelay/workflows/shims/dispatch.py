"""Run the samtools and bcftools that pysam carries as if they were programs: stdout, stderr and exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import pysam
import pysam.version

SENTENCE = (
    "{name}: the stand-in that comes with Labrelay knows {known}, not {asked!r}; install {name} itself, and it is used."
)


def run(module: ModuleType, name: str, known: Sequence[str], arguments: Sequence[str]) -> int:
    """Run one command of samtools or bcftools and return the exit code.

    Args:
        module: `pysam.samtools` or `pysam.bcftools`.
        name: The program's name for messages.
        known: The commands that are promised.
        arguments: The command line after the program's name.
    """
    if list(arguments[:1]) == ["--version"]:
        version = getattr(pysam.version, f"__{name}_version__")
        sys.stdout.write(f"{name} {version} (pysam {pysam.__version__})\n")
        return 0
    if not arguments or arguments[0] not in known:
        asked = arguments[0] if arguments else ""
        sys.stderr.write(SENTENCE.format(name=name, known=", ".join(known), asked=asked) + "\n")
        return 2
    return _dispatch(getattr(module, arguments[0]), name, arguments)


def _dispatch(command: Callable[..., str | bytes], name: str, arguments: Sequence[str]) -> int:
    try:
        # pysam catches stdout by giving some commands an -o of its own, which would win over the caller's.
        said = command(*arguments[1:], catch_stdout=not _has_output(arguments), split_lines=False, raw=True)
    except (pysam.SamtoolsError, OSError) as error:
        sys.stderr.write(f"{name} {arguments[0]}: {error}\n")
        return 1
    try:
        sys.stdout.buffer.write(said if isinstance(said, bytes) else (said or "").encode())
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    messages = getattr(command, "get_messages", lambda: "")()
    if messages:
        sys.stderr.write(messages if isinstance(messages, str) else messages.decode(errors="replace"))
    return 0


def _has_output(arguments: Sequence[str]) -> bool:
    return any(word.startswith("-o") or word.split("=")[0] in ("--output", "--output-file") for word in arguments)

"""Where a workflow that is added comes from: a folder, a zip, or a tag of a public Git repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labrelay.model.errors import MissingTool, NotFound, UsageError
from labrelay.model.names import printable, slug
from labrelay.workflows.bundle import unpack_bundle

REPOSITORY = re.compile(
    r"(?:https://github\.com/(?P<owner>[A-Za-z0-9][\w-]{0,38})|nf-core)/(?P<name>[A-Za-z0-9][\w.-]{0,99}?)(?:\.git)?/?"
    r"@(?P<tag>[A-Za-z0-9][\w.+/-]{0,99})"
)
CLONE_SECONDS = 600
NO_NETWORK = re.compile(r"could not resolve|failed to connect|couldn't connect|timed out|network is unreachable", re.I)
# No hook, no helper program and no other protocol of the machine's configuration has a part in it.
CAREFUL = ("-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false")


@dataclass(frozen=True)
class Source:
    """A folder to add, with what is known of a workflow that says nothing itself.

    Attributes:
        folder: Its name is the workflow's when there is no `definition.toml`.
        version: The repository's tag, `0` when there is none.
        origin: A sentence on where it is from, empty for a folder or zip.
    """

    folder: Path
    version: str = "0"
    origin: str = ""


@contextmanager
def opened(what: str) -> Iterator[Source]:
    """Yield a workflow's folder; one that was unpacked or fetched is gone afterwards.

    Args:
        what: A folder, a zip, `nf-core/NAME@TAG`, or `https://github.com/OWNER/NAME@TAG`.

    Raises:
        UsageError: There is no such thing, or no network to get it from.
        RefusedInput: The zip is none, or holds what it may not hold.
        MissingTool: Git is not installed.
    """
    path, found = Path(what), REPOSITORY.fullmatch(what)
    if path.is_dir():
        yield Source(path.resolve() if path.name in ("", "..") else path)
        return
    if not path.is_file() and found is None:
        hint = " (say the tag too: NAME@TAG)" if what.startswith(("https://", "nf-core/")) else ""
        raise UsageError(f"there is no folder {printable(what)} and no zip of this name{hint}")
    with tempfile.TemporaryDirectory(prefix="labrelay-add-") as temp:
        if path.is_file():
            yield Source(_unpacked(path, Path(temp)))
        elif found is not None:
            yield _cloned(found, Path(temp))


def _unpacked(archive: Path, temp: Path) -> Path:
    folder = temp / slug(archive.stem)
    unpack_bundle(archive, folder)
    inside = list(folder.iterdir())
    # Archives of a Git host hold one folder with everything in it.
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _cloned(found: re.Match[str], temp: Path) -> Source:
    owner, name, tag = found["owner"] or "nf-core", found["name"], found["tag"]
    url, folder = f"https://github.com/{owner}/{name}", temp / slug(name)
    _git(["clone", "--quiet", "--depth", "1", "--single-branch", "--branch", tag, "--", url, str(folder)], url, tag)
    commit = _git(["-C", str(folder), "rev-parse", "HEAD"], url, tag).strip()
    version = re.sub(r"[^A-Za-z0-9._+-]", "-", tag)[:63]
    return Source(folder, version, f"{owner}/{name} at {tag}, commit {commit[:40]}.")


def _git(arguments: list[str], url: str, tag: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise MissingTool(f"git is not installed, and {url} is fetched with it; install git, or add a folder or a zip")
    try:
        done = subprocess.run(
            [git, *CAREFUL, *arguments],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CLONE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{url} was not there within {CLONE_SECONDS} seconds; try again, or add a folder or a zip"
        ) from None
    if done.returncode == 0:
        return done.stdout
    if NO_NETWORK.search(done.stderr):
        raise UsageError(f"{url} needs a network, and there is none here; fetch it elsewhere and add the folder or zip")
    if "Remote branch" in done.stderr:
        raise NotFound(f"{url} has no tag {tag}; look up its releases there")
    if "could not read Username" in done.stderr or "not found" in done.stderr:
        raise NotFound(f"{url} is no public repository; check the name, or add a folder or a zip")
    said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "git said nothing")
    raise UsageError(f"{url} could not be fetched: {printable(said)}")

"""Which Nextflow runs here: the one of the settings, the one on PATH, or the one that `make nextflow` has brought."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from labrelay.model.errors import MissingTool

OLDEST = (23, 10)
OLDEST_JAVA = 17
CHECKOUT = Path(__file__).resolve().parents[3] / ".nextflow-runtime"
LAUNCHER_VERSION = re.compile(r"NXF_VER=\$\{NXF_VER:-'([0-9][\w.-]*)'\}")
SAID_VERSION = re.compile(r"\bversion:?\s+([0-9][\w.-]*)")
JAR_VERSION = re.compile(r"^nextflow-([0-9][\w.-]*)\.jar$")
JAVA_VERSION = re.compile(r'version "(\d+)')
GET_IT = (
    "install it (https://nextflow.io) so that `nextflow` is on PATH, or, in a checkout of Labrelay with Java 17 and "
    "Maven, run `make nextflow`"
)
# Nextflow's own launcher opens these to its libraries.
OPENED = (
    *(f"java.base/java.{name}" for name in ("lang", "io", "nio", "net", "util", "util.concurrent.locks", "util.regex")),
    *(f"java.base/sun.nio.{name}" for name in ("ch", "fs")),
    *(f"java.base/sun.net.www.protocol.{name}" for name in ("http", "https", "ftp", "file")),
    *(f"java.base/jdk.internal.{name}" for name in ("misc", "vm")),
)
# As Nextflow's own launcher does: a pipeline's JVM mostly waits, so it is to start soon.
JVM_OPTIONS = ("-XX:+TieredCompilation", "-XX:TieredStopAtLevel=1")
# What `make nextflow` had Java keep of classes; where it does not fit this Java or these jars, Java passes it over.
KEPT_CLASSES = "classes.jsa"
SECONDS = 60


@dataclass(frozen=True)
class Nextflow:
    """A Nextflow that can be started.

    Attributes:
        argv: The command line up to Nextflow's own options.
        version: Such as `24.10.8`.
        where: For people: the program's path, or the folder of its jars.
        bundled: Whether it is a folder of jars, which has no plugins and fetches none.
    """

    argv: tuple[str, ...] = field(repr=False)
    version: str
    where: str
    bundled: bool

    @property
    def name(self) -> str:
        """Name and version, as reports say it."""
        return f"Nextflow {self.version}"


def find(setting: str | None = None) -> Nextflow:
    """Return the Nextflow of the settings, or the one on PATH, or the checkout's, whichever is there first.

    Args:
        setting: A program, or a folder with Nextflow's jars. It is taken or refused; no other is looked for.

    Raises:
        MissingTool: There is none, it is too old, or there is no Java for it; the text says how to get it.
    """
    if setting:
        return _checked(_of_setting(Path(setting).expanduser()))
    program = shutil.which("nextflow")
    if program is not None:
        return _checked(_of_program(program))
    if (CHECKOUT / ".ready").is_file():
        return _checked(_of_jars(CHECKOUT))
    raise MissingTool(f"There is no Nextflow on this machine; {GET_IT}.")


def nextflow_folders() -> tuple[str, ...]:
    """Return what a sandbox has to show so that the Nextflow of `make nextflow` can be started inside of it."""
    return (str(CHECKOUT),) if CHECKOUT.is_dir() else ()


def _of_setting(path: Path) -> Nextflow:
    if path.is_dir():
        return _of_jars(path)
    if path.is_file() and os.access(path, os.X_OK):
        return _of_program(str(path))
    raise MissingTool(f"The setting `nextflow` names {path}, which is no program and no folder of jars; correct it.")


def _of_program(program: str) -> Nextflow:
    return Nextflow((program,), _version_of(program, Path(program).stat().st_mtime_ns), program, bundled=False)


def _of_jars(folder: Path) -> Nextflow:
    jars = sorted(folder.glob("*.jar"))
    version = next((found[1] for jar in jars if (found := JAR_VERSION.match(jar.name))), None)
    if version is None:
        raise MissingTool(f"The folder {folder} has no jar of Nextflow; {GET_IT}.")
    opened = [f"--add-opens={name}=ALL-UNNAMED" for name in OPENED]
    # As the launcher takes them; what cannot be split is told by Java.
    own = os.environ.get("NXF_OPTS", "").split()
    kept = folder / KEPT_CLASSES
    own = [f"-XX:SharedArchiveFile={kept}", "-Xlog:cds=off", *own] if kept.is_file() else own
    argv = [java(), *JVM_OPTIONS, *own, *opened, "-cp", os.pathsep.join(map(str, jars)), "nextflow.cli.Launcher"]
    return Nextflow(tuple(argv), version, str(folder), bundled=True)


def _checked(found: Nextflow) -> Nextflow:
    numbers = tuple(int(part) for part in re.findall(r"\d+", found.version)[:2])
    if numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise MissingTool(
            f"Nextflow {found.version} ({found.where}) is too old; {wanted} or newer is needed: {GET_IT}."
        )
    return found


@lru_cache(maxsize=8)
def _version_of(program: str, written: int) -> str:
    """Return the version of a launcher: from its text, or, where that does not say it, by asking."""
    del written  # part of the key: another file is asked anew
    chosen = os.environ.get("NXF_VER")
    if chosen:
        return chosen
    head = Path(program).read_bytes()[:65_536].decode("utf-8", errors="replace")
    found = LAUNCHER_VERSION.search(head) or SAID_VERSION.search(_said([program, "-version"], program))
    if found is None:
        raise MissingTool(f"The program {program} does not say which Nextflow it is; {GET_IT}.")
    return found[1]


def java(who: str = "Nextflow") -> str:
    """Return the Java that runs Nextflow, or what else needs one: of NXF_JAVA_HOME, of JAVA_HOME, or on PATH.

    Raises:
        MissingTool: There is none, or it is older than Java 17.
    """
    home = os.environ.get("NXF_JAVA_HOME") or os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None:
        raise MissingTool(f"{who} needs Java {OLDEST_JAVA} or newer, and there is none on PATH; install it.")
    version = _java_version(program)
    if version < OLDEST_JAVA:
        raise MissingTool(f"{who} needs Java {OLDEST_JAVA} or newer; {program} is Java {version}: set JAVA_HOME.")
    return program


@lru_cache(maxsize=4)
def _java_version(program: str) -> int:
    found = JAVA_VERSION.search(_said([program, "-version"], program))
    if found is None:
        raise MissingTool(f"The program {program} does not say which Java it is; set JAVA_HOME to one of 17 or newer.")
    return int(found[1])


def _said(argv: list[str], program: str) -> str:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingTool(f"The program {program} cannot be run: {error}.") from error
    return f"{done.stdout}\n{done.stderr}"

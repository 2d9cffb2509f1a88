"""What is configured, what works, what is missing and how to get it: each finding with what to do.

Nothing is changed by looking: no home is made, no database is brought forward, no runner is started.
"""

from __future__ import annotations

import os
import platform
import pyexpat
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from labrelay.model.errors import LabrelayError, MissingTool
from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.records import anchors, soundness
from labrelay.records.database import HEAD, Database
from labrelay.steps.adapters import notebook_of
from labrelay.steps.home import DATABASE, database_url
from labrelay.steps.rules import load_rules
from labrelay.steps.settings import FILE, Settings, load_settings
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_reads import FolderReadStore
from labrelay.workflows.local import picard
from labrelay.workflows.local.sandbox import bubblewrap, choose, display_name
from labrelay.workflows.nextflow import runtime
from labrelay.workflows.nextflow.command import check_tools
from labrelay.workflows.registry import Registry

TOOLS_EXTRA = "pip install 'labrelay[tools]'"
IMAGING_EXTRA = "pip install 'labrelay[imaging]'"
SHIMMED = {"minimap2": "mappy", "samtools": "pysam", "bcftools": "pysam"}  # what stands in when PATH has none
GIB = 1 << 30
EXPAT = (2, 6, 0)  # the first with limits on what a small hostile XML file may cost


class Health(StrEnum):
    """`OK` works, `NOTE` is worth knowing, `BROKEN` keeps the main job from working."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


class Finding(Frozen):
    """What was looked at, how it is, and what to do when it is not well."""

    what: str
    health: Health
    text: str
    fix: str | None = None


class Setting(Frozen):
    """A setting: its value as text (secrets masked), where it is from, and what it means."""

    name: str
    value: str
    source: str
    meaning: str


def examine(home: Path) -> tuple[list[Setting], list[Finding]]:
    """Look at a home and at this machine; every check is made, whatever the others say."""
    findings = [_python(), _expat(), _account()]
    settings: Settings | None = None
    try:
        settings = load_settings(home)
        findings.append(Finding(what="home", health=Health.OK, text=str(home)))
    except LabrelayError as error:
        findings.append(_broken("home", str(error)))
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _sandbox(settings),
        _tools,
        lambda: iter([_nextflow(settings), _converter()]),
    ]
    if settings is not None:
        known = settings
        checks += [
            lambda: _database(home, known),
            lambda: _disk(home),
            lambda: _landing(known),
            lambda: _library(home, known),
            lambda: iter([_notebook(known)]),
        ]
    for check in checks:
        findings += check()
    return (_settings(settings, home) if settings is not None else []), findings


def _broken(what: str, said: str, fix: str | None = None) -> Finding:
    return Finding(what=what, health=Health.BROKEN, text=printable(said, 400), fix=fix)


def _note(what: str, said: str, fix: str | None = None) -> Finding:
    return Finding(what=what, health=Health.NOTE, text=printable(said, 400), fix=fix)


def _ok(what: str, said: str) -> Finding:
    return Finding(what=what, health=Health.OK, text=printable(said, 400))


def _python() -> Finding:
    return _ok("python", f"{platform.python_version()} in {sys.prefix}, labrelay {version('labrelay')}")


def _expat() -> Finding:
    if pyexpat.version_info < EXPAT:
        wanted = ".".join(map(str, EXPAT))
        said = f"{pyexpat.EXPAT_VERSION} is old: a hostile XML file may cost much time; {wanted} or newer has limits"
        return _note("xml parser", said, "update Python, or the system's libexpat")
    return _ok("xml parser", pyexpat.EXPAT_VERSION)


def _account() -> Finding:
    if os.geteuid() == 0:
        return _note("account", "this is root: tasks get no rights in the sandbox", "use a plain account")
    return _ok("account", f"uid {os.geteuid()}")


def _sandbox(settings: Settings | None) -> Iterator[Finding]:
    asked = settings.sandbox if settings else "auto"
    try:
        chosen = display_name(choose(asked))
    except LabrelayError as error:
        yield _broken("sandbox", str(error))
        return
    if chosen == "host processes" and asked == "auto":
        why = "bubblewrap does not work here (no bwrap, or no user namespaces): tasks run as plain host processes"
        yield _note("sandbox", why, f"install bubblewrap, or {TOOLS_EXTRA}")
    elif chosen == "bubblewrap":
        yield _ok("sandbox", f"bubblewrap works ({bubblewrap()})")
    else:
        yield _ok("sandbox", f"{chosen}, as the settings say")


def _tools() -> Iterator[Finding]:
    for name, stand_in in SHIMMED.items():
        path = shutil.which(name)
        if path is not None:
            yield _ok(name, f"{_version_of(path, '--version')} ({path})")
        elif (found := _package(stand_in)) is not None:
            yield _ok(name, f"stand-in on {stand_in} {found}; a {name} on PATH would be used first")
        else:
            yield _note(name, f"neither {name} on PATH nor {stand_in} in this Python", TOOLS_EXTRA)
    own = Path(sys.executable).parent
    cutadapt = shutil.which("cutadapt") or shutil.which("cutadapt", path=str(own))
    if cutadapt is not None:
        yield _ok("cutadapt", f"{_package('cutadapt') or _version_of(cutadapt, '--version')} ({cutadapt})")
    else:
        yield _note("cutadapt", "not found: viral_variants cannot trim", TOOLS_EXTRA)
    if (found := _package("scikit-image")) is not None and _package("tifffile") is not None:
        yield _ok("scikit-image", f"{found}, in this Python")
    else:
        yield _note("scikit-image", "not in this Python: cell_count needs it, unless python3 has it", IMAGING_EXTRA)


def _nextflow(settings: Settings | None) -> Finding:
    """Say which Nextflow runs pipelines; without one only they are out of reach."""
    chosen = settings.nextflow if settings is not None else None
    try:
        found = runtime.find(str(chosen) if chosen is not None else None)
        check_tools()
    except MissingTool as missing:
        if chosen is not None:
            return _broken("nextflow", str(missing))
        return _note("nextflow", str(missing), "workflows in WDL need none")
    return _ok("nextflow", f"{found.version} ({found.where})")


def _converter() -> Finding:
    """Say what makes reads of raw base calls; without it only `labrelay demultiplex` is out of reach."""
    found = next((path for name in ("bcl-convert", picard.NAME) if (path := shutil.which(name)) is not None), None)
    if found is not None:
        return _ok("demultiplex", found)
    if picard.launcher() is not None:
        return _ok("demultiplex", f"Picard ({picard.CHECKOUT})")
    return _note("demultiplex", "neither bcl-convert nor picard: no reads of raw base calls", picard.GET_IT)


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _version_of(path: str, option: str) -> str:
    """Return the first line that a program says of its version."""
    try:
        done = subprocess.run([path, option], capture_output=True, text=True, timeout=20, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"did not answer ({type(error).__name__})"
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if any(c.isdigit() for c in line)]
    return printable(lines[0], 80) if lines else "of unknown version"


def _database(home: Path, settings: Settings) -> Iterator[Finding]:
    file = home / DATABASE
    if settings.database_url is None and not file.is_file():
        yield _ok("records", "none yet: the first command makes them")
        return
    records = Database(database_url(home, settings))
    try:
        yield from _look_into(records)
        if settings.profile == "local":  # elsewhere looking would mean asking AWS
            yield from _anchored(home, records)
    except (SQLAlchemyError, LabrelayError) as error:
        said = str(error).splitlines()[0]
        yield _broken("records", f"the metadata store cannot be read: {said}", f"restore {file} from a backup")
    finally:
        records.close()


def _look_into(records: Database) -> Iterator[Finding]:
    for verdict in soundness.look(records):
        if verdict.fix is not None:
            yield _broken(verdict.what, verdict.said, verdict.fix)
        else:
            yield (_note if verdict.waits else _ok)(verdict.what, verdict.said)


def _anchored(home: Path, records: Database) -> Iterator[Finding]:
    """Look for the entry that was anchored last; `labrelay audit verify` looks for all."""
    if records.version() != HEAD:
        return
    with records.read() as session:
        met = anchors.newest_is_met(session, home / "objects")
    if met is False:
        said = (
            "the entry that was anchored last is not in the audit trail: entries were removed, or a copy was restored"
        )
        yield _broken("anchors", said, "labrelay audit verify")
    elif met:
        yield _ok("anchors", "the audit trail has the entry that was anchored last")


def _disk(home: Path) -> Iterator[Finding]:
    usage = shutil.disk_usage(home)
    said = f"{usage.free / GIB:,.1f} GiB of {usage.total / GIB:,.1f} GiB are free at {home}"
    if usage.free < GIB:
        yield _broken("disk", said, "labrelay clean --plan says what may go")
    elif usage.free < 20 * GIB:
        yield _note("disk", said, "labrelay clean --plan says what may go")
    else:
        yield _ok("disk", said)
    if not os.access(home, os.W_OK):
        yield _broken(
            "disk", f"{home} may not be written by this account", "give it the rights, or use another account"
        )


def _landing(settings: Settings) -> Iterator[Finding]:
    for folder in settings.landing:
        if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
            yield _ok("landing", str(folder))
        else:
            yield _broken("landing", f"{folder} is no folder that this account may read", f"mend `landing` in {FILE}")


def _notebook(settings: Settings) -> Finding:
    """Say which notebook is told; it is not asked, since looking changes nothing and needs no network."""
    try:
        opened = notebook_of(settings)
    except LabrelayError as error:
        return _broken("notebook", str(error), f"mend `eln` in {FILE}")
    if opened is None:
        return _ok("notebook", "none is told; .eln files are written")
    opened.close()
    return _ok("notebook", f"{opened.title} at {settings.eln_url}; `labrelay eln check` asks it")


def _library(home: Path, settings: Settings) -> Iterator[Finding]:
    """Look at the definitions, the rules, and whether the rules name what is there."""
    registry = Registry(home)
    for folder, problems in registry.problems().items():
        yield _broken("workflow", f"{folder}: {problems[0]}", f"labrelay workflow lint {folder}")
    workflows = registry.definitions()
    yield _ok("workflows", ", ".join(f"{each.name} {each.version}" for each in workflows.values()))
    try:
        rules = load_rules(home)
    except LabrelayError as error:
        yield _broken("rules", str(error), "labrelay rules show")
        return
    named = _references(home) if settings.profile == "local" else None  # elsewhere looking would mean asking AWS
    for rule in rules:
        if rule.workflow not in workflows:
            yield _broken("rules", f"{rule.name}: there is no workflow {rule.workflow}", "labrelay workflow add FOLDER")
        if rule.reference is not None and named is not None and rule.reference not in named:
            fix = f"labrelay reference add FILE --name {rule.reference}"
            yield _broken("rules", f"{rule.name}: there is no reference {rule.reference}", fix)
    if rules:
        yield _ok("rules", ", ".join(rule.name for rule in rules))
    else:
        yield _note(
            "rules", "none yet: process stores runs and starts no workflow", f"write one into {home}/rules.toml"
        )


def _references(home: Path) -> set[str]:
    """Return the names and ids of the references of a home that keeps them in folders."""
    reads = FolderReadStore(home / "reads", FolderObjectStore(home / "objects", name="objects"))
    return {word for each in reads.references() for word in (each.name, each.id)}


def _settings(settings: Settings, home: Path) -> list[Setting]:
    from_file = _names_in(home / FILE)
    told = []
    for name, spec in Settings.model_fields.items():
        value = getattr(settings, name)
        variable = f"LABRELAY_{name.upper()}"
        source = variable if variable in os.environ else FILE if name in from_file else "default"
        told.append(
            Setting(name=name, value=_shown(without_password(value)), source=source, meaning=spec.description or "")
        )
    return told


def _names_in(file: Path) -> set[str]:
    import tomllib

    return set(tomllib.loads(file.read_text(encoding="utf-8")))


def without_password(value: object) -> object:
    """Return a URL with its password masked, and anything else as it is."""
    return re.sub(r"^(\w+://[^/@]*:)[^/]*@", r"\1***@", value) if isinstance(value, str) else value


def _shown(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, SecretStr):
        return "set (not shown)"
    if isinstance(value, dict):
        return ", ".join(value)
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value)

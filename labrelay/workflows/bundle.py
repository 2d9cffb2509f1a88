"""A definition as one reproducible zip: the same files give the same bytes, and its SHA-256 is the workflow's identity.

HealthOmics and `miniwdl run` take the same archive.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import secrets
import shutil
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from labrelay.model.errors import RefusedInput
from labrelay.model.faults import faultpoint
from labrelay.model.names import is_safe_path
from labrelay.model.problem import Problem
from labrelay.stores.durable import fsync_dir, fsync_file, fsync_tree, make_dirs, storage_errors

MAX_ENTRIES = 2_000
MAX_BYTES = 200_000_000
MAX_RATIO = 200
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can say
LEFT_OUT = {"__pycache__", "node_modules"}
CHUNK = 1 << 20


def bundle_files(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield (name in the bundle, path) of a definition's files in order; hidden files and links are left out."""
    for path in sorted(folder.rglob("*"), key=lambda found: found.relative_to(folder).parts):
        name = PurePosixPath(*path.relative_to(folder).parts)
        hidden = any(part.startswith(".") or part in LEFT_OUT for part in name.parts)
        if not hidden and path.is_file() and not path.is_symlink():
            yield name, path


def write_bundle(folder: Path, target: Path) -> str:
    """Write the definition in `folder` as a zip to `target` and return the zip's SHA-256.

    Raises:
        RefusedInput: A file name is not safe in an archive, or there is too much.
        StorageFailed: The disk did not take it.
    """
    problems = name_problems(folder)
    if problems:
        raise RefusedInput(f"The definition {folder}", problems)
    with storage_errors(f"write the bundle of {folder.name}", target.parent):
        make_dirs(target.parent)
        temp = target.with_name(f".tmp-{secrets.token_hex(8)}")
        programs = _has_programs(folder)
        try:
            with zipfile.ZipFile(temp, "w") as archive:
                for name, path in bundle_files(folder):
                    entry = zipfile.ZipInfo(str(name), EPOCH)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    entry.create_system = 3  # Unix, on whatever system it is made
                    entry.external_attr = (stat.S_IFREG | (_mode(path) if programs else 0o644)) << 16
                    archive.writestr(entry, path.read_bytes())
            digest = file_digest(temp)
            fsync_file(temp)
            faultpoint("bundle.written")
            temp.replace(target)
            fsync_dir(target.parent)
        finally:
            temp.unlink(missing_ok=True)
    return digest


def _has_programs(folder: Path) -> bool:
    """Tell whether files may be called by name: those of Nextflow and of a command, but not those beside WDL."""
    if any(folder.glob("*.nf")):
        return True
    try:
        return "command" in tomllib.loads((folder / "definition.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _mode(path: Path) -> int:
    """Return one of two modes: programs are called by name, and no other bit matters."""
    return 0o755 if path.stat().st_mode & 0o111 else 0o644


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def unpack_bundle(archive: Path, folder: Path) -> None:
    """Unpack a bundle into `folder`, which must not be there; after a failure it is not there either.

    The archive is taken as hostile: only plain files with safe relative names are written, the numbers that it claims
    are not believed, and what it unpacks to is bounded.

    Raises:
        RefusedInput: It is no zip, or holds what a bundle may not hold.
        StorageFailed: The disk did not give or take it.
    """
    with storage_errors(f"unpack the bundle {archive.name}", folder.parent):
        make_dirs(folder.parent)
        temp = folder.with_name(f".tmp-{secrets.token_hex(8)}")
        temp.mkdir()
        try:
            with zipfile.ZipFile(archive) as opened:
                problems = archive_problems(opened.infolist())
                if problems:
                    raise RefusedInput(f"The bundle {archive}", problems)
                _extract(opened, temp, archive)
            # A folder of the right name is believed for ever, so its files come before its name.
            fsync_tree(temp)
            faultpoint("bundle.unpacked")
            temp.rename(folder)
            fsync_dir(folder.parent)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError) as error:
            raise RefusedInput(
                f"The bundle {archive}", [Problem(code="BUNDLE_NOT_A_ZIP", message=f"{error}.")]
            ) from error
        finally:
            shutil.rmtree(temp, ignore_errors=True)


def archive_problems(entries: list[zipfile.ZipInfo]) -> list[Problem]:
    """Return what is wrong with an archive's list of entries, before any of them is read."""
    problems: list[Problem] = []
    if len(entries) > MAX_ENTRIES:
        message = f"It has {len(entries):,} entries; a bundle may have {MAX_ENTRIES:,}."
        return [Problem(code="BUNDLE_TOO_MANY_FILES", message=message)]
    seen: set[str] = set()
    for entry in entries:
        if entry.is_dir():
            continue
        folded = entry.filename.casefold()
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_safe_path(entry.filename):
            problems.append(_problem("BUNDLE_UNSAFE_NAME", entry.filename, "its name is not a safe relative path"))
        elif kind not in (0, stat.S_IFREG):
            problems.append(_problem("BUNDLE_NOT_A_FILE", entry.filename, "it is a link or a device, not a plain file"))
        elif folded in seen:
            problems.append(_problem("BUNDLE_NAME_TWICE", entry.filename, "another entry has the same name"))
        elif entry.flag_bits & 1:
            problems.append(_problem("BUNDLE_ENCRYPTED", entry.filename, "it is encrypted"))
        seen.add(folded)
    return problems


def _extract(opened: zipfile.ZipFile, folder: Path, archive: Path) -> None:
    limit = min(MAX_BYTES, max(archive.stat().st_size, 4096) * MAX_RATIO)
    written = 0
    for entry in opened.infolist():
        if entry.is_dir():
            continue
        target = folder.joinpath(*PurePosixPath(entry.filename).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as source, target.open("xb") as sink:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                if written > limit:
                    message = f"It unpacks to more than {limit:,} bytes."
                    raise RefusedInput(f"The bundle {archive}", [Problem(code="BUNDLE_TOO_BIG", message=message)])
                sink.write(chunk)
        if entry.external_attr >> 16 & 0o111:
            target.chmod(0o755)
        os.utime(target, (0, 0))


def name_problems(folder: Path) -> list[Problem]:
    """Return why a folder cannot be bundled: unsafe names, no files, too much."""
    files = list(bundle_files(folder))
    problems = [
        _problem("BUNDLE_UNSAFE_NAME", str(name), "its name has other characters than letters, digits, . _ and -")
        for name, _ in files
        if not is_safe_path(str(name))
    ]
    if not files:
        problems.append(Problem(code="BUNDLE_EMPTY", message="The folder holds no files."))
    if len(files) > MAX_ENTRIES or sum(path.stat().st_size for _, path in files) > MAX_BYTES:
        message = f"It has more than {MAX_ENTRIES:,} files or {MAX_BYTES:,} bytes; keep data out of the definition."
        problems.append(Problem(code="BUNDLE_TOO_BIG", message=message))
    return problems


def _problem(code: str, name: str, why: str) -> Problem:
    return Problem(code=code, message=f"The entry is refused: {why}.", path=name)

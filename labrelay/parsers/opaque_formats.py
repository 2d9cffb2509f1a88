"""Formats that only their vendors' programs read: how each is recognised, and which files belong together.

Nothing here opens a file: names decide, and `labrelay.parsers.opaque` looks at the first bytes of some.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from labrelay.model.files import FileRole


class Format(NamedTuple):
    """One format.

    Attributes:
        key: Its short name here.
        what: As a person calls it.
        reader: Which program reads it.
        role: What its files are.
        endings: Of a file; empty when it is a folder.
        folder: Ending of its folder, where it is one.
        inside: Files (lower case) of which one lies in that folder; empty when the ending is enough.
        magic: First bytes, where they are known; empty when nothing is.
        sides: Endings that are added to the name, or put in place of the ending, of files that belong to it.
    """

    key: str
    what: str
    reader: str
    role: FileRole
    endings: tuple[str, ...] = ()
    folder: str = ""
    inside: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    sides: tuple[str, ...] = ()


class Item(NamedTuple):
    """One acquisition: its format, the file or folder that it is, and the sample that its name gives."""

    format: Format
    path: str
    sample: str


_FINNIGAN = b"\x01\xa1" + "Finnigan".encode("utf-16-le")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\3\4"
_GATAN = (b"\0\0\0\x03", b"\0\0\0\x04")
_SPECTRA, _IMAGE = FileRole.SPECTRA, FileRole.IMAGE
_MSCONVERT = "ProteoWizard's msconvert"

FORMATS = (
    Format(
        "bruker_d", "a Bruker .d folder", f"{_MSCONVERT}, or timsconvert", _SPECTRA, folder=".d",
        inside=("analysis.tdf", "analysis.tsf", "analysis.baf", "analysis.yep", "fid", "ser"),
    ),
    Format(
        "agilent_d", "an Agilent .d folder", _MSCONVERT, _SPECTRA, folder=".d",
        inside=("acqdata/contents.xml", "acqdata/msscan.bin", "acqdata/msprofile.bin", "acqdata/mspeak.bin", "data.ms"),
    ),
    Format(
        "waters_raw", "a Waters .raw folder", _MSCONVERT, _SPECTRA, folder=".raw",
        inside=("_header.txt", "_extern.inf", "_func001.dat", "_functns.inf"),
    ),
    Format(
        "thermo_raw", "a Thermo .raw file", "ThermoRawFileParser, or msconvert", _SPECTRA, endings=(".raw",),
        magic=(_FINNIGAN,), sides=("-metadata.json", "-metadata.txt", ".sld"),
    ),
    Format(
        "sciex_wiff", "a Sciex .wiff file", _MSCONVERT, _SPECTRA, endings=(".wiff", ".wiff2"),
        magic=(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"SQLite format 3\0"),
        sides=(".scan", ".mtd", ".timeseries.data", ".1.~idx2"),
    ),
    Format("ozx", "an OME-Zarr in one file", "unzip -d NAME.ome.zarr, then Labrelay", _IMAGE, (".ozx",), magic=(_ZIP,)),
    Format("oir", "an Olympus .oir or .oib image", "Olympus cellSens, or Bio-Formats", _IMAGE, (".oir", ".oib")),
    Format("ims", "an Imaris .ims image", "Imaris, or Bio-Formats", _IMAGE, (".ims",), magic=(_HDF5,)),
    Format("dm", "a Gatan .dm3 or .dm4 image", "DigitalMicrograph, or ncempy", _IMAGE, (".dm3", ".dm4"), magic=_GATAN),
    Format("emd", "a Velox .emd image", "Velox, or HyperSpy", _IMAGE, (".emd",), magic=(_HDF5,)),
    Format("imzml", "an imzML mass spectrometry image", "pyimzML", _SPECTRA, (".imzml",), sides=(".ibd",)),
    Format("mzxml", "an mzXML file, the older form of mzML", _MSCONVERT, _SPECTRA, (".mzxml",)),
)  # fmt: skip
_BY_ENDING = {ending: each for each in FORMATS for ending in each.endings}
_FOLDERS = {each.folder for each in FORMATS if each.folder}
_ENDINGS = tuple(_BY_ENDING)
_MARKS = tuple(f"{folder}/" for folder in _FOLDERS)


def may_be(path: str) -> bool:
    """Return whether a path is worth a closer look; quick, because folders of 100,000 files are asked it first."""
    lower = path.lower()
    return lower.endswith(_ENDINGS) or any(mark in lower for mark in _MARKS)


def item_of(path: str) -> Item | None:
    """Return what a file is by its own name alone: a single file, or within a folder that is called like a format."""
    parts = path.split("/")
    for depth, part in enumerate(parts[:-1]):
        if _ending(part) in _FOLDERS:
            kind = next(each for each in FORMATS if each.folder == _ending(part))
            return Item(kind, "/".join(parts[: depth + 1]), part[: -len(kind.folder)])
    kind_of_file = _BY_ENDING.get(_ending(parts[-1]))
    return Item(kind_of_file, path, parts[-1].rpartition(".")[0]) if kind_of_file is not None else None


def _ending(name: str) -> str:
    return name[name.rfind(".") :].lower() if "." in name[1:] else ""


def folders_in(paths: tuple[str, ...], root: str) -> Iterator[tuple[Format, str]]:
    """Give the folders that are acquisitions, with their format; `""` is the root itself.

    Args:
        paths: Of all files below the root.
        root: The root's own name, because somebody may name such a folder itself.
    """
    members: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        if _ending(root) in _FOLDERS:
            members.setdefault("", set()).add(path.lower())
        for depth, part in enumerate(parts[:-1]):
            if _ending(part) in _FOLDERS:
                members.setdefault("/".join(parts[: depth + 1]), set()).add("/".join(parts[depth + 1 :]).lower())
                break
    for folder, inner in members.items():
        name = folder.rpartition("/")[2] or root
        kind = next((e for e in FORMATS if e.folder == _ending(name) and _one_in(e, inner)), None)
        if kind is not None:
            yield kind, folder


def _one_in(kind: Format, inner: set[str]) -> bool:
    """Return whether one of the format's files is there; of NMR-like Bruker folders it lies one or two levels below."""
    return any(name in inner or any(path.endswith("/" + name) for path in inner) for name in kind.inside)

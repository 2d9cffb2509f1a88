"""The head of an mzML file: run, instrument, software and source files, up to its first list of spectra.

mzML 1.1, https://www.psidev.info/mzML. The head is a few kilobytes of XML before gigabytes of spectra. It goes through
expat with the refusals of `labrelay.parsers.xml`; a document type can only stand here, so what follows is free of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from labrelay.model.problem import Problem
from labrelay.parsers.text import error
from labrelay.parsers.xml import local_name

MAX_HEAD = 4 * 1024 * 1024
MAX_DEPTH = 64
MS_LEVEL = "MS:1000511"
_SERIAL = "MS:1000529"
_ANY_MODEL = "MS:1000031"  # says that there is a model, and not which
_SHA1 = "MS:1000569"
_LISTS = ("spectrumlist", "chromatogramlist")
# Names, addresses and so on of who is to be asked: MS:1000586 to MS:1000590.
_CONTACT = {f"MS:100058{digit}" for digit in (6, 7, 8, 9)} | {"MS:1000590"}
# An id of XML may hold no space and begin with no digit; converters escape what a file's name has.
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_MOST = 200  # source files, software and such that are kept


def plain_id(text: str) -> str:
    """Return an id without the escapes that XML asks for: `_x0032_024_run_x0020_1` is `2024_run 1`."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


@dataclass(frozen=True)
class SourceFile:
    """A raw file that the spectra were taken from; `location` is where it lay, which may name a person."""

    name: str
    location: str
    sha1: str | None = None


@dataclass
class MzmlHeader:
    """What stands before the first spectrum; what is not there is None or empty."""

    run_id: str | None = None
    started_text: str | None = None
    instrument: str | None = None
    serial: str | None = None
    software: list[str] = field(default_factory=list)
    sources: list[SourceFile] = field(default_factory=list)
    contact: dict[str, str] = field(default_factory=dict)
    content: list[str] = field(default_factory=list)
    levels: dict[str, str] = field(default_factory=dict)
    indexed: bool = False
    complete: bool = False


class _Stop(Exception):
    """Raised inside a handler: at a refusal with its reason, at the first list with none."""


class HeaderParser:
    """Takes the first bytes of a file until its head is whole; `feed` says when that is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.header = MzmlHeader()
        self._groups: dict[str, list[tuple[str, str, str]]] = {}
        self._stack: list[str] = []
        self._name = self._group = ""
        self._expanded = 0
        self._source: tuple[str, str, str | None] | None = None
        self._software = ""
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse

    def parse(self, head: bytes) -> tuple[MzmlHeader | None, tuple[Problem, ...]]:
        """Return the head's facts, `complete` when a list follows it, or None with the error that refuses the file.

        Args:
            head: The first bytes of the file, up to `MAX_HEAD` of them, in one piece.
        """
        try:
            self._parser.Parse(head, False)
        except _Stop as stopped:
            if str(stopped):
                return None, (
                    error("XML_REFUSED", f"{stopped}, which no converter writes; look where it is from", self.path),
                )
            self.header.complete = True
        except expat.ExpatError as bad:
            text = f"it is not well-formed XML: {expat.ErrorString(bad.code)}; convert the raw file again"
            return None, (error("BAD_XML", text, self.path, bad.lineno),)
        except (ValueError, LookupError) as bad:
            return None, (error("BAD_XML", f"its encoding is not known here ({type(bad).__name__})", self.path),)
        return self.header, ()

    def _refuse(self, *_: object) -> None:
        raise _Stop("it has a document type or entities")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = local_name(tag)
        if not self._stack and name not in ("mzml", "indexedmzml"):
            raise _Stop(f"its root element is {name[:40]} and not mzML")
        if len(self._stack) >= MAX_DEPTH:
            raise _Stop(f"elements are nested more than {MAX_DEPTH} deep")
        if name in _LISTS:
            raise _Stop
        self._stack.append(name)
        take = getattr(self, f"_on_{name}", None)
        if take is not None:
            take(attributes)

    def _end(self, _tag: str) -> None:
        name = self._stack.pop()
        if name == "sourcefile" and self._source is not None:
            if len(self.header.sources) < _MOST:
                self.header.sources.append(SourceFile(*self._source))
            self._source = None
        elif name == "software" and self._software:
            self._keep(self.header.software, self._software)
            self._software = ""

    def _on_indexedmzml(self, _: dict[str, str]) -> None:
        self.header.indexed = True

    def _on_mzml(self, attributes: dict[str, str]) -> None:
        self._name = attributes.get("id", "")

    def _on_run(self, attributes: dict[str, str]) -> None:
        self.header.run_id = plain_id((attributes.get("id") or self._name)[:200]).strip() or None
        self.header.started_text = attributes.get("startTimeStamp", "").strip()[:100] or None

    def _on_sourcefile(self, attributes: dict[str, str]) -> None:
        self._source = (attributes.get("name", "")[:300], attributes.get("location", "")[:500], None)

    def _on_software(self, attributes: dict[str, str]) -> None:
        self._software = f"{attributes.get('id', '')} {attributes.get('version', '')}".strip()[:200]

    def _on_referenceableparamgroup(self, attributes: dict[str, str]) -> None:
        self._group = attributes.get("id", "")

    def _on_referenceableparamgroupref(self, attributes: dict[str, str]) -> None:
        self._expanded += 1
        # Many references to one long group would cost the square of the head's length.
        params = self._groups.get(attributes.get("ref", ""), []) if self._expanded < _MOST else []
        for accession, name, value in params:
            self._param(accession, name, value)

    def _on_cvparam(self, attributes: dict[str, str]) -> None:
        accession, name, value = (attributes.get(key, "")[:300] for key in ("accession", "name", "value"))
        if "referenceableparamgroup" in self._stack:
            group = self._groups.setdefault(self._group, []) if len(self._groups) < _MOST else []
            if len(group) < _MOST:
                group.append((accession, name, value))
            if accession == MS_LEVEL:
                self.header.levels[self._group] = value
        else:
            self._param(accession, name, value)

    def _param(self, accession: str, name: str, value: str) -> None:
        """Take a parameter by the element that it stands in."""
        within = self._stack[-2] if len(self._stack) > 1 else ""
        if within == "instrumentconfiguration":
            if accession == _SERIAL:
                self.header.serial = self.header.serial or value or None
            elif accession != _ANY_MODEL:
                self.header.instrument = self.header.instrument or name or None
        elif within == "sourcefile" and accession == _SHA1 and self._source is not None:
            self._source = (*self._source[:2], value.lower())
        elif within == "filecontent":
            self._keep(self.header.content, name)
        elif within == "contact" and accession in _CONTACT:
            self.header.contact[name] = value
        elif within == "software" and name and not self._software.lower().startswith(name.lower()):
            self._software = f"{name} ({self._software})"[:200]

    @staticmethod
    def _keep(items: list[str], item: str) -> None:
        if item and len(items) < _MOST and item not in items:
            items.append(item)

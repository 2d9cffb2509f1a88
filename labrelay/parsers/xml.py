"""XML from outside: one file, one parse, no entities, no depth without end, and tags found by name in any dialect."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from labrelay.model.problem import Problem
from labrelay.parsers.text import decode, error

MAX_BYTES = 5 * 1024 * 1024
MAX_DEPTH = 64
MAX_ELEMENTS = 100_000


class _Refused(Exception):
    """Raised inside a handler of the parser, to stop it at once."""


class _Guard:
    """Builds the tree and stops at what an instrument never writes."""

    def __init__(self, hollow: Collection[str]) -> None:
        self.builder = TreeBuilder()
        self.hollow = hollow
        self.depth = self.count = 0
        self.inside = 0  # the depth of the hollow element that is being passed over; 0 outside of all

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.inside:
            return  # nothing is built, so neither depth nor number costs anything
        self.count += 1
        if self.depth > MAX_DEPTH:
            raise _Refused(f"elements are nested more than {MAX_DEPTH} deep")
        if self.count > MAX_ELEMENTS:
            raise _Refused(f"it has more than {MAX_ELEMENTS} elements")
        self.builder.start(tag, attributes)
        if tag in self.hollow:
            self.inside = self.depth

    def data(self, text: str) -> None:
        if not self.inside:
            self.builder.data(text)

    def end(self, tag: str) -> None:
        if self.inside in (0, self.depth):
            self.inside = 0
            self.builder.end(tag)
        self.depth -= 1

    @staticmethod
    def doctype(*_: object) -> None:
        raise _Refused("it has a document type or entities")


def parse_xml(
    data: bytes, path: str, *, hollow: Collection[str] = (), most: int = MAX_BYTES
) -> tuple[Element | None, tuple[Problem, ...]]:
    """Return the root element, or None with an error among the problems (`BAD_XML`, `XML_REFUSED`).

    The bytes decide the encoding, not the declaration: some instruments declare UTF-16 over UTF-8. The whole text is
    parsed in one call, because expat before 2.6 is quadratic in the number of calls for one long token.

    Args:
        data: The whole file.
        path: For messages.
        hollow: Elements of which the attributes are of interest and nothing inside.
        most: Bytes beyond which it is refused.
    """
    if len(data) > most:
        return None, (error("XML_REFUSED", f"it is larger than {most} bytes", path),)
    text, problems = decode(data, path)
    guard = _Guard(hollow)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = guard.start
    parser.EndElementHandler = guard.end
    parser.CharacterDataHandler = guard.data
    parser.StartDoctypeDeclHandler = guard.doctype
    parser.EntityDeclHandler = guard.doctype
    try:
        parser.Parse(text.lstrip("\ufeff").strip().encode(), True)
        return guard.builder.close(), problems
    except _Refused as refused:
        found = error("XML_REFUSED", f"{refused}, which no instrument writes; look where the file comes from", path)
    except expat.ExpatError as bad:
        found = error("BAD_XML", f"it is not well-formed XML: {expat.ErrorString(bad.code)}", path, bad.lineno)
    return None, (*problems, found)


def local_name(tag: str) -> str:
    """Return the tag in lower case without its name space."""
    return tag.rpartition(":")[2].lower()


def find_all(root: Element, name: str) -> Iterator[Element]:
    """Give the elements of this name anywhere below `root`, in any case of letters."""
    wanted = name.lower()
    return (element for element in root.iter() if local_name(element.tag) == wanted)


def find_text(root: Element, *names: str) -> str | None:
    """Return the text of the first of `names` that stands anywhere with text; names earlier in the list win."""
    for name in names:
        for element in find_all(root, name):
            text = (element.text or "").strip()
            if text:
                return text
    return None


def attribute(element: Element, name: str) -> str | None:
    """Return an attribute, whatever the case of its name."""
    wanted = name.lower()
    return next((value.strip() for key, value in element.attrib.items() if local_name(key) == wanted), None)

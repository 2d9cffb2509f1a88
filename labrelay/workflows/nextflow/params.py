"""The parameters that a pipeline sets in its own text, read as text: nothing of Groovy is run.

`params.depth = 10` and `params { depth = 10 }` at the top of `main.nf` and `nextflow.config` are seen. A value that is
a literal (number, text without `$`, boolean, null, list of these) is the default; anything else is computed by
Nextflow, so that here it has no type and no default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 2_000_000
UNKNOWN = object()
TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r\f]+|//[^\n]*|/\*.*?(?:\*/|\Z)|\\\r?\n|\A\#![^\n]*)
  | (?P<text>'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
  | (?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?[gGlLfFdDiI]?(?!\w))
  | (?P<name>[^\W\d]\w*)
  | (?P<end>[\n;])
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
SLASHY = re.compile(r"/(?:[^/\\\n]|\\.)+/")
ESCAPE = re.compile(r"\\(u+[0-9a-fA-F]{4}|.)", re.DOTALL)
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "s": " ", "\n": ""}
OPEN, CLOSE = {"{", "[", "("}, {"}", "]", ")"}
# What at the start of a line goes on with the expression of the line before.
GOES_ON = {".", "?", "+", "-", "*", "/", "&", "|", "=", "<", ">", ":"}
MAX_DEPTH = 20


@dataclass(frozen=True)
class Token:
    """A piece of Groovy: its kind (`text`, `number`, `name`, `end`, `mark`) and how it is written."""

    kind: str
    text: str


def params_of(*files: Path) -> dict[str, Any]:
    """Return the parameters that files set, with their defaults or `UNKNOWN`; a later file wins. Never raises."""
    found: dict[str, Any] = {}
    for path in files:
        try:
            if path.stat().st_size <= MAX_BYTES:
                found |= params_in(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return found


def params_in(source: str) -> dict[str, Any]:
    """Return the parameters that a text sets at its top, with their defaults or `UNKNOWN`."""
    return _Reader(list(tokens_of(source))).read()


def tokens_of(source: str) -> Iterator[Token]:
    """Yield the tokens of Groovy without comments; what is no Groovy gives tokens as well."""
    place, before = 0, Token("end", "\n")
    while place < len(source):
        # A slash that cannot divide begins a text that may hold quotes and braces.
        slashy = SLASHY.match(source, place) if _may_be_slashy(before) else None
        found = slashy if slashy and source[place + 1] not in "/*" else TOKEN.match(source, place)
        if found is None:  # the pattern's last alternative takes any character
            return
        kind = "slashy" if found is slashy else str(found.lastgroup)
        place = found.end()
        if kind != "skip":
            before = Token(kind, found.group())
            yield before


def _may_be_slashy(before: Token) -> bool:
    return before.kind == "mark" and before.text in "=([,{~:&|!?"


class _Reader:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._place = tokens, 0
        self._found: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        depth, fresh = 0, True
        while (token := self._peek()) is not None:
            if depth == 0 and fresh and token.text == "params" and self._params():
                fresh = True
                continue
            self._place += 1
            depth = max(0, depth + (token.text in OPEN) - (token.text in CLOSE) if token.kind == "mark" else depth)
            fresh = token.kind == "end" or (depth == 0 and token.text == "}")
        return self._found

    def _peek(self, ahead: int = 0) -> Token | None:
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def _params(self) -> bool:
        """Read one `params…` statement if that is what is here."""
        after = self._peek(1)
        if after is not None and after.text == "{":
            self._place += 2
            self._block("", 0)
            return True
        if after is not None and after.text == ".":
            self._place += 2
            self._assignment("")
            return True
        return False

    def _block(self, prefix: str, depth: int) -> None:
        while (token := self._peek()) is not None:
            after = self._peek(1)
            if token.text == "}" and token.kind == "mark":
                self._place += 1
                return
            if token.kind == "end":
                self._place += 1
            elif token.kind == "name" and after is not None and after.text == "{" and depth < MAX_DEPTH:
                self._place += 2
                self._block(f"{prefix}{token.text}.", depth + 1)
            else:
                self._assignment(prefix)

    def _assignment(self, prefix: str) -> None:
        """Read `a.b = value` to its end; what is none is passed over in the same way."""
        names = []
        while (token := self._peek()) is not None and token.kind in ("name", "text"):
            names.append(token.text if token.kind == "name" else str(_text(token.text)))
            self._place += 1
            dot = self._peek()
            if dot is None or dot.text != ".":
                break
            self._place += 1
        equals, value = self._peek(), self._value()
        if names and equals is not None and equals.text == "=" and value[:1] != [equals]:
            self._found[prefix + ".".join(names)] = _literal(value)

    def _value(self) -> list[Token]:
        """Take the tokens up to the end of the statement and return those behind the `=`."""
        taken: list[Token] = []
        depth = 0
        started = self._peek() is None or self._peek() != Token("mark", "=")
        if not started:
            self._place += 1
        while (token := self._peek()) is not None:
            if depth == 0 and token.kind == "mark" and token.text == "}":
                break
            self._place += 1
            if token.kind == "end":
                if depth == 0 and (taken or started) and (token.text == ";" or not self._goes_on()):
                    break
                continue
            depth += (token.text in OPEN) - (token.text in CLOSE) if token.kind == "mark" else 0
            taken.append(token)
        return taken

    def _goes_on(self) -> bool:
        ahead = 0
        while (token := self._peek(ahead)) is not None and token == Token("end", "\n"):
            ahead += 1
        return token is not None and token.kind == "mark" and token.text in GOES_ON


def _literal(tokens: list[Token]) -> Any:
    """Return the value of tokens that are one literal, else `UNKNOWN`."""
    if len(tokens) == 2 and tokens[0] == Token("mark", "-") and tokens[1].kind == "number":
        return -_number(tokens[1].text)
    if len(tokens) == 1:
        return _scalar(tokens[0])
    if len(tokens) >= 2 and tokens[0] == Token("mark", "[") and tokens[-1] == Token("mark", "]"):
        return _list(tokens[1:-1])
    return UNKNOWN


def _list(tokens: list[Token]) -> Any:
    items: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "mark" and token.text in "[{(":
            return UNKNOWN  # a list of lists is no input that a form can ask for
        if token == Token("mark", ","):
            items.append([])
        else:
            items[-1].append(token)
    if not items[-1]:  # an empty list, or a comma behind the last item
        items.pop()
    values = [_literal(item) for item in items]
    return UNKNOWN if UNKNOWN in values else values


def _scalar(token: Token) -> Any:
    if token.kind == "text":
        return _text(token.text)
    if token.kind == "number":
        return _number(token.text)
    return {"true": True, "false": False, "null": None}.get(token.text, UNKNOWN) if token.kind == "name" else UNKNOWN


def _number(text: str) -> int | float:
    plain = text.replace("_", "").rstrip("gGlLfFdDiI")
    return float(plain) if re.search(r"[.eE]", plain) else int(plain[:300])


def _text(written: str) -> Any:
    """Return the value of a quoted text; one with `$` between double quotes is computed, hence `UNKNOWN`."""
    width = 3 if written[:3] in ("'''", '"""') else 1
    inside = written[width:-width]
    if written[0] == '"' and re.search(r"(?<!\\)\$", inside):
        return UNKNOWN
    return ESCAPE.sub(_unescaped, inside)


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code.lstrip("u"), 16)) if code.startswith("u") and len(code) > 1 else ESCAPED.get(code, code)

"""The Smithy text of a form type: one structure of the form's name with plain members, and lists that they use. Pure.

Of the language only what forms are made of is read: `namespace` and `use` lines, comments, traits, `structure` and
`list`. Of the traits, `required`, `length`, `range` and `amazon.datazone#searchable` have an effect here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(r'\s+|//[^\n]*|("(?:[^"\\]|\\.)*")|(@?[A-Za-z_][\w.#$]*)|(-?[0-9.]+)|([{}()\[\]:,=])')
KINDS: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Timestamp": (str, int, float),
    "Boolean": (bool,),
    "Integer": (int,),
    "Long": (int,),
    "Short": (int,),
    "Byte": (int,),
    "Float": (int, float),
    "Double": (int, float),
    "BigDecimal": (int, float),
    "BigInteger": (int,),
}


class NotSmithy(ValueError):
    """The text is no form type; the message says why."""


@dataclass(frozen=True)
class Member:
    """One field of a form."""

    name: str
    type: str
    required: bool
    searchable: bool


@dataclass(frozen=True)
class Form:
    """The fields of a form type, and what lists hold by their names."""

    name: str
    members: dict[str, Member]
    lists: dict[str, str]

    def problems(self, content: Any) -> Iterator[str]:
        """Yield in which a form's content is not as its type says."""
        if not isinstance(content, dict):
            yield f"The content of form {self.name} is not a JSON object"
            return
        for name in content:
            if name not in self.members:
                yield f"Form {self.name} has no field {name}"
        for name, member in self.members.items():
            value = content.get(name)
            if value is None:
                if member.required:
                    yield f"Form {self.name} requires the field {name}"
            elif not self._fits(member.type, value):
                yield f"The field {name} of form {self.name} is no {member.type}"

    def _fits(self, kind: str, value: Any) -> bool:
        if kind in self.lists:
            return isinstance(value, list) and all(self._fits(self.lists[kind], each) for each in value)
        if isinstance(value, bool) and kind != "Boolean":
            return False
        return isinstance(value, KINDS[kind])


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        if not token:
            raise NotSmithy("Unexpected end of the model")
        self.at += 1
        return token

    def expect(self, wanted: str) -> None:
        token = self.next()
        if token != wanted:
            raise NotSmithy(f"Expected {wanted} but found {token}")

    def traits(self) -> dict[str, str]:
        """Read the traits before a shape or member; their arguments are not looked at."""
        found = {}
        while self.peek().startswith("@"):
            name = self.next()[1:]
            begin = self.at
            if self.peek() == "(":
                self._skip()
            found[name] = " ".join(self.tokens[begin : self.at])
        return found

    def _skip(self) -> None:
        depth = 0
        while True:
            mark = self.next()
            depth += (mark in "([{") - (mark in ")]}")
            if depth == 0:
                return


def read_form(text: str, name: str) -> Form:
    """Return the form type that a text describes.

    Raises:
        NotSmithy: It is none, or its structure has another name.
    """
    reader = _Reader(text)
    structures: dict[str, dict[str, Member]] = {}
    lists: dict[str, str] = {}
    while reader.peek():
        reader.traits()
        word, called = reader.next(), reader.next()
        if word in ("namespace", "use", "metadata"):
            continue
        if word not in ("structure", "list"):
            raise NotSmithy(f"{word} is nothing that a form is made of")
        members = dict(_members(reader))
        if word == "list":
            if set(members) != {"member"}:
                raise NotSmithy(f"The list {called} needs one member")
            lists[called] = members["member"].type
        else:
            structures[called] = members
    if name not in structures:
        raise NotSmithy(f"The model has no structure {name}")
    form = Form(name, structures[name], lists)
    for kind in [*(member.type for member in form.members.values()), *lists.values()]:
        if kind not in KINDS and kind not in lists:
            raise NotSmithy(f"{kind} is not a known shape")
    return form


def _members(reader: _Reader) -> Iterator[tuple[str, Member]]:
    seen: set[str] = set()
    reader.expect("{")
    while reader.peek() != "}":
        traits, name = reader.traits(), reader.next()
        reader.expect(":")
        kind = reader.next().removeprefix("smithy.api#")
        if name in seen:
            raise NotSmithy(f"The member {name} is there twice")
        seen.add(name)
        yield name, Member(name, kind, "required" in traits, "amazon.datazone#searchable" in traits)
        if reader.peek() == ",":
            reader.next()
    reader.expect("}")


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise NotSmithy(f"Unexpected {text[at]!r} at character {at}")
        at = match.end()
        if match.lastindex is not None:
            yield match[match.lastindex]

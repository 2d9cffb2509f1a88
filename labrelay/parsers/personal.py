"""Which fields of an instrument's files tell of people and machines, so that they are kept apart from the rest."""

from __future__ import annotations

import re

_NAMES = frozenset(
    (
        "user", "username", "usr", "operator", "investigator", "scientist", "technician", "login", "email", "mail",
        "computer", "host", "hostname", "owner", "contact", "submitter", "pi",
    )
)  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# A share (`\\server\folder`, `//server/folder`), a Windows drive, or a folder of a Unix machine.
_PLACES = re.compile(
    r"\\\\[^\\]|//[^/]|[A-Za-z]:[\\/]|/(?:home|mnt|media|data\d*|usr|srv|users|ilmn|nas)/?", re.IGNORECASE
)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,5}\.[A-Za-z]{2,}\b")


def is_personal(name: str, text: str) -> bool:
    """Return whether a field tells of a person or a machine, by its name or by what stands in it.

    Args:
        name: The field's, such as `Investigator Name` or `OutputFolder`.
        text: What stands in it: a folder on somebody's disk and an address count whatever the field is called.
    """
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & _NAMES or _PLACES.match(text) or _ADDRESS.search(text))

"""The words of a text as both full-text indexes hold them: cut here, so that every database finds the same.

A word is a run of letters and digits without its accents, in lower case. A facet is a word too, made of a digest of its
name and value: no text of a person is ever taken for one, nor for an operator of an index.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

MAX_WORD, MAX_WORDS = 60, 1500  # characters of a word, and words of a document, that are indexed
_FACET = re.compile(r"zz[0-9a-f]{14}\Z")
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order; nothing in it is an error."""
    if text.isascii():  # as nearly every path is; the rest would not change it
        return [word[:MAX_WORD] for word in _WORD.findall(text.lower())]
    plain = unicodedata.normalize("NFKD", text.casefold())
    # A letter of another script may decompose into marks that are part of it: only those on Latin letters go.
    bare = "".join(c for c in plain if not "\u0300" <= c <= "\u036f")
    return [word[:MAX_WORD] for word in _WORD.findall(unicodedata.normalize("NFC", bare.casefold()))]


@lru_cache(maxsize=4096)
def facet_word(name: str, value: str) -> str:
    """Return the word that stands for a facet's value, whatever its case."""
    return f"zz{sha256(f'{name}={value.casefold()}'.encode()).hexdigest()[:14]}"


def is_facet(word: str) -> bool:
    """Return whether a word of a document stands for a facet."""
    return _FACET.match(word) is not None


def body_of(texts: Iterable[str | None], facets: dict[str, str]) -> str:
    """Return what is indexed of a document: its facets, then its words, with a blank between any two."""
    words = [facet_word(name, value) for name, value in facets.items() if value]
    for text in texts:
        if text and len(words) < MAX_WORDS:
            words += words_of(text)
    return " ".join(words[:MAX_WORDS])

"""Barcodes as labs say them: a sequence (`ACGT`, `ACGT+TGCA`), or the name of one of a kit (`barcode01`, `NB01`).

A sequence tells samples apart wherever they are. A name does so in one pool only, since every kit begins with 01.
"""

from __future__ import annotations

import re

# Written without flags, because JSON Schema has none.
_KIT = r"([Bb][Aa][Rr][Cc][Oo][Dd][Ee]|[Bb][Cc]|[Nn][Bb]|[Rr][Bb]|[Bb][Pp])?"
_SEQUENCE, _NAME = r"[ACGTN]{4,40}(\+[ACGTN]{4,40})?", rf"{_KIT}[0-9]{{1,4}}(--{_KIT}[0-9]{{1,4}})?"
BARCODE_PATTERN = rf"^({_SEQUENCE}|{_NAME})$"
BARCODE_WORDS = "a sequence (ACGT, of two indexes ACGT+TGCA) or a kit's name for one (barcode01, BC01, NB01)"
_BARCODE = re.compile(BARCODE_PATTERN.removesuffix("$") + r"\Z")
_NAMED = re.compile(_NAME + r"\Z")


def is_barcode(text: str) -> bool:
    """Tell whether a text is a barcode's sequence, in capitals, or name."""
    return _BARCODE.match(text) is not None


def is_named(barcode: str) -> bool:
    """Tell whether a barcode is said by a kit's name for it, not as a sequence."""
    return _NAMED.match(barcode) is not None


def spelled(text: str) -> str:
    """Return the one spelling of a barcode, by which two are compared; what is none only gets capitals.

    >>> spelled("NB1"), spelled("barcode01"), spelled("12"), spelled("bc1002--BC1002"), spelled("acgt+ttga")
    ('barcode01', 'barcode01', 'barcode12', 'bc1002', 'ACGT+TTGA')
    """
    text = text.strip()
    if not is_named(text):
        return text.upper()
    numbers = [int(re.sub(r"\D", "", part)) for part in text.split("--")]
    # Kits of Oxford Nanopore count from 01 to 96, those of PacBio from 1001 on.
    parts = dict.fromkeys(f"barcode{number:02d}" if number < 1000 else f"bc{number}" for number in numbers)
    return "--".join(parts)

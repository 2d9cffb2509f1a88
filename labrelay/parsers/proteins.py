"""Translation of codons, and the HGVS names of what changed between two proteins.

The kinds of change are the values of `effects.Kind`, as text.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

from Bio.Data.CodonTable import CodonTable, unambiguous_dna_by_id
from Bio.Data.IUPACData import ambiguous_dna_values, protein_letters_1to3

STANDARD_CODE = 1
STOP, UNCERTAIN = "*", "X"
THREE_LETTERS = {**protein_letters_1to3, STOP: "Ter", UNCERTAIN: "Xaa"}


class Change(NamedTuple):
    """A change of a protein: kind, short name (`K123R`) and HGVS name (`p.Lys123Arg`)."""

    kind: str
    short: str
    hgvs: str


def translate(bases: str, code: int = STANDARD_CODE, from_start: bool = False) -> str:
    """Translate whole codons into one-letter amino acids; what is left of a codon at the end is dropped.

    Args:
        bases: Upper-case DNA; IUPAC letters give an amino acid where all their readings agree, else X.
        code: NCBI's number of the genetic code; an unknown one is read as the standard code.
        from_start: The first codon is the start: in codes other than the standard one, the code's other start codons
            (such as GTG in bacteria) read M too.
    """
    codons = [bases[i : i + 3] for i in range(0, len(bases) - len(bases) % 3, 3)]
    protein = "".join(_amino_acid(codon, code) for codon in codons)
    if from_start and code != STANDARD_CODE and codons and codons[0] in _table(code).start_codons:
        return "M" + protein[1:]
    return protein


def describe(before: str, after: str, first: int) -> Change:
    """Name the change between two stretches of protein that read in frame.

    Args:
        before: Amino acids of the reference.
        after: Amino acids of the sample; may be longer or shorter.
        first: The number, from 1, of the first of `before` in its protein.
    """
    if before == after:
        return _silent(before, first)
    if first == 1 and before[:1] == "M" and after[:1] != "M":
        return Change("start lost", "M1?", "p.Met1?")
    prefix = _shared(before, after)
    suffix = _shared(before[prefix:][::-1], after[prefix:][::-1])
    old = before[prefix : len(before) - suffix]
    new = after[prefix : len(after) - suffix]
    number = first + prefix
    if UNCERTAIN in new:
        return Change("unknown", f"{old}{number}X", f"p.{_three(old[:1])}{number}?")
    if STOP in new and STOP not in old:
        at = new.index(STOP)
        lost = before[prefix + at : prefix + at + 1]
        return Change("stop gained", f"{lost}{number + at}*", f"p.{_three(lost)}{number + at}Ter")
    if STOP in old and STOP not in new:
        return _read_through(number + old.index(STOP), new[old.index(STOP) :][:1])
    if len(old) == len(new) == 1:
        return Change("missense", f"{old}{number}{new}", f"p.{_three(old)}{number}{_three(new)}")
    return _described_range(before, prefix, old, new, first)


def describe_shift(before: str, after: str) -> Change:
    """Name a shift of the reading frame at the first amino acid that it changes; both proteins start at 1."""
    prefix = _shared(before, after)
    if not prefix and before[:1] == "M":
        return Change("start lost", "M1?", "p.Met1?")
    if prefix >= len(before):
        return Change("frameshift", "", "p.?")
    old, number, new = before[prefix], prefix + 1, after[prefix : prefix + 1]
    if old == STOP:
        return _read_through(number, new)
    if new == STOP:
        return Change("frameshift", f"{old}{number}*", f"p.{_three(old)}{number}Ter")
    return Change("frameshift", f"{old}{number}fs", f"p.{_three(old)}{number}fs")


def _read_through(number: int, new: str) -> Change:
    return Change("stop lost", f"*{number}{new}", f"p.Ter{number}{_three(new)}extTer?")


def _shared(left: str, right: str) -> int:
    """Return how many letters two texts share from their start."""
    length = min(len(left), len(right))
    return next((i for i in range(length) if left[i] != right[i]), length)


def _silent(same: str, first: int) -> Change:
    return Change("synonymous", f"{_short_span(same, first)}=", f"p.{_span(same, first)}=")


def _described_range(before: str, prefix: int, old: str, new: str, first: int) -> Change:
    """Name an insertion, a deletion, or a stretch that was replaced."""
    number = first + prefix
    if not old:
        left, right = before[max(prefix - 1, 0) : prefix], before[prefix : prefix + 1]
        if not left or not right:
            return Change("in-frame insertion", "", "p.?")
        if before[:prefix].endswith(new):
            start = number - len(new)
            return Change("in-frame insertion", f"{_short_span(new, start)}dup", f"p.{_span(new, start)}dup")
        place = f"{_three(left)}{number - 1}_{_three(right)}{number}"
        short = f"{left}{number - 1}_{right}{number}ins{new}"
        return Change("in-frame insertion", short, f"p.{place}ins{_three(new)}")
    span, short = _span(old, number), _short_span(old, number)
    if not new:
        return Change("in-frame deletion", f"{short}del", f"p.{span}del")
    kind = "missense" if len(old) == len(new) else "in-frame change"
    return Change(kind, f"{short}delins{new}", f"p.{span}delins{_three(new)}")


def _span(acids: str, first: int) -> str:
    start = f"{_three(acids[:1])}{first}"
    return start if len(acids) < 2 else f"{start}_{_three(acids[-1])}{first + len(acids) - 1}"


def _short_span(acids: str, first: int) -> str:
    start = f"{acids[:1]}{first}"
    return start if len(acids) < 2 else f"{start}_{acids[-1]}{first + len(acids) - 1}"


def _three(acids: str) -> str:
    return "".join(THREE_LETTERS[acid] for acid in acids)


@cache
def _table(code: int) -> CodonTable:
    return unambiguous_dna_by_id.get(code) or unambiguous_dna_by_id[STANDARD_CODE]


@cache
def _amino_acid(codon: str, code: int) -> str:
    table = _table(code)
    readings = {"".join(bases) for bases in product(*(ambiguous_dna_values.get(base, "N") for base in codon))}
    acids = {
        STOP if reading in table.stop_codons else table.forward_table.get(reading, UNCERTAIN) for reading in readings
    }
    return acids.pop() if len(acids) == 1 else UNCERTAIN

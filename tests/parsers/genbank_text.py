"""A made-up virus as a GenBank file: overlapping proteins, a slip of the ribosome, both strands, a spliced gene."""

from __future__ import annotations

import random

LENGTH = 1500
# (gene, product, location as GenBank writes it, further qualifiers)
PROTEINS = [
    ("P/V/C", "phosphoprotein", "61..360", ""),
    ("P/V/C", "C protein", "83..229", ""),
    ("pol", "polyprotein with a slip", "join(421..540,540..720)", "/ribosomal_slippage"),
    ("neg", "minus protein", "complement(781..930)", ""),
    ("spliced", "spliced protein", "join(961..1010,1061..1160)", ""),
    ("back", "spliced minus protein", "complement(join(1201..1250,1301..1400))", ""),
]
STOPS = {"TAA", "TAG", "TGA"}
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


def places(location: str) -> list[int]:
    """Return the positions (from 0) of a location in the order of translation, worked out apart from the code."""
    inner = location.removeprefix("complement(").removeprefix("join(").rstrip(")")
    found = []
    for part in inner.split(","):
        start, end = map(int, part.split(".."))
        found += list(range(start - 1, end))
    return found[::-1] if location.startswith("complement") else found


def sequence(seed: int = 3) -> str:
    """Return random bases in which every protein starts with ATG, ends with TAA and has no stop before."""
    source = random.Random(seed)
    bases = [source.choice("ACGT") for _ in range(LENGTH)]
    for _, _, location, _ in PROTEINS:
        _write(bases, location, 0, "ATG")
        _write(bases, location, len(places(location)) // 3 - 1, "TAA")
    while True:
        stops = [(loc, n) for _, _, loc, _ in PROTEINS for n in _stops(bases, loc)]
        if not stops:
            return "".join(bases)
        location, number = stops[0]
        _write(bases, location, number, "".join(source.choice("ACGT") for _ in range(3)))


def _codon(bases: list[str], location: str, number: int) -> str:
    text = "".join(bases[p] for p in places(location)[3 * number : 3 * number + 3])
    return text.translate(_COMPLEMENT) if location.startswith("complement") else text


def _write(bases: list[str], location: str, number: int, codon: str) -> None:
    text = codon.translate(_COMPLEMENT) if location.startswith("complement") else codon
    for place, base in zip(places(location)[3 * number : 3 * number + 3], text, strict=True):
        bases[place] = base


def _stops(bases: list[str], location: str) -> list[int]:
    return [n for n in range(len(places(location)) // 3 - 1) if _codon(bases, location, n) in STOPS]


def genbank(bases: str, name: str = "VIRUS1") -> bytes:
    """Return the virus as a GenBank flat file."""
    lines = [
        f"LOCUS       {name:<16} {len(bases):>11} bp    DNA     linear   VRL 01-JAN-2020",
        "DEFINITION  A made-up virus.",
        f"ACCESSION   {name}",
        f"VERSION     {name}.1",
        "FEATURES             Location/Qualifiers",
        f"     source          1..{len(bases)}",
        '                     /organism="made up"',
    ]
    seen = set()
    for number, (gene, product, location, extra) in enumerate(PROTEINS):
        if gene not in seen:
            seen.add(gene)
            span = places(location)
            where = f"{min(span) + 1}..{max(span) + 1}"
            where = f"complement({where})" if location.startswith("complement") else where
            lines += [f"     gene            {where}", f'                     /gene="{gene}"']
        lines += [f"     CDS             {location}", f'                     /gene="{gene}"']
        lines += [f"                     {extra}"] if extra else []
        lines += [f'                     /product="{product}"', f'                     /protein_id="PRT{number}.1"']
    lines.append("ORIGIN")
    for start in range(0, len(bases), 60):
        groups = [bases[i : i + 10].lower() for i in range(start, min(start + 60, len(bases)), 10)]
        lines.append(f"{start + 1:>9} {' '.join(groups)}")
    return ("\n".join([*lines, "//"]) + "\n").encode()

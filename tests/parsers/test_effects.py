from __future__ import annotations

import random
from pathlib import Path

import pysam.bcftools
import pytest
from genbank_text import LENGTH, genbank, sequence

from labrelay.model.errors import UsageError
from labrelay.parsers.annotation import Annotation, CodingSequence, Gene, Segment, write_gff3
from labrelay.parsers.effects import Effect, Kind, Variant, annotate
from labrelay.parsers.genbank import parse_genbank
from labrelay.parsers.proteins import translate

# 10 bases before, then ATG AAA GTT CTG TGG TAT GGC TAA (M K V L W Y G stop), 6 bases behind.
PLUS = "CCCCCCCCCC" + "ATGAAAGTTCTGTGGTATGGCTAA" + "CCCCCC"
COMPLEMENT = str.maketrans("ACGTRN", "TGCAYN")
MINUS = PLUS[::-1].translate(COMPLEMENT)


def toy(strand: int = 1, segments: tuple[Segment, ...] = (Segment(10, 34),), **options: int) -> Annotation:
    if strand < 0:
        segments = tuple(Segment(len(PLUS) - s.end, len(PLUS) - s.start) for s in segments)
    start, end = min(s.start for s in segments), max(s.end for s in segments)
    gene = Gene("g", "c", "abc", start, end, strand, coding=True)
    return Annotation((gene,), (CodingSequence("t", gene, "protein abc", segments, **options),))


def effect(position: int, ref: str, alt: str, strand: int = 1) -> Effect:
    """Annotate one variant, given on the plus strand of the toy gene."""
    if strand < 0:
        position = len(PLUS) - (position + len(ref) - 1) + 1
        ref, alt = (text[::-1].translate(COMPLEMENT) for text in (ref, alt))
    sequences = {"c": PLUS if strand > 0 else MINUS}
    ((found,),) = annotate([Variant("c", position, ref, alt)], sequences, toy(strand))
    return found


# Worked out by hand from the codons above; position 11 is the A of ATG.
BY_HAND = [
    ("AAA>AGA", 15, "A", "G", Kind.MISSENSE, "K2R", "p.Lys2Arg"),
    ("AAA>AAG", 16, "A", "G", Kind.SYNONYMOUS, "K2=", "p.Lys2="),
    ("AAA>TAA", 14, "A", "T", Kind.STOP_GAINED, "K2*", "p.Lys2Ter"),
    ("TGG>TGA", 25, "G", "A", Kind.STOP_GAINED, "W5*", "p.Trp5Ter"),
    ("TAA>CAA", 32, "T", "C", Kind.STOP_LOST, "*8Q", "p.Ter8GlnextTer?"),
    ("TAA>TGA", 33, "A", "G", Kind.SYNONYMOUS, "*8=", "p.Ter8="),
    ("ATG>ATA", 13, "G", "A", Kind.START_LOST, "M1?", "p.Met1?"),
    ("ATG>TTG", 11, "A", "T", Kind.START_LOST, "M1?", "p.Met1?"),
    ("AAAGTT>AAGCTT", 16, "AG", "GC", Kind.MISSENSE, "V3L", "p.Val3Leu"),
    ("AAAGTT>AGACTT", 15, "AAG", "GAC", Kind.MISSENSE, "K2_V3delinsRL", "p.Lys2_Val3delinsArgLeu"),
    ("GTT deleted", 16, "AGTT", "A", Kind.INFRAME_DELETION, "V3del", "p.Val3del"),
    ("AAAGTT deleted", 13, "GAAAGTT", "G", Kind.INFRAME_DELETION, "K2_V3del", "p.Lys2_Val3del"),
    ("GTT inserted again", 19, "T", "TGTT", Kind.INFRAME_INSERTION, "V3dup", "p.Val3dup"),
    ("GGGCCC inserted", 19, "T", "TGGGCCC", Kind.INFRAME_INSERTION, "V3_L4insGP", "p.Val3_Leu4insGlyPro"),
    ("TAG inserted", 19, "T", "TTAG", Kind.STOP_GAINED, "L4*", "p.Leu4Ter"),
    ("one A deleted: AAG is K too", 13, "GA", "G", Kind.FRAMESHIFT, "V3fs", "p.Val3fs"),
    ("a T inserted", 19, "T", "TA", Kind.FRAMESHIFT, "L4fs", "p.Leu4fs"),
    ("AGTTC deleted to A", 16, "AGTTC", "A", Kind.FRAMESHIFT, "V3fs", "p.Val3fs"),
    ("AAAGTTCTG>CCC", 14, "AAAGTTCTG", "CCC", Kind.INFRAME_CHANGE, "K2_L4delinsP", "p.Lys2_Leu4delinsPro"),
    ("N for a base", 15, "A", "N", Kind.UNKNOWN, "K2X", "p.Lys2?"),
    ("R where both readings are K", 16, "A", "R", Kind.SYNONYMOUS, "K2=", "p.Lys2="),
    ("before the gene", 5, "C", "T", Kind.INTERGENIC, "", ""),
    ("behind the gene", 36, "C", "CT", Kind.INTERGENIC, "", ""),
]


@pytest.mark.parametrize("strand", [1, -1])
@pytest.mark.parametrize(
    ("what", "position", "ref", "alt", "kind", "change", "hgvs"), BY_HAND, ids=[c[0] for c in BY_HAND]
)
def test_effects_are_those_worked_out_by_hand(
    what: str, position: int, ref: str, alt: str, kind: Kind, change: str, hgvs: str, strand: int
) -> None:
    if strand < 0 and len(ref) != len(alt) and ref[0] == alt[0]:
        # On the other strand the base that anchors an indel stands behind it.
        ref, alt = ref[1:] + PLUS[position + len(ref) - 1], alt[1:] + PLUS[position + len(ref) - 1]
        position += 1
    found = effect(position, ref, alt, strand)
    assert (found.kind, found.change, found.hgvs) == (kind, change, hgvs)
    assert (found.gene, found.protein) == (("abc", "protein abc") if change else ("", ""))


def test_two_substitutions_in_one_codon_are_read_together() -> None:
    variants = [Variant("c", 14, "A", "G"), Variant("c", 15, "A", "C"), Variant("c", 26, "T", "C")]
    first, second, third = annotate(variants, {"c": PLUS}, toy())
    assert first == second
    assert (first[0].change, third[0].change) == ("K2A", "Y6H")
    alone = [annotate([variant], {"c": PLUS}, toy())[0][0].change for variant in variants]
    assert alone == ["K2E", "K2T", "Y6H"]


def test_two_alleles_at_one_place_are_read_apart() -> None:
    variants = [Variant("c", 14, "A", "G"), Variant("c", 14, "A", "C"), Variant("c", 15, "A", "C")]
    found = [effects[0].change for effects in annotate(variants, {"c": PLUS}, toy())]
    assert found == ["K2A", "K2P", "K2T"]


def test_a_variant_in_an_intron_is_in_the_gene_but_in_no_protein() -> None:
    annotation = toy(segments=(Segment(10, 16), Segment(22, 34)))
    (effects,) = annotate([Variant("c", 19, "T", "A")], {"c": PLUS}, annotation)
    assert effects == (Effect(Kind.NON_CODING, "abc"),)
    (effects,) = annotate([Variant("c", 16, "A", "AT")], {"c": PLUS}, annotation)
    assert effects == (Effect(Kind.NON_CODING, "abc"),)


def test_a_codon_across_an_intron_is_put_together() -> None:
    annotation = toy(segments=(Segment(10, 15), Segment(18, 34)))
    # ATG AA|T CTG: the third base of the second codon is the T at position 19.
    (effects,) = annotate([Variant("c", 19, "T", "G")], {"c": PLUS}, annotation)
    assert effects[0].change == "N2K"


def test_bases_before_the_first_whole_codon_are_not_counted() -> None:
    (effects,) = annotate([Variant("c", 15, "A", "G")], {"c": PLUS}, toy(segments=(Segment(8, 34),), skipped=2))
    assert effects[0].change == "K2R"


def test_other_genetic_codes_are_read() -> None:
    (effects,) = annotate([Variant("c", 25, "G", "A")], {"c": PLUS}, toy(code=4))
    assert (effects[0].kind, effects[0].change) == (Kind.SYNONYMOUS, "W5=")
    assert translate("GTGGTG", 11, from_start=True) == "MV"
    assert translate("TTGTTG", 1, from_start=True) == "LL"


def test_overlapping_proteins_each_have_their_effect() -> None:
    bases = sequence()
    annotation = parse_genbank(genbank(bases), "virus.gb").annotation
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    (effects,) = annotate([Variant("VIRUS1.1", 150, bases[149], other[bases[149]])], {"VIRUS1.1": bases}, annotation)
    assert [(e.gene, e.protein) for e in effects] == [("P/V/C", "phosphoprotein"), ("P/V/C", "C protein")]
    assert len({e.change for e in effects}) == 2


def test_a_base_that_the_ribosome_reads_twice_changes_both_codons() -> None:
    bases = sequence()
    annotation = parse_genbank(genbank(bases), "virus.gb").annotation
    codon_40, codon_41 = bases[537:540], bases[539:542]
    new = next(
        base
        for base in "ACGT"
        if translate(codon_40[:2] + base) != translate(codon_40)
        and translate(base + codon_41[1:]) != translate(codon_41)
        and "*" not in translate(codon_40[:2] + base + base + codon_41[1:])
    )
    ((found,),) = annotate([Variant("VIRUS1.1", 540, bases[539], new)], {"VIRUS1.1": bases}, annotation)
    assert found.change == (
        f"{translate(codon_40)}40_{translate(codon_41)}41delins{translate(codon_40[:2] + new + new + codon_41[1:])}"
    )


@pytest.mark.parametrize("alt", ["<DEL>", "*", "."])
def test_symbolic_alleles_have_an_unknown_effect(alt: str) -> None:
    assert annotate([Variant("c", 15, "A", alt)], {"c": PLUS}, toy()) == [(Effect(Kind.UNKNOWN),)]


@pytest.mark.parametrize("variant", [Variant("c", 15, "T", "G"), Variant("c", 90, "A", "G"), Variant("d", 1, "A", "G")])
def test_variants_of_another_reference_are_refused(variant: Variant) -> None:
    with pytest.raises(UsageError, match="called against"):
        annotate([variant], {"c": PLUS}, toy())


def test_variants_far_into_a_contig_are_found_across_bins() -> None:
    bases = "A" * 40_000 + PLUS
    gene = Gene("g", "c", "abc", 16_000, 40_034, 1, coding=True)
    coding = CodingSequence("t", gene, "p", (Segment(40_010, 40_034),))
    variants = [Variant("c", 40_015, "A", "G"), Variant("c", 20_000, "A", "G"), Variant("c", 3, "A", "G")]
    found = annotate(variants, {"c": bases}, Annotation((gene,), (coding,)))
    assert [effects[0].kind for effects in found] == [Kind.MISSENSE, Kind.NON_CODING, Kind.INTERGENIC]


CSQ_KINDS = {
    "missense": Kind.MISSENSE,
    "synonymous": Kind.SYNONYMOUS,
    "stop_retained": Kind.SYNONYMOUS,
    "stop_gained": Kind.STOP_GAINED,
    "stop_lost": Kind.STOP_LOST,
    "start_lost": Kind.START_LOST,
    "intron": Kind.NON_CODING,
}


def test_effects_of_single_bases_are_those_of_bcftools_csq(tmp_path: Path) -> None:
    bases = sequence()
    annotation = parse_genbank(genbank(bases), "virus.gb").annotation
    source = random.Random(7)
    variants = [
        Variant("VIRUS1.1", p + 1, bases[p], source.choice([b for b in "ACGT" if b != bases[p]])) for p in range(LENGTH)
    ]
    theirs = csq(tmp_path, bases, annotation, variants)
    compared = 0
    for variant in variants:
        (effects,) = annotate([variant], {"VIRUS1.1": bases}, annotation)
        for effect in effects:
            found = theirs.get((variant.position, effect.transcript))
            if effect.transcript and found is not None and variant.position != 540:
                compared += 1
                assert found == (effect.kind, "" if effect.kind is Kind.START_LOST else effect.change), variant
    assert compared > 1000


def csq(
    folder: Path, bases: str, annotation: Annotation, variants: list[Variant]
) -> dict[tuple[int, str], tuple[Kind, str]]:
    """Return kind and change by position and transcript, as `bcftools csq` says, in our spelling."""
    (folder / "r.fa").write_text(f">VIRUS1.1\n{bases}\n")
    (folder / "a.gff3").write_text(write_gff3(annotation, {"VIRUS1.1": len(bases)}))
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID=VIRUS1.1,length={len(bases)}>"]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    lines += [f"{v.contig}\t{v.position}\t.\t{v.ref}\t{v.alt}\t60\tPASS\t." for v in variants]
    (folder / "v.vcf").write_text("\n".join(lines) + "\n")
    text = pysam.bcftools.csq("-l", "-f", str(folder / "r.fa"), "-g", str(folder / "a.gff3"), str(folder / "v.vcf"))
    found = {}
    for line in text.splitlines():
        columns = line.split("\t")
        if line.startswith("#") or "BCSQ=" not in columns[7]:
            continue
        for entry in columns[7].removeprefix("BCSQ=").split(","):
            parts = entry.split("|")
            kind = next((CSQ_KINDS[k] for k in parts[0].split("&") if k in CSQ_KINDS), None)
            if kind is not None and len(parts) > 5:
                found[int(columns[1]), parts[2]] = (kind, "" if kind is Kind.START_LOST else _spelled(parts[5]))
    return found


def _spelled(change: str) -> str:
    """Return csq's `2K>2R` or `17G` as `K2R` or `G17=`."""
    old, _, new = change.partition(">")
    number = old.rstrip("ABCDEFGHIKLMNPQRSTVWXYZ*")
    acid = old.removeprefix(number)
    return f"{acid}{number}{new.removeprefix(number)}" if new else f"{acid}{number}="

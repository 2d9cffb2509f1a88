from __future__ import annotations

import pytest
from Bio.Seq import Seq
from genbank_text import LENGTH, PROTEINS, genbank, places, sequence

from labrelay.parsers.annotation import Annotation, CodingSequence, Gene, Segment, read_gff3, write_gff3
from labrelay.parsers.genbank import parse_genbank


@pytest.fixture(scope="module")
def virus() -> Annotation:
    found = parse_genbank(genbank(sequence()), "virus.gb")
    assert (found.problems, found.notes) == ([], [])
    return found.annotation


def test_every_protein_is_read_base_by_base_in_the_order_of_translation(virus: Annotation) -> None:
    assert [coding.positions() for coding in virus.codings] == [places(location) for _, _, location, _ in PROTEINS]
    assert [coding.protein for coding in virus.codings] == [product for _, product, _, _ in PROTEINS]
    assert [coding.gene.name for coding in virus.codings] == [gene for gene, *_ in PROTEINS]


def test_proteins_of_one_gene_hang_on_one_gene(virus: Annotation) -> None:
    assert [gene.name for gene in virus.genes] == ["P/V/C", "pol", "neg", "spliced", "back"]
    assert len({coding.gene.id for coding in virus.codings[:2]}) == 1
    assert all(gene.coding for gene in virus.genes)


def test_an_annotation_survives_being_written_and_read(virus: Annotation) -> None:
    assert read_gff3(write_gff3(virus, {"VIRUS1.1": LENGTH})) == virus


def test_the_text_has_what_csq_asks_for(virus: Annotation) -> None:
    lines = write_gff3(virus, {"VIRUS1.1": LENGTH}).splitlines()
    assert lines[:2] == ["##gff-version 3", "##sequence-region VIRUS1.1 1 1500"]
    assert lines[2].split("\t")[2:] == [
        "gene",
        "61",
        "360",
        ".",
        "+",
        ".",
        "ID=gene:P/V/C;Name=P/V/C;biotype=protein_coding",
    ]
    slip = [line.split("\t") for line in lines if "PRT2.1" in line]
    assert [columns[2:8] for columns in slip] == [
        ["mRNA", "421", "720", ".", "+", "."],
        ["CDS", "421", "540", ".", "+", "0"],
        ["CDS", "540", "720", ".", "+", "0"],
    ]
    assert slip[0][8] == "ID=transcript:PRT2.1;Parent=gene:pol;biotype=protein_coding"


def test_phases_count_the_bases_that_complete_a_codon() -> None:
    gene = Gene("g", "c", "g", 0, 100, 1, coding=True)
    coding = CodingSequence("t", gene, "p", (Segment(0, 11), Segment(20, 31), Segment(40, 50)), skipped=2)
    lines = write_gff3(Annotation((gene,), (coding,)), {"c": 100}).splitlines()
    # 11 - 2 = 9 bases are whole codons; then 11 leave two, so the next part starts with the third.
    assert [line.split("\t")[7] for line in lines if "\tCDS\t" in line] == ["2", "0", "1"]


def test_names_with_signs_that_gff3_reserves_come_back_whole() -> None:
    gene = Gene("a;b=c,d%e&f\tg ü", "c", "na;me=é", 0, 9, -1, coding=True)
    coding = CodingSequence("t;1", gene, "prot,ein", (Segment(0, 9),), code=11)
    assert read_gff3(write_gff3(Annotation((gene,), (coding,)), {"c": 9})) == Annotation((gene,), (coding,))


def test_gff3_of_ensembl_and_ncbi_is_read_too() -> None:
    text = (
        "##gff-version 3\n"
        "1\tensembl\tgene\t1\t90\t.\t-\t.\tID=gene:ENSG1;Name=ABC;biotype=protein_coding\n"
        "1\tensembl\tmRNA\t1\t90\t.\t-\t.\tID=transcript:ENST1;Parent=gene:ENSG1\n"
        "1\tensembl\tCDS\t1\t30\t.\t-\t0\tID=CDS:P1;Parent=transcript:ENST1\n"
        "1\tensembl\tCDS\t61\t90\t.\t-\t0\tID=CDS:P1;Parent=transcript:ENST1\n"
        "2\tRefSeq\tgene\t5\t34\t.\t+\t.\tID=gene-X;gene=X\n"
        "2\tRefSeq\tCDS\t5\t34\t.\t+\t0\tID=cds-X;Parent=gene-X;product=x protein;transl_table=11\n"
        "2\tRefSeq\tCDS\tfive\t34\t.\t+\t0\tID=bad\n"
        "not GFF3 at all\n"
        "##FASTA\n>1\nACGT\n"
    )
    first, second = read_gff3(text).codings
    assert (first.id, first.gene.name, first.strand) == ("ENST1", "ABC", -1)
    assert first.segments == (Segment(60, 90), Segment(0, 30))
    assert (second.gene.name, second.protein, second.code, second.segments) == ("X", "x protein", 11, (Segment(4, 34),))


def genbank_with(feature: str) -> bytes:
    head, _, origin = genbank(sequence()).partition(b"ORIGIN")
    return head.partition(b"     gene ")[0] + feature.encode() + b"ORIGIN" + origin


def test_a_protein_that_crosses_the_origin_is_read_in_its_order() -> None:
    text = '     CDS             join(1491..1500,1..20)\n                     /gene="round"\n'
    (coding,) = parse_genbank(genbank_with(text), "a.gb").annotation.codings
    assert coding.positions() == [*range(1490, 1500), *range(20)]
    assert read_gff3(write_gff3(Annotation((coding.gene,), (coding,)), {"VIRUS1.1": LENGTH})).codings == (coding,)


def test_partial_proteins_start_with_their_first_whole_codon() -> None:
    text = "     CDS             complement(<10..>30)\n                     /codon_start=3\n"
    (coding,) = parse_genbank(genbank_with(text), "a.gb").annotation.codings
    assert coding.positions() == list(range(27, 8, -1))


def test_pseudogenes_and_proteins_on_both_strands_are_left_out_and_said() -> None:
    text = (
        '     CDS             1..30\n                     /gene="dead"\n                     /pseudo\n'
        '     CDS             join(1..30,complement(60..90))\n                     /gene="mixed"\n'
    )
    found = parse_genbank(genbank_with(text), "a.gb")
    assert found.annotation.codings == ()
    assert any("protein of mixed lies on both strands" in note for note in found.notes)


def test_two_genes_of_one_name_are_two_genes() -> None:
    text = "".join(
        f'     gene            {where}\n                     /gene="rep"\n'
        f'     CDS             {where}\n                     /gene="rep"\n'
        for where in ("1..30", "101..130")
    )
    annotation = parse_genbank(genbank_with(text), "a.gb").annotation
    assert [(gene.id, gene.start) for gene in annotation.genes] == [("rep", 0), ("rep.2", 100)]
    assert [coding.gene.id for coding in annotation.codings] == ["rep", "rep.2"]
    assert len({coding.id for coding in annotation.codings}) == 2


def test_the_made_up_virus_is_what_it_says() -> None:
    bases = sequence()
    for _, _, location, _ in PROTEINS:
        text = "".join(bases[p] for p in places(location))
        if location.startswith("complement"):
            text = str(Seq(text).complement())
        protein = str(Seq(text[: len(text) // 3 * 3]).translate())
        assert (protein[0], protein[-1], protein.count("*")) == ("M", "*", 1)

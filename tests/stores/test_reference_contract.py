"""What every read store promises about references, tried on a folder and on HealthOmics (emulated)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pysam
import pytest
from read_stores import Lab

from labrelay.model.errors import NotFound, RefusedInput, StorageFailed, UsageError

SEQUENCE = "ACGTN" * 30
FASTA = f">chr1 first\n{SEQUENCE}\n>chr2\nacgt\n"
GENBANK = """\
LOCUS       PHAGE1                    24 bp    DNA     linear   PHG 01-JAN-2020
DEFINITION  A made-up phage.
ACCESSION   PHAGE1
VERSION     PHAGE1.1
SOURCE      made up
  ORGANISM  made up
            .
FEATURES             Location/Qualifiers
     source          1..24
                     /organism="made up"
     CDS             1..12
                     /gene="a"
                     /product="protein a"
                     /codon_start=1
                     /translation="MKV"
ORIGIN
        1 atgaaagttt aaacgtacgt acgt
//
"""


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "toy.fa"
    path.write_text(FASTA)
    return path


def test_a_reference_is_found_by_name_and_id_and_has_local_files(lab: Lab, fasta: Path) -> None:
    made = lab.reads.add_reference(fasta, "toy")
    assert [(contig.name, contig.length) for contig in made.contigs] == [("chr1", 150), ("chr2", 4)]
    assert made.source_sha256 == hashlib.sha256(FASTA.encode()).hexdigest()
    assert lab.reads.reference("toy") == lab.reads.reference(made.id) == made
    assert lab.reads.references() == (made,)
    with pysam.FastaFile(str(lab.reads.reference_path(made))) as opened:
        assert opened.fetch("chr1").upper() == SEQUENCE
    assert lab.reads.reference_path(made, "fai").name.endswith(".fai")


def test_an_engine_is_told_a_place_of_each_part(lab: Lab, tmp_path: Path) -> None:
    source = tmp_path / "phage.gb"
    source.write_text(GENBANK)
    made = lab.reads.add_reference(source, "phage 1")
    where = [lab.reads.reference_location(made, part) for part in ("fasta", "fai", "annotation")]
    assert len(set(where)) == 3
    assert lab.reads.reference_location(made) == where[0]
    assert "\tCDS\t1\t12\t" in lab.reads.reference_path(made, "annotation").read_text()


def test_the_same_content_again_is_the_same_reference_and_says_so(lab: Lab, fasta: Path) -> None:
    made = lab.reads.add_reference(fasta, "toy")
    where = lab.reads.reference_location(made)
    again = lab.reads.add_reference(fasta, "toy")
    assert (again.id, again.fasta) == (made.id, made.fasta)
    assert any(f"was added as {made.id}" in note for note in again.notes)
    assert lab.reads.reference_location(again) == where


def test_a_name_means_its_newest_reference(lab: Lab, fasta: Path) -> None:
    old = lab.reads.add_reference(fasta, "toy")
    fasta.write_text(">chr1\nACGTACGT\n")
    new = lab.reads.add_reference(fasta, "toy")
    assert lab.reads.reference("toy") == new
    assert lab.reads.reference(old.id) == old
    assert lab.reads.reference_location(old) != lab.reads.reference_location(new)


def test_what_is_no_reference_leaves_nothing(lab: Lab, fasta: Path, tmp_path: Path) -> None:
    fasta.write_text("this is a letter, not a genome\n")
    with pytest.raises(RefusedInput):
        lab.reads.add_reference(fasta, "toy")
    with pytest.raises(StorageFailed, match="not there"):
        lab.reads.add_reference(tmp_path / "absent.fa", "toy")
    with pytest.raises(UsageError, match="no name"):
        lab.reads.add_reference(fasta, "")
    assert lab.reads.references() == ()
    assert lab.reads.reference("toy") is None


def test_a_part_that_is_not_there_is_a_sentence(lab: Lab, fasta: Path) -> None:
    made = lab.reads.add_reference(fasta, "../../=toy genome")
    for ask in (lab.reads.reference_location, lab.reads.reference_path):
        with pytest.raises(NotFound, match="GenBank"):
            ask(made, "annotation")
        with pytest.raises(UsageError, match="has no part 'bwt'"):
            ask(made, "bwt")

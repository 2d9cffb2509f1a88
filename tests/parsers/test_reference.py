from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pysam
import pytest
from fastq_text import bgzip
from genbank_text import genbank, sequence
from hypothesis import given, settings
from hypothesis import strategies as st

from labrelay.model.errors import RefusedInput
from labrelay.model.problem import Problem
from labrelay.parsers.fasta import Sequence, read_sequences, write_fasta
from labrelay.parsers.reference import NormalisedReference, read_reference

BASES = "ACGTRYKMSWBDHVN" * 11


def read(tmp_path: Path, content: bytes, name: str = "ref.fa") -> NormalisedReference:
    path = tmp_path / name
    path.write_bytes(content)
    return read_reference(path)


def refusal(tmp_path: Path, content: bytes) -> list[Problem]:
    with pytest.raises(RefusedInput) as caught:
        read(tmp_path, content)
    return list(caught.value.problems)


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=5),
    st.integers(1, 100),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
@settings(deadline=None, max_examples=80)
def test_any_layout_gives_the_same_fasta_and_the_index_of_samtools(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], width: int, end: str
) -> None:
    folder = tmp_path_factory.mktemp("fasta")
    wanted = {f"c{n}": (BASES * 2)[n : n + length] for n, length in enumerate(lengths)}
    lines = []
    for name, bases in wanted.items():
        lines += [f">{name} contig {name}", *(bases[i : i + width] for i in range(0, len(bases), width)), ""]
    parsed = read(folder, end.join(lines).encode())
    (folder / "out.fa").write_bytes(parsed.fasta)
    pysam.faidx(str(folder / "out.fa"))
    assert parsed.fai == (folder / "out.fa.fai").read_bytes()
    with pysam.FastaFile(str(folder / "out.fa")) as opened:
        assert {name: opened.fetch(name) for name in opened.references} == wanted
    assert max(len(line) for line in parsed.fasta.split(b"\n") if not line.startswith(b">")) <= 60
    assert read_sequences(folder / "out.fa") == wanted
    assert [(c.name, c.length) for c in parsed.contigs] == [(name, len(bases)) for name, bases in wanted.items()]


def test_the_md5_is_that_of_the_capital_sequence(tmp_path: Path) -> None:
    parsed = read(tmp_path, b">a\nacgTN\n")
    assert parsed.contigs[0].md5 == hashlib.md5(b"ACGTN").hexdigest()
    assert b"acgTN" in parsed.fasta


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b">a\r\nACGT\r\n", "CRLF line ends were replaced by LF."),
        (b">a\rACGT\r", "CR line ends were replaced by LF."),
        (b"\xef\xbb\xbf>a\nACGT\n", "A byte-order mark was removed."),
        (b">a\n" + b"A" * 61 + b"\n", "Lines were re-wrapped at 60 bases."),
        (b">a\nAC\nGT\n", "Lines were re-wrapped at 60 bases."),
        (b">a\nACGU\n", "U (RNA) was replaced by T in a."),
        (b">a\nACGRY\n", "2 IUPAC ambiguity codes other than N stayed."),
        (b">a\nacgt\n>b\nACGT\n", "Lower-case bases were kept in 1 of 2 sequences."),
        (gzip.compress(b">a\nACGT\n"), "The file was gzip-compressed and is stored plain."),
        (bgzip(b">a\nACGT\n"), "The file was gzip-compressed and is stored plain."),
        (b">a \xc3\xa4\nACGT\n", "The description of a does not print as ASCII and was left out."),
    ],
)
def test_what_is_put_right_is_said(tmp_path: Path, content: bytes, note: str) -> None:
    assert note in read(tmp_path, content).notes


def test_a_tidy_file_is_stored_as_it_is_without_notes(tmp_path: Path) -> None:
    content = b">a one\n" + b"ACGTN" * 12 + b"\nACG\n>b\nA\n"
    parsed = read(tmp_path, content)
    assert (parsed.fasta, parsed.notes, parsed.gff3) == (content, (), None)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [("NO_REFERENCE", 1)]),
        (b"a letter to a friend\n", [("NO_REFERENCE", 1)]),
        (b">\nACGT\n", [("FASTA_NO_NAME", 1)]),
        (b"> a\nACGT\n", [("FASTA_NO_NAME", 1)]),
        (b">a\nACGT\n>b\n>c\nA\n>d\n", [("EMPTY_CONTIG", 3), ("EMPTY_CONTIG", 6)]),
        (b">a\nACGT\n>b\nA\n>a\nAC\n", [("DUPLICATE_CONTIG", 5)]),
        (b">a\nAC GT\nACGT\nAC7T\n", [("BAD_BASE", 2), ("BAD_BASE", 4)]),
        (b">a\nMKVLAAGE\n", [("BAD_BASE", 2)]),
        (b">a\nACG-T\n", [("BAD_BASE", 2)]),
        (b">a\nACG\0T\n", [("BAD_BASE", 2)]),
        (b">a,b\nACGT\n>*c\nA\n", [("BAD_CONTIG_NAME", 1), ("BAD_CONTIG_NAME", 3)]),
        (b">a\n\n>a\nAC!T\n", [("EMPTY_CONTIG", 1), ("DUPLICATE_CONTIG", 3), ("BAD_BASE", 4)]),
    ],
)
def test_every_problem_is_named_with_its_line(tmp_path: Path, content: bytes, expected: list[tuple[str, int]]) -> None:
    assert [(p.code, p.line) for p in refusal(tmp_path, content)] == expected


def test_a_file_of_nothing_but_faults_gives_a_list_that_can_be_read(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, b">a\n" + b"AC?T\n" * 5000)) == 21


def test_a_cut_gzip_reference_is_refused(tmp_path: Path) -> None:
    stored = gzip.compress(b">a\nACGT\n")
    assert [p.code for p in refusal(tmp_path, stored[:-3])] == ["TRUNCATED_GZIP"]


def test_a_genbank_file_gives_the_same_sequence_as_its_fasta(tmp_path: Path) -> None:
    bases = sequence()
    parsed = read(tmp_path, genbank(bases), "virus.gb")
    plain = read(tmp_path, f">VIRUS1.1\n{bases}\n".encode())
    assert parsed.contigs == plain.contigs
    assert parsed.fai.split(b"\t")[:2] == plain.fai.split(b"\t")[:2]
    assert parsed.fasta.startswith(b">VIRUS1.1 A made-up virus\n")
    assert parsed.gff3 is not None
    zipped = read(tmp_path, gzip.compress(genbank(bases).replace(b"\n", b"\r\n")), "virus.gbk.gz")
    assert (zipped.fasta, zipped.gff3) == (parsed.fasta, parsed.gff3)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"ORIGIN", b"CONTIG      join(AB1.1:1..1500)\nORIGIN", None),
        (b" bp    DNA", b" aa       ", "BAD_GENBANK"),
        (b"        1 ", b"        1 1!", "BAD_BASE"),
    ],
)
def test_genbank_files_with_faults_are_refused(tmp_path: Path, old: bytes, new: bytes, code: str | None) -> None:
    content = genbank(sequence()).replace(old, new)
    if code is None:
        assert read(tmp_path, content).contigs[0].length == 1500
    else:
        assert code in [p.code for p in refusal(tmp_path, content)]


def test_a_genbank_file_without_its_sequence_says_how_to_get_it(tmp_path: Path) -> None:
    head = genbank(sequence()).partition(b"ORIGIN")[0]
    problems = refusal(tmp_path, head + b"CONTIG      join(AB1.1:1..1500)\n//\n")
    assert [p.code for p in problems] == ["GENBANK_NO_SEQUENCE"]
    assert "GenBank (full)" in problems[0].message


def test_a_genbank_file_without_proteins_says_so(tmp_path: Path) -> None:
    content = genbank(sequence())
    head, _, origin = content.partition(b"ORIGIN")
    bare = head.partition(b"     gene ")[0] + b"ORIGIN" + origin
    parsed = read(tmp_path, bare)
    assert parsed.gff3 is None
    assert any("no coding sequence" in note for note in parsed.notes)


def test_an_index_of_short_sequences_is_that_of_samtools(tmp_path: Path) -> None:
    fasta, fai = write_fasta(
        [Sequence("a", "", b"ACGT"), Sequence("b", "x y", b"A" * 60), Sequence("c", "", b"C" * 61)]
    )
    (tmp_path / "s.fa").write_bytes(fasta)
    pysam.faidx(str(tmp_path / "s.fa"))
    assert (tmp_path / "s.fa.fai").read_bytes() == fai

"""References: normalised, indexed, found by name or id, and stored once."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pysam
import pytest

from labrelay.model.errors import NotFound, RefusedInput, StorageFailed, UsageError
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_reads import FolderReadStore

SEQUENCE = "ACGTN" * 30
FASTA = f">chr1 first\n{SEQUENCE}\n>chr2\nacgt\n"
ADD = """
import sys
from pathlib import Path
from labrelay.stores.folder import FolderObjectStore
from labrelay.stores.folder_reads import FolderReadStore
root = Path(sys.argv[1])
FolderReadStore(root / "reads", FolderObjectStore(root / "objects")).add_reference(Path(sys.argv[2]), "toy")
"""


@pytest.fixture
def reads(tmp_path: Path) -> FolderReadStore:
    return FolderReadStore(tmp_path / "reads", FolderObjectStore(tmp_path / "objects"))


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "toy.fa"
    path.write_text(FASTA)
    return path


def test_a_reference_is_normalised_indexed_and_found_by_name_and_id(reads: FolderReadStore, fasta: Path) -> None:
    made = reads.add_reference(fasta, "toy")
    assert [(contig.name, contig.length) for contig in made.contigs] == [("chr1", 150), ("chr2", 4)]
    assert made.contigs[0].md5 == hashlib.md5(SEQUENCE.encode()).hexdigest()
    assert made.source_sha256 == hashlib.sha256(FASTA.encode()).hexdigest()
    assert reads.reference("toy") == reads.reference(made.id) == made
    assert reads.references() == (made,)
    with pysam.FastaFile(reads.reference_location(made)) as opened:
        assert opened.fetch("chr1").upper() == SEQUENCE
        assert opened.fetch("chr2", 1, 3).upper() == "CG"
    assert reads.reference_location(made, "fai") == reads.reference_location(made) + ".fai"


def test_line_ends_of_the_source_make_no_other_reference(reads: FolderReadStore, fasta: Path) -> None:
    made = reads.add_reference(fasta, "toy")
    fasta.write_bytes(FASTA.replace("\n", "\r\n").encode())
    assert reads.add_reference(fasta, "toy").id == made.id


def test_a_name_means_its_newest_reference(reads: FolderReadStore, fasta: Path) -> None:
    old = reads.add_reference(fasta, "toy")
    fasta.write_text(">chr1\nACGTACGT\n")
    new = reads.add_reference(fasta, "toy")
    other = reads.add_reference(fasta, "another")
    assert len({old.id, new.id, other.id}) == 3
    assert reads.reference("toy") == new
    assert reads.reference(old.id) == old
    assert reads.references() == (other, old, new)
    fasta.write_text(FASTA)
    assert f"means the newer {new.id}" in reads.add_reference(fasta, "toy").notes[-1]
    assert reads.reference("toy") == new


def test_what_is_no_reference_leaves_nothing(reads: FolderReadStore, fasta: Path, tmp_path: Path) -> None:
    fasta.write_text("this is a letter, not a genome\n")
    with pytest.raises(RefusedInput):
        reads.add_reference(fasta, "toy")
    link = tmp_path / "link.fa"
    link.symlink_to(fasta)
    with pytest.raises(StorageFailed, match="symbolic link"):
        reads.add_reference(link, "toy")
    with pytest.raises(StorageFailed, match="not there"):
        reads.add_reference(tmp_path / "absent.fa", "toy")
    for name in ("", " toy", "a\nb", "x" * 101):
        with pytest.raises(UsageError, match="no name"):
            reads.add_reference(fasta, name)
    assert reads.references() == ()
    assert reads.reference("toy") is None
    assert reads.reference("ref_../../etc") is None


def test_a_part_that_is_not_there_is_a_sentence(reads: FolderReadStore, fasta: Path) -> None:
    made = reads.add_reference(fasta, "../../=toy genome")
    assert Path(reads.reference_location(made)).is_relative_to(reads.root)
    with pytest.raises(NotFound, match="GenBank"):
        reads.reference_location(made, "annotation")
    with pytest.raises(UsageError, match="has no part 'bwt'"):
        reads.reference_location(made, "bwt")


@pytest.mark.parametrize(
    "point", ["store.linked:1", "store.linked:2", "reference.files_stored:1", "store.meta_written:3"]
)
def test_a_killed_import_of_a_reference_is_finished_by_the_next(
    reads: FolderReadStore, fasta: Path, point: str
) -> None:
    child = subprocess.run(
        [sys.executable, "-c", ADD, reads.root.parent, fasta],
        env={**os.environ, "LABRELAY_FAULT": f"{point}:kill"},
        check=False,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL
    assert reads.references() == ()
    made = reads.add_reference(fasta, "toy")
    assert reads.references() == (made,)
    assert not any("was added" in note for note in made.notes)
    reads.reap(older_than=0)
    assert list(reads.root.rglob(".tmp-*")) == []
    assert [path.name for path in reads.genomes.files.root.glob("ref_*")] == [made.id]

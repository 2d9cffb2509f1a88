"""What belongs to a run of one file is found beside it, whichever of the files is named, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import tifffile

from labrelay.parsers.listing import Listing, with_beside
from labrelay.parsers.registry import listed, look, whole

COMPANION = "abc.companion.ome"
OME = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">
{body}</OME>"""
IMAGE = """<Image ID="Image:0" Name="abc"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8"
SizeZ="1" SizeC="2" SizeT="1">{planes}</Pixels></Image>"""
PLANE = '<TiffData FirstC="{c}" PlaneCount="1"><UUID FileName="abc_{c}.ome.tif">urn:uuid:{c}</UUID></TiffData>'
SETS: Mapping[str, tuple[str, ...]] = {
    "TS_01.mrc": ("TS_01.mrc", "TS_01.mrc.mdoc"),
    "grid.st": ("grid.mdoc", "grid.st"),
    "sample_S1_L001_R1_001.fastq.gz": ("sample_S1_L001_R1_001.fastq.gz", "sample_S1_L001_R2_001.fastq.gz"),
    "patient_1.fastq.gz": ("patient_1.fastq.gz", "patient_2.fastq.gz"),
    "QC.raw": ("QC-metadata.json", "QC.raw"),
    "slide.mrxs": ("slide.mrxs", "slide/Dat_1/Data0001.dat", "slide/Slidedat.ini"),
    "alone.mrc": ("alone.mrc",),
}


@pytest.mark.parametrize("named", SETS)
def test_the_files_of_a_set_are_listed_with_the_one_that_is_named(tmp_path: Path, named: str) -> None:
    for name in {each for names in SETS.values() for each in names} | {"TS_02.mrc", "TS_02.mrc.mdoc", "notes.txt"}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert tuple(entry.path for entry in listed(tmp_path / named).files) == SETS[named]


def test_a_companion_and_its_images_are_one_run_with_one_name_whichever_is_named(tmp_path: Path) -> None:
    planes = "".join(PLANE.format(c=c) for c in (0, 1))
    (tmp_path / COMPANION).write_text(OME.format(uuid="set", body=IMAGE.format(planes=planes)))
    for c in (0, 1):
        only = f'<BinaryOnly MetadataFile="{COMPANION}" UUID="urn:uuid:set"/>'
        described = OME.format(uuid=c, body=only)
        pixels = [[c] * 8] * 8
        tifffile.imwrite(tmp_path / f"abc_{c}.ome.tif", pixels, dtype="u1", description=described, metadata=None)
    (tmp_path / "other.ome.tif").write_bytes(b"x")
    names = (COMPANION, "abc_0.ome.tif", "abc_1.ome.tif")
    for name in names:
        assert whole(tmp_path / name) == tmp_path / COMPANION
        run = look(tmp_path / name).run
        assert (run.run_id, tuple(file.path for file in run.files)) == (COMPANION, names)
        assert run.completion.copied.value.value == "yes"


def test_no_link_and_no_path_out_of_the_folder_is_taken_with_a_file(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_text("x")
    (inner / "a.mrc").write_bytes(b"x")
    (inner / "a.mrc.mdoc").symlink_to(tmp_path / "secret")
    (inner / "b.mrxs").write_bytes(b"x")
    (inner / "b").symlink_to(tmp_path)
    assert [entry.path for entry in listed(inner / "b.mrxs").files] == ["b.mrxs"]
    listing = listed(inner / "a.mrc")
    assert [entry.path for entry in listing.files] == ["a.mrc"]
    found = with_beside(Listing(inner, listing.files), ["../secret", "/etc/hostname", "..", "", "b/secret"])
    assert found.files == listing.files

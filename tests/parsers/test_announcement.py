"""A table of announced samples: whose columns are understood under which headings."""

from __future__ import annotations

from pathlib import Path

import pytest

from labrelay.model.errors import RefusedInput
from labrelay.parsers.announcement import AnnouncedRow, read_announcement


def read(tmp_path: Path, text: str) -> tuple[AnnouncedRow, ...]:
    path = tmp_path / "samples.csv"
    path.write_text(text, encoding="utf-8")
    return read_announcement(path)


@pytest.mark.parametrize(
    "heading",
    ["sample", "Sample", "name", "Name", "sample_id", "Sample_ID", "Sample ID", "SampleID", "sample-id", "Sample Name"],
)
def test_the_samples_column_has_many_headings(tmp_path: Path, heading: str) -> None:
    (row,) = read(tmp_path, f"{heading},assay\nalpha,wgs\n")
    assert (row.name, row.assay, row.attributes) == ("alpha", "wgs", {})


def test_known_columns_are_known_by_other_headings_too(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "name,Experiment Name,Alias,subject-id,Project ID\nalpha,e1,a1; a2,s1,p1\n")
    assert (row.experiment, row.aliases, row.subject, row.project) == ("e1", ("a1", "a2"), "s1", "p1")


def test_of_two_columns_that_could_name_the_sample_the_other_is_kept(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "Sample ID,Sample Name,project,project_name\n7,alpha,p1,Pathogens\n")
    assert (row.name, row.project) == ("7", "p1")
    assert row.attributes == {"sample_name": "alpha", "project_name": "Pathogens"}


def test_a_table_without_such_a_column_is_told_the_headings(tmp_path: Path) -> None:
    with pytest.raises(RefusedInput, match="sample, sample_id, sample_name, name"):
        read(tmp_path, "specimen,assay\nalpha,wgs\n")


def test_a_heading_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedInput, match="the column alias stands twice"):
        read(tmp_path, "name,alias,alias,aliases\nalpha,a,b,c\n")


def test_a_table_with_semicolons_as_a_european_spreadsheet_writes_it_is_read(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "experiment;sample;assay\nstudy;A-1;measles\n")
    assert (row.experiment, row.name, row.assay) == ("study", "A-1", "measles")

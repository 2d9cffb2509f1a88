from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import factory
import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labrelay.records.report.page import write_index
from labrelay.records.report_data import Variant, load_report_data
from labrelay.records.tables import (
    Column,
    Table,
    results_table,
    short_table,
    table_csv,
    table_xlsx,
    variants_table,
    write_results_csv,
    write_results_xlsx,
    write_variants_csv,
)

DAY = datetime(2026, 11, 23, tzinfo=UTC)


def test_columns_are_the_metrics_with_their_units_and_the_verdict(tmp_path: Path) -> None:
    table = results_table([factory.make_result(tmp_path)])
    assert [column.heading for column in table.columns] == [
        "Sample", "Reads", "Mapped (%)", "Mean depth (×)", "Breadth at 10× (%)", "Variants", "Bases ≥ Q30 (%)",
        "Verdict", "Workflow", "Version", "Reference", "Result", "Ended",
    ]  # fmt: skip
    assert table.rows[0][:8] == ("SRR7517490", 40540.0, 98.73, 371.2, 96.4, 40.0, 91.26, "warn")


def test_results_with_different_metrics_share_one_table_with_gaps(tmp_path: Path) -> None:
    one = factory.make_result(tmp_path, sample="A", metrics=[("reads", 5.0, "count")])
    two = factory.make_result(tmp_path, sample="B", metrics=[("cells", 7.0, "count"), ("reads", None, "count")])
    table = results_table([one, two])
    assert [c.heading for c in table.columns][:4] == ["Sample", "Reads", "Cells", "Verdict"]
    assert [row[:3] for row in table.rows] == [("A", 5.0, None), ("B", None, 7.0)]
    assert hostile.read_csv(table_csv(table))[2][:3] == ["B", "", "7"]


@pytest.mark.parametrize("name", hostile.NAMES)
def test_hostile_names_are_text_in_both_formats(tmp_path: Path, name: str) -> None:
    table = results_table([factory.make_result(tmp_path, sample=name)])
    cell = hostile.read_csv(table_csv(table))[1][0]
    assert cell in (name, "'" + name)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert hostile.read_xlsx(table_xlsx(table, name, DAY))[1][0] == name


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_no_exported_cell_starts_a_formula_unless_it_is_a_number(text: str) -> None:
    cell = hostile.read_csv(table_csv(Table((Column(text),), ((text,),))))[1][0]
    if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        float(cell)
    assert cell.removeprefix("'") == text.removeprefix("'")


def test_numbers_stay_numbers_and_gaps_stay_empty_in_the_workbook(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path, metrics=[("reads", -5.0, "count"), ("depth", None, "x"), ("gc", 0.5, "")])
    assert hostile.read_xlsx(table_xlsx(results_table([result]), "t", DAY))[1][:4] == ["SRR7517490", -5.0, None, 0.5]


def test_the_verdict_is_coloured_and_the_header_stays_in_sight(tmp_path: Path) -> None:
    content = table_xlsx(results_table([factory.make_result(tmp_path)]), "t", DAY)
    with zipfile.ZipFile(BytesIO(content)) as book:
        assert b'rgb="FFFFF1C9"' in book.read("xl/styles.xml")
        assert b'state="frozen"' in book.read("xl/worksheets/sheet1.xml")


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    results = [factory.make_result(tmp_path, sample=name) for name in ("A", "B")]
    paths = [tmp_path / name for name in ("1.csv", "2.csv", "1.xlsx", "2.xlsx")]
    for path in paths:
        document = (write_results_csv if path.suffix == ".csv" else write_results_xlsx)(results, path)
        assert document.path == path
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[2].read_bytes() == paths[3].read_bytes()


def test_an_experiment_without_results_has_a_table_with_a_header_only(tmp_path: Path) -> None:
    write_results_xlsx([], tmp_path / "r.xlsx")
    assert len(hostile.read_xlsx((tmp_path / "r.xlsx").read_bytes())) == 1
    assert len(hostile.read_csv(table_csv(results_table([])))) == 1


def test_variants_keep_position_change_and_fraction(tmp_path: Path) -> None:
    result = factory.make_result(tmp_path)
    variants = load_report_data(result).variants
    write_variants_csv(variants, tmp_path / "v.csv")
    rows = hostile.read_csv((tmp_path / "v.csv").read_bytes())
    assert rows[0][:4] == ["Contig", "Position", "Ref", "Alt"]
    assert rows[2] == ["MH356245.1", "648", "C", "T", "225.4", str(factory.depth_at(648)), "0.996", "N", "p.Ala149Val"]
    assert len(rows) == len(factory.variant_rows()) + 1


def test_a_hostile_allele_is_no_formula() -> None:
    table = variants_table([Variant("chr", 1, "=1+1", "<DEL>")])
    assert hostile.read_csv(table_csv(table))[1][2:4] == ["'=1+1", "<DEL>"]


def test_a_page_shows_the_numbers_that_were_judged_before_others_and_says_how_many_it_leaves_out(
    tmp_path: Path,
) -> None:
    result = factory.make_result(tmp_path)
    judged = {threshold.metric for threshold in result.thresholds}
    names = [metric.name for metric in result.metrics]
    table, hidden = short_table([result], len(judged))
    whole = {
        column.heading: cell
        for column, cell in zip(results_table([result]).columns, results_table([result]).rows[0], strict=True)
    }
    shown = [
        (column.heading, cell)
        for column, cell in zip(table.columns, table.rows[0], strict=True)
        if column.kind == "number"
    ]
    assert hidden == len(names) - len(judged) > 0
    assert [cell for _, cell in shown] == [result.metric(name) for name in names if name in judged]
    assert all(whole[heading] == cell for heading, cell in shown)
    assert [column.heading for column in table.columns[-3:]] == ["Workflow", "Reference", "Ended (UTC)"]
    assert table.rows[0][-3:] == ("viral_variants 1.0.0", "measles-D8", "2026-11-23 14:05")
    html = write_index(result.experiment, [(result, tmp_path / "r.html")], tmp_path / "index.html").path.read_text()
    assert "more number" not in html

"""Metrics are compared with those of the same instrument, assay and workflow, and people hear of a run that leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shell import shell
from sqlalchemy import event, select
from tiny_run import TinyLab

from labrelay.model.errors import NotFound
from labrelay.model.instrument import InstrumentRun
from labrelay.model.qc import QCMetric
from labrelay.records import intake
from labrelay.records.notify import compose
from labrelay.records.outbox import Message
from labrelay.records.qc_context import SeriesWanted
from labrelay.records.report.svg import ticks_between
from labrelay.records.report.trend_page import tick_text
from labrelay.records.schema import OutboxRow
from labrelay.records.schema_reruns import QCContextRow
from labrelay.steps.announce import announce
from labrelay.steps.home import Home
from labrelay.steps.process import process
from labrelay.steps.trends import follow_instrument_run, overview, trends, write_trends

WEBHOOK = 'webhook_url = "http://127.0.0.1:9/hook"\n'
BEGAN = datetime(2026, 1, 1, 9, tzinfo=UTC)
STEADY = [80.0, 82.0, 81.0, 79.5, 80.5, 81.5, 80.0, 82.5, 79.0, 81.0]


@pytest.fixture
def home(make_home: Callable[[str], Home]) -> Home:
    return make_home(WEBHOOK)


def record(home: Home, values: Sequence[float | None], serial: str = "M1", first: int = 0, scope: str = "run") -> None:
    """Record an instrument run a day, each with this value."""
    for day, value in enumerate(values, first):
        run = InstrumentRun(
            run_id=f"{serial}-{day:03}",
            folder_name="x",
            platform="illumina",
            instrument_serial=serial,
            started=BEGAN + timedelta(days=day),
        )
        metrics = [QCMetric(name="q30_percent", value=value, unit="percent", scope=scope)]
        with home.records.write() as session:
            intake.see(session, run, "x")
            intake.add_metrics(session, run.id, metrics)
            follow_instrument_run(home, session, run, metrics)


def told(home: Home) -> list[OutboxRow]:
    with home.records.read() as session:
        return list(session.scalars(select(OutboxRow).where(OutboxRow.kind == "trend").order_by(OutboxRow.id)))


@contextmanager
def statements(home: Home) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(home.records.engine, "before_cursor_execute", note)
    yield seen
    event.remove(home.records.engine, "before_cursor_execute", note)


def test_a_run_outside_the_limits_of_its_instrument_is_told_once(home: Home) -> None:
    record(home, STEADY)
    record(home, [60.0], first=10)
    record(home, [60.0], first=10)
    record(home, [60.0] * 3, serial="M2")  # another machine, and too few values
    (row,) = told(home)
    assert row.channel == "notify-webhook"
    fields = {name: getattr(row, name) for name in ("id", "channel", "entity_id", "kind", "payload")}
    notice = compose(Message(**fields, tries=1, lease_holder="x"))
    assert notice.subject == "Labrelay: q30_percent of M1-010 is unusual"
    assert "Q30 is 60 %, outside the 75.97 to 85.43 % that the 10 values before it let expect (M1)" in notice.text
    assert "labrelay trends q30_percent" in notice.text


def test_fewer_than_eight_values_and_missing_ones_tell_nobody_anything(home: Home) -> None:
    record(home, [*STEADY[:7], 20.0])
    record(home, [None, None], first=8)
    assert told(home) == []
    (trend,) = trends(home, SeriesWanted(metric="q30_percent"))
    assert [point.value for point in trend.points[-2:]] == [None, None]
    assert "from 8 values" in trend.standing


def test_a_shift_is_told_when_it_begins_and_not_at_every_run_after_it(home: Home) -> None:
    record(home, STEADY)
    record(home, [82.2, 82.0] * 6, first=10)
    assert ["eight values in a row lie above the mean" in row.payload["reason"] for row in told(home)] == [True]


def test_samples_of_a_sheet_make_no_series_and_lanes_do(home: Home) -> None:
    record(home, STEADY, scope="NA12878, lane 1")
    assert overview(home, SeriesWanted()) == []
    record(home, STEADY, first=20, scope="lane 1")
    (line,) = overview(home, SeriesWanted())
    assert (line.key.scope, line.runs, line.key.instrument) == ("lane 1", 10, "M1")


def test_series_are_narrowed_and_since_leaves_out_points_but_not_what_limits_come_from(home: Home) -> None:
    record(home, STEADY)
    record(home, STEADY[:3], serial="M2")
    assert [len(trend.points) for trend in trends(home, SeriesWanted(metric="q30_percent"))] == [10, 3]
    since = (BEGAN + timedelta(days=9)).isoformat(timespec="microseconds")
    (late,) = trends(home, SeriesWanted(metric="q30_percent", since=since))
    (point,) = late.points
    assert point.low is not None
    assert trends(home, SeriesWanted(metric="q30_percent", instrument="M2"))[0].instrument == "M2"
    with pytest.raises(NotFound, match="no such values of q30"):
        trends(home, SeriesWanted(metric="q30"))


def test_following_a_run_costs_the_same_statements_however_many_came_before(home: Home) -> None:
    def cost() -> int:
        first = 1000 + record_count(home)
        with statements(home) as seen:
            record(home, [80.0], first=first)
        return len(seen)

    record(home, STEADY)
    few = cost()
    record(home, STEADY * 12, first=20)
    assert cost() == few


def record_count(home: Home) -> int:
    with home.records.read() as session:
        return len(session.scalars(select(QCContextRow.owner_id)).all())


def test_the_page_holds_all_it_needs_and_shows_what_signals(home: Home, tmp_path: Path) -> None:
    record(home, [*STEADY, None, 60.0])
    page = write_trends(
        trends(home, SeriesWanted(metric="q30_percent")), tmp_path / "new" / "q30.html"
    ).path.read_text()
    assert page.count('class="outside"') == 1
    assert page.count('class="missing"') == 1
    assert "1 signal, 1 value missing" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_ticks_are_round_lie_within_the_axis_and_are_written_as_what_they_are() -> None:
    assert [tick_text(tick) for tick in ticks_between(84.0, 94.9)] == ["85", "87.5", "90", "92.5"]
    assert [tick_text(tick) for tick in ticks_between(9.1e5, 1.52e6, 3)] == ["1 M", "1.25 M", "1.5 M"]
    assert tick_text(40_000) == "40 k"
    assert ticks_between(3.0, 3.0) == [3.0]


def test_a_processed_run_is_in_the_trends_of_its_instrument_and_its_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = TinyLab(tmp_path, samples={"alpha": 20})
    opened = lab.open()
    announce(opened, lab.table)
    process(opened, lab.run)
    opened.close()
    labrelay = shell(monkeypatch, lab.home)
    listed = labrelay("trends", "--json").json
    assert {(line["kind"], line["metric"]) for line in listed} >= {("ins", "q30_percent"), ("run", "read_pairs")}
    assert "labrelay trends METRIC" in labrelay("trends").out
    (trend,) = labrelay("trends", "read_pairs", "--workflow", "count_reads", "--json").json
    assert [(point["label"], point["value"]) for point in trend["points"]] == [("alpha", 20.0)]
    said = labrelay("trends", "read_pairs").out
    assert "1 known values are too few for limits" not in said
    assert "1 known value is too few for limits: 8 are needed" in said
    page = tmp_path / "reads.html"
    assert labrelay("trends", "read_pairs", "--html", page).code == 0
    assert page.is_file()
    assert labrelay("trends", "nothing").code == 2
    assert "is no date" in labrelay("trends", "read_pairs", "--since", "yesterday").err

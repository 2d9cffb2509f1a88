"""A plan of faults is read whole or refused with all its problems; events are disordered as it says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from labrelay.emulator.announcements import Announcer
from labrelay.emulator.dialects import DIALECTS
from labrelay.emulator.faults import AWS_RATES, Fault, Plan, read_plan, refusal
from labrelay.emulator.routing import service_model
from labrelay.emulator.wire import failed
from labrelay.model.errors import UsageError

PLAN = """
rates = "aws"

[[fault]]
operation = "StartRun"
do = "fail"
code = "ServiceQuotaExceededException"
message = "Enough."
times = 2
after = 1

[[fault]]
event = "Run Status Change"
do = "repeat"
seconds = 0.5
"""


def test_the_plan_in_the_docs_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "aws.md").read_text(encoding="utf-8")
    (tmp_path / "plan.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    plan = read_plan(tmp_path / "plan.toml")
    assert [fault.do for fault in (*plan.calls, *plan.events)] == ["throttle", "drop"]
    assert plan.rates == AWS_RATES


def test_a_plan_is_read(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    plan = read_plan(tmp_path / "plan.toml")
    assert plan.calls == [
        Fault("StartRun", "fail", 2, 1, code="ServiceQuotaExceededException", message="Enough."),
    ]
    assert plan.events == [Fault("Run Status Change", "repeat", seconds=0.5)]
    assert plan.rates == AWS_RATES


def test_a_plan_may_name_what_any_service_of_aws_answers(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[[fault]]\noperation = '*'\ndo = 'fail'\ncode = 'RequestTimeTooSkewed'\n")
    [fault] = read_plan(plan).calls
    for service, dialect in DIALECTS.items():
        failure = refusal(fault, dialect)
        assert failure is not None
        assert failed(failure, service).status == 403


def test_the_rates_of_aws_are_of_operations_that_there_are() -> None:
    known = {*service_model().operation_names, *(f"batch:{name}" for name in service_model("batch").operation_names)}
    assert known >= AWS_RATES.keys()


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("fault = 1", ["[[fault]]"]),
        ("speed = 1", ["speed is no part of a plan"]),
        ("[[fault]]\ndo = 'drop'", ["fault 1: names either an operation or an event or a job"]),
        (
            "[[fault]]\noperation = 'StartRuns'\ndo = 'explode'\ntimes = -1\nwhy = 1",
            ["no operation StartRuns", "do is one of throttle", "times is a number", "why is not known"],
        ),
        ("[[fault]]\noperation = '*'\ndo = 'fail'\ncode = 'Oops'", ["no error Oops"]),
        ("[[fault]]\nevent = 'Run Status Change'\ndo = 'lose'", ["do is one of drop"]),
        ("[rates]\nStartRun = 0\nNothing = 1", ["the rate of StartRun", "the rate of Nothing"]),
        ("rates = 'azure'", ["rates is"]),
        ("= broken", ["cannot be read"]),
    ],
)
def test_a_plan_that_is_wrong_is_refused_with_every_problem(tmp_path: Path, text: str, problems: list[str]) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_plan(tmp_path / "plan.toml")
    for problem in problems:
        assert problem in str(caught.value)
    assert str(tmp_path / "plan.toml") in str(caught.value)


def test_a_fault_waits_acts_and_is_used_up() -> None:
    plan = Plan([Fault("GetRun", "throttle", times=2, after=1)])
    assert [plan.on_call("GetRun") is not None for _ in range(5)] == [False, True, True, False, False]
    assert plan.on_call("ListRuns") is None


def test_a_rate_lets_pass_what_it_says() -> None:
    plan = Plan(rates={"StartRun": 50.0})
    refused = sum(plan.on_call("StartRun") is not None for _ in range(60))
    assert 5 <= refused <= 10
    time.sleep(0.1)
    assert plan.on_call("StartRun") is None


@pytest.fixture
def bus() -> Iterator[tuple[str, list[str]]]:
    """An event bus that notes the details of what it is told, and its address."""
    seen: list[str] = []

    class Bus(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert len(asked["Entries"]) <= 10
            seen.extend(json.loads(entry["Detail"])["id"] for entry in asked["Entries"])
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Bus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def test_events_come_in_their_order_and_none_is_left_at_the_end(bus: tuple[str, list[str]]) -> None:
    url, seen = bus
    announcer = Announcer(url, "us-east-1")
    announcer.start()
    for number in range(35):
        announcer.announce("Run Status Change", ["arn"], {"id": str(number)})
    announcer.stop(10)
    assert seen == [str(number) for number in range(35)]


def test_events_are_lost_repeated_and_late_as_planned(bus: tuple[str, list[str]]) -> None:
    url, seen = bus
    plan = Plan(
        events=[
            Fault("Lost", "drop"),
            Fault("Run Status Change", "repeat", times=1),
            Fault("Run Status Change", "delay", times=1, seconds=0.3),
        ]
    )
    announcer = Announcer(url, "us-east-1", plan.on_event)
    announcer.start()
    for kind, number in (
        ("Lost", "0"),
        ("Run Status Change", "1"),
        ("Run Status Change", "2"),
        ("Run Status Change", "3"),
    ):
        announcer.announce(kind, ["arn"], {"id": number})
    time.sleep(0.5)
    announcer.stop(10)
    assert seen == ["1", "1", "3", "2"]


def test_an_event_bus_that_is_gone_stops_nothing() -> None:
    announcer = Announcer("http://127.0.0.1:9", "us-east-1")
    announcer.start()
    announcer.announce("Run Status Change", ["arn"], {"id": "1"})
    announcer.stop(10)
    announcer.announce("Run Status Change", ["arn"], {"id": "2"})

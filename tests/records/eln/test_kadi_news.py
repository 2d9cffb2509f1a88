"""What a Kadi record announces is read for itself: a form that nobody foresaw holds back that record alone."""

from typing import Any

import httpx
import pytest

from labrelay.records.eln.kadi import KadiNotebook
from labrelay.records.eln.port import Account


def record(number: int, *extras: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "identifier": f"study-{number}",
        "title": "A study",
        "description": "",
        "extras": list(extras),
        "creator": {"id": 1, "displayname": "Ada"},
        "last_modified": f"2026-11-0{number}T00:00:00+00:00",
    }


def notebook_with(*records: dict[str, Any]) -> KadiNotebook:
    body = {"items": list(records), "_pagination": {"total_pages": 1}}
    notebook = KadiNotebook(Account(url="https://kadi.test", token="t"))
    answers = httpx.MockTransport(lambda _request: httpx.Response(200, json=body))
    notebook._rest._client = httpx.Client(base_url="https://kadi.test/api", transport=answers)
    return notebook


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("str", "alpha, beta"),
        ("int", 12),
        ("int", 0),
        ("bool", True),
        ("bool", False),
        ("list", [{"key": "alpha"}]),
        ("dict", [{"type": "dict", "key": "alpha", "value": 3}]),
    ],
)
def test_samples_of_another_form_are_a_problem_of_their_record_alone(kind: str, value: Any) -> None:
    right = {"type": "list", "key": "samples", "value": [{"type": "str", "value": "alpha"}]}
    news = notebook_with(record(2, {"type": kind, "key": "Samples", "value": value}), record(1, right)).announced_since(
        None
    )
    good, bad = news.announcements
    assert ([sample.name for sample in good.samples], good.problems) == (["alpha"], ())
    assert (bad.external_id, bad.samples, [problem.code for problem in bad.problems]) == ("2", (), ["BAD_SAMPLES"])
    assert news.cursor == "2026-11-02T00:00:00+00:00"


def test_a_table_of_samples_that_is_too_large_is_a_problem_of_its_record_alone() -> None:
    notebook, sizes = notebook_with(), {1: 100, 2: 6 << 20}
    records = {"items": [record(2), record(1)], "_pagination": {"total_pages": 1}}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/records":
            return httpx.Response(200, json=records)
        number = int(request.url.path.split("/")[3])
        if request.url.path.endswith("/download"):
            return httpx.Response(200, content=b"sample\n" + b"a" * (sizes[number] - 7))
        return httpx.Response(200, json={"id": "f", "name": "samples.csv", "checksum": None})

    notebook._rest._client = httpx.Client(base_url="https://kadi.test/api", transport=httpx.MockTransport(answer))
    good, bad = notebook.announced_since(None).announcements
    assert ([sample.name for sample in good.samples], good.problems) == (["a" * 93], ())
    assert [problem.code for problem in bad.problems] == ["LARGE_FILE"]

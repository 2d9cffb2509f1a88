"""No web page makes the emulator work, and no client of AWS is kept from it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated import LOOPBACK
from served import SIGNED, Served, served

from labrelay.emulator.guard import is_loopback


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "data") as found:
        yield found


def ask(front: Served, path: str = "/workflow", **headers: str) -> tuple[int, str]:
    """Return the status and the message of an answer to a POST with these headers, `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(front.endpoint + path, data=b"{}", headers=named)
    try:
        with LOOPBACK.open(request) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, str(json.loads(error.read()).get("message"))


def test_a_request_without_a_signature_does_nothing(front: Served) -> None:
    assert ask(front) == (
        403,
        "The emulator does not take this request: it is not signed; "
        "export the lines that the emulator printed, any credentials will do.",
    )
    assert front.front.counts["CreateWorkflow"] == 0


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Origin": "http://evil.example"}, "another site"),
        ({"Origin": "null"}, "another site"),
        ({"Sec_Fetch_Site": "cross-site"}, "another site"),
        ({"Sec_Fetch_Site": "same-site"}, "another site"),
        ({"Host": "evil.example"}, "no name of this machine"),
        ({"Host": "evil.example:80"}, "no name of this machine"),
        ({"Host": "localhost.evil.example"}, "no name of this machine"),
        ({"Host": "[::1"}, "no name of this machine"),
        ({"Origin": "http://[::1"}, "another site"),
    ],
)
def test_a_page_of_another_site_does_nothing_even_with_a_signature(
    front: Served, headers: dict[str, str], why: str
) -> None:
    for path in ("/workflow", "/workflow?X-Amz-Credential=x/20261124/us-east-1/omics/aws4_request"):
        status, message = ask(front, path, **SIGNED, **headers)
        assert (status, why in message) == (403, True)
    assert front.front.counts["CreateWorkflow"] == 0


@pytest.mark.parametrize("host", ["localhost", "localhost:4566", "bucket.localhost:80", "127.0.0.1", "[::1]:9"])
def test_every_name_of_this_machine_will_do(front: Served, host: str) -> None:
    assert ask(front, **SIGNED, Host=host)[0] == 400  # the body lacks what CreateWorkflow needs
    assert front.front.counts["CreateWorkflow"] == 1


def test_a_client_of_aws_is_let_through_and(front: Served) -> None:
    assert front.client().list_runs()["items"] == []


def test_a_host_is_lost_by_nobody_without_a_signature(front: Served) -> None:
    path = "/_labrelay/batch/lose-host?job=1"
    assert ask(front, path)[0] == 403
    assert ask(front, path, **SIGNED)[0] == 200


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1", "a.b.localhost")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "10.0.0.1", "notlocalhost", "localhost.example")))

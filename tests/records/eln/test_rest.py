"""What a notebook's server answers becomes one sentence, and the right word on trying again."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import parts as made
import pytest
from contract import HEADING

from labrelay.records.delivery import Undeliverable, judge
from labrelay.records.eln.elabftw import ELabFTW
from labrelay.records.eln.kadi import KadiNotebook
from labrelay.records.eln.port import Account, Notebook
from labrelay.records.eln.rest import Rest, TooLarge, fits

TOKEN = "pat_secret-of-the-lab"


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with what is planned."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
    methods: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.methods.append(self.command)
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.methods = []
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def asked(server: Server) -> Undeliverable:
    rest = Rest("Kadi4Mat", f"http://127.0.0.1:{server.server_port}", {"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(Undeliverable) as error:
        rest.ask("GET", "/records")
    rest.close()
    assert TOKEN not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    ("answer", "retry", "after", "words"),
    [
        ((429, {"Retry-After": "17"}, b"{}"), True, 17, "answered 429: wait for it"),
        ((500, {}, b"<h1>Oh no</h1>"), True, 0, "answered 500: wait for it"),
        ((503, {"Retry-After": "120"}, b""), True, 120, "answered 503"),
        ((200, {}, b"<html>Log in</html>"), True, 0, "with something else than JSON"),
        ((302, {"Location": "https://elsewhere.test/login"}, b""), False, 0, "sends us elsewhere"),
        ((401, {}, b'{"description": "Access token has expired."}'), False, 0, "put a new one into eln_token"),
        ((403, {}, b"{}"), False, 0, "denies our account the right"),
        ((413, {}, b'{"description": "Maximum upload quota exceeded."}'), False, 0, "413: Maximum upload quota"),
        ((400, {}, b'{"message": "Bad Request", "errors": {"name": ["taken"]}}'), False, 0, '{"name": ["taken"]}'),
    ],
)
def test_each_answer_is_a_sentence_and_says_whether_to_try_again(
    server: Server, answer: tuple[int, dict[str, str], bytes], retry: bool, after: float, words: str
) -> None:
    server.answer = answer
    error = asked(server)
    assert (error.retryable, error.retry_after) == (retry, after)
    assert words in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(("status", "down"), [(429, True), (503, True), (500, False), (403, False)])
def test_an_answer_says_whether_anything_else_would_be_taken(server: Server, status: int, down: bool) -> None:
    server.answer = (status, {}, b"{}")
    assert asked(server).down is down
    assert judge(status, {}, "the backend", "openlineage_url").down is down


def test_a_notebook_that_does_not_answer_takes_nothing_else(server: Server) -> None:
    server.server_close()
    assert asked(server).down


def test_a_notebook_that_nobody_runs_is_tried_again(server: Server) -> None:
    rest = Rest("Kadi4Mat", "http://127.0.0.1:9", {})
    with pytest.raises(Undeliverable, match="did not answer") as error:
        rest.ask("GET", "/records")
    assert error.value.retryable


def test_an_address_that_is_none_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(Undeliverable, match="eln_url is no address") as error:
        Rest("Kadi4Mat", "kadi.example.org", {}).ask("GET", "/records")
    assert not error.value.retryable


def test_a_token_that_http_cannot_carry_is_not_tried_again(server: Server) -> None:
    rest = Rest("Kadi4Mat", f"http://127.0.0.1:{server.server_port}", {"Authorization": f"Bearer {TOKEN}\n"})
    asks: list[Callable[[], object]] = [lambda: rest.ask("GET", "/records"), lambda: rest.fetch("/file")]
    for ask in asks:
        with pytest.raises(Undeliverable, match="check eln_token") as error:
            ask()
        assert (error.value.retryable, TOKEN in str(error.value)) == (False, False)


def test_a_body_with_a_terminals_escapes_is_shown_as_text(server: Server) -> None:
    server.answer = (400, {}, b'{"description": "it \\u001b[2J said"}')
    assert "it \\x1b[2J said" in str(asked(server))


def test_check_says_what_is_wrong_with_a_server_that_is_not_kadi(server: Server) -> None:
    server.answer = (200, {}, b"<html>")
    account = Account(url=f"http://127.0.0.1:{server.server_port}/", token=TOKEN)
    [problem] = KadiNotebook(account).check()
    assert (problem.code, "check eln_url" in problem.message) == ("ELN_ACCOUNT", True)
    assert TOKEN not in repr(account)


@pytest.mark.parametrize("kind", [KadiNotebook, ELabFTW])
@pytest.mark.parametrize("body", ["{}", "null", "", '"ok"', "[{}]", '{"items": [{}]}', '[{"id": 7}]', '{"id": 7}'])
def test_an_answer_of_another_shape_says_nothing_of_an_entry(
    server: Server, kind: Callable[[Account], Notebook], body: str
) -> None:
    server.answer = (200, {}, body.encode())
    notebook = kind(Account(url=f"http://127.0.0.1:{server.server_port}", token=TOKEN))
    asks: list[Callable[[], object]] = [
        lambda: notebook.find("exp_1"),
        lambda: notebook.create("exp_1", HEADING),
        lambda: notebook.read("7"),
        lambda: notebook.write("7", made.status("done"), None),
        lambda: notebook.announced_since(None),
    ]
    for ask in asks:
        with pytest.raises(Undeliverable, match="answered 200 with something else than its API says") as error:
            ask()
        assert error.value.retryable
    assert set(server.methods) == {"GET"}  # nothing was made or written
    [problem] = notebook.check()
    assert (problem.code, "check eln_url" in problem.message) == ("ELN_ACCOUNT", True)
    notebook.close()


def test_a_shape_is_held_against_all_of_an_answer() -> None:
    shape = {"items": [{"id": int, "text": str | None}]}
    assert fits({"items": [], "more": 1}, shape)
    assert fits({"items": [{"id": 1, "text": None, "more": []}]}, shape)
    assert not fits({"items": [{"id": 1, "text": None}, {"id": 2}]}, shape)
    assert not fits({"items": {"id": 1}}, shape)


def test_a_file_that_is_too_large_for_a_notebook_is_not_loaded(server: Server, tmp_path: Path) -> None:
    server.answer = (200, {}, b"x" * 2000)
    rest = Rest("Kadi4Mat", f"http://127.0.0.1:{server.server_port}", {})
    assert len(rest.fetch("/file", largest=2000)) == 2000
    with pytest.raises(Undeliverable, match="more than 1999 bytes"):
        rest.fetch("/file", largest=1999)


def trickling(chunks: int, sent: list[int]) -> Rest:
    """Return a notebook whose answers come in so many pieces; `sent` gets their sizes."""

    def pieces() -> Iterator[bytes]:
        for _ in range(chunks):
            sent.append(1000)
            yield b" " * 1000

    rest = Rest("Kadi4Mat", "http://kadi.test", {})
    answers = httpx.MockTransport(lambda _request: httpx.Response(200, content=pieces()))
    rest._client = httpx.Client(base_url="http://kadi.test", transport=answers)
    return rest


def test_an_answer_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.records.eln.rest.LARGEST_ANSWER", 2500)
    sent: list[int] = []
    with pytest.raises(Undeliverable, match="answered 200 with more than 2500 bytes"):
        trickling(50, sent).ask("GET", "/records")
    assert len(sent) == 3
    sent.clear()
    with pytest.raises(TooLarge, match="more than 1500 bytes") as error:
        trickling(50, sent).fetch("/file", largest=1500)
    assert (len(sent), error.value.retryable) == (2, False)


def test_an_answer_that_never_ends_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labrelay.records.eln.rest.ANSWER_SECONDS", 0.0)
    sent: list[int] = []
    asks: list[Callable[[Rest], object]] = [lambda rest: rest.ask("GET", "/records"), lambda rest: rest.fetch("/file")]
    for ask in asks:
        with pytest.raises(Undeliverable, match="did not answer \\(ReadTimeout\\): is it up") as error:
            ask(trickling(50, sent))
        assert error.value.retryable
    assert len(sent) < 10

"""People are told by real mail and real HTTP; what a failure means for the next try is read from the answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from json_hook import JsonHook, json_hook
from smtp_sink import SmtpSink, smtp_sink

from labrelay.records.delivery import Undeliverable
from labrelay.records.notify import Ways, compose, send
from labrelay.records.notify_webhook import body
from labrelay.records.outbox import Message
from labrelay.records.posting import judge

HOSTILE = "a\x1b[2J\r\nBcc: x@y.example <!channel> & <https://evil.example|click>"


def message(kind: str = "done", channel: str = "notify", **payload: Any) -> Message:
    values = {"run": "run_1", "samples": "SMP1", "verdict": "warn", **payload}
    return Message(id=7, channel=channel, entity_id="run_1", kind=kind, payload=values, tries=1, lease_holder="pid:1")


@pytest.fixture
def mail() -> Iterator[SmtpSink]:
    with smtp_sink() as sink:
        yield sink


def by_mail(sink: SmtpSink, to: tuple[str, ...] = ("lab@example.org",), login: str = "") -> Ways:
    url = f"smtp://{login}127.0.0.1:{sink.port}"
    return Ways(smtp_url=url, mail_from="relay@example.org", mail_to=to)


@pytest.fixture
def hook() -> Iterator[JsonHook]:
    with json_hook("/services/SECRET") as made:
        yield made


def failure(message: Message, ways: Ways) -> Undeliverable:
    with pytest.raises(Undeliverable) as caught:
        send(message, ways)
    return caught.value


def test_a_result_is_told_by_mail_with_sample_and_verdict(mail: SmtpSink) -> None:
    send(message(samples="Probe Ä"), by_mail(mail))
    (got,) = mail.mails
    assert got["subject"] == "Labrelay: Probe Ä done, verdict warn"
    assert (got["to"], got["from"]) == ("lab@example.org", "relay@example.org")
    assert "labrelay runs show run_1" in got.get_content()


def test_the_same_message_again_is_the_same_mail(mail: SmtpSink) -> None:
    send(message(), by_mail(mail))
    send(message(), by_mail(mail))
    first, second = mail.mails
    assert first["message-id"] == second["message-id"]


@pytest.mark.parametrize("kind", ["done", "failed", "needs-you"])
def test_names_from_outside_make_no_header_no_control_character_and_no_mention(
    mail: SmtpSink, hook: JsonHook, kind: str
) -> None:
    hostile = message(kind, samples=HOSTILE, reason=HOSTILE, label=HOSTILE)
    send(hostile, by_mail(mail).model_copy(update={"webhook_url": hook.url}))
    (got,) = mail.mails
    assert got["bcc"] is None
    text = hook.bodies[0]["text"]
    assert "<" not in text
    assert "&lt;!channel&gt; &amp;" in text
    assert "\x1b" not in text + got.get_content() + got["subject"]


def test_only_known_values_of_a_message_are_told() -> None:
    notice = compose(message(subject="patient 12", birthday="1970-01-01"))
    assert "patient" not in notice.text + notice.subject
    assert "1970" not in notice.text


def test_a_long_reason_is_cut() -> None:
    assert len(compose(message("failed", reason="x" * 10_000)).text) < 600


def test_a_kind_that_nobody_can_write_is_dead() -> None:
    assert not failure(message("gossip"), Ways(webhook_url="http://127.0.0.1:1/")).retryable


@pytest.mark.parametrize(
    ("command", "answer", "retry"),
    [
        ("RCPT", "450 later", True),
        ("RCPT", "550 no such user", False),
        ("MAIL", "451 try later", True),
        ("DATA", "554 spam", False),
        ("END", "452 full", True),
        ("MAIL", "hang up", True),
    ],
)
def test_the_mail_servers_answer_says_whether_to_try_again(
    mail: SmtpSink, command: str, answer: str, retry: bool
) -> None:
    mail.answers[command] = answer
    assert failure(message(), by_mail(mail)).retryable is retry


def test_a_receiver_that_is_refused_does_not_give_the_others_the_mail_again(mail: SmtpSink) -> None:
    mail.answers["RCPT TO:<gone@example.org>"] = "450 later"
    error = failure(message(), by_mail(mail, ("lab@example.org", "gone@example.org")))
    assert len(mail.mails) == 1
    assert not error.retryable
    assert "1 of 2 receivers" in str(error)


def test_a_password_is_never_sent_without_tls(mail: SmtpSink) -> None:
    mail.offers = ("AUTH PLAIN LOGIN",)
    error = failure(message(), by_mail(mail, login="user:hunter2@"))
    assert not error.retryable
    assert "hunter2" not in str(error)
    assert mail.mails == []


def test_a_mail_server_that_is_not_there_is_tried_again() -> None:
    with smtp_sink() as sink:
        ways = by_mail(sink)
    assert failure(message(), ways).retryable


@pytest.mark.parametrize(
    "ways",
    [
        Ways(smtp_url="http://x", mail_to=("a@example.org",)),
        Ways(smtp_url="smtp://x:notaport", mail_to=("a@example.org",)),
        Ways(webhook_url="file:///etc/passwd"),
        Ways(webhook_url="http://[::1/"),
        Ways(),
    ],
)
def test_settings_that_name_no_place_are_for_a_person_to_mend(ways: Ways) -> None:
    assert not failure(message(), ways).retryable


def test_an_address_with_a_line_end_is_refused(mail: SmtpSink) -> None:
    assert not failure(message(), by_mail(mail, ("a@example.org\r\nBcc: b@example.org",))).retryable
    assert mail.mails == []


@pytest.mark.parametrize(
    ("status", "headers", "retry", "after"),
    [
        (400, {}, False, 0),
        (404, {"Retry-After": "9"}, False, 0),
        (429, {"Retry-After": "120"}, True, 120),
        (503, {}, True, 0),
        (500, {"Retry-After": "99999999999"}, True, 86_400),
        (503, {"Retry-After": "soon"}, True, 0),
    ],
)
def test_the_webhooks_answer_says_whether_and_when_to_try_again(
    hook: JsonHook, status: int, headers: dict[str, str], retry: bool, after: float
) -> None:
    hook.status, hook.headers = status, headers
    error = failure(message(), Ways(webhook_url=hook.url))
    assert (error.retryable, error.retry_after) == (retry, after)
    assert str(status) in str(error)
    assert "SECRET" not in str(error)


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    assert judge(503, {"retry-after": date}, "x", "webhook_url").retry_after == pytest.approx(300, abs=5)
    assert judge(503, {"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, "x", "webhook_url").retry_after == 0


def test_a_redirect_is_not_followed(hook: JsonHook) -> None:
    hook.status, hook.headers = 307, {"Location": "/elsewhere"}
    assert not failure(message(), Ways(webhook_url=hook.url)).retryable
    assert hook.paths == ["/services/SECRET"]


def test_a_webhook_that_is_not_there_is_tried_again_and_its_address_is_not_told(hook: JsonHook) -> None:
    url = hook.url
    hook.server.server_close()
    error = failure(message(), Ways(webhook_url=url))
    assert error.retryable
    assert "SECRET" not in str(error)


def test_one_way_that_is_down_does_not_stop_the_other(mail: SmtpSink, hook: JsonHook) -> None:
    hook.status = 503
    ways = by_mail(mail).model_copy(update={"webhook_url": hook.url})
    assert failure(message(), ways).retryable
    assert len(mail.mails) == 1
    failure(message(channel="notify-webhook"), ways)
    assert len(mail.mails) == 1
    send(message(channel="notify-mail"), ways)
    assert (len(mail.mails), len(hook.bodies)) == (2, 2)


def test_teams_gets_a_card_whose_text_is_no_markdown() -> None:
    posted = body(compose(message(samples="**[x](http://evil.example)**")), "lab.webhook.office.com")
    (block,) = posted["attachments"][0]["content"]["body"]
    assert block["type"] == "RichTextBlock"
    assert "**[x](http://evil.example)**" in block["inlines"][1]["text"]


def test_the_secrets_of_the_ways_are_not_shown() -> None:
    ways = Ways(smtp_url="smtp://u:hunter2@h", mail_to=("a@example.org",), webhook_url="https://h/SECRET")
    assert "hunter2" not in f"{ways!r} {ways}"
    assert "SECRET" not in f"{ways!r} {ways}"

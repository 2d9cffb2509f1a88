"""Notifications to people: what is written for `failed`, `needs-you` and `done`, and the two ways that it goes.

A notice holds ids, sample names, verdicts and the first words of a failure, nothing else of the message: mail and chat
are no places for what is known of patients. The same message sent twice is the same mail (its Message-ID is derived).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labrelay.model.names import printable
from labrelay.model.problem import Frozen
from labrelay.records.delivery import Undeliverable
from labrelay.records.outbox import Message

LONGEST = 400  # characters of one value: more is in the records
_Payload = Mapping[str, Any]


class Ways(Frozen):
    """How people are reached, as the settings name it; secrets in plain text, so it is never logged or stored.

    Attributes:
        smtp_url: `smtp://user:password@host:port` or `smtps://…`.
        mail_from: Sender; needed for mail.
        mail_to: Receivers; none means no mail.
        webhook_url: A Slack or Teams incoming webhook.
        base_url: Where people reach this Labrelay; a last line names it.
    """

    smtp_url: str | None = None
    mail_from: str | None = None
    mail_to: tuple[str, ...] = ()
    webhook_url: str | None = None
    base_url: str | None = None

    def __repr__(self) -> str:
        """Say which ways there are, without their secrets."""
        return f"Ways(mail={self.by_mail}, webhook={self.webhook_url is not None})"

    __str__ = __repr__

    @property
    def by_mail(self) -> bool:
        """Whether there is a mail server and somebody to write to."""
        return self.smtp_url is not None and bool(self.mail_to)


class Notice(Frozen):
    """A notification as people read it: a subject of one line, then lines of plain text without control characters."""

    subject: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def send(message: Message, ways: Ways) -> None:
    """Tell people of a message, by mail and by webhook as far as the settings name them.

    Both ways are tried, whatever becomes of the other. A message of the channel `notify-mail` or `notify-webhook`
    goes that way only, so that a way that is down has nothing told twice on the other.

    Raises:
        Undeliverable: A way did not take it, or the settings name none; `retryable` when one that failed may yet.
    """
    from labrelay.records.notify_mail import send_mail
    from labrelay.records.notify_webhook import send_webhook

    notice = compose(message, ways.base_url)
    tries: list[Callable[[], None]] = []
    if ways.by_mail and message.channel != "notify-webhook":
        tries.append(lambda: send_mail(notice, ways, f"{message.entity_id}-{message.kind}-{message.id}"))
    if ways.webhook_url is not None and message.channel != "notify-mail":
        url = ways.webhook_url
        tries.append(lambda: send_webhook(notice, url))
    if not tries:
        raise Undeliverable("the settings name no way to reach people (smtp_url and mail_to, webhook_url)", retry=False)
    failures = []
    for each in tries:
        try:
            each()
        except Undeliverable as error:
            failures.append(error)
    if failures:
        after = max(error.retry_after for error in failures)
        retry = any(error.retryable for error in failures)
        raise Undeliverable("; ".join(str(error) for error in failures), retry=retry, retry_after=after)


def compose(message: Message, base_url: str | None = None) -> Notice:
    """Return what people read of a message; of its payload only the known names are used.

    Raises:
        Undeliverable: Nobody knows how to write this kind.
    """
    writer = _WRITERS.get(message.kind)
    if writer is None:
        raise Undeliverable(f"there is no notification of kind {printable(message.kind, 40)}", retry=False)
    subject, lines = writer(message.payload)
    where = [] if base_url is None else [f"Labrelay: {printable(base_url)}"]
    return Notice(subject=printable(f"Labrelay: {subject}", 150), lines=(*lines, *where))


def _failed(payload: _Payload) -> tuple[str, list[str]]:
    run = _value(payload, "run")
    return f"{run} failed", [f"The workflow run {run} failed: {_value(payload, 'reason')}", _show(run)]


def _needs_you(payload: _Payload) -> tuple[str, list[str]]:
    label = _value(payload, "label")
    lines = [f"The reads of {label} wait for you: {_value(payload, 'reason')}", "Say whose they are: labrelay assign"]
    return f"{label} needs you", lines


def _done(payload: _Payload) -> tuple[str, list[str]]:
    samples, verdict, run = (_value(payload, name) for name in ("samples", "verdict", "run"))
    judged = "no thresholds are set" if verdict == "none" else f"verdict {verdict}"
    return f"{samples} done, {judged}", [f"The result of {samples} is there ({judged}).", _show(run)]


def _plan_held(payload: _Payload) -> tuple[str, list[str]]:
    plan = _value(payload, "plan")
    return f"{plan} is held", [
        f"The plan {plan} of reruns has stopped: {_value(payload, 'reason')}",
        f"Go on with it: labrelay reprocess --resume {plan}",
    ]


def _plan_done(payload: _Payload) -> tuple[str, list[str]]:
    plan = _value(payload, "plan")
    lines = [
        f"The plan {plan} of reruns has ended: {_value(payload, 'reason')}",
        f"See: labrelay reprocess status {plan}",
    ]
    return f"{plan} has ended", lines


def _trend(payload: _Payload) -> tuple[str, list[str]]:
    label, metric = _value(payload, "label"), _value(payload, "metric")
    lines = [f"{label}: {_value(payload, 'reason')}.", f"See: labrelay trends {metric}"]
    return f"{metric} of {label} is unusual", lines


def _show(run: str) -> str:
    return f"See: labrelay runs show {run}"


def _value(payload: _Payload, name: str) -> str:
    return printable(str(payload.get(name) or "(not said)"), LONGEST)


_WRITERS: dict[str, Callable[[_Payload], tuple[str, list[str]]]] = {
    "failed": _failed,
    "needs-you": _needs_you,
    "done": _done,
    "trend": _trend,
    "plan-held": _plan_held,
    "plan-done": _plan_done,
}

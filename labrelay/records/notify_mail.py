"""Notices by mail: plain text over SMTP, with TLS where the server offers it and never a password without."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from labrelay.model.names import slug
from labrelay.model.words import counted
from labrelay.records.delivery import Undeliverable
from labrelay.records.notify import Notice, Ways

TIMEOUT = 20.0  # seconds without a word from the server


class _Server(NamedTuple):
    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None


def send_mail(notice: Notice, ways: Ways, name: str) -> None:
    """Send a notice to all receivers.

    Args:
        notice: What.
        ways: `smtp_url`, `mail_from` and `mail_to` are used.
        name: What makes the mail this mail; sent again it has the same Message-ID, so mailboxes show it once.

    Raises:
        Undeliverable: The server did not take it for all receivers; `retryable` when it may later.
    """
    server = _server(ways.smtp_url or "")
    mail = _mail(notice, ways, name)
    try:
        with _connection(server) as connection:
            _secure(connection, server)
            refused = connection.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(error.recipients, len(ways.mail_to)) from None
    except smtplib.SMTPResponseException as error:
        text = f"the mail server {server.host} answered {error.smtp_code}"
        raise Undeliverable(text, retry=400 <= error.smtp_code < 500) from None
    except (smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError, UnicodeError) as error:
        text = f"the mail server {server.host} cannot be trusted or cannot send this: {error}"
        raise Undeliverable(text, retry=False) from None
    except OSError as error:  # smtplib's other errors are of this kind too
        reason = error.strerror or type(error).__name__
        raise Undeliverable(
            f"the mail server {server.host} cannot be reached: {reason}", retry=True, down=True
        ) from None
    if refused:
        # Those who got it would get it again with every new try, so this is for a person to mend.
        raise Undeliverable(f"{_refused(refused, len(ways.mail_to))}; the others have it", retry=False)


def _server(url: str) -> _Server:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise Undeliverable("smtp_url is no smtp://host:port or smtps://host:port: mend the setting", retry=False)
    tls = parts.scheme == "smtps"
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return _Server(parts.hostname, port or (465 if tls else 587 if user else 25), tls, user, password)


def _mail(notice: Notice, ways: Ways, name: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP_POLICY)
    try:
        mail["From"] = ways.mail_from or f"labrelay@{socket.gethostname()}"
        mail["To"] = ", ".join(ways.mail_to)
        mail["Subject"] = notice.subject
    except (ValueError, IndexError) as error:  # a line end in an address would be another header
        raise Undeliverable(f"mail_from or mail_to is no address: {error}", retry=False) from None
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{slug(name)}@labrelay.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(notice.text + "\n")
    return mail


def _connect(server: _Server) -> smtplib.SMTP:
    # Named here, because smtplib's own way to the host's full name asks the name service and may hang.
    host = socket.gethostname()
    if server.tls:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, local_hostname=host, timeout=TIMEOUT, context=context)
    return smtplib.SMTP(server.host, server.port, local_hostname=host, timeout=TIMEOUT)


@contextmanager
def _connection(server: _Server) -> Iterator[smtplib.SMTP]:
    """Yield a connection; what the server says to our goodbye changes nothing about the mail that it took."""
    connection = _connect(server)
    try:
        yield connection
    finally:
        with suppress(OSError):
            connection.quit()
        connection.close()


def _secure(connection: smtplib.SMTP, server: _Server) -> None:
    connection.ehlo_or_helo_if_needed()
    if not server.tls and connection.has_extn("starttls"):
        connection.starttls(context=ssl.create_default_context())
        connection.ehlo()
    elif not server.tls and server.user is not None:
        text = f"the mail server {server.host} offers no TLS, and a password is not sent without it: use smtps://"
        raise Undeliverable(text, retry=False)
    if server.user is not None:
        connection.login(server.user, server.password or "")


def _refused(recipients: dict[str, tuple[int, bytes]], count: int) -> Undeliverable:
    temporary = all(400 <= code < 500 for code, _said in recipients.values())
    codes = ", ".join(sorted({str(code) for code, _said in recipients.values()}))
    return Undeliverable(
        f"{len(recipients)} of {counted(count, 'receiver')} of mail refused ({codes})", retry=temporary
    )

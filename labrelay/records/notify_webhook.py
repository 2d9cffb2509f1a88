"""Notices by an incoming webhook of Slack or Teams, as plain text in which nothing is markup, a link or a mention."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from labrelay.records.delivery import Undeliverable, judge
from labrelay.records.notify import Notice

TIMEOUT = 10.0  # seconds for each of connect, write and read
TEAMS_HOSTS = (".webhook.office.com", ".logic.azure.com", ".api.powerplatform.com")


def send_webhook(notice: Notice, url: str) -> None:
    """Post a notice; redirects are not followed, because they would carry it to a host that nobody named.

    Args:
        notice: What.
        url: A secret: it stands in no error and no log.

    Raises:
        Undeliverable: It was not taken; `retryable` after 408, 425, 429, 5xx and when nobody answered.
    """
    host = _host(url)
    try:
        with (
            httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client,
            client.stream("POST", url, json=body(notice, host)) as response,
        ):
            status, headers = response.status_code, response.headers
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Undeliverable(
            f"the webhook at {host} did not answer ({type(error).__name__})", retry=True, down=True
        ) from None
    if not 200 <= status < 300:
        raise judge(status, headers, f"the webhook at {host}", "webhook_url")


def body(notice: Notice, host: str) -> dict[str, Any]:
    """Return what is posted: an adaptive card for Teams' hosts, Slack's message (which many others take) elsewhere."""
    if host.endswith(TEAMS_HOSTS):
        # Text runs are shown as they are; a TextBlock would read Markdown.
        inlines = [{"type": "TextRun", "text": text} for text in (f"{notice.subject}\n", notice.text)]
        card = {"type": "AdaptiveCard", "version": "1.4", "body": [{"type": "RichTextBlock", "inlines": inlines}]}
        content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        return {"type": "message", "attachments": [content]}
    text = escape_slack(f"{notice.subject}\n{notice.text}")
    return {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def escape_slack(text: str) -> str:
    """Return the text with Slack's three control characters escaped, so that `<!channel>` and links are letters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Undeliverable("webhook_url is no https:// address: mend the setting", retry=False)
    return parts.hostname

"""Notices by an incoming webhook of Slack or Teams, as plain text in which nothing is markup, a link or a mention."""

from __future__ import annotations

from typing import Any

from labrelay.records.notify import Notice
from labrelay.records.posting import host_of, post_json

SETTING = "webhook_url"
TEAMS_HOSTS = (".webhook.office.com", ".logic.azure.com", ".api.powerplatform.com")


def send_webhook(notice: Notice, url: str) -> None:
    """Post a notice.

    Args:
        notice: What.
        url: A secret: it stands in no error and no log.

    Raises:
        Undeliverable: It was not taken; see `post_json`.
    """
    post_json(url, body(notice, host_of(url, SETTING)), "the webhook", SETTING)


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

"""How every page is made: a template, its style sheet, and the policy that it stands under.

No script, no request to anywhere: the style sheet is inline under a policy that allows exactly it (by its SHA-256) and
nothing else, figures are inline SVG. The same values give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from labrelay.model.names import printable
from labrelay.model.qc import Verdict
from labrelay.records.documents import call_name, day_and_time, duration_text, number_text, utc_text
from labrelay.records.report.svg import CHART_CSS, DARK, LIGHT, variables
from labrelay.stores.durable import human_bytes

VERDICT_WORDS = {Verdict.PASS: "Pass", Verdict.WARN: "Warning", Verdict.FAIL: "Fail", Verdict.NONE: "Not judged"}


@cache
def _templates() -> Environment:
    """Return the templates; one environment keeps them compiled, which costs more than a page."""
    environment = Environment(
        loader=PackageLoader("labrelay.records.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number_text,
        when=day_and_time,
        iso=utc_text,
        duration=duration_text,
        bytes=human_bytes,
        call=call_name,
        printable=printable,
    )
    return environment


@cache
def _sheet_and_policy(extra: str, pictures: bool) -> tuple[str, str]:
    """Return the style sheet, with one page's own rules behind it, and the policy that allows exactly it.

    A page with pictures has them inside, as `data:` addresses, and may load these.
    """
    sheet = (
        _templates()
        .get_template("report.css.j2")
        .render(light=variables(LIGHT), dark=variables(DARK), charts=CHART_CSS)
    ) + extra
    allowed = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    images = "data:" if pictures else "'none'"
    policy = (
        f"default-src 'none'; style-src 'sha256-{allowed}'; img-src {images}; "
        "script-src 'none'; base-uri 'none'; form-action 'none'"
    )
    return sheet, policy


def render(template: str, extra_css: str = "", /, *, pictures: object = (), **values: object) -> bytes:
    """Return a page of one of the templates here, self-contained; names from outside are escaped.

    Args:
        template: Its file's name.
        extra_css: Rules of this page alone.
        pictures: What the page shows as `data:` addresses, or whether it does: its policy forbids pictures otherwise.
        values: What the template shows.
    """
    sheet, policy = _sheet_and_policy(extra_css, bool(pictures))
    page = _templates().get_template(template)
    return page.render(sheet=sheet, policy=policy, words=VERDICT_WORDS, pictures=pictures, **values).encode()

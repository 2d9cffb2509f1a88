"""A little SVG: escaped text, scales, ticks, and one style sheet that a page and a picture on its own share.

Colours are classes, never style attributes, so that a page's policy can forbid those and dark mode is one set of
variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from labrelay.model.names import printable

WIDTH = 960
LEFT, RIGHT = 56, 16
LIGHT = {
    "ink": "#1b2733", "soft": "#5d6b79", "line": "#d9e0e6", "panel": "#ffffff", "accent": "#2563a8",
    "accent-soft": "#c9ddf2", "bad": "#c22f32", "bad-soft": "#fbdcdb", "warn": "#9a5b13", "good": "#1b7a4b",
    "second": "#b4552d",
}  # fmt: skip
DARK = {
    "ink": "#e8edf2", "soft": "#9fadba", "line": "#33404c", "panel": "#18212a", "accent": "#7db4ee",
    "accent-soft": "#24425f", "bad": "#ff8d88", "bad-soft": "#4a2427", "warn": "#f2b96a", "good": "#6fd3a0",
    "second": "#f0a27b",
}  # fmt: skip
CHART_CSS = """
.chart text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--soft); }
.chart .strong { fill: var(--ink); font-weight: 600; }
.chart .end { text-anchor: end; } .chart .mid { text-anchor: middle; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .axis { stroke: var(--soft); stroke-width: 1; }
.chart .area { fill: var(--accent-soft); } .chart .curve { fill: none; stroke: var(--accent); stroke-width: 1.5; }
.chart .low { fill: var(--bad-soft); } .chart .lowmark { fill: var(--bad); }
.chart .limit { stroke: var(--bad); stroke-width: 1.2; stroke-dasharray: 5 4; }
.chart .limittext { fill: var(--bad); font-weight: 600; stroke: var(--panel); stroke-width: 4px; paint-order: stroke; }
.chart .stem { stroke: var(--accent); stroke-width: 1; stroke-opacity: .45; } .chart .dot { fill: var(--accent); }
.chart .stem2 { stroke: var(--second); stroke-width: 1; stroke-opacity: .6; } .chart .dot2 { fill: var(--second); }
.chart .bar { fill: var(--accent); } .chart .bar2 { fill: var(--second); }
.chart .band { fill: var(--accent-soft); fill-opacity: .45; }
.chart .edge { fill: none; stroke: var(--bad); stroke-width: 1.2; stroke-dasharray: 5 4; }
.chart .middle { fill: none; stroke: var(--soft); stroke-width: 1; }
.chart .outside { fill: var(--bad); stroke: var(--panel); stroke-width: 1.5; }
.chart .shifted { fill: var(--warn); stroke: var(--panel); stroke-width: 1.5; }
.chart .missing { fill: none; stroke: var(--soft); stroke-width: 1.2; }
.chart .gene { fill: var(--accent-soft); stroke: var(--accent); stroke-width: 1; }
.chart .genename { fill: var(--ink); font-size: 11px; }
.chart .shade0 { fill: var(--accent); fill-opacity: 0.12; }
.chart .shade1 { fill: var(--accent); fill-opacity: 0.22; }
.chart .shade2 { fill: var(--accent); fill-opacity: 0.34; }
.chart .shade3 { fill: var(--accent); fill-opacity: 0.46; }
.chart .shade4 { fill: var(--accent); fill-opacity: 0.58; }
.chart .shade5 { fill: var(--accent); fill-opacity: 0.72; }
.chart .shade6 { fill: var(--accent); fill-opacity: 0.86; }
.chart .shade7 { fill: var(--accent); fill-opacity: 1; }
.chart .zero { fill: var(--panel); stroke: var(--accent); stroke-width: 1; }
.chart .unseen { fill: none; stroke: var(--soft); stroke-width: 1; stroke-opacity: .6; stroke-dasharray: 1.5 2.5; }
.chart .blind { fill: var(--panel); stroke: var(--warn); stroke-width: 1; }
.chart .flagmark { stroke: var(--warn); stroke-width: 2.5; }
.chart .blindmark { stroke: var(--warn); stroke-width: 1.2; }
.chart .inwell { fill: var(--ink); font-size: 11px; } .chart .onshade { fill: var(--panel); font-size: 11px; }
.chart .used { fill: var(--accent); } .chart .cached { fill: var(--accent-soft); } .chart .failed { fill: var(--bad); }
"""


@dataclass(frozen=True)
class Figure:
    """A finished figure: file name without suffix, title, one sentence that says what is seen, and its SVG inside."""

    name: str
    title: str
    summary: str
    body: Markup
    height: float
    width: float = WIDTH
    css: str = CHART_CSS

    @property
    def inline(self) -> Markup:
        """The figure for a page that has `CHART_CSS` and the variables."""
        return Markup(
            '<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>'
        ).format(self.summary, num(self.width), num(self.height), num(self.width), num(self.height), self.body)

    @property
    def standalone(self) -> bytes:
        """The figure as an `.svg` file of its own, in light and dark."""
        style = (
            f":root {{ {variables(LIGHT)} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}"
        )
        text = Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {} {}" width="{}" height="{}">'
            "<title>{}</title><desc>{}</desc><style>{}{}</style>"
            '<rect width="100%" height="100%" fill="var(--panel)"/>{}</svg>\n'
        ).format(
            num(self.width), num(self.height), num(self.width), num(self.height), shown(self.title),
            shown(self.summary), style, self.css, self.body,
        )  # fmt: skip
        return str(text).encode()


def variables(colours: dict[str, str]) -> str:
    """Return CSS variables for a set of colours."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def num(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def shown(text: str, limit: int = 200) -> Markup:
    """Return text that XML can hold: control characters as escapes, cut at `limit`."""
    return escape(printable(text, limit))


def text(x: float, y: float, content: str, kind: str = "") -> Markup:
    """Return a text element."""
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(num(x), num(y), kind, shown(content, 60))


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Return a line element."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(num(x1), num(y1), num(x2), num(y2), kind)


def rect(x: float, y: float, width: float, height: float, kind: str, tip: str = "", radius: float = 0) -> Markup:
    """Return a rectangle with a tooltip."""
    title = Markup("<title>{}</title>").format(shown(tip)) if tip else Markup("")
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="{}" class="{}">{}</rect>').format(
        num(x), num(y), num(max(width, 0.5)), num(max(height, 0)), num(radius), kind, title
    )


def join(parts: Sequence[Markup]) -> Markup:
    """Return the parts one after the other."""
    return Markup("").join(parts)


def nice_ticks(top: float, count: int = 5) -> list[float]:
    """Return round ticks from 0 to at most `top`."""
    if top <= 0 or not math.isfinite(top):
        return [0.0]
    raw = top / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    return [step * index for index in range(int(top / step + 1e-9) + 1)]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the linear map from `low`..`high` to `start`..`end`, clamped."""
    span = (high - low) or 1.0
    return lambda value: start + (min(max(value, low), high) - low) / span * (end - start)


def circle(x: float, y: float, radius: float, kind: str, tip: str = "") -> Markup:
    """Return a circle with a tooltip."""
    title = Markup("<title>{}</title>").format(shown(tip)) if tip else Markup("")
    return Markup('<circle cx="{}" cy="{}" r="{}" class="{}">{}</circle>').format(num(x), num(y), radius, kind, title)


def path(points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False) -> Markup:
    """Return a line through the points, closed to an area if asked."""
    steps = " ".join(f"{'L' if place else 'M'}{num(x)} {num(y)}" for place, (x, y) in enumerate(points))
    return Markup('<path d="{}{}" class="{}"/>').format(steps, " Z" if closed else "", kind)


def ticks_between(low: float, high: float, count: int = 5) -> list[float]:
    """Return round ticks within `low`..`high`, which need not begin at 0."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    step = nice_ticks(span, count)[1] if len(nice_ticks(span, count)) > 1 else span
    first = math.ceil(low / step - 1e-9)
    return [step * index for index in range(first, math.floor(high / step + 1e-9) + 1)]

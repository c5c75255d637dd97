"""A value among those before it, as an SVG picture: a tick for each run, what is expected shaded, the value marked.

It holds no style of its own and no script, so it passes a strict content security policy.
"""

import math
from collections.abc import Sequence
from html import escape

from django.utils.safestring import SafeString, mark_safe

from workflow_service.badges import BAD

WIDTH, HEIGHT, MARGIN = 640, 56, 10


def render_strip(values: Sequence[float], low: float, high: float, value: float, title: str) -> SafeString:
    """Return the picture of a value among others, on a scale of factors."""
    places = [math.log1p(max(0.0, each)) for each in (*values, low, high, value)]
    left, reach = min(places), max(max(places) - min(places), 1e-9)

    def x(number: float) -> float:
        share = (math.log1p(max(0.0, number)) - left) / reach
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    ticks = "".join(f"M{x(each)} 16V{HEIGHT - 16}" for each in sorted(set(values)))
    expected = f'x="{x(low)}" y="8" width="{max(2.0, x(high) - x(low)):.1f}" height="{HEIGHT - 16}" rx="3"'
    parts = [
        f'<svg class="wf-interval wf-strip wf-tone-{BAD}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" preserveAspectRatio="none">',
        f'<rect class="wf-strip-expected" {expected}/>',
        f'<path class="wf-strip-tick" d="{ticks}"/>' if ticks else "",
        f'<rect class="wf-bar" x="{x(value) - 2:.1f}" y="4" width="4" height="{HEIGHT - 8}" rx="1"/>',
        "</svg>",
    ]
    return mark_safe("".join(parts))  # noqa: S308 - every text in it is escaped

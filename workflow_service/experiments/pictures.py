"""A confidence sequence as an SVG picture: where the difference may lie, and on which side of nothing.

It holds no style of its own and no script, so it passes a strict content security policy.
"""

from html import escape

from django.utils.safestring import SafeString, mark_safe

from workflow_service.badges import BAD, IDLE, OK
from workflow_service.experiments.evaluation import Effect

WIDTH, HEIGHT, MARGIN = 640, 44, 12
MIDDLE = HEIGHT / 2


def render_interval(effect: Effect, title: str, *, higher_is_better: bool) -> SafeString:
    """Return the picture of an effect; its scale has zero in the middle."""
    reach = max(abs(effect.lower), abs(effect.upper), abs(effect.difference)) or 1.0

    def x(value: float) -> float:
        return round(WIDTH / 2 + value / reach * (WIDTH / 2 - MARGIN), 1)

    left, right = x(effect.lower), x(effect.upper)
    decided = effect.lower > 0 or effect.upper < 0
    tone = IDLE if not decided else OK if (effect.difference > 0) == higher_is_better else BAD
    interval = f'x="{left}" y="{MIDDLE - 8}" width="{max(right - left, 2):.1f}" height="16" rx="3"'
    parts = [
        f'<svg class="wf-interval wf-tone-{tone}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" preserveAspectRatio="none">',
        f'<path class="wf-grid" d="M{MARGIN} {MIDDLE}H{WIDTH - MARGIN}"/>',
        f'<path class="wf-zero" d="M{WIDTH / 2} 4V{HEIGHT - 4}"/>',
        f'<rect class="wf-bar-queued" {interval}/>',
        f'<rect class="wf-bar" x="{x(effect.difference) - 2}" y="{MIDDLE - 12}" width="4" height="24" rx="1"/>',
        "</svg>",
    ]
    return mark_safe("".join(parts))  # noqa: S308 - every text in it is escaped

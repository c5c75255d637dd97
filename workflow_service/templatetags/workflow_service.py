"""How pages show statuses, durations and JSON."""

import json
import math
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflow_service.badges import badge, tone_of
from workflow_service.plurals import counted

register = template.Library()


@register.filter
def status_badge(status: str) -> SafeString:
    """Show a status as a badge."""
    return badge(str(status))


@register.filter
def tone(status: str) -> str:
    """Return the tone of a status, for a class name."""
    return tone_of(str(status))


@register.filter
def words(value: str) -> str:
    """Show a constant as people write it."""
    return str(value).replace("_", " ").capitalize()


@register.filter
def duration(value: timedelta | None) -> str:
    """Show how long something took, in the two largest units that matter; nothing for None."""
    if value is None:
        return ""
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{max(0, round(seconds * 1_000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2])


@register.filter
def milliseconds(value: int | None) -> str:
    """Show a number of milliseconds as a duration; nothing for None."""
    return "" if value is None else duration(timedelta(milliseconds=value))


@register.filter
def percent(share: float | None) -> str:
    """Return a share, 0 to 1, in percent."""
    return "" if share is None else f"{100 * share:.0f} %"


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """Show a time of day with its date, to the second, in UTC; the machine's form is beside it."""
    if value is None:
        return ""
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        value.isoformat(),
        value.strftime("%Y-%m-%d %H:%M:%S"),
        value.strftime("%d %b %H:%M:%S")
        if value.year == timezone.now().year
        else value.strftime("%Y-%m-%d %H:%M"),
    )


@register.filter
def pretty_json(value: Any) -> str:
    """Show a JSON value with its structure."""
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def is_nested(value: Any) -> bool:
    """Say whether a JSON value is an object or a list with something in it."""
    return isinstance(value, dict | list) and bool(value)


@register.filter
def simple_first(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the members of an object: those that are read at a glance before objects and lists."""
    return sorted(values.items(), key=lambda member: is_nested(member[1]))


@register.filter
def plain(value: Any) -> str:
    """Show a simple JSON value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}".replace(",", "\u202f")
    return "—" if value in (None, "", [], {}) else str(value)


@register.filter
def from_now(value: datetime) -> str:
    """Say in words how far a moment is from now: "in 3 hours", "2 days ago"."""
    ahead = (value - timezone.now()).total_seconds()
    if abs(ahead) < 45:
        return "just now"
    return f"in {far(abs(ahead))}" if ahead > 0 else f"{far(-ahead)} ago"


def far(seconds: float) -> str:
    """Return a distance in time in its largest unit: minutes under 90, hours under 36, else days."""
    for unit, length, most in (("minute", 60, 90), ("hour", 3_600, 36), ("day", 86_400, math.inf)):
        number = max(1, round(seconds / length))
        if number < most:
            return counted(number, unit)
    raise AssertionError


@register.filter
def due(value: datetime) -> SafeString:
    """Say in words when something is due, or for how long it has been; the page keeps it current."""
    ahead = (value - timezone.now()).total_seconds()
    words = f"due in {far(ahead)}" if ahead > 0 else f"overdue by {far(-ahead)}"
    return format_html(
        '<time class="{}" datetime="{}" title="{} UTC" data-due>{}</time>',
        "" if ahead > 0 else "wf-overdue",
        value.isoformat(),
        value.strftime("%Y-%m-%d %H:%M:%S"),
        words,
    )


@register.filter
def ago(value: datetime | None) -> SafeString | str:
    """Say in words how long ago something was; the exact time is beside it."""
    if value is None:
        return ""
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        value.isoformat(),
        value.strftime("%Y-%m-%d %H:%M:%S"),
        from_now(value),
    )

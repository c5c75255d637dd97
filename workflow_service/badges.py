"""How a status looks: its tone (a colour of the style sheet), its glyph and its words, the same on every page."""

from collections.abc import Mapping

from django.utils.html import format_html
from django.utils.safestring import SafeString

OK, BAD, BUSY, WAIT, IDLE, OFF = "ok", "bad", "busy", "wait", "idle", "off"

# Templates, executions, blocks and approvals share these words; where they mean the same they look the same.
TONES: Mapping[str, str] = {
    "STARTING": BUSY,
    "RUNNING": BUSY,
    "RECOVERING": BUSY,
    "RETRYING": WAIT,
    "WAITING": WAIT,
    "WAITING_FOR_APPROVAL": WAIT,
    "PAUSED": WAIT,
    "READY": IDLE,
    "QUEUED": IDLE,
    "PENDING": IDLE,
    "COMPLETED": OK,
    "APPROVED": OK,
    "FAILED": BAD,
    "REJECTED": BAD,
    "SKIPPED": OFF,
    "CANCELLED": OFF,
    "EXPIRED": OFF,
    "HEALTHY": OK,
    "DEGRADED": WAIT,
    "UNHEALTHY": BAD,
    "UNKNOWN": IDLE,
    "DISABLED": OFF,
    "RESERVED": IDLE,
    "CALLED": BUSY,
    "SETTLED": OK,
    "CACHED": OK,
    "ASSUMED": WAIT,
    "RELEASED": OFF,
    "success": OK,
    "denied": WAIT,
    "failure": BAD,
    "draft": IDLE,
    "active": OK,
    "deprecated": WAIT,
    "archived": OFF,
    "running": BUSY,
    "stopped": OFF,
    "rolled_back": BAD,
    "suggested": WAIT,
    "accepted": BUSY,
    "implemented": BUSY,
    "measured": OK,
    "rejected": OFF,
    "outdated": OFF,
    "added": OK,
    "removed": BAD,
    "changed": WAIT,
}

GLYPHS: Mapping[str, str] = {
    "STARTING": "▶",
    "RUNNING": "▶",
    "RECOVERING": "↻",
    "RETRYING": "↻",
    "WAITING": "?",
    "WAITING_FOR_APPROVAL": "?",
    "PAUSED": "‖",
    "READY": "○",
    "QUEUED": "○",
    "PENDING": "·",
    "COMPLETED": "✓",
    "APPROVED": "✓",
    "FAILED": "✕",
    "REJECTED": "✕",
    "SKIPPED": "»",
    "CANCELLED": "■",
    "EXPIRED": "■",
    "HEALTHY": "✓",
    "DEGRADED": "!",
    "UNHEALTHY": "✕",
    "UNKNOWN": "?",
    "DISABLED": "■",
    "RESERVED": "○",
    "CALLED": "▶",
    "SETTLED": "✓",
    "CACHED": "↻",
    "ASSUMED": "?",
    "RELEASED": "»",
    "success": "✓",
    "denied": "!",
    "failure": "✕",
    "draft": "✎",
    "active": "✓",
    "deprecated": "!",
    "archived": "■",
    "running": "▶",
    "stopped": "■",
    "rolled_back": "↶",
    "suggested": "?",
    "accepted": "▶",
    "implemented": "▶",
    "measured": "✓",
    "rejected": "✕",
    "outdated": "»",
    "added": "+",
    "removed": "✕",
    "changed": "~",
}


def tone_of(status: str) -> str:
    """Return the tone of a status."""
    return TONES.get(status, IDLE)


def badge(status: str, *, tone: str | None = None, words: str | None = None) -> SafeString:
    """Return a status as a badge."""
    shown = words or status.replace("_", " ").capitalize()
    return format_html(
        '<span class="wf-badge wf-tone-{}"><span class="wf-badge-glyph" aria-hidden="true">{}</span>{}</span>',
        tone or tone_of(status),
        GLYPHS.get(status, "·"),
        shown,
    )

"""Semantic version labels: how one is written, and which follows which."""

import re
from enum import StrEnum

from templates_app.errors import TemplateBodyInvalid
from workflow_service.engine.errors import Problem

SEMVER = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII)
FIRST_VERSION = "1.0.0"


class Bump(StrEnum):
    """Which part of a label rises."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


def next_label(current: str, wanted: str | None = None, bump: Bump | None = None) -> str:
    """Return the label after ``current``: the wanted one, else the next by ``bump`` (minor where none is given).

    Raises ``TemplateBodyInvalid`` for one that is not above ``current``. A version read and sent back names no other.
    """
    if wanted is None or wanted == current:
        return _bumped(current, bump or Bump.MINOR)
    if _parts(wanted) <= _parts(current):
        message = f"'{wanted}' is not above the current version '{current}'"
        raise TemplateBodyInvalid(
            message, [Problem("VERSION_NOT_ABOVE", message, "/version", "leave it out")]
        )
    return wanted


def _bumped(label: str, bump: Bump) -> str:
    major, minor, patch = _parts(label)
    match bump:
        case Bump.MAJOR:
            return f"{major + 1}.0.0"
        case Bump.MINOR:
            return f"{major}.{minor + 1}.0"
        case Bump.PATCH:
            return f"{major}.{minor}.{patch + 1}"


def _parts(label: str) -> tuple[int, int, int]:
    match = SEMVER.fullmatch(label)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)

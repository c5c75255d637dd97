"""The settings as people read them: the table of the documentation, and what is in force with secrets masked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from workflow_service.settings.config import PROJECT_ROOT, Config

MASK = "********"
# Ends of names, longest first.
_UNITS = {
    "_per_15_min": "per 15 minutes",
    "_bytes": "bytes",
    "_per_day": "per day",
    "_per_h": "per hour",
    "_ms": "milliseconds",
    "_s": "seconds",
}
_USER_INFO = re.compile(r"(?<=://)[^/\s]+(?=@)")


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """One setting: its name in the environment, its default as one would write it there, and what it is for."""

    name: str
    default: str
    unit: str
    description: str


def describe_settings() -> Iterator[SettingEntry]:
    """Yield every setting in the order it is declared."""
    for name, field in Config.model_fields.items():
        default = "" if field.default is PydanticUndefined else _written(field.default)
        unit = next((text for end, text in _UNITS.items() if name.endswith(end)), "")
        yield SettingEntry(name.upper(), default, unit, field.description or "")


def render_table() -> str:
    """Return the settings as the Markdown table of the documentation."""
    lines = ["| Name | Default | Unit | What it is |", "|---|---|---|---|"]
    lines += [
        f"| `{entry.name}` | {f'`{entry.default}`' if entry.default else ''} | {entry.unit} | {entry.description} |"
        for entry in describe_settings()
    ]
    return "\n".join(lines) + "\n"


def effective_settings(config: Config) -> Iterator[tuple[str, str]]:
    """Yield every setting with the value in force; secrets, and credentials in URLs, are masked."""
    for name in Config.model_fields:
        yield name.upper(), mask(getattr(config, name))


def mask(value: Any) -> str:
    """Return a setting's value as it may be shown to anybody."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return _USER_INFO.sub(MASK, _written(value))


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        inside = value.is_relative_to(PROJECT_ROOT)
        return str(value.relative_to(PROJECT_ROOT)) if inside else str(value)
    if isinstance(value, tuple):
        # As JSON a secret inside of a setting is stars too.
        return ",".join(
            one.model_dump_json(by_alias=True) if isinstance(one, BaseModel) else str(one) for one in value
        )
    return str(value)

"""The form from which a run is started: fields made from the template's input schema, and the options of a start.

They are the API's options, read by the API's own shape, so that the form takes what the API takes and nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pydantic import JsonValue

from executions_app.api.serializers import StartOptions
from workflow_service.engine.definition import MAX_RUN_TIMEOUT_MS, JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.states import Priority
from workflow_service.schema_forms import (
    FormField,
    FormUnreadable,
    form_fields,
    problems_by_field,
    read_object,
)

INPUT = "input"
MINUTE_MS = 60_000
ANYTHING: JsonObject = {
    "type": "object",
    "description": "A JSON object: what the run is to work on.",
}
RECOVERY = {
    "": "As the template says",
    "true": "Ask a person about every block that fails for good",
    "false": "Retry, and no more",
}
CHANNELS = {"email": "E-mail", "in_app": "In the admin", "webhook": "Webhooks of the workspace"}
_MINUTES = re.compile(r"\d{1,9}(\.\d{1,4})?", re.ASCII)


class StartUnreadable(ValueError):
    """What was typed makes no start; ``problems`` are by field name, ``""`` for those of none."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Fields that belong together: those of an object within the input under its name, or some without one."""

    label: str
    fields: tuple[FormField, ...]


@dataclass(frozen=True, slots=True)
class OptionsShown:
    """What is chosen of a start's options, as it is shown."""

    priority: str = Priority.NORMAL
    minutes: str = ""
    recovery: str = ""
    without_models: bool = False
    on_complete: bool = False
    on_error: bool = False
    channels: tuple[str, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_touched(self) -> bool:
        """Whether anything but the priority is said, so that the page shows it."""
        told = self.on_complete or self.on_error
        return bool(self.minutes or self.recovery or self.without_models or told or self.problems)


@dataclass(frozen=True, slots=True)
class StartForm:
    """A form of one version's input. ``present`` is the input of the run that is run again, where there is one.

    ``as_json``: the input is one text, which a schema that has no fields is in any case.
    """

    schema: JsonObject | None
    present: JsonObject | None = None
    as_json: bool = False

    @property
    def asked(self) -> JsonObject:
        """Return the schema that the fields are made from."""
        schema = self.schema
        if schema is None or self.as_json or not schema.get("properties"):
            return ANYTHING
        return schema if "type" in schema else {**schema, "type": "object"}

    @property
    def has_fields(self) -> bool:
        """Whether the schema can be shown as fields, rather than as one text."""
        fields = StartForm(self.schema).groups({}, {})
        return [one.name for group in fields for one in group.fields] != [INPUT]

    def groups(self, typed: Mapping[str, str], problems: Mapping[str, str]) -> list[FieldGroup]:
        """Return the fields of the input with what was typed into them, and what is wrong with it."""
        fields = form_fields(self.asked, typed, problems, name=INPUT, label="Input", present=self.present)
        return [FieldGroup(label, tuple(some)) for label, some in groupby(fields, key=lambda one: one.group)]

    def read_input(self, typed: Mapping[str, str]) -> JsonObject:
        """Return the input that was typed; raises ``StartUnreadable``."""
        try:
            return read_object(self.asked, typed, name=INPUT, present=self.present)
        except FormUnreadable as error:
            raise StartUnreadable(error.problems) from error

    def problems_of(self, problems: tuple[Problem, ...]) -> dict[str, str]:
        """Return what the service found wrong by field: of the input, of the options, and of neither."""
        inside = [
            Problem(one.code, one.message, one.pointer.removeprefix("/input"))
            for one in problems
            if (one.pointer + "/").startswith("/input/")
        ]
        found = problems_by_field(self.asked, inside, name=INPUT, present=self.present)
        for one in problems:
            if not (one.pointer + "/").startswith("/input/"):
                name = {"/options/timeout": "minutes", "/options/priority": "priority"}.get(one.pointer, "")
                found[name] = "; ".join(filter(None, (found.get(name, ""), one.message)))
        return found


def shown_options(typed: Any = None, problems: Mapping[str, str] | None = None) -> OptionsShown:
    """Return the options as they were typed (a ``QueryDict``), or as they are before that."""
    if typed is None:
        return OptionsShown()
    return OptionsShown(
        priority=typed.get("priority", ""),
        minutes=typed.get("minutes", "").strip()[:20],
        recovery=typed.get("recovery", ""),
        without_models="without_models" in typed,
        on_complete="on_complete" in typed,
        on_error="on_error" in typed,
        channels=tuple(typed.getlist("channel")),
        problems={
            name: text
            for name, text in (problems or {}).items()
            if name in ("minutes", "recovery", "channel")
        },
    )


def options_of_run(options: Mapping[str, JsonValue]) -> OptionsShown:
    """Return the options that a run was started with, so that it is run again with them."""
    told = options.get("notifications")
    told = told if isinstance(told, dict) else {}
    timeout, recovery = options.get("timeout"), options.get("enableAutoRecovery")
    channels = told.get("channels")
    return OptionsShown(
        priority=str(options.get("priority") or Priority.NORMAL),
        minutes=f"{timeout / MINUTE_MS:.4f}".rstrip("0").rstrip(".") if isinstance(timeout, int) else "",
        recovery="" if recovery is None else str(recovery).lower(),
        without_models=options.get("enableAiDecisions") is False,
        on_complete=bool(told.get("onComplete")),
        on_error=bool(told.get("onError")),
        channels=tuple(map(str, channels)) if isinstance(channels, list) else (),
    )


def read_options(shown: OptionsShown) -> dict[str, Any]:
    """Return a start's options, as the API's shape reads them; raises ``StartUnreadable``."""
    given: dict[str, Any] = {}
    if shown.priority:
        given["priority"] = shown.priority
    if shown.minutes:
        given["timeout"] = _milliseconds(shown.minutes)
    if shown.recovery:
        given["enableAutoRecovery"] = shown.recovery
    if shown.without_models:
        given["enableAiDecisions"] = False
    if shown.on_complete or shown.on_error:
        told: dict[str, Any] = {"onComplete": shown.on_complete, "onError": shown.on_error}
        if shown.channels:
            told["channels"] = list(shown.channels)
        given["notifications"] = told
    options = StartOptions(data=given)
    if not options.is_valid():
        names = {"priority": "priority", "timeout": "minutes", "enableAutoRecovery": "recovery"}
        raise StartUnreadable(
            {
                names.get(name, "channel"): " ".join(map(str, errors))
                for name, errors in options.errors.items()
            }
        )
    return dict(StartOptions(options.validated_data).data)


def _milliseconds(minutes: str) -> int:
    found = _MINUTES.fullmatch(minutes)
    milliseconds = round(float(minutes) * MINUTE_MS) if found else 0
    if not 1 <= milliseconds <= MAX_RUN_TIMEOUT_MS:
        most = MAX_RUN_TIMEOUT_MS // MINUTE_MS
        raise StartUnreadable({"minutes": f"must be a number of minutes, of at most {most}"})
    return milliseconds

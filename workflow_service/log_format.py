"""How a process's log lines look: one line of text each, or one JSON object each (``LOG_FORMAT=json``).

A record may carry an ``event_name`` and fields (``extra=``). As JSON the name is its ``event`` and the text its
``message``, so that machines go by names and people read sentences.
"""

from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name


def name_event(logger: Any, method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let a record's ``event_name`` be its event, and its text its message."""
    message = record["event"]
    record["event"] = record.pop("event_name", message)
    record["message"] = message
    return record


def json_formatter() -> ProcessorFormatter:
    """Return the formatter that writes a record with its fields as one JSON object."""
    return ProcessorFormatter(
        foreign_pre_chain=[
            add_log_level,
            add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            ExtraAdder(),
            name_event,
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
    )

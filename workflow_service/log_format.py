"""How a process's log lines look: one line of text each, or one JSON object each (``LOG_FORMAT=json``).

A record may carry an ``event_name`` and fields (``extra=``). As JSON the name is its ``event`` and the text its
``message``, so that machines go by names and people read sentences.

The values of secrets that a worker has in use never leave this module either.

The address that an agent calls back at is a right to use it, and frameworks log the address of what goes wrong: a
callback's token never leaves this module in the clear, wherever in a line it stands.
"""

import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name

from workflow_service.vault.redaction import redact_log

# Which block and try it is for is no secret.
_CALLBACK_TOKEN = re.compile(r"\b(cb_\d{1,18}_\d{1,6})_[\w-]{43}", re.ASCII)


def mask_tokens(text: str) -> str:
    """Return ``text`` with what is secret in the tokens of callbacks left out."""
    return _CALLBACK_TOKEN.sub(r"\1_***", text)


class PlainFormatter(logging.Formatter):
    """Writes a record as one line of text, and its traceback behind it.

    The level reads as in document A (section 17.3): ``WARN``, and the message right behind it.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s [%(levelname)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno == logging.WARNING:
            # A copy: to other handlers the record is to be what it was.
            record = logging.makeLogRecord(vars(record) | {"levelname": "WARN"})
        return redact_log(mask_tokens(super().format(record)))


class JsonFormatter(ProcessorFormatter):
    """Writes a record with its fields as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_log(mask_tokens(super().format(record)))


def name_event(logger: Any, method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let a record's ``event_name`` be its event, and its text its message."""
    message = record["event"]
    record["event"] = record.pop("event_name", message)
    record["message"] = message
    return record


def json_formatter() -> ProcessorFormatter:
    """Return the formatter that writes a record with its fields as one JSON object."""
    return JsonFormatter(
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

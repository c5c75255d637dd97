"""No line of a process's log gives away what an agent may call back with."""

import json
import logging
import sys
from typing import Any

import pytest
from django.conf import settings

from workflow_service.log_format import PlainFormatter, json_formatter, mask_tokens

TOKEN = "cb_42_1_" + "aB3-_" * 8 + "xyz"
PATH = f"/api/v1/callbacks/{TOKEN}"


def record(message: str, *arguments: Any, **fields: Any) -> logging.LogRecord:
    try:
        raise RuntimeError(f"no luck at {PATH}")
    except RuntimeError:
        broken = sys.exc_info()
    made = logging.LogRecord("django.request", logging.ERROR, __file__, 1, message, arguments, broken)
    vars(made).update(fields)
    return made


@pytest.mark.parametrize("formatter", [PlainFormatter(), json_formatter()])
def test_the_token_of_a_callback_is_in_no_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("%s: %s", "Gone", PATH, request=f"<WSGIRequest: POST '{PATH}'>"))
    assert TOKEN[8:] not in line
    assert line.count("/api/v1/callbacks/cb_42_1_***") >= 2, "which block it was for is told"


@pytest.mark.parametrize(
    ("level", "name"), [(logging.INFO, "INFO"), (logging.WARNING, "WARN"), (logging.ERROR, "ERROR")]
)
def test_a_plain_line_has_the_message_right_behind_the_level(level: int, name: str) -> None:
    made = logging.LogRecord("a.logger", level, __file__, 1, "%s rows", (3,), None)
    assert PlainFormatter().format(made).endswith(f" a.logger [{name}] 3 rows")
    assert made.levelname == logging.getLevelName(level), "other handlers read the record, too"


def test_what_only_looks_like_a_token_stays() -> None:
    for text in ("cb_42_1_short", "exec_42_1_" + "a" * 43, "cb_x_1_" + "a" * 43):
        assert mask_tokens(text) == text
    assert json.loads(mask_tokens(json.dumps({"path": PATH}))) == {"path": "/api/v1/callbacks/cb_42_1_***"}


def test_both_formats_of_the_settings_mask() -> None:
    formatters: Any = settings.LOGGING["formatters"]
    assert formatters["plain"]["()"] == "workflow_service.log_format.PlainFormatter"
    assert formatters["json"]["()"] == "workflow_service.log_format.json_formatter"

"""The language's page for users says what is so: its workflows are valid, its messages are the real ones."""

import re
from pathlib import Path

import pytest

from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.errors import ExpressionError, InvalidDefinition
from workflow_service.engine.expression_compiler import LAZY_FUNCTIONS
from workflow_service.engine.expressions import ValuesScope, compile_condition
from workflow_service.engine.operators import FUNCTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "dsl.md").read_text(encoding="utf-8")
WORKFLOWS = re.findall(r"^```wf\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FORMS = re.findall(r"^\| `([^`]+;)` \| [^`]", PAGE, re.MULTILINE)
MESSAGES = re.findall(r"^\| `([^`]+)` \| `(line [^`]+)` \|$", PAGE, re.MULTILINE)
RUN_MESSAGES = re.findall(r"^\| `([^`]+)` \| `([^`]+ at column [^`]+)` \|$", PAGE, re.MULTILINE)


def test_the_page_holds_what_is_tested_here() -> None:
    assert [len(found) for found in (WORKFLOWS, FORMS, MESSAGES, RUN_MESSAGES)] == [6, 10, 14, 4]


@pytest.mark.parametrize("text", WORKFLOWS + FORMS)
def test_a_workflow_on_the_page_is_in_the_language(text: str) -> None:
    definition = parse_dsl(text)
    assert parse_dsl(render_dsl(definition), states_of(definition)) == definition


@pytest.mark.parametrize(("text", "message"), MESSAGES)
def test_a_message_on_the_page_is_the_real_one(text: str, message: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_dsl(text)
    assert caught.value.message == message


@pytest.mark.parametrize(("condition", "message"), RUN_MESSAGES)
def test_a_run_s_message_on_the_page_is_the_real_one(condition: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_condition(condition).evaluate(ValuesScope({"order": {"total": 3}, "count": 1, "ok": True}))
    assert caught.value.message == message


def test_every_function_is_on_the_page() -> None:
    for name in FUNCTIONS.keys() | LAZY_FUNCTIONS:
        assert f"`{name}(" in PAGE

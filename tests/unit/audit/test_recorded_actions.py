"""What is recorded and what the documentation says of it are one list."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from workflow_service.audit.actions import ACTIONS, actions_table

ROOT = Path(__file__).parents[3]
PACKAGES = ("workflow_service", "templates_app", "executions_app", "approvals_app")
# Where the action is an argument, and which one: the first text that looks like one.
RECORDERS = re.compile(r"_?(record|statement)\w*|recorded|_create|_change")
ACTION = re.compile(r"[a-z_]+\.[a-z_]+")
# Pages whose actions are made of their noun, and commands of theirs.
OF_PAGES = ("create", "change", "delete")
OF_BLOCKS = {"block.retry", "block.skip", "block.reassign"}
# What Django's pages never do: messages are made by the service alone.
NEVER = {"message.create", "message.change"}


def recorded() -> Iterator[str]:
    """Yield every action that the code records."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if "record" in text:
                yield from _in_module(ast.parse(text))


def _in_module(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = [*node.args, *(each.value for each in node.keywords if each.arg == "recorded_as")]
            texts = [each.value for each in given if isinstance(each, ast.Constant)]
            if RECORDERS.fullmatch(name):
                yield from (text for text in texts if isinstance(text, str) and ACTION.fullmatch(text))
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "recorded_as":
            assert isinstance(node.value, ast.Constant)
            noun = str(node.value.value)
            yield from (f"{noun}.{verb}" for verb in OF_PAGES)


def test_every_action_is_listed_and_every_listed_action_is_recorded() -> None:
    assert (set(recorded()) | OF_BLOCKS) - NEVER == set(ACTIONS)


def test_the_documentation_lists_them() -> None:
    page = (ROOT / "docs" / "audit.md").read_text()
    table = page.partition("<!-- actions -->\n")[2].partition("<!-- /actions -->")[0]
    assert table == actions_table()

"""Workflows written down as edges, for tests of the plan and of the rule.

``"a->b:x==1; a->c:else; a!->d; [b,c]->e; e->end"``: the edges of the DSL, without its checks, so that these
tests depend on definitions alone and can also write down what the DSL refuses.
"""

import re
from collections.abc import Mapping
from typing import Any

from workflow_service.engine.definition import Definition
from workflow_service.engine.plan import Plan, compile_plan

NAME = r"\[[\w,]+\]|\w+"
EDGE = re.compile(rf"({NAME})(!?->)({NAME})(?::(.+))?")


def workflow(
    edges: str, *, alone: str = "", gates: Mapping[str, Any] | None = None, **options: Any
) -> Definition:
    """Return the definition of ``edges``; ``options`` are fields of blocks by id, ``gates`` of gates by name.

    ``alone`` are the ids of blocks that no edge names. Every block is a NOOP unless its options say
    otherwise.
    """
    blocks: dict[str, dict[str, Any]] = {}
    joins: dict[str, dict[str, Any]] = {}
    end_dependencies: list[str] = []

    def block(name: str) -> dict[str, Any]:
        return blocks.setdefault(
            name, {"block_id": name, "tool_type": "NOOP", "dependencies": [], "on_error": [], "branches": []}
        )

    def source(name: str) -> dict[str, Any]:
        if not name.startswith("["):
            return block(name)
        members = sorted(name.strip("[]").split(","))
        for member in members:
            block(member)
        return joins.setdefault(
            f"[{','.join(members)}]", {"sources": members, "next_blocks": [], "branches": []}
        )

    for text in filter(None, (line.strip() for line in edges.split(";"))):
        match = EDGE.fullmatch(text)
        assert match, text
        left, arrow, right, condition = match.groups()
        targets = right.strip("[]").split(",")
        if left != "start":
            source(left)
        for target in targets:
            if target != "end":
                block(target)
        if left == "start":
            for target in targets:
                block(target)["dependencies"].append("start")
        elif condition is not None:
            source(left)["branches"].append(_branch(condition, targets))
        elif arrow == "!->":
            block(left)["on_error"] += targets
        elif left.startswith("["):
            source(left)["next_blocks"] += targets
        else:
            for target in targets:
                if target == "end":
                    end_dependencies.append(left)
                else:
                    block(target)["dependencies"].append(left)
    for name in alone.split():
        block(name)
    return Definition.model_validate(
        {
            "blocks": [_finished(each, options.get(name, {})) for name, each in blocks.items()],
            "gates": [{**each, **(gates or {}).get(name, {})} for name, each in joins.items()],
            "end_dependencies": end_dependencies,
        }
    )


def planned(edges: str, **options: Any) -> Plan:
    """Return the plan of ``workflow(edges, **options)``."""
    return compile_plan(workflow(edges, **options))


def _branch(condition: str, targets: list[str]) -> dict[str, Any]:
    if condition == "else":
        return {"next_blocks": targets}
    kind = "question" if condition.startswith('"') else "condition"
    return {kind: condition.strip('"'), "next_blocks": targets}


def _finished(block: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``block`` with its branches in their place; ``mode`` and ``guard`` are options too."""
    extra = dict(options)
    conditions = {
        "type": extra.pop("mode", "exclusive"),
        "expression": extra.pop("guard", None),
        "branches": block["branches"],
    }
    return {
        **{key: value for key, value in block.items() if key != "branches"},
        "conditions": conditions,
        **extra,
    }

"""The DSL, a second spelling of the definition: ``parse_dsl``, ``render_dsl``, ``states_of``.

The text says the graph; what else a block carries (tool, configuration, timeout, ...) travels beside it as
states, by block id. For every definition ``d`` whose edges lead to its own blocks,
``parse_dsl(render_dsl(d), states_of(d), d.global_settings, d.input_schema) == d``.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workflow_service.engine.definition import (
    END,
    START,
    Branch,
    Definition,
    Gate,
    GlobalSettings,
    JsonObject,
)
from workflow_service.engine.documents import Document, invalid_definition, load_definition
from workflow_service.engine.dsl_graph import FALLBACK, QUOTED, DslGraph
from workflow_service.engine.dsl_syntax import read_transitions, syntax_error
from workflow_service.engine.errors import ExpressionError, InvalidDefinition, Problem
from workflow_service.engine.expressions import compile_condition
from workflow_service.engine.operators import kind_of

MAX_BYTES = 1_000_000
MAX_MARKS = 100_000

_PLAIN_CONDITION = re.compile(r"""(?:[^;#"'`\r]|"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')+""")


def parse_dsl(
    text: str,
    states: Mapping[str, Any] | None = None,
    global_settings: GlobalSettings | JsonObject | None = None,
    input_schema: JsonObject | None = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> Definition:
    """Return the definition that ``text`` and ``states`` spell.

    ``states`` holds, by block id, what the text does not say (document A's fields of a block, or document B's
    of a state); a join is found under its list, ``"[a,b]"``. Blocks come in the order of ``states`` if it
    names them all, else as the text first names them. Raises ``DslSyntaxError`` for text that cannot be read,
    and ``InvalidDefinition`` with a problem for every condition, name or state that is wrong.
    """
    check_text(text, max_bytes)
    graph = DslGraph()
    for transition in read_transitions(text):
        graph.add(transition)
    document = graph.document({} if states is None else states)
    if isinstance(global_settings, GlobalSettings):
        document["globalSettings"] = global_settings.model_dump(mode="json")
    elif global_settings is not None:
        document["globalSettings"] = global_settings
    if input_schema is not None:
        document["inputSchema"] = input_schema
    try:
        return load_definition(document)
    except InvalidDefinition as error:
        raise invalid_definition([in_states(problem, document) for problem in error.problems]) from None


def check_text(text: Any, max_bytes: int) -> None:
    """Raise ``DslSyntaxError`` for what is no text, or too large a one, to be read at all."""
    if not isinstance(text, str):
        raise syntax_error(f"the workflow must be a text, not {kind_of(text)}", "", 1, 1)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise syntax_error("the text is not valid Unicode", "", 1, 1) from None
    if size > max_bytes:
        raise syntax_error(f"the text has {size:,} bytes; at most {max_bytes:,} are read", "", 1, 1)
    if sum(text.count(mark) for mark in ("->", ";", ",")) > MAX_MARKS:
        raise syntax_error(f"the text has more than {MAX_MARKS:,} arrows, semicolons and commas", "", 1, 1)


def in_states(problem: Problem, document: Document) -> Problem:
    """Return ``problem`` with a pointer into the states it came from, not into the document made of them."""
    match = re.match(r"/(blocks|gates)/(\d+)(/.*)?", problem.pointer)
    if match is None:
        return problem
    kind, index, rest = match.groups()
    item = document[kind][int(index)]
    owner = item["blockId"] if kind == "blocks" else f"[{','.join(item['sources'])}]"
    return replace(problem, pointer=f"/states/{owner}{rest or ''}")


def render_dsl(definition: Definition) -> str:
    """Return the text of the definition's graph, one transition a line.

    A condition that does not compile (a draft's) is written between backticks, to be taken as it is.
    """
    successors: dict[str, list[str]] = {}
    for block in definition.blocks:
        for name in block.dependencies:
            successors.setdefault(name, []).append(block.block_id)
    for name in definition.end_dependencies:
        successors.setdefault(name, []).append(END)
    targeted = definition.edge_targets()
    starts = [
        block.block_id
        for block in definition.blocks
        if START in block.dependencies or not (block.dependencies or block.block_id in targeted)
    ]
    lines = [_line(START, "->", starts)] if starts else []
    successors.pop(START, None)
    gates_after = _gates_by_last_source(definition)
    for block in definition.blocks:
        name = block.block_id
        lines += _exits(name, block.conditions.branches, successors.pop(name, []))
        if block.on_error:
            lines.append(_line(name, "!->", block.on_error))
        for gate in gates_after.get(name, []):
            lines += _exits(gate.name, gate.branches, gate.next_blocks)
    for name, targets in successors.items():
        lines.append(_line(name, "->", targets))
    return "\n".join(lines) + "\n"


def _gates_by_last_source(definition: Definition) -> dict[str, list[Gate]]:
    order = {block.block_id: index for index, block in enumerate(definition.blocks)}
    found: dict[str, list[Gate]] = {}
    for gate in definition.gates:
        last = max(gate.sources, key=lambda name: order.get(name, -1))
        found.setdefault(last if last in order else definition.blocks[-1].block_id, []).append(gate)
    return found


def _exits(source: str, branches: Iterable[Branch], plain: Sequence[str]) -> list[str]:
    lines = [_line(source, "->", branch.next_blocks, f":{_condition(branch)}") for branch in branches]
    return [*lines, _line(source, "->", plain)] if plain else lines


def _line(source: str, arrow: str, targets: Sequence[str], condition: str = "") -> str:
    target = targets[0] if len(targets) == 1 else f"[{','.join(targets)}]"
    return f"{source}{arrow}{target}{condition};"


def _condition(branch: Branch) -> str:
    if branch.question is not None:
        question = json.dumps(branch.question, ensure_ascii=False)
        return (
            question if branch.expression is None else f"{question} {FALLBACK} {_source(branch.expression)}"
        )
    return "else" if branch.condition is None else _source(branch.condition)


def _source(condition: str) -> str:
    if _PLAIN_CONDITION.fullmatch(condition) and not QUOTED.fullmatch(condition):
        try:
            compile_condition(condition)
        except ExpressionError:
            pass
        else:
            return condition
    return "`" + json.dumps(condition, ensure_ascii=False)[1:-1].replace("`", "\\u0060") + "`"


def states_of(definition: Definition) -> dict[str, JsonObject]:
    """Return what the DSL does not say, in document A's spelling: by block id, for a join under ``[a,b]``.

    Every block has an entry, in the definition's order; a join only if it computes something.
    """
    states: dict[str, JsonObject] = {}
    for block in definition.blocks:
        state = block.model_dump(
            mode="json",
            by_alias=True,
            exclude_defaults=True,
            exclude={"block_id": True, "dependencies": True, "on_error": True, "conditions": {"branches"}},
        )
        if not state.get("conditions", True):
            del state["conditions"]
        states[block.block_id] = state
    for gate in definition.gates:
        if gate.set:
            states[gate.name] = {"set": dict(gate.set)}
    return states

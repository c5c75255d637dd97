"""Random workflows without loops, and how their blocks end: everything the rule has to deal with, mixed."""

from random import Random
from typing import Any

from tests.unit.engine.memory_run import Finish
from workflow_service.engine.decide import Verdict
from workflow_service.engine.definition import Definition

CONDITIONS = ("x == 0", "x == 1", "x > 1", "y", "true", "false")
QUESTIONS = ("is it urgent", "is it angry")
VERDICTS = (Verdict.COMPLETED,) * 7 + (Verdict.FAILED, Verdict.REJECTED, Verdict.SKIPPED)


def random_workflow(rng: Random, *, most_blocks: int = 9) -> tuple[Definition, dict[str, Finish]]:
    """Return a definition whose edges all lead to later blocks or to the end, and a finish for each block."""
    names = [f"b{number}" for number in range(rng.randint(2, most_blocks))]
    blocks: dict[str, dict[str, Any]] = {
        name: {"block_id": name, "tool_type": "NOOP", "dependencies": []} for name in names
    }
    definition: dict[str, Any] = {"blocks": list(blocks.values()), "gates": [], "end_dependencies": []}
    for position, name in enumerate(names):
        later = [*names[position + 1 :], "end"]
        _add_way_out(rng, definition, blocks, name, later)
        if rng.random() < 0.3:
            blocks[name]["on_error"] = _some(rng, later, 2)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        _add_gate(rng, definition, names)
    _choose_joins(rng, definition)
    finishes = {name: _finish(rng) for name in [*names, *(_gate_name(gate) for gate in definition["gates"])]}
    return Definition.model_validate(definition), finishes


def _some(rng: Random, items: list[str], most: int) -> list[str]:
    return rng.sample(items, min(len(items), rng.randint(1, most)))


def _add_way_out(
    rng: Random, definition: dict[str, Any], blocks: dict[str, Any], name: str, later: list[str]
) -> None:
    kind = rng.choice(("plain", "plain", "exclusive", "exclusive", "inclusive", "none"))
    if kind in ("exclusive", "inclusive"):
        blocks[name]["conditions"] = {"type": kind, "branches": _branches(rng, later)}
    explicit = kind != "plain" and any(
        "condition" not in branch and "question" not in branch
        for branch in blocks[name].get("conditions", {}).get("branches", [])
    )
    if kind == "plain" or (kind != "none" and not explicit and rng.random() < 0.4):
        for target in _some(rng, later, 3):
            if target == "end":
                definition["end_dependencies"].append(name)
            else:
                blocks[target]["dependencies"].append(name)


def _branches(rng: Random, later: list[str]) -> list[dict[str, Any]]:
    branches: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 3)):
        kind, texts = ("question", QUESTIONS) if rng.random() < 0.15 else ("condition", CONDITIONS)
        branches.append({kind: rng.choice(texts), "next_blocks": _some(rng, later, 2)})
    if rng.random() < 0.3:
        branches.insert(rng.randint(0, len(branches)), {"next_blocks": _some(rng, later, 2)})
    return branches


def _add_gate(rng: Random, definition: dict[str, Any], names: list[str]) -> None:
    sources = sorted(rng.sample(names, min(len(names), rng.randint(2, 3))))
    gate: dict[str, Any] = {"sources": sources, "next_blocks": [], "branches": []}
    if any(_gate_name(gate) == _gate_name(other) for other in definition["gates"]):
        return
    later = [*names[max(names.index(source) for source in sources) + 1 :], "end"]
    if rng.random() < 0.5:
        gate["branches"] = _branches(rng, later)
    else:
        gate["next_blocks"] = _some(rng, later, 2)
    definition["gates"].append(gate)


def _gate_name(gate: dict[str, Any]) -> str:
    return f"[{','.join(gate['sources'])}]"


def _choose_joins(rng: Random, definition: dict[str, Any]) -> None:
    edges: dict[str, set[tuple[str, str]]] = {}
    for block in definition["blocks"]:
        for source in block["dependencies"]:
            edges.setdefault(block["block_id"], set()).add((source, "normal"))
        for branch in block.get("conditions", {}).get("branches", []):
            for target in branch["next_blocks"]:
                edges.setdefault(target, set()).add((block["block_id"], "normal"))
        for target in block.get("on_error", []):
            edges.setdefault(target, set()).add((block["block_id"], "error"))
    for gate in definition["gates"]:
        for target in [
            *gate["next_blocks"],
            *(t for branch in gate["branches"] for t in branch["next_blocks"]),
        ]:
            edges.setdefault(target, set()).add((_gate_name(gate), "normal"))
    for block in definition["blocks"]:
        leading = len(edges.get(block["block_id"], ()))
        if leading > 1 and rng.random() < 0.5:
            block["join"] = rng.choice(("any", rng.randint(1, leading)))
        if leading and rng.random() < 0.1:
            block["dependencies"].append("start")


def _finish(rng: Random) -> Finish:
    output: dict[str, Any] = {"x": rng.randint(0, 2), "y": rng.random() < 0.5}
    if rng.random() < 0.1:
        del output[rng.choice(("x", "y"))]  # then a condition that reads it cannot be evaluated
    answers = {question: rng.random() < 0.5 for question in QUESTIONS}
    return Finish(rng.choice(VERDICTS), output, answers)

"""What the conditions of a flow want to know, and so what the step before them has to tell."""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from workflow_service.ai.generation.flow import Flow, StepKind, Way
from workflow_service.engine.definition import JsonObject

_BAD = re.compile(r"(?:.*_)?(?:fail(?:s|ed|ure)?|rejected|invalid|errors?)$")
_ANY = re.compile(r"(?:any|some|one|either|at_least_one)_")


@dataclass(frozen=True, slots=True)
class Fact:
    """A name that a condition reads: true or false, a number, or a text, of which some are named."""

    name: str
    type: str = "boolean"
    choices: tuple[str, ...] = ()

    def schema(self) -> JsonObject:
        """Return the JSON Schema of its value."""
        schema: JsonObject = {"type": self.type, "title": self.name.replace("_", " ")}
        if self.type == "string" and len(self.choices) > 1:
            return schema | {"enum": list(self.choices)}
        return schema | ({"examples": list(self.choices)} if self.choices else {})


def facts_of(conditions: Iterable[str]) -> tuple[Fact, ...]:
    """Return the facts that conditions read, by name, in order; what compares with nothing is true or false."""
    found: dict[str, Fact] = {}
    for condition in conditions:
        for fact in _read(condition):
            known = found.get(fact.name)
            choices = tuple(dict.fromkeys((*known.choices, *fact.choices))) if known else fact.choices
            kind = known.type if known and known.type != "boolean" else fact.type
            found[fact.name] = Fact(fact.name, kind, choices)
    return tuple(found.values())


def facts_by_step(flow: Flow) -> Mapping[str, tuple[Fact, ...]]:
    """Return, by step, what it has to tell: the names its own conditions read. An approval tells ``approved``."""
    found: dict[str, tuple[Fact, ...]] = {}
    for step in flow.steps:
        conditions = [way.condition for way in flow.ways_from(step.id) if way.condition]
        told = {"approved", "comments", "approver"} if step.kind is StepKind.APPROVAL else set()
        found[step.id] = tuple(fact for fact in facts_of(conditions) if fact.name not in told)
    for way in flow.ways:
        if len(way.sources) > 1 and way.condition:
            for fact in facts_of([way.condition]):
                local = Fact(local_name(fact), fact.type, fact.choices)
                for source in way.sources:
                    if source in found and local.name not in {one.name for one in found[source]}:
                        found[source] = (*found[source], local)
    return found


def local_name(fact: Fact) -> str:
    """Return the name under which each part of a join tells its own share of the fact."""
    return "passed" if fact.type == "boolean" else fact.name


def joint_facts(ways: Iterable[Way]) -> dict[str, str]:
    """Return how a join computes the names its conditions read from what its sources told."""
    computed: dict[str, str] = {}
    for way in ways:
        for fact in facts_of([way.condition] if way.condition else []):
            parts = [f"blocks.{source}.output.{local_name(fact)}" for source in way.sources]
            if fact.type != "boolean":
                computed[fact.name] = parts[0]
            elif _BAD.fullmatch(fact.name):
                computed[fact.name] = f"not ({' and '.join(parts)})"
            else:
                computed[fact.name] = (" or " if _ANY.match(fact.name) else " and ").join(parts)
    return computed


def _read(condition: str) -> Iterable[Fact]:
    try:
        tree = ast.parse(condition.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return
    typed: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            fact = _compared(node)
            if fact is not None:
                typed.add(fact.name)
                yield fact
    functions = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    roots = {"workflow", "blocks", "context", "execution", "secrets", "item", "index"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in typed | functions | roots:
            yield Fact(node.id)


def _compared(node: ast.Compare) -> Fact | None:
    if not isinstance(node.left, ast.Name):
        return None
    name, value = node.left.id, node.comparators[0]
    if isinstance(value, ast.List | ast.Tuple):
        texts = [one.value for one in value.elts if isinstance(one, ast.Constant)]
        if texts and all(isinstance(one, str) for one in texts):
            return Fact(name, "string", tuple(map(str, texts)))
        return Fact(name, "number")
    if not isinstance(value, ast.Constant):
        return Fact(name, "number") if isinstance(value, ast.UnaryOp) else None
    if isinstance(value.value, bool):
        return Fact(name)
    if isinstance(value.value, str):
        return Fact(name, "string", (value.value,))
    return Fact(name, "number") if isinstance(value.value, int | float) else None

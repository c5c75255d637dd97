"""What is wrong, or worth knowing, about the questions of a definition and who answers them."""

from collections.abc import Iterable, Iterator

from workflow_service.engine.definition import END, START, Block, DecisionPolicy
from workflow_service.engine.findings import Finding, Severity, nearest_name_hint
from workflow_service.engine.graph import END_NODE, Graph, Node, NodeKind
from workflow_service.engine.json_values import json_pointer

WORDS = frozenset({"person", "default"})


def decision_findings(graph: Graph) -> Iterator[Finding]:
    """Yield what is wrong with decisions: targets that nothing leads to, and questions nobody may be left to answer."""
    asking = {node.id.removesuffix("?"): node for node in graph.nodes if node.kind is NodeKind.DECIDE}
    for position, block in enumerate(graph.definition.blocks):
        if block.decision is not None:
            yield from _of_block(
                graph, block, block.decision, json_pointer("blocks", position), asking.get(block.block_id)
            )
    yield from _unconfirmed(graph)
    yield from _confirmed_nowhere(graph)
    for name, node in asking.items():
        owner = graph.nodes[graph.node_by_id[name]]
        if not _somebody_decides(node, graph.definition.decision_policy(owner.block)):
            yield Finding(
                "QUESTION_WITHOUT_FALLBACK",
                f"If no language model answers what is asked behind '{name}', the run fails there",
                pointer=node.pointer,
                suggestion=f"Add a default branch ({name}->...:else), or person to the fallback of its decision",
                blocks=(name,),
                severity=Severity.WARNING,
            )


def _of_block(
    graph: Graph, block: Block, policy: DecisionPolicy, pointer: str, node: Node | None
) -> Iterator[Finding]:
    if node is None:
        yield Finding(
            "DECISION_WITHOUT_QUESTION",
            f"'{block.block_id}' says how questions are answered, and none of its branches is one",
            pointer=f"{pointer}/decision",
            suggestion="Give a branch a question, or leave 'decision' out",
            blocks=(block.block_id,),
            severity=Severity.WARNING,
        )
        return
    targets = set(_targets(graph, node.normal_edges))
    named = [("whenUnsure", policy.when_unsure)] if policy.when_unsure not in WORDS else []
    named += [(f"confirm/{position}", name) for position, name in enumerate(policy.confirm)]
    for field, name in named:
        if name not in targets:
            yield Finding(
                "UNKNOWN_BRANCH",
                f"no branch of '{block.block_id}' leads to '{name}'",
                pointer=f"{pointer}/decision/{field}",
                suggestion=nearest_name_hint(name, sorted(targets)) or "Name a target of one of its branches",
                blocks=(block.block_id,),
            )


def _unconfirmed(graph: Graph) -> Iterator[Finding]:
    """Yield the ways to what is to be confirmed that are taken without a decision, and so without anybody's yes."""
    for node in graph.nodes:
        if node.kind is NodeKind.DECIDE:
            continue
        confirmed = graph.definition.decision_policy(node.block).confirm
        led_to = _targets(graph, (*node.normal_edges, *node.error_edges))
        ways = [(node.id, target) for target in led_to if target in confirmed]
        if node.starts and node.id in graph.definition.decision_policy(None).confirm:
            ways.append((START, node.id))
        for source, target in dict.fromkeys(ways):
            yield Finding(
                "UNCONFIRMED_WAY",
                f"'{target}' is to be confirmed, and the way from '{source}' asks nobody",
                pointer=node.pointer,
                suggestion="Give that way a question, or the block it leads to an approval (humanInLoop)",
                blocks=(node.id,),
            )


def _confirmed_nowhere(graph: Graph) -> Iterator[Finding]:
    common = graph.definition.global_settings.decisions
    known = {
        target for node in graph.nodes for target in _targets(graph, (*node.normal_edges, *node.error_edges))
    }
    known |= {node.id for node in graph.nodes if node.starts}
    for position, name in enumerate(common.confirm if common is not None else ()):
        if name not in known:
            yield Finding(
                "UNKNOWN_BRANCH",
                f"no branch leads to '{name}'",
                pointer=json_pointer("globalSettings", "decisions", "confirm", position),
                suggestion=nearest_name_hint(name, sorted(known)) or "Name a target of one of the branches",
                blocks=(),
            )


def _targets(graph: Graph, edges: Iterable[int]) -> list[str]:
    ends = (graph.edges[edge].target for edge in edges)
    return [END if end == END_NODE else graph.nodes[end].id for end in ends]


def _somebody_decides(node: Node, policy: DecisionPolicy) -> bool:
    """Return whether something of the fallback can always decide; history and waiting may come to nothing."""
    if policy.fallback is None or "person" in policy.fallback:
        return True
    has_default = node.routing.default is not None or node.routing.mode == "inclusive"
    if "default" in policy.fallback and has_default:
        return True
    asked = [branch for branch in node.routing.branches if branch.question is not None]
    return (
        "expression" in policy.fallback
        and has_default
        and all(branch.expression is not None for branch in asked)
    )

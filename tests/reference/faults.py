"""Twenty-odd ways to get the rule wrong: small changes to the engine's source, each of which must be noticed.

A fault is a piece of source and what it is replaced with. The engine's modules are run again with it under their
own names, apart from those that everyone else has imported.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

PACKAGE = "workflow_service.engine"
MODULES = ("arrivals", "rounds", "decide")  # each imports those before it


@dataclass(frozen=True)
class Fault:
    """``before`` stands exactly once in the module; ``after`` is what is wrong."""

    name: str
    module: str
    before: str
    after: str


class FaultDoesNotApply(Exception):
    """The source that a fault changes is not there, or not there once only: the fault must be written anew."""


def faulty_decide(fault: Fault) -> ModuleType:
    """Return ``decide`` with ``fault`` in it; raises ``FaultDoesNotApply``."""
    originals = {name: importlib.import_module(f"{PACKAGE}.{name}") for name in MODULES}
    try:
        for name, original in originals.items():
            source = Path(original.__file__ or "").read_text()
            if name == fault.module:
                if source.count(fault.before) != 1:
                    raise FaultDoesNotApply(f"{fault.name}: {source.count(fault.before)} times in {name}.py")
                source = source.replace(fault.before, fault.after)
            copy = ModuleType(original.__name__)
            sys.modules[original.__name__] = copy
            exec(compile(source, f"<{fault.name}>", "exec"), copy.__dict__)  # noqa: S102 - our own source
        return copy
    finally:
        for original in originals.values():
            sys.modules[original.__name__] = original


FAULTS = (
    Fault(
        "a failure is merely dead",
        "decide",
        "result = EdgeOutcome.LOST if left else EdgeOutcome.DEAD",
        "result = EdgeOutcome.DEAD",
    ),
    Fault("error edges make nothing good", "decide", " if not reach(origin, target))", ")"),
    Fault(
        "a rejection takes no error edge",
        "decide",
        "EdgeOutcome.TAKEN if verdict in FAILING else EdgeOutcome.DEAD",
        "EdgeOutcome.TAKEN if verdict is Verdict.FAILED else EdgeOutcome.DEAD",
    ),
    Fault(
        "a dead edge reaches the end",
        "decide",
        "self.reached_end |= result is EdgeOutcome.TAKEN",
        "self.reached_end = True",
    ),
    Fault(
        "a failure counts as handled by any edge",
        "decide",
        "verdict in FAILING and bool(finished.error_edges)",
        "verdict in FAILING and bool(finished.normal_edges)",
    ),
    Fault(
        "losses are forgotten at the first skip",
        "decide",
        "origins=after.origins if fate is Fate.LOST else NO_ORIGINS",
        "origins=NO_ORIGINS",
    ),
    Fault(
        "only the first loss counts",
        "decide",
        "return frozenset({min(hopeless)}) if hopeless else together",
        "return some or others",
    ),
    Fault(
        "a join starts again with every edge",
        "decide",
        "fate = None if fate_of(node, before) else fate_of(node, after)",
        "fate = fate_of(node, after)",
    ),
    Fault("the end need not be reached", "decide", "plan.has_end_edges and not reached_end", "False"),
    Fault("a lost edge may be outvoted", "arrivals", "taken > 0 and not arrivals.lost", "taken > 0"),
    Fault("one dead edge less is needed", "arrivals", "arrivals.dead > node", "arrivals.dead >= node"),
    Fault("the start does not count", "arrivals", "arrivals.taken + node.starts", "arrivals.taken"),
    Fault("an unhandled failure repeats its loop", "decide", "walk.forbid_rounds(finished.loop)", "pass"),
    Fault("a gate's failure repeats its loop", "decide", "self.forbid_rounds(node.loop)", "pass"),
    Fault(
        "a failure breaks the innermost loop only",
        "decide",
        "loop = self.plan.loops[loop].parent",
        "loop = None",
    ),
    Fault(
        "a broken loop goes on", "decide", "if not instance.back or instance.broken:", "if not instance.back:"
    ),
    Fault(
        "an error edge out of a loop does not end it",
        "decide",
        "if edge.kind is EdgeKind.ERROR and result is EdgeOutcome.TAKEN:",
        "if False:",
    ),
    Fault(
        "a round too many",
        "decide",
        "instance.first_round < loop.max_rounds",
        "instance.first_round <= loop.max_rounds",
    ),
    Fault(
        "at its limit a loop leaves as it last did",
        "decide",
        "instance.exits = dict.fromkeys(loop.exits, lost)",
        "pass",
    ),
    Fault("a limit does not break the loops around", "decide", "self.forbid_rounds(loop.parent)", "pass"),
    Fault("a round begins at every entry", "decide", "if entry in starting:", "if True:"),
    Fault("a dead back edge repeats the loop", "decide", "if result is EdgeOutcome.TAKEN:\n", "if True:\n"),
    Fault("back edges are remembered", "rounds", "self.back, self.exits = set(), {}", "self.exits = {}"),
    Fault("a loop begins although an entry is lost", "decide", "if ready and not lost:", "if ready:"),
    Fault("an edge crosses all borders at once", "decide", "edge.leaves.index(loop) + 1", "len(edge.leaves)"),
    Fault(
        "a loop that ended still counts as active",
        "decide",
        "self._count_in(instance, -1)",
        "pass",
    ),
)

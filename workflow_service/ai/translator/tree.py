"""A workflow as its author tells it: deeds in sequence, choices, parallel parts, ways back, ends."""

from dataclasses import dataclass, field

from workflow_service.ai.translator.conditions import Condition
from workflow_service.ai.translator.deeds import Deed


@dataclass(slots=True, eq=False)
class Act:
    """One deed as a step; durations are milliseconds."""

    deed: Deed
    text: str
    retries: int | None = None
    for_each: str = ""
    duration_ms: int | None = None
    deadline_ms: int | None = None
    delay_ms: int | None = None
    max_rounds: int | None = None
    optional: bool = False
    signal: str = ""
    trigger: bool = False
    check_of: str = ""


@dataclass(slots=True, eq=False)
class Seq:
    """Nodes one after the other."""

    nodes: list["Node"] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Case:
    """One way of a choice. ``ends``: what follows the choice is not for it, as far as can be told.

    ``temporal``: told as what comes next ("once it is approved, …") rather than as one of several ways.
    """

    condition: Condition
    body: Seq
    ends: bool = False
    temporal: bool = False


@dataclass(slots=True, eq=False)
class Choice:
    """Where the way parts by what the step before has found. ``otherwise`` None: it goes on.

    ``inserted``: told after what follows it, so its cases lead out of that.
    """

    cases: list[Case] = field(default_factory=list)
    otherwise: Seq | None = None
    rejoins: bool = False
    inserted: bool = False


@dataclass(slots=True, eq=False)
class Parallel:
    """Parts at the same time; what follows waits for all."""

    parts: list[Seq]


@dataclass(slots=True, eq=False)
class Goto:
    """To an act told elsewhere, back or ahead; None where its ``label`` was never told."""

    target: Act | None
    label: str = ""


@dataclass(slots=True, eq=False)
class Stop:
    """The end of the workflow."""


Node = Act | Choice | Parallel | Goto | Stop


def acts_in(node: Node | Seq) -> list[Act]:
    """Return the acts of a node or a sequence, in the order they are told."""
    match node:
        case Act():
            return [node]
        case Seq(nodes=nodes):
            return [act for one in nodes for act in acts_in(one)]
        case Choice(cases=cases, otherwise=otherwise):
            found = [act for case in cases for act in acts_in(case.body)]
            return found + (acts_in(otherwise) if otherwise else [])
        case Parallel(parts=parts):
            return [act for part in parts for act in acts_in(part)]
    return []


def tails_of(seq: Seq) -> list[Act]:
    """Return the acts after which a sequence may be left."""
    if not seq.nodes:
        return []
    match seq.nodes[-1]:
        case Act() as act:
            return [act]
        case Parallel(parts=parts):
            return [act for part in parts for act in tails_of(part)]
        case Choice(cases=cases, otherwise=otherwise):
            found = [act for case in cases for act in tails_of(case.body)]
            found += tails_of(otherwise) if otherwise else []
            return found + (tails_of(Seq(seq.nodes[:-1])) if otherwise is None else [])
    return []


def find_seq(root: Seq, wanted: Act | Choice | Parallel) -> tuple[Seq, int] | None:
    """Return the sequence that holds a node, and where in it."""
    for index, node in enumerate(root.nodes):
        if node is wanted:
            return root, index
        inner: list[Seq] = []
        if isinstance(node, Choice):
            inner = [case.body for case in node.cases] + ([node.otherwise] if node.otherwise else [])
        elif isinstance(node, Parallel):
            if any(part.nodes == [wanted] for part in node.parts) and isinstance(wanted, Act):
                # What is decided after one of the parts is decided after all.
                return root, index
            inner = node.parts
        for seq in inner:
            found = find_seq(seq, wanted)
            if found is not None:
                return found
    return None

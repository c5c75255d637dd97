"""The tree as a flow: a step for each act, a way for each lead from one to the next."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from workflow_service.ai.generation.flow import Flow, Step, StepKind, Way, closed
from workflow_service.ai.generation.item_loops import with_item_loops
from workflow_service.ai.translator.conditions import Condition
from workflow_service.ai.translator.deeds import Deed, name_of
from workflow_service.ai.translator.tree import Act, Choice, Goto, Node, Parallel, Seq, Stop
from workflow_service.engine.definition import BLOCK_ID, END, START

MAX_TITLE = 120


@dataclass(frozen=True, slots=True)
class Exit:
    """Where the flow stands: behind ``sources`` (several: all of them), under a condition or none."""

    sources: tuple[str, ...]
    condition: str | None = None
    is_default: bool = False

    @property
    def is_plain(self) -> bool:
        return self.condition is None and not self.is_default


@dataclass(slots=True)
class _Loom:
    steps: list[Step] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def seq(self, seq: Seq, exits: list[Exit]) -> list[Exit]:
        nodes = seq.nodes
        for index, node in enumerate(nodes):
            if index and not exits and not (isinstance(node, Act) and id(node) in self.names):
                # Nothing leads here, unless a way ahead does.
                continue
            exits = self.node(node, exits, follows=index + 1 < len(nodes))
        return exits

    def node(self, node: Node, exits: list[Exit], *, follows: bool) -> list[Exit]:
        match node:
            case Act():
                name = self.act(node)
                self.connect(exits, name)
                return [Exit((name,))]
            case Parallel(parts=parts):
                return self.parallel(parts, exits)
            case Choice():
                return self.choice(node, exits, follows=follows)
            case Goto(target=target):
                if target is None:
                    return exits
                self.connect(exits, self.act(target))
                return []
            case Stop():
                self.connect(exits, END)
                return []

    def act(self, act: Act) -> str:
        known = self.names.get(id(act))
        if known is not None:
            return known
        name = self.free_name(name_of(act.deed))
        self.names[id(act)] = name
        self.steps.append(_step(act, name))
        return name

    def parallel(self, parts: list[Seq], exits: list[Exit]) -> list[Exit]:
        ends = [self.seq(part, exits) for part in parts]
        single = [end[0] for end in ends if len(end) == 1 and end[0].is_plain and len(end[0].sources) == 1]
        if len(single) == len(ends) > 1:
            return [Exit(tuple(one.sources[0] for one in single))]
        return [one for end in ends for one in end]

    def choice(self, choice: Choice, exits: list[Exit], *, follows: bool) -> list[Exit]:
        if len(exits) != 1 or not exits[0].is_plain or exits[0].sources == (START,):
            exits = self.decision(choice, exits)
        if _only_sequel(choice):
            return self.seq(choice.cases[0].body, exits)
        sources = exits[0].sources
        left: list[Exit] = []
        for case in choice.cases:
            after = self.seq(case.body, [Exit(sources, case.condition.expression)])
            alone = len(choice.cases) == 1 and choice.otherwise is None
            if case.ends and (choice.inserted or (alone and follows)) and not choice.rejoins:
                self.connect(after, END)
                continue
            left += after
        other = _other(choice)
        if other is not None:
            rest = replace(other, sources=sources)
            left += self.seq(choice.otherwise, [rest]) if choice.otherwise else [rest]
        return left

    def decision(self, choice: Choice, exits: list[Exit]) -> list[Exit]:
        """Put a step that decides where no single step stands before a choice."""
        condition = choice.cases[0].condition if choice.cases else Condition("")
        about = condition.name.removeprefix("is_").removesuffix("_found")
        name = self.free_name(f"check_{about}"[:60])
        self.steps.append(Step(name, f"Check: {condition.text.strip() or about}"[:MAX_TITLE]))
        self.connect(exits, name)
        return [Exit((name,))]

    def connect(self, exits: list[Exit], target: str) -> None:
        for one in exits:
            way = Way(one.sources, target, one.condition, is_default=one.is_default)
            if way not in self.ways:
                self.ways.append(way)

    def free_name(self, wanted: str) -> str:
        if wanted in (START, END) or not BLOCK_ID.fullmatch(wanted):
            wanted = f"step_{len(self.steps) + 1}"
        taken = {step.id for step in self.steps}
        name, number = wanted, 2
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        return name


def weave(root: Seq, on_failure: list[tuple[Seq, Act | None]]) -> Flow:
    """Return the flow of a tree, with each of ``on_failure`` behind the failure of its act, or of every one."""
    loom = _Loom()
    left = loom.seq(root, [Exit((START,))])
    risky = [step.id for step in loom.steps if step.kind not in (StepKind.APPROVAL, StepKind.PAUSE)]
    loom.connect([one for one in left if one.sources != (START,)], END)
    for seq, failing in on_failure:
        _add_handler(loom, seq, risky if failing is None else [loom.act(failing)])
    return with_item_loops(closed(_united(Flow(tuple(loom.steps), tuple(loom.ways)))))


def _add_handler(loom: _Loom, seq: Seq, risky: list[str]) -> None:
    known = len(loom.steps)
    ways = len(loom.ways)
    left = loom.seq(seq, [])
    loom.connect(left, END)
    if len(loom.steps) == known:
        return
    head = loom.steps[known].id
    loom.ways[ways:ways] = [Way((name,), head, on_error=True) for name in risky]


def _only_sequel(choice: Choice) -> bool:
    """Say whether a choice is none: "after approval, book it", with no word of what else there could be."""
    if len(choice.cases) != 1 or choice.otherwise is not None:
        return False
    case = choice.cases[0]
    return case.temporal and case.condition.kind == "approval" and not case.condition.negative


def _other(choice: Choice) -> Exit | None:
    """Return the way on where no case holds, or None where the cases cover everything."""
    conditions = [case.condition for case in choice.cases]
    if not conditions:
        return Exit(())
    if any(one.completes(other) for one in conditions for other in conditions):
        return None
    texts = [one for one in conditions if one.kind == "text" and one.op == "=="]
    if (
        len(texts) == len(conditions) > 1
        and len({one.name for one in texts}) == 1
        and choice.otherwise is None
    ):
        # Their form offers these answers and no other.
        return None
    if len(conditions) == 1 and conditions[0].value in ("True", "False"):
        return Exit((), conditions[0].opposite().expression)
    return Exit((), is_default=True)


def _united(flow: Flow) -> Flow:
    """Make one of steps that are told twice, in two branches, and lead the same way."""
    while True:
        pair = next(_twins(flow), None)
        if pair is None:
            return flow
        kept, gone = pair
        ways: list[Way] = []
        for way in flow.ways:
            if gone in way.sources:
                continue
            moved = replace(way, target=kept) if way.target == gone else way
            if moved not in ways:
                ways.append(moved)
        flow = replace(flow, steps=tuple(step for step in flow.steps if step.id != gone), ways=tuple(ways))


def _twins(flow: Flow) -> Iterator[tuple[str, str]]:
    ways_from: dict[str, list[Way]] = {}
    for way in flow.ways:
        for source in way.sources:
            ways_from.setdefault(source, []).append(way)
    for index, one in enumerate(flow.steps):
        for other in flow.steps[index + 1 :]:
            if not _is_twin(one.id, other.id) or one.kind is not other.kind:
                continue
            both = (ways_from.get(one.id, []), ways_from.get(other.id, []))
            mine, theirs = ({replace(way, sources=()) for way in ways} for ways in both)
            joined = any(len(way.sources) > 1 for ways in both for way in ways)
            through = any(way.target in (one.id, other.id) for ways in both for way in ways)
            if mine == theirs and not joined and not through:
                yield (one.id, other.id) if len(one.id) >= len(other.id) - 2 else (other.id, one.id)


def _is_twin(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    stem, _, number = longer.rpartition("_")
    return (stem == shorter and number.isdigit()) or ("_" not in shorter and longer.startswith(f"{shorter}_"))


def _step(act: Act, name: str) -> Step:
    deed = act.deed
    return Step(
        name,
        _title(deed),
        text=act.text.strip(),
        kind=_kind(act),
        who=deed.who,
        for_each=act.for_each,
        retries=act.retries,
        retry_delay_ms=act.delay_ms,
        timeout_ms=act.deadline_ms,
        duration_ms=act.duration_ms,
        signal=act.signal,
        max_rounds=act.max_rounds,
        optional=act.optional,
    )


def _kind(act: Act) -> StepKind:
    if act.deed.approval:
        return StepKind.APPROVAL
    if act.duration_ms is not None:
        return StepKind.PAUSE
    if act.trigger:
        return StepKind.TRIGGER
    return StepKind.SIGNAL if act.signal else StepKind.WORK


def _title(deed: Deed) -> str:
    told = " ".join(deed.text.split()).strip(" .,:") or deed.name.replace("_", " ")
    if deed.approval and "approv" not in told.lower():
        told = f"Approve {' '.join(deed.object)}".strip()
    if len(told) > MAX_TITLE:
        told = deed.name.replace("_", " ")
    return told[:1].upper() + told[1:]

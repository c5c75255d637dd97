"""A workflow told in plain English, from its definition alone: every block, every way on, in the order it runs.

Each block is told once. What follows it is told with it as long as it leads one way; where ways part or meet, a new
sentence begins that names the block it goes on from. Works on drafts too: what a name stands for need not exist.
"""

from collections import deque

from workflow_service.ai.english.conditions import describe_condition
from workflow_service.ai.english.decisions import describe_decision
from workflow_service.ai.english.phrases import duration_words, listed, phrase_of
from workflow_service.ai.english.ways import Way, Ways
from workflow_service.engine.definition import END, Definition
from workflow_service.engine.states import HumanStepType, RecoveryStrategy
from workflow_service.plurals import counted

MAX_BLOCKS_TOLD = 400


def tell(definition: Definition) -> str:
    """Return the definition as sentences, a paragraph for each part of it."""
    return _Story(definition).text()


class _Story:
    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._blocks = {block.block_id: block for block in definition.blocks}
        self._ways = Ways(definition)
        self._told: set[str] = set()
        self._waiting: deque[str] = deque()
        self._sentences: list[str] = []

    def text(self) -> str:
        self._opening()
        while True:
            while self._waiting:
                self._tell_ways(self._waiting.popleft())
            rest = [name for name in self._ways.names if name not in self._told]
            if rest and len(self._told) > MAX_BLOCKS_TOLD:
                self._sentences.append(f"{len(rest)} more are left out here.")
                break
            if not rest:
                break
            self._tell_apart(next((name for name in rest if self._led_to(name)), rest[0]))
        self._tell_settings()
        return " ".join(self._sentences)

    def _opening(self) -> None:
        starts = self._ways.starts
        count = len(self._blocks)
        size = f"This workflow has {counted(count, 'step')}."
        if len(starts) == 1:
            self._sentences.append(f"{size} It {self._chain(starts[0])}.")
        elif starts:
            bodies = [self._chain(name) for name in starts]
            self._sentences.append(
                f"{size} It begins with several things at the same time: it {_enumerated(bodies)}."
            )
        else:
            self._sentences.append(size)

    def _tell_apart(self, name: str) -> None:
        """Tell a block that is reached from several places, or by a failure, or not at all."""
        sources = self._ways.sources(name)
        if not sources:
            self._sentences.append(f"Apart from that, it {self._chain(name)}.")
        elif self._ways.is_gate(name):
            self._told.add(name)
            self._tell_ways(name)
        elif self._ways.joins(name):
            every = {"all": "Once all of that is done", "any": "As soon as any of that is done"}
            opening = every.get(
                str(self._blocks[name].join), f"Once {self._blocks[name].join} of these are done"
            )
            self._sentences.append(f"{opening}, it {self._chain(name)}.")
        else:
            self._sentences.append(
                f"The step “{self._title(name)}” is reached in {len(sources)} ways; it {self._chain(name)}."
                if len(sources) > 1
                else f"The workflow then {self._chain(name)}."
            )

    def _led_to(self, name: str) -> bool:
        return all(
            source in self._told or self._ways.is_back(source, name) for source in self._ways.sources(name)
        )

    def _chain(self, name: str) -> str:
        """Tell blocks from ``name`` on as long as one leads to one; leave the rest for later."""
        clauses: list[str] = []
        while True:
            self._told.add(name)
            clauses.append(self._clause(name))
            way = self._ways.only(name)
            if way is None:
                if self._ways.of(name):
                    self._waiting.append(name)
                break
            if way == END:
                clauses.append("ends")
                break
            if way in self._told:
                clauses.append(
                    f"goes {'back' if self._ways.is_back(name, way) else 'on'} to “{self._title(way)}”"
                )
                break
            if self._ways.is_gate(way):
                break
            if len(self._ways.sources(way)) > 1 or len(clauses) >= 12:
                clauses.append(f"goes on to “{self._title(way)}”")
                break
            name = way
        return _sequence(clauses)

    def _clause(self, name: str) -> str:
        block = self._blocks.get(name)
        if block is None:
            return f"runs “{name}”, which is not defined"
        said = phrase_of(block).present
        if block.has_tool and block.asks_people:
            level = block.human_in_loop.approval_level
            by = f" by {level}" if level else ""
            if block.human_in_loop.type is HumanStepType.REVIEW:
                said = f"{said} and then waits for a review{by}"
            else:
                said = f"waits for approval{by} and then {said}"
        if block.for_each:
            said += f" for each item of {block.for_each.strip().removeprefix('${').removesuffix('}')}"
        notes = []
        if block.conditions.expression:
            notes.append(f"only if {describe_condition(block.conditions.expression)}")
        if block.retry_policy is not None and block.retry_policy.max_retries:
            tries = block.retry_policy.max_retries
            notes.append(f"retried up to {counted(tries, 'time')} if it fails")
        if block.recovery is not None and block.recovery.compensate is not None:
            notes.append("undone if the run fails")
        if block.optional or (
            block.recovery is not None and RecoveryStrategy.SKIP in (block.recovery.strategies or ())
        ):
            notes.append("skipped if it cannot be done")
        return f"{said} ({'; '.join(notes)})" if notes else said

    def _tell_ways(self, name: str) -> None:
        ways = self._ways.of(name)
        after = self._after(name)
        branches = [way for way in ways if way.kind == "branch"]
        errors = [way for way in ways if way.kind == "error"]
        plain = [way for way in ways if way.kind == "plain"]
        if branches:
            inclusive = self._ways.is_inclusive(name)
            cases = [self._case(way, first=index == 0) for index, way in enumerate(branches)]
            if inclusive:
                cases[0] = f"every case that holds is taken: {cases[0]}"
            if plain:
                cases.append(f"otherwise, it {self._bodies(plain[0].targets, name)}")
            if self._ways.max_rounds(name):
                cases.append(f"at most {self._ways.max_rounds(name)} rounds are made")
            self._sentences.append(f"{after}, {'; '.join(cases)}.")
            if any(way.question is not None for way in branches):
                policy = self._definition.decision_policy(self._blocks.get(name))
                self._sentences.append(describe_decision(policy, self._title))
        elif plain:
            self._sentences.append(f"{after}, it {self._bodies(plain[0].targets, name)}.")
        for way in errors:
            self._sentences.append(f"If “{self._title(name)}” fails, it {self._bodies(way.targets, name)}.")

    def _case(self, way: Way, *, first: bool) -> str:
        if way.question is not None:
            asked = f"if the language model finds that “{way.question}”"
        elif way.condition is not None:
            asked = f"if {describe_condition(way.condition)}"
        else:
            asked = "in any case" if first else "otherwise"
        return f"{asked}, it {self._bodies(way.targets, way.source)}"

    def _bodies(self, targets: tuple[str, ...], source: str) -> str:
        said = [self._body(target, source) for target in targets]
        if len(said) == 1:
            return said[0]
        return f"does {len(said)} things at the same time: it {_enumerated(said)}"

    def _body(self, target: str, source: str) -> str:
        if target == END:
            return "ends"
        if self._ways.is_back(source, target):
            return f"goes back to “{self._title(target)}”"
        if target in self._told or self._ways.is_gate(target) or len(self._ways.sources(target)) > 1:
            return f"goes on to “{self._title(target)}”"
        return self._chain(target)

    def _after(self, name: str) -> str:
        if self._ways.is_gate(name):
            titles = [f"“{self._title(source)}”" for source in self._ways.sources(name)]
            return f"Once {listed(titles)} are done"
        block = self._blocks.get(name)
        return f"After {phrase_of(block).gerund}" if block else f"After “{name}”"

    def _title(self, name: str) -> str:
        block = self._blocks.get(name)
        return (block.name if block and block.name else name).replace("_", " ")

    def _tell_settings(self) -> None:
        settings = self._definition.global_settings
        if settings.default_retry_policy is not None and settings.default_retry_policy.max_retries:
            tries = settings.default_retry_policy.max_retries
            self._sentences.append(f"A step that fails is tried again up to {counted(tries, 'time')}.")
        if settings.timeout is not None:
            self._sentences.append(f"The whole run may take {duration_words(settings.timeout)}.")


def _sequence(clauses: list[str]) -> str:
    if len(clauses) == 1:
        return clauses[0]
    return f"{', '.join(clauses[:-1])} and then {clauses[-1]}"


def _enumerated(parts: list[str]) -> str:
    return listed([f"({number}) {part}" for number, part in enumerate(parts, 1)])

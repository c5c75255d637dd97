"""What a detector looks at and what it answers: a case, and ideas with the definition they would make.

An idea is a changed definition and what recorded runs would have been like by it beside the order of their blocks
(``rewrite``): a replay of both says what it is worth. Values only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import JsonValue

from workflow_service.advisor.recordings import Recordings, Tokens
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Source, Type
from workflow_service.engine.data_flow import Outputs, PlacedRead, Writes, reads_of_node, writes_of
from workflow_service.engine.definition import Definition, JsonObject
from workflow_service.engine.graph import Graph
from workflow_service.engine.plan import Plan, compile_plan
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.validation import check

Rewrite = Callable[[Recordings], Recordings]


def as_recorded(recordings: Recordings) -> Recordings:
    """Leave the recorded runs as they are."""
    return recordings


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """A language model that may be asked, and USD for a million tokens in and for a million out."""

    name: str
    input_usd_per_m_tok: float
    output_usd_per_m_tok: float

    def of(self, tokens: Tokens) -> float:
        """Return USD for a million times these tokens."""
        prompt, completion = tokens
        return prompt * self.input_usd_per_m_tok + completion * self.output_usd_per_m_tok


@dataclass(frozen=True)
class Case:
    """One version and how it ran. ``effects`` and ``outputs`` say of blocks, by id, what is known of their work."""

    definition: Definition
    recordings: Recordings
    effects: Mapping[str, Effect] = field(default_factory=dict)
    outputs: Outputs = field(default_factory=dict)
    models: tuple[ModelPrice, ...] = ()

    @cached_property
    def graph(self) -> Graph:
        return check(self.definition).graph

    @cached_property
    def plan(self) -> Plan:
        return compile_plan(self.definition)

    @cached_property
    def reads(self) -> tuple[PlacedRead, ...]:
        """Everything that anything in the definition reads."""
        return tuple(read for node in self.graph.nodes for read in reads_of_node(self.graph, node))

    @cached_property
    def writes(self) -> Writes:
        return writes_of(self.graph, self.outputs)


@dataclass(frozen=True, slots=True)
class Idea:
    """What could be better. ``make`` gives the whole definition that would be; ``blocks`` are whom it is about.

    The definition is made when it is wanted: of a large workflow there may be more ideas than are ever weighed.
    """

    kind: Kind
    type: Type
    measure: Measure
    blocks: tuple[str, ...]
    title: str
    description: str
    make: Callable[[], Definition]
    effort: Effort
    proposed_changes: JsonObject
    evidence: Mapping[str, JsonValue]
    rewrite: Rewrite = as_recorded
    source: Source = Source.RULES
    # The sentence on which condition it changes nothing outside; whoever words the idea, it stays.
    condition: str = ""

    @property
    def subject(self) -> str:
        """What it is about: ideas of one kind and subject are the same idea."""
        return ",".join(self.blocks)


@dataclass(frozen=True, slots=True)
class Weighed:
    """An idea with what its replay came to: figures of a run before and after, and the share saved (0 to 1)."""

    idea: Idea
    definition: Definition
    before: float
    after: float
    share: float
    # What a run would take and cost by it, whatever it is meant for.
    left_duration: float
    left_failures: float
    left_cost: float

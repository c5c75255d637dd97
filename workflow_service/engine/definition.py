"""The one canonical workflow definition: document A's JSON as frozen models.

Every other spelling (DSL with ``states``, YAML) is read into these models and rendered from them. Fields are
camelCase outside and snake_case inside; either spelling is accepted for a field, not both. Models normalise
on construction, so that two definitions that mean the same graph compare equal. Durations are milliseconds
except ``estimatedDuration`` (seconds), as in document A.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    model_validator,
)
from pydantic.alias_generators import to_camel

from workflow_service.engine.states import (
    STRATEGY_NAMES,
    ErrorType,
    HumanStepType,
    RecoveryStrategy,
    ToolType,
)

START = "start"
END = "end"
RESERVED_IDS = frozenset({START, END})
BLOCK_ID = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
MAX_RUN_TIMEOUT_MS = 366 * 86_400_000
MAX_PEOPLE_TIME_MS = 366 * 86_400_000
MAX_BLOCKS = 10_000
MAX_QUESTION_LENGTH = 2_000


def check_block_id(value: str) -> str:
    """Return ``value`` if it may name a block; raises ``ValueError`` otherwise."""
    if not BLOCK_ID.fullmatch(value):
        raise ValueError("must start with a letter or _ and hold at most 100 letters, digits and _")
    if value in RESERVED_IDS:
        raise ValueError(f"'{value}' is reserved")
    return value


def check_target_id(value: str) -> str:
    """Return ``value`` if an edge may lead there: a block id, or ``end``."""
    return value if value == END else check_block_id(value)


def check_source_id(value: str) -> str:
    """Return ``value`` if a block may depend on it: a block id, or ``start``."""
    return value if value == START else check_block_id(value)


NO_STAND_IN = frozenset({ToolType.HUMAN, ToolType.MAP, ToolType.SUBWORKFLOW, ToolType.WAIT})


def check_stand_in_tool(value: ToolType) -> ToolType:
    """Return ``value`` if a fallback or an undo may run it: work that needs nobody and waits for nothing."""
    if value in NO_STAND_IN:
        raise ValueError(f"{value} cannot stand in for a block's work; use a tool such as API or USE_CASE")
    return value


def read_strategy(value: Any) -> Any:
    """Return the strategy that either document's name means; what is unknown is left to be refused."""
    return STRATEGY_NAMES.get(value, value) if isinstance(value, str) else value


def check_unsure(value: str) -> str:
    """Return ``value`` if it says who decides what is not sure: ``person``, ``default``, or a branch's target."""
    return value if value in ("person", "default") else check_target_id(value)


BlockId = Annotated[str, AfterValidator(check_block_id)]
TargetId = Annotated[str, AfterValidator(check_target_id)]
SourceId = Annotated[str, AfterValidator(check_source_id)]
AgentId = Annotated[str, Field(min_length=1, max_length=100)]
StandInTool = Annotated[ToolType, AfterValidator(check_stand_in_tool)]
StrategyName = Annotated[RecoveryStrategy, BeforeValidator(read_strategy)]
ContextName = Annotated[str, Field(min_length=1, max_length=255)]
Unsure = Annotated[str, AfterValidator(check_unsure)]
Fallback = Literal["expression", "history", "default", "person", "wait"]
JsonObject = dict[str, JsonValue]


class DefinitionModel(BaseModel):
    """Frozen, closed (unknown fields are refused), camelCase outside."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def refuse_both_spellings(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for name, info in cls.model_fields.items():
                if name in data and info.alias != name and info.alias in data:
                    raise ValueError(f"give '{info.alias}' or '{name}', not both")
        return data


class RetryPolicy(DefinitionModel):
    """How often and when failed work is tried again; delays in milliseconds (document A section 16.1)."""

    max_retries: StrictInt = Field(default=3, ge=0, le=100)
    backoff_strategy: Literal["fixed", "linear", "exponential"] = "exponential"
    base_delay: StrictInt = Field(default=1_000, ge=0, le=86_400_000)
    max_delay: StrictInt = Field(default=30_000, ge=0, le=86_400_000)
    backoff_multiplier: StrictFloat = Field(default=2.0, ge=1, le=100)
    jitter: StrictBool = True
    retry_conditions: tuple[ErrorType, ...] | None = None


class CachePolicy(DefinitionModel):
    """Whether an answer serves again: for the same work with the same input in one workspace, ``ttl`` milliseconds.

    Only work that changes nothing outside is to be declared so: where an answer is at hand, the work is not done.
    """

    ttl: StrictInt = Field(ge=1_000, le=30 * 86_400_000)


class EscalationLevel(DefinitionModel):
    """Who is asked too when nobody has answered for ``after`` milliseconds more; None: the question's ``due_in``."""

    after: StrictInt | None = Field(default=None, ge=1_000, le=MAX_PEOPLE_TIME_MS)
    approval_level: str | None = Field(default=None, max_length=100)
    assignees: tuple[str, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def names_somebody(self) -> "EscalationLevel":
        if self.approval_level is None and not self.assignees:
            raise ValueError("an escalation names an approvalLevel or assignees")
        return self


class Asked(DefinitionModel):
    """Who is asked, and what happens while nobody answers; times in milliseconds, None takes the service's default.

    Named ``assignees`` are asked; without any the groups that the workspace has for ``approval_level``.
    """

    approval_level: str | None = Field(default=None, max_length=100)
    assignees: tuple[str, ...] = Field(default=(), max_length=100)
    message: str | None = Field(default=None, max_length=2_000)
    due_in: StrictInt | None = Field(default=None, ge=1_000, le=MAX_PEOPLE_TIME_MS)
    four_eyes: StrictBool = False
    remind_every: StrictInt | None = Field(default=None, ge=60_000, le=MAX_PEOPLE_TIME_MS)
    escalation_chain: tuple[EscalationLevel, ...] = Field(default=(), max_length=20)


class HumanInLoop(Asked):
    """Whether and how a person is asked.

    ``quorum`` people must approve. ``on_timeout`` is what becomes of the question when it is overdue and its
    ``escalation_chain`` is used up.
    """

    required: StrictBool = False
    type: HumanStepType = HumanStepType.APPROVAL
    input_schema: JsonObject | None = None
    quorum: StrictInt = Field(default=1, ge=1, le=100)
    on_timeout: Literal["wait", "approve", "reject", "fail"] = "wait"
    allow_delegation: StrictBool = True


class Escalation(Asked):
    """Who is asked when a block cannot be saved otherwise."""


class StandIn(DefinitionModel):
    """Work done in place of a block's own, or to undo it. ``timeout`` is milliseconds.

    Where ``tool_type`` is left out it is the block's own.
    """

    tool_type: StandInTool | None = None
    configuration: JsonObject = {}
    agent_id: AgentId | None = None
    timeout: StrictInt | None = Field(default=None, ge=1, le=7 * 86_400_000)


class RecoveryDefaults(DefinitionModel):
    """How failures are met; ``strategies`` are tried in order (None: the table of ``engine/recovery.py``).

    ``queue_delay`` is the milliseconds between two looks for a free agent, ``max_queued`` how many there are.
    ``advice``: what may change the order in which the work is tried again: nothing (``rules``), what worked before
    (``history``), or a language model too.
    """

    strategies: tuple[StrategyName, ...] | None = None
    escalate: Escalation | None = None
    queue_delay: StrictInt = Field(default=60_000, ge=0, le=86_400_000)
    max_queued: StrictInt = Field(default=5, ge=0, le=1_000)
    advice: Literal["rules", "history", "model"] = "history"


class Recovery(RecoveryDefaults):
    """How the failures of one block are met. ``agents`` may take over; ``compensate`` undoes the finished work.

    Work that is not ``idempotent`` must not be done twice: where it may have been done it is not tried again.
    """

    idempotent: StrictBool = True
    agents: tuple[AgentId, ...] = Field(default=(), max_length=100)
    fallback: StandIn | None = None
    compensate: StandIn | None = None


class DecisionHistory(DefinitionModel):
    """When what was decided in like cases decides: ``agreeing`` of the ``last`` decisions chose the same.

    A case is like another if the same is asked about the same values. What a person decided last outweighs the rest.
    """

    agreeing: StrictInt = Field(default=3, ge=1, le=1_000)
    last: StrictInt = Field(default=5, ge=1, le=1_000)

    @model_validator(mode="after")
    def can_agree(self) -> "DecisionHistory":
        if self.agreeing > self.last:
            raise ValueError("'agreeing' is more than 'last'")
        return self


class DecisionPolicy(DefinitionModel):
    """How a block's questions are answered, and by whom where the language model cannot or may not.

    ``question`` is what the branches' questions are the answers of: the one that fits best is taken; without it each is
    a statement, and the first that holds is taken. Below ``min_confidence`` (0 to 100) goes ``when_unsure``: to a
    ``person``, by the ``default`` branch, or to a branch's target. ``fallback`` is what decides instead of a model that
    is down, switched off or too dear; the first that can (None: expression, history, default, person). ``confirm`` are
    targets that nothing but a person's yes leads to. ``inputs`` are the names that the model is shown; None: the
    finished work's output and what the question names. ``max_cost_usd`` bounds one decision. ``timeout`` is the
    milliseconds for the model's answer, ``max_wait`` those for which ``wait`` lets the block wait for it.
    """

    question: str | None = Field(default=None, min_length=1, max_length=MAX_QUESTION_LENGTH)
    min_confidence: Annotated[float, Field(ge=0, le=100)] = 70
    when_unsure: Unsure = "person"
    fallback: tuple[Fallback, ...] | None = Field(default=None, max_length=5)
    history: DecisionHistory | None = DecisionHistory()
    confirm: tuple[TargetId, ...] = Field(default=(), max_length=1_000)
    inputs: tuple[ContextName, ...] | None = Field(default=None, max_length=100)
    model: str | None = Field(default=None, min_length=1, max_length=200)
    max_cost_usd: Annotated[float, Field(gt=0, le=1_000)] | None = None
    timeout: StrictInt | None = Field(default=None, ge=100, le=3_600_000)
    max_wait: StrictInt = Field(default=3_600_000, ge=1_000, le=MAX_RUN_TIMEOUT_MS)
    people: Asked | None = None

    def over(self, common: "DecisionPolicy | None") -> "DecisionPolicy":
        """Return this policy with what it does not say itself as ``common`` says it."""
        if common is None:
            return self
        return common.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Branch(DefinitionModel):
    """One way out of a block. With neither ``condition`` nor ``question`` it is the default.

    ``condition`` is an expression; ``question`` is plain language, put to the LLM. ``expression`` says the same as the
    question, for when no model answers.
    """

    condition: str | None = None
    question: str | None = Field(default=None, min_length=1, max_length=MAX_QUESTION_LENGTH)
    expression: str | None = Field(default=None, min_length=1)
    next_blocks: tuple[TargetId, ...] = Field(min_length=1)

    @property
    def is_default(self) -> bool:
        return self.condition is None and self.question is None

    @model_validator(mode="before")
    @classmethod
    def read_expressions(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        stripped = {
            name: data[name].strip()
            for name in ("condition", "expression")
            if isinstance(data.get(name), str)
        }
        # Document A has no word for the default branch; these are the ones people write.
        if stripped.get("condition") in ("else", "default", ""):
            stripped["condition"] = None
        return {**data, **stripped}

    @model_validator(mode="after")
    def one_kind(self) -> "Branch":
        if self.condition is not None and self.question is not None:
            raise ValueError("give 'condition' or 'question', not both")
        if self.expression is not None and self.question is None:
            raise ValueError("'expression' stands in for a 'question'; without one give 'condition'")
        object.__setattr__(self, "next_blocks", tuple(dict.fromkeys(self.next_blocks)))
        return self


class Conditions(DefinitionModel):
    """``expression`` guards the block, before it; ``branches`` decide where to go, after it."""

    type: Literal["exclusive", "inclusive"] = "exclusive"
    expression: str | None = None
    branches: tuple[Branch, ...] = ()

    def targets(self) -> Iterator[str]:
        """Yield where the branches lead."""
        for branch in self.branches:
            yield from branch.next_blocks


class Block(DefinitionModel):
    """One step of work. ``timeout`` is milliseconds.

    With ``for_each``, a list expression, it is a map: its tool runs once for each item, which the configuration reads
    as ``item`` and ``index``. ``toolType: MAP`` with a ``toolType`` and a ``configuration`` of its own in the
    configuration is another spelling of that.
    """

    block_id: BlockId
    name: str | None = Field(default=None, max_length=255)
    description: str | None = Field(default=None, max_length=2_000)
    agent_id: str | None = Field(default=None, max_length=100)
    agent_type: str | None = Field(default=None, max_length=100)
    tool_type: ToolType | None = None
    configuration: JsonObject = {}
    dependencies: tuple[SourceId, ...] = ()
    conditions: Conditions = Conditions()
    on_error: tuple[TargetId, ...] = ()
    join: Literal["all", "any"] | Annotated[StrictInt, Field(ge=1)] = "all"
    human_in_loop: HumanInLoop = HumanInLoop()
    retry_policy: RetryPolicy | None = None
    cache: CachePolicy | None = None
    timeout: StrictInt | None = Field(default=None, ge=1, le=7 * 86_400_000)
    on_failure: Literal["fail", "continue"] | None = None
    on_worker_lost: Literal["rerun", "fail", "ask"] = "rerun"
    recovery: Recovery | None = None
    optional: StrictBool = False
    default_output: JsonObject | None = None
    output_mapping: dict[str, str] | None = None
    for_each: str | None = None
    max_concurrency: StrictInt | None = Field(default=None, ge=1, le=1_000)
    tolerated_failure_percentage: Annotated[float, Field(ge=0, le=100)] = 0
    max_rounds: StrictInt | None = Field(default=None, ge=1, le=100_000)
    priority: Literal["high", "normal", "low"] | None = None
    decision: DecisionPolicy | None = None

    @property
    def has_tool(self) -> bool:
        """Whether something works on this block besides a person: its own tool, or that of an agent."""
        if self.tool_type is None:
            return bool(self.agent_id or (self.agent_type or ToolType.HUMAN).upper() != ToolType.HUMAN)
        return self.tool_type is not ToolType.HUMAN

    @property
    def asks_people(self) -> bool:
        """Whether the block stops until a person answers."""
        return self.human_in_loop.required or self.tool_type is ToolType.HUMAN

    @model_validator(mode="before")
    @classmethod
    def read_map(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("toolType", data.get("tool_type")) != ToolType.MAP:
            return data
        given = data.get("configuration")
        inner = dict(given) if isinstance(given, Mapping) else {}
        tool = inner.pop("toolType", None)
        configuration = inner.pop("configuration", {})
        if tool in (None, ToolType.MAP) or inner or not (data.get("forEach") or data.get("for_each")):
            raise ValueError(
                "toolType MAP wants forEach, and a configuration of toolType (of each item) and configuration"
            )
        rest = {name: value for name, value in data.items() if name != "tool_type"}
        return {**rest, "toolType": tool, "configuration": configuration}

    @model_validator(mode="after")
    def asks_no_choice(self) -> "Block":
        if self.human_in_loop.type is HumanStepType.CHOICE:
            raise ValueError("humanInLoop.type CHOICE is asked for questions of branches alone; use INPUT")
        return self

    @model_validator(mode="after")
    def normalise(self) -> "Block":
        object.__setattr__(self, "dependencies", tuple(sorted(set(self.dependencies))))
        object.__setattr__(self, "on_error", tuple(sorted(set(self.on_error))))
        return self


class Gate(DefinitionModel):
    """A join written as a source list (``[a,b]->c``): it opens when every listed block leads to it.

    ``set`` computes names from its sources' outputs before the branches are evaluated, once, in order.
    """

    sources: tuple[BlockId, ...] = Field(min_length=2)
    next_blocks: tuple[TargetId, ...] = ()
    branches: tuple[Branch, ...] = ()
    set: dict[str, str] = {}

    @property
    def name(self) -> str:
        return "[" + ",".join(self.sources) + "]"

    @model_validator(mode="after")
    def normalise(self) -> "Gate":
        object.__setattr__(self, "sources", tuple(sorted(set(self.sources))))
        object.__setattr__(self, "next_blocks", tuple(sorted(set(self.next_blocks))))
        if len(self.sources) < 2:
            raise ValueError("a join needs at least two different sources")
        if not self.next_blocks and not self.branches:
            raise ValueError("a join needs somewhere to go")
        return self


class GlobalSettings(DefinitionModel):
    """Defaults for every block. ``timeout`` is the run's, in milliseconds of active time."""

    timeout: StrictInt | None = Field(default=None, ge=1, le=MAX_RUN_TIMEOUT_MS)
    max_parallel_blocks: StrictInt | None = Field(default=None, ge=1, le=10_000)
    default_retry_policy: RetryPolicy | None = None
    default_recovery: RecoveryDefaults | None = None
    human_in_loop_defaults: HumanInLoop | None = None
    decisions: DecisionPolicy | None = None
    on_failure: Literal["fail", "continue"] = "fail"

    @model_validator(mode="after")
    def asks_no_choice(self) -> "GlobalSettings":
        if self.human_in_loop_defaults and self.human_in_loop_defaults.type is HumanStepType.CHOICE:
            raise ValueError("humanInLoopDefaults.type cannot be CHOICE")
        return self


class Definition(DefinitionModel):
    """A whole workflow.

    ``end_dependencies`` lists the blocks with an unconditional edge to ``end``. ``start`` among a block's
    dependencies says that it begins the run although an edge leads back to it; where no edge leads to a
    block, that is understood, and left out here. A dependency on a block whose branches lead here is that
    branch, and left out too.
    """

    blocks: tuple[Block, ...] = Field(min_length=1, max_length=MAX_BLOCKS)
    gates: tuple[Gate, ...] = ()
    end_dependencies: tuple[BlockId, ...] = ()
    input_schema: JsonObject | None = None
    global_settings: GlobalSettings = GlobalSettings()

    @model_validator(mode="after")
    def normalise(self) -> "Definition":
        branched = {
            block.block_id: frozenset(block.conditions.targets())
            for block in self.blocks
            if block.conditions.branches
        }
        ends = {name for name in self.end_dependencies if END not in branched.get(name, ())}
        object.__setattr__(self, "gates", tuple(sorted(self.gates, key=lambda gate: gate.sources)))
        object.__setattr__(self, "end_dependencies", tuple(sorted(ends)))
        targets = self.edge_targets()
        blocks = tuple(_with_plain_dependencies(block, branched, targets) for block in self.blocks)
        object.__setattr__(self, "blocks", blocks)
        return self

    def block(self, block_id: str) -> Block:
        """Return the block of that id; raises ``KeyError``."""
        for block in self.blocks:
            if block.block_id == block_id:
                return block
        raise KeyError(block_id)

    def decision_policy(self, block: Block | None) -> DecisionPolicy:
        """Return how the questions behind a block, or behind a join (None), are answered."""
        own = block.decision if block is not None else None
        return (own or DecisionPolicy()).over(self.global_settings.decisions)

    def edge_targets(self) -> frozenset[str]:
        """Return what branches, error edges and joins lead to (dependencies apart)."""
        found: set[str] = set()
        for block in self.blocks:
            found.update(block.on_error)
            found.update(block.conditions.targets())
        for gate in self.gates:
            found.update(gate.next_blocks)
            for branch in gate.branches:
                found.update(branch.next_blocks)
        return frozenset(found)


def _with_plain_dependencies(
    block: Block, branched: Mapping[str, frozenset[str]], targets: frozenset[str]
) -> Block:
    kept = tuple(name for name in block.dependencies if block.block_id not in branched.get(name, ()))
    if kept == (START,) and block.block_id not in targets:
        kept = ()
    return block if kept == block.dependencies else block.model_copy(update={"dependencies": kept})

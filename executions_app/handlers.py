"""What does the work of a block: a person's gate before it, then its tool; or its tool, then a review of its output.

``approvals_app`` stands above this app and registers its gate here when it is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import JsonValue

from executions_app.finishing import Aftermath
from executions_app.settlement import Settler
from executions_app.values import RunValues
from workflow_service.engine.definition import Block, Escalation, JsonObject


@dataclass(frozen=True, slots=True)
class BlockWork:
    """One block about to be worked on. ``input`` is its resolved configuration."""

    execution_id: int
    execution_public_id: str
    workspace_id: int
    workspace_public_id: str
    block_execution_id: int
    fence: int
    block: Block
    input: JsonValue
    input_sha256: str


@dataclass(frozen=True, slots=True)
class Proceed:
    """The work may go on; ``output_extra`` is added to the block's output."""

    output_extra: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a block made that does not count before people have looked at it."""

    output: JsonValue


@dataclass(frozen=True, slots=True)
class Ask:
    """A person must be asked first. ``record`` writes the question, inside the transaction that parks the block,
    and may return data for the run's ``approval_requested`` event. ``proposed`` is what a review is about.

    ``wait_key`` says what kind of answer is waited for, where it is not a yes; ``output_extra`` is kept for it.
    """

    record: Callable[[], Mapping[str, JsonValue] | None]
    proposed: Proposed | None = None
    wait_key: str = ""
    output_extra: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Somebody has said yes to exactly what a block made; ``output`` is what it gives."""

    output: JsonValue


# What is done in the transaction that parks a block, once its row waits; returns what is left to do after the commit
# about other executions, by their id.
AfterParking = Callable[[Settler, Any], Sequence[tuple[int, Aftermath]]]


@dataclass(frozen=True, slots=True)
class Park:
    """The block waits for something other than a person; the fields are those of ``parking.park``.

    ``output_extra`` is added to the output that the block will have.
    """

    waits_for: str
    wait_key: str = ""
    due_in_s: float | None = None
    due_at: datetime | None = None
    event_data: Mapping[str, JsonValue] = field(default_factory=dict)
    then: AfterParking | None = None
    output_extra: Mapping[str, JsonValue] = field(default_factory=dict)


class HumanGate(Protocol):
    """Decides whether a block with ``humanInLoop.required`` may go on."""

    def __call__(self, work: BlockWork) -> Proceed | Ask: ...


class ReviewGate(Protocol):
    """Decides whether what a block made is its output, or people are to look at it first.

    ``values`` are those of the transaction that it is called in; None where it is called in none.
    """

    def __call__(
        self, work: BlockWork, output: JsonValue, values: RunValues | None = None
    ) -> Reviewed | Ask: ...


@dataclass(frozen=True, slots=True)
class Intervention:
    """A failed block that a person is to save, by one of ``actions``.

    ``input`` is its resolved configuration, None where there is none; ``mendable`` says whether a retry may change it.
    """

    execution_id: int
    workspace_id: int
    block_execution_id: int
    block: Block
    escalation: Escalation
    actions: Sequence[str]
    error: JsonObject
    input: JsonValue
    mendable: bool


# Writes the question, in the transaction that lets the block wait; returns what the run's event says of it.
AskIntervention = Callable[[Intervention], JsonObject]


class NoHumanGate(RuntimeError):
    """A block needs a person and no gate is registered: ``approvals_app`` is not installed."""


SweepStep = Callable[[], object]
# Given the keys of execution rows that are being cancelled, inside the transaction that holds their locks.
CancelStep = Callable[[Sequence[int]], object]

_gates: list[HumanGate] = []
_review_gates: list[ReviewGate] = []
_interventions: list[AskIntervention] = []
_sweep_steps: list[SweepStep] = []
_cancel_steps: list[CancelStep] = []


def register_human_gate(gate: HumanGate) -> None:
    """Register the gate; called once, when the app that owns approvals is loaded."""
    _gates[:] = [gate]


def human_gate() -> HumanGate:
    """Return the registered gate; raises ``NoHumanGate``."""
    if not _gates:
        raise NoHumanGate
    return _gates[0]


def register_review_gate(gate: ReviewGate) -> None:
    """Register the gate behind the work; called once, like ``register_human_gate``."""
    _review_gates[:] = [gate]


def review_gate() -> ReviewGate:
    """Return the registered gate behind the work; raises ``NoHumanGate``."""
    if not _review_gates:
        raise NoHumanGate
    return _review_gates[0]


def register_intervention(ask: AskIntervention) -> None:
    """Register how people are asked about failed blocks; called once, like ``register_human_gate``."""
    _interventions[:] = [ask]


def asks_people_to_intervene() -> AskIntervention:
    """Return how people are asked about failed blocks; raises ``NoHumanGate``."""
    if not _interventions:
        raise NoHumanGate
    return _interventions[0]


def register_sweep_step(step: SweepStep) -> None:
    """Add what an app above this one has the sweeper repair every second; repeating it must be harmless."""
    if step not in _sweep_steps:
        _sweep_steps.append(step)


def sweep_steps() -> tuple[SweepStep, ...]:
    """Return what other apps have the sweeper repair."""
    return tuple(_sweep_steps)


def register_cancel_step(step: CancelStep) -> None:
    """Add what an app above this one does when runs are cancelled, in the same transaction."""
    if step not in _cancel_steps:
        _cancel_steps.append(step)


def run_cancel_steps(execution_ids: Sequence[int]) -> None:
    """Do what other apps do when these runs are cancelled."""
    for step in _cancel_steps:
        step(execution_ids)

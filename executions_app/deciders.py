"""Questions behind blocks: who answers them, how people are asked, and what becomes of an answer.

``workflow_service.decisions`` and ``approvals_app`` stand above this app and register themselves here when they are
loaded. What comes out of a decision is the output of its DECIDE row, of which ``edges`` are the ways that the run
takes. A row that waits for a person keeps in ``output_extra`` what each way is called: an answer can name nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from workflow_service.engine.definition import Asked, Block, JsonObject

if TYPE_CHECKING:
    from executions_app.progress import Claim
    from executions_app.running import Outcome
    from executions_app.settlement import Settler

# What a row that waits for a person to choose its way has as its ``wait_key``.
CHOICE = "choice"
# What an answer of a person holds, and whom a decision is by.
CHOSEN = "choice"
PERSON = "person"
# Of a decision's output what its event does not tell: where it leads says the settlement.
_UNTOLD = frozenset({"edges", "ways", "sure", "conditions", "case", "shown", "reason"})


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A person is to choose among ``options`` (key and words of each); ``shown`` is what the decision is about.

    ``block`` is what the question stands behind, None for a join. With ``many`` any number may be chosen.
    ``asked`` is the question itself, in one sentence; ``message`` all that there is to read about it.
    """

    execution_id: int
    block_execution_id: int
    block_id: str
    block: Block | None
    people: Asked | None
    asked: str
    message: str
    options: Sequence[tuple[str, str]]
    many: bool
    shown: JsonObject
    shown_sha256: str


# Answers the question of a claimed DECIDE row, outside of any transaction.
Decider = Callable[["Claim"], "Outcome"]
# Writes the question, in the transaction that lets the row wait; returns what the run's event says of it.
AskChoice = Callable[[ChoiceQuestion], JsonObject]
# Keeps a decision, in the transaction that settles its row: given that row and its output.
RecordDecision = Callable[["Settler", Any, JsonObject], None]


class NoDecider(RuntimeError):
    """A question is to be answered, and what answers questions is not installed."""


_deciders: list[Decider] = []
_choices: list[AskChoice] = []
_recorders: list[RecordDecision] = []


def register_decider(decide: Decider, record: RecordDecision) -> None:
    """Register who answers questions and keeps what was decided; called once, when that app is loaded."""
    _deciders[:] = [decide]
    _recorders[:] = [record]


def decider() -> Decider:
    """Return who answers questions; raises ``NoDecider``."""
    if not _deciders:
        raise NoDecider
    return _deciders[0]


def register_choice(ask: AskChoice) -> None:
    """Register how people are asked to choose; called once, like ``register_decider``."""
    _choices[:] = [ask]


def asks_people_to_choose() -> AskChoice:
    """Return how people are asked to choose; raises ``NoDecider``."""
    if not _choices:
        raise NoDecider
    return _choices[0]


# The source of a decision that nobody judged.
BY_DEFAULT = "default"
MAX_MESSAGE = 1_000


def tell_decision(settler: "Settler", row: Any, output: JsonObject) -> None:
    """Append the event of a decision whose row is being settled, and have it kept."""
    told = {name: value for name, value in output.items() if name not in _UNTOLD}
    told |= {
        "state": row.block_id.removesuffix("?"),
        "decision": words_of(output),
        "chosen": output.get("decision"),
    }
    settler.journal.block_event("ai_decision", row, row.finished_at, told)
    if output.get("source") == BY_DEFAULT:
        # Nobody judged the question: whoever looks at the run should see that.
        message = (
            f"The question behind block {told['state']} was decided by default: {told.get('reasoning', '')}"
        )
        settler.journal.log("WARNING", message[:MAX_MESSAGE], row)
    for record in _recorders:
        record(settler, row, output)


def words_of(output: Mapping[str, Any]) -> str:
    """Return a decision in words, as document B section 7.1 has it: "Route to create_account"."""
    chosen, options = output.get("decision"), output.get("options")
    keys = [str(key) for key in chosen] if isinstance(chosen, list) else []
    targets = {
        str(one["key"]): [str(target) for target in one["targets"]]
        for one in (options if isinstance(options, list) else [])
        if isinstance(one, dict)
    }
    return f"Route to {', '.join(target for key in keys for target in targets.get(key, [key])) or 'nothing'}"


def conditions_of(output: JsonObject) -> list[tuple[str, bool]]:
    """Return the conditions and questions that a decision read, with their results."""
    read = output.get("conditions")
    return [(str(one["condition"]), one["result"] is True) for one in read or () if isinstance(one, dict)]  # type: ignore[union-attr]


def chosen_by_person(
    waiting: Mapping[str, JsonValue], response: JsonObject, *, responder: str, comments: str
) -> JsonObject:
    """Return the output of a DECIDE row after a person's answer; raises ``ValueError`` for what was not offered.

    ``waiting`` is the row's ``output_extra``.
    """
    given = response.get(CHOSEN)
    keys = [str(key) for key in given] if isinstance(given, list) else [str(given)]
    ways, sure = waiting.get("ways"), waiting.get("sure")
    if not isinstance(ways, dict) or not isinstance(sure, list):
        raise ValueError("what could be chosen is not known any more")
    unknown = [key for key in keys if key not in ways]
    if unknown:
        raise ValueError(f"'{unknown[0][:100]}' is none of {', '.join(ways)}")
    edges = [*sure]
    for key in keys:
        edges += ways[key] if isinstance(ways[key], list) else []  # type: ignore[arg-type]
    return {
        "edges": edges,
        "decision": list(keys),
        "source": PERSON,
        "reasoning": comments,
        "confidence": None,
        "decidedBy": responder,
    }

"""The case of a decision: what is open, and the values by which it is decided.

Values are read in one transaction that is over before a model is asked. Nothing that the workspace keeps as a secret is
among them, whichever way it came into the run; a case is known by the hash of what is asked and of what is shown.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from hashlib import sha256
from operator import or_

from pydantic import JsonValue

from executions_app.progress import Claim
from executions_app.transaction import pipelined_transaction
from executions_app.values import RunScope, RunValues
from templates_app.plans import compiled_version
from workflow_service.engine.decision import Choice, by_expressions, choice_of, owner_of
from workflow_service.engine.definition import DecisionPolicy, JsonObject
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.graph import Node
from workflow_service.engine.scope import References
from workflow_service.vault.redaction import Redactor
from workflow_service.vault.secrets import reveal_some, secret_names

MAX_WORDS = 500
# A text is shown up to so many characters, a list up to so many items, and all of it in so many characters of JSON.
TEXT_CHARACTERS = 4_000
LIST_ITEMS = 100
SHOWN_CHARACTERS = 24_000
CUT = "… (cut)"
_WORD = re.compile(r"[^\W\d]\w{0,254}")

# Whether models may be asked, who started the run, and when the decision came up.
RUN_FACTS = """
    SELECT coalesce(i.options->>'enableAiDecisions', 'true') <> 'false' AS models_allowed, e.created_by_id,
        b.created_at, clock_timestamp() AS now
    FROM executions_app_execution e
    JOIN executions_app_executioninput i ON i.execution_id = e.id
    JOIN executions_app_blockexecution b ON b.id = %s
    WHERE e.id = %s
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One question of one run. ``rule`` is what the expressions beside the questions say, None where they say nothing.

    ``shown`` is as much of the values, ``whole``, as a model is shown. ``models_allowed`` is the run's own option.
    ``since`` is when the decision came up, ``waited_s`` how long ago that is.
    """

    claim: Claim
    owner: Node
    policy: DecisionPolicy
    choice: Choice
    shown: JsonObject
    whole: JsonObject
    rule: tuple[str, ...] | None
    models_allowed: bool
    created_by_id: int | None
    template_id: str
    since: datetime
    waited_s: float

    @property
    def asked(self) -> str:
        """The question in words: the block's own, or else the statements among which one is to be found true."""
        return self.policy.question or " / ".join(option.text for option in self.choice.options)

    @property
    def sha256(self) -> str:
        """The hash by which like cases are known: of what is asked, and of the values it is asked about.

        Of the whole values: what differs behind a cut is no like case.
        """
        options: list[JsonValue] = [[way.key, way.text] for way in self.choice.ways]
        known = json.dumps(
            [self.template_id, self.owner.id, self.policy.question, options, self.choice.many, self.whole],
            sort_keys=True,
            ensure_ascii=False,
        )
        return sha256(known.encode("utf-8", "replace")).hexdigest()


def read_case(claim: Claim) -> Case:
    """Return the case of a claimed DECIDE row; raises ``ExpressionError`` where a condition cannot be read."""
    compiled = compiled_version(claim.version_id)
    plan = compiled.plan
    node = plan.nodes[claim.node]
    owner = owner_of(plan, node)
    policy = compiled.definition.decision_policy(owner.block)
    with pipelined_transaction() as tx:
        facts = tx.one(RUN_FACTS, (claim.block_execution_id, claim.execution_id))
        values = RunValues(tx, claim.execution_id, claim.execution_public_id)
        own = _output(values, owner)
        scope = values.scope(own)
        values.prefetch([_references(node)])
        choice = choice_of(plan, node, scope)
        rule = _rule(choice, scope)
        shown = _shown(values, own, policy, choice)
    hide = Redactor(reveal_some(claim.workspace_id, secret_names(claim.workspace_id)).values())
    whole = {hide.text(name): hide.json(value) for name, value in shown.items()}
    return Case(
        claim=claim,
        owner=owner,
        policy=policy,
        choice=choice,
        shown=_fitting(whole),
        whole=whole,
        rule=rule,
        models_allowed=facts.models_allowed,
        created_by_id=facts.created_by_id,
        template_id=compiled.template_id,
        since=facts.created_at,
        waited_s=max(0.0, (facts.now - facts.created_at).total_seconds()),
    )


def _references(node: Node) -> References:
    return reduce(
        or_,
        (branch.expression.references for branch in node.routing.branches if branch.expression is not None),
        References(),
    )


def _output(values: RunValues, owner: Node) -> JsonValue:
    if owner.block is None:
        return None
    try:
        output: JsonValue = values.output(owner.id)
    except KeyError:
        return None
    return output


def _rule(choice: Choice, scope: RunScope) -> tuple[str, ...] | None:
    try:
        return by_expressions(choice, scope)
    except ExpressionError:
        # A rule that cannot be read says nothing; what else may decide comes after it.
        return None


def _shown(values: RunValues, own: JsonValue, policy: DecisionPolicy, choice: Choice) -> dict[str, JsonValue]:
    """Return the values that a model is shown, by name."""
    output = own if isinstance(own, dict) else {} if own is None else {"output": own}
    if policy.inputs is not None:
        return _named(values, output, policy.inputs)
    words = (word for text in (policy.question or "", *_texts(choice)) for word in _WORD.findall(text))
    return {**_named(values, {}, list(dict.fromkeys(words))[:MAX_WORDS]), **output}


def _texts(choice: Choice) -> Iterable[str]:
    return (option.text for option in choice.options)


def _named(values: RunValues, own: Mapping[str, JsonValue], names: Iterable[str]) -> dict[str, JsonValue]:
    """Return the values of those names that there are: of the block's output, the context, the run's input."""
    wanted = list(names)
    values.prefetch([References(context=frozenset(wanted))])
    given = values.input if isinstance(values.input, dict) else {}
    found: dict[str, JsonValue] = {}
    for name in wanted:
        if name in own:
            found[name] = own[name]
            continue
        try:
            found[name] = values.context(name)
        except KeyError:
            if name in given:
                found[name] = given[name]
    return found


def _fitting(shown: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return as many values as a model is shown, in the order of their names: an order that content alone decides."""
    left = SHOWN_CHARACTERS
    fitting: dict[str, JsonValue] = {}
    for name in sorted(shown):
        short = _short(shown[name])
        left -= len(name) + len(json.dumps(short, ensure_ascii=False))
        fitting[name] = short if left >= 0 else CUT
    return fitting


def _short(value: JsonValue) -> JsonValue:
    match value:
        case str() if len(value) > TEXT_CHARACTERS:
            return value[:TEXT_CHARACTERS] + CUT
        case list():
            return [_short(one) for one in value[:LIST_ITEMS]] + ([CUT] if len(value) > LIST_ITEMS else [])
        case dict():
            return {name: _short(one) for name, one in value.items()}
    return value

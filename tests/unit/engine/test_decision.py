"""What a decision may choose among: declared branches, the conditions before them read by rule."""

from typing import Any

import pytest

from tests.unit.engine.graphs import planned, workflow
from workflow_service.engine.decision import ELSE, Choice, by_expressions, choice_of, owner_of
from workflow_service.engine.definition import Branch, DecisionPolicy, Definition
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.plan import NodeKind, Plan, compile_plan
from workflow_service.engine.validation import validate


class Values(dict[str, Any]):
    """A scope of names alone."""

    input: Any = None
    execution: dict[str, Any] = {}

    def name(self, name: str) -> Any:
        return self[name]

    context = output = secret = name


def choice(plan: Plan, **values: Any) -> Choice:
    (node,) = [node for node in plan.nodes if node.kind is NodeKind.DECIDE]
    return choice_of(plan, node, Values(values))


MIXED = 'a->rush:late == true; a->calm:"the customer is angry"; a->gift:vip == true; a->bill:"it is about money"; a->b'


@pytest.mark.parametrize(
    ("values", "open_ways", "read"),
    [
        ({"late": True, "vip": False}, ["rush"], 1),
        ({"late": False, "vip": True}, ["calm", "gift"], 2),
        ({"late": False, "vip": False}, ["calm", "bill", ELSE], 2),
    ],
    ids=["a condition first", "a condition between", "questions alone"],
)
def test_conditions_before_a_question_are_rules(
    values: dict[str, Any], open_ways: list[str], read: int
) -> None:
    found = choice(planned(MIXED), **values)
    assert list(found.keys) == open_ways
    assert len(found.read) == read


def test_only_a_declared_way_is_an_answer() -> None:
    found = choice(planned(MIXED), late=False, vip=False)
    for words in (["delete_everything"], ["calm", "bill"], [], ["gift"], ["rush"]):
        with pytest.raises(ValueError, match=r"none of|exactly one"):
            found.edges_of(words)
    assert len(found.edges_of(["calm"])) == 1


def test_inclusive_takes_what_holds_and_what_is_chosen() -> None:
    plan = planned('a->b:x == 1; a->c:"money"; a->d:"anger"; a->e', a={"mode": "inclusive"})
    found = choice(plan, x=1)
    assert found.keys == ("c", "d", ELSE)
    taken = {plan.nodes[plan.edges[edge].target].id for edge in found.edges_of(["c", "d"])}
    assert taken == {"b", "c", "d"}
    # What holds in any case is taken in place of the default.
    assert {plan.nodes[plan.edges[edge].target].id for edge in found.edges_of([ELSE])} == {"b"}
    with pytest.raises(ValueError, match="alone"):
        found.edges_of(["c", ELSE])


def test_ways_to_one_place_have_keys_of_their_own() -> None:
    definition = load_definition(
        {
            "blocks": [
                {
                    "blockId": "a",
                    "toolType": "NOOP",
                    "conditions": {
                        "branches": [
                            {"question": "one", "nextBlocks": ["else"]},
                            {"question": "two", "nextBlocks": ["else"]},
                        ]
                    },
                },
                {"blockId": "else", "toolType": "NOOP"},
            ]
        }
    )
    assert choice(compile_plan(definition)).keys == ("else#2", "else#3")


def test_expressions_stand_in_for_questions_in_order() -> None:
    text = 'start->a; a->b:"angry" fallback mood == "bad"; a->c:"pleased" fallback mood == "good"; a->d:else; b->end;'
    definition = parse_dsl(text + "c->end;d->end;", {name: {"toolType": "NOOP"} for name in "abcd"})
    plan = compile_plan(definition)
    for mood, taken in (("bad", "b"), ("good", "c"), ("so so", ELSE)):
        assert by_expressions(choice(plan, mood=mood), Values(mood=mood)) == (taken,)
    assert parse_dsl(render_dsl(definition), states_of(definition)) == definition


def test_a_question_without_expression_has_no_rule() -> None:
    assert by_expressions(choice(planned('a->b:"angry"; a->c')), Values()) is None


def test_the_blocks_own_words_go_over_the_defaults() -> None:
    definition = Definition.model_validate(
        {
            "blocks": [{"blockId": "a", "toolType": "NOOP", "decision": {"minConfidence": 90}}],
            "globalSettings": {"decisions": {"minConfidence": 10, "model": "small"}},
        }
    )
    assert definition.decision_policy(definition.blocks[0]) == DecisionPolicy(
        min_confidence=90, model="small"
    )
    assert definition.decision_policy(None).min_confidence == 10


def test_a_decide_node_stands_behind_its_block_or_join() -> None:
    for text, owner in (('a->b:"x"', "a"), ('[a,b]->c:"x"', "[a,b]")):
        plan = planned(text)
        (node,) = [node for node in plan.nodes if node.kind is NodeKind.DECIDE]
        assert owner_of(plan, node).id == owner


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        ({"whenUnsure": "nowhere"}, "UNKNOWN_BRANCH"),
        ({"confirm": ["nowhere"]}, "UNKNOWN_BRANCH"),
        ({"fallback": ["history", "wait"]}, "QUESTION_WITHOUT_FALLBACK"),
        ({"fallback": ["expression"]}, "QUESTION_WITHOUT_FALLBACK"),
        ({"fallback": ["default"]}, None),
        ({"fallback": ["history", "person"]}, None),
        ({"confirm": ["b"], "whenUnsure": "c"}, None),
    ],
    ids=["unsure", "confirm", "waits", "no expression", "default", "person", "sound"],
)
def test_findings(decision: dict[str, Any], code: str | None) -> None:
    found = [one.code for one in validate(workflow('a->b:"x"; a->c', a={"decision": decision}))]
    assert found == ([] if code is None else [code])


def test_a_decision_without_questions_is_told() -> None:
    assert [one.code for one in validate(workflow("a->b", a={"decision": {}}))] == [
        "DECISION_WITHOUT_QUESTION"
    ]


@pytest.mark.parametrize(
    ("text", "own", "common", "codes"),
    [
        ("a->b; a->c", ["b"], [], ["DECISION_WITHOUT_QUESTION", "UNCONFIRMED_WAY"]),
        ("a->b:n > 1; a->c", [], ["b"], ["UNCONFIRMED_WAY"]),
        ('a->b:"x"; a->c; c->b', [], ["b"], ["UNCONFIRMED_WAY"]),
        ('a->b:"x"; a->c', [], ["nowhere"], ["UNKNOWN_BRANCH"]),
        ('a->b:"x"; a->c', [], ["b"], []),
        ('a->b:n > 1; a->c:"x"; a->d', ["b"], [], []),
    ],
    ids=["no question", "a condition", "another way", "nowhere", "asked", "a condition beside a question"],
)
def test_what_is_to_be_confirmed_is_reached_by_decisions_alone(
    text: str, own: list[str], common: list[str], codes: list[str]
) -> None:
    definition = workflow(text, a={"decision": {"confirm": own}} if own else {})
    settings = definition.global_settings.model_copy(
        update={"decisions": DecisionPolicy(confirm=tuple(common))}
    )
    found = validate(definition.model_copy(update={"global_settings": settings}))
    assert [one.code for one in found if one.code != "MISSING_DEFAULT"] == codes


@pytest.mark.parametrize(
    "wrong",
    [
        {"minConfidence": 101},
        {"fallback": ["guess"]},
        {"history": {"agreeing": 3, "last": 2}},
        {"maxCostUsd": 0},
        {"confidence": 3},
    ],
    ids=["confidence", "fallback", "history", "cost", "unknown"],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidDefinition):
        load_definition({"blocks": [{"blockId": "a", "toolType": "NOOP", "decision": wrong}]})


def test_an_expression_wants_a_question() -> None:
    with pytest.raises(ValueError, match="stands in for a 'question'"):
        Branch(condition="x", expression="y", next_blocks=("a",))

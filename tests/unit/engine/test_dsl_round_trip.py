"""Parse and render are inverse: for random definitions with every feature, and for random texts."""

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_service.engine.definition import (
    END,
    START,
    Block,
    Branch,
    Conditions,
    DecisionHistory,
    DecisionPolicy,
    Definition,
    Gate,
    GlobalSettings,
    HumanInLoop,
    RetryPolicy,
)
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.states import ErrorType, HumanStepType, ToolType

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", "d", "e", "else_", "START", "_", "True", "if", "x1"]),
    st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,99}", fullmatch=True).filter(
        lambda name: name not in (START, END)
    ),
)
CONDITIONS = st.one_of(
    st.sampled_from(
        [
            "approved == True",
            "x == 'a;b->c:d#e'",
            'name == "it\'s" and not (n > 3)',
            "blocks.a.output.n > 1\n  or false",
            "exists(a.b) and 'q' in tags",
            "x == '\\n\\t\\\\'",
            "True",
        ]
    ),
    TEXT,
)
JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXT,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
JSON_OBJECTS = st.dictionaries(TEXT, JSON_VALUES, max_size=3)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def branches(draw: st.DrawFn, names: list[str]) -> tuple[Branch, ...]:
    targets = st.lists(st.sampled_from([*names, END]), min_size=1, max_size=3)
    found = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["condition", "condition", "question", "else"]))
        fields: dict[str, Any] = {"next_blocks": draw(targets)}
        if kind == "condition":
            fields["condition"] = draw(CONDITIONS)
        elif kind == "question":
            fields["question"] = draw(TEXT.filter(bool))
            fields["expression"] = draw(maybe(CONDITIONS.filter(str.strip)))
        found.append(Branch(**fields))
    return tuple(found)


RETRY_POLICIES = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 100),
    backoff_strategy=st.sampled_from(["fixed", "linear", "exponential"]),
    jitter=st.booleans(),
    retry_conditions=maybe(st.lists(st.sampled_from(ErrorType), max_size=2)),
)
HUMAN_STEPS = st.builds(
    HumanInLoop,
    required=st.booleans(),
    type=st.sampled_from([kind for kind in HumanStepType if kind is not HumanStepType.CHOICE]),
    assignees=st.lists(TEXT, max_size=2),
    message=maybe(TEXT),
    input_schema=maybe(JSON_OBJECTS),
    due_in=maybe(st.integers(1_000, 10**9)),
)


FEATURES: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXT,
    "description": TEXT,
    "agent_id": TEXT,
    "tool_type": st.sampled_from([tool for tool in ToolType if tool is not ToolType.MAP]),
    "configuration": JSON_OBJECTS,
    "join": st.one_of(st.sampled_from(["all", "any"]), st.integers(1, 9)),
    "human_in_loop": HUMAN_STEPS,
    "retry_policy": RETRY_POLICIES,
    "timeout": st.integers(1, 10**8),
    "optional": st.booleans(),
    "default_output": JSON_OBJECTS,
    "output_mapping": st.dictionaries(TEXT, TEXT, max_size=2),
    "for_each": TEXT,
    "max_concurrency": st.integers(1, 9),
    "max_rounds": st.integers(1, 9),
    "on_failure": st.sampled_from(["fail", "continue"]),
    "on_worker_lost": st.sampled_from(["rerun", "fail", "ask"]),
    "priority": st.sampled_from(["high", "normal", "low"]),
    "decision": st.builds(
        DecisionPolicy,
        question=maybe(TEXT.filter(bool)),
        min_confidence=st.integers(0, 100),
        fallback=maybe(st.lists(st.sampled_from(["expression", "default", "wait"]), max_size=3)),
        history=maybe(st.builds(DecisionHistory, agreeing=st.integers(1, 3))),
        inputs=maybe(st.lists(TEXT.filter(bool), max_size=2)),
    ),
}


@st.composite
def blocks(draw: st.DrawFn, block_id: str, names: list[str]) -> Block:
    features = draw(st.lists(st.sampled_from(sorted(FEATURES)), max_size=3, unique=True))
    return Block(
        block_id=block_id,
        dependencies=tuple(draw(st.lists(st.sampled_from([*names, START]), max_size=3))),
        on_error=tuple(draw(st.lists(st.sampled_from([*names, END]), max_size=2))),
        conditions=Conditions(
            type=draw(st.sampled_from(["exclusive", "inclusive"])),
            expression=draw(maybe(TEXT)),
            branches=draw(branches(names)),
        ),
        **{feature: draw(FEATURES[feature]) for feature in features},
    )


@st.composite
def gates(draw: st.DrawFn, names: list[str]) -> tuple[Gate, ...]:
    if len(names) < 2:
        return ()
    lists = st.lists(st.sampled_from(names), min_size=2, max_size=4, unique=True).map(
        lambda found: tuple(sorted(found))
    )
    found = []
    for sources in draw(st.lists(lists, max_size=2, unique=True)):
        ways = draw(branches(names))
        plain = draw(st.lists(st.sampled_from([*names, END]), min_size=0 if ways else 1, max_size=2))
        computed = draw(st.dictionaries(TEXT, TEXT, max_size=2))
        found.append(Gate(sources=sources, branches=ways, next_blocks=tuple(plain), set=computed))
    return tuple(found)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    return Definition(
        blocks=tuple(draw(blocks(name, names)) for name in names),
        gates=draw(gates(names)),
        end_dependencies=tuple(draw(st.lists(st.sampled_from(names), max_size=2))),
        input_schema=draw(maybe(JSON_OBJECTS)),
        global_settings=draw(st.builds(GlobalSettings, timeout=maybe(st.integers(1, 10**9)))),
    )


@settings(max_examples=150)
@given(definitions())
def test_a_definition_survives_the_dsl(definition: Definition) -> None:
    text = render_dsl(definition)
    again = parse_dsl(text, states_of(definition), definition.global_settings, definition.input_schema)
    assert again == definition
    assert [block.block_id for block in again.blocks] == [block.block_id for block in definition.blocks]
    assert render_dsl(again) == text


@settings(max_examples=60)
@given(definitions())
def test_a_definition_survives_its_document(definition: Definition) -> None:
    assert load_definition(dump_definition(definition)) == definition


PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            "c",
            "start",
            "end",
            "->",
            "->",
            "->",
            "!->",
            ";",
            ";",
            ";",
            ":",
            "[",
            "]",
            ",",
            "\n",
            " ",
        ),
        *(
            "x==1",
            "else",
            '"who?"',
            "'q'",
            "`",
            "#",
            "'",
            '"',
            "\\",
            "ä",
            "\u00a0",
            "=",
            "&&",
            "default",
            "-",
            "1",
        ),
    ]
)


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_a_random_text_is_refused_clearly_or_survives(text: str) -> None:
    try:
        definition = parse_dsl(text)
    except InvalidDefinition as error:
        problems = error.problems
    else:
        assert parse_dsl(render_dsl(definition), states_of(definition)) == definition
        return
    assert problems
    for problem in problems:
        assert problem.message
        assert (problem.line or 0) >= 1
        assert (problem.column or 0) >= 1


@given(st.text(max_size=60))
def test_an_arbitrary_text_raises_nothing_else(text: str) -> None:
    with contextlib.suppress(InvalidDefinition):
        parse_dsl(text)

"""The DSL: what each form means, what each slip is told, and how hostile text fares."""

import time
from typing import Any

import pytest

from tests.unit.engine import appendix_c
from workflow_service.engine.definition import END, START, Block, Branch, Conditions, Definition, Gate
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.errors import DslSyntaxError, InvalidDefinition
from workflow_service.engine.states import ToolType


def edges_of(definition: Definition) -> set[tuple[str, str, str | None]]:
    """Return every edge as (source, target, condition); error edges have the condition "!"."""
    found: set[tuple[str, str, str | None]] = {(name, END, None) for name in definition.end_dependencies}
    targeted = definition.edge_targets()
    for block in definition.blocks:
        name = block.block_id
        if not block.dependencies and name not in targeted:
            found.add((START, name, None))
        found.update((source, name, None) for source in block.dependencies)
        found.update((name, target, "!") for target in block.on_error)
        found.update(_branch_edges(name, block.conditions.branches))
    for gate in definition.gates:
        found.update((gate.name, target, None) for target in gate.next_blocks)
        found.update(_branch_edges(gate.name, gate.branches))
    return found


def _branch_edges(source: str, branches: tuple[Branch, ...]) -> set[tuple[str, str, str | None]]:
    return {
        (source, target, branch.condition or (branch.question and f'"{branch.question}"') or "else")
        for branch in branches
        for target in branch.next_blocks
    }


@pytest.mark.parametrize("name", appendix_c.WORKFLOWS)
def test_the_example_workflows_parse_and_render_back_to_the_same_edges(name: str) -> None:
    edges = appendix_c.WORKFLOWS[name]
    definition = parse_dsl(appendix_c.as_text(edges))
    assert edges_of(definition) == appendix_c.single_edges(edges)
    again = parse_dsl(render_dsl(definition), states_of(definition))
    assert again == definition
    assert edges_of(parse_dsl(render_dsl(definition))) == appendix_c.single_edges(edges)


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("start->a; a->b;", {("start", "a", None), ("a", "b", None)}),
        ("a->b;b->end", {("start", "a", None), ("a", "b", None), ("b", "end", None)}),
        (";;a->b;;", {("start", "a", None), ("a", "b", None)}),
        ("a->[b,c];", {("start", "a", None), ("a", "b", None), ("a", "c", None)}),
        ("a->[b,end];", {("start", "a", None), ("a", "b", None), ("a", "end", None)}),
        ("[a]->[b];", {("start", "a", None), ("a", "b", None)}),
        ("a->b;a->b;", {("start", "a", None), ("a", "b", None)}),
        ("a->b:x==1;a->c:else;", {("start", "a", None), ("a", "b", "x==1"), ("a", "c", "else")}),
        ("a->[b,c]:x==1;", {("start", "a", None), ("a", "b", "x==1"), ("a", "c", "x==1")}),
        ("a->b:x==1;a->c;", {("start", "a", None), ("a", "b", "x==1"), ("a", "c", None)}),
        ('a->b:"is it \\"ok\\"?";', {("start", "a", None), ("a", "b", '"is it "ok"?"')}),
        (
            "a->b:'angry; or -> not: yes # no';",
            {("start", "a", None), ("a", "b", '"angry; or -> not: yes # no"')},
        ),
        ("a->b:x=='p;q->r:s#t';", {("start", "a", None), ("a", "b", "x=='p;q->r:s#t'")}),
        ('a->b:x=="it\'s; ok" and y;', {("start", "a", None), ("a", "b", 'x=="it\'s; ok" and y')}),
        ("a->b:x in ['p','q'];", {("start", "a", None), ("a", "b", "x in ['p','q']")}),
        ("a!->b;a->c;", {("start", "a", None), ("a", "b", "!"), ("a", "c", None)}),
        ("a!->[b,end];", {("start", "a", None), ("a", "b", "!"), ("a", "end", "!")}),
        ("a->b;b->a:x;start->a;", {("start", "a", None), ("a", "b", None), ("b", "a", "x")}),
        ("a->a:x;start->a;", {("start", "a", None), ("a", "a", "x")}),
        (
            "[a,b]->c:x;[b,a]->d:else;",
            {("start", "a", None), ("start", "b", None), ("[a,b]", "c", "x"), ("[a,b]", "d", "else")},
        ),
        ("[b,a]->c;", {("start", "a", None), ("start", "b", None), ("[a,b]", "c", None)}),
        ("a -> b : x == 1 ;", {("start", "a", None), ("a", "b", "x == 1")}),
        ("a->b # note; with 'quotes\n;", {("start", "a", None), ("a", "b", None)}),
        ("# head\r\na->b:x # why\r\n;\r\nb->c;", {("start", "a", None), ("a", "b", "x"), ("b", "c", None)}),
        ("\ufeffa->b;\r\nb->c;\r", {("start", "a", None), ("a", "b", None), ("b", "c", None)}),
        ("a->b:x == 1\n  and y;", {("start", "a", None), ("a", "b", "x == 1\n  and y")}),
        ("else_->default_;", {("start", "else_", None), ("else_", "default_", None)}),
    ],
)
def test_each_form_means_its_edges(text: str, edges: set[Any]) -> None:
    definition = parse_dsl(text)
    assert edges_of(definition) == edges
    assert parse_dsl(render_dsl(definition), states_of(definition)) == definition


def test_the_order_of_branches_is_the_order_of_lines() -> None:
    definition = parse_dsl("a->z:x==1; a->y:x==2; a->x:else; a->w:x==3;")
    branches = definition.block("a").conditions.branches
    assert [branch.next_blocks for branch in branches] == [("z",), ("y",), ("x",), ("w",)]


def test_lines_of_one_list_are_one_join_with_ordered_conditions() -> None:
    (gate,) = parse_dsl("[a,b,c]->d:x==1; [c,a,b]->e:x==2; [b,c,a]->f;").gates
    assert gate == Gate(
        sources=("a", "b", "c"),
        next_blocks=("f",),
        branches=(Branch(condition="x==1", next_blocks=("d",)), Branch(condition="x==2", next_blocks=("e",))),
    )


def test_a_target_of_both_a_condition_and_the_default_keeps_both() -> None:
    definition = parse_dsl("a->x:p; a->b:q; a->b;")
    assert definition.block("a").conditions.branches == (
        Branch(condition="p", next_blocks=("x",)),
        Branch(condition="q", next_blocks=("b",)),
        Branch(next_blocks=("b",)),
    )
    assert definition.block("b").dependencies == ()


def test_blocks_come_as_first_named_or_in_the_order_of_states() -> None:
    text = "start->b; b->[c,a];"
    assert [block.block_id for block in parse_dsl(text).blocks] == ["b", "c", "a"]
    states: dict[str, Any] = {"a": {}, "c": {}, "b": {}}
    assert [block.block_id for block in parse_dsl(text, states).blocks] == ["a", "c", "b"]
    assert [block.block_id for block in parse_dsl(text, {"a": {}}).blocks] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("text", "line", "column", "fragment"),
    [
        ("start->a\na->end;", 1, 9, "';' is missing after 'a'"),
        ("start->a # first\n\n\na->end;", 1, 9, "';' is missing after 'a'"),
        ("start->[a,b]\n[a,b]->end;", 1, 13, "';' is missing after '[a,b]'"),
        ("a->b:x==1\nb->end;", 1, 10, "';' is missing after the condition"),
        ("a->c;\na->b:x==1  \n\n[b,c]->end;", 2, 10, "';' is missing after the condition"),
        ("a->b:x # why\nb->c;", 1, 7, "';' is missing after the condition"),
        ("a->b:x->c;", 1, 7, "'->' cannot stand in a condition"),
        ("a->b->c;", 1, 5, "a transition has one arrow; write a->b; b->c;"),
        ("a b->c;", 1, 3, "'->' is missing before 'b'"),
        ("a->b c;", 1, 6, "a state's name has no blanks"),
        ("my-state->b;", 1, 3, "write _ instead"),
        ("a=>b;", 1, 2, "an arrow is written '->'"),
        ("a-->b;", 1, 2, "an arrow is written '->'"),
        ("a\u2192b;", 1, 2, "an arrow is written '->'"),
        ("a!b;", 1, 2, "an error arrow is written '!->'"),
        ("a->;", 1, 4, "a target is missing after '->'"),
        ("a->", 1, 4, "a target is missing after '->'"),
        ("->b;", 1, 1, "a state's name is missing before '->'"),
        ("a;", 1, 2, "'->' and a target are missing after 'a'"),
        ("a", 1, 2, "'->' and a target are missing after 'a'"),
        ("a:x->b;", 1, 2, "a condition stands behind the target"),
        ("a->[b,c;", 1, 8, "expected ',' or ']'"),
        ("a->[b c];", 1, 7, "expected ',' or ']'"),
        ("[a,b->c;", 1, 5, "expected ',' or ']'"),
        ("a->[];", 1, 5, "expected a state's name"),
        ("a->[b,];", 1, 7, "expected a state's name"),
        ("a->b:'x;", 1, 6, "the quote ' is never closed"),
        ('a->b:x=="y;\nb->c:z=="w";', 1, 9, 'the quote " is never closed'),
        ("a->b:customer's angry;", 1, 14, "the quote ' is never closed"),
        ('"a"->b;', 1, 1, "write a state's name without quotes"),
        ("// note\na->b;", 1, 1, "begin a comment with #"),
        ("a->b;\n1a->b;", 2, 1, "cannot begin with a digit"),
        ("\u00e4->b;", 1, 1, "use the letters A to Z"),
        ("a->b;\u00a0c->d;", 1, 6, "the invisible character U+00A0"),
        ("a->b;\u200b", 1, 6, "the invisible character U+200B"),
        ("a.b->c;", 1, 2, "'.' is not expected here; expected '->'"),
        ("a->b)", 1, 5, "expected ':' and a condition or ';'"),
        ("", 1, 1, "the workflow has no states"),
        ("# only a comment", 1, 1, "the workflow has no states"),
        (";", 1, 1, "the workflow has no states"),
        ("\ud800->a;", 1, 1, "not valid Unicode"),
    ],
)
def test_a_syntax_error_names_place_and_mend(text: str, line: int, column: int, fragment: str) -> None:
    with pytest.raises(DslSyntaxError) as caught:
        parse_dsl(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert problem.code == "DSL_SYNTAX_ERROR"
    assert fragment in caught.value.message
    assert caught.value.message.startswith(f"line {line}, column {column}: ")


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "fragment"),
    [
        ("a->b:x=1;", "BAD_CONDITION", 1, 7, "write == to compare"),
        ("a->b:\n\n  x &&\n y;", "BAD_CONDITION", 3, 5, "write and"),
        ("a->b:x\n  and y = 1;", "BAD_CONDITION", 2, 9, "write == to compare"),
        ("a->b:\u00fc == '\u00fc' and x = 1;", "BAD_CONDITION", 1, 21, "write == to compare"),
        ("a->b:;", "BAD_CONDITION", 1, 6, "a condition is missing after ':'"),
        ("a->b:  ;", "BAD_CONDITION", 1, 8, "a condition is missing after ':'"),
        ("a->b:x==1:y;", "BAD_CONDITION", 1, 10, "':' cannot stand in a condition"),
        ("a->b:f(x);", "BAD_CONDITION", 1, 6, "no function 'f'"),
        ("a->b:count + 1;", "BAD_CONDITION", 1, 6, "never is"),
        ("a->b:the customer is angry;", "BAD_CONDITION", 1, 10, "enclose it in double quotes"),
        ("a->b:the customer sounds angry;", "BAD_CONDITION", 1, 10, "enclose it in double quotes"),
        ('a->b:"";', "BAD_CONDITION", 1, 6, "1 to 2000 characters"),
        (f'a->b:"{"x" * 2001}";', "BAD_CONDITION", 1, 6, "1 to 2000 characters"),
        (r'a->b:"\q";', "BAD_CONDITION", 1, 6, "unknown escape"),
        (r'a->b:"\ud800";', "BAD_CONDITION", 1, 6, "unknown escape"),
        (f"a->b:{'x' * 3000};", "BAD_CONDITION", 1, 6, "at most 2048"),
        (f"a->b:{'not ' * 400}x;", "BAD_CONDITION", 1, 86, "nested deeper"),
        ("end->a;", "RESERVED_ID", 1, 1, "no transition leaves 'end'"),
        ("a->start;", "RESERVED_ID", 1, 4, "no transition leads to 'start'"),
        ("a->[b,start];", "RESERVED_ID", 1, 7, "no transition leads to 'start'"),
        ("[end,a]->b;", "RESERVED_ID", 1, 2, "no transition leaves 'end'"),
        ("start->a:x;", "RESERVED_ID", 1, 1, "no condition and no error arrow"),
        ("start!->a;", "RESERVED_ID", 1, 1, "no condition and no error arrow"),
        ("start->end;", "RESERVED_ID", 1, 1, "'start' cannot lead to 'end'"),
        ("[start,a]->b;", "RESERVED_ID", 1, 2, "'start' cannot be part of a join"),
        ("[a,b]!->c;", "BAD_ERROR_EDGE", 1, 2, "write one line for each state"),
        ("a!->b:x;", "BAD_ERROR_EDGE", 1, 7, "an error arrow has no condition"),
        (f"a->{'b' * 101};", "BAD_NAME", 1, 4, "at most 100 letters"),
    ],
)
def test_a_wrong_meaning_names_place_and_mend(
    text: str, code: str, line: int, column: int, fragment: str
) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_dsl(text)
    problem = caught.value.problems[0]
    assert (problem.code, problem.line, problem.column) == (code, line, column)
    assert fragment in caught.value.message


def test_every_wrong_place_is_named() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_dsl("end->a;\na->b:x=1;\nb->c:y &&;\na->start;", {"d": {}})
    assert [(problem.code, problem.line) for problem in caught.value.problems] == [
        ("RESERVED_ID", 1),
        ("BAD_CONDITION", 2),
        ("BAD_CONDITION", 3),
        ("RESERVED_ID", 4),
        ("UNKNOWN_BLOCK", None),
    ]
    assert caught.value.message.endswith("(and 4 more)")


def test_states_carry_what_the_text_does_not_say() -> None:
    definition = parse_dsl(
        "a->[b,c]; [b,c]->d:total > 3; d->end;",
        {
            "a": {"toolType": "USE_CASE", "configuration": {"useCase": "csv.extract"}, "timeout": 5000},
            "b": {"tool_type": "NOOP", "conditions": {"expression": "x > 1"}},
            "[c, b]": {"set": {"total": "blocks.b.output.n + blocks.c.output.n"}},
        },
        {"maxParallelBlocks": 4},
        {"type": "object"},
    )
    first = definition.block("a")
    assert (first.tool_type, first.timeout) == (ToolType.USE_CASE, 5000)
    assert definition.block("b").conditions == Conditions(expression="x > 1")
    assert definition.gates[0].set == {"total": "blocks.b.output.n + blocks.c.output.n"}
    assert definition.global_settings.max_parallel_blocks == 4
    assert definition.input_schema == {"type": "object"}
    assert definition.block("d").tool_type is None


def test_states_may_be_spelled_as_document_b_does() -> None:
    definition = parse_dsl(
        "start->a; a->b; b->end;",
        {
            "start": {"state_type": "start"},
            "a": {
                "state_name": "a",
                "state_type": "intermediate",
                "callback_type": "python_function",
                "callback_config": {"useCase": "x"},
                "timeout_seconds": 2.5,
                "retry_policy": {"max_retries": 1},
            },
            "b": {"type": "intermediate", "callback_type": "http_request", "callback_config": None},
            "end": {"description": "done"},
        },
    )
    first = definition.block("a")
    assert (first.tool_type, first.configuration, first.timeout) == (
        ToolType.USE_CASE,
        {"useCase": "x"},
        2500,
    )
    assert first.retry_policy is not None
    assert first.retry_policy.max_retries == 1
    assert definition.block("b").tool_type is ToolType.API


@pytest.mark.parametrize(
    ("states", "pointer", "fragment"),
    [
        ([], "/states", "/states: must be an object by block id, not a list"),
        ({"a": 3}, "/states/a", "must be an object, not a number"),
        ({"bb": {}}, "/states/bb", "the text names no state 'bb'"),
        ({"alpha_": {}}, "/states/alpha_", "did you mean 'alpha'?"),
        ({"[a,zz]": {}}, "/states/[a,zz]", "names no state"),
        ({"end": {"toolType": "NOOP"}}, "/states/end", "names no state 'end'"),
        ({"a": {"toolTyp": "NOOP"}}, "/states/a/toolTyp", "did you mean 'toolType'?"),
        ({"a": {"toolType": "HTTP"}}, "/states/a/toolType", "must be 'API', 'SCRIPT'"),
        ({"a": {"timeout": "5"}}, "/states/a/timeout", "must be a whole number, not a text"),
        ({"a": {"timeout": 5.5}}, "/states/a/timeout", "must be a whole number"),
        ({"a": {"timeout": True}}, "/states/a/timeout", "must be a whole number, not a true/false value"),
        ({"a": {"timeout": 0}}, "/states/a/timeout", "must be greater than or equal to 1"),
        ({"a": {"optional": 1}}, "/states/a/optional", "must be true or false, not a number"),
        ({"a": {"join": "some"}}, "/states/a/join", "must be 'all' or 'any'"),
        (
            {"a": {"humanInLoop": {"requird": True}}},
            "/states/a/humanInLoop/requird",
            "did you mean 'required'?",
        ),
        ({"a": {"dependencies": ["b"]}}, "/states/a/dependencies", "said by the text"),
        ({"a": {"on_error": ["b"]}}, "/states/a/on_error", "said by the text"),
        ({"a": {"blockId": "b"}}, "/states/a/blockId", "said by the text"),
        (
            {"a": {"conditions": {"branches": [{"nextBlocks": ["b"]}]}}},
            "/states/a/conditions/branches",
            "said by the text",
        ),
        ({"a": {"conditions": "x"}}, "/states/a/conditions", "must be an object, not a text"),
        (
            {"a": {"callback_type": "python_func"}},
            "/states/a/callback_type",
            "did you mean 'python_function'?",
        ),
        ({"a": {"callback_type": "script", "toolType": "API"}}, "/states/a/callback_type", "not both"),
        (
            {"a": {"toolType": "API", "tool_type": "API"}},
            "/states/a",
            "give 'toolType' or 'tool_type', not both",
        ),
        ({"a": {"timeout_seconds": -1}}, "/states/a/timeout_seconds", "a number of seconds above 0"),
        ({"a": {"timeout_seconds": "5"}}, "/states/a/timeout_seconds", "a number of seconds above 0"),
        (
            {"a": {"configuration": {"x": [float("nan")]}}},
            "/states/a/configuration/x/0",
            "nan is not a JSON number",
        ),
        ({"a": {"name": "\x00"}}, "/states/a/name", "U+0000"),
        ({"a": {"name": "\ud800"}}, "/states/a/name", "half of a surrogate pair"),
        ({"a": {"name": {1, 2}}}, "/states/a/name", "a set is not a JSON value"),
        ({"[a,b]": {"set": {"n": 3}}}, "/states/[a,b]/set/n", "must be a text, not a number"),
        ({"[a,b]": {"branches": [1]}}, "/states/[a,b]/branches", "said by the text"),
    ],
)
def test_a_wrong_state_names_its_place(states: Any, pointer: str, fragment: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_dsl("start->[a,b]; [a,b]->alpha;", states)
    assert pointer in [problem.pointer for problem in caught.value.problems]
    assert fragment in caught.value.message


def test_a_state_nested_too_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(InvalidDefinition, match="nested deeper than 100 levels"):
        parse_dsl("start->a;", {"a": {"configuration": {"x": deep}}})


def test_rendering_is_one_transition_a_line() -> None:
    text = (
        "start->a;\n"
        "a->b:x==1;\n"
        'a->c:"who is \\"it\\"?";\n'
        "a->[c,d];\n"
        "a!->end;\n"
        "b->end;\n"
        "[b,c]->d:y;\n"
        "[b,c]->e:else;\n"
        "d->end;\n"
        "e->end;\n"
    )
    states: dict[str, Any] = {name: {} for name in "abcde"}
    definition = parse_dsl(text.replace("a->[c,d]", "a->d"), states)
    assert render_dsl(definition) == text.replace("a->[c,d]", "a->d")


def test_a_draft_with_a_broken_condition_renders_and_reads_back() -> None:
    for condition in (
        "x ==",
        "a;b",
        "'open",
        "x # y",
        "a->b",
        "`tick`",
        "'lone text'",
        "back\\slash",
        "\r\n\tx =",
    ):
        branch = Branch(condition=condition, next_blocks=("end",))
        draft = Definition(blocks=(Block(block_id="a", conditions=Conditions(branches=(branch,))),))
        text = render_dsl(draft)
        assert "`" in text
        assert parse_dsl(text, states_of(draft)) == draft


def test_an_edge_to_nowhere_still_renders() -> None:
    draft = Definition(
        blocks=(Block(block_id="a", dependencies=("ghost",), on_error=("phantom",)),),
        gates=(Gate(sources=("x", "y"), next_blocks=("z",)),),
    )
    assert render_dsl(draft) == "a!->phantom;\n[x,y]->z;\nghost->a;\n"


def test_the_size_of_a_text_is_limited() -> None:
    text = "start->a;" + " " * 100
    assert parse_dsl(text, max_bytes=len(text)).blocks
    with pytest.raises(DslSyntaxError, match="at most 108 are read"):
        parse_dsl(text, max_bytes=len(text) - 1)
    with pytest.raises(DslSyntaxError, match="at most 108 are read"):
        parse_dsl("start->a; # " + "\u00e4" * 60, max_bytes=108)
    with pytest.raises(DslSyntaxError, match="1,000,001 bytes"):
        parse_dsl("x" * 1_000_001)
    with pytest.raises(DslSyntaxError, match="must be a text, not null"):
        parse_dsl(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 999_999,
        "a->" * 333_333,
        "a->b;" * 199_999,
        "a->[" + "b," * 499_990 + "c];",
        "'" * 1_000_000,
        "a->b:" + "x" * 999_990 + ";",
        "a->b:" + "'x'" * 333_330 + ";",
        "a->b:'" + "\\" * 999_990,
        'a->b:"' + "x" * 999_990 + '";',
        "a->b:" + "(" * 999_990,
        ";" * 1_000_000,
        "".join(f"a->b{i}:x==;" for i in range(30_000)),
        "".join(f"a{i}->a{i + 1};" for i in range(11_000)),
    ],
    ids=lambda text: f"{text[:8]}...",
)
def test_hostile_texts_are_refused_in_time(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidDefinition):
        parse_dsl(text)
    assert time.process_time() - started < 8


def test_a_long_text_parses_fast() -> None:
    count = 2_500
    text = "start->s0;\n" + "".join(
        f"s{i}->s{i + 1}:count_{i} > {i} and status == 'ok';\ns{i}!->s{i + 1};\n" for i in range(count)
    )
    started = time.process_time()
    definition = parse_dsl(text)
    assert time.process_time() - started < 10
    assert len(definition.blocks) == count + 1
    assert render_dsl(definition) == text


def test_a_state_that_nothing_leads_to_is_named_with_its_place() -> None:
    with pytest.raises(InvalidDefinition) as raised:
        parse_dsl("start->work;\nwork->end;\nlost->end;")
    (problem,) = raised.value.problems
    assert (problem.code, problem.line, problem.column) == ("UNREACHABLE_BLOCK", 3, 1)
    assert "'lost'" in problem.message
    assert "start->lost;" in problem.suggestion


def test_where_no_line_leaves_start_every_first_state_starts() -> None:
    assert {block.block_id for block in parse_dsl("a->b; c->b;").blocks} == {"a", "b", "c"}

"""The expression language: what it means, what it refuses, and that nothing else ever comes out of it."""

import ast
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import (
    MissingValue,
    References,
    ValuesScope,
    compile_condition,
    compile_expression,
    evaluate_condition,
)
from workflow_service.engine.operators import MAX_LIST_LENGTH, MAX_TEXT_LENGTH

SCOPE = ValuesScope(
    context_values={
        "count": 3,
        "price": 2.5,
        "name": "Ada",
        "ok": True,
        "nothing": None,
        "tags": ["a", "b"],
        "order": {"total": 40, "lines": [{"sku": "x1"}, {"sku": "x2"}], "class": "gold", "my-key": 1},
        "shadowed": "context",
        "flags": [True, False],
    },
    own={"shadowed": "own", "approved": False},
    outputs={"load": {"rows": 9}},
    input={"path": "in.csv"},
    execution={"id": "exec_1"},
    secrets={"TOKEN": "s3cret"},
)


def evaluate(source: str) -> Any:
    return compile_expression(source).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1", 1),
        ("-count", -3),
        ("+count", 3),
        ("'a' 'b'", "ab"),
        ("True", True),
        ("true", True),
        ("false", False),
        ("null", None),
        ("None", None),
        ("[1, 'a', [null]]", [1, "a", [None]]),
        ("(1, 2)", [1, 2]),
        ("count + 1", 4),
        ("count - 1", 2),
        ("count * price", 7.5),
        ("count / 2", 1.5),
        ("count % 2", 1),
        ("name + '!'", "Ada!"),
        ("tags + ['c']", ["a", "b", "c"]),
        ("count == 3", True),
        ("ok == True", True),
        ("ok == true", True),
        ("name != 'Ada'", False),
        ("name == 3", False),
        ("nothing == null", True),
        ("1 < count <= 3", True),
        ("1 < count < 3", False),
        ("'Aa' < name", True),
        ("'a' in tags", True),
        ("'c' not in tags", True),
        ("name in ('Ada', 'Grace')", True),
        ("'da' in name", True),
        ("'total' in order", True),
        ("ok and count > 2", True),
        ("not ok or count > 2", True),
        ("not (ok and approved)", True),
        ("order.total", 40),
        ("order['total']", 40),
        ("order['my-key']", 1),
        ("order['class']", "gold"),
        ("order.lines[0].sku", "x1"),
        ("order.lines[-1]['sku']", "x2"),
        ("order.lines[count - 2].sku", "x2"),
        ("shadowed", "own"),
        ("context.shadowed", "context"),
        ("context['shadowed']", "context"),
        ("workflow.input.path", "in.csv"),
        ("blocks.load.output.rows", 9),
        ("blocks['load'].output['rows']", 9),
        ("execution.id", "exec_1"),
        ("secrets.TOKEN", "s3cret"),
        ("len(tags) + len(name) + len(order)", 9),
        ("upper(name) + lower(name)", "ADAada"),
        ("startswith(name, 'A') and endswith(name, 'a')", True),
        ("contains(tags, 'a') and contains(name, 'd')", True),
        ("min(3, 1, 2) + max([3, 1, 2])", 4),
        ("max(name, 'Bob')", "Bob"),
        ("sum([1, 2, 0.5])", 3.5),
        ("sum([])", 0),
        ("any(flags) and not all(flags)", True),
        ("exists(order.total)", True),
        ("exists(order.nope.deeper)", False),
        ("exists(nope)", False),
        ("exists(nothing)", False),
        ("exists(nothing.deeper)", False),
        ("exists(order.lines[5])", False),
        ("exists(blocks.nope.output)", False),
        ("default(order.discount, 5)", 5),
        ("default(nothing, 'n/a')", "n/a"),
        ("default(order.total, nope)", 40),
        ("exists(nope) and nope > 3", False),
        ("ok or nope", True),
        ("  count  ==  3  ", True),
        ("(count\n == 3)", True),
        ("count == 3\n  and\tok", True),
        ("'übung' == 'übung'", True),
        ("'a;b->c:d' == 'a;b->c:d'", True),
    ],
)
def test_an_expression_has_its_value(source: str, expected: Any) -> None:
    found = evaluate(source)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("source", "fragment"),
    [
        ("nope == 1", "'nope' is missing"),
        ("input.total > 3", "what the run was started with is workflow.input"),
        ("context.nope", "the context has no 'nope'"),
        ("order.totl", "did you mean 'total'?"),
        ("order.totl > 3 and ok", "order.totl is missing: order has no 'totl'"),
        ("order.lines[7].sku", "order.lines[7] is missing: order.lines has no such entry"),
        ("nothing.x", "nothing is null"),
        ("blocks.nope.output", "block 'nope' has no output"),
        ("secrets.NOPE", "there is no secret 'NOPE'"),
        ("default(nope, nope)", "'nope' is missing"),
    ],
)
def test_a_missing_value_is_named(source: str, fragment: str) -> None:
    with pytest.raises(MissingValue) as caught:
        evaluate(source)
    assert fragment in caught.value.message
    assert caught.value.problems[0].code == "MISSING_VALUE"


@pytest.mark.parametrize(
    ("source", "fragment"),
    [
        ("name > 3", "cannot compare a text with a number"),
        ("ok > 0", "cannot compare a true/false value with a number"),
        ("nothing > 0", "cannot compare null with a number"),
        ("1 < count < name", "cannot compare a number with a text"),
        ("name + 1", "cannot add a text and a number"),
        ("ok + 1", "cannot add a true/false value and a number"),
        ("name * 3", "cannot multiply a text and a number"),
        ("name % 3", "cannot take the remainder of a text and a number"),
        ("-name", "cannot negate a text"),
        ("-ok", "cannot negate a true/false value"),
        ("+name", "cannot put + before a text"),
        ("count / 0", "cannot divide by zero"),
        ("count % 0", "cannot divide by zero"),
        ("count and ok", "count is a number, not true or false"),
        ("ok and name", "name is a text, not true or false"),
        ("not tags", "tags is a list, not true or false"),
        ("3 in name", "cannot look for a number in a text"),
        ("'a' in count", "cannot look into a number"),
        ("'a' in nothing", "cannot look into null"),
        ("name.upper", "name.upper: cannot look into a text"),
        ("name[0]", "cannot look into a text"),
        ("count.real", "cannot look into a number"),
        ("tags.length", "found by number"),
        ("tags['0']", "found by number"),
        ("tags[True]", "found by number"),
        ("order[0]", "the key of an object is a text"),
        ("order[nothing]", "the key of an object is a text"),
        ("len(3)", "len() needs a text, a list or an object"),
        ("upper(3)", "upper() needs a text, not a number"),
        ("startswith(name, 1)", "startswith() needs a text"),
        ("min([])", "has no value"),
        ("min([1, 'a'])", "numbers only or texts only"),
        ("min(3)", "min() needs a list"),
        ("sum(['a'])", "one entry is a text"),
        ("sum(3)", "sum() needs a list"),
        ("any([1])", "one entry is a number"),
        ("exists(count.x)", "cannot look into a number"),
        ("1e308 * 10", "not a finite number"),
        ("1e308 + 1e308", "not a finite number"),
    ],
)
def test_a_mismatch_of_kinds_is_an_error_never_false(source: str, fragment: str) -> None:
    expression = compile_expression(source)
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(SCOPE)
    assert fragment in caught.value.message
    assert caught.value.problems[0].code == "TYPE_MISMATCH"


@pytest.mark.parametrize(
    ("source", "column", "fragment"),
    [
        ("", 1, "empty"),
        ("   ", 1, "empty"),
        ("a = 1", 3, "write == to compare"),
        ("a == 1 && b", 8, "write and"),
        ("a == 1 || b", 8, "write or"),
        ("a === 1", 3, "write == or !="),
        ("!a", 1, "write not"),
        ("a AND b", 3, "write and"),
        ("NOT a", 1, "write not"),
        ("a <> b", 3, "write !="),
        ("a & b", 1, "write and"),
        ("a | b", 1, "write or"),
        ("~a", 1, "write not"),
        ("a is None", 1, "write == or !="),
        ("a is not None", 1, "write == or !="),
        ("a == 'x", 6, "never closed"),
        ("a == \u201cx\u201d", 6, "typographic"),
        ("a ? b : c", 3, "one transition for each case"),
        ("a; b", 2, "';' ends a transition"),
        ("(a == 1", 1, "'(' has no counterpart"),
        ("a == 1)", 7, "')' has no counterpart"),
        ("order.class == 1", 7, "write ['class']"),
        ("a == 1 # note", 8, "comment"),
        ("a == 1 or 'b'", 11, "'b' is never true or false"),
        ("a == 'x' or 'y' == a and not 3", 30, "3 is never true or false"),
        ("a == '\\d'", 7, "escape"),
        ("a == '\\x00'", 7, "escape"),
        ("a == '\\ud800'", 7, "escape"),
        ("a == '\x00'", 7, "U+0000"),
        ("a ==", 1, "cannot be read"),
        ("ä == 1 and ö = 2", 14, "write == to compare"),
        ("a == '''x'''", 6, "three quotes"),
    ],
)
def test_a_slip_gets_place_and_hint(source: str, column: int, fragment: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    assert fragment in caught.value.message
    problem = caught.value.problems[0]
    assert problem.line == 1
    if fragment != "cannot be read":
        assert problem.column == column


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__[0].__subclasses__()",
        "open('/etc/passwd')",
        "eval('1')",
        "name.format(count)",
        "lambda: 1",
        "[x for x in tags]",
        "any(x for x in tags)",
        "{'a': 1}",
        "{1, 2}",
        "{}",
        "f'{count}'",
        "(a := 1)",
        "a if ok else b",
        "tags[0:1]",
        "tags[:]",
        "[*tags]",
        "len(*tags)",
        "len(x=tags)",
        "len()",
        "len(tags, tags)",
        "exists()",
        "default(a)",
        "len(tags)(1)",
        "tags[0](1)",
        "2 ** 3",
        "9 // 2",
        "1 << 9",
        "a @ b",
        "a ^ b",
        "b'x'",
        "1j",
        "...",
        "await a",
        "yield a",
        "workflow",
        "workflow.id",
        "blocks",
        "blocks.load",
        "blocks.load.status",
        "blocks[name].output",
        "context",
        "context[name]",
        "secrets",
        "secrets[name]",
        "execution",
        "execution.status",
        "print(1)",
        "1; 2",
        "a, *b",
        "import os",
        "pass",
        "1e999",
        "-1e999",
        "'" + "a" * 3_000 + "'",
        "9" * 400,
        "\ud800",
        "'\ud800'",
    ],
)
def test_what_is_not_part_of_the_language_does_not_compile(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    assert caught.value.problems


def test_places_count_lines_from_one() -> None:
    with pytest.raises(ExpressionError, match="at line 2, column 9 of") as caught:
        compile_expression("a == 1\n  and b = 2")
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 9)
    with pytest.raises(ExpressionError, match="line 2, column 5"):
        compile_expression("'ä' == a\nand nope(1)").evaluate(SCOPE)


def test_a_wrong_function_name_gets_the_nearest() -> None:
    with pytest.raises(ExpressionError, match="did you mean 'startswith'"):
        compile_expression("startwith(name, 'A')")


@pytest.mark.parametrize(
    "path", ["order.__class__", "order.__dict__", "order.items", "order.keys", "name.__len__"]
)
def test_a_path_never_reaches_an_attribute(path: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(path)


def test_a_key_that_looks_private_is_an_ordinary_key() -> None:
    scope = ValuesScope({"row": {"__typename": "Order"}})
    assert compile_expression("row.__typename").evaluate(scope) == "Order"


@pytest.mark.parametrize(
    "source",
    [
        "not " * 20_000 + "True",
        "not " * 500 + "True",
        "-" * 2_000 + "1",
        "(" * 1_000 + "1" + ")" * 1_000,
        "(" * 150 + "1" + ")" * 150 + " and " + "[" * 60 + "]" * 60,
        "[" * 1_000,
        "a" + ".b" * 1_000,
        "a" + "[0]" * 600,
        "1" + "+1" * 900,
        "1" + "<1" * 900,
        "1" + " and 1" * 300,
        "len(" * 400 + "a" + ")" * 400,
        "9" * 2_000,
        "1e" + "9" * 2_000,
        "'a'*1000000000",
        "9**9**9",
    ],
    ids=lambda source: f"{source[:12]}...",
)
def test_hostile_sources_are_refused_or_fail_cleanly(source: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(source).evaluate(SCOPE)


def test_the_limits_of_a_source_are_exact() -> None:
    fits = "'" + "a" * 2_046 + "'"
    assert evaluate(fits)
    with pytest.raises(ExpressionError, match="2049 bytes"):
        compile_expression(fits[:-1] + "a'")
    assert evaluate("[" + "1," * 199 + "]") == [1] * 199
    with pytest.raises(ExpressionError, match="more than 200 parts"):
        compile_expression("[" + "1," * 200 + "]")
    assert evaluate("[" * 19 + "1" + "]" * 19)
    with pytest.raises(ExpressionError, match="deeper than 20"):
        compile_expression("[" * 20 + "1" + "]" * 20)


def test_results_cannot_grow_without_bound() -> None:
    text = ValuesScope({"big": "a" * (MAX_TEXT_LENGTH // 2 + 1), "list": [0] * (MAX_LIST_LENGTH // 2 + 1)})
    for source in ("big + big", "list + list"):
        with pytest.raises(ExpressionError, match="would be longer"):
            compile_expression(source).evaluate(text)
    number = ValuesScope({"n": 2**600})
    with pytest.raises(ExpressionError, match="too large"):
        compile_expression("n * n").evaluate(number)
    with pytest.raises(ExpressionError, match="too large"):
        compile_expression("n / 0.5 * n").evaluate(ValuesScope({"n": 10**5_000}))


def test_values_nested_too_deep_to_compare_are_an_error() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    twin: list[Any] = []
    for _ in range(50_000):
        twin = [twin]
    with pytest.raises(ExpressionError, match="nested too deep"):
        compile_expression("a == b").evaluate(ValuesScope({"a": deep, "b": twin}))


def test_a_condition_must_be_true_or_false() -> None:
    assert evaluate_condition(compile_expression("count == 3"), SCOPE) is True
    assert evaluate_condition(compile_expression("approved"), SCOPE) is False
    with pytest.raises(ExpressionError, match="the condition is 3, not true or false"):
        evaluate_condition(compile_expression("count"), SCOPE)
    with pytest.raises(ExpressionError, match="the condition is a number, not"):
        evaluate_condition(compile_expression("n"), ValuesScope({"n": 10**5_000}))
    with pytest.raises(ExpressionError, match="the condition is a text, not"):
        evaluate_condition(compile_expression("name"), SCOPE)
    with pytest.raises(ExpressionError, match="the condition is a number, not"):
        evaluate_condition(compile_expression("len(secrets.TOKEN)"), SCOPE)


def test_an_error_does_not_show_values() -> None:
    for source in ("secrets.TOKEN > 3", "secrets.TOKEN.x", "secrets.TOKEN and ok", "order[secrets.TOKEN]"):
        with pytest.raises(ExpressionError) as caught:
            evaluate(source)
        assert "s3cret" not in str(caught.value) + repr(caught.value.problems)


@pytest.mark.parametrize("source", ["'yes'", "1 + 1", "-a", "[True]", "(True, False)", "None", "3"])
def test_what_can_never_be_true_or_false_is_no_condition(source: str) -> None:
    compile_expression(source)
    with pytest.raises(ExpressionError, match="never is"):
        compile_condition(source)


@pytest.mark.parametrize(
    "source", ["True", "not a", "a", "a.b", "a == 1", "a and b", "exists(a)", "default(a, False)"]
)
def test_what_may_be_true_or_false_is_a_condition(source: str) -> None:
    assert compile_condition(source).source == source


def test_references_say_what_is_read() -> None:
    source = (
        "exists(a.b) and context.c == d[e] and blocks.f.output.g > default(blocks['h'].output, 1)"
        " and workflow.input.i == secrets.J and execution.id != k"
    )
    assert compile_expression(source).references == References(
        context=frozenset("acdek"), outputs=frozenset("fh"), input=True, secrets=frozenset("J")
    )
    assert compile_expression("true and len([1]) == 1").references == References()


def test_expressions_are_equal_by_source() -> None:
    assert compile_expression(" a == 1 ") == compile_expression("a == 1")
    assert compile_expression("a == 1") != compile_expression("a == 2")


# Random sources: strings of tokens and of arbitrary characters.

TOKENS = [
    *"()[]{}.,:;+-*/%<>=!&|^~@'\"\\#?$` \n\t",
    *("and", "or", "not", "in", "is", "if", "else", "lambda", "for", "await", "None", "True", "null", "=="),
    *("a", "blocks", "workflow", "input", "output", "context", "secrets", "execution", "id", "len", "exists"),
    *(
        "default",
        "min",
        "sum",
        "0",
        "1",
        "1e400",
        "0x",
        "1_0",
        "'a'",
        '"b"',
        "f'",
        "b'",
        "__class__",
        "\\x41",
        "ä",
    ),
]


@given(st.one_of(st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join), st.text(max_size=200)))
def test_a_random_source_raises_nothing_but_expression_errors(source: str) -> None:
    scope = ValuesScope({"a": {"b": [1]}}, input={"a": 1}, execution={"id": "x"})
    _, error = _attempt(source, scope)
    if error is not None:
        assert error.message
        assert all((problem.line or 1) >= 1 and (problem.column or 1) >= 1 for problem in error.problems)


def _attempt(source: str, scope: ValuesScope) -> tuple[Any, ExpressionError | None]:
    try:
        return compile_expression(source).evaluate(scope), None
    except ExpressionError as error:
        return None, error


# Equivalence with Python on the part of the language where the two agree: well-typed expressions.

NAMES = {"i": 7, "j": -2, "x": 2.5, "t": "text", "u": "", "p": True, "q": False, "l": [1, 2, 3], "m": []}


def _numbers() -> st.SearchStrategy[str]:
    leaf = st.one_of(
        st.integers(0, 99).map(str), st.sampled_from(["i", "j", "x", "len(t)", "len(l)", "l[1]"])
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*/%"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
            inner.map(lambda n: f"-({n})"),
            st.tuples(inner, inner).map(lambda p: f"min({p[0]}, {p[1]})"),
            st.lists(inner, max_size=3).map(lambda items: f"sum([{', '.join(items)}])"),
        ),
        max_leaves=6,
    )


def _texts() -> st.SearchStrategy[str]:
    literal = st.text(string.ascii_letters + " ;:->#'\"", max_size=5).map(repr)
    leaf = st.one_of(literal, st.sampled_from(["t", "u"]))
    return st.recursive(
        leaf, lambda inner: st.tuples(inner, inner).map(lambda p: f"({p[0]} + {p[1]})"), max_leaves=3
    )


def _booleans() -> st.SearchStrategy[str]:
    comparison = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
    numbers, texts = _numbers(), _texts()
    leaf = st.one_of(
        st.sampled_from(["True", "False", "p", "q"]),
        st.tuples(numbers, comparison, numbers).map(" ".join),
        st.tuples(numbers, comparison, numbers, comparison, numbers).map(" ".join),
        st.tuples(texts, comparison, texts).map(" ".join),
        st.tuples(texts, st.sampled_from(["in", "not in"]), texts).map(" ".join),
        st.tuples(numbers, st.sampled_from(["in", "not in"]), st.sampled_from(["l", "m", "[1, 2.5]"])).map(
            " ".join
        ),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({' '.join(p)})"),
            inner.map(lambda b: f"(not {b})"),
            st.lists(inner, max_size=3).map(lambda items: f"any([{', '.join(items)}])"),
        ),
        max_leaves=6,
    )


@given(st.one_of(_numbers(), _texts(), _booleans()))
def test_well_typed_expressions_mean_what_they_mean_in_python(source: str) -> None:
    tables = {"__builtins__": {}, "len": len, "min": min, "sum": sum, "any": any}
    code = compile(ast.parse(source, mode="eval"), "<test>", "eval")
    try:
        expected = eval(code, tables | NAMES)  # noqa: S307 - the source is built from the grammar above
    except ZeroDivisionError:
        expected = ZeroDivisionError
    found, error = _attempt(source, ValuesScope(NAMES))
    if error is None:
        assert found == expected
        assert type(found) is type(expected)
    elif "deeper than" not in error.message:
        assert expected is ZeroDivisionError, error.message
        assert "divide by zero" in error.message

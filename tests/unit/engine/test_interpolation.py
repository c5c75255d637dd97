"""``${...}``: types, escapes, secrets that stay references, and values that are never read as templates."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.engine import interpolation
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import MissingValue, References, ValuesScope
from workflow_service.engine.interpolation import compile_template

SCOPE = ValuesScope(
    context_values={
        "n": 3,
        "t": "text",
        "o": {"k": [1, None]},
        "b": True,
        "none": None,
        "evil": "${secrets.A}",
    },
    input={"path": "in.csv"},
    outputs={"load": {"rows": [1, 2]}},
    execution={"id": "exec_1"},
    secrets={"A": "alpha", "B": "beta"},
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("${n}", 3),
        ("${ n }", 3),
        ("${o}", {"k": [1, None]}),
        ("${o.k[0] + n}", 4),
        ("${none}", None),
        ("${n > 2}", True),
        ("${workflow.input.path}", "in.csv"),
        ("${blocks.load.output.rows}", [1, 2]),
        ("n=${n}", "n=3"),
        ("${n}${n}", "33"),
        (" ${n}", " 3"),
        ("${t} is ${b}, ${none}", "text is true, null"),
        ("o=${o}", 'o={"k": [1, null]}'),
        ("$${n}", "${n}"),
        ("$$${n}", "$${n}"),
        ("cost: $5 {n} $ {n}", "cost: $5 {n} $ {n}"),
        ("${'}'}", "}"),
        ("a${'}\"${'}b", 'a}"${b'),
        ("${'$'}${n}", "$3"),
        (
            {"a": ["${n}", {"b": "x${t}"}], "c": 1.5, "${n}": None},
            {"a": [3, {"b": "xtext"}], "c": 1.5, "${n}": None},
        ),
        ([], []),
        (7, 7),
        (None, None),
    ],
)
def test_a_template_renders(template: Any, expected: Any) -> None:
    assert compile_template(template).render(SCOPE) == expected


def test_the_template_itself_is_not_changed() -> None:
    value: Any = {"a": ["${n}", "keep"], "b": {"c": "${t}"}}
    before = json.dumps(value)
    assert compile_template(value).render(SCOPE) == {"a": [3, "keep"], "b": {"c": "text"}}
    assert json.dumps(value) == before


@pytest.mark.parametrize(
    ("template", "pointer", "fragment"),
    [
        ({"url": "${n"}, "/url", "never closed"),
        ({"a": ["x", "${}"]}, "/a/1", "empty"),
        ({"a/b": {"~": "${n n}"}}, "/a~1b/~0", "cannot be read"),
        ("${f(n)}", "", "no function 'f'"),
        ("${secrets.A + t}", "", "mixes a secret"),
        ("${'x}", "", "never closed"),
        ("${a == {}}", "", "braces"),
    ],
)
def test_a_wrong_template_names_its_place(template: Any, pointer: str, fragment: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_template(template)
    assert fragment in caught.value.message or fragment in caught.value.problems[0].message
    assert caught.value.problems[0].pointer == pointer


def test_every_wrong_place_is_a_problem_of_its_own() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_template({"a": "${", "b": "${n}", "c": ["${x y}"]})
    assert [problem.pointer for problem in caught.value.problems] == ["/a", "/c/0"]


def test_a_missing_value_names_its_place() -> None:
    template = compile_template({"headers": {"X-Total": "${order.total}"}})
    with pytest.raises(MissingValue, match=r"in /headers/X-Total: 'order' is missing") as caught:
        template.render(SCOPE)
    assert caught.value.problems[0].pointer == "/headers/X-Total"


def test_references_are_collected() -> None:
    template = compile_template(
        {"a": "${n} ${blocks.load.output}", "b": ["${secrets.A}", "${workflow.input.x}"]}
    )
    assert template.references == References(frozenset("n"), frozenset({"load"}), True, frozenset("A"))


def test_secrets_stay_references_until_they_are_asked_for() -> None:
    template = compile_template({"auth": "Bearer ${secrets.A}", "key": "${secrets.B}", "n": "${n}"})
    stored = template.render(SCOPE)
    assert stored == {"auth": "Bearer ${secrets.A}", "key": "${secrets.B}", "n": 3}
    whole = {"auth": "Bearer alpha", "key": "beta", "n": 3}
    assert template.render(SCOPE, secrets=True) == whole
    assert template.fill_secrets(stored, ValuesScope(secrets=SCOPE.secrets)) == whole
    assert stored["auth"] == "Bearer ${secrets.A}", "the stored input is not changed"


def test_a_value_that_looks_like_a_template_is_only_a_value() -> None:
    template = compile_template({"body": "${evil}", "mixed": "${evil}/${secrets.B}"})
    stored = template.render(SCOPE)
    filled = template.fill_secrets(stored, SCOPE)
    assert filled == {"body": "${secrets.A}", "mixed": "${secrets.A}/beta"}
    assert filled == template.render(SCOPE, secrets=True)


def test_edited_input_reads_no_secret_that_its_place_does_not_name() -> None:
    template = compile_template({"key": "${secrets.A}", "other": "x"})
    assert template.fill_secrets({"other": "${secrets.A}"}, SCOPE) == {"other": "${secrets.A}"}
    assert template.fill_secrets({"key": ["${secrets.A}"]}, SCOPE) == {"key": ["${secrets.A}"]}
    for text in ("${secrets.B}", "${n}", "${workflow.input.path}"):
        with pytest.raises(ExpressionError, match="more than its own secrets"):
            template.fill_secrets({"key": text}, SCOPE)


def test_edited_input_need_not_have_its_secrets_any_more() -> None:
    template = compile_template({"list": [{"key": "${secrets.A}"}], "key": "${secrets.A}"})
    inputs: list[Any] = [{}, {"list": []}, {"list": "x", "key": 3}, {"list": [{}]}, {"list": {"0": 1}}, 7]
    for edited in inputs:
        assert template.fill_secrets(edited, SCOPE) == edited
    with pytest.raises(ExpressionError, match=r"in /key: .* never closed"):
        template.fill_secrets({"key": "${secrets.A"}, SCOPE)


@pytest.mark.parametrize("depth", [0, 100_000])
def test_what_cannot_be_written_out_is_an_error(depth: int) -> None:
    value: Any = 10**5_000
    for _ in range(depth):
        value = [value]
    template = compile_template({"a": "n=${n}"})
    with pytest.raises(ExpressionError, match="cannot be written out"):
        template.render(ValuesScope({"n": value}))


def test_a_small_template_cannot_make_a_huge_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpolation, "MAX_RENDERED_SIZE", 10_000)
    scope = ValuesScope({"big": "a" * 600, "rows": [{"k": 1}] * 600})
    for template in (["${big}"] * 20, "${big}" * 20, ["${rows}"] * 20, "-${rows}" * 20):
        with pytest.raises(ExpressionError, match="larger than"):
            compile_template(template).render(scope)  # type: ignore[arg-type]
    assert compile_template(["${big}"] * 10).render(scope) == ["a" * 600] * 10


def test_deep_templates_are_refused() -> None:
    deep: Any = "${n}"
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="deeper than"):
        compile_template(deep)


PIECES = st.sampled_from(
    ["${", "$${", "$", "{", "}", "'", '"', "\\", "n", " ", "${n}", "${secrets.A}", "secrets.A", "x"]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_a_random_text_renders_or_is_an_expression_error(text: str) -> None:
    try:
        template = compile_template(text)
        template.render(SCOPE, secrets=True)
    except ExpressionError:
        return
    assert template.fill_secrets(template.render(SCOPE), SCOPE) == template.render(SCOPE, secrets=True)


@given(st.lists(PIECES, max_size=8).map("".join), st.lists(PIECES, max_size=8).map("".join))
def test_any_value_survives_being_stored_beside_a_secret(before: str, after: str) -> None:
    scope = ValuesScope({"before": before, "after": after}, secrets={"A": "alpha"})
    template = compile_template("${before}${secrets.A}${after}")
    assert template.fill_secrets(template.render(scope), scope) == f"{before}alpha{after}"
    assert compile_template("${before}").render(scope) == before


@given(st.text(max_size=20))
def test_escaping_makes_any_text_literal(text: str) -> None:
    if "${" in text.replace("$${", ""):
        return
    assert compile_template(text.replace("$${", "${").replace("${", "$${")).render(SCOPE) == text.replace(
        "$${", "${"
    )

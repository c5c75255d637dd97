"""Who reads what nobody writes, who writes one name side by side, and which blocks need not wait."""

from typing import Any

import pytest

from workflow_service.engine.data_flow import data_flow_findings, writes_of
from workflow_service.engine.definition import Definition
from workflow_service.engine.dsl import parse_dsl
from workflow_service.engine.plan import Plan, compile_plan
from workflow_service.engine.recommendations import Effect, Recommendation, recommend
from workflow_service.engine.side_by_side import parallel_writers
from workflow_service.engine.wiring import build_graph

Keys = dict[str, frozenset[str] | None]


def defined(dsl: str, **states: dict[str, Any]) -> Definition:
    definition = parse_dsl(dsl)
    names = [block.block_id for block in definition.blocks]
    return parse_dsl(dsl, {name: {"toolType": "SCRIPT", **states.get(name, {})} for name in names})


def keys(**known: str) -> Keys:
    """Return known outputs: words are keys, ``*`` is anything."""
    return {name: None if words == "*" else frozenset(words.split()) for name, words in known.items()}


def unwritten(definition: Definition, known: Keys) -> list[tuple[str, str]]:
    return [(one.code, one.pointer) for one in data_flow_findings(build_graph(definition), known)]


# -- reads


@pytest.mark.parametrize(
    ("dsl", "known", "pointers"),
    [
        # Its own output, what came before, and what nobody has.
        ("start->a; a->b:x>1; a->c:else; b->end; c->end;", keys(a="x"), []),
        ("start->a; a->b; b->c:x>1; b->d:else; c->end; d->end;", keys(a="x", b=""), []),
        (
            "start->a; a->b; b->c:x>1; b->d:else; c->end; d->end;",
            keys(a="y", b="z"),
            ["/blocks/1/conditions/branches/0/condition"],
        ),
        # Whoever may write anything may write this.
        ("start->a; a->b; b->c:x>1; b->d:else; c->end; d->end;", keys(a="*", b="z"), []),
        # What comes later writes in time only in a loop.
        (
            "start->a; a->b:x>1; a->end:else; b->c; c->end;",
            keys(a="", b="x", c="x"),
            ["/blocks/0/conditions/branches/0/condition"],
        ),
        ("start->a; a->b; b->a:x>1; b->c:y; b->end:else; c->end;", keys(a="y", b="x", c=""), []),
        # A read that allows for a missing name, and a block by its id.
        ("start->a; a->b:default(x, 1)>1; a->c:exists(q); b->end; c->end;", keys(a=""), []),
        ("start->a; a->b:blocks.a.output.x>1; a->end:else; b->end;", keys(a="x"), []),
        (
            "start->a; a->b:blocks.a.output.x>1; a->end:else; b->end;",
            keys(a="z"),
            ["/blocks/0/conditions/branches/0/condition"],
        ),
        # A join sees what all before it wrote.
        ("start->[a,b]; [a,b]->c:x and y; [a,b]->end:else; c->end;", keys(a="x", b="y"), []),
        (
            "start->[a,b]; [a,b]->c:x and z; [a,b]->end:else; c->end;",
            keys(a="x", b="y"),
            ["/gates/0/branches/0/condition"],
        ),
    ],
)
def test_names_that_nobody_writes(dsl: str, known: Keys, pointers: list[str]) -> None:
    assert unwritten(defined(dsl), known) == [("UNWRITTEN_NAME", pointer) for pointer in pointers]


def test_every_place_of_a_read_is_named() -> None:
    definition = defined(
        "start->a; a->end;",
        a={
            "configuration": {"code": "pass", "input": {"list": ["${one}", "to ${two} and ${item.x}"]}},
            "conditions": {"expression": "three"},
            "forEach": "four",
            "outputMapping": {"kept": "output.results + five"},
            "humanInLoop": {"required": True, "message": "${six}?"},
            "recovery": {"compensate": {"configuration": {"code": "${output.x} ${seven}"}}},
        },
    )
    found = data_flow_findings(build_graph(definition), keys(a="results"))
    assert {one.pointer for one in found} == {
        "/blocks/0/configuration/input/list/0",
        "/blocks/0/configuration/input/list/1",
        "/blocks/0/conditions/expression",
        "/blocks/0/forEach",
        "/blocks/0/outputMapping/kept",
        "/blocks/0/humanInLoop/message",
        "/blocks/0/recovery/compensate/configuration/code",
    }


def test_mapped_outputs_are_written_by_their_new_names_alone() -> None:
    definition = defined(
        "start->a; a->b:rows>1; a->c:else; b->d:count>1; b->end:else; c->end; d->end;",
        a={"outputMapping": {"rows": "output.count"}},
    )
    assert unwritten(definition, keys(a="count", b="")) == [
        ("UNWRITTEN_NAME", "/blocks/1/conditions/branches/0/condition")
    ]


def test_inputs_are_those_that_the_schema_declares() -> None:
    definition = defined("start->a; a->b:workflow.input.amuont>1; a->c:total; a->end:else; b->end; c->end;")
    schema = {"type": "object", "properties": {"amount": {"type": "number"}, "total": {}}}
    declared = definition.model_copy(update={"input_schema": schema})
    first, second = data_flow_findings(build_graph(declared), keys(a=""))
    assert (first.code, first.suggestion) == ("UNDECLARED_INPUT", "Did you mean 'amount'?")
    assert (second.code, second.suggestion) == (
        "UNWRITTEN_NAME",
        "What the run is started with is read as workflow.input.total",
    )


def test_a_slip_of_the_pen_is_mended() -> None:
    (found,) = data_flow_findings(
        build_graph(defined("start->a; a->b:is_vaild; a->end:else; b->end;")), keys(a="is_valid", b="")
    )
    assert (found.suggestion, found.blocks) == ("Did you mean 'is_valid'?", ("a",))


# -- writing side by side


@pytest.mark.parametrize(
    ("dsl", "known", "pairs"),
    [
        ("start->[a,b]; a->c; b->c; c->end;", keys(a="x", b="x"), [("a", "b")]),
        ("start->[a,b]; a->c; b->c; c->end;", keys(a="x", b="y"), []),
        ("start->[a,b]; a->c; b->c; c->end;", keys(a="z", b="z"), []),
        ("start->[a,b]; a->c; b->c; c->end;", keys(a="*", b="*"), []),
        # One after the other, on two ways that exclude each other, and further down on those.
        ("start->a; a->b; b->c; c->end;", keys(a="x", b="x"), []),
        ("start->s; s->a:go; s->b:else; a->c; b->c; c->end;", keys(a="x", b="x"), []),
        ("start->s; s->p:go; s->q:else; p->a; q->b; a->c; b->c; c->end;", keys(a="x", b="x"), []),
        ("start->s; s->a; s!->b; a->c; b->c; c->end;", keys(a="x", b="x"), []),
        # One leads around a choice that the other depends on.
        ("start->s; s->p:go; s->a:else; p->a:ok; p->b:else; a->c; b->c; c->end;", keys(a="x", b="x"), []),
        ("start->s; s->p:go; s->a:else; p->a; p->b; a->c; b->c; c->end;", keys(a="x", b="x"), [("a", "b")]),
        # Ways that come together again exclude nothing.
        ("start->s; s->p:go; s->q:else; p->m; q->m; m->[a,b]; a->c; b->c; c->end;", keys(a="x", b="x"), [("a", "b")]),
        ("start->[s,b]; s->a:go; s->end:else; a->c; b->c; c->end;", keys(a="x", b="x"), [("b", "a")]),
    ],
)  # fmt: skip
def test_names_written_side_by_side(dsl: str, known: Keys, pairs: list[tuple[str, str]]) -> None:
    definition = defined(dsl, c={"configuration": {"code": "pass", "input": "${x}"}})
    plan = compile_plan(definition)
    found = list(parallel_writers(plan, writes_of(build_graph(definition), known)))
    assert [one.blocks for one in found] == pairs
    assert all("'x'" in one.message for one in found)


# -- recommendations


def advice(
    definition: Definition, known: Keys, effects: dict[str, Effect] | None = None, **durations: float
) -> tuple[Recommendation, ...]:
    plan: Plan = compile_plan(definition)
    graph = build_graph(definition)
    assumed = {block.block_id: Effect.NONE for block in definition.blocks} | (effects or {})
    return recommend(plan, graph, writes_of(graph, known), assumed, durations)


EXTRACTS = "start->extract_1; extract_1->extract_2; extract_2->load; load->end;"
LOAD = {"load": {"configuration": {"input": "${one} ${two}"}}}
KNOWN = keys(extract_1="one", extract_2="two", load="")


def test_independent_blocks_can_run_side_by_side() -> None:
    (found,) = advice(defined(EXTRACTS, **LOAD), KNOWN)
    assert found.code == "OPTIMIZATION"
    assert found.message.startswith("Blocks 'extract_1' and 'extract_2' can be executed in parallel")
    assert found.impact == "33% performance improvement"
    assert found.blocks == ("extract_1", "extract_2")


def test_the_saving_is_that_of_the_critical_path() -> None:
    definition = defined(EXTRACTS, **LOAD)
    assert advice(definition, KNOWN, extract_1=6.0, extract_2=2.0, load=2.0)[0].impact.startswith("20%")
    with_timeouts = defined(
        EXTRACTS,
        extract_1={"timeout": 1_000},
        extract_2={"timeout": 1_000},
        load={"timeout": 8_000, **LOAD["load"]},
    )
    assert advice(with_timeouts, KNOWN)[0].impact.startswith("10%")
    # Beside a longer way nothing is saved.
    long = "start->[extract_1,slow]; slow->load; extract_1->extract_2; extract_2->load; load->end;"
    load = {"configuration": {"input": "${one} ${two} ${blocks.slow.output}"}}
    assert (
        advice(defined(long, load=load), KNOWN | keys(slow=""), slow=60.0, extract_1=1.0, extract_2=1.0) == ()
    )


def test_a_row_of_independent_blocks_is_one_advice() -> None:
    row = "start->a; a->b; b->c; c->d; d->end;"
    (found,) = advice(defined(row), keys(a="p", b="q", c="r", d="s"))
    assert (found.blocks, found.impact) == (("a", "b", "c", "d"), "75% performance improvement")


@pytest.mark.parametrize(
    ("states", "known", "effects"),
    [
        # It uses the data: by name, by id, in a guard; or it may.
        ({"b": {"configuration": {"input": "${x}"}}}, keys(a="x", b=""), {}),
        ({"b": {"configuration": {"input": "${blocks.a.output.q}"}}}, keys(a="x", b=""), {}),
        ({"b": {"conditions": {"expression": "x > 1"}}}, keys(a="x", b=""), {}),
        ({"b": {"configuration": {"input": "${x}"}}}, keys(a="*", b=""), {}),
        # The first reads what the second may write over.
        ({"a": {"configuration": {"input": "${x}"}}}, keys(a="", b="x"), {}),
        ({"a": {"configuration": {"input": "${x}"}}}, keys(a="", b="*"), {}),
        # Both may write a name that is read.
        ({"c": {"configuration": {"input": "${x}"}}}, keys(a="x", b="x", c=""), {}),
        ({"c": {"configuration": {"input": "${x}"}}}, keys(a="*", b="*", c=""), {}),
        # The order matters to the world.
        ({}, keys(a="", b=""), {"a": Effect.SOME}),
        ({}, keys(a="", b=""), {"b": Effect.SOME}),
        ({"a": {"humanInLoop": {"required": True}}}, keys(a="", b=""), {}),
        ({"b": {"toolType": "WAIT", "configuration": {"duration": 5}}}, keys(a="", b=""), {}),
        ({"a": {"recovery": {"compensate": {"configuration": {}}}}}, keys(a="", b=""), {}),
        # Whether the second runs hangs on the first.
        ({"a": {"conditions": {"expression": "workflow.input.go"}}}, keys(a="", b=""), {}),
        ({"a": {"join": "any"}}, keys(a="", b=""), {}),
        ({"b": {"join": "any"}}, keys(a="", b=""), {}),
    ],
)
def test_blocks_that_had_better_wait(states: Any, known: Keys, effects: dict[str, Effect]) -> None:
    assert (
        advice(
            defined("start->a; a->b; b->c; c->end;", **states),
            known | keys(c=""),
            effects | {"c": Effect.SOME},
        )
        == ()
    )


@pytest.mark.parametrize(
    "dsl",
    [
        "start->a; a->b:workflow.input.go; a->c:else; b->end; c->end;",
        "start->a; a->b; a!->c; b->end; c->end;",
        "start->a; a->b; b->a:workflow.input.again; b->end:else;",
    ],
)
def test_edges_that_decide_something_stay(dsl: str) -> None:
    assert advice(defined(dsl), keys(a="", b="", c="")) == ()


def test_what_is_not_known_is_said_with_doubt() -> None:
    (found,) = advice(defined(EXTRACTS, **LOAD), KNOWN, {"extract_2": Effect.UNKNOWN})
    assert "if what 'extract_2' does outside may come earlier" in found.message
    unknown = dict.fromkeys(("extract_1", "extract_2"), Effect.UNKNOWN)
    (found,) = advice(defined(EXTRACTS, **LOAD), KNOWN, unknown)
    assert "if it does not matter in which order 'extract_1' and 'extract_2' work" in found.message


def test_retries_and_timeouts_are_thought_of() -> None:
    definition = defined(
        "start->a; a->end;",
        a={"toolType": "API", "retryPolicy": {"maxRetries": 0}, "timeout": 9_000},
    )
    settings = definition.global_settings.model_copy(update={"timeout": 5_000})
    found = advice(definition.model_copy(update={"global_settings": settings}), keys(a=""), a=8.0)
    assert [(one.code, one.pointer) for one in found] == [
        ("RESILIENCE", "/blocks/0/retryPolicy/maxRetries"),
        ("TIMEOUT", "/blocks/0/timeout"),
        ("TIMEOUT", "/blocks/0/timeout"),
    ]
    assert all(one.impact for one in found)

"""Dry runs: they go where real runs go, and find what nobody has said where it can be assumed."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.reference.agreement import plan_of
from tests.reference.generator import Features, Workflow, random_workflow
from tests.reference.interpreter import Interpreter
from tests.reference.script import COMPLETED, Line
from workflow_service.engine.definition import Definition
from workflow_service.engine.dry_run import (
    DryRun,
    DryRunInvalid,
    DryRunStatus,
    coverage,
    dry_run,
    dry_run_branches,
    edge_name,
)
from workflow_service.engine.dsl import parse_dsl
from workflow_service.engine.errors import InvalidDefinition
from workflow_service.engine.plan import Plan, compile_plan

VISITS = 120


def plan_from(dsl: str, **states: dict[str, Any]) -> Plan:
    """Compile a DSL text; a state that nothing is said about is work of an agent whose output nobody knows."""
    definition = parse_dsl(dsl, {name: {"toolType": "API", **state} for name, state in states.items()})
    blocks = [
        block if block.has_tool or block.asks_people else block.model_copy(update={"tool_type": "API"})
        for block in definition.blocks
    ]
    return compile_plan(Definition.model_validate(definition.model_copy(update={"blocks": tuple(blocks)})))


def untaken(plan: Plan, *runs: DryRun) -> list[str]:
    return [edge_name(plan, edge) for edge in coverage(plan, runs).untaken_edges]


# -- the rule is the real one


def test_goes_where_the_reference_goes_on_random_workflows() -> None:
    features = Features(questions=False, rejections=False)
    agreed = 0
    for seed in range(250):
        workflow = random_workflow(Random(seed), most_blocks=9, features=features)
        # What a map is given holds in every round.
        script = {
            name: lines[:1] if lines[0].items is not None else lines
            for name, lines in workflow.script.items()
        }
        workflow = replace(workflow, script=script)
        try:
            plan = plan_of(workflow)
        except InvalidDefinition:
            continue
        run = dry_run(plan, input={}, outputs=_outputs(workflow))
        if run.status is DryRunStatus.STUCK:
            continue
        reference = Interpreter(workflow.definition, workflow.script)
        reference.begin()
        for step in run.steps:
            if step.worked:
                place = (step.block_id, step.rounds)
                reference.start(place)
                reference.finish(place)
        assert not reference.ready
        assert {(step.block_id, step.rounds): step.verdict for step in run.steps} == reference.statuses
        status, error = reference.outcome()
        assert run.status.value == status
        assert error is None or (run.error or {}).get("type") == error
        agreed += 1
    assert agreed > 200


def _outputs(workflow: Workflow) -> dict[str, Any]:
    return {
        name: [_outcome(lines[visit % len(lines)]) for visit in range(VISITS)]
        if lines[0].items is None
        else [{} if fine else {"$error": "SYSTEM_ERROR"} for fine in lines[0].items]
        for name, lines in workflow.script.items()
    }


def _outcome(line: Line) -> dict[str, Any]:
    return dict(line.output) if line.status == COMPLETED else {"$error": "SYSTEM_ERROR"}


# -- given values


REVIEW = "start->draft; draft->review; review->draft:approved==False; review->publish:else; publish->end;"


def test_given_values_decide_round_by_round() -> None:
    plan = plan_from(REVIEW)
    run = dry_run(plan, outputs={"draft": {}, "review": [{"approved": False}, {"approved": True}]})
    assert run.path == ("draft", "review", "draft", "review", "publish")
    assert [step.rounds for step in run.steps if step.block_id == "review"] == [(0,), (1,)]
    assert run.steps[1].conditions == (("approved==False", True),)
    assert run.steps[1].took == ("draft",)
    assert run.assumed == {}


def test_a_loop_that_never_ends_fails_at_its_bound() -> None:
    run = dry_run(plan_from(REVIEW, draft={"maxRounds": 3}), outputs={"review": {"approved": False}})
    assert run.status is DryRunStatus.FAILED
    assert run.error is not None
    assert run.error["type"] == "LOOP_LIMIT_REACHED"
    assert run.path.count("draft") == 3


def test_a_run_that_takes_too_many_steps_is_given_up() -> None:
    plan = plan_from(REVIEW, draft={"maxRounds": 100_000})
    run = dry_run(plan, outputs={"review": {"approved": False}}, max_steps=50)
    assert run.status is DryRunStatus.STUCK
    assert run.error is not None
    assert run.error["type"] == "TOO_MANY_STEPS"


@pytest.mark.parametrize(
    ("outcomes", "tries", "path"),
    [
        ([{"$error": "TIMEOUT_ERROR"}, {"id": 1}], 2, ("charge", "ship")),
        ({"$error": "TIMEOUT_ERROR"}, 4, ("charge", "refund")),
        ({"$error": "VALIDATION_ERROR"}, 1, ("charge", "refund")),
        ({"$error": "VALIDATION_ERROR", "retryable": True}, 4, ("charge", "refund")),
    ],
)
def test_a_given_error_goes_through_the_recovery_ladder(
    outcomes: Any, tries: int, path: tuple[str, ...]
) -> None:
    plan = plan_from("start->charge; charge->ship; charge!->refund; ship->end; refund->end;")
    run = dry_run(plan, outputs={"charge": outcomes})
    assert run.status is DryRunStatus.COMPLETED
    assert run.path == path
    assert run.steps[0].tries == tries


def test_an_optional_block_is_done_without() -> None:
    plan = plan_from(
        "start->look; look->go:found; look->stop:else; go->end; stop->end;",
        look={"optional": True, "defaultOutput": {"found": False}},
    )
    assert dry_run(plan, outputs={"look": {"$error": "SYSTEM_ERROR"}}).path == ("look", "stop")


def test_compensation_names_what_would_be_undone() -> None:
    undo = {"compensate": {"configuration": {"url": "https://x.test/undo"}}}
    plan = plan_from(
        "start->book; book->pay; pay->end;",
        book={"recovery": undo},
        pay={"recovery": {"strategies": ["compensate"]}},
    )
    run = dry_run(plan, outputs={"pay": {"$error": "SYSTEM_ERROR"}})
    assert (run.status, run.undone) == (DryRunStatus.FAILED, ("book",))


@pytest.mark.parametrize(
    ("answers", "status", "path"),
    [
        ({}, "COMPLETED", ("ask", "pay")),
        ({"ask": "approve"}, "COMPLETED", ("ask", "pay")),
        ({"ask": "reject"}, "FAILED", ("ask",)),
        ({"ask": {"approved": False, "response": {"why": "no"}}}, "FAILED", ("ask",)),
    ],
)
def test_people_answer_as_told(answers: Any, status: str, path: tuple[str, ...]) -> None:
    run = dry_run(plan_from("start->ask; ask->pay; pay->end;", ask={"toolType": "HUMAN"}), answers=answers)
    assert (run.status, run.path) == (status, path)


REVIEWED = {"humanInLoop": {"required": True, "type": "REVIEW"}}


@pytest.mark.parametrize(
    ("answers", "outputs", "draft"),
    [
        ({}, {"text": "a"}, {"text": "a", "approved": True}),
        ({"draft": "approve"}, {"comments": "mine"}, {"comments": "mine", "approved": True}),
        ({"draft": {"response": {"output": {"text": "b"}}}}, {"text": "a"}, {"text": "b", "approved": True}),
        ({"draft": {"output": 3}}, {"text": "a"}, 3),
        ({"draft": False}, {"text": "a"}, {"approved": False, "proposed": {"text": "a"}}),
    ],
    ids=["assumed", "own-key", "edited", "no-object", "rejected"],
)
def test_people_look_at_what_a_block_made(answers: Any, outputs: Any, draft: Any) -> None:
    plan = plan_from(
        "start->draft; draft->mend:not default(approved, True); draft->pay:else; pay->end; mend->end;",
        draft=REVIEWED,
    )
    run = dry_run(plan, outputs={"draft": outputs}, answers=answers)
    (step,) = (step for step in run.steps if step.block_id == "draft")
    output = step.output
    if isinstance(output, dict):
        output = {key: value for key, value in output.items() if key in draft}
    assert output == draft
    assert run.path == ("draft", "mend" if draft == {"approved": False, "proposed": {"text": "a"}} else "pay")


def test_a_rejected_review_that_nothing_reads_fails_and_every_way_is_found() -> None:
    plan = plan_from("start->draft; draft->pay; draft!->mend; pay->end; mend->end;", draft=REVIEWED)
    run = dry_run(plan, answers={"draft": "reject"})
    assert (run.path, run.verdicts["draft"]) == (("draft", "mend"), "REJECTED")
    assert not untaken(plan, *dry_run_branches(plan))
    failing = dry_run(plan, outputs={"draft": {"$error": "VALIDATION_ERROR"}}, answers={"draft": "approve"})
    assert failing.verdicts["draft"] == "FAILED", "what failed is not reviewed"


def test_a_review_without_work_is_of_its_input() -> None:
    step = {"toolType": "HUMAN", "configuration": {"input": {"total": "${sum}"}}, **REVIEWED}
    run = dry_run(plan_from("start->look; look->end;", look=step), input={"x": 1}, outputs={})
    assert run.problems, "nobody writes sum"
    plan = plan_from(
        "start->add; add->look; look->end;",
        look=step,
        add={"toolType": "NOOP", "configuration": {"output": {"sum": 4}}},
    )
    assert dry_run(plan).steps[-1].output == {
        "total": 4,
        "approved": True,
        "comments": "",
        "approver": "dry-run",
    }


def test_a_rejection_that_the_conditions_provide_for_is_a_way_on() -> None:
    plan = plan_from(
        "start->ask; ask->pay:approved; ask->stop:else; pay->end; stop->end;", ask={"toolType": "HUMAN"}
    )
    run = dry_run(plan, answers={"ask": [False]})
    assert (run.status, run.path, run.steps[0].answer) == (DryRunStatus.COMPLETED, ("ask", "stop"), False)
    assert len(dry_run_branches(plan)) == 2


def test_a_map_runs_over_the_given_list() -> None:
    plan = plan_from(
        "start->list; list->each; each->fine:failed==0; each->poor:else; fine->end; poor->end;",
        each={
            "forEach": "files",
            "configuration": {"name": "${item.name}"},
            "toleratedFailurePercentage": 50,
        },
    )
    files: list[Any] = [{"name": "a"}, {"name": "b"}]
    run = dry_run(plan, outputs={"list": {"files": files}, "each": [{}, {"$error": "SYSTEM_ERROR"}]})
    assert run.path == ("list", "each", "poor")
    assert run.steps[1].items == 2
    broken = dry_run(plan, outputs={"list": {"files": [{"nome": "a"}]}})
    assert [problem.code for problem in broken.problems] == ["MISSING_NAME"]
    assert broken.problems[0].pointer == "/blocks/1/configuration/name"
    assert dry_run(plan, outputs={"list": {"files": 3}}).problems[0].pointer == "/blocks/1/forEach"
    # Where nobody gives a list, one is assumed that the configuration can read.
    assert dry_run(plan).status is DryRunStatus.COMPLETED


@pytest.mark.parametrize(
    ("outputs", "answers", "pointer"),
    [
        ({"a": {"$error": "OOPS"}}, {}, "/outputs/a"),
        ({}, {"h": "perhaps"}, "/answers/h"),
        ({}, {"is it urgent": "yes"}, "/answers/is it urgent"),
        ({"A": {}}, {}, "/outputs/A"),
        ({"is it urgent": {}}, {}, "/outputs/is it urgent"),
        ({}, {"is it urgnet": True}, "/answers/is it urgnet"),
    ],
)
def test_refuses_what_makes_no_sense(outputs: Any, answers: Any, pointer: str) -> None:
    plan = plan_from(
        'start->a; a->h; h->x:"is it urgent"; h->y:else; x->end; y->end;', h={"toolType": "HUMAN"}
    )
    with pytest.raises(DryRunInvalid) as refused:
        dry_run(plan, outputs=outputs, answers=answers)
    assert refused.value.problems[0].pointer == pointer
    with pytest.raises(DryRunInvalid):
        dry_run_branches(plan, outputs=outputs, answers=answers)


@pytest.mark.parametrize("given", ["refund", ["refund"], ["yes", "refund"]])
def test_a_way_named_where_its_question_is_wanted_is_refused_with_the_questions(given: Any) -> None:
    plan = plan_from('start->t; t->refund:"A"; t->calm:"B"; t->x:else; refund->end; calm->end; x->end;')
    with pytest.raises(DryRunInvalid) as refused:
        dry_run(plan, answers={"t": given})
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.suggestion) == (
        "/answers/t",
        "the way on is chosen by question: give true for 'A' or 'B'",
    )


# -- names that are missing


def test_tells_where_a_missing_name_is_read() -> None:
    plan = plan_from(
        "start->check; check->go:total>5; check->stop:else; go->end; stop->end;",
        check={"toolType": "NOOP", "configuration": {"output": {"count": 6}}},
    )
    run = dry_run(plan)
    assert run.status is DryRunStatus.FAILED
    assert [(one.code, one.pointer, one.blocks) for one in run.problems] == [
        ("MISSING_NAME", "/blocks/0/conditions/branches/0/condition", ("check",))
    ]
    assert "'total' is missing" in run.problems[0].message


def test_given_outputs_are_not_added_to() -> None:
    plan = plan_from("start->a; a->b:ok; a->c:else; b->end; c->end;")
    assert dry_run(plan, outputs={"a": {"fine": True}}).problems[0].code == "MISSING_NAME"
    assert dry_run(plan, outputs={"a": {"ok": 3}}).problems[0].code == "CANNOT_EVALUATE"


def test_known_keys_bound_what_is_assumed() -> None:
    plan = plan_from("start->a; a->b:ok; a->c:else; b->end; c->end;")
    assert dry_run(plan, writes={"a": frozenset({"ok"})}).status is DryRunStatus.COMPLETED
    assert dry_run(plan, writes={"a": frozenset({"other"})}).problems[0].code == "MISSING_NAME"


def test_an_input_that_is_given_is_all_there_is() -> None:
    plan = plan_from("start->a; a->end;", a={"configuration": {"url": "${workflow.input.site.url}"}})
    assert dry_run(plan).assumed == {"input": {"site": {"url": "url"}}}
    assert dry_run(plan, input={"site": {"url": "x"}}).assumed == {}
    assert dry_run(plan, input={}).problems[0].pointer == "/blocks/0/configuration/url"


def test_a_guard_that_does_not_hold_skips_its_block() -> None:
    plan = plan_from("start->a; a->b; b->end;", b={"conditions": {"expression": "n > 3"}})
    assert dry_run(plan, outputs={"a": {"n": 3}}).path == ("a",)
    assert dry_run(plan, outputs={"a": {"n": 4}}).path == ("a", "b")
    assert dry_run(plan).path == ("a", "b")


def test_mapped_outputs_are_read_by_their_new_names() -> None:
    plan = plan_from(
        "start->a; a->b; b->c:rows>2; b->d:else; c->end; d->end;",
        a={"outputMapping": {"rows": "output.recordCount"}},
        b={"toolType": "NOOP"},
    )
    assert dry_run(plan, outputs={"a": {"recordCount": 3}}).path == ("a", "b", "c")
    assert not untaken(plan, *dry_run_branches(plan))
    assert dry_run(plan, outputs={"a": {"n": 3}}).problems[0].pointer == "/blocks/0/outputMapping/rows"


# -- every branch


@pytest.mark.parametrize(
    "conditions",
    [
        ["x == True"],
        ["n > 5", "n < 2"],
        ["s == 'high'", "s == 'low'"],
        ["severity in ['high', 'critical'] and len(tags) > 2", "severity == 'low'"],
        ["score >= 0.5 or urgent", "score < 0.2"],
        ["startswith(name, 'ab')", "contains(name, 'z')"],
        ["exists(reason)", "count - 1 > limit"],
        ["sum(costs) > 100", "any(flags)"],
        ["default(retry, False)"],
        ["customer.tier == 'gold' and customer.orders[0].total > 10"],
        ["blocks.t.output.kind != 'x'", "workflow.input.force"],
        ["not (a and b)", "c == null"],
        ["lower(word) == 'yes'", "10 < n <= 20", "n % 2 == 0"],
        ["a == b", "a > b"],
    ],
)
def test_every_branch_of_simple_conditions_is_taken(conditions: list[str]) -> None:
    ways = "".join(f"t->w{number}:{one};" for number, one in enumerate(conditions))
    ends = "".join(f"w{number}->end;" for number in range(len(conditions)))
    plan = plan_from(f"start->t;{ways}t->rest:else;rest->end;{ends}")
    runs = dry_run_branches(plan)
    assert not untaken(plan, *runs)
    assert all(run.status is DryRunStatus.COMPLETED for run in runs)
    assert coverage(plan, runs).is_complete


@pytest.mark.parametrize(
    "dsl",
    [
        "start->charge; charge->ship; charge!->refund; ship->end; refund->end;",
        'start->ask; ask->up:"the customer sounds angry"; ask->close:else; up->end; close->end;',
        "start->c; c->[u,i,s]; [u,i,s]->b:ok and n>3; [u,i,s]->x:else; b->end; x->end;",
        REVIEW,
        "start->a; a->b:x=='1'; a->c:else; b->d:y>5; b->e:y<=5; e->f:x!='1'; e->g:else; c->end; d->end;",
        "start->a; a->b; b->c; c->b:again; c->d:else; d->a:more; d->end:else;",
    ],
)
def test_every_edge_of_a_workflow_is_taken(dsl: str) -> None:
    plan = plan_from(dsl)
    assert not untaken(plan, *dry_run_branches(plan))


def test_what_given_values_exclude_is_named_as_never_reached() -> None:
    plan = plan_from("start->a; a->b:x>1; a->c:else; b->end; c->end;")
    runs = dry_run_branches(plan, outputs={"a": {"x": 0}})
    found = coverage(plan, runs)
    assert found.unreached_blocks == ("b",)
    assert [edge_name(plan, edge) for edge in found.untaken_edges] == ["a->b", "b->end"]


def test_a_branch_that_contradicts_another_is_never_taken() -> None:
    plan = plan_from("start->a; a->b:x>5; a->c:x>7; a->d:else; b->end; c->end; d->end;")
    assert untaken(plan, *dry_run_branches(plan)) == ["a->c", "c->end"]


def test_deep_branches_need_few_runs() -> None:
    levels = "".join(f"q{at}->q{at + 1}:v{at}>3;q{at}->stop{at}:else;stop{at}->end;" for at in range(12))
    plan = plan_from(f"start->q0;{levels}q12->end;")
    runs = dry_run_branches(plan)
    assert not untaken(plan, *runs)
    assert len(runs) == 13


def test_equal_arguments_give_equal_answers() -> None:
    plan = plan_from(REVIEW)
    assert dry_run_branches(plan) == dry_run_branches(plan)


def test_a_run_for_which_no_steps_are_left_is_not_called_stuck() -> None:
    plan = plan_from("start->a; a->b:workflow.input.go; a->c:else; b->end; c->end;")
    first = dry_run(plan)
    assert len(dry_run_branches(plan)) == 2
    (only,) = dry_run_branches(plan, max_steps=len(first.steps) + 2)
    assert only == first
    assert not coverage(plan, [only]).is_complete

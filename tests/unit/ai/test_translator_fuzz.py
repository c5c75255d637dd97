"""Whatever is written, the translator gives a workflow that is valid and ends, or says that it understood nothing."""

import random
import time

import pytest

from workflow_service.ai.generation.assembly import assemble
from workflow_service.ai.generation.facts import facts_by_step
from workflow_service.ai.generation.preferences import (
    ErrorHandling,
    TooManyBlocks,
    Wishes,
    apply_wishes,
    settings_of,
)
from workflow_service.ai.generation.work import Offers, find_work
from workflow_service.ai.translator.translation import TextNotUnderstood, translate
from workflow_service.engine.definition import Definition
from workflow_service.engine.dry_run import DryRunStatus, dry_run_branches
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.findings import errors_in
from workflow_service.engine.plan import compile_plan
from workflow_service.engine.validation import validate

DEEDS = (
    "check the order",
    "validate it",
    "send the invoice to the customer",
    "wait 2 days",
    "ask the manager for approval",
    "the editor approves the text",
    "repair it",
    "run the tests",
    "notify the team",
    "go back to step 2",
    "stop",
    "order stock",
    "wait for the payment",
    "the invoice is posted to the ledger",
    "log error",
    "retry up to 3 times",
    "receive a request",
)
CONDITIONS = (
    "it is valid",
    "the amount is over 500",
    "the tests fail",
    "approved",
    "rejected",
    "the manager says no",
    "urgent",
    "the severity is high",
    "no answer arrives",
    "between 3 and 9",
    "they do",
    "any step fails",
    "not",
)
JOINTS = (
    ". ",
    ", ",
    " and ",
    "; ",
    ", then ",
    "\n",
    "\n- ",
    "\n  - ",
    ": ",
    ". Otherwise, ",
    ", else ",
    " unless ",
    " until ",
    " in parallel. ",
    ". Meanwhile ",
    "\n1. ",
    "\n2. ",
    "\n   a. ",
    "? ",
    " -> ",
    ". Finally, ",
    " again. ",
    ". In all cases ",
)
OPENINGS = (
    "If ",
    "When ",
    "Once ",
    "Unless ",
    "For each item, ",
    "While ",
    "Repeat until ",
    "After ",
    "On failure ",
    "Depending on the ",
)


def random_text(dice: random.Random) -> str:
    """Return words that are told the way workflows are, put together without sense."""
    parts = []
    for _ in range(dice.randint(1, 12)):
        if dice.random() < 0.35:
            parts.append(
                dice.choice(OPENINGS) + dice.choice(CONDITIONS) + dice.choice((", ", ": ", " then ", " "))
            )
        parts.append(dice.choice(DEEDS) + dice.choice(JOINTS))
    return "".join(parts)


def random_wishes(dice: random.Random) -> Wishes:
    """Return constraints and preferences of any kind."""
    return Wishes(
        max_blocks=dice.choice((None, None, 3, 8)),
        parallel=dice.choice((None, True, False)),
        human_approval=dice.choice((None, True, False)),
        error_handling=dice.choice(tuple(ErrorHandling)),
    )


def define(text: str, wishes: Wishes) -> Definition:
    """Return what the rules make of a text, as generation does where nobody but people does the work."""
    flow = apply_wishes(translate(text), wishes)
    facts = facts_by_step(flow)
    works = {step.id: find_work(step, facts[step.id], Offers()) for step in flow.steps}
    return assemble(flow, works, settings_of(wishes))


@pytest.mark.parametrize("seed", range(2))
def test_every_output_is_valid_ends_and_has_its_dsl(seed: int) -> None:
    dice = random.Random(seed)
    understood = 0
    for _ in range(12):
        text, wishes = random_text(dice), random_wishes(dice)
        try:
            definition = define(text, wishes)
        except (TextNotUnderstood, TooManyBlocks):
            continue
        understood += 1
        assert not errors_in(validate(definition)), text
        again = parse_dsl(
            render_dsl(definition), states_of(definition), definition.global_settings, definition.input_schema
        )
        assert again == definition, text
        for run in dry_run_branches(compile_plan(definition), max_runs=6):
            assert not run.problems, text
            assert run.status is not DryRunStatus.STUCK, text
    assert understood > 4


@pytest.mark.parametrize("gap", ["\n", "\n ", "\r\n"])
def test_a_gap_of_thousands_of_lines_costs_no_more_than_one_line(gap: str) -> None:
    began = time.thread_time()
    flow = translate("Check the order." + gap * (18_000 // len(gap)) + "\nSend the invoice.")
    assert [step.id for step in flow.steps] == ["check_order", "send_invoice"]
    assert time.thread_time() - began < 0.5

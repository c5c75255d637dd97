"""The comparison with the interpreter can fail: faults put into the engine on purpose are each caught by it."""

from functools import cache
from random import Random

import pytest

from tests.reference.agreement import check_agreement, plan_of
from tests.reference.faults import FAULTS, Fault, faulty_decide
from tests.reference.generator import Workflow, random_workflow
from workflow_service.engine.plan import Plan

MOST_EXAMPLES = 2_000  # the rarest fault needs about 400


@cache
def example(number: int) -> tuple[Workflow, Plan]:
    workflow = random_workflow(Random(number), most_blocks=(6, 9, 12)[number % 3])
    return workflow, plan_of(workflow)


def test_there_are_twenty() -> None:
    assert len({(fault.module, fault.before, fault.after) for fault in FAULTS}) == len(FAULTS) >= 20


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_is_caught(fault: Fault) -> None:
    decide = faulty_decide(fault)
    for number in range(MOST_EXAMPLES):
        workflow, plan = example(number)
        try:
            check_agreement(workflow, Random(number), decide=decide, plan=plan)
        except Exception:  # a crash is noticed too
            check_agreement(workflow, Random(number), plan=plan)
            return
    pytest.fail(f"{MOST_EXAMPLES} random workflows did not show that {fault.name}")
